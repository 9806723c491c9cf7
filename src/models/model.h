/* A configuration becomes a model of event sequences: embedding, backbone (a Transformer encoder over any mechanism, or one of
 * backbones.c), pooling, linear head. Where the target asks of events, the head reads every row instead of the pooled one. Depends on nn, data/batch.h, config.h.
 *
 *   sum of column embeddings (+ linear map of numbers) (+ positions) -> dropout -> backbone -> pooling -> linear
 * Initial values are drawn per parameter from (seed, name), so everything that is not the backbone's own starts equal for all.
 *
 * Names of parameters are fixed: checkpoints carry them.
 *   embedding.category.COLUMN.weight, embedding.numbers.{weight,bias}, embedding.positions.{weight | rows,columns}, embedding.class (events.h)
 *   the backbone's (encoder.c, recurrent.c, ...), pool.seeds, pool.block.* (pooling by attention: nn/set_transformer.h), head.{weight,bias}
 */
#ifndef SQ_MODELS_MODEL_H
#define SQ_MODELS_MODEL_H

#include "data/batch.h"
#include "models/config.h"
#include "nn/carry.h"

typedef struct sq_model_spec {
    const sq_schema *schema;           /* borrowed during creation only */
    const char *name;                  /* a mechanism of the registry (in an encoder), or a kind of backbones.c */
    const sq_option *options;          /* its own */
    int option_count;
    uint64_t seed;
    int threads;
} sq_model_spec;

typedef struct sq_model sq_model;

/* SQ_NOT_FOUND: unknown name or option; SQ_INVALID: a value; SQ_UNSUPPORTED: what the mechanism or kind cannot do. */
sq_status sq__model_create(sq_model **model, const sq_model_config *config, const sq_model_spec *spec, sq_error *error);
void sq__model_destroy(sq_model **model);
sq_parameter *sq__model_parameters(sq_model *model, int *count);         /* trainable and not; order fixed */
int64_t sq__model_parameter_count(const sq_model *model);                /* trainable numbers */
/* Outputs (data/schema.h) [B, outputs], or of every event [B*T, outputs], rubbish beyond a length; NULL after a failure, which the tape keeps. auxiliary (may be NULL) receives the sum of the mechanisms'
 * regularisers, weighted by their own options, as a scalar variable, or NULL. */
sq_var *sq__model_forward(sq_model *model, sq_tape *tape, const sq_batch *batch, sq_var **auxiliary);
/* Redraw random features and the like: draw counts from 1. The same (seed, draw) gives the same values. Fails only for lack of memory. */
sq_status sq__model_redraw(sq_model *model, uint64_t draw);
void sq__model_zero_gradients(sq_model *model);

/* ---- streams: events that come a few at a time ---- */

bool sq__model_streams(const sq_model *model);
/* Whether an answer comes from one row: that of its event, or the last. */
bool sq__model_last(const sq_model *model);
/* As sq__model_forward, of sequences that go on from the carry, which moves on; what it brings in has no gradient. The answer of a
 * sequence is that of its last row here. */
sq_var *sq__model_segment(sq_model *model, sq_tape *tape, const sq_batch *batch, sq_carry *carry, sq_var **auxiliary);
const sq_carry_layout *sq__model_layout(const sq_model *model);
/* Logits [B,T,classes] after each event of the batch, as if all that the carry has seen stood before it; the carry moves on. */
sq_var *sq__model_stream(sq_model *model, sq_tape *tape, const sq_batch *batch, sq_carry *carry);

#endif
