/* Where the queries of one head look: mean and variance of each density, forward and backward. */
#include <math.h>

#include "attention/engine/memory.h"

/* a = k' w for both maps: [2,D] */
static void project(const sq_memory_read *read, double *a)
{
    const int64_t D = read->D;
    for (int64_t d = 0; d < 2 * D; d++) a[d] = 0;
    for (int64_t j = 0; j < read->N; j++)
        for (int64_t d = 0; d < D; d++) {
            double k = (double)read->k[j * read->k_row + d];
            a[d] += (double)read->w_mu[j] * k;
            a[D + d] += (double)read->w_sigma[j] * k;
        }
}

static double softplus(double z)
{
    return z > 0 ? z + log1p(exp(-z)) : log1p(exp(z));
}

static double sigmoid(double z)
{
    return z > 0 ? 1 / (1 + exp(-z)) : exp(z) / (1 + exp(z));
}

void sq__memory_locate(const sq_memory_read *read, double *mu, double *sigma_sq, double *scratch)
{
    const int64_t D = read->D;
    const double scale = (double)read->scale;
    project(read, scratch);
    for (int64_t t = 0; t < read->T; t++) {
        const float *q = read->q + t * read->q_row;
        double z_mu = 0, z_sigma = 0;
        for (int64_t d = 0; d < D; d++) {
            z_mu += (double)q[d] * scratch[d];
            z_sigma += (double)q[d] * scratch[D + d];
        }
        mu[t] = sigmoid(scale * z_mu + read->b_mu);
        sigma_sq[t] = softplus(scale * z_sigma + read->b_sigma);
        if (sigma_sq[t] < read->sigma_min) sigma_sq[t] = read->sigma_min;
    }
}

/* sigmoid' = mu (1 - mu); softplus' = sigmoid(z) = 1 - exp(-sigma^2), and 0 where the smallest sigma^2 stands in. */
void sq__memory_locate_backward(const sq_memory_read *read, const double *mu, const double *sigma_sq, const double *dmu, const double *dsigma_sq,
                                const sq_memory_read_gradients *g, double *scratch)
{
    const int64_t D = read->D;
    const double scale = (double)read->scale;
    double *a = scratch, *da = scratch + 2 * D;
    project(read, a);
    for (int64_t d = 0; d < 2 * D; d++) da[d] = 0;
    for (int64_t t = 0; t < read->T; t++) {
        const float *q = read->q + t * read->q_row;
        float *dq = g->dq + t * g->dq_row;
        const double dz_mu = dmu[t] * mu[t] * (1 - mu[t]);
        const double dz_sigma = sigma_sq[t] > read->sigma_min ? -dsigma_sq[t] * expm1(-sigma_sq[t]) : 0;
        *g->db_mu += dz_mu;
        *g->db_sigma += dz_sigma;
        for (int64_t d = 0; d < D; d++) {
            dq[d] += (float)(scale * (dz_mu * a[d] + dz_sigma * a[D + d]));
            da[d] += scale * dz_mu * (double)q[d];
            da[D + d] += scale * dz_sigma * (double)q[d];
        }
    }
    for (int64_t j = 0; j < read->N; j++) {
        const float *k = read->k + j * read->k_row;
        float *dk = g->dk + j * g->dk_row;
        for (int64_t d = 0; d < D; d++) {
            dk[d] += (float)((double)read->w_mu[j] * da[d] + (double)read->w_sigma[j] * da[D + d]);
            g->dw_mu[j] += (double)k[d] * da[d];
            g->dw_sigma[j] += (double)k[d] * da[D + d];
        }
    }
}
