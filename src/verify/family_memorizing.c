/* memorizing: KNNAttention of lucidrains/memorizing-transformers-pytorch, given what was retrieved, by autograd/retrieved.h: its one softmax
 * over what was retrieved, the XL memory and what is near is attention over a list that holds them all. */
#include <math.h>
#include <string.h>

#include "autograd/retrieved.h"
#include "verify/families.h"
#include "verify/module.h"

typedef struct knn { sq_module *m; int64_t B, H, T, D, K, xl; } knn;   /* K retrieved, xl rows of XL memory */

static int64_t rows_of(const knn *k) { return k->T * k->K + k->xl + k->T; }

/* Element d of half `half` (key, value) of row i for entry b, head h: the file's [b,h,t,K,2,d], ours [b, (t,K), half, h, d]. */
static int64_t file_at(const knn *k, int64_t b, int64_t h, int64_t i, int64_t half) { return (((b * k->H + h) * k->T * k->K + i) * 2 + half) * k->D; }
static int64_t ours_at(const knn *k, int64_t b, int64_t h, int64_t i, int64_t half) { return ((b * k->T * k->K + i) * 2 + half) * k->H * k->D + h * k->D; }

/* Copies between the two orders. */
static void reorder(const knn *k, float *to, const float *from, bool to_file)
{
    for (int64_t b = 0; b < k->B; b++)
        for (int64_t h = 0; h < k->H; h++)
            for (int64_t i = 0; i < 2 * k->T * k->K; i++) {
                const int64_t file = file_at(k, b, h, i / 2, i % 2), ours = ours_at(k, b, h, i / 2, i % 2);
                memcpy(to + (to_file ? file : ours), from + (to_file ? ours : file), (size_t)k->D * sizeof *to);
            }
}

/* Everything retrieved for a query and head that the mask lets through, all XL memory, and what is near up to the query. */
static int32_t *lists(const knn *k)
{
    const uint8_t *mask = sq__golden_mask(k->m->golden, "retrieved_mask", SQ_SHAPE(k->B, k->H, k->T, k->K));
    const int64_t all = k->K + k->xl + k->T, first = k->T * k->K;
    int32_t *list = mask ? sq__golden_memory(k->m->golden, k->B * k->T * k->H * all, sizeof *list) : NULL;
    for (int64_t b = 0; list && b < k->B; b++)
        for (int64_t t = 0; t < k->T; t++)
            for (int64_t h = 0; h < k->H; h++) {
                int32_t *to = list + ((b * k->T + t) * k->H + h) * all;
                for (int64_t j = 0; j < k->K; j++) *to++ = mask[((b * k->H + h) * k->T + t) * k->K + j] ? (int32_t)(t * k->K + j) : -1;
                for (int64_t j = 0; j < k->xl + k->T; j++) *to++ = j <= k->xl + t ? (int32_t)(first + j) : -1;
            }
    return list;
}

/* Rows of D numbers over their length. */
static sq_var *normalised(const knn *k, sq_var *x, const float *share)
{
    if (!x) return NULL;
    sq_var *weight = sq__module_values(k->m, 1, &k->D, share, false);
    sq_var *rows = sq__reshape(k->m->tape, x, 2, (int64_t[]){ x->count / k->D, k->D });
    return sq__reshape(k->m->tape, sq__rms_norm(k->m->tape, rows, weight, 1e-24f), x->rank, x->shape);
}

/* One head's key and value [B,n,2,D], or [B,n,2D], for all heads: [B, n * 2 H D]. */
static sq_var *for_heads(const knn *k, sq_var *kv, int64_t n)
{
    sq_var *halves[2], *copies[64];
    if (!kv) return NULL;
    kv = sq__reshape(k->m->tape, kv, 3, (int64_t[]){ k->B, n, 2 * k->D });
    for (int half = 0; half < 2; half++) {
        sq_var *one = sq__slice(k->m->tape, kv, half * k->D, k->D);
        for (int64_t h = 0; h < k->H; h++) copies[h] = one;
        halves[half] = sq__concatenate(k->m->tape, copies, (int)k->H);
    }
    return sq__reshape(k->m->tape, sq__concatenate(k->m->tape, halves, 2), 2, (int64_t[]){ k->B, n * 2 * k->H * k->D });
}

/* Rows that may be found, [B, rows, 2 H D]: what was retrieved, the XL memory, what is near. */
static sq_var *all_rows(const knn *k, sq_var *retrieved, sq_var *near)
{
    sq_var *parts[3] = { retrieved };
    int count = 1;
    if (k->xl) parts[count++] = for_heads(k, sq__module_input(k->m, "xl_memory", SQ_SHAPE(k->B, k->xl, 2, k->D)), k->xl);
    parts[count++] = for_heads(k, near, k->T);
    if (!sq__module_going(k->m)) return NULL;
    return sq__reshape(k->m->tape, sq__concatenate(k->m->tape, parts, count), 3, (int64_t[]){ k->B, rows_of(k), 2 * k->H * k->D });
}

static void run(const knn *k, sq_var *x)
{
    sq_module *m = k->m;
    sq_golden *golden = m->golden;
    const int64_t E = k->H * k->D, count = k->B * k->H * k->T * k->K * 2 * k->D, width = x->shape[2];
    const float *file = sq__golden_floats(golden, "retrieved_kv", SQ_SHAPE(k->B, k->H, k->T, k->K, 2, k->D));
    float *ours = sq__golden_room(golden, count), *share = sq__golden_room(golden, k->D);
    if (!file || !ours || !share) return;
    reorder(k, ours, file, false);
    for (int64_t d = 0; d < k->D; d++) share[d] = (float)(1 / sqrt((double)k->D));
    sq_var *retrieved = sq__module_values(m, 2, (int64_t[]){ k->B, k->T * k->K * 2 * E }, ours, true);
    sq_var *q = sq__linear(m->tape, x, sq__module_input(m, "param.to_q.weight", SQ_SHAPE(E, width)), NULL);
    sq_var *kv = sq__linear(m->tape, x, sq__module_input(m, "param.to_kv.weight", SQ_SHAPE(2 * k->D, width)), NULL);
    if (!sq__module_going(m)) return;
    sq_var *near[2] = { normalised(k, sq__slice(m->tape, kv, 0, k->D), share), sq__slice(m->tape, kv, k->D, k->D) };
    sq_var *temperature = sq__module_input(m, "param.scale", SQ_SHAPE(k->H, 1, 1)), *to_out = sq__module_input(m, "param.to_out.weight", SQ_SHAPE(width, E));
    if (!sq__module_going(m)) return;
    const sq_retrieved in = { .q = normalised(k, q, share), .temperature = sq__reshape(m->tape, temperature, 1, &k->H),
                              .memory = { .now = all_rows(k, retrieved, sq__concatenate(m->tape, near, 2)) }, .list = lists(k), .heads = k->H,
                              .topk = k->K + k->xl + k->T, .scale = 1, .learns = true };
    if (!sq__module_going(m) || !in.list) return;
    sq__module_finish(m, sq__linear(m->tape, sq__retrieved(m->tape, &in), to_out, NULL));
    if (!sq__module_going(m) || !retrieved->gradient) return;
    reorder(k, ours, retrieved->gradient, true);
    sq__golden_compare(golden, "grad.retrieved_kv", ours, count);
}

void sq__family_memorizing(sq_golden *golden)
{
    sq_module module;
    knn k = { .m = &module, .H = sq__golden_count(golden, "heads", -1), .D = sq__golden_count(golden, "head_dim", -1),
              .K = sq__golden_count(golden, "retrieved", -1), .xl = sq__golden_count(golden, "xl_memories", 0) };
    if (sq__golden_going(golden) && (k.H < 1 || k.H > 64 || k.D < 1)) sq__golden_fail(golden, "%lld heads of %lld", (long long)k.H, (long long)k.D);
    if (!sq__golden_going(golden) || !sq__module_open(&module, golden)) return;
    sq_var *x = sq__module_input(&module, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    if (x) {
        k.B = x->shape[0];
        k.T = x->shape[1];
        run(&k, x);
    }
    sq__module_close(&module);
}
