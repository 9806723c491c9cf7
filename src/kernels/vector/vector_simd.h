/* The vector slots for one width; included after simd/<isa>.h and simd/functions.h. Sums run in four vectors. */
#include <math.h>

#include "kernels/overlay.h"

static float dot(const float *x, const float *y, int64_t n)
{
    vec s[4] = { all(0), all(0), all(0), all(0) };
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++) s[j] = fma_add(load(x + i + j * LANES), load(y + i + j * LANES), s[j]);
    for (; i + LANES <= n; i += LANES) s[0] = fma_add(load(x + i), load(y + i), s[0]);
    if (i < n) s[1] = fma_add(load_part(x + i, n - i), load_part(y + i, n - i), s[1]);
    return sum_lanes(add(add(s[0], s[1]), add(s[2], s[3])));
}

/* Four rows at a time, so that their loads wait for memory together. */
static void dot_rows(float *y, const float *x, const float *from, int64_t row, const int32_t *rows, int64_t count, int64_t n)
{
    int64_t at = 0;
    for (; at + 4 <= count; at += 4) {
        const float *const a = from + rows[at] * row, *const b = from + rows[at + 1] * row, *const c = from + rows[at + 2] * row, *const d = from + rows[at + 3] * row;
        vec s[4] = { all(0), all(0), all(0), all(0) };
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            const vec part = load(x + i);
            s[0] = fma_add(part, load(a + i), s[0]);
            s[1] = fma_add(part, load(b + i), s[1]);
            s[2] = fma_add(part, load(c + i), s[2]);
            s[3] = fma_add(part, load(d + i), s[3]);
        }
        if (i < n) {
            const vec part = load_part(x + i, n - i);
            s[0] = fma_add(part, load_part(a + i, n - i), s[0]);
            s[1] = fma_add(part, load_part(b + i, n - i), s[1]);
            s[2] = fma_add(part, load_part(c + i, n - i), s[2]);
            s[3] = fma_add(part, load_part(d + i, n - i), s[3]);
        }
        store_four_sums(y + at, s);
    }
    for (; at < count; at++) y[at] = dot(x, from + rows[at] * row, n);
}

static void axpy(float *y, float a, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(y + i, fma_add(all(a), load(x + i), load(y + i)));
    if (i < n) store_part(y + i, n - i, fma_add(all(a), load_part(x + i, n - i), load_part(y + i, n - i)));
}

static void scale(float *x, float a, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(x + i, mul(all(a), load(x + i)));
    if (i < n) store_part(x + i, n - i, mul(all(a), load_part(x + i, n - i)));
}

static void scale_columns(float *x, const float *factor, int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < rows; r++, x += columns) {
        int64_t c = 0;
        for (; c + LANES <= columns; c += LANES) store(x + c, mul(load(x + c), load(factor + c)));
        if (c < columns) store_part(x + c, columns - c, mul(load_part(x + c, columns - c), load_part(factor + c, columns - c)));
    }
}

static float maximum(const float *x, int64_t n)
{
    vec s[4];
    int64_t i = 0;
    for (int j = 0; j < 4; j++) s[j] = all(-INFINITY);
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++) s[j] = larger(s[j], load(x + i + j * LANES));
    for (; i + LANES <= n; i += LANES) s[0] = larger(s[0], load(x + i));
    if (i < n) s[1] = larger(s[1], load_part_or(x + i, n - i, all(-INFINITY)));
    return max_lanes(larger(larger(s[0], s[1]), larger(s[2], s[3])));
}

static float sum(const float *x, int64_t n)
{
    vec s[4] = { all(0), all(0), all(0), all(0) };
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES)
        for (int j = 0; j < 4; j++) s[j] = add(s[j], load(x + i + j * LANES));
    for (; i + LANES <= n; i += LANES) s[0] = add(s[0], load(x + i));
    if (i < n) s[1] = add(s[1], load_part(x + i, n - i));
    return sum_lanes(add(add(s[0], s[1]), add(s[2], s[3])));
}

static void exp_all(float *y, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(y + i, exp_of(load(x + i)));
    if (i < n) store_part(y + i, n - i, exp_of(load_part(x + i, n - i)));
}

static float exp_sum(float *y, const float *x, float factor, float shift, int64_t n)
{
    vec s[2] = { all(0), all(0) };
    int64_t i = 0;
    for (int j = 0; i + LANES <= n; i += LANES, j ^= 1) {
        const vec e = exp_of(fma_add(all(factor), load(x + i), all(-shift)));
        store(y + i, e);
        s[j] = add(s[j], e);
    }
    if (i < n) {
        const vec e = exp_of(fma_add(all(factor), load_part_or(x + i, n - i, all(0)), all(-shift)));
        store_part(y + i, n - i, e);
        s[0] = add(s[0], load_part(y + i, n - i));
    }
    return sum_lanes(add(s[0], s[1]));
}

static void transpose(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t columns)
{
    for (int64_t i = 0; i < rows; i += LANES) {
        const int64_t height = rows - i < LANES ? rows - i : LANES;
        for (int64_t j = 0; j < columns; j += LANES) {
            const int64_t width = columns - j < LANES ? columns - j : LANES;
            vec block[LANES];
            if (height == LANES && width == LANES) {
                for (int r = 0; r < LANES; r++) block[r] = load(x + (i + r) * ldx + j);
                transpose_block(block);
                for (int r = 0; r < LANES; r++) store(y + (j + r) * ldy + i, block[r]);
                continue;
            }
            for (int r = 0; r < LANES; r++) {
                const float *row = x + (i + r) * ldx + j;
                block[r] = r >= height ? all(0) : width == LANES ? load(row) : load_part(row, width);
            }
            transpose_block(block);
            for (int r = 0; r < width; r++) {
                if (height == LANES) store(y + (j + r) * ldy + i, block[r]);
                else store_part(y + (j + r) * ldy + i, height, block[r]);
            }
        }
    }
}

void SIMD_NAME(sq__vector)(sq_kernels *table)
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
