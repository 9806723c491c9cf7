/* Multinomial logistic regression on aggregates of a client, and ridge regression where a number is asked: the baseline that users ask
 * for. Depends on data, io.
 *
 * Features of a client with n events (aggregate.h) are standardised with the training split's mean and deviation; logits = W x + b.
 * Fitted by L-BFGS in double: mean cross-entropy (of numbers half the squared error) + strength/2 |W|^2, the strength chosen on the
 * validation split. */
#ifndef SQ_TRAIN_LOGISTIC_H
#define SQ_TRAIN_LOGISTIC_H

#include "data/dataset.h"
#include "io/safetensors.h"

typedef struct sq_logistic {
    int64_t F;                         /* features */
    int C;                             /* classes; of a number 1 */
    float *mean, *deviation;           /* [F] */
    float *weight;                     /* [C, F] */
    float *bias;                       /* [C] */
} sq_logistic;

sq_status sq__logistic_create(sq_logistic *logistic, const sq_schema *schema, sq_error *error);
void sq__logistic_clear(sq_logistic *logistic);
sq_status sq__logistic_write(const sq_logistic *logistic, const char *path, const char *const *keys, const char *const *values, int count, sq_error *error);
sq_status sq__logistic_read(sq_logistic *logistic, const sq_safetensors *file, const char *path, const sq_schema *schema, sq_error *error);
/* logits [split size, C] in the order of the split's list */
sq_status sq__logistic_score(const sq_logistic *logistic, const sq_dataset *dataset, sq_split split, int threads, sq_stop_flag *stop, float *logits,
                             sq_error *error);

#endif
