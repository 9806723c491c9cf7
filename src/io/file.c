#include "io/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"

struct sq_output {
    FILE *stream;
    char *path, *temporary;   /* temporary NULL: path is a device or pipe, written directly */
};

char *sq__path_join(const char *folder, const char *name)
{
    if (name[0] == '/' || !folder[0]) return sq__strdup(name);
    size_t length = strlen(folder), size = length + strlen(name) + 2;
    char *path = sq__alloc(size);
    if (path) snprintf(path, size, "%s%s%s", folder, folder[length - 1] == '/' ? "" : "/", name);
    return path;
}

char *sq__path_folder(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash) return sq__strdup(".");
    size_t length = slash == path ? 1 : (size_t)(slash - path);
    char *folder = sq__alloc(length + 1);
    if (!folder) return NULL;
    memcpy(folder, path, length);
    folder[length] = 0;
    return folder;
}

bool sq__file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0;
}

sq_status sq__make_folders(const char *path, sq_error *error)
{
    char *whole = sq__strdup(path);
    if (!whole) return sq__no_memory(error);
    sq_status status = SQ_OK;
    for (char *at = whole + 1; status == SQ_OK && *whole; at++) {
        if (*at && *at != '/') continue;
        char end = *at;
        *at = 0;
        struct stat about;
        if (mkdir(whole, 0777) != 0 && !(stat(whole, &about) == 0 && S_ISDIR(about.st_mode)))
            status = sq__fail(error, SQ_IO, "%s: cannot make the folder: %s", whole, strerror(errno));
        *at = end;
        if (!end) break;
    }
    sq__free(whole);
    return status;
}

/* ---- reading ---- */

static sq_status read_all(int file, const char *path, size_t expected, char **text, size_t *size, sq_error *error)
{
    size_t room = expected + 1, used = 0;
    char *buffer = sq__alloc(room);
    while (buffer) {
        if (used + 1 >= room) {   /* longer than stat said: a pipe, or a file that grows */
            char *larger = room > SIZE_MAX / 4 ? NULL : sq__realloc(buffer, room = room * 2 + 4096);
            if (!larger) break;
            buffer = larger;
        }
        ssize_t got = read(file, buffer + used, room - 1 - used);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            sq__free(buffer);
            return sq__fail(error, SQ_IO, "%s: cannot read: %s", path, strerror(errno));
        }
        if (got == 0) {
            buffer[used] = 0;
            *text = buffer;
            *size = used;
            return SQ_OK;
        }
        used += (size_t)got;
    }
    sq__free(buffer);
    return sq__no_memory(error);
}

sq_status sq__file_read(const char *path, char **text, size_t *size, sq_error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return sq__fail(error, errno == ENOENT ? SQ_NOT_FOUND : SQ_IO, "%s: cannot open: %s", path, strerror(errno));
    struct stat about;
    sq_status status;
    if (fstat(file, &about) != 0) status = sq__fail(error, SQ_IO, "%s: %s", path, strerror(errno));
    else if (S_ISDIR(about.st_mode)) status = sq__fail(error, SQ_IO, "%s: is a folder; expected a file", path);
    else status = read_all(file, path, about.st_size > 0 ? (size_t)about.st_size + 1 : 4096, text, size, error);
    close(file);
    return status;
}

/* ---- writing ---- */

static void output_free(sq_output **output)
{
    sq__free((*output)->path);
    sq__free((*output)->temporary);
    sq__free(*output);
    *output = NULL;
}

/* Open the temporary file and lock it, so that two writers of one path cannot mix and what a killed writer left is taken over.
 * The other writer may rename its file between our open and our lock: then the name and what we hold differ, and we try again. */
static int open_locked(const char *temporary, const char *path, sq_error *error)
{
    for (;;) {
        int file = open(temporary, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (file < 0) {
            sq__fail(error, SQ_IO, "%s: cannot write: %s", path, strerror(errno));
            return -1;
        }
        struct stat held, named;
        if (flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
            sq__fail(error, SQ_IO, "%s: another process is writing it", path);
            close(file);
            return -1;
        }
        bool same = fstat(file, &held) == 0 && lstat(temporary, &named) == 0 && held.st_ino == named.st_ino && held.st_dev == named.st_dev;
        if (same && ftruncate(file, 0) == 0) return file;
        if (same) {
            sq__fail(error, SQ_IO, "%s: cannot write: %s", path, strerror(errno));
            close(file);
            return -1;
        }
        close(file);
    }
}

/* A path that is a link is replaced where it leads to; what is no regular file (a device, a pipe) is written in place. */
static sq_status output_paths(sq_output *output, const char *path, sq_error *error)
{
    struct stat about;
    bool there = stat(path, &about) == 0;
    if (there && S_ISDIR(about.st_mode)) return sq__fail(error, SQ_IO, "%s: is a folder; expected a file", path);
    char *real = there ? realpath(path, NULL) : NULL;
    output->path = sq__strdup(real ? real : path);
    free(real);
    if (!output->path) return sq__no_memory(error);
    if (there && !S_ISREG(about.st_mode)) return SQ_OK;
    size_t size = strlen(output->path) + sizeof ".partial";
    output->temporary = sq__alloc(size);
    if (!output->temporary) return sq__no_memory(error);
    snprintf(output->temporary, size, "%s.partial", output->path);
    return SQ_OK;
}

sq_status sq__output_open(sq_output **output, const char *path, sq_error *error)
{
    *output = NULL;
    sq_output *made = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    sq_status status = output_paths(made, path, error);
    int file = -1;
    if (status == SQ_OK) {
        if (made->temporary) file = open_locked(made->temporary, path, error);
        else if ((file = open(made->path, O_WRONLY | O_CLOEXEC)) < 0) sq__fail(error, SQ_IO, "%s: cannot write: %s", path, strerror(errno));
        if (file < 0) status = SQ_IO;
    }
    if (status == SQ_OK && !(made->stream = fdopen(file, "w"))) {
        close(file);
        if (made->temporary) unlink(made->temporary);
        status = sq__no_memory(error);
    }
    if (status == SQ_OK) *output = made;
    else output_free(&made);
    return status;
}

FILE *sq__output_stream(sq_output *output)
{
    return output->stream;
}

void sq__output_discard(sq_output **output)
{
    if (!*output) return;
    if ((*output)->temporary) unlink((*output)->temporary);   /* before the lock goes with the stream */
    fclose((*output)->stream);
    output_free(output);
}

static void sync_folder(const char *path)
{
    char *folder = sq__path_folder(path);
    int file = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (file >= 0) {
        fsync(file);   /* best effort: some file systems refuse it; the rename itself is already atomic */
        close(file);
    }
    sq__free(folder);
}

sq_status sq__output_commit(sq_output **output, sq_error *error)
{
    sq_output *done = *output;
    errno = 0;
    bool written = !ferror(done->stream) && fflush(done->stream) == 0;
    if (written && done->temporary) written = fsync(fileno(done->stream)) == 0 && rename(done->temporary, done->path) == 0;
    if (!written) {
        sq__fail(error, SQ_IO, "%s: cannot write: %s", done->path, errno ? strerror(errno) : "the disk may be full");
        sq__output_discard(output);
        return SQ_IO;
    }
    if (done->temporary) sync_folder(done->path);
    fclose(done->stream);
    output_free(output);
    return SQ_OK;
}

sq_status sq__file_write(const char *path, const char *text, sq_error *error)
{
    sq_output *output;
    SQ_TRY(sq__output_open(&output, path, error));
    const size_t size = strlen(text);
    fputs(text, sq__output_stream(output));
    if (size > 0 && text[size - 1] != '\n') putc('\n', sq__output_stream(output));
    return sq__output_commit(&output, error);   /* a write that failed is found there */
}
