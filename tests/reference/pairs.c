#include "reference/pairs.h"

#include <math.h>
#include <stdlib.h>

static void row(const reference_case *at, reference_pair_fn count, int64_t b, int64_t i, int64_t h)
{
    double top = -INFINITY, sum = 0, *score = calloc((size_t)at->N, sizeof *score), *out = reference_out(at, b, i, h);
    int64_t *times = calloc((size_t)at->N, sizeof *times);
    for (int64_t j = 0; j < at->N; j++) {
        if (!reference_sees(at, b, i, j)) continue;
        score[j] = reference_bias(at, i, j, h);
        for (int64_t d = 0; d < at->D; d++) score[j] += at->scale * reference_q(at, b, i, h)[d] * reference_k(at, b, j, h)[d];
        times[j] = count(at, b, h, i, j, &score[j]);
        if (times[j]) top = fmax(top, score[j]);
    }
    for (int64_t j = 0; j < at->N; j++) {
        if (!times[j]) continue;
        const double p = (double)times[j] * exp(score[j] - top);
        sum += p;
        for (int64_t c = 0; c < at->M; c++) out[c] += p * reference_v(at, b, j, h)[c];
    }
    for (int64_t c = 0; c < at->M && sum > 0; c++) out[c] /= sum;
    free(score);
    free(times);
}

void reference_pairs(const reference_case *at, reference_pair_fn count)
{
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t i = 0; i < reference_rows(at, b); i++)
            for (int64_t h = 0; h < at->H; h++) row(at, count, b, i, h);
}
