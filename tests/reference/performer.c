/* out_i = sum_j Q'_i.K'_j v_j / den(sum_j Q'_i.K'_j), every pair by itself, features as each convention's README line says. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/reference.h"

typedef struct map {
    const reference_case *at;
    const char *kernel, *convention;
    bool project;
    int64_t m, F;
    const double *W;
    double root;
} map;

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

static double direction(const map *f, const double *x, int64_t r)
{
    double u = 0;
    if (!f->project) return x[r];
    for (int64_t d = 0; d < f->at->D; d++) u += f->W[r * f->at->D + d] * f->root * x[d];
    return u;
}

static double half_square(const map *f, const double *x)
{
    double n = 0;
    for (int64_t d = 0; d < f->at->D; d++) n += f->root * x[d] * f->root * x[d] / 2;
    return n;
}

static double largest_direction(const map *f, const double *x)
{
    double most = -INFINITY;
    for (int64_t r = 0; r < f->m; r++) most = fmax(most, direction(f, x, r));
    return most;
}

/* The stabiliser of all queries (keys false) or all keys of the head; masked ones count. Constant where the README says so. */
static double common_stabiliser(const map *f, int64_t b, int64_t h, bool keys)
{
    const bool constant = is(f->convention, "lucidrains") || is(f->convention, "hku");
    const reference_case *from = constant ? f->at->frozen : f->at;
    const bool waves = is(f->kernel, "trigonometric"), norms = waves || (is(f->kernel, "hyperbolic") && reference_is(f->at, "stabilize", "true"));
    double most = -INFINITY;
    for (int64_t i = 0; i < (keys ? reference_keys(from, b) : reference_rows(from, b)); i++) {
        const double *x = keys ? reference_k(from, b, i, h) : reference_q(from, b, i, h);
        if (norms) most = fmax(most, (waves ? 1 : 2) * half_square(f, x));
        else if (keys && is(f->kernel, "softmax") && !is(f->convention, "paper") && f->project) most = fmax(most, largest_direction(f, x));
    }
    return isfinite(most) ? most : 0;
}

static void features(const map *f, const double *x, const double *frozen_x, bool key, double common, double *out)
{
    const bool softmax = is(f->kernel, "softmax"), hyperbolic = is(f->kernel, "hyperbolic");
    const double n = half_square(f, x), weight = 1 / sqrt((double)(hyperbolic ? f->F : f->m));
    if (!f->project && softmax) {
        double sum = 0;
        for (int64_t r = 0; r < f->m; r++) sum += out[r] = exp(x[r]);
        for (int64_t r = 0; r < f->m && !key; r++) out[r] /= sum;
        return;
    }
    if (softmax && !key && !is(f->convention, "paper")) common = largest_direction(f, is(f->convention, "google") ? x : frozen_x);
    for (int64_t r = 0; r < f->m; r++) {
        const double u = direction(f, x, r);
        if (is(f->kernel, "relu")) {
            out[r] = fmax(u, 0) + 1e-3;
        } else if (softmax) {
            const double inside = is(f->convention, "lucidrains") ? 1e-4 : is(f->convention, "google") ? 1e-6 : 0;
            out[r] = weight * (exp(u - n - common) + inside) + (is(f->convention, "hku") ? 1e-4 : 0);
        } else if (hyperbolic) {
            out[r] = weight * exp(u - n - common);
            out[f->m + r] = weight * exp(-u - n - common);
        } else {
            const double size = is(f->kernel, "gaussian") ? weight : weight * exp(n - common);
            out[r] = size * cos(u);
            out[f->m + r] = size * sin(u);
        }
    }
}

static double denominator(const map *f, double d, double query_sum)
{
    const bool waves = is(f->kernel, "trigonometric") || is(f->kernel, "gaussian");
    if (is(f->convention, "lucidrains")) return f->at->causal ? d + 1e-6 * query_sum : d;
    if (is(f->convention, "idiap")) return d + 1e-6;
    if (is(f->convention, "hku")) return fmax(d, 1e-2);
    if (waves || (is(f->convention, "google") && is(f->kernel, "softmax"))) return fabs(d) <= 1e-6 ? d + 2e-6 : d;
    return d;
}

/* Keys of a head not projected, not causal: softmax over the visible keys, column by column. */
static void normalise_keys(const reference_case *at, int64_t b, int64_t F, double *k)
{
    for (int64_t r = 0; r < F; r++) {
        double sum = 0;
        for (int64_t j = 0; j < reference_keys(at, b); j++)
            if (!at->key_keep || at->key_keep[b * at->N + j]) sum += k[j * F + r];
        for (int64_t j = 0; j < reference_keys(at, b); j++) k[j * F + r] /= sum;
    }
}

static void attend(const map *f, int64_t b, int64_t i, int64_t h, const double *q, const double *k, double *out)
{
    const reference_case *at = f->at;
    double d = 0, query_sum = 0;
    bool any = false;
    for (int64_t c = 0; c < at->M; c++) out[c] = 0;
    for (int64_t r = 0; r < f->F; r++) query_sum += q[r];
    for (int64_t j = 0; j < at->N; j++) {
        double a = 0;
        if (!reference_sees(at, b, i, j)) continue;
        for (int64_t r = 0; r < f->F; r++) a += q[r] * k[j * f->F + r];
        for (int64_t c = 0; c < at->M; c++) out[c] += a * reference_v(at, b, j, h)[c];
        d += a;
        any = true;
    }
    for (int64_t c = 0; any && c < at->M; c++) out[c] /= denominator(f, d, query_sum);
}

static void head(map *f, int64_t b, int64_t h)
{
    const reference_case *at = f->at;
    double *q = calloc((size_t)f->F, sizeof *q), *k = calloc((size_t)(at->N * f->F), sizeof *k);
    if (f->project) f->W = at->tensors[0] + (reference_is(at, "per_head", "true") ? h * f->m * at->D : 0);
    const double queries = common_stabiliser(f, b, h, false), keys = common_stabiliser(f, b, h, true);
    for (int64_t j = 0; j < reference_keys(at, b); j++) features(f, reference_k(at, b, j, h), NULL, true, keys, k + j * f->F);
    if (!f->project && is(f->kernel, "softmax") && !at->causal) normalise_keys(at, b, f->F, k);
    for (int64_t i = 0; i < at->T; i++) {
        double *out = reference_out(at, b, i, h);
        memset(out, 0, (size_t)at->M * sizeof *out);
        if (i >= reference_rows(at, b)) continue;
        features(f, reference_q(at, b, i, h), reference_q(at->frozen, b, i, h), false, queries, q);
        attend(f, b, i, h, q, k, out);
    }
    free(q);
    free(k);
}

static void performer(const reference_case *at)
{
    map f = { .at = at, .kernel = reference_option(at, "kernel"), .convention = reference_option(at, "convention"),
              .project = reference_is(at, "project", "true") };
    const bool scaled = f.project && !(is(f.convention, "google") && is(f.kernel, "relu"));
    const int64_t asked = (int64_t)reference_number(at, "features"), usual = (int64_t)round((double)at->D * log((double)at->D));
    f.m = !f.project ? at->D : asked ? asked : usual ? usual : 1;
    f.F = is(f.kernel, "softmax") || is(f.kernel, "relu") ? f.m : 2 * f.m;
    f.root = scaled ? sqrt(at->scale) : 1;
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) head(&f, b, h);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "features=33 orthogonal=false scaling=sqrt per_head=true", .largest = 200 },
    { .options = "kernel=hyperbolic features=24", .largest = 200 },
    { .options = "kernel=trigonometric features=64", .largest = 200, .size = 0.3, .sees_all = true },
    { .options = "kernel=gaussian features=64", .largest = 200, .size = 0.3 },
    { .options = "kernel=relu features=40", .largest = 200 },
    { .options = "convention=lucidrains features=40", .largest = 200, .sees_all = true, .reads_masked = true },
    { .options = "convention=lucidrains kernel=relu features=40", .largest = 200 },
    { .options = "convention=lucidrains project=false", .largest = 200 },
    { .options = "convention=google features=40", .largest = 200, .sees_all = true, .reads_masked = true },
    { .options = "convention=google kernel=trigonometric features=64", .largest = 200, .size = 0.3, .sees_all = true },
    { .options = "convention=google kernel=relu features=40", .largest = 200 },
    { .options = "convention=google kernel=relu project=false", .largest = 200 },
    { .options = "convention=idiap kernel=hyperbolic features=24", .largest = 200 },
    { .options = "convention=idiap kernel=hyperbolic features=24 stabilize=true", .largest = 200, .sees_all = true },
    { .options = "convention=idiap kernel=gaussian features=64", .largest = 200, .size = 0.3 },
    { .options = "convention=hku per_head=true features=40", .largest = 200, .sees_all = true, .reads_masked = true },
    { .options = "convention=hku kernel=trigonometric per_head=true features=64", .largest = 200, .size = 0.3, .sees_all = true },
    { 0 },
};

const reference_row reference_performer = { "performer", performer, variants };
