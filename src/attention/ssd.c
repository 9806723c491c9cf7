/* Mamba-2's state-space dual layer, arXiv:2405.21060: a token forgets and writes as much as its step says.
 *   S_t = exp(-exp(rate_h) s_t) S_t-1 + s_t k_t v_t',   out_t = scale S_t' q_t + skip_h v_t,   s_t = softplus(x_t + step_bias_h)
 * q [T,D], k [N,D], v [N,M] are the paper's C, B and x; x [N] the further input "step_size" (its dt); causal. O((T + N) (D + M + D M / 64) 64) time;
 * saves the state before each 64 tokens (engine/gated.h).
 *
 * The paper's block, where heads share q and k, with its convolution, gate and norm: models/mamba_2.c. The paper has no scale: 1/sqrt(D) is the
 * plan's default. A hidden token changes nothing. */
#include "attention/engine/gated_heads.h"

/* ---- tensors, inputs ---- */

static int tensors(const void *config, const sq_problem *p, sq_attention_tensor *infos)
{
    (void)config;
    if (!infos) return 3;
    infos[0] = (sq_attention_tensor){ "rate", 1, { p->H }, true };
    infos[1] = (sq_attention_tensor){ "step_bias", 1, { p->H }, true };
    infos[2] = (sq_attention_tensor){ "skip", 1, { p->H }, true };
    return 3;
}

static sq_status tensor_init(const void *config, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    (void)config;
    if (index == 0) sq__gated_draw_rate(p->H, seed, draw, data);
    else if (index == 1) sq__gated_draw_bias(p->H, seed, draw, data);
    for (int64_t h = 0; index == 2 && h < p->H; h++) data[h] = 1;
    return SQ_OK;
}

static int inputs(const void *config, const sq_problem *p, sq_attention_input *infos)
{
    (void)config, (void)p;
    if (infos) infos[0] = (sq_attention_input){ .name = "step_size", .width = 1, .of_keys = true };
    return 1;
}

static sq_gated_rule rule(const void *config, const sq_problem *p)
{
    (void)config;
    return (sq_gated_rule){ .D = p->D, .M = p->M, .gate = SQ_GATE_SOFTPLUS, .width = 1, .weighs = true, .skips = true, .scale = p->scale };
}

static const sq_gated_mechanism mechanism = { .rule = rule, .gate = 0, .strength = -1, .rate = 0, .bias = 1, .skip = 2 };

SQ_GATED_ENTRIES(mechanism)

const sq_attention_kind sq__attention_ssd = {
    .name = "ssd", .title = "state space duality: a state-space model as attention", .paper = "arXiv:2405.21060", .cost = "O(n D M) time, O(D M) state",
    .can = SQ_CAUSAL_ONLY | SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM | SQ_CAN_ROTARY,
    .tensors = tensors, .tensor_init = tensor_init, .inputs = inputs, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward, .state_bytes = state_bytes, .state_reset = state_reset, .step = step,
};
