/* clustered and improved_clustered: one implementation; how it maps onto the mechanisms is said in attention/improved_clustered.c. Hashes,
 * clusters, their sizes and top keys are checked number by number, since one that is off makes another function. */
#include <string.h>

#include "attention/engine/cluster.h"
#include "io/safetensors.h"
#include "verify/core.h"
#include "verify/families.h"

typedef struct grouping {
    int64_t B, H, T, N, D;
    sq_cluster rule;
    const float *q, *k;
    const int32_t *query_rows, *key_rows;      /* [B] or NULL */
} grouping;

static const int32_t *read_lengths(sq_golden *golden, const char *key, int64_t B, int64_t most)
{
    if (strcmp(sq__golden_text(golden, key, "null"), "null") == 0) return NULL;
    int32_t *lengths = sq__golden_memory(golden, B, sizeof *lengths);
    for (int64_t b = 0; lengths && b < B; b++) {
        char name[64];
        snprintf(name, sizeof name, "%s[%lld]", key, (long long)b);
        const int64_t length = sq__golden_count(golden, name, -1);
        if (length > most) sq__golden_fail(golden, "metadata '%s' is %lld; expected 0 to %lld", name, (long long)length, (long long)most);
        lengths[b] = (int32_t)length;
    }
    return lengths;
}

static bool read_grouping(sq_golden *golden, grouping *g)
{
    const sq_st_tensor *q = sq__golden_tensor(golden, "q", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    const sq_st_tensor *k = q ? sq__golden_tensor(golden, "k", SQ_SHAPE(q->shape[0], q->shape[1], SQ_ANY, q->shape[3])) : NULL;
    const sq_st_tensor *planes = k ? sq__golden_tensor(golden, "planes", SQ_SHAPE(SQ_ANY, q->shape[3] + 1)) : NULL;
    const sq_st_tensor *initial = planes ? sq__golden_tensor(golden, "init_idx", SQ_SHAPE(SQ_ANY)) : NULL;
    if (!initial) return false;
    *g = (grouping){ .B = q->shape[0], .H = q->shape[1], .T = q->shape[2], .N = k->shape[2], .D = q->shape[3] };
    g->rule = (sq_cluster){ .clusters = initial->shape[0], .iterations = sq__golden_count(golden, "iterations", -1), .bits = planes->shape[0], .D = g->D };
    g->rule.planes = sq__golden_floats(golden, "planes", SQ_SHAPE(SQ_ANY, SQ_ANY));
    g->q = sq__golden_floats(golden, "q", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    g->k = sq__golden_floats(golden, "k", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    g->query_rows = read_lengths(golden, "query_lengths", g->B, g->T);
    g->key_rows = read_lengths(golden, "key_lengths", g->B, g->N);
    if (g->rule.bits > SQ_HASH_BITS) sq__golden_skip(golden, "%lld bits are more than this build has", (long long)g->rule.bits);
    if (g->rule.iterations < 1 || g->rule.iterations > 1000)
        sq__golden_fail(golden, "metadata 'iterations' is %lld; expected 1 to 1000", (long long)g->rule.iterations);
    if (g->rule.clusters > g->T) sq__golden_skip(golden, "more clusters than queries are unknown to this build");
    const int32_t *first = sq__golden_ints(golden, "init_idx", SQ_SHAPE(SQ_ANY));
    float *rows = sq__golden_room(golden, g->rule.clusters);
    for (int64_t c = 0; first && rows && c < g->rule.clusters; c++) {
        if (first[c] < 0 || first[c] >= g->T) sq__golden_fail(golden, "init_idx holds %d; expected 0 to %lld", first[c], (long long)(g->T - 1));
        rows[c] = (float)first[c];
    }
    g->rule.initial = rows;
    return sq__golden_going(golden);
}

/* ---- the choices ---- */

static void check(sq_golden *golden, const char *name, int64_t head, int64_t at, int64_t ours, int64_t theirs)
{
    if (ours != theirs)
        sq__golden_fail(golden, "%s of head %lld, number %lld, is %lld; this build finds %lld", name, (long long)head, (long long)at, (long long)theirs,
                        (long long)ours);
}

static void check_hashes(sq_golden *golden, const grouping *g, int64_t head, int64_t rows, uint64_t *codes)
{
    const sq_st_tensor *hashes = sq__golden_tensor(golden, "hashes", SQ_SHAPE(g->B, g->H, g->T));
    float *workspace = sq__golden_memory(golden, (int64_t)sq__hash_workspace(g->rule.bits), 1);
    if (!workspace || !hashes) return;
    if (hashes->dtype != SQ_ST_I64) sq__golden_fail(golden, "tensor 'hashes' is not I64");
    sq__hash_signs(codes, g->q + head * g->T * g->D, g->D, rows, g->D, g->rule.planes, g->rule.bits, g->D + 1, true, workspace);
    for (int64_t i = 0; i < rows && sq__golden_going(golden); i++)
        check(golden, "hashes", head, i, (int64_t)codes[i], ((const int64_t *)hashes->data)[head * g->T + i]);
}

/* The k keys that a centroid attends most, in order. */
static void check_top(sq_golden *golden, const grouping *g, int64_t head, int64_t keys, const float *mean)
{
    const sq_st_tensor *top = sq__golden_tensor(golden, "topk", SQ_SHAPE(g->B, g->H, g->rule.clusters, SQ_ANY));
    const int32_t *theirs = top ? sq__golden_ints(golden, "topk", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY)) : NULL;
    if (!theirs) return;
    const int64_t most = top->shape[3];
    sq_largest largest = { .value = sq__golden_room(golden, most), .index = sq__golden_memory(golden, most, sizeof(int32_t)) };
    float *score = sq__golden_room(golden, g->N);
    for (int64_t c = 0; c < g->rule.clusters && sq__golden_going(golden); c++) {
        sq__gemm(false, true, 1, keys, g->D, 1, mean + c * g->D, g->D, g->k + head * g->N * g->D, g->D, 0, score, g->N);
        largest.most = most < keys ? most : keys;
        largest.count = 0;
        sq__largest_offer(&largest, score, keys, 0);
        sq__largest_sort(&largest);
        for (int64_t t = 0; t < largest.count; t++)
            check(golden, "topk", head, c * most + t, largest.index[t], theirs[(head * g->rule.clusters + c) * most + t]);
    }
}

static void check_choices(sq_golden *golden, const grouping *g, bool top)
{
    const int64_t C = g->rule.clusters;
    const int32_t *theirs = sq__golden_ints(golden, "clusters", SQ_SHAPE(g->B, g->H, g->T));
    const int32_t *sizes = sq__golden_ints(golden, "counts", SQ_SHAPE(g->B, g->H, C));
    uint64_t *codes = sq__golden_memory(golden, g->T, sizeof *codes);
    int32_t *ours = sq__golden_memory(golden, g->T, sizeof *ours), *count = sq__golden_memory(golden, C, sizeof *count);
    float *mean = sq__golden_room(golden, C * g->D);
    void *workspace = sq__golden_memory(golden, (int64_t)sq__cluster_workspace(g->T, C, g->rule.bits), 1);
    for (int64_t head = 0; sq__golden_going(golden) && head < g->B * g->H; head++) {
        const int64_t rows = g->query_rows ? g->query_rows[head / g->H] : g->T, keys = g->key_rows ? g->key_rows[head / g->H] : g->N;
        const float *q = g->q + head * g->T * g->D;
        check_hashes(golden, g, head, rows, codes);
        sq__cluster_assign(&g->rule, q, g->D, rows, ours, sq__kernels(), workspace);
        for (int64_t i = 0; i < rows; i++) check(golden, "clusters", head, i, ours[i], theirs[head * g->T + i]);
        sq__cluster_means(mean, count, C, q, g->D, rows, g->D, ours, sq__kernels());
        for (int64_t c = 0; c < C; c++) check(golden, "counts", head, c, count[c], sizes[head * C + c]);
        if (top) check_top(golden, g, head, keys, mean);
    }
}

/* ---- the run ---- */

static sq_core core_of(sq_golden *golden, const grouping *g, bool improved, bool causal)
{
    sq_core core = { .desc = { .mechanism = improved ? "improved-clustered" : "clustered", .scale = sq__golden_scale(golden),
                               .lengths = g->query_rows || g->key_rows },
                     .tensor_count = 2, .query_lengths = g->query_rows, .key_lengths = g->key_rows };
    sq__core_option(&core, "clusters", sq__golden_digits(golden, g->rule.clusters));
    sq__core_option(&core, "iterations", sq__golden_digits(golden, g->rule.iterations));
    sq__core_option(&core, "bits", sq__golden_digits(golden, g->rule.bits));
    core.tensors[0] = (sq_core_tensor){ g->rule.planes, g->rule.bits * (g->D + 1), NULL };
    core.tensors[1] = (sq_core_tensor){ g->rule.initial, g->rule.clusters, NULL };
    if (improved) sq__core_option(&core, "topk", sq__golden_digits(golden, sq__golden_count(golden, "topk", -1)));
    if (causal) sq__core_option(&core, "pseudo_causal", "true");
    return core;
}

void sq__family_clustered(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    const bool improved = strcmp(variant, "improved") == 0, causal = strcmp(variant, "improved_causal") == 0;
    grouping g;
    if (!improved && !causal && strcmp(variant, "clustered") != 0) sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    if (!sq__golden_going(golden) || !read_grouping(golden, &g)) return;
    check_choices(golden, &g, improved || causal);
    if (!sq__golden_going(golden)) return;
    sq_core core = core_of(golden, &g, improved || causal, causal);
    if (improved) sq__core_option(&core, "convention", "idiap");
    sq__core_run(golden, &core);
    if (!improved || !sq__golden_has(golden, "g")) return;
    sq_core full = core_of(golden, &g, true, false);
    full.derivative = "_full";
    if (sq__golden_going(golden)) sq__core_run(golden, &full);
}
