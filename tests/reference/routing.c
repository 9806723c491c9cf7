/* Clusters one by one: every row's score, who has fewer than w above it, a softmax over the cluster's visible keys, the average. */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

typedef struct router {
    const reference_case *at;
    int64_t clusters, memory;
    bool shared, lucidrains;
    int32_t *in_q, *in_k;                 /* [clusters, T or N] whether the cluster took the row */
} router;

static bool visible(const reference_case *at, int64_t b, int64_t j)
{
    return j < reference_keys(at, b) && (!at->key_keep || at->key_keep[b * at->N + j]);
}

static const double *key(const router *r, const reference_case *at, int64_t b, int64_t j, int64_t h)
{
    return r->shared ? reference_q(at, b, j, h) : reference_k(at, b, j, h);
}

static void normal(const router *r, const double *x, double *y)
{
    const int64_t D = r->at->D;
    double mean = 0, square = 0;
    for (int64_t d = 0; d < D && !r->lucidrains; d++) mean += x[d] / (double)D;
    for (int64_t d = 0; d < D; d++) square += (x[d] - mean) * (x[d] - mean);
    for (int64_t d = 0; d < D; d++) y[d] = (r->lucidrains ? 1 : sqrt((double)D)) * (x[d] - mean) / fmax(sqrt(square), 1e-12);
}

static double dot(const double *x, const double *y, int64_t D)
{
    double sum = 0;
    for (int64_t d = 0; d < D; d++) sum += x[d] * y[d];
    return sum;
}

/* Nearest mean of row x. */
static int64_t nearest(const router *r, const double *x, int64_t h)
{
    const int64_t D = r->at->D;
    double best = -INFINITY, y[64];
    int64_t cluster = 0;
    normal(r, x, y);
    for (int64_t c = 0; c < r->clusters; c++) {
        const double s = dot(y, r->at->tensors[0] + (h * r->clusters + c) * D, D);
        if (s > best) best = s, cluster = c;
    }
    return cluster;
}

static int64_t window(const router *r, int64_t n)
{
    const int64_t asked = (int64_t)reference_number(r->at, "window"), share = (n + r->clusters - 1) / r->clusters;
    const int64_t w = asked ? asked : share > 32 ? share : 32;
    return w < n ? w : n;
}

/* in[c, i] = 1 for the w rows of the largest scores. */
static void take(const router *r, int64_t b, int64_t h, int64_t n, bool keys, int64_t rows, int32_t *in)
{
    const reference_case *at = r->at->frozen;
    const int64_t w = window(r, n);
    double *s = malloc((size_t)(n + 1) * sizeof *s), y[64];
    for (int64_t c = 0; c < r->clusters; c++) {
        for (int64_t i = 0; i < n; i++) {
            normal(r, keys ? reference_k(at, b, i, h) : reference_q(at, b, i, h), y);
            s[i] = keys && !r->lucidrains && !visible(at, b, i) ? -INFINITY : dot(y, at->tensors[0] + (h * r->clusters + c) * at->D, at->D);
        }
        for (int64_t i = 0; i < n; i++) {
            int64_t above = 0;
            for (int64_t j = 0; j < n; j++) above += s[j] > s[i] || (s[j] == s[i] && j < i);
            in[c * rows + i] = above < w && s[i] > -INFINITY;
        }
    }
    free(s);
}

/* One row in one cluster: a softmax over what it sees, added to out. */
static void attend(const router *r, int64_t b, int64_t h, int64_t c, int64_t i, bool hidden, double weight, double *out)
{
    const reference_case *at = r->at;
    const int64_t keys = r->shared ? at->T : at->N, D = at->D, n = r->memory + keys;
    double *s = malloc((size_t)n * sizeof *s), q[64], k[64], most = -INFINITY, sum = 0;
    normal(r, reference_q(at, b, i, h), q);
    for (int64_t d = 0; d < D && r->lucidrains; d++) q[d] = reference_q(at, b, i, h)[d];
    for (int64_t j = 0; j < n; j++) {
        const int64_t row = j - r->memory;
        s[j] = -INFINITY;
        if (j < r->memory) {
            s[j] = hidden ? 0 : at->scale * dot(q, at->tensors[1] + ((h * r->clusters + c) * r->memory + j) * D, D);
        } else if (r->in_k[c * keys + row] && (hidden ? !r->memory && (!r->shared || row == i) : visible(at, b, row) && !(at->causal && row > i))) {
            normal(r, key(r, at, b, row, h), k);
            for (int64_t d = 0; d < D && r->lucidrains && !r->shared; d++) k[d] = reference_k(at, b, row, h)[d];
            s[j] = hidden ? 0 : r->shared && r->lucidrains && row == i ? -5e4 : at->scale * dot(q, k, D);
        }
        most = fmax(most, s[j]);
    }
    for (int64_t j = 0; j < n && most > -INFINITY; j++) sum += exp(s[j] - most);
    for (int64_t j = 0; j < n && most > -INFINITY; j++) {
        if (s[j] == -INFINITY) continue;
        const double *v = j < r->memory ? at->tensors[2] + ((h * r->clusters + c) * r->memory + j) * at->M : reference_v(at, b, j - r->memory, h);
        for (int64_t m = 0; m < at->M; m++) out[m] += weight * exp(s[j] - most) / sum * v[m];
    }
    free(s);
}

static bool any_visible(const router *r, int64_t b)
{
    for (int64_t j = 0; j < reference_keys(r->at, b); j++)
        if (visible(r->at, b, j) && (!r->shared || j < reference_rows(r->at, b))) return true;
    return false;
}

static void head(router *r, int64_t b, int64_t h)
{
    const reference_case *at = r->at;
    const int64_t T = reference_rows(at, b), N = reference_keys(at, b), keys = r->shared ? at->T : at->N;
    const bool any = any_visible(r, b);
    for (int64_t i = 0; i < r->clusters * at->T; i++) r->in_q[i] = 0;
    for (int64_t i = 0; i < r->clusters * keys; i++) r->in_k[i] = 0;
    take(r, b, h, T, false, at->T, r->in_q);
    if (r->shared) for (int64_t i = 0; i < r->clusters * at->T; i++) r->in_k[i] = r->in_q[i];
    else take(r, b, h, N, true, at->N, r->in_k);
    for (int64_t i = 0; i < T && any; i++) {
        const bool hidden = r->lucidrains && at->T == at->N && at->key_keep && i < N && !visible(at, b, i);
        double taken = r->lucidrains ? 1e-5 : 0;
        for (int64_t c = 0; c < r->clusters; c++) taken += r->in_q[c * at->T + i];
        for (int64_t c = 0; c < r->clusters; c++)
            if (r->in_q[c * at->T + i]) attend(r, b, h, c, i, hidden, 1 / taken, reference_out(at, b, i, h));
    }
}

static double distance(const router *r, const double *x, const double *frozen, int64_t h)
{
    const double *mean = r->at->tensors[0] + (h * r->clusters + nearest(r, frozen, h)) * r->at->D;
    double y[64], sum = 0;
    normal(r, x, y);
    for (int64_t d = 0; d < r->at->D; d++) sum += (y[d] - mean[d]) * (y[d] - mean[d]);
    return sum;
}

static void commitment(const router *r)
{
    const reference_case *at = r->at, *frozen = at->frozen;
    double sum = 0, rows = 0;
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; any_visible(r, b) && h < at->H; h++) {
            for (int64_t i = 0; i < reference_rows(at, b); i++, rows++)
                sum += distance(r, reference_q(at, b, i, h), reference_q(frozen, b, i, h), h);
            for (int64_t j = 0; j < reference_keys(at, b) && !r->shared; j++) {
                if (!r->lucidrains && !visible(at, b, j)) continue;
                sum += distance(r, reference_k(at, b, j, h), reference_k(frozen, b, j, h), h);
                rows++;
            }
        }
    if (rows > 0) *at->auxiliary = reference_number(at, "commitment") * sum / (rows * (double)at->D);
}

static void routing(const reference_case *at)
{
    const int64_t clusters = (int64_t)reference_number(at, "clusters");
    router r = { .at = at, .clusters = clusters ? clusters : (int64_t)round(sqrt((double)at->max_length)), .shared = reference_is(at, "shared", "true"),
                 .lucidrains = reference_is(at, "convention", "lucidrains") };
    r.memory = at->causal && !r.shared ? (int64_t)reference_number(at, "memory") : 0;
    r.in_q = calloc((size_t)(r.clusters * at->T), sizeof *r.in_q);
    r.in_k = calloc((size_t)(r.clusters * (r.shared ? at->T : at->N)), sizeof *r.in_k);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) head(&r, b, h);
    if (reference_number(at, "commitment") > 0) commitment(&r);
    free(r.in_q);
    free(r.in_k);
}

/* Who is in a cluster depends on every row, also on later ones. */
static const reference_variant variants[] = {
    { .options = "", .sees_all = true },
    { .options = "clusters=5 window=17 memory=3 commitment=0.5", .largest = 200, .sees_all = true },
    { .options = "clusters=6 window=90 memory=0", .largest = 200, .sees_all = true },
    { .options = "clusters=5 window=20 shared=true commitment=0.5", .largest = 200, .skip = SQ_CAN_CROSS, .sees_all = true },
    { .options = "clusters=4 window=25 convention=lucidrains commitment=0.01", .largest = 200, .sees_all = true, .reads_masked = true },
    { .options = "clusters=4 window=25 convention=lucidrains shared=true", .largest = 200, .skip = SQ_CAN_CROSS, .sees_all = true, .reads_masked = true },
    { 0 },
};

const reference_row reference_routing = { "routing", routing, variants };
