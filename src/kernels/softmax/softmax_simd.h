/* Tiles of a running softmax for one width: a lane per query, so that maxima and sums never cross lanes. */
#include <math.h>

#include "kernels/overlay.h"

/* `count` vectors of neighbouring columns together: enough independent chains to hide latency. */
static inline int columns_of_tile(float *s, int64_t rows, int64_t columns, float *max, float *sum, float *factor, int count)
{
    vec top[4], total[4];
    int changed = 0;

    for (int j = 0; j < count; j++) top[j] = load(max + j * LANES);
    for (int64_t r = 0; r < rows; r++)
        for (int j = 0; j < count; j++) top[j] = larger(top[j], load(s + r * columns + j * LANES));
    for (int j = 0; j < count; j++) {
        const vec shift = choose(equal(top[j], all(-INFINITY)), all(0), top[j]);   /* keeps -inf - -inf out of the exponent */
        const vec f = exp2_of(sub(load(max + j * LANES), shift));
        store(max + j * LANES, top[j]);
        store(factor + j * LANES, f);
        changed |= any(differ(f, all(1)));
        top[j] = shift;
        total[j] = all(0);
    }
    for (int64_t r = 0; r < rows; r++)
        for (int j = 0; j < count; j++) {
            float *at = s + r * columns + j * LANES;
            const vec p = exp2_of(sub(load(at), top[j]));
            store(at, p);
            total[j] = add(total[j], p);
        }
    for (int j = 0; j < count; j++) store(sum + j * LANES, fma_add(load(sum + j * LANES), load(factor + j * LANES), total[j]));
    return changed;
}

static bool softmax_tile(float *s, int64_t rows, int64_t columns, float *max, float *sum, float *factor)
{
    int changed = 0;
    int64_t c = 0;
    for (; c + 4 * LANES <= columns; c += 4 * LANES) changed |= columns_of_tile(s + c, rows, columns, max + c, sum + c, factor + c, 4);
    for (; c + LANES <= columns; c += LANES) changed |= columns_of_tile(s + c, rows, columns, max + c, sum + c, factor + c, 1);
    return changed;
}

/* apart: the log-sum is subtracted on its own. A constant at every call, so that the usual case pays nothing. */
static inline void columns_of_backward(float *s, float *dp, int64_t rows, int64_t columns, const float *max, const float *log_sum, const float *delta,
                                       float scale, int count, bool apart)
{
    vec shift[4], rest[4], mean[4];
    for (int j = 0; j < count; j++) {
        shift[j] = load(max + j * LANES);
        rest[j] = apart ? load(log_sum + j * LANES) : all(0);
        mean[j] = load(delta + j * LANES);
    }
    for (int64_t r = 0; r < rows; r++)
        for (int j = 0; j < count; j++) {
            const int64_t at = r * columns + j * LANES;
            const vec below_max = sub(load(s + at), shift[j]), p = exp2_of(apart ? sub(below_max, rest[j]) : below_max);
            store(s + at, p);
            store(dp + at, mul(mul(p, all(scale)), sub(load(dp + at), mean[j])));
        }
}

static void backward_joined(float *s, float *dp, int64_t rows, int64_t columns, const float *max, const float *delta, float scale)
{
    int64_t c = 0;
    for (; c + 4 * LANES <= columns; c += 4 * LANES) columns_of_backward(s + c, dp + c, rows, columns, max + c, NULL, delta + c, scale, 4, false);
    for (; c + LANES <= columns; c += LANES) columns_of_backward(s + c, dp + c, rows, columns, max + c, NULL, delta + c, scale, 1, false);
}

static void softmax_tile_backward(float *s, float *dp, int64_t rows, int64_t columns, const float *max, const float *log_sum, const float *delta,
                                  float scale)
{
    if (!log_sum) {
        backward_joined(s, dp, rows, columns, max, delta, scale);
        return;
    }
    int64_t c = 0;
    for (; c + 4 * LANES <= columns; c += 4 * LANES)
        columns_of_backward(s + c, dp + c, rows, columns, max + c, log_sum + c, delta + c, scale, 4, true);
    for (; c + LANES <= columns; c += LANES) columns_of_backward(s + c, dp + c, rows, columns, max + c, log_sum + c, delta + c, scale, 1, true);
}

static void softmax_tile_delta(const float *s, const float *dp, int64_t rows, int64_t columns, const float *max, const float *log_sum, float *delta)
{
    for (int64_t c = 0; c + LANES <= columns; c += LANES) {
        const vec shift = load(max + c), rest = load(log_sum + c);
        vec total = load(delta + c);
        for (int64_t r = 0; r < rows; r++)
            total = fma_add(exp2_of(sub(sub(load(s + r * columns + c), shift), rest)), load(dp + r * columns + c), total);
        store(delta + c, total);
    }
}

/* Plain loops: the compiler makes vectors of them with this file's flags. */
static void hide_outside(float *restrict s, int32_t place, const int32_t *restrict low, const int32_t *restrict high, int64_t columns)
{
    for (int64_t c = 0; c < columns; c++) {
        const int seen = (low[c] <= place) & (place < high[c]);
        s[c] = seen ? s[c] : -INFINITY;
    }
}

static void add_or_hide(float *restrict s, const float *restrict addend, float factor, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float moved = s[i] + factor * addend[i];
        s[i] = addend[i] == -INFINITY ? -INFINITY : moved;
    }
}

void SIMD_NAME(sq__softmax)(sq_kernels *table)
{
    table->softmax_tile = softmax_tile;
    table->softmax_tile_backward = softmax_tile_backward;
    table->softmax_tile_delta = softmax_tile_delta;
    table->hide_outside = hide_outside;
    table->add_or_hide = add_or_hide;
}
