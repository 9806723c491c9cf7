/* Retentive network, arXiv:2307.08621: retention by heads that forget at fixed rates, queries and keys turned by their positions, group norm, swish
 * gate; values `expand` times as wide as keys and a feed-forward part of 2 width, so that a block has the Transformer's number of weights.
 * The group norm's weight and bias are shared by the heads (the authors' code has none). Parameters and carry: models/gated_stack.h. */
#include <math.h>

#include "models/gated_stack.h"

typedef struct options { int64_t expand; } options;

static const sq_field fields[] = {
    SQ_INT(options, expand, "2", 1, 16, "values are this many times as wide as keys"),
    SQ_FIELDS_END,
};

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const sq_model_config *c = spec->model;
    const int64_t D = sq__gated_head_size(c, 1, 1);
    float *fixed = sq__alloc_array((size_t)c->heads, sizeof *fixed);
    if (!fixed) return sq__no_memory(error);
    for (int64_t h = 0; h < c->heads; h++) fixed[h] = (float)log1p(-exp2(-5 - (double)h));
    const sq_gated_block_config block = {
        .heads = c->heads, .groups = c->heads, .rotary = true, .output_gate = true, .feed = SQ_FEED_GELU, .feed_forward = c->feed_forward ? c->feed_forward : 2 * c->width,
        .rule = { .D = D, .M = ((const options *)config)->expand * D, .gate = SQ_GATE_FIXED, .width = 1, .scale = (float)(1 / sqrt((double)D)) },
    };
    const sq_status status = sq__gated_stack_create(backbone, spec, "retnet", &block, fixed, error);
    sq__free(fixed);
    return status;
}

const sq_backbone_kind sq__backbone_retnet = {
    .name = "retnet", .title = "Retentive network", .paper = "arXiv:2307.08621", .cost = "O(n D M) time, O(D M) state", .can = SQ_MODEL_STREAMS,
    .fields = fields, .config_size = sizeof(options), .create = create, .destroy = sq__gated_stack_destroy, .run = sq__gated_stack_run,
};
