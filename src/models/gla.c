/* Gated linear attention Transformer, arXiv:2312.06635: keys of half the width, a gate of low rank for each of their features, a norm for each head,
 * swish output gate, gated SiLU feed-forward part of 8/3 width. Norms are RMS norms, as in the authors' code. Parameters and carry:
 * models/gated_stack.h. */
#include <math.h>

#include "models/gated_stack.h"

typedef struct options { int64_t rank; double temperature; } options;

static const sq_field fields[] = {
    SQ_INT(options, rank, "16", 1, 65536, "of the gate's projection"),
    SQ_FLOAT(options, temperature, "16", 1e-3, 1e6, "gates are raised to the power of its inverse: larger forgets less"),
    SQ_FIELDS_END,
};

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const options *o = config;
    const sq_model_config *c = spec->model;
    const int64_t D = sq__gated_head_size(c, 1, 2), M = c->head_size ? 2 * D : sq__gated_head_size(c, 1, 1);
    const sq_gated_block_config block = {
        .heads = c->heads, .groups = c->heads, .gate_rank = o->rank, .rms = true, .output_gate = true, .feed = SQ_FEED_SILU,
        .feed_forward = c->feed_forward ? c->feed_forward : (8 * c->width + 2) / 3,
        .rule = { .D = D, .M = M, .gate = SQ_GATE_SIGMOID, .width = D, .scale = (float)(1 / sqrt((double)D)), .temperature = (float)o->temperature },
    };
    return sq__gated_stack_create(backbone, spec, "gla", &block, NULL, error);
}

const sq_backbone_kind sq__backbone_gla = {
    .name = "gla", .title = "Gated linear attention Transformer", .paper = "arXiv:2312.06635", .cost = "O(n D M) time, O(D M) state", .can = SQ_MODEL_STREAMS,
    .fields = fields, .config_size = sizeof(options), .create = create, .destroy = sq__gated_stack_destroy, .run = sq__gated_stack_run,
};
