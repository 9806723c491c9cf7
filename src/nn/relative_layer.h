/* A Transformer layer whose attention has relative positions and sees rows of the past beside those of now (Transformer-XL, arXiv:1901.02860).
 *   post: x = norm(x + drop(attend(x; [past; x])))     pre: x = x + drop(attend(norm(x); norm([past; x])))     then the feed-forward likewise
 * Parameters below PREFIX: attention.* (relative_attention.h), feed_forward.*, attention_norm.*, feed_forward_norm.*.
 * Depends on relative_attention.h, feed_forward.h. */
#ifndef SQ_NN_RELATIVE_LAYER_H
#define SQ_NN_RELATIVE_LAYER_H

#include "nn/feed_forward.h"
#include "nn/relative_attention.h"

typedef struct sq_relative_layer_config {
    int64_t width, heads, head_size, feed_forward;
    sq_activation activation;
    bool pre_norm;
    float dropout, eps;
} sq_relative_layer_config;

typedef struct sq_relative_layer {
    sq_relative_layer_config config;
    sq_relative_attention_block attention;
    sq_feed_forward feed_forward;
    sq_norm attention_norm, feed_forward_norm;
} sq_relative_layer;

/* like: the first layer of the stack, whose u and v all use; NULL: this is it. */
sq_status sq__relative_layer_create(sq_relative_layer *layer, sq_parameters *set, const char *prefix, const sq_relative_layer_config *config,
                                    const sq_relative_layer *like, sq_error *error);
/* x [B,T,width] and rows [B,N,width], past and now, as they come; residual and dropout of inputs are the layer's affair. */
sq_var *sq__relative_layer_attend(const sq_relative_layer *layer, sq_tape *tape, const sq_relative_attention_inputs *inputs);
sq_var *sq__relative_layer_feed(const sq_relative_layer *layer, sq_tape *tape, sq_var *x);

#endif
