/* Events one row at a time, as a trained model reads them: nothing is kept but the row at hand. Depends on read_events, features. */
#ifndef SQ_DATA_EVENT_STREAM_H
#define SQ_DATA_EVENT_STREAM_H

#include "data/batch.h"

typedef struct sq_event_stream sq_event_stream;

/* path: a table of the training table's form, /dev/stdin too. SQ_UNSUPPORTED: text, or inputs that look ahead (time.age). Schema,
 * configuration and stop (may be NULL: ends a wait for rows) outlive the stream. */
sq_status sq__event_stream_open(sq_event_stream **stream, const sq_data_config *config, const sq_schema *schema, const char *path, sq_stop_flag *stop,
                                sq_error *error);
void sq__event_stream_close(sq_event_stream **stream);   /* NULL allowed */

/* The next good row's client; *id NULL at the end. Valid until the next call. Broken rows stop or are skipped, as the configuration says. */
sq_status sq__event_stream_next(sq_event_stream *stream, const char **id, size_t *size, sq_error *error);
/* The row's events as a batch of B = 1. previous: the client's last event as this function left it, all zero for a client that is new
 * (known false); it becomes the row's last event. A row whose time lies before it is broken: *batch NULL where such are skipped. The batch
 * is the stream's, valid until the next call. */
sq_status sq__event_stream_batch(sq_event_stream *stream, char *previous, bool known, const sq_batch **batch, sq_error *error);
int64_t sq__event_stream_broken(const sq_event_stream *stream);   /* rows so far */

#endif
