/* Execution of Linformer in phases. Each takes all heads of a range of rows before the next range (engine/groups.h). A sum over rows
 * (compressed keys; their gradients) goes on from range to range, so there a worker has heads; elsewhere it has ranges. */
#include <string.h>

#include "attention/engine/groups.h"
#include "attention/linformer.h"
#include "base/parallel.h"

enum { KEYS = SQ_LINFORMER_KEYS, VALUES = SQ_LINFORMER_VALUES };

typedef struct execution {
    const sq_run *run;
    const sq_linformer_config *config;
    sq_linformer_shape s;
    size_t per_thread;
    float *lse, *states, *dstates;     /* [B,H,T] or NULL; [B,Hk,state] twice */
    int64_t groups;                    /* phases that sum over rows: workers per batch entry */
    int64_t ranges, range;             /* the others: ranges per batch entry, and their rows */
} execution;

static execution begin(const sq_run *run, sq_pass pass)
{
    const sq_problem *p = run->problem;
    execution e = { .run = run, .config = run->config, .s = sq__linformer_shape(run->config, p) };
    sq_cut saved = { run->call->saved, 0 }, workspace = { run->call->workspace, 0 };
    e.per_thread = sq__linformer_thread_bytes(&e.s, p, pass);
    sq__cut(&workspace, e.per_thread * (size_t)p->threads);
    float *own = sq__linformer_cut_states(p, &e.s, &workspace);
    if (run->call->saved) {
        e.lse = sq__linformer_cut_lse(p, &saved);
        e.states = sq__linformer_cut_states(p, &e.s, &saved);
        e.dstates = own;
    } else {
        e.states = own;
    }
    e.groups = sq__head_groups(p->threads, p->B, p->Hk);
    return e;
}

static void *thread_workspace(const execution *e, int thread)
{
    return (char *)e->run->call->workspace + (size_t)thread * e->per_thread;
}

/* View of key head hk: its first query head's. */
static sq_head key_head(const execution *e, int64_t b, int64_t hk)
{
    return sq__head(e->run, b, hk * (e->run->problem->H / e->run->problem->Hk));
}

/* The keys or values of key head hk, as the compression sees them. */
static sq_compress compression(const execution *e, const sq_head *head, int64_t hk, int side, void *workspace)
{
    const sq_problem *p = e->run->problem;
    float *const *all = e->run->call->tensors;
    const int64_t projection = e->s.projections > 1 ? hk : 0;
    return (sq_compress){
        .method = e->s.method, .n = head->N, .D = side == KEYS ? p->D : p->M, .rows = sq__linformer_rows(&e->s, head->N), .window = e->s.window,
        .x = side == KEYS ? head->k : head->v, .x_row = side == KEYS ? head->k_row : head->v_row, .keep = head->key_keep,
        .weight = e->s.weights ? all[sq__linformer_weight(&e->s, side)] + projection * sq__linformer_weight_floats(&e->s, p, side) : NULL,
        .bias = e->s.bias ? all[sq__linformer_bias(&e->s, side)] + projection * sq__linformer_bias_floats(&e->s, p, side) : NULL,
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

/* Attention of the queries from `from` over the compressed rows. */
static sq_dense attention(const execution *e, const sq_head *head, int64_t from)
{
    const sq_problem *p = e->run->problem;
    const int64_t hk = head->h / (p->H / p->Hk), left = head->T - from;
    return (sq_dense){
        .T = left < e->s.queries ? left : e->s.queries, .N = any_key(head) ? sq__linformer_rows(&e->s, head->N) : 0, .D = p->D, .M = p->M,
        .scale = p->scale, .causal = e->config->pseudo_causal && from == 0, .q = head->q + from * head->q_row,
        .k = side_of(e, e->states, head->b, hk, KEYS), .v = side_of(e, e->states, head->b, hk, VALUES), .q_row = head->q_row, .k_row = p->D,
        .v_row = p->M, .out = head->out + from * head->out_row, .out_row = head->out_row,
        .lse = e->lse ? e->lse + (head->b * p->H + head->h) * p->T + from : NULL,
    };
}

static int64_t group_start(const execution *e, int64_t group)
{
    return sq__group_start(group, e->groups, e->run->problem->Hk);
}

static void compress_group(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const int64_t b = item / e->groups, first = group_start(e, item % e->groups), end = group_start(e, item % e->groups + 1);
    const int64_t n = key_head(e, b, first).N, range = sq__compress_range(e->s.method, n);
    for (int64_t from = 0; from == 0 || from < n; from += range > 0 ? range : 1)   /* once when there are no keys */
        for (int64_t hk = first; hk < end; hk++)
            for (int side = KEYS; side <= VALUES; side++) {
                const sq_head head = key_head(e, b, hk);
                const sq_compress c = compression(e, &head, hk, side, thread_workspace(e, thread));
                float *y = side_of(e, e->states, b, hk, side);
                if (from == 0) sq__compress_begin(&c, y);
                sq__compress_forward(&c, e->run->kernels, from, y);
            }
}

static void attend_range(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    const int64_t b = item / e->ranges, from = item % e->ranges * e->range, to = from + e->range < p->T ? from + e->range : p->T;
    for (int64_t h = 0; h < p->H; h++) {
        const sq_head head = sq__head(e->run, b, h);
        const sq_dense dense = attention(e, &head, from);
        if (dense.T > 0) sq__dense_forward(&dense, e->run->kernels, thread_workspace(e, thread));
        sq__zero_rows(head.out, head.out_row, head.T > from ? head.T : from, to, p->M);
    }
}

void sq__linformer_forward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    execution e = begin(run, SQ_FORWARD);
    sq__parallel(p->threads, p->B * e.groups, compress_group, &e);
    e.range = e.s.queries;
    e.ranges = (p->T + e.range - 1) / e.range;
    sq__parallel(p->threads, p->B * e.ranges, attend_range, &e);
}

/* ---- backward ---- */

/* dq, and the gradients of the compressed rows from all query heads that read them, in order. */
static void attend_backward(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    const int64_t b = item / e->groups, group = p->H / p->Hk, first = group_start(e, item % e->groups), end = group_start(e, item % e->groups + 1);
    memset(side_of(e, e->dstates, b, first, KEYS), 0, (size_t)((end - first) * e->s.state) * sizeof(float));
    for (int64_t from = 0; from < p->T; from += e->s.queries)
        for (int64_t h = first * group; h < end * group; h++) {
            const sq_head head = sq__head(e->run, b, h);
            const sq_dense dense = attention(e, &head, from);
            const int64_t to = from + e->s.queries < p->T ? from + e->s.queries : p->T;
            const sq_dense_gradients gradients = {
                head.dout + from * head.dout_row, head.dout_row, head.dq + from * head.dq_row, side_of(e, e->dstates, b, h / group, KEYS),
                side_of(e, e->dstates, b, h / group, VALUES), head.dq_row, p->D, p->M, true,
            };
            if (dense.T > 0) sq__dense_backward(&dense, &gradients, e->run->kernels, thread_workspace(e, thread));
            sq__zero_rows(head.dq, head.dq_row, head.T > from ? head.T : from, to, p->D);
        }
}

/* dk and dv of a range, of all key heads or (one range only) of one. */
static void input_range(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    const int64_t workers = e->ranges > 1 ? e->ranges : p->Hk, b = item / workers, at = item % workers, from = e->ranges > 1 ? at * e->range : 0;
    const int64_t first = e->ranges > 1 ? 0 : at, end = e->ranges > 1 ? p->Hk : at + 1, to = from + e->range < p->N ? from + e->range : p->N;
    for (int64_t hk = first; hk < end; hk++) {
        const sq_head head = key_head(e, b, hk);
        const sq_compress keys = compression(e, &head, hk, KEYS, thread_workspace(e, thread));
        const sq_compress values = compression(e, &head, hk, VALUES, thread_workspace(e, thread));
        sq__compress_backward_input(&keys, e->run->kernels, side_of(e, e->dstates, b, hk, KEYS), from, head.dk, head.dk_row);
        sq__compress_backward_input(&values, e->run->kernels, side_of(e, e->dstates, b, hk, VALUES), from, head.dv, head.dv_row);
        sq__zero_rows(head.dk, head.dk_row, head.N > from ? head.N : from, to, p->D);
        sq__zero_rows(head.dv, head.dv_row, head.N > from ? head.N : from, to, p->M);
    }
}

/* One part of E or F of one projection: everything that it served, in order. The first part takes the bias along. */
static void weight_part(void *context, int64_t item, int thread)
{
    const execution *e = context;
    const sq_problem *p = e->run->problem;
    float *const *to = e->run->gradients->dtensors;
    const int64_t parts = sq__compress_parts(e->s.method, p->N, e->s.window), part = item % parts, projection = item / parts % e->s.projections;
    const int tensor = (int)(item / parts / e->s.projections), last = e->s.joint ? VALUES : tensor;

    for (int64_t b = 0; b < p->B; b++)
        for (int64_t hk = 0; hk < p->Hk; hk++) {
            if (e->s.projections > 1 && hk != projection) continue;
            const sq_head head = key_head(e, b, hk);
            for (int side = tensor; side <= last; side++) {
                const sq_compress c = compression(e, &head, hk, side, thread_workspace(e, thread));
                const float *dy = side_of(e, e->dstates, b, hk, side);
                float *dweight = to[sq__linformer_weight(&e->s, side)], *dbias = e->s.bias && part == 0 ? to[sq__linformer_bias(&e->s, side)] : NULL;
                if (dweight) sq__compress_backward_weight(&c, dy, part, dweight + projection * sq__linformer_weight_floats(&e->s, p, side));
                if (dbias) sq__compress_backward_bias(&c, dy, dbias + projection * sq__linformer_bias_floats(&e->s, p, side));
            }
        }
}

void sq__linformer_backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    execution e = begin(run, SQ_BACKWARD);
    const int64_t parts = sq__compress_parts(e.s.method, p->N, e.s.window), tensors = e.s.joint ? 1 : 2;
    sq__parallel(p->threads, p->B * e.groups, attend_backward, &e);
    e.range = sq__compress_range(e.s.method, p->N);
    e.ranges = (p->N + e.range - 1) / e.range;
    sq__parallel(p->threads, p->B * (e.ranges > 1 ? e.ranges : p->Hk), input_range, &e);
    if (run->gradients->dtensors && e.config->method != SQ_LINFORMER_FIXED)
        sq__parallel(p->threads, tensors * e.s.projections * parts, weight_part, &e);
}
