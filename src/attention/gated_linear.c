/* Gated linear attention, arXiv:2312.06635: every feature of every token has a gate of its own that forgets.
 *   S_t = diag(a_t) S_t-1 + k_t v_t',   out_t = scale S_t' q_t,   a_t = sigmoid(x_t)^(1 / temperature)
 * q [T,D]; k [N,D]; v [N,M]; x [N,D] the further input "gate"; causal. O((T + N) (D + M + D M / 64) 64) time; saves the state before each 64
 * tokens (engine/gated.h).
 *
 * The paper's x is a projection of rank 16, its outputs are normalised and gated: models/gla.c. It has no scale, which the norm hides. A hidden
 * token does not decay. */
#include "attention/engine/gated_heads.h"

typedef struct gated_linear_config { double temperature; } gated_linear_config;

static const sq_field fields[] = {
    SQ_FLOAT(gated_linear_config, temperature, "16", 1e-3, 1e6, "gates are raised to the power of its inverse: larger forgets less"),
    SQ_FIELDS_END
};

static int inputs(const void *config, const sq_problem *p, sq_attention_input *infos)
{
    (void)config;
    if (infos) infos[0] = (sq_attention_input){ .name = "gate", .width = p->D, .of_keys = true };
    return 1;
}

static sq_gated_rule rule(const void *config, const sq_problem *p)
{
    return (sq_gated_rule){ .D = p->D, .M = p->M, .gate = SQ_GATE_SIGMOID, .width = p->D, .scale = p->scale,
                            .temperature = (float)((const gated_linear_config *)config)->temperature };
}

static const sq_gated_mechanism mechanism = { .rule = rule, .gate = 0, .strength = -1, .rate = -1, .bias = -1, .skip = -1 };

SQ_GATED_ENTRIES(mechanism)

const sq_attention_kind sq__attention_gated_linear = {
    .name = "gated-linear", .title = "gated linear attention: every feature forgets by its own gate", .paper = "arXiv:2312.06635", .cost = "O(n D M) time, O(D M) state",
    .can = SQ_CAUSAL_ONLY | SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM | SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(gated_linear_config),
    .inputs = inputs, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward, .state_bytes = state_bytes, .state_reset = state_reset, .step = step,
};
