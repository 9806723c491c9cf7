/* A file read as a stream of bytes, decompressed without asking (.gz .xz .zst .bz2 by content, libarchive). Depends on base.
 * A truncated or damaged file is an error with the file's name, never a silent end. */
#ifndef SQ_IO_STREAM_H
#define SQ_IO_STREAM_H

#include "base/status.h"

typedef struct sq_stream sq_stream;
/* stop (may be NULL): ends a wait for bytes, as of a pipe that is quiet, by SQ_INTERRUPTED. */
sq_status sq__stream_open(sq_stream **stream, const char *path, sq_stop_flag *stop, sq_error *error);
/* The same over bytes in memory, borrowed until close; name stands in messages. */
sq_status sq__stream_open_bytes(sq_stream **stream, const char *name, const void *bytes, size_t size, sq_error *error);
/* The next block, owned by the stream until the next call; *size 0 at the end. */
sq_status sq__stream_next(sq_stream *stream, const char **block, size_t *size, sq_error *error);
const char *sq__stream_name(const sq_stream *stream);
double sq__stream_progress(const sq_stream *stream);   /* fraction of the compressed file consumed, 0..1 */
void sq__stream_close(sq_stream **stream);             /* NULL allowed */

#endif
