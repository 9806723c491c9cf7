/* The data section: places of what is wrong, sets and gets, the complete YAML. */
#include "data/tables.h"

static const char minimal[] = "files: a.csv\nid: client\ncategorical: [mcc]\ntarget: {column: sex}\n";

static void wrong(const char *yaml, const char *message)
{
    sq_data_config *config;
    sq_error error = { .message = "" };
    assert_int_not_equal(configure(&config, yaml, &error), SQ_OK);
    assert_string_equal(shown(&error), message);
    assert_null(config);
    assert_int_equal(sq_memory_current(), 0);
}

static void every_key_is_checked(void **state)
{
    (void)state;
    wrong("fles: a.csv\n", "task.yaml:1:1: unknown key 'fles'; did you mean 'files'?");
    wrong("files: a.csv\ntime:\n  colum: date\n", "task.yaml:3:3: unknown key 'colum'; did you mean 'column'?");
    wrong("split: {files: {tran: a.csv}}\n", "task.yaml:1:17: unknown key 'tran'; did you mean 'train'?");
    wrong("numeric: [{column: amount, transfrom: log}]\n", "task.yaml:1:28: unknown key 'transfrom'; did you mean 'transform'?");
    wrong("kind: event\n", "task.yaml:1:7: data: kind is 'event'; expected one of events, text; did you mean 'events'?");
    wrong("max_length: many\n", "task.yaml:1:13: data: max_length is 'many'; expected a whole number");
    wrong("max_length: 0\n", "task.yaml:1:13: data: max_length is 0; expected 1 to 16777216");
    wrong("max_length: [1]\n", "task.yaml:1:13: max_length: expected one value");
    wrong("split: {test: 2}\n", "task.yaml:1:15: data: test is 2; expected 0 to 0.9");
    wrong("split: 3\n", "task.yaml:1:8: split: expected keys");
    wrong("categorical: {a: b}\n", "task.yaml:1:14: expected a list of columns");
    wrong("categorical: [[a]]\n", "task.yaml:1:15: expected a column's name or {column: ...}");
    wrong("categorical: [{vocabulary: 3}]\n", "task.yaml:1:15: categorical: 'column' is missing");
    wrong("numeric: [{column: a, transform: cube}]\n", "task.yaml:1:34: numeric: transform is 'cube'; expected one of standard, log, quantile, none");
    wrong("files: {a: b}\n", "task.yaml:1:8: expected a text or a list of texts");
    wrong("files: [\"\"]\n", "task.yaml:1:9: expected the name of a file");
    wrong("- a\n", "task.yaml:1:1: data: expected keys with values");
}

static void contradictions_are_refused(void **state)
{
    (void)state;
    wrong("id: c\n", "task.yaml:1:1: data: 'files' is missing; expected the name of a table");
    wrong("files: a.csv\n", "task.yaml:1:1: data: 'id' is missing; expected the column of the client's id");
    wrong("files: a.csv\nid: c\n", "task.yaml:1:1: data: no 'categorical', 'numeric' or 'time' column is given; expected at least one");
    wrong("files: a.csv\nid: c\nnumeric: a\n", "task.yaml:1:1: data: 'target.column' is missing; expected the column of the class");
    wrong("files: a.csv\nid: c\nnumeric: [a, a]\ntarget: t\n", "task.yaml:1:1: data: numeric column 'a' is given twice");
    wrong("files: a.csv\nid: c\ntime: {column: t, format: is}\ntarget: t\n",
          "task.yaml:1:1: data: time.format is 'is'; expected iso, unix, unix-ms, day-hms, number or a pattern with %; did you mean 'iso'?");
    wrong("files: a.csv\nid: c\nnumeric: a\ntarget: {column: a, next: true}\n", "task.yaml:1:1: data: target.next needs 'a' among the categorical columns");
    wrong("files: a.csv\nid: c\nnumeric: a\ntarget: t\nsplit: {validation: 0.5, test: 0.5}\n",
          "task.yaml:1:1: data: split.validation + split.test is 1; expected less than 1");
    wrong("files: a.csv\nid: c\nnumeric: a\ntarget: t\nsplit: {by: files}\n", "task.yaml:1:1: data: split.by is 'files', but split.files.train is not given");
    wrong("files: a.csv\nid: c\nnumeric: a\ntarget: t\nsplit: {by: time}\n", "task.yaml:1:1: data: split.by is 'time', but time.column is not given");
    wrong("files: a.csv\nid: c\nnumeric: a\ntarget: t\nheader: false\n", "task.yaml:1:1: data: header is false; expected the names in 'columns'");
    wrong("files: a.csv\nid: c\nnumeric: a\ntarget: t\ndelimiter: ab\n", "task.yaml:1:1: data: delimiter is 'ab'; expected one character or tab");
    wrong("files: a.csv\nid: c\nnumeric: time.gap\ntarget: t\n",
          "task.yaml:1:1: data: numeric column 'time.gap': names that begin with 'time.' are those of the time features");
    wrong("files: a.csv\nid: c\nnumeric: abcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcdefghijabcd\ntarget: t\n",
          "task.yaml:1:1: data: numeric column 'abcdefghijabcdefghijabcdefghijabcdefghij...' has a name longer than 63 bytes");
    wrong("files: a.csv\nkind: text\nformat: csv\ntarget: t\n", "task.yaml:1:1: data: 'text.column' is missing; expected the column of the text");
}

static void values_are_set_and_read(void **state)
{
    sq_data_config *config;
    sq_error error;
    (void)state;
    assert_ok(configure(&config, minimal, &error), &error);
    assert_string_equal(sq__data_config_get(config, "max_length"), "1024");
    assert_ok(sq__data_config_set(config, "max_length", "77", &error), &error);
    assert_ok(sq__data_config_set(config, "split.seed", "5", &error), &error);
    assert_ok(sq__data_config_set(config, "delimiter", ";", &error), &error);
    assert_ok(sq__data_config_set(config, "categorical", "[a, {column: b, vocabulary: 9}]", &error), &error);
    assert_ok(sq__data_config_set(config, "missing", "[NA, '-']", &error), &error);
    assert_string_equal(sq__data_config_get(config, "max_length"), "77");
    assert_string_equal(sq__data_config_get(config, "split.seed"), "5");
    assert_string_equal(sq__data_config_get(config, "categorical"), "[{column: \"a\", vocabulary: 1000, minimum: 1}, {column: \"b\", vocabulary: 9, minimum: 1}]");
    assert_string_equal(sq__data_config_get(config, "missing"), "[\"NA\", \"-\"]");
    assert_string_equal(sq__data_config_get(config, "target.column"), "sex");
    assert_null(sq__data_config_get(config, "target.colum"));
    assert_null(sq__data_config_get(config, "target"));
    assert_int_equal(sq__data_config_set(config, "split.sed", "5", &error), SQ_NOT_FOUND);
    assert_string_equal(error.message, "data has no option 'split.sed'; did you mean 'split.seed'?");
    assert_int_equal(sq__data_config_set(config, "split.test", "x", &error), SQ_INVALID);
    assert_int_equal(sq__data_config_set(config, "categorical", "[a", &error), SQ_FORMAT);
    sq__data_config_destroy(&config);
}

/* What is written reads back to the same. Names of files have become absolute. */
static void the_complete_section_reads_back(void **state)
{
    static const char full[] = "kind: events\nfiles: [b.csv, '/x/y.csv']\nid: \"client \\\"id\\\"\"\ndelimiter: tab\nmissing: [NA]\n"
                               "time: {column: t, format: '%d/%m/%y %H:%M', age: false}\ncategorical: [m, {column: s, minimum: 2}]\n"
                               "numeric: [{column: a, transform: quantile}]\nexplode: {column: l, into: [m, s]}\n"
                               "target: {column: sex, file: l.csv, id: who}\nmax_length: 9\nsplit: {by: client, validation: 0.15, seed: 3}\n"
                               "on_broken_row: skip\n";
    sq_data_config *first, *second;
    sq_error error;
    char *a, *b, expected[256];
    (void)state;
    assert_ok(configure(&first, full, &error), &error);
    assert_ok(sq__data_config_yaml(first, &a, &error), &error);
    assert_ok(configure(&second, a, &error), &error);
    assert_ok(sq__data_config_yaml(second, &b, &error), &error);
    assert_string_equal(a, b);
    assert_string_equal(first->id, "client \"id\"");
    snprintf(expected, sizeof expected, "%s/b.csv", folder);
    assert_string_equal(second->files.items[0], expected);
    assert_string_equal(second->files.items[1], "/x/y.csv");
    assert_string_equal(second->target.id, "who");
    assert_int_equal(second->categorical[1].minimum, 2);
    assert_true(second->split.validation == 0.15);
    sq__free(a);
    sq__free(b);
    sq__data_config_destroy(&first);
    sq__data_config_destroy(&second);
    assert_int_equal(sq_memory_current(), 0);
}

static void failed_allocations_are_survived(void **state)
{
    sq_data_config *config;
    sq_error error;
    sq_status status = SQ_NO_MEMORY;
    (void)state;
    for (long n = 1; status == SQ_NO_MEMORY; n++) {
        char *text = NULL;
        sq__alloc_fail_after(n);
        status = configure(&config, minimal, &error);
        if (status == SQ_OK) status = sq__data_config_yaml(config, &text, &error);
        if (status == SQ_OK) status = sq__data_config_set(config, "columns", "[a, b]", &error);
        sq__alloc_fail_after(0);
        sq__free(text);
        sq__data_config_destroy(&config);
        assert_int_equal(sq_memory_current(), 0);
        assert_true(n < 1000);
    }
    assert_int_equal(status, SQ_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_checked),           cmocka_unit_test(contradictions_are_refused), cmocka_unit_test(values_are_set_and_read),
        cmocka_unit_test(the_complete_section_reads_back), cmocka_unit_test(failed_allocations_are_survived),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
