/* Mamba-2, arXiv:2405.21060: state-space duality whose heads share queries and keys of `state` numbers (the paper's C and B); one short convolution
 * over queries, keys and values, a gate, then an RMS norm of the whole row, and no feed-forward part. Values have `expand` width in all.
 * Parameters and carry: models/gated_stack.h. */
#include "models/gated_stack.h"

typedef struct options { int64_t state, expand, taps; } options;

static const sq_field fields[] = {
    SQ_INT(options, state, "64", 1, 4096, "numbers that a head keeps for each of its values"),
    SQ_INT(options, expand, "2", 1, 16, "values of all heads together are this many times as wide as the model"),
    SQ_INT(options, taps, "4", 1, 64, "steps that the short convolutions see; 1: no convolution and no SiLU"),
    SQ_FIELDS_END,
};

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const options *o = config;
    const sq_model_config *c = spec->model;
    const sq_gated_block_config block = {
        .heads = c->heads, .groups = 1, .taps = o->taps, .rms = true, .output_gate = true, .norm_gated = true,
        .rule = { .D = o->state, .M = sq__gated_head_size(c, o->expand, 1), .gate = SQ_GATE_SOFTPLUS, .width = 1, .weighs = true, .skips = true, .scale = 1 },
    };
    return sq__gated_stack_create(backbone, spec, "mamba-2", &block, NULL, error);
}

const sq_backbone_kind sq__backbone_mamba_2 = {
    .name = "mamba-2", .title = "Mamba-2", .paper = "arXiv:2405.21060", .cost = "O(n D M) time, O(D M) state", .can = SQ_MODEL_STREAMS,
    .fields = fields, .config_size = sizeof(options), .create = create, .destroy = sq__gated_stack_destroy, .run = sq__gated_stack_run,
};
