/* Layer normalisation for one width; see norm_ref.c for the formulas. */
#include <math.h>

#include "kernels/overlay.h"

static float row_sum(const float *x, int64_t n)
{
    vec s[2] = { all(0), all(0) };
    int64_t i = 0;
    for (; i + 2 * LANES <= n; i += 2 * LANES) {
        s[0] = add(s[0], load(x + i));
        s[1] = add(s[1], load(x + i + LANES));
    }
    for (; i < n; i += LANES) s[0] = add(s[0], i + LANES <= n ? load(x + i) : load_part(x + i, n - i));
    return sum_lanes(add(s[0], s[1]));
}

static float row_square_sum(const float *x, float mean, int64_t n)
{
    vec s = all(0);
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        const vec d = sub(load(x + i), all(mean));
        s = fma_add(d, d, s);
    }
    if (i < n) {
        const vec d = sub(load_part_or(x + i, n - i, all(mean)), all(mean));
        s = fma_add(d, d, s);
    }
    return sum_lanes(s);
}

static void layer_norm(float *y, float *mean, float *rstd, const float *x, const float *weight, const float *bias, float eps,
                       int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {
        const float m = row_sum(x, n) / (float)n, s = 1 / sqrtf(row_square_sum(x, m, n) / (float)n + eps);
        int64_t i = 0;
        for (; i + LANES <= n; i += LANES) {
            const vec xh = mul(sub(load(x + i), all(m)), all(s));
            store(y + i, fma_add(xh, load(weight + i), load(bias + i)));
        }
        if (i < n) {
            const vec xh = mul(sub(load_part(x + i, n - i), all(m)), all(s));
            store_part(y + i, n - i, fma_add(xh, load_part(weight + i, n - i), load_part(bias + i, n - i)));
        }
        mean[r] = m;
        rstd[r] = s;
    }
}

/* One step of the two passes of the backward, on whole vectors or the last n floats (partial lanes hold zeros). */
typedef struct step { vec dy, xh, g; } step;
static inline step at(const float *dy, const float *x, const float *weight, float m, float s, int64_t i, int64_t n)
{
    const int64_t left = n - i;
    const int whole = left >= LANES;
    const vec d = whole ? load(dy + i) : load_part(dy + i, left), w = whole ? load(weight + i) : load_part(weight + i, left);
    const vec v = whole ? load(x + i) : load_part_or(x + i, left, all(m));
    return (step){ d, mul(sub(v, all(m)), all(s)), mul(d, w) };
}

static inline void add_to(float *y, vec a, int64_t left)
{
    if (left >= LANES) store(y, add(load(y), a));
    else store_part(y, left, add(load_part(y, left), a));
}

static void layer_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *mean,
                                const float *rstd, const float *weight, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += n, dx += n, dy += n) {
        const float m = mean[r], s = rstd[r];
        vec g_sum = all(0), gx_sum = all(0);
        for (int64_t i = 0; i < n; i += LANES) {
            const step t = at(dy, x, weight, m, s, i, n);
            g_sum = add(g_sum, t.g);
            gx_sum = fma_add(t.g, t.xh, gx_sum);
            add_to(dweight + i, mul(t.dy, t.xh), n - i);
            add_to(dbias + i, t.dy, n - i);
        }
        const vec g_mean = all(sum_lanes(g_sum) / (float)n), gx_mean = all(sum_lanes(gx_sum) / (float)n);
        for (int64_t i = 0; i < n; i += LANES) {
            const step t = at(dy, x, weight, m, s, i, n);
            const vec d = mul(all(s), fma_sub_from(t.xh, gx_mean, sub(t.g, g_mean)));
            if (n - i >= LANES) store(dx + i, d);
            else store_part(dx + i, n - i, d);
        }
    }
}

void SIMD_NAME(sq__norm)(sq_kernels *table)
{
    table->layer_norm = layer_norm;
    table->layer_norm_backward = layer_norm_backward;
}
