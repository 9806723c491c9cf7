#include "reference/softmax.h"

#include <math.h>
#include <stdlib.h>

static bool sees(const reference_softmax *a, int64_t i, int64_t j)
{
    return (!a->causal || j <= i) && (!a->key_keep || a->key_keep[j]) && (!a->pair_keep || a->pair_keep[i * a->N + j]);
}

static double inner(const float *x, const float *y, int64_t n)
{
    double total = 0;
    for (int64_t d = 0; d < n; d++) total += (double)x[d] * y[d];
    return total;
}

/* p[j] of row i; returns log sum exp */
static double probabilities(const reference_softmax *a, int64_t i, double *p)
{
    double top = -INFINITY, total = 0;
    for (int64_t j = 0; j < a->N; j++) {
        p[j] = sees(a, i, j) ? a->scale * inner(a->q + i * a->D, a->k + j * a->D, a->D) : -INFINITY;
        top = fmax(top, p[j]);
    }
    if (top == -INFINITY) {
        for (int64_t j = 0; j < a->N; j++) p[j] = 0;
        return -INFINITY;
    }
    for (int64_t j = 0; j < a->N; j++) total += p[j] = exp(p[j] - top);
    for (int64_t j = 0; j < a->N; j++) p[j] /= total;
    return top + log(total);
}

static void gradients(const reference_softmax *a, int64_t i, const double *p)
{
    const float *dout = a->dout + i * a->M;
    double mean = 0;
    for (int64_t j = 0; j < a->N; j++)
        if (p[j] > 0) mean += p[j] * inner(dout, a->v + j * a->M, a->M);
    for (int64_t d = 0; d < a->D; d++) a->dq[i * a->D + d] = 0;
    for (int64_t j = 0; j < a->N; j++) {
        if (p[j] == 0) continue;
        const double ds = a->scale * p[j] * (inner(dout, a->v + j * a->M, a->M) - mean);
        for (int64_t d = 0; d < a->D; d++) {
            a->dq[i * a->D + d] += ds * a->k[j * a->D + d];
            a->dk[j * a->D + d] += ds * a->q[i * a->D + d];
        }
        for (int64_t m = 0; m < a->M; m++) a->dv[j * a->M + m] += p[j] * dout[m];
    }
}

bool reference_softmax_run(const reference_softmax *a)
{
    double *p = malloc(sizeof *p * (size_t)(a->N + 1));
    if (!p) return false;
    for (int64_t i = 0; i < a->T; i++) {
        a->lse[i] = probabilities(a, i, p);
        for (int64_t m = 0; m < a->M; m++) {
            a->out[i * a->M + m] = 0;
            for (int64_t j = 0; j < a->N; j++)
                if (p[j] > 0) a->out[i * a->M + m] += p[j] * a->v[j * a->M + m];
        }
        if (a->dout) gradients(a, i, p);
    }
    free(p);
    return true;
}
