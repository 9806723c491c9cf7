/* Gated DeltaNet, arXiv:2412.06464: the delta rule with a gate that forgets, as in Mamba-2.
 *   S_t = a_t (I - b_t k_t k_t') S_t-1 + b_t k_t v_t',   out_t = scale S_t' q_t
 *   a_t = exp(-exp(rate_h) softplus(x_t + gate_bias_h)),   b_t = strength sigmoid(y_t)
 * q [T,D] and k [N,D], made vectors of length 1; v [N,M]; x, y [N] the further inputs "gate" and "strength"; causal. O((T + N) (D + M + D M / 64) 64)
 * time; saves the state before each 64 tokens and what each token writes (engine/gated.h).
 *
 * The paper's short convolutions, SiLU, norm and output gate: models/gated_deltanet.c. It has no scale, which the norm hides. A hidden token
 * changes nothing; the direction of a zero vector is zero. */
#include "attention/engine/gated_heads.h"

typedef struct gated_delta_rule_config { double strength; } gated_delta_rule_config;

static const sq_field fields[] = {
    SQ_FLOAT(gated_delta_rule_config, strength, "1", 1e-3, 2, "the most of what a key reads that one token replaces; above 1 states may change sign (arXiv:2411.12537)"),
    SQ_FIELDS_END
};

/* ---- tensors, inputs ---- */

static int tensors(const void *config, const sq_problem *p, sq_attention_tensor *infos)
{
    (void)config;
    if (!infos) return 2;
    infos[0] = (sq_attention_tensor){ "rate", 1, { p->H }, true };
    infos[1] = (sq_attention_tensor){ "gate_bias", 1, { p->H }, true };
    return 2;
}

static sq_status tensor_init(const void *config, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    (void)config;
    if (index == 0) sq__gated_draw_rate(p->H, seed, draw, data);
    else sq__gated_draw_bias(p->H, seed, draw, data);
    return SQ_OK;
}

static int inputs(const void *config, const sq_problem *p, sq_attention_input *infos)
{
    (void)config, (void)p;
    if (infos) infos[0] = (sq_attention_input){ .name = "gate", .width = 1, .of_keys = true };
    if (infos) infos[1] = (sq_attention_input){ .name = "strength", .width = 1, .of_keys = true };
    return 2;
}

static sq_gated_rule rule(const void *config, const sq_problem *p)
{
    return (sq_gated_rule){ .D = p->D, .M = p->M, .delta = true, .unit = true, .gate = SQ_GATE_SOFTPLUS, .width = 1, .scale = p->scale,
                            .strength = (float)((const gated_delta_rule_config *)config)->strength };
}

static const sq_gated_mechanism mechanism = { .rule = rule, .gate = 0, .strength = 1, .rate = 0, .bias = 1, .skip = -1 };

SQ_GATED_ENTRIES(mechanism)

const sq_attention_kind sq__attention_gated_delta_rule = {
    .name = "gated-delta-rule", .title = "delta rule with a gate that forgets", .paper = "arXiv:2412.06464", .cost = "O(n D M) time, O(D M) state",
    .can = SQ_CAUSAL_ONLY | SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM,
    .fields = fields, .config_size = sizeof(gated_delta_rule_config),
    .tensors = tensors, .tensor_init = tensor_init, .inputs = inputs, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward, .state_bytes = state_bytes, .state_reset = state_reset, .step = step,
};
