/* out_i = sum_j Q'_i.K'_j v_j / den, every pair by itself, features and denominators as the convention says. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/reference.h"

static double feature(const char *map, double x)
{
    if (strcmp(map, "elu") == 0) return x > 0 ? x + 1 : exp(x);
    return strcmp(map, "relu") == 0 ? fmax(x, 0) : exp(x);
}

static bool visible(const reference_case *at, int64_t b, int64_t i, int64_t j)
{
    const int64_t bucket = (int64_t)reference_number(at, "bucket");
    if (bucket > 1) return j < i / bucket * bucket && j < reference_keys(at, b) && !(at->key_keep && !at->key_keep[b * at->N + j]);
    return reference_sees(at, b, i, j);
}

/* sum of exp(k_jr) over the keys of the entry: softmax over the keys. */
static void column_sums(const reference_case *at, int64_t b, int64_t h, double *sums)
{
    memset(sums, 0, (size_t)at->D * sizeof *sums);
    for (int64_t j = 0; j < reference_keys(at, b); j++)
        for (int64_t r = 0; r < at->D && !(at->key_keep && !at->key_keep[b * at->N + j]); r++) sums[r] += exp(reference_k(at, b, j, h)[r]);
}

static void row(const reference_case *at, const char *map, int64_t b, int64_t i, int64_t h, const double *sums)
{
    const bool softmax = strcmp(map, "softmax") == 0, over_keys = softmax && !at->causal, lucidrains = reference_is(at, "convention", "lucidrains");
    const double *x = reference_q(at, b, i, h);
    double *q = calloc((size_t)at->D, sizeof *q), *out = reference_out(at, b, i, h), sum = 0, d = 0;
    bool any = false;
    for (int64_t r = 0; r < at->D; r++) sum += q[r] = feature(map, x[r]);
    for (int64_t r = 0; r < at->D && softmax; r++) q[r] /= sum * (lucidrains ? sqrt((double)at->D) : 1);
    for (int64_t j = 0; j < at->N; j++) {
        double a = 0;
        if (!visible(at, b, i, j)) continue;
        for (int64_t r = 0; r < at->D; r++) a += q[r] * feature(map, reference_k(at, b, j, h)[r]) / (over_keys ? sums[r] : 1);
        for (int64_t c = 0; c < at->M; c++) out[c] += a * reference_v(at, b, j, h)[c];
        d += a;
        any = true;
    }
    if (reference_is(at, "convention", "idiap")) d += 1e-6;
    if (lucidrains) d = fmax(d, 1e-3);
    for (int64_t c = 0; any && !over_keys && c < at->M; c++) out[c] = d == 0 ? 0 : out[c] / d;
    free(q);
}

static void linear(const reference_case *at)
{
    const char *map = reference_option(at, "feature_map");
    double *sums = calloc((size_t)at->D, sizeof *sums);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) {
            column_sums(at, b, h, sums);
            for (int64_t i = 0; i < reference_rows(at, b); i++) row(at, map, b, i, h, sums);
        }
    free(sums);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "feature_map=relu", .largest = 200 },
    { .options = "feature_map=exp", .largest = 200 },
    { .options = "feature_map=softmax", .largest = 200 },
    { .options = "convention=idiap", .largest = 200 },
    { .options = "convention=idiap feature_map=relu", .largest = 200 },
    { .options = "convention=lucidrains feature_map=softmax", .largest = 200 },
    { .options = "convention=lucidrains feature_map=softmax bucket=16", .largest = 200 },
    { .options = "bucket=50", .largest = 200 },
    { 0 },
};

const reference_row reference_linear = { "linear", linear, variants };
