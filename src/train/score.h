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

/* logits [split size, classes], rows in the order of dataset->split[split]. tape must not record. seconds (may be NULL): of the model alone. */
sq_status sq__score_model(sq_model *model, sq_tape *tape, const sq_score_input *input, float *logits, double *seconds, sq_error *error);
/* Place of every example in the split's list, [dataset->examples]; sq__free. NULL when out of memory. */
int64_t *sq__split_places(const sq_dataset *dataset, sq_split split);
/* Labels in the order of the split's list, [split size]; sq__free. */
sq_status sq__split_labels(const sq_dataset *dataset, sq_split split, int32_t **labels, sq_error *error);

#endif
