/* Set Transformer's induced attention, naive: two softmaxes after another. */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

static bool kept(const reference_case *at, int64_t b, int64_t j)
{
    return j < reference_keys(at, b) && !(at->key_keep && !at->key_keep[b * at->N + j]);
}

static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

/* What point r of query head h's key head sees: k2 [D], v2 [M]; false: no key. */
static bool look(const reference_case *at, int64_t b, int64_t h, const double *point, double *k2, double *v2)
{
    double most = -INFINITY, total = 0;
    for (int64_t c = 0; c < at->D; c++) k2[c] = 0;
    for (int64_t c = 0; c < at->M; c++) v2[c] = 0;
    for (int64_t j = 0; j < at->N; j++)
        if (kept(at, b, j)) most = fmax(most, at->scale * dot(point, reference_k(at, b, j, h), at->D));
    for (int64_t j = 0; j < at->N; j++) {
        if (!kept(at, b, j)) continue;
        const double *k = reference_k(at, b, j, h), *v = reference_v(at, b, j, h), weight = exp(at->scale * dot(point, k, at->D) - most);
        total += weight;
        for (int64_t c = 0; c < at->D; c++) k2[c] += weight * k[c];
        for (int64_t c = 0; c < at->M; c++) v2[c] += weight * v[c];
    }
    for (int64_t c = 0; c < at->D; c++) k2[c] /= total;
    for (int64_t c = 0; c < at->M; c++) v2[c] /= total;
    return total > 0;
}

static void run(const reference_case *at)
{
    const int64_t m = (int64_t)reference_number(at, "latents"), group = at->H / at->Hk;
    double *k2 = calloc((size_t)(m * at->D), sizeof *k2), *v2 = calloc((size_t)(m * at->M), sizeof *v2);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) {
            bool any = true;
            for (int64_t r = 0; r < m; r++) any = look(at, b, h, at->tensors[0] + (h / group * m + r) * at->D, k2 + r * at->D, v2 + r * at->M) && any;
            for (int64_t i = 0; any && i < reference_rows(at, b); i++) {
                double most = -INFINITY, total = 0, *out = reference_out(at, b, i, h);
                const double *q = reference_q(at, b, i, h);
                for (int64_t r = 0; r < m; r++) most = fmax(most, at->scale * dot(q, k2 + r * at->D, at->D));
                for (int64_t r = 0; r < m; r++) {
                    const double weight = exp(at->scale * dot(q, k2 + r * at->D, at->D) - most);
                    total += weight;
                    for (int64_t c = 0; c < at->M; c++) out[c] += weight * v2[r * at->M + c];
                }
                for (int64_t c = 0; c < at->M; c++) out[c] /= total;
            }
        }
    free(k2);
    free(v2);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "latents=1", .largest = 200 },
    { .options = "latents=7" },
    { .options = "latents=300", .largest = 65 },
    { .options = "latents=5", .largest = 200, .size = 3 },
    { .options = NULL },
};

const reference_row reference_set_transformer = { "set-transformer", run, variants };
