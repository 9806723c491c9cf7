/* The loss of a batch, by what its data asks. Depends on autograd, data. */
#ifndef SQ_TRAIN_LOSS_H
#define SQ_TRAIN_LOSS_H

#include "autograd/tape.h"
#include "data/batch.h"

typedef struct sq_loss_options { float label_smoothing; const float *class_weights; } sq_loss_options;   /* class_weights [classes] or NULL */

/* Scalar to be minimised: cross-entropy of classes, squared error of scaled numbers, binary cross-entropy of bits, each a mean over what
 * is asked. outputs: of sq__model_forward. Borrows the batch until reset. */
sq_var *sq__batch_loss(sq_tape *tape, const sq_schema *schema, sq_var *outputs, const sq_batch *batch, const sq_loss_options *options);

/* Whether the batch asks anything. */
bool sq__batch_asks(const sq_schema *schema, const sq_batch *batch);

/* The same as it is reported: sum / weight is the mean cross-entropy, the mean squared error in the numbers' own units, the bits per
 * sequence; sums of batches add up. */
typedef struct sq_loss_sum { double sum, weight; } sq_loss_sum;
/* ending: sequences that end in the batch, all or with segments fewer. */
sq_loss_sum sq__reported_loss(const sq_schema *schema, const sq_batch *batch, int64_t ending, double loss);

#endif
