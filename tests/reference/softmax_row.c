/* Exact attention over a whole call: out_i = sum_j p_ij v_j, p_ij = exp(scale q_i.k_j) / sum_j exp(scale q_i.k_j). */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

static double score(const reference_case *at, int64_t b, int64_t i, int64_t j, int64_t h)
{
    double s = reference_bias(at, i, j, h);
    for (int64_t d = 0; d < at->D; d++) s += at->scale * reference_q(at, b, i, h)[d] * reference_k(at, b, j, h)[d];
    return s;
}

static void row(const reference_case *at, int64_t b, int64_t i, int64_t h)
{
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < at->N; j++)
        if (reference_sees(at, b, i, j)) top = fmax(top, score(at, b, i, j, h));
    for (int64_t j = 0; j < at->N; j++) {
        if (!reference_sees(at, b, i, j)) continue;
        const double p = exp(score(at, b, i, j, h) - top);
        sum += p;
        for (int64_t c = 0; c < at->M; c++) reference_out(at, b, i, h)[c] += p * reference_v(at, b, j, h)[c];
    }
    for (int64_t c = 0; c < at->M && sum > 0; c++) reference_out(at, b, i, h)[c] /= sum;
}

static void run(const reference_case *at)
{
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t i = 0; i < at->T; i++)
            for (int64_t h = 0; h < at->H; h++) row(at, b, i, h);
}

static const reference_variant variants[] = { { .options = "" }, { .options = NULL } };

const reference_row reference_softmax_row = { "softmax", run, variants };
