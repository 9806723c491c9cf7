/* A trained model as its run folder holds it: read it, score any data set of its schema. Depends on models, data, io. */
#ifndef SQ_TRAIN_SCORER_H
#define SQ_TRAIN_SCORER_H

#include "autograd/tape.h"
#include "data/batch.h"
#include "nn/carry.h"
#include "train/score.h"

typedef struct sq_scorer sq_scorer;

/* schema: of the training, outlives the scorer. SQ_FORMAT for a damaged file or weights that are not finite. */
sq_status sq__scorer_open(sq_scorer **scorer, const char *model_path, const sq_schema *schema, int threads, sq_error *error);
const char *sq__scorer_mechanism(const sq_scorer *scorer);
int64_t sq__scorer_layers(const sq_scorer *scorer);   /* of attention; 0: a baseline */
void sq__scorer_observe(sq_scorer *scorer, sq_attention_observer observer, void *context);
void sq__scorer_destroy(sq_scorer **scorer);   /* NULL allowed */
/* What a client's stream carries, or NULL with the reason: then sq__scorer_stream cannot be called. */
const sq_carry_layout *sq__scorer_layout(const sq_scorer *scorer, sq_error *error);
uint64_t sq__scorer_fingerprint(const sq_scorer *scorer);   /* of the weights */
/* *outputs [B,T,outputs] after each event, valid until the next call; the carry moves on. */
sq_status sq__scorer_stream(sq_scorer *scorer, const sq_batch *batch, sq_carry *carry, const float **outputs, sq_error *error);
/* As sq__score_model. */
sq_status sq__scorer_run(sq_scorer *scorer, const sq_dataset *dataset, sq_split split, sq_stop_flag *stop, const sq_score_sink *sink, double *seconds,
                         sq_error *error);

#endif
