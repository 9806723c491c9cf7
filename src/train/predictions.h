/* The CSV "id,p_CLASS,..." of predictions, written whole or not at all. Depends on io, report. */
#ifndef SQ_TRAIN_PREDICTIONS_H
#define SQ_TRAIN_PREDICTIONS_H

#include "io/file.h"

sq_status sq__predictions_open(sq_output **output, const char *path, const char *const *classes, int class_count, sq_error *error);
void sq__predictions_row(sq_output *output, const char *id, const float *probabilities, int class_count);
/* End with sq__output_commit or sq__output_discard. */

#endif
