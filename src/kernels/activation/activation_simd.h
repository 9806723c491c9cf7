/* Pointwise activations for one width. */
#include "kernels/overlay.h"

/* Phi(x) = erfc(-x / sqrt 2) / 2, from the side where nothing cancels; e = exp(-x^2 / 2) */
static inline vec normal_cdf(vec x, vec e)
{
    const vec tail = mul(all(0.5f), erfc_of(mul(magnitude(x), all(0.70710678f)), e));
    return choose(below(x, all(0)), tail, sub(all(1), tail));
}

static inline vec bell(vec x) { return exp_of(mul(mul(x, x), all(-0.5f))); }

static inline vec gelu_of(vec x) { return mul(x, normal_cdf(x, bell(x))); }

static inline vec gelu_slope(vec x)
{
    const vec e = bell(x);
    return fma_add(mul(x, all(0.39894228f)), e, normal_cdf(x, e));
}

static inline vec sigmoid_of(vec x) { return divide(all(1), add(all(1), exp_of(sub(all(0), x)))); }

/* y = f(x) over n floats */
static inline void map(float *y, const float *x, int64_t n, vec (*f)(vec))
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(y + i, f(load(x + i)));
    if (i < n) store_part(y + i, n - i, f(load_part(x + i, n - i)));
}

static void gelu(float *y, const float *x, int64_t n) { map(y, x, n, gelu_of); }
static void tanh_all(float *y, const float *x, int64_t n) { map(y, x, n, tanh_of); }
static void sigmoid(float *y, const float *x, int64_t n) { map(y, x, n, sigmoid_of); }

static void gelu_backward(float *dx, const float *dy, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) store(dx + i, mul(load(dy + i), gelu_slope(load(x + i))));
    if (i < n) store_part(dx + i, n - i, mul(load_part(dy + i, n - i), gelu_slope(load_part(x + i, n - i))));
}

void SIMD_NAME(sq__activation)(sq_kernels *table)
{
    table->gelu = gelu;
    table->gelu_backward = gelu_backward;
    table->tanh = tanh_all;
    table->sigmoid = sigmoid;
}
