/* Expectation of the basis functions under a density with mean mu and variance sigma^2, and its derivatives in closed form.
 *
 * Gaussian:  r_j = phi(d/w)/w,  d = mu - mu_j,  w^2 = s_j^2 + sigma^2
 *            dr/dmu = -r d/w^2      dr/dsigma^2 = r (d^2/w^2 - 1)/(2 w^2)
 * Sparsemax: p(t) = (a^2 - (t-mu)^2)/(2 sigma^2) on [mu-a, mu+a],  a^3 = 3 sigma^2/2  (arXiv:2006.07214)
 *            with u = (t - mu_j)/s_j and the moments m_k = int u^k phi(u) du over the support, t - mu = s_j u - d:
 *            r_j = int p psi_j,  dr/dmu = int (t-mu)/sigma^2 psi_j,  dr/dsigma^2 = int ((t-mu)^2 - a^2/3)/(2 sigma^4) psi_j
 */
#include <math.h>

#include "attention/engine/memory.h"

static const double inv_sqrt_2pi = 0.39894228040143267794;

static void gaussian(const sq_memory_basis *basis, const double *mu, const double *sigma_sq, int64_t T, float *r, const sq_kernels *kernels)
{
    const int64_t N = basis->N;
    const double spacing = N > 2 ? 1.0 / (double)(N / 2 - 1) : 0;
    for (int64_t t = 0; t < T; t++) {
        const float narrow = (float)(-0.5 / (basis->narrow * basis->narrow + sigma_sq[t]));
        const float wide = (float)(-0.5 / (basis->wide * basis->wide + sigma_sq[t]));
        for (int64_t c = 0; c < N / 2; c++) {
            float d = (float)(mu[t] - (double)c * spacing);
            r[t * N + 2 * c] = narrow * d * d;
            r[t * N + 2 * c + 1] = wide * d * d;
        }
    }
    kernels->exp(r, r, T * N);
    for (int64_t t = 0; t < T; t++) {
        const float narrow = (float)(inv_sqrt_2pi / sqrt(basis->narrow * basis->narrow + sigma_sq[t]));
        const float wide = (float)(inv_sqrt_2pi / sqrt(basis->wide * basis->wide + sigma_sq[t]));
        for (int64_t c = 0; c < N / 2; c++) {
            r[t * N + 2 * c] *= narrow;
            r[t * N + 2 * c + 1] *= wide;
        }
    }
}

static void gaussian_backward(const sq_memory_basis *basis, const double *mu, const double *sigma_sq, int64_t T, const float *r, const float *dr,
                              double *dmu, double *dsigma_sq)
{
    const int64_t N = basis->N;
    const double spacing = N > 2 ? 1.0 / (double)(N / 2 - 1) : 0;
    for (int64_t t = 0; t < T; t++) {
        double first[2] = { 0, 0 }, second[2] = { 0, 0 }, zeroth[2] = { 0, 0 };   /* sum dr r d^k, per width */
        for (int64_t j = 0; j < N; j++) {
            double d = mu[t] - (double)(j / 2) * spacing, weight = (double)dr[t * N + j] * (double)r[t * N + j];
            zeroth[j % 2] += weight;
            first[j % 2] += weight * d;
            second[j % 2] += weight * d * d;
        }
        const double narrow = 1.0 / (basis->narrow * basis->narrow + sigma_sq[t]), wide = 1.0 / (basis->wide * basis->wide + sigma_sq[t]);
        dmu[t] = -first[0] * narrow - first[1] * wide;
        dsigma_sq[t] = 0.5 * narrow * (second[0] * narrow - zeroth[0]) + 0.5 * wide * (second[1] * wide - zeroth[1]);
    }
}

/* Moments 0, 1, 2 of (t - mu) psi_j over [mu-a, mu+a]. */
static void moments(double mu, double a, double centre, double s, double m[3])
{
    const double d = mu - centre, low = (-a + d) / s, high = (a + d) / s;
    const double phi_low = inv_sqrt_2pi * exp(-0.5 * low * low), phi_high = inv_sqrt_2pi * exp(-0.5 * high * high);
    const double u0 = 0.5 * (erf(high * M_SQRT1_2) - erf(low * M_SQRT1_2)), u1 = phi_low - phi_high, u2 = u0 + low * phi_low - high * phi_high;
    m[0] = u0;
    m[1] = s * u1 - d * u0;
    m[2] = s * s * u2 - 2 * s * d * u1 + d * d * u0;
}

static void sparsemax(const sq_memory_basis *basis, const double *mu, const double *sigma_sq, int64_t T, float *r)
{
    for (int64_t t = 0; t < T; t++) {
        const double a = cbrt(1.5 * sigma_sq[t]);
        for (int64_t j = 0; j < basis->N; j++) {
            double m[3];
            moments(mu[t], a, sq__memory_centre(basis, j), sq__memory_width(basis, j), m);
            r[t * basis->N + j] = (float)((a * a * m[0] - m[2]) / (2 * sigma_sq[t]));
        }
    }
}

static void sparsemax_backward(const sq_memory_basis *basis, const double *mu, const double *sigma_sq, int64_t T, const float *dr, double *dmu,
                               double *dsigma_sq)
{
    for (int64_t t = 0; t < T; t++) {
        const double variance = sigma_sq[t], a = cbrt(1.5 * variance);
        dmu[t] = dsigma_sq[t] = 0;
        for (int64_t j = 0; j < basis->N; j++) {
            double m[3];
            moments(mu[t], a, sq__memory_centre(basis, j), sq__memory_width(basis, j), m);
            dmu[t] += (double)dr[t * basis->N + j] * m[1] / variance;
            dsigma_sq[t] += (double)dr[t * basis->N + j] * (m[2] - a * a / 3 * m[0]) / (2 * variance * variance);
        }
    }
}

void sq__memory_expect(const sq_memory_basis *basis, sq_memory_density density, const double *mu, const double *sigma_sq, int64_t T, float *r,
                       const sq_kernels *kernels)
{
    if (basis->rectangular) sq__memory_rectangle_expect(basis->N, density, mu, sigma_sq, T, r);
    else if (density == SQ_MEMORY_GAUSSIAN) gaussian(basis, mu, sigma_sq, T, r, kernels);
    else sparsemax(basis, mu, sigma_sq, T, r);
}

void sq__memory_expect_backward(const sq_memory_basis *basis, sq_memory_density density, const double *mu, const double *sigma_sq, int64_t T,
                                const float *r, const float *dr, double *dmu, double *dsigma_sq)
{
    if (basis->rectangular) sq__memory_rectangle_expect_backward(basis->N, density, mu, sigma_sq, T, dr, dmu, dsigma_sq);
    else if (density == SQ_MEMORY_GAUSSIAN) gaussian_backward(basis, mu, sigma_sq, T, r, dr, dmu, dsigma_sq);
    else sparsemax_backward(basis, mu, sigma_sq, T, dr, dmu, dsigma_sq);
}

double sq__memory_kl(const sq_memory_prior *prior, double mu, double sigma_sq)
{
    const double ratio = sigma_sq / (prior->sigma0 * prior->sigma0), away = (mu - prior->mu0) / prior->sigma0;
    return 0.5 * (ratio - log(ratio) - 1) + (prior->mean ? 0.5 * away * away : 0);
}

void sq__memory_kl_backward(const sq_memory_prior *prior, double mu, double sigma_sq, double weight, double *dmu, double *dsigma_sq)
{
    const double precision = 1 / (prior->sigma0 * prior->sigma0);
    *dsigma_sq += weight * 0.5 * (precision - 1 / sigma_sq);
    if (prior->mean) *dmu += weight * (mu - prior->mu0) * precision;
}
