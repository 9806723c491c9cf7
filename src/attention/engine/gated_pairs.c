/* Products of pairs inside a chunk under decay, and the triangular solve of the delta rule. */
#include "attention/engine/gated_chunk.h"
#include "base/integers.h"

enum { C = SQ_GATED_CHUNK, BLOCK = SQ_GATED_BLOCK };

/* factor [n] = exp(to - from) */
static void factors(const sq_gated_chunk *c, const double *to, const double *from, int64_t n, float *factor)
{
#pragma omp simd
    for (int64_t d = 0; d < n; d++) factor[d] = (float)(to[d] - from[d]);
    c->kernels->exp(factor, factor, n);
}

static void multiply(float *y, const float *x, const float *factor, int64_t n)
{
#pragma omp simd
    for (int64_t d = 0; d < n; d++) y[d] = x[d] * factor[d];
}

static void multiply_add(float *y, const float *x, const float *factor, int64_t n)
{
#pragma omp simd
    for (int64_t d = 0; d < n; d++) y[d] += x[d] * factor[d];
}

static void mask(const sq_gated_chunk *c, bool strict, float *a)
{
    for (int64_t i = 0; i < c->size; i++) {
        multiply(a + i * C, a + i * C, c->E + i * C, c->size);
        if (strict) a[i * C + i] = 0;
    }
}

/* Rows [from, to) against keys [0, from), both relative to the decay at from - 1: factors of rows in factor [BLOCK,D], rows times them in x;
 * keys times theirs in y. */
static void relative(const sq_gated_chunk *c, const float *x, const float *y, int64_t from, int64_t to)
{
    const int64_t D = c->W;
    const double *L = c->L + (from - 1) * D;
    for (int64_t i = from; i < to; i++) {
        float *row = c->x + (i - from) * D;
        factors(c, c->L + i * D, L, D, row);
        multiply(row, row, x + i * D, D);
    }
    for (int64_t j = 0; j < from; j++) {
        float *row = c->y + j * D;
        factors(c, L, c->L + j * D, D, row);
        multiply(row, row, y + j * D, D);
    }
}

static float product(const float *x, const float *y, const float *factor, int64_t n)
{
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < n; d++) sum += x[d] * y[d] * factor[d];
    return sum;
}

/* Factors of row i against keys [from, end) in c->factor. */
static void row_factors(const sq_gated_chunk *c, int64_t i, int64_t from, int64_t end)
{
    const int64_t D = c->W;
    for (int64_t j = from; j < end; j++) {
        float *row = c->factor + (j - from) * D;
        const double *to = c->L + i * D, *of = c->L + j * D;
#pragma omp simd
        for (int64_t d = 0; d < D; d++) row[d] = (float)(to[d] - of[d]);
    }
    c->kernels->exp(c->factor, c->factor, (end - from) * D);
}

static void pairs_by_feature(const sq_gated_chunk *c, const float *x, const float *y, bool strict, float *a)
{
    const int64_t D = c->W;
    for (int64_t i = 0; i < c->size; i++) memset(a + i * C, 0, (size_t)c->size * sizeof *a);
    for (int64_t from = 0; from < c->size; from += BLOCK) {
        const int64_t to = sq__least(from + BLOCK, c->size);
        if (from) {
            relative(c, x, y, from, to);
            sq__gemm(false, true, to - from, from, D, 1, c->x, D, c->y, D, 0, a + from * C, C);
        }
        for (int64_t i = from; i < to; i++) {
            const int64_t end = strict ? i : i + 1;
            row_factors(c, i, from, end);
            for (int64_t j = from; j < end; j++) a[i * C + j] = product(x + i * D, y + j * D, c->factor + (j - from) * D, D);
        }
    }
}

void sq__gated_pairs(const sq_gated_chunk *c, const float *x, const float *y, bool strict, float *a)
{
    const int64_t D = c->all->rule.D;
    if (c->W > 1) {
        pairs_by_feature(c, x, y, strict, a);
        return;
    }
    sq__gemm(false, true, c->size, c->size, D, 1, x, D, y, D, 0, a, C);
    mask(c, strict, a);
}

/* Rows [from, to) and keys before them. The factors are those of relative(), taken apart from the rows by a second exponential. */
static void before_backward(const sq_gated_chunk *c, const float *x, const float *y, int64_t from, int64_t to, const float *da, float *dx, float *dy)
{
    const int64_t D = c->W;
    const double *L = c->L + (from - 1) * D;
    float *t = c->factor, *factor = c->factor + (C - 1) * D;
    relative(c, x, y, from, to);
    sq__gemm(false, false, to - from, D, from, 1, da + from * C, C, c->y, D, 0, t, D);
    for (int64_t i = from; i < to; i++) {
        factors(c, c->L + i * D, L, D, factor);
        multiply_add(dx + i * D, t + (i - from) * D, factor, D);
    }
    sq__gemm(true, false, from, D, to - from, 1, da + from * C, C, c->x, D, 0, t, D);
    for (int64_t j = 0; j < from; j++) {
        factors(c, L, c->L + j * D, D, factor);
        multiply_add(dy + j * D, t + j * D, factor, D);
    }
}

static void pairs_by_feature_backward(const sq_gated_chunk *c, const float *x, const float *y, bool strict, const float *da, float *dx, float *dy)
{
    const int64_t D = c->W;
    for (int64_t from = 0; from < c->size; from += BLOCK) {
        const int64_t to = sq__least(from + BLOCK, c->size);
        if (from) before_backward(c, x, y, from, to, da, dx, dy);
        for (int64_t i = from; i < to; i++) {
            const int64_t end = strict ? i : i + 1;
            row_factors(c, i, from, end);
            for (int64_t j = from; j < end; j++) {
                const float g = da[i * C + j], *factor = c->factor + (j - from) * D, *yj = y + j * D, *xi = x + i * D;
                float *dxi = dx + i * D, *dyj = dy + j * D;
#pragma omp simd
                for (int64_t d = 0; d < D; d++) {
                    const float e = g * factor[d];
                    dxi[d] += e * yj[d];
                    dyj[d] += e * xi[d];
                }
            }
        }
    }
}

void sq__gated_pairs_backward(const sq_gated_chunk *c, const float *x, const float *y, bool strict, float *da, float *dx, float *dy)
{
    const int64_t D = c->all->rule.D;
    if (c->W > 1) {
        pairs_by_feature_backward(c, x, y, strict, da, dx, dy);
        return;
    }
    mask(c, strict, da);
    sq__gemm(false, false, c->size, D, c->size, 1, da, C, y, D, 1, dx, D);
    sq__gemm(true, false, c->size, D, c->size, 1, da, C, x, D, 1, dy, D);
}

void sq__gated_solve(const sq_gated_chunk *c, const float *a, float *w)
{
    const int64_t M = c->all->rule.M;
    for (int64_t from = 0; from < c->size; from += BLOCK) {
        const int64_t to = sq__least(from + BLOCK, c->size);
        if (from) sq__gemm(false, false, to - from, M, from, -1, a + from * C, C, w, M, 1, w + from * M, M);
        for (int64_t i = from; i < to; i++) {
            for (int64_t j = from; j < i; j++) c->kernels->axpy(w + i * M, -a[i * C + j], w + j * M, M);
            c->kernels->scale(w + i * M, c->b_[i], M);
        }
    }
}

void sq__gated_solve_backward(const sq_gated_chunk *c, const float *a, float *du)
{
    const int64_t M = c->all->rule.M;
    for (int64_t from = (c->size - 1) / BLOCK * BLOCK; from >= 0; from -= BLOCK) {
        const int64_t to = sq__least(from + BLOCK, c->size);
        if (to < c->size)
            sq__gemm(true, false, to - from, M, c->size - to, -1, a + to * C + from, C, du + to * M, M, 1, du + from * M, M);
        for (int64_t j = to - 1; j >= from; j--) {
            for (int64_t i = j + 1; i < to; i++) c->kernels->axpy(du + j * M, -a[i * C + j], du + i * M, M);
            c->kernels->scale(du + j * M, c->b_[j], M);
        }
    }
}
