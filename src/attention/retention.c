/* Retention, arXiv:2307.08621: sums of outer products of keys and values that forget at a rate of their own for each head.
 *   S_t = gamma_h S_t-1 + k_t v_t',   out_t = scale S_t' q_t,   gamma_h = 1 - 2^(-5-h)
 * q [T,D]; k [N,D]; v [N,M]; causal. O((T + N) (D + M + D M / 64) 64) time; saves the state before each 64 tokens (engine/gated.h).
 *
 * The paper turns queries and keys by their positions (rotary) and normalises each head's output (group norm): the first is the plan's, the second
 * the model's (models/retnet.c), since it hides the scale and with it the paper's normalisation of scores. A hidden token does not decay. */
#include <math.h>

#include "attention/engine/gated_heads.h"

static sq_gated_rule rule(const void *config, const sq_problem *p)
{
    (void)config;
    return (sq_gated_rule){ .D = p->D, .M = p->M, .gate = SQ_GATE_FIXED, .width = 1, .scale = p->scale };
}

static void fixed(const sq_problem *p, float *log_decay)
{
    for (int64_t h = 0; h < p->H; h++) log_decay[h] = (float)log1p(-exp2(-5 - (double)h));
}

static const sq_gated_mechanism mechanism = { .rule = rule, .gate = -1, .strength = -1, .rate = -1, .bias = -1, .skip = -1, .fixed = fixed };

static sq_status prepare(const void *config, const sq_problem *p, void *constants, sq_error *error)
{
    (void)config, (void)error;
    return sq__gated_heads_prepare(&mechanism, p, constants);
}

SQ_GATED_ENTRIES(mechanism)

const sq_attention_kind sq__attention_retention = {
    .name = "retention", .title = "retention: linear attention that forgets at a fixed rate", .paper = "arXiv:2307.08621", .cost = "O(n D M) time, O(D M) state",
    .can = SQ_CAUSAL_ONLY | SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM | SQ_CAN_ROTARY,
    .sizes = sizes, .prepare = prepare, .flops = flops,
    .forward = forward, .backward = backward, .state_bytes = state_bytes, .state_reset = state_reset, .step = step,
};
