/* Exact attention, arXiv:1706.03762, by tiles (arXiv:2205.14135): never a T x N matrix.
 *   out[i] = sum_j p_ij v_j,  p_ij = exp(s_ij) / sum_j exp(s_ij),  s_ij = scale q_i . k_j  over the visible j
 * q [T,D]; k [N,D]; v [N,M]; out [T,M]. O(T N (D+M)) time; memory grows with T only. Saves the log-sum-exp of each row.
 * A bias by distance (engine/bias.h) adds to s_ij. Grouped heads: query head h reads key head h / (H/Hk).
 * Departs from the paper: a query that sees no key gives zeros. */
#include "attention/engine/dense.h"
#include "base/parallel.h"

#include <string.h>

typedef struct softmax_config { char none; } softmax_config;

static size_t per_thread(const sq_problem *p, sq_pass pass)
{
    return sq__dense_workspace(p->T, p->N, p->D, p->M, pass);
}

static void softmax_sizes(const void *config, const sq_problem *p, sq_sizes *sizes)
{
    (void)config;
    sizes->forward_workspace = per_thread(p, SQ_FORWARD) * (size_t)p->threads;
    sizes->backward_workspace = per_thread(p, SQ_BACKWARD) * (size_t)p->threads;
    sizes->saved = (size_t)(p->B * p->H * p->T) * sizeof(float);   /* lse [B,H,T] */
}

/* Multiplications and additions of the products: 2 forward, 5 backward; half of them when causal. */
static double softmax_flops(const void *config, const sq_problem *p, sq_pass pass)
{
    double pairs = (double)p->T * (double)p->N;
    (void)config;
    if (p->causal) {
        const double seen = (double)(p->T < p->N ? p->T : p->N);
        pairs = seen * (seen + 1) / 2 + (double)(p->T - (int64_t)seen) * (double)p->N;
    }
    const double D = (double)p->D, M = (double)p->M, heads = (double)(p->B * p->H);
    return 2 * heads * pairs * (pass == SQ_FORWARD ? D + M : 3 * D + 2 * M);
}

static sq_dense dense_of(const sq_run *run, const sq_head *head, sq_bias *bias)
{
    const sq_problem *p = run->problem;
    return (sq_dense){
        .T = head->T, .N = head->N, .D = p->D, .M = p->M, .scale = p->scale, .causal = p->causal,
        .q = head->q, .k = head->k, .v = head->v, .q_row = head->q_row, .k_row = head->k_row, .v_row = head->v_row,
        .key_keep = head->key_keep, .pair_keep = head->pair_keep, .pair_row = p->N,
        .bias = sq__head_bias(run, head, bias) ? bias : NULL, .out = head->out, .out_row = head->out_row,
        .lse = run->call->saved ? (float *)run->call->saved + (head->b * p->H + head->h) * p->T : NULL,
    };
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    sq_bias bias;
    const sq_dense dense = dense_of(run, head, &bias);
    sq__dense_forward(&dense, run->kernels, head->workspace);
}

static void softmax_forward(const sq_run *run)
{
    sq__for_heads(run, per_thread(run->problem, SQ_FORWARD), forward_head);
}

static void zero_rows(float *x, int64_t row, int64_t from, int64_t to, int64_t width)
{
    for (int64_t i = from; i < to; i++) memset(x + i * row, 0, (size_t)width * sizeof *x);
}

/* One key head and the query heads that read it, in order: dk and dv are sums over them. */
static void backward_group(void *context, int64_t item, int thread)
{
    const sq_run *run = context;
    const sq_problem *p = run->problem;
    const int64_t group = p->H / p->Hk, b = item / p->Hk, first = item % p->Hk * group;

    for (int64_t h = first; h < first + group; h++) {
        sq_head head = sq__head(run, b, h);
        sq_bias bias;
        const sq_dense dense = dense_of(run, &head, &bias);
        const sq_dense_gradients gradients = { head.dout, head.dout_row, head.dq, head.dk, head.dv, head.dq_row, head.dk_row, head.dv_row, h > first };
        sq__dense_backward(&dense, &gradients, run->kernels, (char *)run->call->workspace + (size_t)thread * per_thread(p, SQ_BACKWARD));
        zero_rows(head.dq, head.dq_row, head.T, p->T, p->D);
        if (h > first) continue;
        zero_rows(head.dk, head.dk_row, head.N, p->N, p->D);
        zero_rows(head.dv, head.dv_row, head.N, p->N, p->M);
    }
}

static void softmax_backward(const sq_run *run)
{
    sq__parallel(run->problem->threads, run->problem->B * run->problem->Hk, backward_group, (void *)(uintptr_t)run);
}

const sq_attention_kind sq__attention_softmax = {
    .name = "softmax", .title = "exact attention", .paper = "arXiv:1706.03762", .cost = "O(n^2) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_BIAS |
           SQ_CAN_ROTARY,
    .config_size = sizeof(softmax_config), .sizes = softmax_sizes, .flops = softmax_flops,
    .forward = softmax_forward, .backward = softmax_backward,
};
