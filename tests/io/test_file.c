/* Whole files and atomic writing: what is half written never has the name, and nothing is left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/file.h"

static char folder[64];

static char *in_folder(const char *name)
{
    static char path[4][256];
    static int next;
    char *out = path[next++ % 4];
    snprintf(out, 256, "%s/%s", folder, name);
    return out;
}

static int entries(void)
{
    DIR *open = opendir(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(open));) count += entry->d_name[0] != '.';
    closedir(open);
    return count;
}

static int setup(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/subquad-file-XXXXXX");
    return mkdtemp(folder) ? 0 : 1;
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

static void write_text(const char *path, const char *text)
{
    sq_output *output;
    sq_error error;
    assert_int_equal(sq__output_open(&output, path, &error), SQ_OK);
    fputs(text, sq__output_stream(output));
    assert_int_equal(sq__output_commit(&output, &error), SQ_OK);
    assert_null(output);
}

static void assert_holds(const char *path, const char *expected)
{
    char *text;
    size_t size;
    assert_int_equal(sq__file_read(path, &text, &size, NULL), SQ_OK);
    assert_int_equal(size, strlen(expected));
    assert_string_equal(text, expected);
    sq__free(text);
}

static void written_then_replaced(void **state)
{
    (void)state;
    write_text(in_folder("a"), "first");
    write_text(in_folder("a"), "2");
    assert_holds(in_folder("a"), "2");
    assert_int_equal(entries(), 1);
}

static void a_whole_text(void **state)
{
    (void)state;
    sq_error error;
    assert_int_equal(sq__file_write(in_folder("a"), "one\ntwo", &error), SQ_OK);
    assert_holds(in_folder("a"), "one\ntwo\n");
    assert_int_equal(sq__file_write(in_folder("a"), "three\n", &error), SQ_OK);
    assert_holds(in_folder("a"), "three\n");
    assert_int_equal(sq__file_write(in_folder("a"), "", &error), SQ_OK);
    assert_holds(in_folder("a"), "");
    assert_int_equal(sq__file_write("/dev/full", "text", &error), SQ_IO);
    assert_int_equal(sq__file_write(in_folder("absent/a"), "text", &error), SQ_IO);
    assert_int_equal(entries(), 1);
}

static void discarded_leaves_the_old(void **state)
{
    (void)state;
    write_text(in_folder("a"), "old");
    sq_output *output;
    assert_int_equal(sq__output_open(&output, in_folder("a"), NULL), SQ_OK);
    fputs("new", sq__output_stream(output));
    fflush(sq__output_stream(output));
    assert_holds(in_folder("a"), "old");
    sq__output_discard(&output);
    sq__output_discard(&output);
    assert_holds(in_folder("a"), "old");
    assert_int_equal(entries(), 1);
}

/* A limit on the file size stands for the full disk: the write fails in the middle. */
static void full_disk_leaves_nothing(void **state)
{
    (void)state;
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit old, small;
    getrlimit(RLIMIT_FSIZE, &old);
    small = old;
    small.rlim_cur = 10000;
    setrlimit(RLIMIT_FSIZE, &small);
    sq_output *output;
    sq_error error = { 0 };
    assert_int_equal(sq__output_open(&output, in_folder("big"), &error), SQ_OK);
    for (int i = 0; i < 10000; i++) fputs("0123456789", sq__output_stream(output));
    sq_status status = sq__output_commit(&output, &error);
    setrlimit(RLIMIT_FSIZE, &old);
    assert_int_equal(status, SQ_IO);
    assert_non_null(strstr(error.message, "big: cannot write"));
    assert_null(output);
    assert_int_equal(entries(), 0);
}

static void devices_are_written_in_place(void **state)
{
    (void)state;
    sq_output *output;
    sq_error error = { 0 };
    assert_int_equal(sq__output_open(&output, "/dev/full", &error), SQ_OK);
    fputs("x", sq__output_stream(output));
    assert_int_equal(sq__output_commit(&output, &error), SQ_IO);
    assert_non_null(strstr(error.message, "/dev/full: cannot write: No space left"));
    struct stat about;
    assert_int_equal(stat("/dev/full", &about), 0);
    assert_true(S_ISCHR(about.st_mode));
}

static void two_writers_do_not_mix(void **state)
{
    (void)state;
    sq_output *one, *two;
    sq_error error = { 0 };
    assert_int_equal(sq__output_open(&one, in_folder("a"), NULL), SQ_OK);
    assert_int_equal(sq__output_open(&two, in_folder("a"), &error), SQ_IO);
    assert_non_null(strstr(error.message, "another process"));
    fputs("one", sq__output_stream(one));
    assert_int_equal(sq__output_commit(&one, NULL), SQ_OK);
    assert_holds(in_folder("a"), "one");
}

static void a_killed_writer_is_taken_over(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0) {
        sq_output *output;
        sq__output_open(&output, in_folder("a"), NULL);
        fputs("a long half of something", sq__output_stream(output));
        fflush(sq__output_stream(output));
        raise(SIGKILL);
    }
    int how;
    waitpid(child, &how, 0);
    assert_true(WIFSIGNALED(how));
    assert_false(sq__file_exists(in_folder("a")));
    write_text(in_folder("a"), "whole");
    assert_holds(in_folder("a"), "whole");
    assert_int_equal(entries(), 1);
}

static void links_are_followed(void **state)
{
    (void)state;
    write_text(in_folder("real"), "1");
    assert_int_equal(symlink("real", in_folder("link")), 0);
    write_text(in_folder("link"), "2");
    assert_holds(in_folder("real"), "2");
    struct stat about;
    lstat(in_folder("link"), &about);
    assert_true(S_ISLNK(about.st_mode));
}

static void folders(void **state)
{
    (void)state;
    sq_error error = { 0 };
    assert_int_equal(sq__make_folders(in_folder("x/y//z/"), &error), SQ_OK);
    assert_int_equal(sq__make_folders(in_folder("x/y/z"), &error), SQ_OK);
    assert_true(sq__file_exists(in_folder("x/y/z")));
    write_text(in_folder("x/file"), "");
    assert_int_equal(sq__make_folders(in_folder("x/file/z"), &error), SQ_IO);
    assert_non_null(strstr(error.message, "x/file"));
    sq_output *output;
    assert_int_equal(sq__output_open(&output, in_folder("x"), &error), SQ_IO);
    assert_int_equal(sq__output_open(&output, in_folder("none/a"), &error), SQ_IO);
    assert_null(output);
}

static void reading(void **state)
{
    (void)state;
    char *text;
    size_t size;
    sq_error error = { 0 };
    assert_int_equal(sq__file_read(in_folder("none"), &text, &size, &error), SQ_NOT_FOUND);
    assert_non_null(strstr(error.message, "none: cannot open: No such file"));
    assert_int_equal(sq__file_read(folder, &text, &size, &error), SQ_IO);
    assert_int_equal(sq__file_read("/proc/self/status", &text, &size, &error), SQ_OK);   /* its size is not known beforehand */
    assert_true(size > 100 && strlen(text) == size);
    sq__free(text);
}

static void reading_without_memory(void **state)
{
    (void)state;
    write_text(in_folder("a"), "text");
    char *text;
    size_t size;
    int failures = 0;
    for (long n = 1;; n++, failures++) {
        sq__alloc_fail_after(n);
        sq_status status = sq__file_read(in_folder("a"), &text, &size, NULL);
        sq__alloc_fail_after(0);
        if (status == SQ_OK) break;
        assert_int_equal(status, SQ_NO_MEMORY);
    }
    sq__free(text);
    assert_true(failures > 0);
    for (long n = 1;; n++) {
        sq_output *output;
        sq__alloc_fail_after(n);
        sq_status status = sq__output_open(&output, in_folder("a"), NULL);
        sq__alloc_fail_after(0);
        if (status == SQ_OK) {
            sq__output_discard(&output);
            break;
        }
        assert_null(output);
    }
    assert_int_equal(entries(), 1);
    assert_int_equal(sq_memory_current(), 0);
}

static void paths(void **state)
{
    (void)state;
    static const char *const joins[][3] = { { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "a", "/b", "/b" }, { "", "b", "b" } };
    for (int i = 0; i < 4; i++) {
        char *path = sq__path_join(joins[i][0], joins[i][1]);
        assert_string_equal(path, joins[i][2]);
        sq__free(path);
    }
    static const char *const splits[][2] = { { "a/b", "a" }, { "b", "." }, { "/b", "/" }, { "/a/b", "/a" } };
    for (int i = 0; i < 4; i++) {
        char *path = sq__path_folder(splits[i][0]);
        assert_string_equal(path, splits[i][1]);
        sq__free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(written_then_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(a_whole_text, setup, teardown),
        cmocka_unit_test_setup_teardown(discarded_leaves_the_old, setup, teardown),
        cmocka_unit_test_setup_teardown(full_disk_leaves_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(devices_are_written_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(two_writers_do_not_mix, setup, teardown),
        cmocka_unit_test_setup_teardown(a_killed_writer_is_taken_over, setup, teardown),
        cmocka_unit_test_setup_teardown(links_are_followed, setup, teardown),
        cmocka_unit_test_setup_teardown(folders, setup, teardown),
        cmocka_unit_test_setup_teardown(reading, setup, teardown),
        cmocka_unit_test_setup_teardown(reading_without_memory, setup, teardown),
        cmocka_unit_test(paths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
