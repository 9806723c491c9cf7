/* Sticky memories: the places where the past is sampled are drawn from the attention it received. */
#include <math.h>
#include <string.h>

#include "attention/engine/memory.h"

enum { BINS = SQ_MEMORY_BINS };

/* The outermost edges are moved out a little, as in the authors' code. */
static double edge(int64_t b)
{
    return b == 0 ? -1e-6 : b == BINS ? 1 + 1e-6 : (double)b / BINS;
}

void sq__memory_histogram(const double *mu, const double *sigma_sq, int64_t T, double *p)
{
    for (int64_t t = 0; t < T; t++) {
        const double inverse = M_SQRT1_2 / sqrt(sigma_sq[t]), reach = 6 / inverse;   /* erf is +-1 in float64 beyond 6 */
        int64_t first = (int64_t)floor((mu[t] - reach) * BINS), last = (int64_t)ceil((mu[t] + reach) * BINS);
        first = first < 0 ? 0 : first;
        last = last > BINS ? BINS : last;
        double below = erf((edge(first) - mu[t]) * inverse);
        for (int64_t b = first; b < last; b++) {
            double above = erf((edge(b + 1) - mu[t]) * inverse);
            p[b] += 0.5 * (above - below);
            below = above;
        }
    }
}

void sq__memory_histogram_normalise(double *p)
{
    double sum = 0;
    for (int b = 0; b < BINS; b++) sum += p[b];
    for (int b = 0; b < BINS; b++) p[b] = sum > 0 ? p[b] / sum : 1.0 / BINS;
}

void sq__memory_draw(const double *p, const sq_random *random, int64_t M, int32_t *counts)
{
    double cumulative[BINS], sum = 0;
    for (int b = 0; b < BINS; b++) cumulative[b] = sum += p[b];
    memset(counts, 0, BINS * sizeof counts[0]);
    for (int64_t m = 0; m < M; m++) {
        const double u = sq__random_uniform(random, (uint64_t)m) * sum;
        int low = 0, high = BINS - 1;   /* the first bin whose cumulative mass exceeds u */
        while (low < high) {
            int middle = (low + high) / 2;
            if (cumulative[middle] > u) high = middle;
            else low = middle + 1;
        }
        counts[low]++;
    }
}

/* Draws of one bin share their location, so their rows of G are added up first. */
void sq__memory_sticky_past(const int32_t *counts, const float *G, const float *psi, int64_t N, float *past, float *scratch)
{
    memset(scratch, 0, (size_t)(BINS * N) * sizeof(float));
    for (int b = 0; b < BINS; b++)
        for (int32_t i = 0; i < counts[b]; i++, G += N)
            for (int64_t j = 0; j < N; j++) scratch[b * N + j] += G[j];
    sq__gemm(true, false, N, N, BINS, 1, scratch, N, psi, N, 0, past, N);
}
