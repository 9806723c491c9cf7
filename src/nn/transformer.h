/* Encoder and decoder layers, arXiv:1706.03762 (post-norm) and arXiv:2002.04745 (pre-norm).
 *   post: x = norm(x + drop(f(x)))     pre: x = x + drop(f(norm(x)))
 * for f in turn: self attention, (decoder) cross attention to the encoder's memory, feed-forward.
 *
 * Parameters below PREFIX: attention.*, [cross_attention.*], feed_forward.*, and the norms attention_norm.*,
 * [cross_attention_norm.*], feed_forward_norm.*. Depends on attention_block.h, feed_forward.h. */
#ifndef SQ_NN_TRANSFORMER_H
#define SQ_NN_TRANSFORMER_H

#include "nn/attention_block.h"
#include "nn/feed_forward.h"

typedef struct sq_transformer_config {
    sq_attention_block_config attention;   /* of self attention */
    sq_attention_block_config cross;       /* decoder layers; cross.mechanism NULL: an encoder layer */
    int64_t feed_forward;                  /* hidden width */
    int64_t chunk;                         /* of the hidden rows: nn/feed_forward.h */
    sq_activation activation;
    bool pre_norm;
    float dropout, eps;
} sq_transformer_config;

typedef struct sq_transformer_layer {
    sq_transformer_config config;
    bool decoder;
    sq_attention_block attention, cross;
    sq_feed_forward feed_forward;
    sq_norm attention_norm, cross_norm, feed_forward_norm;
} sq_transformer_layer;

/* like: an earlier layer of the same stack, whose plans (and, with share_tensors, mechanism tensors) are used, too; or NULL. */
sq_status sq__transformer_layer_create(sq_transformer_layer *layer, sq_parameters *set, const char *prefix, const sq_transformer_config *config,
                                       const sq_transformer_layer *like, bool share_tensors, sq_error *error);
void sq__transformer_layer_clear(sq_transformer_layer *layer);

typedef struct sq_transformer_inputs {
    sq_var *x;                         /* [B,T,width] */
    sq_var *memory;                    /* decoder: [B,N,cross.key_width] */
    const int32_t *lengths, *memory_lengths;
    const uint8_t *key_keep, *memory_keep, *pair_keep;
    sq_var **auxiliary;                /* as in sq_attention_block_inputs */
} sq_transformer_inputs;
sq_var *sq__transformer_layer_run(const sq_transformer_layer *layer, sq_tape *tape, const sq_transformer_inputs *inputs);   /* [B,T,width] */

#endif
