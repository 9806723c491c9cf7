#include "autograd/activation.h"

#include <math.h>

#include "autograd/node.h"

enum { PIECE = 256 };   /* of temporary values on the stack */

/* ---- through vector kernels ---- */

static void gelu(float *y, const float *x, int64_t n) { sq__kernels()->gelu(y, x, n); }
static void gelu_slope(float *dx, const float *dy, const float *x, int64_t n) { sq__kernels()->gelu_backward(dx, dy, x, n); }
static void sigmoid(float *y, const float *x, int64_t n) { sq__kernels()->sigmoid(y, x, n); }
static void hyperbolic(float *y, const float *x, int64_t n) { sq__kernels()->tanh(y, x, n); }

static void sigmoid_slope(float *dx, const float *dy, const float *x, int64_t n)
{
    float s[PIECE];
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t m = sq__least(PIECE, n - at);
        sq__kernels()->sigmoid(s, x + at, m);
        for (int64_t i = 0; i < m; i++) dx[at + i] = dy[at + i] * s[i] * (1 - s[i]);
    }
}

static void hyperbolic_slope(float *dx, const float *dy, const float *x, int64_t n)
{
    float t[PIECE];
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t m = sq__least(PIECE, n - at);
        sq__kernels()->tanh(t, x + at, m);
        for (int64_t i = 0; i < m; i++) dx[at + i] = dy[at + i] * (1 - t[i] * t[i]);
    }
}

/* x sigmoid(a x): a = 1 is silu, a = 1.702 quick_gelu */
static void swish(float *y, const float *x, int64_t n, float a)
{
    float s[PIECE];
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t m = sq__least(PIECE, n - at);
        for (int64_t i = 0; i < m; i++) s[i] = a * x[at + i];
        sq__kernels()->sigmoid(s, s, m);
        for (int64_t i = 0; i < m; i++) y[at + i] = x[at + i] * s[i];
    }
}

static void swish_slope(float *dx, const float *dy, const float *x, int64_t n, float a)
{
    float s[PIECE];
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t m = sq__least(PIECE, n - at);
        for (int64_t i = 0; i < m; i++) s[i] = a * x[at + i];
        sq__kernels()->sigmoid(s, s, m);
        for (int64_t i = 0; i < m; i++) dx[at + i] = dy[at + i] * s[i] * (1 + a * x[at + i] * (1 - s[i]));
    }
}

/* max(x, 0) + log(1 + e), e = exp(-|x|): with s = e / (2 + e) <= 1/3 the logarithm is 2 (s + s^3/3 + s^5/5 + ...), here to s^15. */
static void softplus(float *y, const float *x, int64_t n)
{
    float e[PIECE];
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t m = sq__least(PIECE, n - at);
        for (int64_t i = 0; i < m; i++) e[i] = -fabsf(x[at + i]);
        sq__kernels()->exp(e, e, m);
#pragma omp simd
        for (int64_t i = 0; i < m; i++) {
            const float s = e[i] / (2 + e[i]), z = s * s;
            const float tail = z * (1.0f / 3 + z * (1.0f / 5 + z * (1.0f / 7 + z * (1.0f / 9 + z * (1.0f / 11 + z * (1.0f / 13 + z / 15))))));
            y[at + i] = (x[at + i] > 0 ? x[at + i] : 0) + 2 * (s + s * tail);
        }
    }
}

static void softplus_slope(float *dx, const float *dy, const float *x, int64_t n)
{
    float s[PIECE];
    for (int64_t at = 0; at < n; at += PIECE) {
        int64_t m = sq__least(PIECE, n - at);
        sq__kernels()->sigmoid(s, x + at, m);
        for (int64_t i = 0; i < m; i++) dx[at + i] = dy[at + i] * s[i];
    }
}

static void silu(float *y, const float *x, int64_t n) { swish(y, x, n, 1); }
static void silu_slope(float *dx, const float *dy, const float *x, int64_t n) { swish_slope(dx, dy, x, n, 1); }
static void quick_gelu(float *y, const float *x, int64_t n) { swish(y, x, n, 1.702f); }
static void quick_gelu_slope(float *dx, const float *dy, const float *x, int64_t n) { swish_slope(dx, dy, x, n, 1.702f); }

/* ---- one element at a time ---- */

#define EACH(name, value, slope)                                                             \
    static void name(float *y, const float *x, int64_t n)                                    \
    {                                                                                        \
        for (int64_t i = 0; i < n; i++) y[i] = value(x[i]);                                  \
    }                                                                                        \
    static void name##_slope(float *dx, const float *dy, const float *x, int64_t n)          \
    {                                                                                        \
        for (int64_t i = 0; i < n; i++) dx[i] = dy[i] * slope(x[i]);                         \
    }

static inline float identity_value(float x) { return x; }
static inline float identity_derivative(float x) { (void)x; return 1; }
static inline float relu_value(float x) { return x > 0 ? x : 0; }
static inline float relu_derivative(float x) { return x > 0 ? 1 : 0; }
static inline float leaky_value(float x) { return x > 0 ? x : 0.01f * x; }
static inline float leaky_derivative(float x) { return x > 0 ? 1 : 0.01f; }
static inline float elu_value(float x) { return x > 0 ? x : expm1f(x); }
static inline float elu_derivative(float x) { return x > 0 ? 1 : expf(x); }
static inline float elu_plus_one_value(float x) { return x > 0 ? x + 1 : expf(x); }
static inline float logistic(float x) { return 1 / (1 + expf(-x)); }
static inline float softplus_value(float x) { return x > 20 ? x : log1pf(expf(x)); }
static inline float softplus_derivative(float x) { return x > 20 ? 1 : logistic(x); }
static inline float softsign_value(float x) { return x / (1 + fabsf(x)); }
static inline float softsign_derivative(float x) { return 1 / ((1 + fabsf(x)) * (1 + fabsf(x))); }
static inline float hardswish_value(float x) { return x <= -3 ? 0 : x >= 3 ? x : x * (x + 3) / 6; }
static inline float hardswish_derivative(float x) { return x <= -3 ? 0 : x >= 3 ? 1 : (2 * x + 3) / 6; }
static inline float mish_value(float x) { return x * tanhf(softplus_value(x)); }

static inline float mish_derivative(float x)
{
    float t = tanhf(softplus_value(x));
    return t + x * (1 - t * t) * softplus_derivative(x);
}

/* 0.5 x (1 + tanh u), u = sqrt(2/pi) (x + 0.044715 x^3) */
static inline float gelu_tanh_inner(float x) { return 0.7978845608f * (x + 0.044715f * x * x * x); }
static inline float gelu_tanh_value(float x) { return 0.5f * x * (1 + tanhf(gelu_tanh_inner(x))); }

static inline float gelu_tanh_derivative(float x)
{
    float t = tanhf(gelu_tanh_inner(x));
    return 0.5f * (1 + t) + 0.5f * x * (1 - t * t) * 0.7978845608f * (1 + 3 * 0.044715f * x * x);
}

EACH(identity, identity_value, identity_derivative)
EACH(relu, relu_value, relu_derivative)
EACH(leaky_relu, leaky_value, leaky_derivative)
EACH(elu, elu_value, elu_derivative)
EACH(elu_plus_one, elu_plus_one_value, elu_derivative)
EACH(softsign, softsign_value, softsign_derivative)
EACH(hardswish, hardswish_value, hardswish_derivative)
EACH(mish, mish_value, mish_derivative)
EACH(gelu_tanh, gelu_tanh_value, gelu_tanh_derivative)

static const struct {
    const char *name;
    void (*forward)(float *y, const float *x, int64_t n);
    void (*backward)(float *dx, const float *dy, const float *x, int64_t n);
} activations[SQ_ACTIVATION_COUNT] = {
    [SQ_IDENTITY] = { "identity", identity, identity_slope },
    [SQ_RELU] = { "relu", relu, relu_slope },
    [SQ_GELU] = { "gelu", gelu, gelu_slope },
    [SQ_GELU_TANH] = { "gelu_tanh", gelu_tanh, gelu_tanh_slope },
    [SQ_QUICK_GELU] = { "quick_gelu", quick_gelu, quick_gelu_slope },
    [SQ_SIGMOID] = { "sigmoid", sigmoid, sigmoid_slope },
    [SQ_TANH] = { "tanh", hyperbolic, hyperbolic_slope },
    [SQ_SILU] = { "silu", silu, silu_slope },
    [SQ_ELU] = { "elu", elu, elu_slope },
    [SQ_SOFTPLUS] = { "softplus", softplus, softplus_slope },
    [SQ_LEAKY_RELU] = { "leaky_relu", leaky_relu, leaky_relu_slope },
    [SQ_ELU_PLUS_ONE] = { "elu_plus_one", elu_plus_one, elu_plus_one_slope },
    [SQ_MISH] = { "mish", mish, mish_slope },
    [SQ_SOFTSIGN] = { "softsign", softsign, softsign_slope },
    [SQ_HARDSWISH] = { "hardswish", hardswish, hardswish_slope },
};

const char *sq__activation_name(sq_activation activation) { return activations[activation].name; }

void sq__activation_forward(sq_activation activation, float *y, const float *x, int64_t n)
{
    activations[activation].forward(y, x, n);
}

void sq__activation_backward(sq_activation activation, float *dx, const float *dy, const float *x, int64_t n)
{
    activations[activation].backward(dx, dy, x, n);
}
