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

static inline void columns_of_backward(float *s, float *dp, int64_t rows, int64_t columns, const float *lse, const float *delta, float scale, int count)
{
    vec shift[4], mean[4];
    for (int j = 0; j < count; j++) {
        shift[j] = load(lse + j * LANES);
        mean[j] = load(delta + j * LANES);
    }
    for (int64_t r = 0; r < rows; r++)
        for (int j = 0; j < count; j++) {
            const int64_t at = r * columns + j * LANES;
            const vec p = exp2_of(sub(load(s + at), shift[j]));
            store(s + at, p);
            store(dp + at, mul(mul(p, all(scale)), sub(load(dp + at), mean[j])));
        }
}

static void softmax_tile_backward(float *s, float *dp, int64_t rows, int64_t columns, const float *lse, const float *delta, float scale)
{
    int64_t c = 0;
    for (; c + 4 * LANES <= columns; c += 4 * LANES) columns_of_backward(s + c, dp + c, rows, columns, lse + c, delta + c, scale, 4);
    for (; c + LANES <= columns; c += LANES) columns_of_backward(s + c, dp + c, rows, columns, lse + c, delta + c, scale, 1);
}

void SIMD_NAME(sq__softmax)(sq_kernels *table)
{
    table->softmax_tile = softmax_tile;
    table->softmax_tile_backward = softmax_tile_backward;
}
