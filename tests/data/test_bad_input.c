/* Bad input: each a clear line, and nothing held. */
#include "data/tables.h"

#define TASK "files: e.csv\nid: client\ntime: date\ncategorical: [shop]\nnumeric: [amount]\ntarget: {column: sex, file: l.csv}\n"
#define EVENTS "client,date,shop,amount\n"
#define LABELS "client,sex\na,1\nb,0\nc,1\nd,0\n"

static void put_tables(const char *events, const char *labels)
{
    put("e.csv", events);
    put("l.csv", labels);
}

static void missing_files(void **state)
{
    (void)state;
    put("l.csv", LABELS);
    refused("files: absent.csv\nid: client\nnumeric: amount\ntarget: {column: sex, file: l.csv}\n", SQ_NOT_FOUND,
            "absent.csv: cannot be read: No such file or directory");
    refused("files: absent*.csv\nid: client\nnumeric: amount\ntarget: {column: sex, file: l.csv}\n", SQ_NOT_FOUND, "absent*.csv: no file has such a name");
    put("e.csv", EVENTS "a,2020-01-01,x,1\n");
    refused("files: e.csv\nid: client\nnumeric: amount\ntarget: {column: sex, file: nolabels.csv}\n", SQ_NOT_FOUND,
            "nolabels.csv: cannot be read: No such file or directory");
}

static void wrong_columns(void **state)
{
    (void)state;
    put_tables("client,date,shop,amont\n", LABELS);
    refused(TASK, SQ_NOT_FOUND, "e.csv:1:1: no column 'amount' among 4; did you mean 'amont'?");
    put_tables(EVENTS, "client,gender\na,1\n");
    refused(TASK, SQ_NOT_FOUND, "l.csv:1:1: no column 'sex' among 2");
    put_tables("client,date,shop,amount,shop\n", LABELS);
    refused(TASK, SQ_FORMAT, "e.csv:1:1: column 'shop' is there twice");
    put_tables("", LABELS);
    refused(TASK, SQ_FORMAT, "e.csv: is empty; expected a line with the columns' names");
    put_tables("client;date;shop;amount\n", LABELS);
    refused(TASK, SQ_NOT_FOUND, "e.csv:1:1: no column 'client' among 1; the line is one cell: is the delimiter another?");
}

static void broken_cells(void **state)
{
    static const char tail[] = "; 1 of 6 rows are broken ('on_broken_row: skip' leaves them out)";
    static const struct { const char *row, *message; } cases[] = {
        { "a,2020-01-01,x,NaN\n", "e.csv:3:16: amount is 'NaN'; expected a number" },
        { "a,2020-01-01,x,inf\n", "e.csv:3:16: amount is 'inf'; expected a number" },
        { "a,2020-01-01,x,12;5\n", "e.csv:3:16: amount is '12;5'; expected a number" },
        { "a,01.02.2020,x,1\n", "e.csv:3:3: date is '01.02.2020'; expected a time as iso" },
        { "a,,x,1\n", "e.csv:3:3: date is ''; expected a time as iso" },
        { ",2020-01-01,x,1\n", "e.csv:3:1: the client's id is empty" },
        { "a,2020-01-01,x\n", "e.csv:3:14: 3 cells; expected 4" },
        { "a,2020-01-01,x,1,2\n", "e.csv:3:18: 5 cells; expected 4" },
        { "a,2020-01-01,caf\xE9,1\n", "e.csv:3:17: not UTF-8 text" },
        { "a,2020-01-01,\"x\"y,1\n", "e.csv:3:17: a quote inside a cell; expected it doubled and the cell in quotes (or data.quote: no)" },
        { "\"a,2020-01-01,x,1\n", "e.csv:3:1: a quote that is never closed" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[256], message[256];
        snprintf(text, sizeof text, EVENTS "b,2020-01-01,x,1\n%s", cases[i].row);
        put_tables(text, LABELS);
        snprintf(message, sizeof message, "%s%s", cases[i].message, tail);
        refused(TASK, SQ_FORMAT, message);
    }
}

static void broken_rows_are_skipped_and_counted(void **state)
{
    (void)state;
    put_tables(EVENTS "b,2020-01-01,x,1\na,2020-01-01,x,NaN\na,2020-01-02,x,2\na,2020-01-03\nc,2020-01-01,y,5\n", LABELS);
    sq_dataset *d = load(TASK "on_broken_row: skip\nsplit: {validation: 0, test: 0}\n");
    assert_int_equal(d->rows_read, 5);
    assert_int_equal(d->rows_broken, 2);
    assert_int_equal(d->events, 3);
    assert_contains(d->warning, "2 broken rows skipped (first: ");
    assert_contains(d->warning, "e.csv:3:16: amount is 'NaN'; expected a number)");
    assert_contains(d->warning, "; 1 labels without a client ignored");
    sq__dataset_destroy(&d);
    refused(TASK, SQ_FORMAT, "e.csv:3:16: amount is 'NaN'; expected a number; 2 of 9 rows are broken ('on_broken_row: skip' leaves them out)");
}

static void labels(void **state)
{
    (void)state;
    put_tables(EVENTS "a,2020-01-01,x,1\nc,2020-01-01,x,1\nzz,2020-01-01,x,1\n", LABELS);
    refused(TASK, SQ_INVALID, "target 'sex' has only one class, '1', in 2 clients; expected two at least");
    put_tables(EVENTS "zz,2020-01-01,x,1\n", LABELS);
    refused(TASK, SQ_INVALID, "no client is left of 1: 1 rows, 0 broken, 1 clients without a label, 4 labels without a client, 0 too short");
    put_tables(EVENTS, LABELS);
    refused(TASK, SQ_INVALID, "no client is left of 0: 0 rows, 0 broken, 0 clients without a label, 4 labels without a client, 0 too short");
    put_tables(EVENTS "a,2020-01-01,x,1\n", "client,sex\na,1\na,0\n");
    refused(TASK, SQ_FORMAT, "l.csv:3:3: client 'a' has the class '0' here and '1' before; 1 of 3 rows are broken ('on_broken_row: skip' leaves them out)");
    put("e.csv", "client,sex,n\na,1,1\na,0,1\n");
    refused("files: e.csv\nid: client\nnumeric: n\ntarget: sex\n", SQ_FORMAT,
            "e.csv:3:3: the client's class is '0'; expected '1' as before; 1 of 2 rows are broken ('on_broken_row: skip' leaves them out)");
    put_tables(EVENTS "a,2020-01-01,x,1\nb,2020-01-01,x,1\nc,2020-01-01,x,1\n", LABELS);
    refused(TASK "split: {by: client, validation: 0.5, test: 0.4999}\n", SQ_INVALID,
            "no client is left for the training split of 3; expected more clients or another 'split'");
}

static void too_many_classes(void **state)
{
    char text[4096] = "client,n,sex\n", *at = text + strlen(text);
    (void)state;
    for (int i = 0; i < 65; i++) at += sprintf(at, "c%d,1,%d\n", i, i);
    put("e.csv", text);
    refused("files: e.csv\nid: client\nnumeric: n\ntarget: sex\n", SQ_INVALID, "target 'sex' has 65 classes; expected at most 64");
}

static void lists(void **state)
{
    static const char yaml[] = "files: e.csv\nid: c\ncategorical: [a, b]\nexplode: {column: list, into: [a, b]}\ntarget: sex\n";
    (void)state;
    put("e.csv", "c,list,sex\nu,A/B,f\nv,A/B;A/B/C,m\n");
    refused(yaml, SQ_FORMAT, "e.csv:3:3: an event of the list is 'A/B/C'; expected 2 parts; 1 of 2 rows are broken ('on_broken_row: skip' leaves them out)");
    put("e.csv", "c,list,sex\nu,,f\nv,A/B,m\n");
    refused(yaml, SQ_FORMAT, "e.csv:2:3: the list of events is empty; 1 of 2 rows are broken ('on_broken_row: skip' leaves them out)");
}

/* The head of an xz stream and a block header: cut before any data. */
static void a_truncated_file(void **state)
{
    static const unsigned char begun[] = { 0xFD, '7', 'z', 'X', 'Z', 0, 0, 4, 0xE6, 0xD6, 0xB4, 0x46, 2, 0, 0x21, 1, 0x16, 0, 0, 0, 0x74, 0x2F, 0xE5, 0xA3 };
    (void)state;
    put("l.csv", LABELS);
    put_bytes("e.csv.xz", begun, sizeof begun);
    sq_dataset *d;
    sq_error error;
    assert_int_equal(load_with(&d, "files: e.csv.xz\nid: client\nnumeric: amount\ntarget: {column: sex, file: l.csv}\n", NULL, &error), SQ_FORMAT);
    assert_int_equal(strncmp(shown(&error), "e.csv.xz: truncated or damaged: ", 32), 0);
}

static void a_stop_is_obeyed(void **state)
{
    sq_stop_flag stop = 1;
    sq_dataset *d;
    sq_error error;
    (void)state;
    put_tables(EVENTS "a,2020-01-01,x,1\nb,2020-01-01,y,1\n", LABELS);
    assert_int_equal(load_with(&d, TASK, &(sq_dataset_options){ .stop = &stop }, &error), SQ_INTERRUPTED);
    assert_int_equal(sq_memory_current(), 0);
}

static void failed_allocations_are_survived(void **state)
{
    sq_dataset *d;
    sq_error error;
    sq_status status = SQ_NO_MEMORY;
    (void)state;
    put_tables(EVENTS "a,2020-01-02,x,1\nb,2020-01-01,y,1\na,2020-01-01,z,3\nc,2020-01-01,y,\nd,2020-03-01,\"y\",4\n", LABELS);
    for (long n = 1; status == SQ_NO_MEMORY; n++) {
        sq__alloc_fail_after(n);
        status = load_with(&d, TASK "split: {validation: 0, test: 0.5}\n", NULL, &error);
        sq__alloc_fail_after(0);
        if (status != SQ_OK) assert_int_equal(sq_memory_current(), 0);
        assert_true(n < 2000);
    }
    assert_int_equal(status, SQ_OK);
    sq__dataset_destroy(&d);
    assert_int_equal(sq_memory_current(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(missing_files), cmocka_unit_test(wrong_columns), cmocka_unit_test(broken_cells),
        cmocka_unit_test(broken_rows_are_skipped_and_counted), cmocka_unit_test(labels), cmocka_unit_test(too_many_classes),
        cmocka_unit_test(lists), cmocka_unit_test(a_truncated_file), cmocka_unit_test(a_stop_is_obeyed),
        cmocka_unit_test(failed_allocations_are_survived),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
