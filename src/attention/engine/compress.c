#include <string.h>

#include "attention/engine/compress.h"
#include "base/integers.h"

enum {
    CHUNK = 256,   /* rows of a range, columns of W in a part: with all heads they fit the second-level cache */
    TAPS = 8,      /* taps of a convolution unpacked at once: they lie side by side in W */
};

size_t sq__compress_workspace(sq_compress_method method, int64_t D)
{
    const size_t packed = sq__align_up((size_t)(CHUNK * D) * sizeof(float)), taps = sq__align_up((size_t)(TAPS * D * D) * sizeof(float));
    return method == SQ_COMPRESS_CONVOLUTION ? packed + taps : packed;
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
    count = sq__least(count, CHUNK);
    for (int64_t i = 0; i < count; i++) {
        const int64_t j = first + i * step;
        if (c->keep[j]) memcpy(c->workspace + i * c->D, c->x + j * c->x_row, (size_t)c->D * sizeof(float));
        else memset(c->workspace + i * c->D, 0, (size_t)c->D * sizeof(float));
    }
    return (rows){ c->workspace, c->D, count };
}

static void zero_hidden(const sq_compress *c, int64_t from, int64_t to, float *dx, int64_t dx_row)
{
    for (int64_t j = from; c->keep && j < to; j++)
        if (!c->keep[j]) memset(dx + j * dx_row, 0, (size_t)c->D * sizeof(float));
}

/* ---- mean ---- */

/* 1 / number of rows of window r that count; 0 when there are none. */
static float share(const sq_compress *c, int64_t r)
{
    const int64_t end = sq__least(c->n, (r + 1) * c->window);
    int64_t count = c->keep ? 0 : end - r * c->window;
    for (int64_t j = r * c->window; c->keep && j < end; j++) count += c->keep[j] != 0;
    return count ? 1.0f / (float)count : 0;
}

static void mean_forward(const sq_compress *c, const sq_kernels *kernels, int64_t from, int64_t to, float *y)
{
    float part = 0;
    for (int64_t j = from; j < to; j++) {
        if (j == from || j % c->window == 0) part = share(c, j / c->window);
        if (!c->keep || c->keep[j]) kernels->axpy(y + j / c->window * c->D, part, c->x + j * c->x_row, c->D);
    }
}

static void mean_backward(const sq_compress *c, const sq_kernels *kernels, const float *dy, int64_t from, int64_t to, float *dx, int64_t dx_row)
{
    float part = 0;
    for (int64_t j = from; j < to; j++) {
        if (j == from || j % c->window == 0) part = share(c, j / c->window);
        memcpy(dx + j * dx_row, dy + j / c->window * c->D, (size_t)c->D * sizeof(float));
        kernels->scale(dx + j * dx_row, part, c->D);
    }
}

/* ---- convolution ---- */

/* Windows from `first` to before `end` have a row at tap t: the first of these rows is `row`. */
typedef struct tap { int64_t first, end, row; } tap;

static tap tap_of(const sq_compress *c, int64_t t)
{
    const int64_t first = t < c->lead, row = first * c->window + t - c->lead;
    return (tap){ first, row < c->n ? first + (c->n - row + c->window - 1) / c->window : first, row };
}

static tap after(const sq_compress *c, tap at, int64_t windows)
{
    return (tap){ at.first + windows, at.end, at.row + windows * c->window };
}

static int64_t tap_count(const sq_compress *c) { return sq__least(c->window, c->n + c->lead); }

/* taps[k] = W[:, :, from + k] as [D,D] (out, in) */
static void unpack_taps(const sq_compress *c, int64_t from, int64_t count)
{
    float *taps = taps_of(c);
    for (int64_t i = 0; i < c->D * c->D; i++)
        for (int64_t k = 0; k < count; k++) taps[k * c->D * c->D + i] = c->weight[i * c->window + from + k];
}

static void convolve(const sq_compress *c, float *y)
{
    for (int64_t from = 0; from < tap_count(c); from += TAPS) {
        const int64_t count = sq__least(TAPS, c->window - from);
        unpack_taps(c, from, count);
        for (int64_t t = from; t < from + count; t++)
            for (tap at = tap_of(c, t); at.first < at.end;) {
                const rows x = take(c, at.row, c->window, at.end - at.first);
                sq__gemm(false, true, x.count, c->D, c->D, 1, x.x, x.row, taps_of(c) + (t - from) * c->D * c->D, c->D, 1, y + at.first * c->D, c->D);
                at = after(c, at, x.count);
            }
    }
}

static void convolve_backward_input(const sq_compress *c, const float *dy, float *dx, int64_t dx_row)
{
    for (int64_t from = 0; from < tap_count(c); from += TAPS) {
        const int64_t count = sq__least(TAPS, c->window - from);
        unpack_taps(c, from, count);
        for (int64_t t = from; t < from + count; t++) {
            const tap at = tap_of(c, t);
            if (at.first < at.end)
                sq__gemm(false, false, at.end - at.first, c->D, c->D, 1, dy + at.first * c->D, c->D, taps_of(c) + (t - from) * c->D * c->D, c->D, 0,
                         dx + at.row * dx_row, c->window * dx_row);
        }
    }
}

static void convolve_backward_weight(const sq_compress *c, const float *dy, int64_t from, float *dweight)
{
    const int64_t count = sq__least(TAPS, c->window - from), DD = c->D * c->D;
    float *taps = taps_of(c);
    memset(taps, 0, (size_t)(TAPS * DD) * sizeof(float));
    for (int64_t t = from; t < from + count; t++)
        for (tap at = tap_of(c, t); at.first < at.end;) {
            const rows x = take(c, at.row, c->window, at.end - at.first);
            sq__gemm(true, false, c->D, c->D, x.count, 1, dy + at.first * c->D, c->D, x.x, x.row, 1, taps + (t - from) * DD, c->D);
            at = after(c, at, x.count);
        }
    for (int64_t i = 0; i < DD; i++)
        for (int64_t k = 0; k < count; k++) dweight[i * c->window + from + k] += taps[k * DD + i];
}

/* ---- all methods ---- */

int64_t sq__compress_range(sq_compress_method method, int64_t n)
{
    return method == SQ_COMPRESS_CONVOLUTION || n < CHUNK ? n : CHUNK;
}

void sq__compress_begin(const sq_compress *c, float *y)
{
    for (int64_t i = 0; i < c->rows * c->D; i++) y[i] = !c->bias ? 0 : c->method == SQ_COMPRESS_LINEAR ? c->bias[i / c->D] : c->bias[i % c->D];
}

void sq__compress_forward(const sq_compress *c, const sq_kernels *kernels, int64_t from, float *y)
{
    const int64_t to = sq__least(c->n, from + sq__compress_range(c->method, c->n));
    if (from >= to) return;
    if (c->method == SQ_COMPRESS_MEAN) mean_forward(c, kernels, from, to, y);
    if (c->method == SQ_COMPRESS_CONVOLUTION) convolve(c, y);
    if (c->method != SQ_COMPRESS_LINEAR) return;
    const rows x = take(c, from, 1, to - from);
    sq__gemm(false, false, c->rows, c->D, x.count, 1, c->weight + from, c->weight_row, x.x, x.row, 1, y, c->D);
}

void sq__compress_backward_input(const sq_compress *c, const sq_kernels *kernels, const float *dy, int64_t from, float *dx, int64_t dx_row)
{
    const int64_t to = sq__least(c->n, from + sq__compress_range(c->method, c->n));
    if (from >= to) return;
    if (c->method == SQ_COMPRESS_MEAN) mean_backward(c, kernels, dy, from, to, dx, dx_row);
    if (c->method == SQ_COMPRESS_CONVOLUTION) convolve_backward_input(c, dy, dx, dx_row);
    if (c->method == SQ_COMPRESS_LINEAR)
        sq__gemm(true, false, to - from, c->D, c->rows, 1, c->weight + from, c->weight_row, dy, c->D, 0, dx + from * dx_row, dx_row);
    zero_hidden(c, from, to, dx, dx_row);
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
    const rows x = take(c, part * CHUNK, 1, sq__least(CHUNK, c->n - part * CHUNK));
    sq__gemm(false, true, c->rows, x.count, c->D, 1, dy, c->D, x.x, x.row, 1, dweight + part * CHUNK, c->weight_row);
}

void sq__compress_backward_bias(const sq_compress *c, const float *dy, float *dbias)
{
    for (int64_t i = 0; i < c->rows * c->D; i++) dbias[c->method == SQ_COMPRESS_LINEAR ? i / c->D : i % c->D] += dy[i];
}
