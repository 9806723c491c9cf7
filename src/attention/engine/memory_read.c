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

enum { TOGETHER = 4 };   /* rows whose sums run side by side: one alone would wait for each addition */

/* z[r] = (q_r . a_mu, q_r . a_sigma) for rows r < TOGETHER, in float64: the densities are narrow */
static void scores(const float *const *q, const double *a, int64_t D, double z[TOGETHER][2])
{
    double z0[TOGETHER] = { 0 }, z1[TOGETHER] = { 0 };
    for (int64_t d = 0; d < D; d++)
        for (int r = 0; r < TOGETHER; r++) {
            z0[r] += (double)q[r][d] * a[d];
            z1[r] += (double)q[r][d] * a[D + d];
        }
    for (int r = 0; r < TOGETHER; r++) {
        z[r][0] = z0[r];
        z[r][1] = z1[r];
    }
}

void sq__memory_locate(const sq_memory_read *read, double *mu, double *sigma_sq, double *scratch)
{
    const double scale = (double)read->scale;
    project(read, scratch);
    for (int64_t from = 0; from < read->T; from += TOGETHER) {
        const float *q[TOGETHER];
        double z[TOGETHER][2];
        for (int64_t r = 0; r < TOGETHER; r++) q[r] = read->q + (from + r < read->T ? from + r : read->T - 1) * read->q_row;
        scores(q, scratch, read->D, z);
        for (int64_t t = from; t < from + TOGETHER && t < read->T; t++) {
            mu[t] = sigmoid(scale * z[t - from][0] + read->b_mu);
            sigma_sq[t] = softplus(scale * z[t - from][1] + read->b_sigma);
            if (sigma_sq[t] < read->sigma_min) sigma_sq[t] = read->sigma_min;
        }
    }
}

/* sigmoid' = mu (1 - mu); softplus' = sigmoid(z) = 1 - exp(-sigma^2), and 0 where the smallest sigma^2 stands in. */
void sq__memory_locate_backward(const sq_memory_read *read, const double *mu, const double *sigma_sq, const double *dmu, const double *dsigma_sq,
                                const sq_memory_read_gradients *g, double *scratch, const sq_kernels *kernels)
{
    const int64_t D = read->D;
    float *a_mu = (float *)(scratch + 2 * D), *a_sigma = a_mu + D, *da_mu = a_sigma + D, *da_sigma = da_mu + D;
    project(read, scratch);
    for (int64_t d = 0; d < 2 * D; d++) {
        a_mu[d] = (float)scratch[d];
        da_mu[d] = 0;
    }
    for (int64_t t = 0; t < read->T; t++) {
        const float *q = read->q + t * read->q_row;
        float *dq = g->dq + t * g->dq_row;
        const double dz_mu = dmu[t] * mu[t] * (1 - mu[t]);
        const double dz_sigma = sigma_sq[t] > read->sigma_min ? -dsigma_sq[t] * expm1(-sigma_sq[t]) : 0;
        const float by_mu = (float)((double)read->scale * dz_mu), by_sigma = (float)((double)read->scale * dz_sigma);
        *g->db_mu += dz_mu;
        *g->db_sigma += dz_sigma;
        kernels->axpy(dq, by_mu, a_mu, D);
        kernels->axpy(dq, by_sigma, a_sigma, D);
        kernels->axpy(da_mu, by_mu, q, D);
        kernels->axpy(da_sigma, by_sigma, q, D);
    }
    for (int64_t j = 0; j < read->N; j++) {
        kernels->axpy(g->dk + j * g->dk_row, read->w_mu[j], da_mu, D);
        kernels->axpy(g->dk + j * g->dk_row, read->w_sigma[j], da_sigma, D);
        g->dw_mu[j] += (double)kernels->dot(read->k + j * read->k_row, da_mu, D);
        g->dw_sigma[j] += (double)kernels->dot(read->k + j * read->k_row, da_sigma, D);
    }
}
