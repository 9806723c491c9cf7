#include <string.h>

#include "attention/engine/compress.h"

enum {
    CHUNK = 256,   /* rows packed at once when some are hidden; columns of W in a part */
    TAPS = 8,      /* taps of a convolution unpacked at once: they lie side by side in W */
};

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

size_t sq__compress_workspace(sq_compress_method method, int64_t D)
{
    return sq__align_up((size_t)(CHUNK * D) * sizeof(float)) + (method == SQ_COMPRESS_CONVOLUTION ? sq__align_up((size_t)(TAPS * D * D) * sizeof(float)) : 0);
}

static float *taps_of(const sq_compress *c)
{
    return c->workspace + sq__align_up((size_t)(CHUNK * c->D) * sizeof(float)) / sizeof(float);
}

typedef struct rows { const float *x; int64_t row, count; } rows;

/* `count` rows from `first`, `step` apart, at most CHUNK of them when some may be hidden: then copied, with zeros for hidden ones. */
static rows take(const sq_compress *c, int64_t first, int64_t step, int64_t count)
{
    if (!c->keep) return (rows){ c->x + first * c->x_row, step * c->x_row, count };
    count = least(count, CHUNK);
    for (int64_t i = 0; i < count; i++) {
        const int64_t j = first + i * step;
        if (c->keep[j]) memcpy(c->workspace + i * c->D, c->x + j * c->x_row, (size_t)c->D * sizeof(float));
        else memset(c->workspace + i * c->D, 0, (size_t)c->D * sizeof(float));
    }
    return (rows){ c->workspace, c->D, count };
}

static void zero_hidden(const sq_compress *c, float *dx, int64_t dx_row)
{
    for (int64_t j = 0; c->keep && j < c->n; j++)
        if (!c->keep[j]) memset(dx + j * dx_row, 0, (size_t)c->D * sizeof(float));
}

/* ---- mean ---- */

/* 1 / number of rows of window r that count; 0 when there are none. */
static float share(const sq_compress *c, int64_t r)
{
    int64_t count = 0;
    for (int64_t j = r * c->window; j < least(c->n, (r + 1) * c->window); j++) count += !c->keep || c->keep[j];
    return count ? 1.0f / (float)count : 0;
}

static void mean_forward(const sq_compress *c, const sq_kernels *kernels, float *y)
{
    for (int64_t r = 0; r < c->rows; r++) {
        for (int64_t j = r * c->window; j < least(c->n, (r + 1) * c->window); j++)
            if (!c->keep || c->keep[j]) kernels->axpy(y + r * c->D, 1, c->x + j * c->x_row, c->D);
        kernels->scale(y + r * c->D, share(c, r), c->D);
    }
}

static void mean_backward(const sq_compress *c, const sq_kernels *kernels, const float *dy, float *dx, int64_t dx_row)
{
    for (int64_t r = 0; r < c->rows; r++) {
        const float part = share(c, r);
        for (int64_t j = r * c->window; j < least(c->n, (r + 1) * c->window); j++) {
            memcpy(dx + j * dx_row, dy + r * c->D, (size_t)c->D * sizeof(float));
            kernels->scale(dx + j * dx_row, part, c->D);
        }
    }
}

/* ---- convolution ---- */

/* Windows that have a row at tap t. */
static int64_t windows_at(const sq_compress *c, int64_t t)
{
    return t < c->n ? (c->n - t + c->window - 1) / c->window : 0;
}

/* taps[k] = W[:, :, from + k] as [D,D] (out, in) */
static void unpack_taps(const sq_compress *c, int64_t from, int64_t count)
{
    float *taps = taps_of(c);
    for (int64_t i = 0; i < c->D * c->D; i++)
        for (int64_t k = 0; k < count; k++) taps[k * c->D * c->D + i] = c->weight[i * c->window + from + k];
}

static void convolve(const sq_compress *c, float *y)
{
    for (int64_t from = 0; from < least(c->window, c->n); from += TAPS) {
        const int64_t count = least(TAPS, c->window - from);
        unpack_taps(c, from, count);
        for (int64_t t = from; t < from + count; t++)
            for (int64_t r = 0, all = windows_at(c, t); r < all;) {
                const rows x = take(c, r * c->window + t, c->window, all - r);
                sq__gemm(false, true, x.count, c->D, c->D, 1, x.x, x.row, taps_of(c) + (t - from) * c->D * c->D, c->D, 1, y + r * c->D, c->D);
                r += x.count;
            }
    }
}

static void convolve_backward_input(const sq_compress *c, const float *dy, float *dx, int64_t dx_row)
{
    for (int64_t from = 0; from < least(c->window, c->n); from += TAPS) {
        const int64_t count = least(TAPS, c->window - from);
        unpack_taps(c, from, count);
        for (int64_t t = from; t < from + count; t++)
            sq__gemm(false, false, windows_at(c, t), c->D, c->D, 1, dy, c->D, taps_of(c) + (t - from) * c->D * c->D, c->D, 0, dx + t * dx_row, c->window * dx_row);
    }
}

static void convolve_backward_weight(const sq_compress *c, const float *dy, int64_t from, float *dweight)
{
    const int64_t count = least(TAPS, c->window - from), DD = c->D * c->D;
    float *taps = taps_of(c);
    memset(taps, 0, (size_t)(TAPS * DD) * sizeof(float));
    for (int64_t t = from; t < from + count; t++)
        for (int64_t r = 0, all = windows_at(c, t); r < all;) {
            const rows x = take(c, r * c->window + t, c->window, all - r);
            sq__gemm(true, false, c->D, c->D, x.count, 1, dy + r * c->D, c->D, x.x, x.row, 1, taps + (t - from) * DD, c->D);
            r += x.count;
        }
    for (int64_t i = 0; i < DD; i++)
        for (int64_t k = 0; k < count; k++) dweight[i * c->window + from + k] += taps[k * DD + i];
}

/* ---- all methods ---- */

void sq__compress_forward(const sq_compress *c, const sq_kernels *kernels, float *y)
{
    memset(y, 0, (size_t)(c->rows * c->D) * sizeof(float));
    if (c->method == SQ_COMPRESS_MEAN) mean_forward(c, kernels, y);
    if (c->method == SQ_COMPRESS_CONVOLUTION) convolve(c, y);
    for (int64_t j = 0; c->method == SQ_COMPRESS_LINEAR && j < c->n;) {
        const rows x = take(c, j, 1, c->n - j);
        sq__gemm(false, false, c->rows, c->D, x.count, 1, c->weight + j, c->weight_row, x.x, x.row, 1, y, c->D);
        j += x.count;
    }
    for (int64_t i = 0; c->bias && i < c->rows * c->D; i++) y[i] += c->method == SQ_COMPRESS_LINEAR ? c->bias[i / c->D] : c->bias[i % c->D];
}

void sq__compress_backward_input(const sq_compress *c, const sq_kernels *kernels, const float *dy, float *dx, int64_t dx_row)
{
    if (c->method == SQ_COMPRESS_MEAN) mean_backward(c, kernels, dy, dx, dx_row);
    if (c->method == SQ_COMPRESS_CONVOLUTION) convolve_backward_input(c, dy, dx, dx_row);
    if (c->method == SQ_COMPRESS_LINEAR) sq__gemm(true, false, c->n, c->D, c->rows, 1, c->weight, c->weight_row, dy, c->D, 0, dx, dx_row);
    zero_hidden(c, dx, dx_row);
}

int64_t sq__compress_parts(sq_compress_method method, int64_t n, int64_t window)
{
    if (method == SQ_COMPRESS_MEAN) return 0;
    return method == SQ_COMPRESS_LINEAR ? (n + CHUNK - 1) / CHUNK : (window + TAPS - 1) / TAPS;
}

void sq__compress_backward_weight(const sq_compress *c, const float *dy, int64_t part, float *dweight)
{
    if (c->method == SQ_COMPRESS_CONVOLUTION) convolve_backward_weight(c, dy, part * TAPS, dweight);
    if (c->method != SQ_COMPRESS_LINEAR || part * CHUNK >= c->n) return;
    const rows x = take(c, part * CHUNK, 1, least(CHUNK, c->n - part * CHUNK));
    sq__gemm(false, true, c->rows, x.count, c->D, 1, dy, c->D, x.x, x.row, 1, dweight + part * CHUNK, c->weight_row);
}

void sq__compress_backward_bias(const sq_compress *c, const float *dy, float *dbias)
{
    for (int64_t i = 0; i < c->rows * c->D; i++) dbias[c->method == SQ_COMPRESS_LINEAR ? i / c->D : i % c->D] += dy[i];
}
