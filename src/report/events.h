/* TensorBoard event files: records framed as TFRecord (length, masked CRC32C, data, masked CRC32C) around Event messages.
 * A writer makes a new file in the folder, so that a resumed run adds a file beside the earlier ones, which TensorBoard joins.
 * Depends on base. */
#ifndef SQ_REPORT_EVENTS_H
#define SQ_REPORT_EVENTS_H

#include "base/status.h"

typedef struct sq_events sq_events;

/* The folder must exist. The file is events.out.tfevents.<seconds>.subquad.<process>.<number>. */
sq_status sq__events_open(sq_events **events, const char *folder, sq_error *error);
/* wall_time: seconds since 1970, 0: now. A failed write is kept and reported by flush and close. NULL events: nothing happens. */
void sq__events_scalar(sq_events *events, const char *tag, int64_t step, double wall_time, double value);
sq_status sq__events_flush(sq_events *events, sq_error *error);     /* what was written reaches the operating system */
sq_status sq__events_close(sq_events **events, sq_error *error);    /* NULL allowed; sets *events to NULL, also when it fails */

#endif
