/* Everything that a run needs to go on where it stopped, and its checkpoint: one safetensors file that is replaced whole.
 * Depends on autograd (parameters), io. */
#ifndef SQ_TRAIN_STATE_H
#define SQ_TRAIN_STATE_H

#include "autograd/tape.h"
#include "subquad/task.h"

/* Whole numbers of the state, by name; in a checkpoint as one tensor each. */
#define SQ_STATE_COUNTERS(X)                                                                          \
    X(epoch)          /* under way, from 0 */                                                         \
    X(batch)          /* next batch of it; the number of batches: all done, not yet validated */      \
    X(step)           /* batches done */                                                              \
    X(updates)        /* of the weights: a batch each, or with segments several */                    \
    X(best_epoch)     /* from 1; 0: none yet */                                                       \
    X(stale)          /* epochs since the best one */                                                 \
    X(ended)          /* 1: no more training */                                                       \
    X(diverged)                                                                                       \
    X(peak_bytes)     /* most memory held above the data set */                                       \
    X(resident_bytes)
#define SQ_STATE_NUMBERS(X)                                                                           \
    X(loss_sum)       /* of this epoch so far */                                     \
    X(loss_weight)                                                                                   \
    X(seconds)        /* of training in this epoch so far */                                          \
    X(best_score)

typedef struct sq_train_state {
#define SQ_STATE_FIELD(name) int64_t name;
    SQ_STATE_COUNTERS(SQ_STATE_FIELD)
#undef SQ_STATE_FIELD
#define SQ_STATE_FIELD(name) double name;
    SQ_STATE_NUMBERS(SQ_STATE_FIELD)
#undef SQ_STATE_FIELD
    int parameter_count;
    sq_parameter *parameters;          /* borrowed: the model's */
    float **first, **second;           /* [parameter_count] moments; NULL entries where not trainable */
    float **best;                      /* [parameter_count] values at the best epoch */
    int64_t curve_count, curve_room;
    sq_epoch *curve;
} sq_train_state;

sq_status sq__state_create(sq_train_state *state, sq_parameter *parameters, int count, int64_t epochs, sq_error *error);
void sq__state_clear(sq_train_state *state);
void sq__state_keep_best(sq_train_state *state);      /* parameters -> best */
void sq__state_restore_best(sq_train_state *state);   /* best -> parameters */

/* description: lines "key=value" of everything that the result depends on; another one in the file is refused with the first difference. */
sq_status sq__checkpoint_write(const sq_train_state *state, const char *path, const char *description, sq_error *error);
sq_status sq__checkpoint_read(sq_train_state *state, const char *path, const char *description, sq_error *error);
/* SQ_INVALID with the first line that differs, for a file made by something else. */
sq_status sq__description_check(const char *path, const char *found, const char *expected, sq_error *error);

#endif
