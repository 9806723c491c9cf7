/* Memory-compressed attention, arXiv:1801.10198 section 4.2.3: every `window` keys, and values, become one by a convolution whose kernel
 * and stride are the window.
 *   k'_r = b + sum_t W_t k_{r window + t}    v'_r likewise    out_i = softmax_r(scale q_i . k'_r) v'_r
 * q [T,D]; k [N,D]; v [N,M]; out [T,M]; W [D,D,window] and b [D] of each key head, for keys and for values (joint: one for both).
 * O(T N / window (D+M) + N (D^2+M^2)) time; saves the compressed rows. Queries are not compressed.
 *
 * The last window is filled up with zeros; a window all of whose rows are hidden (lengths, key-mask) is hidden, and a hidden row is a row
 * of zeros. causal: query i sees the windows that end at or before i. So the first window-1 queries see nothing and give zeros, unless
 * null_key is on: a trained key and value that all queries of a sequence see. The paper does not say how it keeps its decoder causal.
 * Departs from the paper: the convolution stays within a head, so that heads may be fewer for keys (grouped: query head h reads key head h / (H/Hk)).
 *
 * lucidrains/memory-compressed-attention: joint, null_key, pad start (the zeros come first, so that where windows lie depends on the
 * length) and scale 1/sqrt(width of the model). */
#include <math.h>
#include <string.h>

#include "attention/engine/compress.h"
#include "attention/engine/dense.h"
#include "attention/registry.h"
#include "base/parallel.h"
#include "base/random.h"
#include "base/status.h"

typedef struct compressed_config { int64_t window; bool joint, bias, null_key; int pad; } compressed_config;

static const char *const pads[] = { "end", "start", NULL };
enum { PAD_END, PAD_START };
enum { KEYS, VALUES };

static const sq_field fields[] = {
    SQ_INT(compressed_config, window, "3", 1, 4096, "keys that become one: kernel and stride of the convolution"),
    SQ_BOOL(compressed_config, joint, "false", "keys and values share a convolution"),
    SQ_BOOL(compressed_config, bias, "true", "bias of the convolution"),
    SQ_BOOL(compressed_config, null_key, "false", "a trained key and value that every query sees"),
    SQ_CHOICE(compressed_config, pad, "end", pads, "where zeros fill up the rows to whole windows"),
    SQ_FIELDS_END
};

/* ---- options and tensors ---- */

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const compressed_config *c = options;
    if (!c->joint || p->D == p->M) return SQ_OK;
    return sq__fail(error, SQ_UNSUPPORTED, "memory-compressed: keys of size %lld and values of size %lld cannot share a convolution; with joint off they can differ",
                    (long long)p->D, (long long)p->M);
}

static int64_t width_of(const sq_problem *p, int side) { return side == KEYS ? p->D : p->M; }

/* Place among the tensors. */
static int weight_of(const compressed_config *c, int side) { return c->joint ? 0 : side; }
static int bias_of(const compressed_config *c, int side)   { return c->joint ? 1 : 2 + side; }
static int null_of(const compressed_config *c, int side)   { return (c->joint ? 1 : 2) * (1 + c->bias) + side; }

static int tensors(const void *options, const sq_problem *p, sq_attention_tensor *infos)
{
    static const char *const weights[] = { "key.weight", "value.weight", "weight" }, *const biases[] = { "key.bias", "value.bias", "bias" };
    static const char *const nulls[] = { "null_key", "null_value" };
    const compressed_config *c = options;
    const int count = null_of(c, KEYS) + 2 * c->null_key;
    for (int side = KEYS; infos && side <= VALUES; side++) {
        const int64_t D = width_of(p, side);
        const int name = c->joint ? 2 : side;
        infos[weight_of(c, side)] = (sq_attention_tensor){ .name = weights[name], .rank = 4, .shape = { p->Hk, D, D, c->window }, .trainable = true };
        if (c->bias) infos[bias_of(c, side)] = (sq_attention_tensor){ .name = biases[name], .rank = 2, .shape = { p->Hk, D }, .trainable = true };
        if (c->null_key) infos[null_of(c, side)] = (sq_attention_tensor){ .name = nulls[side], .rank = 2, .shape = { p->Hk, D }, .trainable = true };
    }
    return count;
}

/* Compressed rows are about as large as rows. */
static sq_status tensor_init(const void *options, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    const compressed_config *c = options;
    const int side = index == weight_of(c, KEYS) || index == null_of(c, KEYS) ? KEYS : VALUES;
    const int64_t D = width_of(p, side);
    const sq_random random = sq__random_stream(seed, side == KEYS ? "memory-compressed.keys" : "memory-compressed.values", draw);
    if (index <= weight_of(c, VALUES)) sq__random_normal_fill(&random, data, p->Hk * D * D * c->window, (float)(1 / sqrt((double)(D * c->window))));
    else memset(data, 0, (size_t)(p->Hk * (index == bias_of(c, KEYS) ? p->D : width_of(p, side))) * sizeof(float));
    return SQ_OK;
}

/* ---- sizes ---- */

static int64_t most_rows(const compressed_config *c, const sq_problem *p)
{
    return c->null_key + (p->N + c->window - 1) / c->window;
}

static int64_t state_floats(const compressed_config *c, const sq_problem *p) { return most_rows(c, p) * (p->D + p->M); }

typedef struct work { void *engine; uint8_t *keep; } work;     /* of a thread; keep: of compressed rows */

static size_t cut_work(const compressed_config *c, const sq_problem *p, sq_pass pass, void *memory, work *w)
{
    const size_t attend = sq__dense_workspace(p->T, most_rows(c, p), p->D, p->M, pass);
    const size_t compress = sq__compress_workspace(SQ_COMPRESS_CONVOLUTION, p->D > p->M ? p->D : p->M);
    sq_cut cut = { memory, 0 };
    w->engine = sq__cut(&cut, attend > compress ? attend : compress);
    w->keep = sq__cut(&cut, (size_t)most_rows(c, p));
    return cut.used;
}

typedef struct memory { float *states, *lse, *dstates; } memory;    /* [B,Hk,state] [B,H,T] [B,Hk,state]; lse NULL: nobody differentiates */

static memory cut_memory(const compressed_config *c, const sq_problem *p, sq_cut *saved, sq_cut *own)
{
    const int64_t states = p->B * p->Hk * state_floats(c, p);
    memory m = { NULL, NULL, NULL };
    float *workspace = sq__cut_floats(own, states);
    if (!saved) return (memory){ workspace, NULL, NULL };
    m.states = sq__cut_floats(saved, states);
    m.lse = sq__cut_floats(saved, p->B * p->H * p->T);
    m.dstates = workspace;
    return m;
}

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    sq_cut saved = { NULL, 0 }, own = { NULL, 0 };
    work w;
    cut_memory(options, p, &saved, &own);
    out->saved = saved.used;
    out->forward_workspace = cut_work(options, p, SQ_FORWARD, NULL, &w) * (size_t)p->threads + own.used;
    out->backward_workspace = cut_work(options, p, SQ_BACKWARD, NULL, &w) * (size_t)p->threads + own.used;
}

static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const double D = (double)p->D, M = (double)p->M, rows = (double)most_rows(options, p);
    const double attend = (double)p->T * rows * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M) / (p->causal ? 2 : 1);
    return 2 * (double)p->B * ((double)(p->Hk * p->N) * (D * D + M * M) * (pass == SQ_FORWARD ? 1 : 2) + (double)p->H * attend);
}

/* ---- both passes ---- */

typedef struct execution {
    const sq_run *run;
    const compressed_config *config;
    size_t per_thread;
    memory m;
} execution;

static execution begin(const sq_run *run, sq_pass pass)
{
    execution e = { .run = run, .config = run->config };
    work w;
    e.per_thread = cut_work(e.config, run->problem, pass, NULL, &w);
    sq_cut saved = { run->call->saved, 0 }, own = { (char *)run->call->workspace + e.per_thread * (size_t)run->problem->threads, 0 };
    e.m = cut_memory(e.config, run->problem, run->call->saved ? &saved : NULL, &own);
    return e;
}

static float *side_at(const execution *e, float *states, int64_t b, int64_t hk, int side)
{
    const sq_problem *p = e->run->problem;
    return states + (b * p->Hk + hk) * state_floats(e->config, p) + (side == KEYS ? 0 : most_rows(e->config, p) * p->D);
}

static int64_t lead_of(const compressed_config *c, int64_t n)
{
    return c->pad == PAD_START ? (c->window - n % c->window) % c->window : 0;
}

/* The keys or values of a key head, as the convolution sees them. */
static sq_compress convolution(const execution *e, const sq_head *head, int side, void *workspace)
{
    const sq_problem *p = e->run->problem;
    const compressed_config *c = e->config;
    const int64_t D = width_of(p, side), hk = head->h / (p->H / p->Hk);
    float *const *all = e->run->call->tensors;
    return (sq_compress){
        .method = SQ_COMPRESS_CONVOLUTION, .n = head->N, .D = D, .rows = (head->N + c->window - 1) / c->window, .window = c->window,
        .lead = lead_of(c, head->N), .x = side == KEYS ? head->k : head->v, .x_row = side == KEYS ? head->k_row : head->v_row, .keep = head->key_keep,
        .weight = all[weight_of(c, side)] + hk * D * D * c->window, .bias = c->bias ? all[bias_of(c, side)] + hk * D : NULL, .workspace = workspace,
    };
}

static void *thread_workspace(const execution *e, int thread)
{
    return (char *)e->run->call->workspace + (size_t)thread * e->per_thread;
}

static sq_head key_head(const execution *e, int64_t b, int64_t hk)
{
    return sq__head(e->run, b, hk * (e->run->problem->H / e->run->problem->Hk));
}

static void compress_head(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    const int64_t b = item / p->Hk, hk = item % p->Hk;
    const sq_head head = key_head(e, b, hk);
    for (int side = KEYS; side <= VALUES; side++) {
        const sq_compress c = convolution(e, &head, side, thread_workspace(e, thread));
        float *rows = side_at(e, e->m.states, b, hk, side);
        if (e->config->null_key) memcpy(rows, e->run->call->tensors[null_of(e->config, side)] + hk * c.D, (size_t)c.D * sizeof *rows);
        rows += e->config->null_key * c.D;
        sq__compress_begin(&c, rows);
        sq__compress_forward(&c, e->run->kernels, 0, rows);
    }
}

/* Which compressed rows may be seen, into keep; false: none. */
static bool seen_rows(const compressed_config *c, const sq_head *head, uint8_t *keep)
{
    const int64_t lead = lead_of(c, head->N);
    bool any = false;
    memset(keep, 0, (size_t)(c->null_key + (head->N + c->window - 1) / c->window));
    for (int64_t j = 0; j < head->N; j++)
        if (head->key_keep[j]) {
            keep[c->null_key + (j + lead) / c->window] = 1;
            any = true;
        }
    if (c->null_key) keep[0] = any;
    return any;
}

/* Query i sees null_key + floor((i + lead + 1) / window) rows: the last of them is floor((i + ahead) / window). */
static sq_dense attention(const execution *e, const sq_head *head, work *w)
{
    const sq_problem *p = e->run->problem;
    const compressed_config *c = e->config;
    const int64_t hk = head->h / (p->H / p->Hk);
    const bool masked = head->key_keep != NULL, any = masked ? seen_rows(c, head, w->keep) : head->N > 0;
    return (sq_dense){
        .T = head->T, .N = any ? c->null_key + (head->N + c->window - 1) / c->window : 0, .D = p->D, .M = p->M, .scale = p->scale,
        .causal = p->causal, .stride = c->window, .ahead = lead_of(c, head->N) + 1 + c->window * (c->null_key - 1),
        .q = head->q, .q_row = head->q_row, .k = side_at(e, e->m.states, head->b, hk, KEYS), .k_row = p->D,
        .v = side_at(e, e->m.states, head->b, hk, VALUES), .v_row = p->M, .key_keep = masked ? w->keep : NULL, .out = head->out,
        .out_row = head->out_row, .lse = e->m.lse ? e->m.lse + (head->b * p->H + head->h) * p->T : NULL,
    };
}

/* ---- forward ---- */

static void forward_head(const sq_run *run, const sq_head *head)
{
    const execution e = begin(run, SQ_FORWARD);
    work w;
    cut_work(e.config, run->problem, SQ_FORWARD, head->workspace, &w);
    const sq_dense dense = attention(&e, head, &w);
    sq__dense_forward(&dense, run->kernels, w.engine);
}

static void forward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    execution e = begin(run, SQ_FORWARD);
    sq__parallel(p->threads, p->B * p->Hk, compress_head, &e);
    sq__for_heads(run, e.per_thread, forward_head);
}

/* ---- backward ---- */

static void backward_head(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    const execution e = begin(run, SQ_BACKWARD);
    const int64_t hk = head->h / (p->H / p->Hk);
    work w;
    cut_work(e.config, p, SQ_BACKWARD, head->workspace, &w);
    const sq_dense dense = attention(&e, head, &w);
    float *dkeys = side_at(&e, e.m.dstates, head->b, hk, KEYS), *dvalues = side_at(&e, e.m.dstates, head->b, hk, VALUES);
    if (!head->accumulate) memset(dkeys, 0, (size_t)state_floats(e.config, p) * sizeof *dkeys);
    sq__dense_backward(&dense, &(sq_dense_gradients){ head->dout, head->dout_row, head->dq, dkeys, dvalues, head->dq_row, p->D, p->M, true }, run->kernels, w.engine);
}

static void input_head(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    const int64_t b = item / p->Hk, hk = item % p->Hk;
    const sq_head head = key_head(e, b, hk);
    for (int side = KEYS; side <= VALUES; side++) {
        const sq_compress c = convolution(e, &head, side, thread_workspace(e, thread));
        const float *drows = side_at(e, e->m.dstates, b, hk, side) + e->config->null_key * c.D;
        sq__compress_backward_input(&c, e->run->kernels, drows, 0, side == KEYS ? head.dk : head.dv, side == KEYS ? head.dk_row : head.dv_row);
    }
}

/* One part of the convolution of one key head, over the batch in order. The first part takes bias and null row along. */
static void weight_part(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    const compressed_config *o = e->config;
    const int64_t parts = sq__compress_parts(SQ_COMPRESS_CONVOLUTION, p->N, o->window), part = item % parts, hk = item / parts;
    float *const *to = e->run->gradients->dtensors;
    for (int64_t b = 0; b < p->B; b++) {
        const sq_head head = key_head(e, b, hk);
        for (int side = KEYS; side <= VALUES; side++) {
            const sq_compress c = convolution(e, &head, side, thread_workspace(e, thread));
            const float *drows = side_at(e, e->m.dstates, b, hk, side), *dnull = drows;
            float *dweight = to[weight_of(o, side)];
            drows += o->null_key * c.D;
            if (dweight) sq__compress_backward_weight(&c, drows, part, dweight + hk * c.D * c.D * o->window);
            if (part > 0) continue;
            if (o->bias && to[bias_of(o, side)]) sq__compress_backward_bias(&c, drows, to[bias_of(o, side)] + hk * c.D);
            if (o->null_key && to[null_of(o, side)]) e->run->kernels->axpy(to[null_of(o, side)] + hk * c.D, 1, dnull, c.D);
        }
    }
}

static void backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    execution e = begin(run, SQ_BACKWARD);
    sq__for_heads(run, e.per_thread, backward_head);
    sq__parallel(p->threads, p->B * p->Hk, input_head, &e);
    if (run->gradients->dtensors)
        sq__parallel(p->threads, p->Hk * sq__compress_parts(SQ_COMPRESS_CONVOLUTION, p->N, e.config->window), weight_part, &e);
}

const sq_attention_kind sq__attention_memory_compressed = {
    .name = "memory-compressed", .title = "keys and values compressed by a strided convolution", .paper = "arXiv:1801.10198",
    .cost = "O(n^2 / window) time, O(n) memory", .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_GROUPED | SQ_CAN_KEY_MASK, .fields = fields,
    .config_size = sizeof(compressed_config), .validate = validate, .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward,
};
