/* Gated linear recurrences token by token, as their papers write them: S [D,M] decays, is corrected, is written to, is read. */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

typedef struct place { const reference_case *at; int64_t b, h; } place;

static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

static bool exists(const place *p, int64_t t)
{
    const reference_case *at = p->at;
    return t < reference_keys(at, p->b) && !(at->key_keep && !at->key_keep[p->b * at->N + t]);
}

static const double *input(const place *p, int index, int64_t t, int64_t width)
{
    return reference_input(p->at, index, p->b, p->at->N, t, p->h, width);
}

static double *unit(const double *x, int64_t n)
{
    double *y = calloc((size_t)n, sizeof *y), square = 0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    for (int64_t i = 0; i < n && square > 0; i++) y[i] = x[i] / sqrt(square);
    return y;
}

/* S [D,M] after token t. */
typedef void (*absorb_fn)(const place *p, int64_t t, double *S);

static void decay(const reference_case *at, double *S, const double *a, bool each)
{
    for (int64_t d = 0; d < at->D; d++)
        for (int64_t m = 0; m < at->M; m++) S[d * at->M + m] *= a[each ? d : 0];
}

static void write(const place *p, double *S, const double *k, double factor, const double *v)
{
    for (int64_t d = 0; d < p->at->D; d++)
        for (int64_t m = 0; m < p->at->M; m++) S[d * p->at->M + m] += factor * k[d] * v[m];
}

static void retain(const place *p, int64_t t, double *S)
{
    const double gamma = 1 - pow(2, -5 - (double)p->h);
    decay(p->at, S, &gamma, false);
    write(p, S, reference_k(p->at, p->b, t, p->h), 1, reference_v(p->at, p->b, t, p->h));
}

static void gate_each(const place *p, int64_t t, double *S)
{
    const double *x = input(p, 0, t, p->at->D);
    double *a = calloc((size_t)p->at->D, sizeof *a);
    for (int64_t d = 0; d < p->at->D; d++) a[d] = pow(sigmoid(x[d]), 1 / reference_number(p->at, "temperature"));
    decay(p->at, S, a, true);
    write(p, S, reference_k(p->at, p->b, t, p->h), 1, reference_v(p->at, p->b, t, p->h));
    free(a);
}

/* S += b k (v - S'k)' */
static void correct(const place *p, int64_t t, double b, double *S)
{
    const reference_case *at = p->at;
    double *k = unit(reference_k(at, p->b, t, p->h), at->D), *error = calloc((size_t)at->M, sizeof *error);
    for (int64_t m = 0; m < at->M; m++) {
        error[m] = reference_v(at, p->b, t, p->h)[m];
        for (int64_t d = 0; d < at->D; d++) error[m] -= S[d * at->M + m] * k[d];
    }
    write(p, S, k, b, error);
    free(k);
    free(error);
}

static void delta(const place *p, int64_t t, double *S)
{
    correct(p, t, reference_number(p->at, "strength") * sigmoid(*input(p, 0, t, 1)), S);
}

static void gated_delta(const place *p, int64_t t, double *S)
{
    const double a = exp(-exp(p->at->tensors[0][p->h]) * softplus(*input(p, 0, t, 1) + p->at->tensors[1][p->h]));
    decay(p->at, S, &a, false);
    correct(p, t, reference_number(p->at, "strength") * sigmoid(*input(p, 1, t, 1)), S);
}

static void state_space(const place *p, int64_t t, double *S)
{
    const double s = softplus(*input(p, 0, t, 1) + p->at->tensors[1][p->h]), a = exp(-exp(p->at->tensors[0][p->h]) * s);
    decay(p->at, S, &a, false);
    write(p, S, reference_k(p->at, p->b, t, p->h), s, reference_v(p->at, p->b, t, p->h));
}

static void run_head(const place *p, absorb_fn absorb, bool directions, const double *skip)
{
    const reference_case *at = p->at;
    double *S = calloc((size_t)(at->D * at->M), sizeof *S);
    for (int64_t t = 0; t < at->T || t < at->N; t++) {
        if (exists(p, t)) absorb(p, t, S);
        if (t >= reference_rows(at, p->b)) continue;
        double *out = reference_out(at, p->b, t, p->h), *q = directions ? unit(reference_q(at, p->b, t, p->h), at->D) : NULL;
        for (int64_t m = 0; m < at->M; m++) {
            for (int64_t d = 0; d < at->D; d++) out[m] += at->scale * (q ? q : reference_q(at, p->b, t, p->h))[d] * S[d * at->M + m];
            if (skip && exists(p, t)) out[m] += skip[p->h] * reference_v(at, p->b, t, p->h)[m];
        }
        free(q);
    }
    free(S);
}

static void run(const reference_case *at, absorb_fn absorb, bool directions, const double *skip)
{
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) run_head(&(place){ at, b, h }, absorb, directions, skip);
}

static void run_retention(const reference_case *at) { run(at, retain, false, NULL); }
static void run_gated_linear(const reference_case *at) { run(at, gate_each, false, NULL); }
static void run_delta_rule(const reference_case *at) { run(at, delta, true, NULL); }
static void run_gated_delta_rule(const reference_case *at) { run(at, gated_delta, true, NULL); }
static void run_ssd(const reference_case *at) { run(at, state_space, false, at->tensors[2]); }

static const reference_variant plain[] = { { .options = "" }, { 0 } };
/* temperature 1 forgets to 1e-20 within a chunk, 0.2 to nothing a float can hold. */
static const reference_variant gates[] = { { .options = "" }, { .options = "temperature=1" }, { .options = "temperature=0.2", .largest = 200 }, { 0 } };
static const reference_variant strength[] = { { .options = "" }, { .options = "strength=1.9", .largest = 200 }, { 0 } };

const reference_row reference_retention = { "retention", run_retention, plain };
const reference_row reference_gated_linear = { "gated-linear", run_gated_linear, gates };
const reference_row reference_delta_rule = { "delta-rule", run_delta_rule, strength };
const reference_row reference_gated_delta_rule = { "gated-delta-rule", run_gated_delta_rule, strength };
const reference_row reference_ssd = { "ssd", run_ssd, plain };
