/* Quality of class scores on a split. All in double. Depends on nothing but the public result struct. */
#ifndef SQ_TRAIN_METRICS_H
#define SQ_TRAIN_METRICS_H

#include "base/status.h"
#include "subquad/task.h"

/* logits [n, C] (any finite scores whose softmax gives the probabilities), labels [n] in 0 .. C-1, C >= 2.
 * accuracy: largest score, ties to the lower class. log_loss: mean of -log p(label).
 * auc: area under the ROC curve, ties counted half; of class 1 when C = 2, else the mean over classes, one against rest, that have
 * both positives and negatives; NaN when none has. f1: of class 1 when C = 2, else the mean over classes that occur among labels or predictions.
 * confusion [C, C] (may be NULL): [label * C + predicted]. n = 0: all NaN. */
sq_status sq__metrics(const float *logits, const int32_t *labels, int64_t n, int C, sq_quality *quality, int64_t *confusion, sq_error *error);

/* Area under the ROC curve of scores for positives (positive[i] != 0); NaN without both kinds. order [n] is scratch. */
double sq__roc_auc(const double *scores, const uint8_t *positive, int64_t n, int64_t *order);

/* Probabilities of one row in double; returns log of the sum of exponentials. */
double sq__softmax_row(const float *logits, int C, double *probabilities);

#endif
