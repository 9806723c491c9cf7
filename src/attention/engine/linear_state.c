#include "attention/engine/linear_state.h"

#include <math.h>
#include <string.h>

static const float limit = 40;     /* exp(40) times any sum of a chunk is far from overflow */
static const float slack = 8;      /* how far above its reference a feature may stay */

size_t sq__linear_state_floats(int64_t F, int64_t M)
{
    sq_cut cut = { NULL, 0 };
    sq__cut_floats(&cut, F * M);
    sq__cut_floats(&cut, F);
    sq__cut_floats(&cut, F);
    return cut.used / sizeof(float);
}

void sq__linear_state_place(sq_linear_state *state, float *floats, int64_t F, int64_t M)
{
    sq_cut cut = { (char *)floats, 0 };
    state->S = sq__cut_floats(&cut, F * M);
    state->z = sq__cut_floats(&cut, F);
    state->reference = sq__cut_floats(&cut, F);
}

void sq__linear_reset(sq_linear_state *state, int64_t F, int64_t M, float start)
{
    memset(state->S, 0, (size_t)(F * M) * sizeof(float));
    for (int64_t r = 0; r < F; r++) {
        state->z[r] = start;
        state->reference[r] = -INFINITY;
    }
}

/* The reference becomes at least `to`; the state keeps its meaning. */
static void raise(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, const float *to)
{
    for (int64_t r = 0; r < F; r++) {
        if (!(to[r] > state->reference[r])) continue;
        const float factor = expf(state->reference[r] - to[r]);
        state->reference[r] = to[r];
        state->z[r] *= factor;
        kernels->scale(state->S + r * M, factor, M);
    }
}

static bool masked(const float *row)
{
    return row[0] == -INFINITY;
}

static void set_reference(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, const float *x, int64_t rows, bool backward)
{
    if (state->reference[0] == -INFINITY) {
        for (int64_t k = 0; k < rows; k++) {
            const float *row = x + (backward ? rows - 1 - k : k) * F;
            if (masked(row)) continue;
            raise(state, kernels, F, M, row);
            return;
        }
    } else {
        const float *first = x + (backward ? rows - 1 : 0) * F;
        for (int64_t r = 0; r < F; r++)
            if (first[r] - state->reference[r] > limit) {
                raise(state, kernels, F, M, first);
                return;
            }
    }
}

int64_t sq__linear_settle(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, float *x, int64_t rows,
                          bool backward, float *top)
{
    int64_t count = 0;
    *top = -INFINITY;
    set_reference(state, kernels, F, M, x, rows, backward);
    for (; count < rows; count++) {
        float *row = x + (backward ? rows - 1 - count : count) * F;
        if (masked(row)) continue;
        kernels->axpy(row, -1, state->reference, F);
        const float most = kernels->max(row, F);
        if (most > limit && count > 0) break;
        if (most > *top) *top = most;
    }
    float *settled = backward ? x + (rows - count) * F : x;
    kernels->exp(settled, settled, count * F);
    return count;
}

/* A chunk is summed by itself and then added: the state takes one rounding for a chunk, not one for a row, which a mean over thousands of
 * rows that cancel would show. */
void sq__linear_absorb(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, const float *x, int64_t rows,
                       const float *payload, int64_t payload_row, const float *weight)
{
    enum { TILE = 64 };
    float sum[TILE * TILE] __attribute__((aligned(64)));
    for (int64_t first = 0; first < F; first += TILE) {
        const int64_t features = F - first < TILE ? F - first : TILE;
        for (int64_t column = 0; column < M; column += TILE) {
            const int64_t columns = M - column < TILE ? M - column : TILE;
            sq__gemm(true, false, features, columns, rows, 1, x + first, F, payload + column, payload_row, 0, sum, TILE);
            for (int64_t r = 0; r < features; r++) kernels->axpy(state->S + (first + r) * M + column, 1, sum + r * TILE, columns);
        }
        memset(sum, 0, TILE * sizeof *sum);
        for (int64_t i = 0; i < rows; i++) kernels->axpy(sum, weight ? weight[i] : 1, x + i * F + first, features);
        kernels->axpy(state->z + first, 1, sum, features);
    }
}

void sq__linear_follow(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, float *x, int64_t rows, float top)
{
    if (!(top > slack)) return;
    for (int64_t i = 1; i < rows; i++) {
        const float *row = x + i * F;
#pragma omp simd
        for (int64_t r = 0; r < F; r++) x[r] = row[r] > x[r] ? row[r] : x[r];
    }
    for (int64_t r = 0; r < F; r++) x[r] = state->reference[r] + logf(x[r]);
    raise(state, kernels, F, M, x);
}

void sq__linear_load_decay(const sq_linear *linear, int64_t first, int64_t rows, double *L)
{
    double sum = 0;
    for (int64_t i = 0; i < rows; i++) {
        const bool counts = first + i < linear->N && !(linear->key_keep && !linear->key_keep[first + i]);
        L[i] = sum += counts ? linear->log_decay[first + i] : 0;
    }
}

void sq__linear_decay_pairs(const sq_kernels *kernels, const double *L, int64_t rows, int64_t columns, float *a, int64_t row, float *temporary)
{
    for (int64_t i = 0; i < rows; i++) {
        const int64_t count = i + 1 < columns ? i + 1 : columns;
#pragma omp simd
        for (int64_t j = 0; j < count; j++) temporary[j] = (float)(L[i] - L[j]);
        kernels->exp(temporary, temporary, count);
        sq__linear_multiply(a + i * row, temporary, count);
    }
}

void sq__linear_decay_from_start(const sq_kernels *kernels, const double *L, int64_t rows, int64_t F, float *x)
{
    for (int64_t i = 0; i < rows; i++) kernels->scale(x + i * F, (float)exp(L[i]), F);
}

void sq__linear_decay_to(const sq_kernels *kernels, const double *L, double end, int64_t rows, int64_t F, float *x)
{
    for (int64_t i = 0; i < rows; i++) kernels->scale(x + i * F, (float)exp(end - L[i]), F);
}

void sq__linear_decay_state(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, double log_factor)
{
    const float factor = (float)exp(log_factor);
    kernels->scale(state->S, factor, F * M);
    kernels->scale(state->z, factor, F);
}

void sq__linear_lower(float *a, int64_t rows, int64_t columns, int64_t row)
{
    for (int64_t i = 0; i + 1 < columns && i < rows; i++) memset(a + i * row + i + 1, 0, (size_t)(columns - i - 1) * sizeof(float));
}

void sq__linear_multiply(float *y, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] *= x[i];
}

void sq__linear_shift(float *y, float a, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += a;
}

sq_linear_values sq__linear_values(const sq_linear *linear, int64_t first, int64_t rows, float *copy)
{
    const int64_t M = linear->M;
    if (!linear->key_keep) return (sq_linear_values){ linear->v + first * linear->v_row, linear->v_row };
    for (int64_t j = 0; j < rows; j++) {
        if (linear->key_keep[first + j]) memcpy(copy + j * M, linear->v + (first + j) * linear->v_row, (size_t)M * sizeof *copy);
        else memset(copy + j * M, 0, (size_t)M * sizeof *copy);
    }
    return (sq_linear_values){ copy, M };
}

void sq__linear_keys(const sq_linear *linear, int64_t first, int64_t rows, float *x)
{
    linear->map.features(linear->map.context, SQ_LINEAR_KEYS, first, rows, x);
    for (int64_t j = 0; linear->key_keep && j < rows; j++)
        if (!linear->key_keep[first + j])
            for (int64_t r = 0; r < linear->F; r++) x[j * linear->F + r] = linear->exponents ? -INFINITY : 0;
}
