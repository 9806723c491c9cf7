#include "nn/transformer.h"

static sq_status create_norm(sq_transformer_layer *layer, sq_norm *norm, sq_parameters *set, const char *prefix, const char *name, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return sq__norm_create(norm, set, full, layer->config.attention.width, layer->config.eps, error);
}

static sq_status create_block(sq_attention_block *block, sq_parameters *set, const char *prefix, const char *name,
                              const sq_attention_block_config *config, const sq_attention_block *like, bool share_tensors, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return sq__attention_block_create(block, set, full, config, like, share_tensors, error);
}

sq_status sq__transformer_layer_create(sq_transformer_layer *layer, sq_parameters *set, const char *prefix, const sq_transformer_config *config,
                                       const sq_transformer_layer *like, bool share_tensors, sq_error *error)
{
    char full[96];
    *layer = (sq_transformer_layer){ .config = *config, .decoder = config->cross.mechanism != NULL };
    SQ_TRY(create_block(&layer->attention, set, prefix, "attention", &config->attention, like ? &like->attention : NULL, share_tensors, error));
    SQ_TRY(create_norm(layer, &layer->attention_norm, set, prefix, "attention_norm", error));
    if (layer->decoder) {
        SQ_TRY(create_block(&layer->cross, set, prefix, "cross_attention", &config->cross, like ? &like->cross : NULL, share_tensors, error));
        SQ_TRY(create_norm(layer, &layer->cross_norm, set, prefix, "cross_attention_norm", error));
    }
    snprintf(full, sizeof full, "%s.feed_forward", prefix);
    SQ_TRY(sq__feed_forward_create(&layer->feed_forward, set, full, config->attention.width, config->feed_forward, config->activation, error));
    layer->feed_forward.chunk = config->chunk;
    return create_norm(layer, &layer->feed_forward_norm, set, prefix, "feed_forward_norm", error);
}

void sq__transformer_layer_clear(sq_transformer_layer *layer)
{
    sq__attention_block_clear(&layer->attention);
    sq__attention_block_clear(&layer->cross);
}

/* One attention sublayer; x, residual and dropout of inputs are filled in here. */
static sq_var *attend(const sq_transformer_layer *layer, const sq_attention_block *block, const sq_norm *norm, sq_tape *tape,
                      sq_attention_block_inputs *inputs, sq_var *x)
{
    sq_scope scope = sq__scope_begin(tape);
    const bool pre = layer->config.pre_norm;
    inputs->x = pre ? sq__norm_run(norm, tape, x) : x;
    inputs->residual = x;
    inputs->dropout = layer->config.dropout;
    x = sq__attention_block_run(block, tape, inputs);
    if (!pre) x = sq__norm_run(norm, tape, x);
    sq__scope_end(tape, scope, x, inputs->auxiliary ? *inputs->auxiliary : NULL);
    return x;
}

sq_var *sq__transformer_layer_run(const sq_transformer_layer *layer, sq_tape *tape, const sq_transformer_inputs *inputs)
{
    sq_scope scope = sq__scope_begin(tape);
    sq_attention_block_inputs self = { .lengths = inputs->lengths, .query_lengths = inputs->lengths, .key_keep = inputs->key_keep,
                                       .pair_keep = inputs->pair_keep, .auxiliary = inputs->auxiliary };
    sq_attention_block_inputs cross = { .keys = inputs->memory, .lengths = inputs->memory_lengths, .query_lengths = inputs->lengths,
                                        .key_keep = inputs->memory_keep, .auxiliary = inputs->auxiliary };
    sq_var *x = attend(layer, &layer->attention, &layer->attention_norm, tape, &self, inputs->x);
    if (layer->decoder) x = attend(layer, &layer->cross, &layer->cross_norm, tape, &cross, x);
    if (layer->config.pre_norm) {
        x = sq__feed_forward_run(&layer->feed_forward, tape, sq__norm_run(&layer->feed_forward_norm, tape, x), layer->config.dropout, x);
    } else {
        x = sq__feed_forward_run(&layer->feed_forward, tape, x, layer->config.dropout, x);
        x = sq__norm_run(&layer->feed_forward_norm, tape, x);
    }
    sq__scope_end(tape, scope, x, inputs->auxiliary ? *inputs->auxiliary : NULL);
    return x;
}
