/* The parts of training by gradient descent: one step, one epoch's end. Depends on models, data. */
#ifndef SQ_TRAIN_FIT_MODEL_H
#define SQ_TRAIN_FIT_MODEL_H

#include "report/events.h"
#include "train/fit.h"
#include "train/schedule.h"
#include "train/segments.h"
#include "train/state.h"
#include "train/tally.h"

typedef struct sq_fitting {
    sq_fit *fit;
    const sq_train_job *job;
    sq_model *model;
    sq_tape *tape, *quiet;             /* one records, the other is for validation */
    sq_batcher *batcher;
    int64_t batches, steps;            /* per epoch; of the whole run at most */
    sq_schedule schedule;
    float *class_weights;              /* [classes], or NULL: all 1 */
    sq_tally tally;                    /* of the validation split */
    sq_segments segments;              /* length 0: whole sequences */
    int64_t first_step;                /* where this call began: for the time left */
    double last_checkpoint;            /* sq__clock() */
    sq_events *events;
    sq_train_state state;
} sq_fitting;

/* One batch, or its segments one after the other: gradient, clipping, AdamW. A loss or gradient that is not finite sets state.diverged and leaves the parameters. */
sq_status sq__fit_step(sq_fitting *fitting, sq_error *error);
/* Validation, best weights, early stopping, curve, events, metrics.csv; then the state stands at the next epoch. */
sq_status sq__fit_epoch_end(sq_fitting *fitting, sq_error *error);
sq_status sq__fit_checkpoint(sq_fitting *fitting, sq_error *error);

#endif
