/* Linformer, arXiv:2006.04768: keys and values are compressed along the sequence before exact attention.
 *   out = softmax(scale q (E k)') (F v)
 * q [T,D]; k [N,D]; v [N,M]; out [T,M]; E, F [rank, max_length], the first N columns used. O((T+N) rank (D+M)) time; memory beside
 * q, k, v, out grows with T only (log-sum-exp). Saves the compressed keys and values. At most max_length rows: rank is capped there.
 * Grouped heads: query head h reads key head h / (H/Hk); `sharing none` has one E and F per key head.
 *
 * lengths: an entry of length n is computed exactly as if N were n. key-mask: hidden rows of k and v are zeros before compression; the
 * compressed softmax itself is not masked, so rows of E k that are zero keep their share of it. A query without any key gives zeros.
 * E and F mix positions, so there is no causal form. `pseudo_causal` is what tatp22/linformer-pytorch calls causal: query i sees
 * compressed rows up to i. It hides nothing of the future.
 *
 * Initial E, F: normal with variance 1/max_length, so that compressed keys have the scale of keys; the paper's 1/rank makes scores grow
 * with sqrt(N/rank) and saturates the softmax of long sequences. Departs from the paper there, and in offering tatp22's bias.
 *
 * How public implementations map onto this (F' etc.: transposed to the shape of ../shared/golden's README):
 *   core_        sharing headwise, E and F as stored, leading axis 1; max_length = columns of E
 *   lucidrains_  as core_ with E, F transposed; share_kv: sharing key-value and v = k (dk is the sum of both); one_kv_head: one key head
 *   fairseq_     E x, then the projection, is the projection without bias, then E: k = x wk', v = x wv', sharing headwise (key-value when
 *                F = E). The bias of k adds the same to all scores of a query, so it drops out; the bias of v is added to out
 *   tatp22_      sharing none / headwise / key-value as named (kv); method learnable with bias; no_params: method fixed (learnable without
 *                bias when the gradient of E is asked), E transposed; convolution: method convolution with bias. input_keep: key-mask;
 *                query_keep: rows of q set to zero by the caller; causal: pseudo_causal
 */
#include <math.h>
#include <string.h>

#include "attention/engine/compress.h"
#include "attention/engine/dense.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/status.h"

enum { LEARNABLE, FIXED, MEAN_POOL, CONVOLUTION };
enum { NONE, HEADWISE, KEY_VALUE, LAYERWISE };
enum { KEYS, VALUES };

typedef struct linformer_config {
    int64_t rank;
    int sharing, method;
    bool bias, pseudo_causal;
} linformer_config;

static const char *const sharings[] = { "none", "headwise", "key-value", "layerwise", NULL };
static const char *const methods[] = { "learnable", "fixed", "mean-pool", "convolution", NULL };

static const sq_field fields[] = {
    SQ_INT(linformer_config, rank, "64", 1, 1 << 20, "rows that keys and values are compressed to (at most max_length)"),
    SQ_CHOICE(linformer_config, sharing, "headwise", sharings, "what shares a projection: nothing, heads, also keys and values, also layers"),
    SQ_CHOICE(linformer_config, method, "learnable", methods, "how the sequence is compressed"),
    SQ_BOOL(linformer_config, bias, "false", "bias of the projection"),
    SQ_BOOL(linformer_config, pseudo_causal, "false", "query i sees compressed rows up to i (not causality)"),
    SQ_FIELDS_END
};

/* ---- what a call looks like ---- */

typedef struct shape {
    sq_compress_method method;
    int64_t rows, window;              /* most compressed rows; window of pooling and convolution */
    int64_t projections;               /* leading axis of E and F */
    bool weights, joint, bias;         /* E exists; F is E; there are biases */
    int64_t state;                     /* floats of one head's compressed keys and values */
} shape;

static shape shape_of(const linformer_config *config, const sq_problem *p)
{
    const int64_t rank = config->rank < p->max_length ? config->rank : p->max_length;
    shape s = { .rows = rank, .window = (p->max_length + rank - 1) / rank, .projections = config->sharing == NONE ? p->Hk : 1 };
    s.method = config->method == MEAN_POOL ? SQ_COMPRESS_MEAN : config->method == CONVOLUTION ? SQ_COMPRESS_CONVOLUTION : SQ_COMPRESS_LINEAR;
    if (s.method != SQ_COMPRESS_LINEAR) s.rows = (p->N + s.window - 1) / s.window;
    s.weights = config->method != MEAN_POOL;
    s.joint = config->sharing == KEY_VALUE || config->sharing == LAYERWISE;
    s.bias = config->bias && (config->method == LEARNABLE || config->method == CONVOLUTION);
    s.state = s.rows * (p->D + p->M);
    return s;
}

/* Compressed rows that an entry of n keys has. */
static int64_t rows_of(const shape *s, int64_t n)
{
    return s->method == SQ_COMPRESS_LINEAR ? s->rows : (n + s->window - 1) / s->window;
}

static int tensor_of(const shape *s, int side)       { return s->joint ? 0 : side; }
static int bias_tensor_of(const shape *s, int side)  { return s->joint ? 1 : 2 + side; }

static int64_t weight_floats(const shape *s, const sq_problem *p, int side)
{
    const int64_t width = side == KEYS ? p->D : p->M;
    return s->method == SQ_COMPRESS_LINEAR ? s->rows * p->max_length : width * width * s->window;
}

static int64_t bias_floats(const shape *s, const sq_problem *p, int side)
{
    return s->method == SQ_COMPRESS_LINEAR ? s->rows : side == KEYS ? p->D : p->M;
}

/* ---- options and tensors ---- */

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const linformer_config *config = options;
    const shape s = shape_of(config, p);
    if (config->method == CONVOLUTION && s.joint && p->D != p->M)
        return sq__fail(error, SQ_UNSUPPORTED, "linformer: keys of size %lld and values of size %lld cannot share a convolution; sharing headwise can",
                        (long long)p->D, (long long)p->M);
    return SQ_OK;
}

static sq_attention_tensor describe(const linformer_config *config, const shape *s, const sq_problem *p, int side, bool bias)
{
    static const char *const names[] = { "E", "F", "E_bias", "F_bias" }, *const shared[] = { "shared.E", "shared.E_bias" };
    const int64_t width = side == KEYS ? p->D : p->M;
    sq_attention_tensor info = { .name = config->sharing == LAYERWISE ? shared[bias] : names[bias * 2 + side], .trainable = config->method != FIXED };
    info.shape[0] = s->projections;
    if (bias) {
        info.rank = 2;
        info.shape[1] = bias_floats(s, p, side);
    } else if (s->method == SQ_COMPRESS_LINEAR) {
        info.rank = 3;
        info.shape[1] = s->rows;
        info.shape[2] = p->max_length;
    } else {
        info.rank = 4;
        info.shape[1] = info.shape[2] = width;
        info.shape[3] = s->window;
    }
    return info;
}

/* E, F, E_bias, F_bias; F and F_bias only where they are not E's. */
static int tensors(const void *options, const sq_problem *p, sq_attention_tensor *infos)
{
    const linformer_config *config = options;
    const shape s = shape_of(config, p);
    int count = 0;
    for (int bias = 0; s.weights && bias <= (int)s.bias; bias++)
        for (int side = KEYS; side <= (s.joint ? KEYS : VALUES); side++, count++)
            if (infos) infos[count] = describe(config, &s, p, side, bias);
    return count;
}

static sq_status tensor_init(const void *options, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    const shape s = shape_of(options, p);
    const int side = s.joint ? KEYS : index % 2;
    const bool bias = index >= (s.joint ? 1 : 2);
    const sq_random random = sq__random_stream(seed, side == KEYS ? "linformer.E" : "linformer.F", draw);
    const int64_t terms = s.method == SQ_COMPRESS_LINEAR ? p->max_length : (side == KEYS ? p->D : p->M) * s.window;
    if (bias) memset(data, 0, (size_t)(s.projections * bias_floats(&s, p, side)) * sizeof(float));
    else sq__random_normal_fill(&random, data, s.projections * weight_floats(&s, p, side), (float)(1 / sqrt((double)terms)));
    return SQ_OK;
}

/* ---- sizes ---- */

static size_t thread_bytes(const shape *s, const sq_problem *p, sq_pass pass)
{
    const size_t attend = sq__dense_workspace(p->T, s->rows, p->D, p->M, pass), compress = sq__compress_workspace(s->method, p->D > p->M ? p->D : p->M);
    return attend > compress ? attend : compress;
}

static float *cut_lse(const sq_problem *p, sq_cut *cut)                          { return sq__cut_floats(cut, p->B * p->H * p->T); }
static float *cut_states(const sq_problem *p, const shape *s, sq_cut *cut)       { return sq__cut_floats(cut, p->B * p->Hk * s->state); }

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    const shape s = shape_of(options, p);
    sq_cut saved = { NULL, 0 }, states = { NULL, 0 };
    cut_states(p, &s, &states);
    cut_lse(p, &saved);
    cut_states(p, &s, &saved);
    out->saved = saved.used;
    out->forward_workspace = thread_bytes(&s, p, SQ_FORWARD) * (size_t)p->threads + states.used;    /* the states of a forward that saves nothing */
    out->backward_workspace = thread_bytes(&s, p, SQ_BACKWARD) * (size_t)p->threads + states.used;  /* their gradients */
}

static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const shape s = shape_of(options, p);
    const double D = (double)p->D, M = (double)p->M, N = (double)p->N, rows = (double)s.rows;
    const double compress = s.method == SQ_COMPRESS_LINEAR ? rows * N * (D + M) : s.method == SQ_COMPRESS_MEAN ? N * (D + M) / 2 : N * (D * D + M * M);
    const double attend = (double)p->T * rows * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M);
    return 2 * (double)p->B * ((double)p->Hk * compress * (pass == SQ_FORWARD ? 1 : 2) + (double)p->H * attend);
}

/* ---- execution ---- */

typedef struct execution {
    const sq_run *run;
    const linformer_config *config;
    shape s;
    size_t per_thread;
    float *lse, *states, *dstates;     /* [B,H,T] or NULL; [B,Hk,state] twice */
} execution;

static execution begin(const sq_run *run, sq_pass pass)
{
    execution e = { .run = run, .config = run->config, .s = shape_of(run->config, run->problem) };
    sq_cut saved = { run->call->saved, 0 }, workspace = { run->call->workspace, 0 };
    e.per_thread = thread_bytes(&e.s, run->problem, pass);
    sq__cut(&workspace, e.per_thread * (size_t)run->problem->threads);
    float *own = cut_states(run->problem, &e.s, &workspace);
    if (run->call->saved) {
        e.lse = cut_lse(run->problem, &saved);
        e.states = cut_states(run->problem, &e.s, &saved);
        e.dstates = own;
    } else {
        e.states = own;
    }
    return e;
}

static void *thread_workspace(const execution *e, int thread)
{
    return (char *)e->run->call->workspace + (size_t)thread * e->per_thread;
}

/* The keys or values of key head hk, as the compression sees them. */
static sq_compress compression(const execution *e, const sq_head *head, int64_t hk, int side, void *workspace)
{
    const sq_problem *p = e->run->problem;
    float *const *all = e->run->call->tensors;
    const int64_t projection = e->s.projections > 1 ? hk : 0;
    return (sq_compress){
        .method = e->s.method, .n = head->N, .D = side == KEYS ? p->D : p->M, .rows = rows_of(&e->s, head->N), .window = e->s.window,
        .x = side == KEYS ? head->k : head->v, .x_row = side == KEYS ? head->k_row : head->v_row, .keep = head->key_keep,
        .weight = e->s.weights ? all[tensor_of(&e->s, side)] + projection * weight_floats(&e->s, p, side) : NULL,
        .bias = e->s.bias ? all[bias_tensor_of(&e->s, side)] + projection * bias_floats(&e->s, p, side) : NULL,
        .weight_row = p->max_length, .workspace = workspace,
    };
}

static float *side_of(const execution *e, float *states, int64_t b, int64_t hk, int side)
{
    return states + (b * e->run->problem->Hk + hk) * e->s.state + (side == KEYS ? 0 : e->s.rows * e->run->problem->D);
}

static bool any_key(const sq_head *head)
{
    int64_t j = 0;
    while (j < head->N && head->key_keep && !head->key_keep[j]) j++;
    return j < head->N;
}

static sq_dense attention(const execution *e, const sq_head *head)
{
    const sq_problem *p = e->run->problem;
    const int64_t hk = head->h / (p->H / p->Hk);
    return (sq_dense){
        .T = head->T, .N = any_key(head) ? rows_of(&e->s, head->N) : 0, .D = p->D, .M = p->M, .scale = p->scale, .causal = e->config->pseudo_causal,
        .q = head->q, .k = side_of(e, e->states, head->b, hk, KEYS), .v = side_of(e, e->states, head->b, hk, VALUES), .q_row = head->q_row,
        .k_row = p->D, .v_row = p->M, .out = head->out, .out_row = head->out_row, .lse = e->lse ? e->lse + (head->b * p->H + head->h) * p->T : NULL,
    };
}

static void compress_group(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    const int64_t b = item / p->Hk, hk = item % p->Hk;
    const sq_head head = sq__head(e->run, b, hk * (p->H / p->Hk));
    for (int side = KEYS; side <= VALUES; side++) {
        const sq_compress c = compression(e, &head, hk, side, thread_workspace(e, thread));
        sq__compress_forward(&c, e->run->kernels, side_of(e, e->states, b, hk, side));
    }
}

static void attend(const sq_run *run, const sq_head *head)
{
    const execution e = begin(run, SQ_FORWARD);
    const sq_dense dense = attention(&e, head);
    sq__dense_forward(&dense, run->kernels, head->workspace);
}

static void forward(const sq_run *run)
{
    execution e = begin(run, SQ_FORWARD);
    sq__parallel(run->problem->threads, run->problem->B * run->problem->Hk, compress_group, &e);
    sq__for_heads(run, e.per_thread, attend);
}

/* One key head: gradients of its compressed rows from the query heads that read it, in order; then of the rows themselves. */
static void backward_group(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    const int64_t group = p->H / p->Hk, b = item / p->Hk, hk = item % p->Hk;
    float *dkeys = side_of(e, e->dstates, b, hk, KEYS), *dvalues = side_of(e, e->dstates, b, hk, VALUES);
    sq_head head;

    memset(dkeys, 0, (size_t)e->s.state * sizeof(float));
    for (int64_t h = hk * group; h < (hk + 1) * group; h++) {
        head = sq__head(e->run, b, h);
        const sq_dense dense = attention(e, &head);
        const sq_dense_gradients gradients = { head.dout, head.dout_row, head.dq, dkeys, dvalues, head.dq_row, p->D, p->M, true };
        sq__dense_backward(&dense, &gradients, e->run->kernels, thread_workspace(e, thread));
        sq__zero_rows(head.dq, head.dq_row, head.T, p->T, p->D);
    }
    const sq_compress keys = compression(e, &head, hk, KEYS, thread_workspace(e, thread));
    const sq_compress values = compression(e, &head, hk, VALUES, thread_workspace(e, thread));
    sq__compress_backward_input(&keys, e->run->kernels, dkeys, head.dk, head.dk_row);
    sq__compress_backward_input(&values, e->run->kernels, dvalues, head.dv, head.dv_row);
    sq__zero_rows(head.dk, head.dk_row, head.N, p->N, p->D);
    sq__zero_rows(head.dv, head.dv_row, head.N, p->N, p->M);
}

/* One part of E or F of one projection: everything that it served, in order. The first part takes the bias along. */
static void weight_part(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    float *const *to = e->run->gradients->dtensors;
    const int64_t parts = sq__compress_parts(e->s.method, p->N, e->s.window), part = item % parts, projection = item / parts % e->s.projections;
    const int first = (int)(item / parts / e->s.projections), last = e->s.joint ? VALUES : first;

    for (int64_t b = 0; b < p->B; b++)
        for (int64_t hk = 0; hk < p->Hk; hk++) {
            if (e->s.projections > 1 && hk != projection) continue;
            const sq_head head = sq__head(e->run, b, hk * (p->H / p->Hk));
            for (int side = first; side <= last; side++) {
                const sq_compress c = compression(e, &head, hk, side, thread_workspace(e, thread));
                const float *dy = side_of(e, e->dstates, b, hk, side);
                float *dweight = to[tensor_of(&e->s, side)], *dbias = e->s.bias && part == 0 ? to[bias_tensor_of(&e->s, side)] : NULL;
                if (dweight) sq__compress_backward_weight(&c, dy, part, dweight + projection * weight_floats(&e->s, p, side));
                if (dbias) sq__compress_backward_bias(&c, dy, dbias + projection * bias_floats(&e->s, p, side));
            }
        }
}

static void backward(const sq_run *run)
{
    execution e = begin(run, SQ_BACKWARD);
    const int64_t parts = sq__compress_parts(e.s.method, run->problem->N, e.s.window), tensors_with_parts = e.s.joint ? 1 : 2;
    sq__parallel(run->problem->threads, run->problem->B * run->problem->Hk, backward_group, &e);
    if (run->gradients->dtensors && e.config->method != FIXED) sq__parallel(run->problem->threads, tensors_with_parts * e.s.projections * parts, weight_part, &e);
}

const sq_attention_kind sq__attention_linformer = {
    .name = "linformer", .title = "low-rank projection of keys and values", .paper = "arXiv:2006.04768", .cost = "O(n rank) time, O(n) memory",
    .can = SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_GROUPED | SQ_CAN_KEY_MASK, .fields = fields, .config_size = sizeof(linformer_config),
    .validate = validate, .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops, .forward = forward, .backward = backward,
};
