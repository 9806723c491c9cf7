/* A Transformer encoder over any mechanism of the registry: blocks, then (pre-norm) a last norm; kept, recomputed or reversible
 * (nn/stack.h).
 * Parameters: encoder.I.attention.{query_key_value,output}.{weight,bias}, encoder.I.attention.mechanism.NAME (nn/attention_block.h),
 * encoder.I.feed_forward.{in,out}.{weight,bias}, encoder.I.{attention_norm,feed_forward_norm}.{weight,bias} (nn/transformer.h),
 * encoder.norm.{weight,bias}. */
#include <string.h>

#include "models/encoder.h"
#include "models/events.h"

typedef struct encoder { sq_backbone base; sq_stack stack; } encoder;

/* Whether all layers use the first one's tensors: the option `sharing` of the mechanism (Linformer) says so. */
static bool layers_share_tensors(const sq_backbone_spec *spec)
{
    bool shared = false;
    int mechanism = sq_mechanism_find(spec->mechanism);
    sq_option_info info;
    for (int i = 0; mechanism >= 0 && sq_mechanism_option(mechanism, i, &info) == SQ_OK; i++)
        if (strcmp(info.name, "sharing") == 0) shared = strcmp(info.default_text, "layerwise") == 0;
    for (int i = 0; i < spec->option_count; i++)
        if (strcmp(spec->options[i].key, "sharing") == 0) shared = strcmp(spec->options[i].value, "layerwise") == 0;
    return shared;
}

static sq_transformer_config layer_config(const sq_backbone_spec *spec)
{
    const sq_model_config *c = spec->model;
    return (sq_transformer_config){
        .attention = { .mechanism = spec->mechanism,
                       .options = spec->options,
                       .option_count = spec->option_count,
                       .width = c->width,
                       .heads = c->heads,
                       .head_size = c->head_size,
                       .max_length = spec->max_length,
                       .causal = c->causal,
                       .lengths = true,
                       .bias = true,
                       .distance_bias = (sq_bias_kind)c->position_bias,
                       .bias_distance = c->bias_distance,
                       .rotary = c->positions == SQ_POSITIONS_ROTARY,
                       .threads = spec->threads,
                       .seed = spec->seed },
        .feed_forward = c->feed_forward ? c->feed_forward : 4 * c->width,
        .chunk = c->feed_forward_chunk,
        .activation = c->activation == 0 ? SQ_GELU : SQ_RELU,
        .pre_norm = c->norm == SQ_NORM_PRE,
        .dropout = (float)c->dropout,
        .eps = 1e-5f,
    };
}

sq_stack_config sq__encoder_stack(const sq_backbone_spec *spec)
{
    const sq_model_config *c = spec->model;
    return (sq_stack_config){ .layer = layer_config(spec), .layers = (int)c->layers, .share = c->share_layers, .share_tensors = layers_share_tensors(spec),
                              .keeps = c->reversible ? SQ_STACK_REVERSIBLE : c->recompute ? SQ_STACK_RECOMPUTED : SQ_STACK_KEPT };
}

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    (void)config;
    const sq_stack_config stack = sq__encoder_stack(spec);
    encoder *e = sq__alloc_zero(sizeof *e);
    if (!e) return sq__no_memory(error);
    *backbone = &e->base;
    e->base.row_width = sq__stack_width(&stack);
    return sq__stack_create(&e->stack, spec->set, "encoder", &stack, error);
}

static void destroy(sq_backbone *backbone)
{
    encoder *e = (encoder *)backbone;
    sq__stack_clear(&e->stack);
    sq__free(e);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const encoder *e = (const encoder *)backbone;
    return sq__stack_run(&e->stack, tape, &(sq_transformer_inputs){ .x = call->x, .lengths = call->lengths, .auxiliary = call->auxiliary }, call->scope);
}

static sq_status redraw(sq_backbone *backbone, uint64_t draw, sq_error *error)
{
    encoder *e = (encoder *)backbone;
    return sq__stack_redraw(&e->stack, draw, error);
}

const sq_backbone_kind sq__backbone_encoder = {
    .name = "encoder", .title = "Transformer encoder", .paper = "arXiv:1706.03762", .cost = "its attention's", .can = SQ_MODEL_POSITIONS,
    .create = create, .destroy = destroy, .run = run, .redraw = redraw,
};
