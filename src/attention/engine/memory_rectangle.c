/* Rectangular basis functions: psi_j is N on [j/N, (j+1)/N), zero elsewhere, so that reading under a density is its mass in each box.
 * With u = (edge - mu)/sigma at the edges of box j:
 *   Gaussian:  r_j = N [Phi(u)],  dr/dmu = -N [phi(u)]/sigma,  dr/dsigma^2 = -N [u phi(u)]/(2 sigma^2)      [.]: right edge less left
 *   Sparsemax: of p(t) = (a^2 - x^2)/(2 sigma^2), x = t - mu in [-a,a]:  r_j = N [a^2 x - x^3/3]/(2 sigma^2),
 *              dr/dmu = N [x^2]/(2 sigma^2),  dr/dsigma^2 = N [x^3 - a^2 x]/(6 sigma^4) */
#include <math.h>

#include "attention/engine/memory.h"

static const double inv_sqrt_2pi = 0.39894228040143267794;

/* The antiderivatives at an edge: of r, dr/dmu and dr/dsigma^2 (less the factor N). */
static void antiderivatives(sq_memory_density density, double edge, double mu, double sigma_sq, double at[3])
{
    if (density == SQ_MEMORY_GAUSSIAN) {
        const double sigma = sqrt(sigma_sq), u = (edge - mu) / sigma, phi = inv_sqrt_2pi * exp(-0.5 * u * u);
        at[0] = 0.5 * erf(u * M_SQRT1_2);
        at[1] = -phi / sigma;
        at[2] = -u * phi / (2 * sigma_sq);
        return;
    }
    const double a = cbrt(1.5 * sigma_sq), x = fmin(fmax(edge - mu, -a), a);
    at[0] = (a * a * x - x * x * x / 3) / (2 * sigma_sq);
    at[1] = x * x / (2 * sigma_sq);
    at[2] = (x * x * x - a * a * x) / (6 * sigma_sq * sigma_sq);
}

void sq__memory_rectangle_psi(int64_t N, const double *t, int64_t count, double *psi)
{
    for (int64_t i = 0; i < count; i++) {
        const int64_t box = t[i] >= 0 && t[i] < 1 ? (int64_t)(t[i] * (double)N) : N - 1;   /* 1 belongs to the last */
        for (int64_t j = 0; j < N; j++) psi[i * N + j] = j == box && t[i] >= 0 && t[i] <= 1 ? (double)N : 0;
    }
}

void sq__memory_rectangle_expect(int64_t N, sq_memory_density density, const double *mu, const double *sigma_sq, int64_t T, float *r)
{
    for (int64_t t = 0; t < T; t++) {
        double left[3], right[3];
        antiderivatives(density, 0, mu[t], sigma_sq[t], left);
        for (int64_t j = 0; j < N; j++) {
            antiderivatives(density, (double)(j + 1) / (double)N, mu[t], sigma_sq[t], right);
            r[t * N + j] = (float)((double)N * (right[0] - left[0]));
            left[0] = right[0];
        }
    }
}

void sq__memory_rectangle_expect_backward(int64_t N, sq_memory_density density, const double *mu, const double *sigma_sq, int64_t T, const float *dr,
                                          double *dmu, double *dsigma_sq)
{
    for (int64_t t = 0; t < T; t++) {
        double left[3], right[3];
        dmu[t] = dsigma_sq[t] = 0;
        antiderivatives(density, 0, mu[t], sigma_sq[t], left);
        for (int64_t j = 0; j < N; j++) {
            const double weight = (double)N * (double)dr[t * N + j];
            antiderivatives(density, (double)(j + 1) / (double)N, mu[t], sigma_sq[t], right);
            dmu[t] += weight * (right[1] - left[1]);
            dsigma_sq[t] += weight * (right[2] - left[2]);
            for (int i = 1; i < 3; i++) left[i] = right[i];
        }
    }
}
