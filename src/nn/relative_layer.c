#include "nn/relative_layer.h"

sq_status sq__relative_layer_create(sq_relative_layer *layer, sq_parameters *set, const char *prefix, const sq_relative_layer_config *config,
                                    const sq_relative_layer *like, sq_error *error)
{
    char full[96];
    layer->config = *config;
    snprintf(full, sizeof full, "%s.attention", prefix);
    SQ_TRY(sq__relative_attention_create(&layer->attention, set, full, config->width, config->heads, config->head_size, like ? &like->attention : NULL, error));
    snprintf(full, sizeof full, "%s.attention_norm", prefix);
    SQ_TRY(sq__norm_create(&layer->attention_norm, set, full, config->width, config->eps, error));
    snprintf(full, sizeof full, "%s.feed_forward", prefix);
    SQ_TRY(sq__feed_forward_create(&layer->feed_forward, set, full, config->width, config->feed_forward, config->activation, error));
    snprintf(full, sizeof full, "%s.feed_forward_norm", prefix);
    return sq__norm_create(&layer->feed_forward_norm, set, full, config->width, config->eps, error);
}

sq_var *sq__relative_layer_attend(const sq_relative_layer *layer, sq_tape *tape, const sq_relative_attention_inputs *in)
{
    sq_relative_attention_inputs inputs = *in;
    inputs.dropout = layer->config.dropout;
    inputs.residual = in->x;
    if (layer->config.pre_norm) {
        inputs.x = sq__norm_run(&layer->attention_norm, tape, in->x);
        inputs.rows = in->rows == in->x ? inputs.x : sq__norm_run(&layer->attention_norm, tape, in->rows);
    }
    sq_var *y = sq__relative_attention_run(&layer->attention, tape, &inputs);
    return layer->config.pre_norm ? y : sq__norm_run(&layer->attention_norm, tape, y);
}

sq_var *sq__relative_layer_feed(const sq_relative_layer *layer, sq_tape *tape, sq_var *x)
{
    if (layer->config.pre_norm)
        return sq__feed_forward_run(&layer->feed_forward, tape, sq__norm_run(&layer->feed_forward_norm, tape, x), layer->config.dropout, x);
    return sq__norm_run(&layer->feed_forward_norm, tape, sq__feed_forward_run(&layer->feed_forward, tape, x, layer->config.dropout, x));
}
