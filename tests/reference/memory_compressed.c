/* Memory-compressed attention, naive: every compressed row from its definition, then exact attention over those that a query may see. */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

typedef struct compressed { int64_t rows; double *keys, *values; bool *seen; int64_t *last; } compressed;   /* last: position of a window's end */

static bool kept(const reference_case *at, int64_t b, int64_t j)
{
    return j < reference_keys(at, b) && !(at->key_keep && !at->key_keep[b * at->N + j]);
}

static void convolve(const reference_case *at, int64_t b, int64_t h, bool values, int64_t window, int64_t lead, compressed *c)
{
    const bool joint = reference_is(at, "joint", "true"), bias = reference_is(at, "bias", "true");
    const int64_t D = values ? at->M : at->D, hk = h / (at->H / at->Hk);
    const double *W = at->tensors[joint ? 0 : values] + hk * D * D * window, *B = bias ? at->tensors[joint ? 1 : 2 + values] + hk * D : NULL;
    for (int64_t r = 0; r < c->rows; r++)
        for (int64_t o = 0; o < D; o++) {
            double sum = B ? B[o] : 0;
            for (int64_t t = 0; t < window; t++) {
                const int64_t j = r * window + t - lead;
                if (j < 0 || !kept(at, b, j)) continue;
                const double *x = values ? reference_v(at, b, j, h) : reference_k(at, b, j, h);
                for (int64_t i = 0; i < D; i++) sum += W[(o * D + i) * window + t] * x[i];
            }
            (values ? c->values : c->keys)[r * D + o] = sum;
        }
}

static double score(const reference_case *at, int64_t b, int64_t i, int64_t h, const double *key)
{
    double sum = 0;
    for (int64_t d = 0; d < at->D; d++) sum += reference_q(at, b, i, h)[d] * key[d];
    return at->scale * sum;
}

static void attend(const reference_case *at, int64_t b, int64_t i, int64_t h, const compressed *c, const double *null_key, const double *null_value)
{
    double largest = null_key ? score(at, b, i, h, null_key) : -INFINITY, sum = 0, *out = reference_out(at, b, i, h);
    for (int64_t r = 0; r < c->rows; r++)
        if (c->seen[r] && (!at->causal || c->last[r] <= i)) largest = fmax(largest, score(at, b, i, h, c->keys + r * at->D));
    if (largest == -INFINITY) return;
    for (int64_t r = -1; r < c->rows; r++) {
        if (r < 0 ? !null_key : !c->seen[r] || (at->causal && c->last[r] > i)) continue;
        const double p = exp(score(at, b, i, h, r < 0 ? null_key : c->keys + r * at->D) - largest);
        const double *value = r < 0 ? null_value : c->values + r * at->M;
        sum += p;
        for (int64_t m = 0; m < at->M; m++) out[m] += p * value[m];
    }
    for (int64_t m = 0; m < at->M; m++) out[m] /= sum;
}

static void run_head(const reference_case *at, int64_t b, int64_t h)
{
    const int64_t window = (int64_t)reference_number(at, "window"), n = reference_keys(at, b), rows = (n + window - 1) / window, hk = h / (at->H / at->Hk);
    const int64_t lead = reference_is(at, "pad", "start") ? rows * window - n : 0;
    const int first_null = (reference_is(at, "joint", "true") ? 1 : 2) * (reference_is(at, "bias", "true") ? 2 : 1);
    const bool null = reference_is(at, "null_key", "true");
    compressed c = { rows, calloc((size_t)(rows * at->D) + 1, sizeof(double)), calloc((size_t)(rows * at->M) + 1, sizeof(double)),
                     calloc((size_t)rows + 1, sizeof(bool)), calloc((size_t)rows + 1, sizeof(int64_t)) };
    bool any = false;
    for (int64_t j = 0; j < n; j++)
        if (kept(at, b, j)) any = c.seen[(j + lead) / window] = true;
    for (int64_t r = 0; r < rows; r++) c.last[r] = (r + 1) * window - 1 - lead;
    convolve(at, b, h, false, window, lead, &c);
    convolve(at, b, h, true, window, lead, &c);
    for (int64_t i = 0; any && i < reference_rows(at, b); i++)
        attend(at, b, i, h, &c, null ? at->tensors[first_null] + hk * at->D : NULL, null ? at->tensors[first_null + 1] + hk * at->M : NULL);
    free(c.keys);
    free(c.values);
    free(c.seen);
    free(c.last);
}

static void run(const reference_case *at)
{
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) run_head(at, b, h);
}

static const reference_variant variants[] = {
    { .options = "", .largest = 300 },
    { .options = "window=5 joint=true null_key=true pad=start", .largest = 300, .square = true },
    { .options = "window=4 bias=false null_key=true", .largest = 300 },
    { .options = "window=12 pad=start", .largest = 300 },
    { .options = "window=1 joint=true bias=false", .largest = 300, .square = true },
    { .options = NULL },
};

const reference_row reference_memory_compressed = { "memory-compressed", run, variants };
