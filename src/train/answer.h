/* Outputs of a model as answers: probabilities of classes or bits, a number in its own units. Depends on data/schema.h. */
#ifndef SQ_TRAIN_ANSWER_H
#define SQ_TRAIN_ANSWER_H

#include "base/status.h"
#include "data/schema.h"

enum { SQ_ANSWER_NAME = 80 };

/* values [outputs] from the outputs of a client or an event. SQ_FORMAT: not finite. */
sq_status sq__answer(const sq_schema *schema, const float *outputs, float *values, sq_error *error);
/* What values[index] is called: a class, a bit, "number". NULL beyond the last. */
const char *sq__answer_name(const sq_schema *schema, int index);

#endif
