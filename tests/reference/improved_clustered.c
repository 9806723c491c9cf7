/* out_i = s_c sum over the top keys of softmax_top(scale q_i . k_j) v_j + sum over the rest of A_cj v_j; s_c = sum of A_cj over the top keys,
 * with convention=idiap a constant. pseudo_causal: the first sum over j <= i alone. Clusters and top keys from the frozen case. */
#include "reference/clusters.h"

#include <math.h>
#include <stdlib.h>

typedef struct group {
    const reference_case *at;
    int64_t b, h;
    const int *cluster;
    int c;
    double *mean, *A, *A_frozen, *p;       /* [D] [N] [N] [N] */
    bool *top;
} group;

/* softmax over the keys j with keep[j] (NULL: all that exist) of scale x . k_j; false: there are none. */
static bool softmax(const reference_case *at, int64_t b, int64_t h, const double *x, const bool *keep, int64_t last, double *p)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < at->N; j++) {
        p[j] = -INFINITY;
        if (j > last || j >= reference_keys(at, b) || (at->key_keep && !at->key_keep[b * at->N + j]) || (keep && !keep[j])) continue;
        p[j] = 0;
        for (int64_t d = 0; d < at->D; d++) p[j] += at->scale * x[d] * reference_k(at, b, j, h)[d];
        most = fmax(most, p[j]);
    }
    for (int64_t j = 0; j < at->N; j++) sum += p[j] = most == -INFINITY ? 0 : exp(p[j] - most);
    for (int64_t j = 0; j < at->N && sum > 0; j++) p[j] /= sum;
    return sum > 0;
}

static void choose(group *g)
{
    const int64_t N = g->at->N, most = (int64_t)reference_number(g->at, "topk");
    for (int64_t j = 0; j < N; j++) {
        int64_t before = 0;
        for (int64_t i = 0; i < N; i++) before += g->A_frozen[i] > g->A_frozen[j] || (g->A_frozen[i] == g->A_frozen[j] && i < j);
        g->top[j] = before < most && g->A_frozen[j] > 0;
    }
}

static double top_share(const group *g, const double *A)
{
    double sum = 0;
    for (int64_t j = 0; j < g->at->N; j++) sum += g->top[j] ? A[j] : 0;
    return sum;
}

static void members(group *g)
{
    const reference_case *at = g->at;
    const bool past = reference_is(at, "pseudo_causal", "true"), constant = reference_is(at, "convention", "idiap");
    if (!reference_centroid(at->frozen, g->b, g->h, g->cluster, g->c, g->mean)) return;
    if (!softmax(at->frozen, g->b, g->h, g->mean, NULL, at->N, g->A_frozen)) return;
    choose(g);
    reference_centroid(at, g->b, g->h, g->cluster, g->c, g->mean);
    softmax(at, g->b, g->h, g->mean, NULL, at->N, g->A);
    const double share = past ? 1 : top_share(g, constant ? g->A_frozen : g->A);
    for (int64_t i = 0; i < reference_rows(at, g->b); i++) {
        double *out = reference_out(at, g->b, i, g->h);
        if (g->cluster[i] != g->c) continue;
        softmax(at, g->b, g->h, reference_q(at, g->b, i, g->h), g->top, past ? i : at->N, g->p);
        for (int64_t j = 0; j < at->N; j++)
            for (int64_t m = 0; m < at->M && g->A[j] > 0; m++)
                out[m] += (g->top[j] ? share * g->p[j] : past ? 0 : g->A[j]) * reference_v(at, g->b, j, g->h)[m];
    }
}

static void improved(const reference_case *at)
{
    const size_t N = (size_t)at->N;
    int *cluster = malloc((size_t)(at->T + 1) * sizeof *cluster);
    group g = { .at = at, .cluster = cluster, .mean = malloc((size_t)at->D * sizeof(double)), .A = malloc(N * sizeof(double)),
                .A_frozen = malloc(N * sizeof(double)), .p = malloc(N * sizeof(double)), .top = malloc(N) };
    for (g.b = 0; g.b < at->B; g.b++)
        for (g.h = 0; g.h < at->H; g.h++) {
            const int C = reference_clusters(at, g.b, g.h, cluster);
            for (g.c = 0; g.c < C; g.c++) members(&g);
        }
    free(cluster);
    free(g.mean);
    free(g.A);
    free(g.A_frozen);
    free(g.p);
    free(g.top);
}

static const reference_variant variants[] = {
    { .options = "", .largest = 200 },
    { .options = "clusters=5 iterations=4 bits=24 hash_bias=true topk=8", .largest = 200 },
    { .options = "clusters=5 topk=8 convention=idiap", .largest = 200 },
    { .options = "clusters=5 topk=24 pseudo_causal=true", .largest = 200 },
    { .options = "clusters=3 topk=65536", .largest = 65 },
    { .options = "clusters=12 topk=20", .largest = 1000 },
    { 0 },
};

const reference_row reference_improved_clustered = { "improved-clustered", improved, variants };
