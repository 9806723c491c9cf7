/* DeltaNet, arXiv:2406.06484 (after arXiv:2102.11174): a token replaces, by the strength b_t, what its key reads by its value.
 *   S_t = (I - b_t k_t k_t') S_t-1 + b_t k_t v_t',   out_t = scale S_t' q_t,   b_t = strength sigmoid(x_t)
 * q [T,D] and k [N,D], made vectors of length 1; v [N,M]; x [N] the further input "strength"; causal. O((T + N) (D + M + D M / 64) 64) time;
 * saves the state before each 64 tokens and what each token writes (engine/gated.h).
 *
 * The paper applies SiLU to q and k and norms outputs: models/deltanet.c. It has no scale, which the norm hides. A hidden token changes nothing;
 * the direction of a zero vector is zero. */
#include "attention/engine/gated_heads.h"

typedef struct delta_rule_config { double strength; } delta_rule_config;

static const sq_field fields[] = {
    SQ_FLOAT(delta_rule_config, strength, "1", 1e-3, 2, "the most of what a key reads that one token replaces; above 1 states may change sign (arXiv:2411.12537)"),
    SQ_FIELDS_END
};

static int inputs(const void *config, const sq_problem *p, sq_attention_input *infos)
{
    (void)config, (void)p;
    if (infos) infos[0] = (sq_attention_input){ .name = "strength", .width = 1, .of_keys = true };
    return 1;
}

static sq_gated_rule rule(const void *config, const sq_problem *p)
{
    return (sq_gated_rule){ .D = p->D, .M = p->M, .delta = true, .unit = true, .scale = p->scale,
                            .strength = (float)((const delta_rule_config *)config)->strength };
}

static const sq_gated_mechanism mechanism = { .rule = rule, .gate = -1, .strength = 0, .rate = -1, .bias = -1, .skip = -1 };

SQ_GATED_ENTRIES(mechanism)

const sq_attention_kind sq__attention_delta_rule = {
    .name = "delta-rule", .title = "linear attention by the delta rule: a key replaces what it reads", .paper = "arXiv:2406.06484", .cost = "O(n D M) time, O(D M) state",
    .can = SQ_CAUSAL_ONLY | SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM,
    .fields = fields, .config_size = sizeof(delta_rule_config),
    .inputs = inputs, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward, .state_bytes = state_bytes, .state_reset = state_reset, .step = step,
};
