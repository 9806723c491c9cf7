/* A configuration becomes a classifier: Transformer encoder over any mechanism, or a recurrent baseline. Depends on nn, data/batch.h.
 *
 * encoder: sum of column embeddings (+ linear map of numbers) + positions -> dropout -> blocks -> final norm (pre) -> pooling -> linear.
 * gru:     the same embedding without positions -> GRU layers -> last valid state -> linear.
 * Initial values are drawn per parameter from (seed, name), so everything that is not attention starts equal for every mechanism.
 *
 * Names of parameters are fixed: checkpoints carry them.
 *   embedding.category.COLUMN.weight, embedding.numbers.{weight,bias}, embedding.positions.{weight | rows,columns}, embedding.class (events.h)
 *   encoder.I.attention.{query_key_value,output}.{weight,bias}, encoder.I.attention.mechanism.NAME           (nn/attention_block.h)
 *   encoder.I.feed_forward.{in,out}.{weight,bias}, encoder.I.{attention_norm,feed_forward_norm}.{weight,bias} (nn/transformer.h)
 *   encoder.norm.{weight,bias} (pre-norm), gru.I.{weight_ih,weight_hh,bias_ih,bias_hh}, head.{weight,bias}
 *   pool.seeds, pool.block.* (pooling by attention: nn/set_transformer.h)
 */
#ifndef SQ_MODELS_MODEL_H
#define SQ_MODELS_MODEL_H

#include "autograd/tape.h"
#include "base/fields.h"
#include "data/batch.h"

typedef struct sq_model_config {
    int kind;                          /* "encoder", "gru" */
    int64_t layers, width, heads;
    int64_t head_size;                 /* 0: width / heads */
    int64_t feed_forward;              /* 0: 4 width */
    int norm;                          /* "pre", "post" */
    int activation;                    /* "gelu", "relu" */
    int positions;                     /* "learned", "sinusoidal", "none", "rotary", "axial" */
    int position_bias;                 /* sq_bias_kind: "none", "alibi", "relative" */
    int64_t bias_distance;
    int pooling;                       /* "mean", "last", "class", "attention" */
    bool causal;
    double dropout;
    double embedding_dropout;
} sq_model_config;

extern const sq_field sq__model_fields[];

typedef struct sq_model_spec {
    const sq_schema *schema;           /* borrowed during creation only */
    const char *mechanism;             /* of the encoder; NULL for gru */
    const sq_option *options;
    int option_count;
    uint64_t seed;
    int threads;
} sq_model_spec;

typedef struct sq_model sq_model;

sq_status sq__model_create(sq_model **model, const sq_model_config *config, const sq_model_spec *spec, sq_error *error);
void sq__model_destroy(sq_model **model);
sq_parameter *sq__model_parameters(sq_model *model, int *count);         /* trainable and not; order fixed */
int64_t sq__model_parameter_count(const sq_model *model);                /* trainable numbers */
/* Logits [B, classes]; NULL after a failure, which the tape keeps. auxiliary (may be NULL) receives the sum of the mechanisms'
 * regularisers, weighted by their own options, as a scalar variable, or NULL. */
sq_var *sq__model_forward(sq_model *model, sq_tape *tape, const sq_batch *batch, sq_var **auxiliary);
/* Redraw random features and the like: draw counts from 1. The same (seed, draw) gives the same values. Fails only for lack of memory. */
sq_status sq__model_redraw(sq_model *model, uint64_t draw);
void sq__model_zero_gradients(sq_model *model);

#endif
