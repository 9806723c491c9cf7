/* Reference of the vector slots. Sums run in eight lanes: the error grows with n/8, and the compiler can vectorise them
 * without reordering. */
#include <math.h>

#include "kernels/overlay.h"

enum { LANES = 8 };

static float add_lanes(const float *lane)
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static float dot(const float *x, const float *y, int64_t n)
{
    float lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j] * y[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += x[i] * y[i];
    return add_lanes(lane);
}

static void dot_rows(float *y, const float *x, const float *from, int64_t row, const int32_t *rows, int64_t count, int64_t n)
{
    for (int64_t i = 0; i < count; i++) y[i] = dot(x, from + rows[i] * row, n);
}

static void axpy(float *y, float a, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] += a * x[i];
}

static void scale(float *x, float a, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] *= a;
}

static void scale_columns(float *x, const float *factor, int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) x[r * columns + c] *= factor[c];
}

static float maximum(const float *x, int64_t n)
{
    float top = -INFINITY;
    for (int64_t i = 0; i < n; i++) top = x[i] > top ? x[i] : top;
    return top;
}

static float sum(const float *x, int64_t n)
{
    float lane[LANES] = { 0 };
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++) lane[j] += x[i + j];
    for (int j = 0; i < n; i++, j++) lane[j] += x[i];
    return add_lanes(lane);
}

static void exp_all(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = expf(x[i]);
}

static float exp_sum(float *y, const float *x, float factor, float shift, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = expf(factor * x[i] - shift);
    return sum(y, n);
}

static void transpose(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t columns)
{
    enum { TILE = 16 };  /* both sides of a tile stay in the first-level cache */
    for (int64_t i0 = 0; i0 < rows; i0 += TILE)
        for (int64_t j0 = 0; j0 < columns; j0 += TILE) {
            const int64_t i1 = i0 + TILE < rows ? i0 + TILE : rows, j1 = j0 + TILE < columns ? j0 + TILE : columns;
            for (int64_t j = j0; j < j1; j++)
                for (int64_t i = i0; i < i1; i++) y[j * ldy + i] = x[i * ldx + j];
        }
}

void sq__vector_ref(sq_kernels *table)
{
    table->dot = dot;
    table->dot_rows = dot_rows;
    table->axpy = axpy;
    table->scale = scale;
    table->scale_columns = scale_columns;
    table->max = maximum;
    table->sum = sum;
    table->exp = exp_all;
    table->exp_sum = exp_sum;
    table->transpose = transpose;
}
