/* out_i = sum_j w_ij f(q_i).f(k_j) v_j / den, every pair by itself; w_ij = 1, or with a gate (1 - g_j) g_j+1 ... g_i over the keys that exist. */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

typedef struct map { const reference_case *at; int64_t m, F; double weight, inside; bool arccos, gate; } map;

static void features(const map *f, int64_t h, const double *x, double *out)
{
    const int64_t D = f->at->D;
    const double *W = f->at->tensors[0] + h * f->m * D, *sigma = reference_is(f->at, "sigma", "true") ? f->at->tensors[1] + h * D : NULL;
    double n = 0;
    for (int64_t d = 0; d < D; d++) n += x[d] * x[d];
    n = (sqrt(n) + f->inside) * reference_number(f->at, "temperature");
    for (int64_t r = 0; r < f->m; r++) {
        double u = 0;
        for (int64_t d = 0; d < D; d++) u += W[r * D + d] * (sigma ? sigma[d] : 1) * x[d] / n;
        out[r] = f->weight * (f->arccos ? fmax(u, 0) : sin(u));
        if (!f->arccos) out[f->m + r] = f->weight * cos(u);
    }
}

static bool exists(const reference_case *at, int64_t b, int64_t j)
{
    return j < reference_keys(at, b) && !(at->key_keep && !at->key_keep[b * at->N + j]);
}

/* log of 1 - g_j and of g_j */
static double log_gate(const map *f, int64_t b, int64_t h, int64_t j, bool kept)
{
    const double x = f->at->inputs[0][(b * f->at->N + j) * f->at->H + h];
    return -log1p(exp(kept ? -x : x));
}

static double denominator(const map *f, double d)
{
    if (reference_is(f->at, "convention", "noahs-ark")) return fmax(f->at->causal ? d : fabs(d), 1);
    return !f->arccos && fabs(d) <= 1e-6 ? d + 2e-6 : d;
}

static void row(const map *f, int64_t b, int64_t i, int64_t h, double *q, const double *k)
{
    const reference_case *at = f->at;
    double *out = reference_out(at, b, i, h), d = 0, forgotten = 0;
    bool any = false;
    features(f, h, reference_q(at, b, i, h), q);
    for (int64_t j = at->N; j-- > 0;) {
        double a = 0;
        if (!reference_sees(at, b, i, j)) continue;
        for (int64_t r = 0; r < f->F; r++) a += q[r] * k[j * f->F + r];
        if (f->gate) {
            a *= exp(forgotten + log_gate(f, b, h, j, false));
            forgotten += log_gate(f, b, h, j, true);
        }
        for (int64_t c = 0; c < at->M; c++) out[c] += a * reference_v(at, b, j, h)[c];
        d += a;
        any = true;
    }
    d = denominator(f, d);
    for (int64_t c = 0; c < at->M; c++) out[c] = any && d != 0 ? out[c] / d : 0;
}

static void rfa(const reference_case *at)
{
    const bool authors = reference_is(at, "convention", "noahs-ark");
    map f = { .at = at, .arccos = reference_is(at, "kernel", "arccos"), .gate = reference_is(at, "gate", "true"), .inside = authors ? 1e-3 : 0 };
    f.m = (int64_t)reference_number(at, "features");
    f.F = f.arccos ? f.m : 2 * f.m;
    f.weight = authors ? 0.1 : 1 / sqrt((double)f.m);
    double *q = calloc((size_t)f.F, sizeof *q), *k = calloc((size_t)(at->N * f.F), sizeof *k);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) {
            for (int64_t j = 0; j < at->N; j++)
                if (exists(at, b, j)) features(&f, h, reference_k(at, b, j, h), k + j * f.F);
            for (int64_t i = 0; i < reference_rows(at, b); i++) row(&f, b, i, h, q, k);
        }
    free(q);
    free(k);
}

/* With one key the denominator is a mean of 64 cosines, which may come near 0: 5.2e-6 measured. */
static const reference_variant variants[] = {
    { .options = "", .error = 1e-5 },
    { .options = "temperature=1.5", .largest = 200 },
    { .options = "features=32 temperature=2 sigma=false", .largest = 200 },
    { .options = "features=64 temperature=2 gate=true", .largest = 200 },
    { .options = "features=48 kernel=arccos", .largest = 200 },
    { .options = "features=48 kernel=arccos gate=true", .largest = 200 },
    { .options = "convention=noahs-ark features=24 temperature=0.7", .largest = 200 },
    { .options = "convention=noahs-ark features=24 sigma=false", .largest = 200 },
    { 0 },
};

const reference_row reference_rfa = { "rfa", rfa, variants };
