/* What a split's outputs come to, gathered sequence by sequence while a model runs: the metrics of every kind of target without keeping
 * the outputs of all events. Sums have a fixed order (a sequence's events, then the split's list). Depends on data, report/metric.h. */
#ifndef SQ_TRAIN_TALLY_H
#define SQ_TRAIN_TALLY_H

#include "data/dataset.h"
#include "subquad/task.h"

typedef struct sq_tally_row { int64_t asked, wrong; double nats; } sq_tally_row;   /* of a sequence: events or bits */

typedef struct sq_tally {
    const sq_dataset *dataset;
    sq_split split;
    int64_t n;                         /* sequences of the split */
    int32_t *labels;                   /* CLASS: [n] */
    float *outputs;                    /* CLASS: [n, classes]; NUMBER: [n] */
    sq_tally_row *rows;                /* of events: [n] */
    int64_t *confusion;                /* EVENT_CLASS of few classes: [classes, classes]; else NULL */
} sq_tally;

sq_status sq__tally_create(sq_tally *tally, const sq_dataset *dataset, sq_split split, sq_error *error);
void sq__tally_clear(sq_tally *tally);
void sq__tally_begin(sq_tally *tally);                 /* before every pass */
/* outputs of one sequence, [outputs] or [its events, outputs]. place: in the split's list. A sink of sq__score_model. */
void sq__tally_take(void *tally, int64_t place, int64_t example, const float *outputs, int64_t rows);
/* confusion [classes, classes] (may be NULL): as sq_run_result has it; *classes: 0 when there is none (may be NULL). */
sq_status sq__tally_quality(const sq_tally *tally, sq_quality *quality, int64_t *confusion, int *classes, sq_error *error);

/* How often the training split answers with each class is added to counts [classes]: of clients, or of events. */
void sq__count_classes(const sq_dataset *dataset, double *counts);
/* The metrics on `split` of giving the same outputs everywhere, those that fit the training split best. */
sq_status sq__constant_quality(const sq_dataset *dataset, sq_split split, sq_quality *quality, sq_error *error);

#endif
