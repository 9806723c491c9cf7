/* The time mixing of RWKV-4, arXiv:2305.13048: an attention-free transformer (aft.c) whose biases fall with distance at a trained rate, so that
 * it is a recurrence.
 *   y_t = (sum_{i<t} e^{-(t-1-i) w + k_i} v_i + e^{u + k_t} v_t) / (the same without v),   out_t = sigmoid(q_t) y_t;   by feature
 * q [T,D] (the paper's r); k [N,D]; v [N,D]; rate (w = exp(rate)) and bonus u [H,D] trained; causal. O(n D) time, 4 D numbers of state; saves of
 * each row y and the logarithm of its denominator (engine/wkv.h).
 *
 * The paper's token shift and channel mixing: models/rwkv.c. A hidden token does not decay and has no part; a row that sees nothing gives zeros.
 * Initial values as the authors' code: rates from -5 to 3 over the features of all heads, w = exp(-5 + 8 (i / (n - 1))^1.5), u = log 0.3 + a
 * zigzag of 0.5. No scale is applied. */
#include <math.h>
#include <string.h>

#include "attention/engine/wkv.h"
#include "base/status.h"

static sq_status validate(const void *config, const sq_problem *p, sq_error *error)
{
    (void)config;
    if (p->D == p->M) return SQ_OK;
    return sq__fail(error, SQ_UNSUPPORTED, "wkv: keys have %lld features and values %lld; they are multiplied feature by feature, so both must be equal",
                    (long long)p->D, (long long)p->M);
}

enum { RATE, BONUS };

static int tensors(const void *config, const sq_problem *p, sq_attention_tensor *infos)
{
    (void)config;
    if (!infos) return 2;
    infos[RATE] = (sq_attention_tensor){ "rate", 2, { p->H, p->D }, true };
    infos[BONUS] = (sq_attention_tensor){ "bonus", 2, { p->H, p->D }, true };
    return 2;
}

static sq_status tensor_init(const void *config, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    const int64_t n = p->H * p->D;
    (void)config, (void)seed, (void)draw;
    for (int64_t i = 0; i < n; i++)
        data[i] = index == RATE ? (float)(-5 + 8 * pow(n > 1 ? (double)i / (double)(n - 1) : 0, 1.5)) : (float)(log(0.3) + 0.5 * (double)((i + 1) % 3 - 1));
    return SQ_OK;
}

/* ---- sizes ---- */

typedef struct pieces { float *scratch, *state; } pieces;

static size_t cut_pieces(pieces *s, void *workspace, const sq_problem *p)
{
    sq_cut cut = { workspace, 0 };
    s->scratch = sq__cut_floats(&cut, sq__wkv_floats(p->D));
    s->state = sq__cut_floats(&cut, SQ_WKV_STATE * p->D);
    return cut.used;
}

static size_t per_thread(const sq_problem *p)
{
    pieces s;
    return cut_pieces(&s, NULL, p);
}

/* Gradients of rate and bonus apart for each entry and head, after the threads' workspace. */
static size_t sums_bytes(const sq_problem *p)
{
    return (size_t)(p->B * p->H * 2 * p->D) * sizeof(double);
}

static void sizes(const void *config, const sq_problem *p, sq_sizes *out)
{
    (void)config;
    out->forward_workspace = per_thread(p) * (size_t)p->threads;
    out->backward_workspace = out->forward_workspace + sums_bytes(p);
    out->saved = (size_t)(p->B * p->H * p->T * 2 * p->D) * sizeof(float);
}

static double flops(const void *config, const sq_problem *p, sq_pass pass)
{
    (void)config;
    return (double)(p->B * p->H) * (double)(p->T + p->N) * (double)p->D * (pass == SQ_FORWARD ? 12 : 40);
}

/* ---- forward, backward, step ---- */

typedef struct call { sq_run run; float *states; } call;   /* states [B,H,4,D] of a stream; NULL: from nothing */

static sq_wkv wkv_of(const call *all, const sq_head *head)
{
    const sq_run *run = &all->run;
    const sq_problem *p = run->problem;
    const int64_t item = head->b * p->H + head->h;
    pieces s;
    cut_pieces(&s, head->workspace, p);
    if (!all->states) memset(s.state, 0, (size_t)(SQ_WKV_STATE * p->D) * sizeof *s.state);
    return (sq_wkv){
        .kernels = run->kernels, .T = head->T, .N = head->N, .D = p->D, .r = head->q, .k = head->k, .v = head->v, .out = head->out, .r_row = head->q_row,
        .k_row = head->k_row, .v_row = head->v_row, .out_row = head->out_row, .key_keep = head->key_keep,
        .rate = run->call->tensors[RATE] + head->h * p->D, .bonus = run->call->tensors[BONUS] + head->h * p->D,
        .state = all->states ? all->states + item * SQ_WKV_STATE * p->D : s.state,
        .kept = all->states || !run->call->saved ? NULL : (float *)run->call->saved + item * p->T * 2 * p->D, .workspace = s.scratch,
    };
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    const sq_wkv wkv = wkv_of((const call *)run, head);
    sq__wkv_forward(&wkv);
}

static void forward(const sq_run *run)
{
    const call all = { *run, NULL };
    sq__for_heads(&all.run, per_thread(run->problem), forward_head);
}

static double *sums_of(const sq_run *run, int64_t item)
{
    const sq_problem *p = run->problem;
    return (double *)(void *)((char *)run->call->workspace + per_thread(p) * (size_t)p->threads) + item * 2 * p->D;
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    const sq_wkv wkv = wkv_of((const call *)run, head);
    double *sums = sums_of(run, head->b * p->H + head->h);
    for (int64_t j = 0; head->key_keep && !head->accumulate && j < head->N; j++) {
        if (head->key_keep[j]) continue;
        sq__zero_rows(head->dk, head->dk_row, j, j + 1, p->D);
        sq__zero_rows(head->dv, head->dv_row, j, j + 1, p->D);
    }
    sq__wkv_backward(&wkv, &(sq_wkv_gradients){ head->dout, head->dq, head->dk, head->dv, head->dout_row, head->dq_row, head->dk_row, head->dv_row,
                                               head->accumulate, sums, sums + p->D });
}

static void backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const call all = { *run, NULL };
    sq__for_heads(&all.run, per_thread(p), backward_head);
    for (int i = RATE; i <= BONUS; i++)
        for (int64_t h = 0; h < p->H; h++)
            for (int64_t d = 0; d < p->D; d++) {
                double sum = 0;
                for (int64_t b = 0; b < p->B; b++) sum += sums_of(run, b * p->H + h)[i * p->D + d];
                if (run->gradients->dtensors[i]) run->gradients->dtensors[i][h * p->D + d] += (float)sum;
            }
}

static size_t state_bytes(const void *config, const sq_problem *p)
{
    (void)config;
    return (size_t)(p->B * p->H * SQ_WKV_STATE * p->D) * sizeof(float);
}

static void state_reset(const void *config, const sq_problem *p, void *state)
{
    memset(state, 0, state_bytes(config, p));
}

static void step(const sq_run *run, void *state)
{
    const call all = { *run, state };
    sq__for_heads(&all.run, per_thread(run->problem), forward_head);
}

const sq_attention_kind sq__attention_wkv = {
    .name = "wkv", .title = "RWKV-4: averages that forget, by feature", .paper = "arXiv:2305.13048", .cost = "O(n D) time, O(D) state",
    .can = SQ_CAUSAL_ONLY | SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM,
    .validate = validate, .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops, .forward = forward, .backward = backward,
    .state_bytes = state_bytes, .state_reset = state_reset, .step = step,
};
