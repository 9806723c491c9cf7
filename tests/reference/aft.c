/* Attention-free transformer, naive: every weight of every feature by itself. */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

enum { FULL, SIMPLE, LOCAL, CONV };

static int variant_of(const reference_case *at)
{
    return reference_is(at, "variant", "full") ? FULL : reference_is(at, "variant", "simple") ? SIMPLE : reference_is(at, "variant", "local") ? LOCAL : CONV;
}

static double tap(const reference_case *at, int64_t h, int64_t index, int64_t taps)
{
    const double *x = at->tensors[0] + h * taps;
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < taps; i++) mean += x[i] / (double)taps;
    for (int64_t i = 0; i < taps; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)taps;
    return at->tensors[1][h] * (x[index] - mean) / sqrt(variance + 1e-6) + at->tensors[2][h];
}

static double bias(const reference_case *at, int variant, int64_t h, int64_t t, int64_t s)
{
    const int64_t window = (int64_t)reference_number(at, "window"), rank = (int64_t)reference_number(at, "rank");
    const int64_t taps = at->causal ? window : 2 * window - 1;
    double w = 0;
    if (variant == SIMPLE || (variant != FULL && llabs(t - s) >= window)) return 0;
    if (variant == CONV) return tap(at, h, s - t + window - 1, taps);
    if (rank == 0) return variant == FULL ? at->tensors[0][t * at->max_length + s] : at->tensors[0][t * taps + s - t + window - 1];
    for (int64_t r = 0; r < rank; r++) w += at->tensors[0][t * rank + r] * at->tensors[1][s * rank + r];
    return w;
}

static double key(const reference_case *at, int variant, int64_t b, int64_t s, int64_t h, int64_t c)
{
    const double *k = reference_k(at, b, s, h);
    double sum = 0;
    if (variant != CONV) return k[c];
    for (int64_t i = 0; i < at->D; i++) sum += k[i];
    return at->scale * sum;
}

static void row(const reference_case *at, int variant, int64_t b, int64_t h, int64_t t, double *w)
{
    double *out = reference_out(at, b, t, h);
    for (int64_t s = 0; s < at->N; s++)
        if (reference_sees(at, b, t, s)) w[s] = bias(at, variant, h, t, s);
    for (int64_t c = 0; c < at->D; c++) {
        double most = -INFINITY, num = 0, den = 0;
        for (int64_t s = 0; s < at->N; s++)
            if (reference_sees(at, b, t, s)) most = fmax(most, key(at, variant, b, s, h, c) + w[s]);
        for (int64_t s = 0; s < at->N; s++) {
            if (!reference_sees(at, b, t, s)) continue;
            const double weight = exp(key(at, variant, b, s, h, c) + w[s] - most);
            num += weight * reference_v(at, b, s, h)[c];
            den += weight;
        }
        if (den > 0) out[c] = num / den / (1 + exp(-reference_q(at, b, t, h)[c]));
    }
}

static void run(const reference_case *at)
{
    const int variant = variant_of(at);
    double *w = malloc((size_t)at->N * sizeof *w);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t t = 0; t < reference_rows(at, b); t++)
            for (int64_t h = 0; h < at->H; h++) row(at, variant, b, h, t, w);
    free(w);
}

static const reference_variant variants[] = {
    { .options = "", .largest = 200, .skip = SQ_CAN_CROSS, .square = true },
    { .options = "window=5 rank=3", .skip = SQ_CAN_CROSS, .square = true },
    { .options = "window=40 rank=0", .largest = 200, .skip = SQ_CAN_CROSS, .square = true },
    { .options = "variant=full", .largest = 200, .skip = SQ_CAN_CROSS, .square = true },
    { .options = "variant=full rank=0", .largest = 200, .skip = SQ_CAN_CROSS, .square = true },
    { .options = "variant=full rank=4", .largest = 65, .size = 6, .skip = SQ_CAN_CROSS, .square = true },
    { .options = "variant=simple", .square = true },
    { .options = "variant=simple", .largest = 65, .size = 10, .square = true },
    { .options = "variant=conv window=7", .largest = 200, .square = true },
    { .options = "variant=conv window=1", .largest = 65, .square = true },
    { .options = NULL },
};

const reference_row reference_aft = { "aft", run, variants };
