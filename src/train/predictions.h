/* The CSV of predictions, written whole or not at all. Depends on io, report, data/schema.h.
 *   of clients: id,p_CLASS,... or id,number
 *   of events:  id,event,class,probability (the likeliest class) or id,event,p_BIT,... */
#ifndef SQ_TRAIN_PREDICTIONS_H
#define SQ_TRAIN_PREDICTIONS_H

#include "data/schema.h"
#include "io/file.h"

sq_status sq__predictions_open(sq_output **output, const char *path, const sq_schema *schema, sq_error *error);
/* values: of sq__answer; event: from 1, not read where clients are asked. */
void sq__predictions_row(sq_output *output, const sq_schema *schema, const char *id, int64_t event, const float *values);
/* End with sq__output_commit or sq__output_discard. */

#endif
