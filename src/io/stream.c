#include "io/stream.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/gzip_check.h"

enum { READ_BLOCK = 1 << 16, LOOK_MS = 200 };

struct sq_stream {
    char *name;
    struct archive *archive;
    int file;                          /* -1: in memory */
    sq_stop_flag *stop;                /* may be NULL */
    char *block;                       /* [READ_BLOCK] of the file */
    const char *memory;                /* its bytes then */
    int64_t bytes;                     /* of the compressed file */
    bool ended;
    sq_gzip_check *gzip;               /* NULL: another filter */
};

/* What a name promises, so that a damaged first block is not taken for plain text. */
static const struct { const char *suffix, *what; } promises[] = {
    { ".gz", "gzip" }, { ".xz", "xz" }, { ".zst", "zstd" }, { ".bz2", "bzip2" },
};

static const char *promised(const char *name)
{
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof promises / sizeof *promises; i++) {
        size_t n = strlen(promises[i].suffix);
        if (length > n && strcasecmp(name + length - n, promises[i].suffix) == 0) return promises[i].what;
    }
    return NULL;
}

static bool stopped(const sq_stream *stream) { return stream->stop && *stream->stop; }

/* Waits for bytes and reads them. A pipe may be quiet for long: a stop is looked for in between. */
static la_ssize_t read_file(struct archive *archive, void *user, const void **block)
{
    const sq_stream *stream = user;
    *block = stream->block;
    while (!stopped(stream)) {
        struct pollfd file = { .fd = stream->file, .events = POLLIN };
        const int ready = stream->stop ? poll(&file, 1, LOOK_MS) : 1;
        const ssize_t got = ready > 0 ? read(stream->file, stream->block, READ_BLOCK) : ready;
        if (ready != 0 && got >= 0) return got;
        if (got < 0 && errno != EINTR) {
            archive_set_error(archive, errno, "%s", strerror(errno));
            return -1;
        }
    }
    return -1;
}

static sq_status damaged(const sq_stream *stream, sq_error *error)
{
    if (stopped(stream)) return sq__fail(error, SQ_INTERRUPTED, "interrupted while reading %s", stream->name);
    const char *why = archive_error_string(stream->archive);
    return sq__fail(error, SQ_FORMAT, "%s: truncated or damaged: %s", stream->name, why ? why : "unexpected end of file");
}

static bool read_packed(void *user, int64_t offset, void *bytes, size_t size)
{
    const sq_stream *stream = user;
    if (stream->file >= 0) return pread(stream->file, bytes, size, offset) == (ssize_t)size;
    memcpy(bytes, stream->memory + offset, size);
    return true;
}

static sq_status check_end(sq_stream *stream, sq_error *error)
{
    stream->ended = true;
    if (!stream->gzip || sq__gzip_fits(stream->gzip, stream->bytes, read_packed, stream)) return SQ_OK;
    return sq__fail(error, SQ_FORMAT, "%s: truncated or damaged: the checksum does not fit", stream->name);
}

static sq_status begin(sq_stream *stream, sq_error *error)
{
    struct archive *archive = stream->archive = archive_read_new();
    if (!archive) return sq__no_memory(error);
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_filter_zstd(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_format_raw(archive);
    archive_read_support_format_empty(archive);
    int code = stream->file >= 0 ? archive_read_open(archive, stream, NULL, read_file, NULL)
                                 : archive_read_open_memory(archive, stream->memory, (size_t)stream->bytes);
    if (code != ARCHIVE_OK) return damaged(stream, error);
    const char *want = promised(stream->name);
    if (want && archive_filter_count(archive) < 2)
        return sq__fail(error, SQ_FORMAT, "%s: truncated or damaged: expected %s data, as its name says", stream->name, want);
    if (archive_filter_code(archive, 0) == ARCHIVE_FILTER_GZIP) {
        stream->gzip = sq__alloc(sizeof *stream->gzip);
        if (!stream->gzip) return sq__no_memory(error);
        sq__gzip_begin(stream->gzip);
    }
    struct archive_entry *entry;
    code = archive_read_next_header(archive, &entry);
    if (code == ARCHIVE_EOF) {
        stream->ended = true;
        return SQ_OK;
    }
    return code == ARCHIVE_OK ? SQ_OK : damaged(stream, error);
}

static sq_status create(sq_stream **stream, const char *name, sq_error *error)
{
    sq_stream *fresh = *stream = sq__alloc_zero(sizeof **stream);
    if (!fresh) return sq__no_memory(error);
    fresh->file = -1;
    fresh->name = sq__strdup(name);
    return fresh->name ? SQ_OK : sq__no_memory(error);
}

static sq_status open_file(sq_stream *stream, sq_error *error)
{
    struct stat about;
    stream->file = open(stream->name, O_RDONLY | O_CLOEXEC);
    if (stream->file < 0 || fstat(stream->file, &about) != 0)
        return sq__fail(error, errno == ENOENT ? SQ_NOT_FOUND : SQ_IO, "%s: cannot be read: %s", stream->name, strerror(errno));
    if (S_ISDIR(about.st_mode)) return sq__fail(error, SQ_INVALID, "%s: is a folder; expected a file", stream->name);
    stream->bytes = about.st_size;
    stream->block = sq__alloc(READ_BLOCK);
    if (!stream->block) return sq__no_memory(error);
    return begin(stream, error);
}

sq_status sq__stream_open(sq_stream **stream, const char *path, sq_stop_flag *stop, sq_error *error)
{
    sq_status status = create(stream, path, error);
    if (status == SQ_OK) (*stream)->stop = stop;
    if (status == SQ_OK) status = open_file(*stream, error);
    if (status != SQ_OK) sq__stream_close(stream);
    return status;
}

sq_status sq__stream_open_bytes(sq_stream **stream, const char *name, const void *bytes, size_t size, sq_error *error)
{
    sq_status status = create(stream, name, error);
    if (status == SQ_OK) {
        (*stream)->memory = bytes;
        (*stream)->bytes = (int64_t)size;
        status = begin(*stream, error);
    }
    if (status != SQ_OK) sq__stream_close(stream);
    return status;
}

sq_status sq__stream_next(sq_stream *stream, const char **block, size_t *size, sq_error *error)
{
    *size = 0;
    while (!stream->ended && *size == 0) {
        const void *data;
        int64_t offset;
        int code = archive_read_data_block(stream->archive, &data, size, &offset);
        if (code == ARCHIVE_EOF) {
            *size = 0;
            return check_end(stream, error);
        }
        if (code != ARCHIVE_OK) {
            *size = 0;
            return damaged(stream, error);
        }
        *block = data;
        if (stream->gzip) sq__gzip_add(stream->gzip, data, *size);
    }
    return SQ_OK;
}

const char *sq__stream_name(const sq_stream *stream)
{
    return stream->name;
}

double sq__stream_progress(const sq_stream *stream)
{
    if (stream->bytes <= 0) return 1.0;
    double done = (double)archive_filter_bytes(stream->archive, -1) / (double)stream->bytes;
    return done < 0.0 ? 0.0 : done > 1.0 ? 1.0 : done;
}

void sq__stream_close(sq_stream **stream)
{
    if (!stream || !*stream) return;
    if ((*stream)->archive) archive_read_free((*stream)->archive);
    if ((*stream)->file >= 0) close((*stream)->file);
    sq__free((*stream)->block);
    sq__free((*stream)->gzip);
    sq__free((*stream)->name);
    sq__free(*stream);
    *stream = NULL;
}
