/* Streams: every filter gives the bytes back; every truncation is an error that names the file. */
#include <archive.h>
#include <archive_entry.h>

#include "support/check.h"

#include "base/memory.h"
#include "io/stream.h"

enum { PACKED = 1 << 16, PLAIN = 20000 };

typedef int (*filter_fn)(struct archive *);
static const struct { const char *suffix; filter_fn add; } filters[] = {
    { ".gz", archive_write_add_filter_gzip }, { ".xz", archive_write_add_filter_xz },
    { ".zst", archive_write_add_filter_zstd }, { ".bz2", archive_write_add_filter_bzip2 },
};
enum { FILTERS = sizeof filters / sizeof *filters };

static char plain[PLAIN];

/* Lines of digits: compressible, but not to nothing, so that truncations fall inside the data. */
static void fill_plain(void)
{
    uint32_t state = 1;
    for (int i = 0; i < PLAIN; i++) {
        state = state * 1664525u + 1013904223u;
        plain[i] = i % 17 == 16 ? '\n' : (char)('0' + (state >> 24) % 10);
    }
}

static size_t pack(filter_fn add, char *out)
{
    size_t used = 0;
    struct archive *archive = archive_write_new();
    struct archive_entry *entry = archive_entry_new();
    assert_int_equal(add(archive), ARCHIVE_OK);
    archive_write_set_format_raw(archive);
    archive_write_set_bytes_in_last_block(archive, 1);
    assert_int_equal(archive_write_open_memory(archive, out, PACKED, &used), ARCHIVE_OK);
    archive_entry_set_filetype(entry, AE_IFREG);
    assert_int_equal(archive_write_header(archive, entry), ARCHIVE_OK);
    assert_int_equal(archive_write_data(archive, plain, PLAIN), PLAIN);
    assert_int_equal(archive_write_close(archive), ARCHIVE_OK);
    archive_entry_free(entry);
    archive_write_free(archive);
    return used;
}

static sq_status read_all(const char *name, const void *bytes, size_t size, char *out, size_t room, size_t *got, sq_error *error)
{
    sq_stream *stream;
    *got = 0;
    sq_status status = sq__stream_open_bytes(&stream, name, bytes, size, error);
    while (status == SQ_OK) {
        const char *block;
        size_t length;
        status = sq__stream_next(stream, &block, &length, error);
        if (status != SQ_OK || length == 0) break;
        assert_true(length <= room - *got);
        memcpy(out + *got, block, length);
        *got += length;
    }
    if (status == SQ_OK) assert_true(sq__stream_progress(stream) > 0.99);
    sq__stream_close(&stream);
    assert_null(stream);
    return status;
}

static void every_filter_gives_the_bytes_back(void **state)
{
    static char packed[PACKED], out[PLAIN];
    size_t got;
    sq_error error;
    (void)state;
    for (int i = 0; i < FILTERS; i++) {
        size_t size = pack(filters[i].add, packed);
        char name[32];
        snprintf(name, sizeof name, "t.csv%s", filters[i].suffix);
        assert_int_equal(read_all(name, packed, size, out, PLAIN, &got, &error), SQ_OK);
        assert_int_equal(got, PLAIN);
        assert_memory_equal(out, plain, PLAIN);
        assert_int_equal(read_all("t.csv", packed, size, out, PLAIN, &got, &error), SQ_OK);   /* by content, whatever the name */
        assert_int_equal(got, PLAIN);
    }
    assert_int_equal(read_all("t.csv", plain, PLAIN, out, PLAIN, &got, &error), SQ_OK);
    assert_int_equal(got, PLAIN);
    assert_int_equal(read_all("t.csv", plain, 0, out, PLAIN, &got, &error), SQ_OK);
    assert_int_equal(got, 0);
}

static void every_truncation_is_an_error(void **state)
{
    static char packed[PACKED], out[PLAIN];
    (void)state;
    for (int i = 0; i < FILTERS; i++) {
        size_t size = pack(filters[i].add, packed), got;
        char name[32];
        snprintf(name, sizeof name, "t.csv%s", filters[i].suffix);
        for (size_t cut = 0; cut < size; cut += cut < 64 || cut + 64 > size ? 1 : 37) {
            sq_error error = { .message = "" };
            if (read_all(name, packed, cut, out, PLAIN, &got, &error) == SQ_OK)
                fail_msg("%s cut at %zu of %zu gave %zu bytes and no error", name, cut, size, got);
            assert_int_equal(strncmp(error.message, name, strlen(name)), 0);
            assert_non_null(strstr(error.message, ": truncated or damaged: "));
        }
    }
}

/* A flipped bit may not be seen in the unchecked parts of a header, but never gives other bytes. The checksum of zstd is optional,
 * and libarchive writes none. */
static void damage_never_gives_other_bytes(void **state)
{
    static char packed[PACKED], out[4 * PLAIN];
    (void)state;
    for (int i = 0; i < FILTERS; i++) {
        if (filters[i].add == archive_write_add_filter_zstd) continue;
        size_t size = pack(filters[i].add, packed), got;
        char name[32];
        snprintf(name, sizeof name, "t.csv%s", filters[i].suffix);
        for (size_t at = 0; at < size; at += 61) {
            sq_error error;
            packed[at] ^= 0x10;
            if (read_all(name, packed, size, out, sizeof out, &got, &error) == SQ_OK && (got != PLAIN || memcmp(out, plain, PLAIN) != 0))
                fail_msg("%s: a flipped bit at %zu of %zu gave %zu other bytes and no error", name, at, size, got);
            packed[at] ^= 0x10;
        }
    }
}

/* Members one after the other are one file; only their own checksums could tell damage, and those are not looked at. */
static void several_gzip_members_are_one_file(void **state)
{
    static char packed[2 * PACKED], out[2 * PLAIN];
    size_t size = pack(archive_write_add_filter_gzip, packed), got;
    sq_error error;
    (void)state;
    memcpy(packed + size, packed, size);
    assert_ok(read_all("t.csv.gz", packed, 2 * size, out, sizeof out, &got, &error), &error);
    assert_int_equal(got, 2 * PLAIN);
    assert_memory_equal(out + PLAIN, plain, PLAIN);
}

static void bad_files_are_named(void **state)
{
    sq_stream *stream;
    sq_error error;
    (void)state;
    assert_int_equal(sq__stream_open(&stream, "/nonexistent/clients.csv", NULL, &error), SQ_NOT_FOUND);
    assert_string_equal(error.message, "/nonexistent/clients.csv: cannot be read: No such file or directory");
    assert_null(stream);
    assert_int_equal(sq__stream_open(&stream, "/", NULL, &error), SQ_INVALID);
    assert_string_equal(error.message, "/: is a folder; expected a file");
    assert_int_equal(sq__stream_open_bytes(&stream, "plain.csv.xz", "a,b\n", 4, &error), SQ_FORMAT);
    assert_string_equal(error.message, "plain.csv.xz: truncated or damaged: expected xz data, as its name says");
}

static void failed_allocations_are_survived(void **state)
{
    static char packed[PACKED], out[PLAIN];
    size_t size = pack(archive_write_add_filter_xz, packed), got, before = sq_memory_current();
    sq_status status = SQ_NO_MEMORY;
    sq_error error;
    (void)state;
    for (long n = 1; status == SQ_NO_MEMORY; n++) {
        sq__alloc_fail_after(n);
        status = read_all("t.xz", packed, size, out, PLAIN, &got, &error);
        sq__alloc_fail_after(0);
        assert_int_equal(sq_memory_current(), before);
        assert_true(n < 100);
    }
    assert_int_equal(status, SQ_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_filter_gives_the_bytes_back), cmocka_unit_test(every_truncation_is_an_error),
        cmocka_unit_test(damage_never_gives_other_bytes),    cmocka_unit_test(bad_files_are_named),
        cmocka_unit_test(failed_allocations_are_survived),   cmocka_unit_test(several_gzip_members_are_one_file),
    };
    fill_plain();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
