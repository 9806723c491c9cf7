/* out_i = sum_j w_ij v_j / sum_j w_ij, w_ij = relu(q_i) . relu(k_j) cos(pi/2 (i - j)/P), the cosine as it stands. */
#include <math.h>

#include "reference/reference.h"

static void row(const reference_case *at, double period, int64_t b, int64_t i, int64_t h)
{
    const double *q = reference_q(at, b, i, h);
    double *out = reference_out(at, b, i, h), d = 0;
    for (int64_t j = 0; j < at->N; j++) {
        double w = 0;
        if (!reference_sees(at, b, i, j)) continue;
        for (int64_t c = 0; c < at->D; c++) w += fmax(q[c], 0) * fmax(reference_k(at, b, j, h)[c], 0);
        w *= cos(acos(-1) / 2 * (double)(i - j) / period);
        for (int64_t c = 0; c < at->M; c++) out[c] += w * reference_v(at, b, j, h)[c];
        d += w;
    }
    if (reference_is(at, "convention", "opennlplab")) d = fmax(d, 1e-6);
    for (int64_t c = 0; c < at->M; c++) out[c] = d == 0 ? 0 : out[c] / d;
}

static void cosformer(const reference_case *at)
{
    const double asked = reference_number(at, "period"), longest = (double)(at->max_length > at->T ? at->max_length : at->T);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++)
            for (int64_t i = 0; i < reference_rows(at, b); i++) row(at, asked > 0 ? asked : longest, b, i, h);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "convention=opennlplab", .largest = 200 },
    { .options = "period=5000", .largest = 200 },
    { 0 },
};

const reference_row reference_cosformer = { "cosformer", cosformer, variants };
