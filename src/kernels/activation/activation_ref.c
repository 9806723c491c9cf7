/* Reference of the pointwise activations, on the C library's functions. */
#include <math.h>

#include "kernels/overlay.h"

static const float INV_SQRT2 = 0.70710678118654752f, INV_SQRT_2PI = 0.39894228040143268f;

static void gelu(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = 0.5f * x[i] * (1 + erff(x[i] * INV_SQRT2));
}

/* d(x Phi(x)) = Phi(x) + x phi(x) */
static void gelu_backward(float *dx, const float *dy, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        dx[i] = dy[i] * (0.5f * (1 + erff(x[i] * INV_SQRT2)) + x[i] * INV_SQRT_2PI * expf(-0.5f * x[i] * x[i]));
}

static void tanh_all(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = tanhf(x[i]);
}

static void sigmoid(float *y, const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) y[i] = 1 / (1 + expf(-x[i]));
}

void sq__activation_ref(sq_kernels *table)
{
    table->gelu = gelu;
    table->gelu_backward = gelu_backward;
    table->tanh = tanh_all;
    table->sigmoid = sigmoid;
}
