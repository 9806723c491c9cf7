/* Reference of the softmax tiles: the running maximum and sum of Milakov and Gimelshein, arXiv:1805.02867, a column per query. */
#include <math.h>

#include "kernels/overlay.h"

static bool softmax_tile(float *s, int64_t rows, int64_t columns, float *max, float *sum, float *factor)
{
    bool changed = false;

    for (int64_t c = 0; c < columns; c++) {
        float top = max[c], total = 0;
        for (int64_t r = 0; r < rows; r++) top = s[r * columns + c] > top ? s[r * columns + c] : top;
        const float shift = top == -INFINITY ? 0 : top;   /* keeps -inf - -inf out of the exponent */
        for (int64_t r = 0; r < rows; r++) {
            float *p = s + r * columns + c;
            *p = exp2f(*p - shift);
            total += *p;
        }
        factor[c] = exp2f(max[c] - shift);
        sum[c] = sum[c] * factor[c] + total;
        max[c] = top;
        changed |= factor[c] != 1;
    }
    return changed;
}

static void softmax_tile_backward(float *s, float *dp, int64_t rows, int64_t columns, const float *max, const float *log_sum, const float *delta,
                                  float scale)
{
    for (int64_t r = 0; r < rows; r++, s += columns, dp += columns)
        for (int64_t c = 0; c < columns; c++) {
            s[c] = exp2f(s[c] - max[c] - (log_sum ? log_sum[c] : 0));
            dp[c] = s[c] * (dp[c] - delta[c]) * scale;
        }
}

static void softmax_tile_delta(const float *s, const float *dp, int64_t rows, int64_t columns, const float *max, const float *log_sum, float *delta)
{
    for (int64_t r = 0; r < rows; r++, s += columns, dp += columns)
        for (int64_t c = 0; c < columns; c++) delta[c] += exp2f(s[c] - max[c] - log_sum[c]) * dp[c];
}

static void hide_outside(float *s, int32_t place, const int32_t *low, const int32_t *high, int64_t columns)
{
    for (int64_t c = 0; c < columns; c++) s[c] = low[c] <= place && place < high[c] ? s[c] : -INFINITY;
}

static void add_or_hide(float *s, const float *add, float factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++) s[i] = add[i] == -INFINITY ? -INFINITY : s[i] + factor * add[i];
}

void sq__softmax_ref(sq_kernels *table)
{
    table->softmax_tile = softmax_tile;
    table->softmax_tile_backward = softmax_tile_backward;
    table->softmax_tile_delta = softmax_tile_delta;
    table->hide_outside = hide_outside;
    table->add_or_hide = add_or_hide;
}
