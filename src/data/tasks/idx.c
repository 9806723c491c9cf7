#include <string.h>

#include "base/memory.h"
#include "data/tasks/pixels.h"
#include "io/stream.h"

enum { BYTES = 0x08, MOST_RANK = 4 };
static const int64_t most_values = (int64_t)1 << 33;

/* Exactly `size` bytes from the stream; what a block has left over stays for the next call. */
typedef struct source { sq_stream *stream; const char *block; size_t left; } source;

static sq_status take(source *from, void *to, size_t size, const char *path, sq_error *error)
{
    char *at = to;
    while (size > 0) {
        if (from->left == 0) {
            SQ_TRY(sq__stream_next(from->stream, &from->block, &from->left, error));
            if (from->left == 0) return sq__fail(error, SQ_FORMAT, "%s: ends too early", path);
        }
        const size_t now = from->left < size ? from->left : size;
        memcpy(at, from->block, now);
        at += now;
        from->block += now;
        from->left -= now;
        size -= now;
    }
    return SQ_OK;
}

static sq_status read_header(source *from, sq_idx *idx, const char *path, sq_error *error)
{
    uint8_t magic[4], size[4];
    SQ_TRY(take(from, magic, sizeof magic, path, error));
    if (magic[0] || magic[1] || magic[2] != BYTES || magic[3] < 1 || magic[3] > MOST_RANK)
        return sq__fail(error, SQ_FORMAT, "%s: no IDX file of bytes: begins with %02x %02x %02x %02x; expected 00 00 08 and a rank from 1 to %d", path, magic[0], magic[1],
                        magic[2], magic[3], MOST_RANK);
    idx->rank = magic[3];
    idx->count = 1;
    for (int i = 0; i < idx->rank; i++) {
        SQ_TRY(take(from, size, sizeof size, path, error));
        idx->shape[i] = (int64_t)size[0] << 24 | (int64_t)size[1] << 16 | (int64_t)size[2] << 8 | (int64_t)size[3];
        if (idx->shape[i] < 1 || idx->shape[i] > most_values / idx->count)
            return sq__fail(error, SQ_FORMAT, "%s: side %d is %lld; expected 1 or more, and at most %lld values in all", path, i, (long long)idx->shape[i], (long long)most_values);
        idx->count *= idx->shape[i];
    }
    return SQ_OK;
}

/* Memory grows with what the file really holds: a header may claim anything. */
static sq_status read_values(source *from, sq_idx *idx, const char *path, sq_error *error)
{
    enum { FIRST = 1 << 20 };
    int64_t held = 0, room = 0;
    while (held < idx->count) {
        int64_t next = room ? 2 * room : FIRST;
        if (next > idx->count) next = idx->count;
        uint8_t *larger = sq__realloc(idx->values, (size_t)next);
        if (!larger) return sq__no_memory(error);
        idx->values = larger;
        room = next;
        SQ_TRY(take(from, idx->values + held, (size_t)(room - held), path, error));
        held = room;
    }
    return SQ_OK;
}

sq_status sq__idx_read(sq_idx *idx, const char *path, sq_error *error)
{
    source from = { NULL, NULL, 0 };
    *idx = (sq_idx){ 0 };
    SQ_TRY(sq__stream_open(&from.stream, path, NULL, error));
    sq_status status = read_header(&from, idx, path, error);
    if (status == SQ_OK) status = read_values(&from, idx, path, error);
    sq__stream_close(&from.stream);
    if (status != SQ_OK) sq__idx_clear(idx);
    return status;
}

void sq__idx_clear(sq_idx *idx)
{
    sq__free(idx->values);
    *idx = (sq_idx){ 0 };
}
