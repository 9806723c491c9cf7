#include "nn/fourier_positions.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

/* `point` of `count` points equally spaced from `from` to `to`; one alone: `from`. */
static double spaced(double from, double to, int64_t point, int64_t count)
{
    return count > 1 ? from + (to - from) * (double)point / (double)(count - 1) : from;
}

static void fill(float *features, int64_t place, int64_t size, int64_t bands, double max_frequency)
{
    const double p = spaced(-1, 1, place, size);
    for (int64_t k = 0; k < bands; k++) {
        const double angle = pi * p * spaced(1, max_frequency / 2, k, bands);
        features[k] = (float)sin(angle);
        features[bands + k] = (float)cos(angle);
    }
    features[2 * bands] = (float)p;
}

sq_status sq__fourier_positions_create(sq_fourier_positions *positions, int axes, const int64_t *shape, int64_t bands, double max_frequency, sq_error *error)
{
    *positions = (sq_fourier_positions){ .rows = 1, .width = axes * (2 * bands + 1) };
    for (int axis = 0; axis < axes; axis++)
        if (shape[axis] < 1 || __builtin_mul_overflow(positions->rows, shape[axis], &positions->rows))
            return sq__fail(error, SQ_INVALID, "axis %d of the positions has %lld places", axis, (long long)shape[axis]);
    positions->table = sq__alloc_array((size_t)positions->rows, (size_t)positions->width * sizeof *positions->table);
    if (!positions->table) return sq__no_memory(error);
    for (int64_t row = 0; row < positions->rows; row++) {
        int64_t rest = row;
        for (int axis = axes; axis-- > 0; rest /= shape[axis])
            fill(positions->table + row * positions->width + axis * (2 * bands + 1), rest % shape[axis], shape[axis], bands, max_frequency);
    }
    return SQ_OK;
}

void sq__fourier_positions_clear(sq_fourier_positions *positions)
{
    sq__free(positions->table);
    positions->table = NULL;
}

sq_var *sq__fourier_positions_append(const sq_fourier_positions *positions, sq_tape *tape, sq_var *x)
{
    sq_error error;
    if (!x) return NULL;
    const int64_t B = x->shape[0], T = x->shape[1];
    if (x->rank != 3 || T > positions->rows) {
        sq__fail(&error, SQ_INVALID, "%lld rows; the positions are of %lld", (long long)T, (long long)positions->rows);
        sq__tape_fail(tape, &error);
        return NULL;
    }
    int32_t *ids = sq__tape_memory(tape, (size_t)(B * T) * sizeof *ids);
    if (!ids) return NULL;
    for (int64_t i = 0; i < B * T; i++) ids[i] = (int32_t)(i % T);
    sq_var *table = sq__tape_input(tape, 2, (const int64_t[]){ positions->rows, positions->width }, positions->table, false);
    return sq__concatenate(tape, (sq_var *[]){ x, sq__embedding(tape, table, ids, 2, (const int64_t[]){ B, T }) }, 2);
}
