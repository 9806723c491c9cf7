/* The rows that queries of the Long-Short Transformer meet: normalised keys and values, compressed segments, and the way back. Norms go over
 * all heads side by side, compressions head by head; so phases alternate between rows and heads. */
#include <math.h>
#include <string.h>

#include "attention/long_short.h"
#include "base/integers.h"
#include "base/parallel.h"

enum { CHUNK = SQ_LONG_SHORT_CHUNK, PARTS = SQ_LONG_SHORT_PARTS };
static const float eps = 1e-5f;

/* ---- rows of the call ---- */

static int64_t keys_of(const sq_long_short_call *c, int64_t b)
{
    return sq__head(c->run, b, 0).N;
}

static bool key_visible(const sq_long_short_call *c, int64_t b, int64_t n)
{
    return n < keys_of(c, b) && !(c->run->call->key_keep && !c->run->call->key_keep[b * c->p->N + n]);
}

static float *view_row(const sq_view *view, int64_t b, int64_t n, int64_t h)
{
    return view->data + b * view->batch + n * view->row + h * view->head;
}

static const sq_view *given(const sq_long_short_call *c, int side) { return side ? &c->run->call->v : &c->run->call->k; }
static const sq_view *gradient(const sq_long_short_call *c, int side) { return side ? &c->run->gradients->dv : &c->run->gradients->dk; }

/* Row `row` of entry b, of [B, count, width]. */
static float *row_of(const sq_long_short_call *c, float *all, int64_t count, int64_t b, int64_t row)
{
    return all + (b * count + row) * c->s.width;
}

static void gather_heads(const sq_long_short_call *c, int side, int64_t b, int64_t n, float *to)
{
    for (int64_t h = 0; h < c->p->H; h++) memcpy(to + h * c->p->D, view_row(given(c, side), b, n, h), (size_t)c->p->D * sizeof *to);
}

static float *thread_floats(const sq_long_short_call *c, int thread)
{
    return (float *)(void *)(c->memory.threads + (size_t)thread * c->memory.per_thread);
}

/* ---- norms ---- */

static void normalise(const sq_long_short_call *c, const float *x, int tensor, sq_long_short_norm norm, int64_t at, float *y)
{
    float *const *tensors = c->run->call->tensors;
    c->run->kernels->layer_norm(y, norm.mean + at, norm.rstd + at, x, tensors[tensor], tensors[tensor + 1], eps, 1, c->s.width);
}

static void normalise_keys(void *context, int64_t item, int thread)
{
    const sq_long_short_call *c = context;
    const int64_t N = c->p->N, b = item / PARTS, from = item % PARTS * N / PARTS, to = (item % PARTS + 1) * N / PARTS;
    for (int64_t n = from; n < to; n++) {
        const bool visible = key_visible(c, b, n);
        c->memory.keep[b * c->s.rows + c->s.compressed + n] = visible;
        for (int side = 0; visible && side < 2; side++) {
            const sq_long_short_side *s = &c->memory.sides[side];
            gather_heads(c, side, b, n, thread_floats(c, thread));
            normalise(c, thread_floats(c, thread), SQ_LONG_SHORT_LOCAL, s->local, b * N + n, row_of(c, s->rows, c->s.rows, b, c->s.compressed + n));
        }
    }
}

static void normalise_compressed(void *context, int64_t b, int thread)
{
    const sq_long_short_call *c = context;
    const int64_t C = c->s.compressed;
    (void)thread;
    for (int64_t r = 0; r < C; r++) {
        const bool visible = c->memory.lse[b * c->p->H * C + r] > -INFINITY;
        c->memory.keep[b * c->s.rows + r] = visible;
        for (int side = 0; visible && side < 2; side++) {
            const sq_long_short_side *s = &c->memory.sides[side];
            normalise(c, row_of(c, s->raw, C, b, r), SQ_LONG_SHORT_COMPRESSED, s->compressed, b * C + r, row_of(c, s->rows, c->s.rows, b, r));
        }
    }
}

/* ---- compression of one head ---- */

typedef struct compression {
    const sq_long_short_call *c;
    int64_t b, h, D, r;
    float *x, *weights, *dweights, *drows;   /* [CHUNK,D] [CHUNK,r] twice [CHUNK,D], of this thread */
} compression;

static compression begin(const sq_long_short_call *c, int64_t item, int thread)
{
    compression k = { .c = c, .b = item / c->p->H, .h = item % c->p->H, .D = c->p->D, .r = c->s.landmarks };
    sq_cut cut = { (char *)thread_floats(c, thread), 0 };
    k.x = sq__cut_floats(&cut, CHUNK * k.D);
    k.weights = sq__cut_floats(&cut, CHUNK * k.r);
    k.dweights = sq__cut_floats(&cut, CHUNK * k.r);
    k.drows = sq__cut_floats(&cut, CHUNK * k.D);
    return k;
}

static float *lse_of(const compression *k, int64_t segment)
{
    return k->c->memory.lse + (k->b * k->c->p->H + k->h) * k->c->s.compressed + segment * k->r;
}

static const float *landmark_row(const compression *k, int64_t n)
{
    int64_t row;
    const float *data = sq__head_input(k->c->run, 0, k->b, k->h, &row);
    return data + n * row;
}

static bool visible(const compression *k, int64_t n)
{
    return k->c->memory.keep[k->b * k->c->s.rows + k->c->s.compressed + n];
}

static int64_t segment_end(const compression *k, int64_t segment)
{
    return sq__least((segment + 1) * k->c->s.segment, k->c->p->N);
}

/* Logarithm of each landmark's sum of exp over the visible keys of a segment. */
static void sum_weights(const compression *k, int64_t segment)
{
    const int64_t from = segment * k->c->s.segment, to = segment_end(k, segment);
    float *lse = lse_of(k, segment), *most = k->weights, *sum = k->dweights, *shifted = k->weights + k->r;
    for (int64_t m = 0; m < k->r; m++) most[m] = -INFINITY, sum[m] = 0;
    for (int64_t n = from; n < to; n++)
        for (int64_t m = 0; visible(k, n) && m < k->r; m++) most[m] = landmark_row(k, n)[m] > most[m] ? landmark_row(k, n)[m] : most[m];
    for (int64_t n = from; n < to; n++) {
        if (!visible(k, n)) continue;
        for (int64_t m = 0; m < k->r; m++) shifted[m] = landmark_row(k, n)[m] - most[m];
        k->c->run->kernels->exp(shifted, shifted, k->r);
        for (int64_t m = 0; m < k->r; m++) sum[m] += shifted[m];
    }
    for (int64_t m = 0; m < k->r; m++) lse[m] = sum[m] > 0 ? most[m] + logf(sum[m]) : -INFINITY;
}

/* Weights [count, r] of keys from n on, and the rows that they weigh: raw (paper) or normalised; zeros for hidden keys. */
static void load_weights(const compression *k, int64_t segment, int64_t n, int64_t count)
{
    const float *lse = lse_of(k, segment);
    for (int64_t i = 0; i < count; i++) {
        float *weights = k->weights + i * k->r;
        if (!visible(k, n + i)) {
            memset(weights, 0, (size_t)k->r * sizeof *weights);
            continue;
        }
        for (int64_t m = 0; m < k->r; m++) weights[m] = landmark_row(k, n + i)[m] - lse[m];
        k->c->run->kernels->exp(weights, weights, k->r);
    }
}

static void load_rows(const compression *k, int side, int64_t n, int64_t count)
{
    const sq_long_short_call *c = k->c;
    for (int64_t i = 0; i < count; i++) {
        const float *raw = view_row(given(c, side), k->b, n + i, k->h);
        const float *normal = row_of(c, c->memory.sides[side].rows, c->s.rows, k->b, c->s.compressed + n + i) + k->h * k->D;
        if (visible(k, n + i)) memcpy(k->x + i * k->D, c->config->convention == SQ_LONG_SHORT_PAPER ? raw : normal, (size_t)k->D * sizeof(float));
        else memset(k->x + i * k->D, 0, (size_t)k->D * sizeof(float));
    }
}

/* This head's part of compressed row `segment * r` of an array [B, count, width]. */
static float *part(const compression *k, float *all, int64_t count, int64_t segment)
{
    return row_of(k->c, all, count, k->b, segment * k->r) + k->h * k->D;
}

static void compress_head(void *context, int64_t item, int thread)
{
    const sq_long_short_call *c = context;
    const compression k = begin(c, item, thread);
    for (int64_t segment = 0; segment < c->s.segments; segment++) {
        sum_weights(&k, segment);
        for (int side = 0; side < 2; side++) sq__zero_rows(part(&k, c->memory.sides[side].raw, c->s.compressed, segment), c->s.width, 0, k.r, k.D);
        if (!(lse_of(&k, segment)[0] > -INFINITY)) continue;
        for (int64_t n = segment * c->s.segment, end = segment_end(&k, segment); n < end; n += CHUNK) {
            const int64_t count = sq__least(CHUNK, end - n);
            load_weights(&k, segment, n, count);
            for (int side = 0; side < 2; side++) {
                load_rows(&k, side, n, count);
                sq__gemm(true, false, k.r, k.D, count, 1, k.weights, k.r, k.x, k.D, 1, part(&k, c->memory.sides[side].raw, c->s.compressed, segment), c->s.width);
            }
        }
    }
}

void sq__long_short_make_rows(sq_long_short_call *c)
{
    sq__parallel(c->p->threads, c->p->B * PARTS, normalise_keys, c);
    sq__parallel(c->p->threads, c->p->B * c->p->H, compress_head, c);
    sq__parallel(c->p->threads, c->p->B, normalise_compressed, c);
}

/* ---- backward ---- */

/* Gradients of a norm's weight and bias that item (b, part) sums. */
static float *partial(const sq_long_short_call *c, int64_t item, int tensor)
{
    return c->memory.partial + (item * SQ_LONG_SHORT_TENSORS + tensor) * c->s.width;
}

static void norm_backward(const sq_long_short_call *c, int64_t item, int tensor, sq_long_short_norm norm, int64_t at, const float *x, const float *dy, float *dx)
{
    c->run->kernels->layer_norm_backward(dx, partial(c, item, tensor), partial(c, item, tensor + 1), dy, x, norm.mean + at, norm.rstd + at,
                                         c->run->call->tensors[tensor], 1, c->s.width);
}

/* drows of compressed rows become the gradients of what was compressed. */
static void compressed_backward(void *context, int64_t b, int thread)
{
    const sq_long_short_call *c = context;
    const int64_t C = c->s.compressed, width = c->s.width;
    float *dx = thread_floats(c, thread);
    memset(partial(c, b * PARTS, 0), 0, (size_t)(PARTS * SQ_LONG_SHORT_TENSORS * width) * sizeof *dx);
    for (int64_t r = 0; r < C; r++)
        for (int side = 0; side < 2; side++) {
            const sq_long_short_side *s = &c->memory.sides[side];
            float *dy = row_of(c, s->drows, c->s.rows, b, r);
            if (c->memory.keep[b * c->s.rows + r])
                norm_backward(c, b * PARTS, SQ_LONG_SHORT_COMPRESSED, s->compressed, b * C + r, row_of(c, s->raw, C, b, r), dy, dx);
            else memset(dx, 0, (size_t)width * sizeof *dx);
            memcpy(dy, dx, (size_t)width * sizeof *dx);
        }
}

/* dweights = rows . dcompressed of both sides; then through the softmax, whose mean of them is compressed . dcompressed. */
static void landmarks_backward(const compression *k, int64_t segment, int64_t n, int64_t count)
{
    const sq_long_short_call *c = k->c;
    int64_t row;
    float *dinput = sq__head_dinput(c->run, 0, k->b, k->h, &row);
    for (int side = 0; side < 2; side++) {
        load_rows(k, side, n, count);
        sq__gemm(false, true, count, k->r, k->D, 1, k->x, k->D, part(k, c->memory.sides[side].drows, c->s.rows, segment), c->s.width, side ? 1 : 0,
                 k->dweights, k->r);
    }
    for (int64_t m = 0; m < k->r; m++) {
        float mean = 0;
        for (int side = 0; side < 2; side++)
            mean += c->run->kernels->dot(part(k, c->memory.sides[side].raw, c->s.compressed, segment) + m * c->s.width,
                                         part(k, c->memory.sides[side].drows, c->s.rows, segment) + m * c->s.width, k->D);
        for (int64_t i = 0; i < count; i++) dinput[(n + i) * row + m] = k->weights[i * k->r + m] * (k->dweights[i * k->r + m] - mean);
    }
}

/* What the compressed rows give back to the rows that they were made of. */
static void spread(const compression *k, int side, int64_t segment, int64_t n, int64_t count)
{
    const sq_long_short_call *c = k->c;
    sq__gemm(false, false, count, k->D, k->r, 1, k->weights, k->r, part(k, c->memory.sides[side].drows, c->s.rows, segment), c->s.width, 0, k->drows, k->D);
    for (int64_t i = 0; i < count; i++) {
        float *to = c->config->convention == SQ_LONG_SHORT_PAPER ? view_row(gradient(c, side), k->b, n + i, k->h)
                    : row_of(c, c->memory.sides[side].drows, c->s.rows, k->b, c->s.compressed + n + i) + k->h * k->D;
        if (visible(k, n + i)) c->run->kernels->axpy(to, 1, k->drows + i * k->D, k->D);
    }
}

static void compress_head_backward(void *context, int64_t item, int thread)
{
    const sq_long_short_call *c = context;
    const compression k = begin(c, item, thread);
    int64_t row;
    float *dinput = sq__head_dinput(c->run, 0, k.b, k.h, &row);
    sq__zero_rows(dinput, row, 0, c->p->N, k.r);
    for (int64_t segment = 0; segment < c->s.segments; segment++)
        for (int64_t n = segment * c->s.segment, end = segment_end(&k, segment); lse_of(&k, segment)[0] > -INFINITY && n < end; n += CHUNK) {
            const int64_t count = sq__least(CHUNK, end - n);
            load_weights(&k, segment, n, count);
            landmarks_backward(&k, segment, n, count);
            for (int side = 0; side < 2; side++) spread(&k, side, segment, n, count);
        }
}

static void keys_backward(void *context, int64_t item, int thread)
{
    const sq_long_short_call *c = context;
    const int64_t N = c->p->N, D = c->p->D, b = item / PARTS, from = item % PARTS * N / PARTS, to = (item % PARTS + 1) * N / PARTS;
    float *x = thread_floats(c, thread), *dx = x + c->s.width;
    for (int64_t n = from; n < to; n++)
        for (int side = 0; side < 2; side++) {
            const sq_long_short_side *s = &c->memory.sides[side];
            if (c->memory.keep[b * c->s.rows + c->s.compressed + n]) {
                gather_heads(c, side, b, n, x);
                norm_backward(c, item, SQ_LONG_SHORT_LOCAL, s->local, b * N + n, x, row_of(c, s->drows, c->s.rows, b, c->s.compressed + n), dx);
            } else {
                memset(dx, 0, (size_t)c->s.width * sizeof *dx);
            }
            for (int64_t h = 0; h < c->p->H; h++) memcpy(view_row(gradient(c, side), b, n, h), dx + h * D, (size_t)D * sizeof *dx);
        }
}

void sq__long_short_rows_backward(sq_long_short_call *c)
{
    const int64_t width = c->s.width;
    const bool paper = c->config->convention == SQ_LONG_SHORT_PAPER;
    float *const *to = c->run->gradients->dtensors;
    sq__parallel(c->p->threads, c->p->B, compressed_backward, c);
    if (!paper) sq__parallel(c->p->threads, c->p->B * c->p->H, compress_head_backward, c);   /* of normalised rows: before their norm's */
    sq__parallel(c->p->threads, c->p->B * PARTS, keys_backward, c);
    if (paper) sq__parallel(c->p->threads, c->p->B * c->p->H, compress_head_backward, c);
    for (int tensor = 0; to && tensor < SQ_LONG_SHORT_TENSORS; tensor++)
        for (int64_t item = 0; to[tensor] && item < c->p->B * PARTS; item++) c->run->kernels->axpy(to[tensor], 1, partial(c, item, tensor), width);
}
