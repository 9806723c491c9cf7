#define _GNU_SOURCE
#include "input.h"

#include "io/stream.h"

enum { MOST = 1 << 22 };   /* a few bytes can unpack to gigabytes: reading on shows nothing new */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sq_error error = { .message = "" };
    sq_stream *stream;
    size_t total = 0;
    sq_status status = sq__stream_open_bytes(&stream, "input", data, size, &error);
    while (status == SQ_OK && total < MOST) {
        const char *block;
        size_t length;
        status = sq__stream_next(stream, &block, &length, &error);
        if (status != SQ_OK || length == 0) break;
        total += length + (block[length - 1] & 0);
    }
    sq__stream_close(&stream);
    check_outcome(status, &error);
    return 0;
}
