/* DeltaNet, arXiv:2406.06484: the delta rule on short convolutions of queries, keys (made vectors of length 1) and values, a norm for each head, gated
 * SiLU feed-forward part of 8/3 width. Parameters and carry: models/gated_stack.h. */
#include "models/gated_stack.h"

typedef struct options { int64_t taps; double strength; } options;

static const sq_field fields[] = {
    SQ_INT(options, taps, "4", 1, 64, "steps that the short convolutions see; 1: no convolution and no SiLU"),
    SQ_FLOAT(options, strength, "1", 1e-3, 2, "the most of what a key reads that one token replaces; above 1 states may change sign (arXiv:2411.12537)"),
    SQ_FIELDS_END,
};

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const options *o = config;
    const sq_model_config *c = spec->model;
    const int64_t D = sq__gated_head_size(c, 1, 1);
    const sq_gated_block_config block = {
        .heads = c->heads, .groups = c->heads, .taps = o->taps, .rms = true, .feed = SQ_FEED_SILU,
        .feed_forward = c->feed_forward ? c->feed_forward : (8 * c->width + 2) / 3,
        .rule = { .D = D, .M = D, .delta = true, .unit = true, .scale = 1, .strength = (float)o->strength },
    };
    return sq__gated_stack_create(backbone, spec, "deltanet", &block, NULL, error);
}

const sq_backbone_kind sq__backbone_deltanet = {
    .name = "deltanet", .title = "DeltaNet", .paper = "arXiv:2406.06484", .cost = "O(n D M) time, O(D M) state", .can = SQ_MODEL_STREAMS,
    .fields = fields, .config_size = sizeof(options), .create = create, .destroy = sq__gated_stack_destroy, .run = sq__gated_stack_run,
};
