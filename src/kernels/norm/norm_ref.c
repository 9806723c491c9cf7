/* Reference of layer normalisation, arXiv:1607.06450, and its backward. */
#include <math.h>

#include "kernels/overlay.h"

static void layer_norm(float *y, float *mean, float *rstd, const float *x, const float *weight, const float *bias, float eps,
                       int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += n, y += n) {
        double total = 0, square = 0;
        for (int64_t i = 0; i < n; i++) total += x[i];
        const float m = (float)(total / (double)n);
        for (int64_t i = 0; i < n; i++) square += (double)(x[i] - m) * (x[i] - m);
        const float s = (float)(1 / sqrt(square / (double)n + eps));
        for (int64_t i = 0; i < n; i++) y[i] = (x[i] - m) * s * weight[i] + bias[i];
        mean[r] = m;
        rstd[r] = s;
    }
}

/* with xh = (x - mean) rstd and g = dy weight: dx = rstd (g - mean(g) - xh mean(g xh)) */
static void layer_norm_backward(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *mean,
                                const float *rstd, const float *weight, int64_t rows, int64_t n)
{
    for (int64_t r = 0; r < rows; r++, x += n, dx += n, dy += n) {
        const float m = mean[r], s = rstd[r];
        double g_sum = 0, gx_sum = 0;
        for (int64_t i = 0; i < n; i++) {
            const float xh = (x[i] - m) * s, g = dy[i] * weight[i];
            g_sum += g;
            gx_sum += (double)g * xh;
            dweight[i] += dy[i] * xh;
            dbias[i] += dy[i];
        }
        const float g_mean = (float)(g_sum / (double)n), gx_mean = (float)(gx_sum / (double)n);
        for (int64_t i = 0; i < n; i++) dx[i] = s * (dy[i] * weight[i] - g_mean - (x[i] - m) * s * gx_mean);
    }
}

void sq__norm_ref(sq_kernels *table)
{
    table->layer_norm = layer_norm;
    table->layer_norm_backward = layer_norm_backward;
}
