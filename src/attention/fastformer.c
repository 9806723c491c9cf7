/* Fastformer, additive attention, arXiv:2108.09084: all queries become one, then all keys, and that one meets the values.
 *   a = softmax_i(scale w_q . q_i)      q* = sum_i a_i q_i                 the global query
 *   b = softmax_j(scale w_k . p_j)      k* = sum_j b_j p_j,  p_j = q* . k_j by entries: the global key
 *   out_i = (k* . v_i by entries) W + q_i
 * q, k, v, out [n,D] (values as wide as keys); w_q, w_k [D] and W [D,D] of each query head. O(n D^2) time; saves 2 D + 2 numbers of each head.
 * Both sums are dense attention of one query: w_q over the queries, and w_k . q* over the keys, whose mean times q* is k*.
 *
 * Values do not mix: tokens meet in q* and k*, so row i of out reads v_i alone. A token is a query, a key and a value: there is no cross
 * attention, and a key that lengths or key-mask hide takes its query out of q*, too; its own row gets q_i. Causal order would need q* and k*
 * of each prefix; the paper has none. Grouped heads: query head h reads key head h / (H/Hk).
 * Departs from the paper: W belongs to a head, since the layer around it has a projection over all heads; whether queries and values share
 * a projection is the layer's, too, and ours does not. Where no key is seen, rows are zeros. */
#include <math.h>
#include <string.h>

#include "attention/engine/dense.h"
#include "attention/registry.h"
#include "base/random.h"
#include "base/status.h"

typedef struct fastformer_config { char none; } fastformer_config;

enum { QUERY, KEY, TRANSFORM, TENSORS };

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    (void)options;
    if (p->D == p->M) return SQ_OK;
    return sq__fail(error, SQ_UNSUPPORTED, "fastformer: keys have %lld features and values %lld; they are multiplied feature by feature, so both must be equal",
                    (long long)p->D, (long long)p->M);
}

static int tensors(const void *options, const sq_problem *p, sq_attention_tensor *infos)
{
    (void)options;
    if (!infos) return TENSORS;
    infos[QUERY] = (sq_attention_tensor){ .name = "query", .rank = 2, .shape = { p->H, p->D }, .trainable = true };
    infos[KEY] = (sq_attention_tensor){ .name = "key", .rank = 2, .shape = { p->H, p->D }, .trainable = true };
    infos[TRANSFORM] = (sq_attention_tensor){ .name = "transform", .rank = 3, .shape = { p->H, p->D, p->D }, .trainable = true };
    return TENSORS;
}

static int64_t floats_of(const sq_problem *p, int index)
{
    return index == TRANSFORM ? p->D * p->D : p->D;
}

/* Products with a row are about as large as its entries. */
static sq_status tensor_init(const void *options, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    static const char *const streams[] = { "fastformer.query", "fastformer.key", "fastformer.transform" };
    const sq_random random = sq__random_stream(seed, streams[index], draw);
    (void)options;
    sq__random_normal_fill(&random, data, p->H * floats_of(p, index), (float)(1 / sqrt((double)p->D)));
    return SQ_OK;
}

/* ---- sizes ---- */

typedef struct means { float *query, *key, *lse; } means;      /* q* [D], the weighted mean of the keys [D], of either softmax */

static means cut_means(const sq_problem *p, sq_cut *cut)
{
    means m = { .query = sq__cut_floats(cut, p->D) };
    m.key = sq__cut_floats(cut, p->D);
    m.lse = sq__cut_floats(cut, 2);
    return m;
}

typedef struct work {                  /* of one head */
    const sq_run *run;
    const sq_problem *p;
    const sq_head *head;
    int64_t D, tokens;                 /* rows that are query and key */
    const float *w[TENSORS];
    void *engine;
    means m;
    float *asks, *dasks;               /* w_k . q* by entries, which attends to the keys */
    float *matrix, *dmatrix;           /* diag(k*) W: out_i = v_i matrix + q_i */
    float *dquery, *dkey;              /* gradients of m */
} work;

static size_t cut_work(const sq_problem *p, sq_pass pass, void *memory, work *w)
{
    sq_cut cut = { memory, 0 };
    w->engine = sq__cut(&cut, sq__dense_workspace(1, p->N, p->D, p->D, pass));
    w->m = cut_means(p, &cut);
    w->asks = sq__cut_floats(&cut, p->D);
    w->matrix = sq__cut_floats(&cut, p->D * p->D);
    if (pass == SQ_FORWARD) return cut.used;
    w->dasks = sq__cut_floats(&cut, p->D);
    w->dquery = sq__cut_floats(&cut, p->D);
    w->dkey = sq__cut_floats(&cut, p->D);
    w->dmatrix = sq__cut_floats(&cut, p->D * p->D);
    return cut.used;
}

static size_t per_thread(const sq_problem *p, sq_pass pass)
{
    work w;
    return cut_work(p, pass, NULL, &w);
}

/* Gradient of a tensor's part of (b, h), behind the threads' workspace: summed over the batch in order afterwards. */
static float *part(const sq_run *run, int index, int64_t b, int64_t h)
{
    const sq_problem *p = run->problem;
    float *parts = (float *)(void *)((char *)run->call->workspace + per_thread(p, SQ_BACKWARD) * (size_t)p->threads);
    for (int i = 0; i < index; i++) parts += p->B * p->H * floats_of(p, i);
    return parts + (b * p->H + h) * floats_of(p, index);
}

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    sq_cut saved = { NULL, 0 };
    (void)options;
    cut_means(p, &saved);
    out->saved = saved.used * (size_t)(p->B * p->H);
    out->forward_workspace = per_thread(p, SQ_FORWARD) * (size_t)p->threads;
    out->backward_workspace = per_thread(p, SQ_BACKWARD) * (size_t)p->threads + (size_t)(p->B * p->H * (p->D + 2) * p->D) * sizeof(float);
}

static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const double D = (double)p->D;
    (void)options;
    return 2 * (double)(p->B * p->H) * (double)p->N * D * (pass == SQ_FORWARD ? 4 + D : 10 + 2 * D);
}

/* ---- both passes ---- */

static work begin(const sq_run *run, const sq_head *head, sq_pass pass)
{
    const sq_problem *p = run->problem;
    work w = { .run = run, .p = p, .head = head, .D = p->D, .tokens = head->T < head->N ? head->T : head->N };
    cut_work(p, pass, head->workspace, &w);
    for (int i = 0; i < TENSORS; i++) w.w[i] = run->call->tensors[i] + head->h * floats_of(p, i);
    if (!run->call->saved) return w;
    sq_cut size = { NULL, 0 };
    cut_means(p, &size);
    sq_cut saved = { (char *)run->call->saved + size.used * (size_t)(head->b * p->H + head->h), 0 };
    w.m = cut_means(p, &saved);
    return w;
}

/* One query over n rows that are keys and values. */
static sq_dense mean_of(const work *w, const float *query, const float *rows, int64_t row, int64_t n, float *out, float *lse)
{
    return (sq_dense){ .T = 1, .N = n, .D = w->D, .M = w->D, .scale = w->p->scale, .q = query, .q_row = w->D, .k = rows, .k_row = row, .v = rows,
                       .v_row = row, .key_keep = w->head->key_keep, .out = out, .out_row = w->D, .lse = lse };
}

static sq_dense over_queries(const work *w)
{
    return mean_of(w, w->w[QUERY], w->head->q, w->head->q_row, w->tokens, w->m.query, w->m.lse);
}

static sq_dense over_keys(const work *w)
{
    return mean_of(w, w->asks, w->head->k, w->head->k_row, w->head->N, w->m.key, w->m.lse + 1);
}

static void multiply(float *product, const float *x, const float *y, int64_t n)
{
    for (int64_t c = 0; c < n; c++) product[c] = x[c] * y[c];
}

static void make_matrix(const work *w)
{
    for (int64_t r = 0; r < w->D; r++)
        for (int64_t c = 0; c < w->D; c++) w->matrix[r * w->D + c] = w->m.query[r] * w->m.key[r] * w->w[TRANSFORM][r * w->D + c];
}

/* The next rows from *to on that are tokens and not hidden. */
static bool next_tokens(const work *w, int64_t *from, int64_t *to)
{
    const uint8_t *keep = w->head->key_keep;
    int64_t i = *to;
    while (i < w->tokens && keep && !keep[i]) i++;
    *from = i;
    while (i < w->tokens && (!keep || keep[i])) i++;
    *to = i;
    return *from < *to;
}

static bool sees_any(const sq_head *head)
{
    return head->N > 0 && (!head->key_keep || memchr(head->key_keep, 1, (size_t)head->N));
}

static void copy_rows(float *to, int64_t to_row, const float *from, int64_t from_row, int64_t rows, int64_t width)
{
    for (int64_t i = 0; i < rows; i++) memcpy(to + i * to_row, from + i * from_row, (size_t)width * sizeof *to);
}

/* ---- forward ---- */

static void forward_head(const sq_run *run, const sq_head *head)
{
    const work w = begin(run, head, SQ_FORWARD);
    if (!sees_any(head)) {
        sq__zero_rows(head->out, head->out_row, 0, head->T, w.D);
        return;
    }
    const sq_dense queries = over_queries(&w), keys = over_keys(&w);
    sq__dense_forward(&queries, run->kernels, w.engine);
    multiply(w.asks, w.w[KEY], w.m.query, w.D);
    sq__dense_forward(&keys, run->kernels, w.engine);
    make_matrix(&w);
    copy_rows(head->out, head->out_row, head->q, head->q_row, head->T, w.D);
    for (int64_t from, to = 0; next_tokens(&w, &from, &to);)
        sq__gemm(false, false, to - from, w.D, w.D, 1, head->v + from * head->v_row, head->v_row, w.matrix, w.D, 1, head->out + from * head->out_row,
                 head->out_row);
}

static void forward(const sq_run *run)
{
    sq__for_heads(run, per_thread(run->problem, SQ_FORWARD), forward_head);
}

/* ---- backward ---- */

/* dmatrix and dv, from rows to matrix. */
static void through_values(const work *w)
{
    const sq_head *head = w->head;
    memset(w->dmatrix, 0, (size_t)(w->D * w->D) * sizeof *w->dmatrix);
    for (int64_t from, to = 0; next_tokens(w, &from, &to);) {
        const float *v = head->v + from * head->v_row, *dout = head->dout + from * head->dout_row;
        sq__gemm(true, false, w->D, w->D, to - from, 1, v, head->v_row, dout, head->dout_row, 1, w->dmatrix, w->D);
        sq__gemm(false, true, to - from, w->D, w->D, 1, dout, head->dout_row, w->matrix, w->D, 1, head->dv + from * head->dv_row, head->dv_row);
    }
}

/* From dmatrix to W and to both means. */
static void through_matrix(const work *w, float *dtransform)
{
    for (int64_t r = 0; r < w->D; r++) {
        const float global = w->m.query[r] * w->m.key[r];
        const float dglobal = w->run->kernels->dot(w->dmatrix + r * w->D, w->w[TRANSFORM] + r * w->D, w->D);
        for (int64_t c = 0; c < w->D; c++) dtransform[r * w->D + c] = global * w->dmatrix[r * w->D + c];
        w->dquery[r] = dglobal * w->m.key[r];
        w->dkey[r] = dglobal * w->m.query[r];
    }
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    const work w = begin(run, head, SQ_BACKWARD);
    float *parts[TENSORS];
    for (int i = 0; i < TENSORS; i++) {
        parts[i] = part(run, i, head->b, head->h);
        memset(parts[i], 0, (size_t)floats_of(w.p, i) * sizeof(float));
    }
    if (!head->accumulate) {
        sq__zero_rows(head->dk, head->dk_row, 0, head->N, w.D);
        sq__zero_rows(head->dv, head->dv_row, 0, head->N, w.D);
    }
    if (!sees_any(head)) {
        sq__zero_rows(head->dq, head->dq_row, 0, head->T, w.D);
        return;
    }
    multiply(w.asks, w.w[KEY], w.m.query, w.D);
    make_matrix(&w);
    copy_rows(head->dq, head->dq_row, head->dout, head->dout_row, head->T, w.D);
    through_values(&w);
    through_matrix(&w, parts[TRANSFORM]);
    /* rows are keys and values of both means: both gradients are added to theirs */
    const sq_dense queries = over_queries(&w), keys = over_keys(&w);
    sq__dense_backward(&keys, &(sq_dense_gradients){ w.dkey, w.D, w.dasks, head->dk, head->dk, w.D, head->dk_row, head->dk_row, true }, run->kernels, w.engine);
    multiply(parts[KEY], w.dasks, w.m.query, w.D);
    for (int64_t c = 0; c < w.D; c++) w.dquery[c] += w.dasks[c] * w.w[KEY][c];
    sq__dense_backward(&queries, &(sq_dense_gradients){ w.dquery, w.D, parts[QUERY], head->dq, head->dq, w.D, head->dq_row, head->dq_row, true }, run->kernels,
                       w.engine);
}

static void backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    sq__for_heads(run, per_thread(p, SQ_BACKWARD), backward_head);
    for (int i = 0; run->gradients->dtensors && i < TENSORS; i++)
        for (int64_t b = 0; run->gradients->dtensors[i] && b < p->B; b++)
            run->kernels->axpy(run->gradients->dtensors[i], 1, part(run, i, b, 0), p->H * floats_of(p, i));
}

const sq_attention_kind sq__attention_fastformer = {
    .name = "fastformer", .title = "additive attention through one global query and key", .paper = "arXiv:2108.09084", .cost = "O(n D^2) time, O(D) memory",
    .can = SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED, .config_size = sizeof(fastformer_config), .validate = validate,
    .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops, .forward = forward, .backward = backward,
};
