/* The event file is decoded by hand: framing, checksums, the header event, every scalar. */
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/memory.h"
#include "report/crc32c.h"
#include "report/events.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/sq-events-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[400];
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        unlink(path);
    }
    closedir(dir);
    return rmdir(folder);
}

static size_t read_only_file(uint8_t *out, size_t capacity)
{
    char path[400] = "";
    DIR *dir = opendir(folder);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        assert_string_equal(path, "");
        assert_memory_equal(entry->d_name, "events.out.tfevents.", 20);
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
    }
    closedir(dir);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    const size_t size = fread(out, 1, capacity, file);
    assert_true(size < capacity);
    fclose(file);
    return size;
}

static uint64_t little_endian(const uint8_t *in, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++) value |= (uint64_t)in[i] << (8 * i);
    return value;
}

static uint64_t varint(const uint8_t **at)
{
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        const uint8_t byte = *(*at)++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) return value;
    }
}

struct decoded { double wall_time; int64_t step; char text[64]; float value; };

/* Walks fields of Event, Summary and Value: `depth` 0, 1, 2 tells which numbers mean what. */
static void decode(const uint8_t *at, const uint8_t *end, int depth, struct decoded *out)
{
    while (at < end) {
        const uint64_t key = varint(&at), field = key >> 3;
        if ((key & 7) == 0) {
            assert_int_equal(depth * 10 + (int)field, 2);
            out->step = (int64_t)varint(&at);
        } else if ((key & 7) == 1) {
            assert_int_equal(depth * 10 + (int)field, 1);
            memcpy(&out->wall_time, at, 8);
            at += 8;
        } else if ((key & 7) == 5) {
            assert_int_equal(depth * 10 + (int)field, 22);
            memcpy(&out->value, at, 4);
            at += 4;
        } else {
            const uint64_t size = varint(&at);
            assert_int_equal(key & 7, 2);
            assert_true(size <= (uint64_t)(end - at));
            if ((depth == 0 && field == 3) || (depth == 2 && field == 1)) {
                assert_true(size < sizeof out->text);
                memcpy(out->text, at, size);
                out->text[size] = 0;
            } else {
                assert_true((depth == 0 && field == 5) || (depth == 1 && field == 1));
                decode(at, at + size, depth + 1, out);
            }
            at += size;
        }
    }
    assert_ptr_equal(at, end);
}

static size_t next_record(const uint8_t *file, size_t at, struct decoded *out)
{
    const uint64_t size = little_endian(file + at, 8);
    assert_int_equal(little_endian(file + at + 8, 4), sq__crc32c_masked(file + at, 8));
    assert_int_equal(little_endian(file + at + 12 + size, 4), sq__crc32c_masked(file + at + 12, size));
    memset(out, 0, sizeof *out);
    decode(file + at + 12, file + at + 12 + size, 0, out);
    return at + 16 + size;
}

/* Check values of RFC 3720, B.4, and the "123456789" check of the CRC catalogue. */
static void crc_agrees_with_published_values(void **state)
{
    (void)state;
    uint8_t bytes[32];
    assert_int_equal(sq__crc32c("123456789", 9), 0xe3069283);
    memset(bytes, 0, 32);
    assert_int_equal(sq__crc32c(bytes, 32), 0x8a9136aa);
    memset(bytes, 0xff, 32);
    assert_int_equal(sq__crc32c(bytes, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++) bytes[i] = (uint8_t)i;
    assert_int_equal(sq__crc32c(bytes, 32), 0x46dd794e);
}

static void scalars_come_back(void **state)
{
    (void)state;
    sq_events *events;
    sq_error error;
    static uint8_t file[1 << 20];
    struct decoded record;
    const size_t before = sq_memory_current();
    assert_int_equal(sq__events_open(&events, folder, &error), SQ_OK);
    char long_tag[64];
    for (int i = 0; i < 1000; i++) {
        snprintf(long_tag, sizeof long_tag, "validation/%0*d", i % 40 + 1, i);
        sq__events_scalar(events, long_tag, i * 1000003LL, 1.5e9 + i, i == 0 ? 0.0 : 1.0 / i);
    }
    assert_int_equal(sq__events_flush(events, &error), SQ_OK);
    assert_int_equal(sq__events_close(&events, &error), SQ_OK);
    assert_null(events);
    assert_int_equal(sq__events_close(&events, &error), SQ_OK);
    assert_int_equal(sq_memory_current(), before);

    const size_t size = read_only_file(file, sizeof file);
    size_t at = next_record(file, 0, &record);
    assert_string_equal(record.text, "brain.Event:2");
    assert_true(record.wall_time > 1.7e9);
    for (int i = 0; i < 1000; i++) {
        snprintf(long_tag, sizeof long_tag, "validation/%0*d", i % 40 + 1, i);
        record.value = -1;
        at = next_record(file, at, &record);
        assert_string_equal(record.text, long_tag);
        assert_true(record.step == i * 1000003LL);
        assert_true(record.wall_time == 1.5e9 + i);
        assert_true(record.value == (float)(i == 0 ? 0.0 : 1.0 / i));
    }
    assert_int_equal(at, size);
}

static void failures_are_told(void **state)
{
    (void)state;
    sq_events *events;
    sq_error error;
    assert_int_equal(sq__events_open(&events, "/nonexistent/folder", &error), SQ_IO);
    assert_non_null(strstr(error.message, "/nonexistent/folder/events.out.tfevents."));
    assert_null(events);
    sq__events_scalar(NULL, "loss", 1, 0, 1.0);
    assert_int_equal(sq__events_flush(NULL, &error), SQ_OK);
    for (long n = 1; n <= 2; n++) {
        sq__alloc_fail_after(n);
        assert_int_equal(sq__events_open(&events, folder, &error), SQ_NO_MEMORY);
        sq__alloc_fail_after(0);
        assert_null(events);
    }
}

/* A disk that fills up: the file size limit of the process stands for it. */
static void full_disk_is_told(void **state)
{
    (void)state;
    sq_events *events;
    sq_error error;
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(sq__events_open(&events, folder, &error), SQ_OK);
    small = old;
    small.rlim_cur = 100;
    setrlimit(RLIMIT_FSIZE, &small);
    for (int i = 0; i < 100; i++) sq__events_scalar(events, "loss", i, 0, 1.0);
    const sq_status flushed = sq__events_flush(events, &error), closed = sq__events_close(&events, NULL);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(flushed, SQ_IO);
    assert_int_equal(closed, SQ_IO);
    assert_non_null(strstr(error.message, "cannot write: File too large"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc_agrees_with_published_values),
        cmocka_unit_test_setup_teardown(scalars_come_back, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(failures_are_told, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(full_disk_is_told, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
