/* Run a model over one split. Depends on models, data. */
#ifndef SQ_TRAIN_SCORE_H
#define SQ_TRAIN_SCORE_H

#include "models/model.h"

/* What to score: the examples of dataset->split[split], in batches of falling length. */
typedef struct sq_score_input {
    const sq_dataset *dataset;
    sq_split split;
    int64_t batch;
    sq_stop_flag *stop;                /* may be NULL */
} sq_score_input;

/* Takes the outputs of one sequence: [outputs], or of each of its events [rows, outputs]. place: in the split's list. */
typedef struct sq_score_sink {
    void (*take)(void *user, int64_t place, int64_t example, const float *outputs, int64_t rows);
    void *user;
} sq_score_sink;

/* Every sequence of the split goes to the sink (NULL: nobody looks), in the order of the batches. tape must not record. seconds (may be
 * NULL): of the model alone. */
sq_status sq__score_model(sq_model *model, sq_tape *tape, const sq_score_input *input, const sq_score_sink *sink, double *seconds, sq_error *error);
/* Class labels in the order of the split's list, [split size]; sq__free. */
sq_status sq__split_labels(const sq_dataset *dataset, sq_split split, int32_t **labels, sq_error *error);

#endif
