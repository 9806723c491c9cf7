#include "report/events.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/memory.h"
#include "report/crc32c.h"
#include "report/event.pb-c.h"

struct sq_events {
    FILE *stream;
    char *path;
    int failed;                        /* errno of the first write that failed */
};

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void put_little_endian(uint8_t *out, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++) out[i] = (uint8_t)(value >> (8 * i));
}

static void put_record(sq_events *events, const uint8_t *data, size_t size)
{
    uint8_t head[12], tail[4];
    put_little_endian(head, size, 8);
    put_little_endian(head + 8, sq__crc32c_masked(head, 8), 4);
    put_little_endian(tail, sq__crc32c_masked(data, size), 4);
    errno = 0;
    if (fwrite(head, 1, sizeof head, events->stream) != sizeof head || fwrite(data, 1, size, events->stream) != size ||
        fwrite(tail, 1, sizeof tail, events->stream) != sizeof tail)
        if (!events->failed) events->failed = errno ? errno : EIO;
}

static void put_event(sq_events *events, const Subquad__Event *event)
{
    uint8_t buffer[512];
    const size_t size = subquad__event__get_packed_size(event);
    uint8_t *data = size <= sizeof buffer ? buffer : sq__alloc(size);
    if (!data) {
        if (!events->failed) events->failed = ENOMEM;
        return;
    }
    subquad__event__pack(event, data);
    put_record(events, data, size);
    if (data != buffer) sq__free(data);
}

sq_status sq__events_open(sq_events **events, const char *folder, sq_error *error)
{
    static atomic_int opened;
    const size_t length = strlen(folder) + 96;
    *events = NULL;
    sq_events *made = sq__alloc_zero(sizeof *made);
    char *path = sq__alloc(length);
    if (!made || !path) {
        sq__free(made);
        sq__free(path);
        return sq__no_memory(error);
    }
    snprintf(path, length, "%s/events.out.tfevents.%lld.subquad.%ld.%d", folder, (long long)time(NULL), (long)getpid(),
             atomic_fetch_add(&opened, 1));
    const int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    made->stream = descriptor >= 0 ? fdopen(descriptor, "wb") : NULL;
    if (!made->stream) {
        const sq_status status = sq__fail(error, SQ_IO, "%s: cannot make the event file: %s", path, strerror(errno));
        if (descriptor >= 0) close(descriptor);
        sq__free(made);
        sq__free(path);
        return status;
    }
    made->path = path;
    Subquad__Event event = SUBQUAD__EVENT__INIT;
    event.wall_time = now();
    event.what_case = SUBQUAD__EVENT__WHAT_FILE_VERSION;
    event.file_version = "brain.Event:2";
    put_event(made, &event);
    *events = made;
    return SQ_OK;
}

void sq__events_scalar(sq_events *events, const char *tag, int64_t step, double wall_time, double value)
{
    if (!events) return;
    Subquad__Value scalar = SUBQUAD__VALUE__INIT;
    Subquad__Value *scalars[] = { &scalar };
    Subquad__Summary summary = SUBQUAD__SUMMARY__INIT;
    Subquad__Event event = SUBQUAD__EVENT__INIT;
    scalar.tag = (char *)tag;
    scalar.content_case = SUBQUAD__VALUE__CONTENT_SIMPLE_VALUE;
    scalar.simple_value = (float)value;
    summary.n_value = 1;
    summary.value = scalars;
    event.wall_time = wall_time != 0 ? wall_time : now();
    event.step = step;
    event.what_case = SUBQUAD__EVENT__WHAT_SUMMARY;
    event.summary = &summary;
    put_event(events, &event);
}

static sq_status check(const sq_events *events, sq_error *error)
{
    if (!events->failed) return SQ_OK;
    return sq__fail(error, SQ_IO, "%s: cannot write: %s", events->path, strerror(events->failed));
}

sq_status sq__events_flush(sq_events *events, sq_error *error)
{
    if (!events) return SQ_OK;
    if (fflush(events->stream) != 0 && !events->failed) events->failed = errno;
    return check(events, error);
}

sq_status sq__events_close(sq_events **events, sq_error *error)
{
    if (!*events) return SQ_OK;
    sq_events *closed = *events;
    *events = NULL;
    if (fclose(closed->stream) != 0 && !closed->failed) closed->failed = errno;
    const sq_status status = check(closed, error);
    sq__free(closed->path);
    sq__free(closed);
    return status;
}
