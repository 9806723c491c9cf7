/* Delimited tables: what RFC 4180 allows, what is broken and where, agreement of the fast path with libcsv. */
#include "support/check.h"

#include "base/memory.h"
#include "io/csv.h"
#include "io/utf8.h"

static const sq_csv_options comma = { ',', true }, tab = { '\t', false };

static sq_csv *open_text(const char *text, size_t size, const sq_csv_options *options)
{
    sq_stream *stream;
    sq_csv *csv;
    sq_error error;
    assert_ok(sq__stream_open_bytes(&stream, "t.csv", text, size, &error), &error);
    assert_ok(sq__csv_open(&csv, &stream, options, &error), &error);
    assert_null(stream);
    return csv;
}

/* All rows as text: cells between |, rows as "line:...", broken rows as "line:column!why". */
static const char *rows_of(const char *text, size_t size, const sq_csv_options *options)
{
    static char out[1 << 16];
    sq_csv *csv = open_text(text, size, options);
    sq_error error;
    size_t used = 0;
    out[0] = 0;
    for (;;) {
        const sq_csv_row *row;
        assert_ok(sq__csv_next(csv, &row, &error), &error);
        if (!row) break;
        assert_true(used + 4096 < sizeof out);
        if (row->broken) {
            used += (size_t)sprintf(out + used, "%d:%d!%s\n", (int)row->line, (int)row->column, row->broken);
            continue;
        }
        used += (size_t)sprintf(out + used, "%d:", (int)row->line);
        for (int i = 0; i < row->count; i++) used += (size_t)sprintf(out + used, "%s%.*s", i ? "|" : "", (int)row->cells[i].size, row->cells[i].text);
        used += (size_t)sprintf(out + used, "\n");
    }
    sq__csv_close(&csv);
    assert_null(csv);
    return out;
}

#define assert_rows(text, options, expected) assert_string_equal(rows_of(text, sizeof(text) - 1, options), expected)

static void plain_tables(void **state)
{
    (void)state;
    assert_rows("a,b\n1,2\n", &comma, "1:a|b\n2:1|2\n");
    assert_rows("a,b\r\n1,2", &comma, "1:a|b\n2:1|2\n");
    assert_rows("\xEF\xBB\xBF" "a,b\n", &comma, "1:a|b\n");
    assert_rows("\n\na\n\r\n  \nb\n", &comma, "3:a\n6:b\n");
    assert_rows("a,,\n,,\n", &comma, "1:a||\n2:||\n");
    assert_rows(" a , b\tc ,d\n", &comma, "1:a|b\tc|d\n");
    assert_rows("a\t b \t\"c\n", &tab, "1:a| b |\"c\n");
    assert_rows("", &comma, "");
    assert_rows("\xC3\xA9,\xE2\x82\xAC,\xF0\x9F\x98\x80\n", &comma, "1:\xC3\xA9|\xE2\x82\xAC|\xF0\x9F\x98\x80\n");
}

static void quoted_tables(void **state)
{
    (void)state;
    assert_rows("\"a,1\",b\n", &comma, "1:a,1|b\n");
    assert_rows("a,\"b\"\"c\"\r\nd,e\r\n", &comma, "1:a|b\"c\n2:d|e\n");
    assert_rows("a,\"two\nlines\"\nb,c\n", &comma, "1:a|two\nlines\n3:b|c\n");
    assert_rows("a,\"two\r\nlines\"\r\nb,c\r\n", &comma, "1:a|two\r\nlines\n3:b|c\n");
    assert_rows("\"\",\"\"\n", &comma, "1:|\n");
    assert_rows("a, \"b\" ,c\n", &comma, "1:a|b|c\n");
    assert_rows("\" a \",\"b\"", &comma, "1: a |b\n");
}

static void broken_rows_have_a_place(void **state)
{
    (void)state;
    assert_rows("a,b\"c\nd,e\n", &comma, "1:4!a quote inside a cell; expected it doubled and the cell in quotes (or data.quote: no)\n2:d|e\n");
    assert_rows("a,\"b\"c\nd,e\n", &comma, "1:6!a quote inside a cell; expected it doubled and the cell in quotes (or data.quote: no)\n2:d|e\n");
    assert_rows("a,b\n1,\"2\n3,4\n5,6\n", &comma, "1:a|b\n2:3!a quote that is never closed\n3:3|4\n4:5|6\n");
    assert_rows("\xC3\xA9,x\xFF,b\nc,d\n", &comma, "1:4!not UTF-8 text\n2:c|d\n");
    assert_rows("a,\"q\nr\xC0\x80\"\nc,d\n", &comma, "2:2!not UTF-8 text\n3:c|d\n");
    assert_rows("a,\0b\n", &comma, "1:3!not UTF-8 text\n");
    assert_rows("a\n\"x\"y\n\"z\"\n", &comma, "1:a\n2:4!a quote inside a cell; expected it doubled and the cell in quotes (or data.quote: no)\n3:z\n");
}

static void cells_have_a_place(void **state)
{
    static const char text[] = "a,b\n\xC3\xA9,\"x\n,y\",\"p\"\"q\",z\n";
    sq_csv *csv = open_text(text, sizeof text - 1, &comma);
    const int64_t lines[] = { 2, 2, 3, 3 }, columns[] = { 1, 3, 5, 12 };
    const sq_csv_row *row;
    sq_error error;
    (void)state;
    assert_ok(sq__csv_next(csv, &row, &error), &error);
    assert_ok(sq__csv_next(csv, &row, &error), &error);
    assert_int_equal(row->count, 4);
    for (int i = 0; i < 4; i++) {
        int64_t line, column;
        sq__csv_place(csv, i, &line, &column);
        assert_int_equal(line, lines[i]);
        assert_int_equal(column, columns[i]);
    }
    sq__csv_close(&csv);
}

/* A table over many stream blocks, read once plainly and once with every cell quoted: the same cells. */
static void fast_path_equals_libcsv(void **state)
{
    enum { ROWS = 20000 };
    char *plain = malloc(ROWS * 64), *quoted = malloc(ROWS * 64), *p = plain, *q = quoted;
    const sq_csv_row *a, *b;
    sq_error error;
    (void)state;
    for (int i = 0; i < ROWS; i++) {
        p += sprintf(p, "%d,%.*s,,x%d\n", i, i % 23, "abcdefghijklmnopqrstuvw", i * 7);
        q += sprintf(q, "\"%d\",\"%.*s\",\"\",\"x%d\"\n", i, i % 23, "abcdefghijklmnopqrstuvw", i * 7);
    }
    sq_csv *first = open_text(plain, (size_t)(p - plain), &comma), *second = open_text(quoted, (size_t)(q - quoted), &comma);
    for (int i = 0; i < ROWS; i++) {
        assert_ok(sq__csv_next(first, &a, &error), &error);
        assert_ok(sq__csv_next(second, &b, &error), &error);
        assert_int_equal(a->line, i + 1);
        assert_int_equal(b->line, i + 1);
        assert_int_equal(a->count, 4);
        assert_int_equal(b->count, 4);
        for (int c = 0; c < 4; c++) {
            assert_int_equal(a->cells[c].size, b->cells[c].size);
            assert_memory_equal(a->cells[c].text, b->cells[c].text, a->cells[c].size);
        }
    }
    assert_ok(sq__csv_next(first, &a, &error), &error);
    assert_null(a);
    sq__csv_close(&first);
    sq__csv_close(&second);
    free(plain);
    free(quoted);
}

static void limits(void **state)
{
    const size_t size = (17u << 20) + 1;
    char *text = malloc(size);
    const sq_csv_row *row;
    sq_error error;
    (void)state;
    memset(text, ',', 70000);
    text[70000] = '\n';
    sq_csv *csv = open_text(text, 70001, &comma);
    assert_ok(sq__csv_next(csv, &row, &error), &error);
    assert_string_equal(row->broken, "more than 65536 cells");
    sq__csv_close(&csv);
    memset(text, 'x', size);
    csv = open_text(text, size, &comma);
    assert_int_equal(sq__csv_next(csv, &row, &error), SQ_FORMAT);
    assert_string_equal(error.message, "t.csv:1: a row longer than 16 MiB; is it a table?");
    sq__csv_close(&csv);
    free(text);
}

static void failed_allocations_are_survived(void **state)
{
    static char text[300000];
    size_t before = sq_memory_current();
    sq_status status = SQ_NO_MEMORY;
    sq_error error;
    (void)state;
    memset(text, 'y', sizeof text);   /* one long quoted cell after 100 short ones */
    for (int i = 0; i < 100; i++) memcpy(text + 2 * i, "z,", 2);
    text[200] = text[sizeof text - 1] = '"';
    for (long n = 1; status == SQ_NO_MEMORY; n++) {
        sq_stream *stream = NULL;
        sq_csv *csv = NULL;
        const sq_csv_row *row;
        sq__alloc_fail_after(n);
        status = sq__stream_open_bytes(&stream, "t.csv", text, sizeof text, &error);
        if (status == SQ_OK) status = sq__csv_open(&csv, &stream, &comma, &error);
        if (status == SQ_OK) status = sq__csv_next(csv, &row, &error);
        sq__alloc_fail_after(0);
        if (status == SQ_OK) assert_int_equal(row->count, 101);
        sq__csv_close(&csv);
        assert_int_equal(sq_memory_current(), before);
        assert_true(n < 100);
    }
    assert_int_equal(status, SQ_OK);
}

static void utf8_by_the_table(void **state)
{
    static const struct { const char *text; size_t size, bad; } cases[] = {
        { "abcdefghij", 10, 10 }, { "abcdefgh\x80", 9, 8 }, { "\xC2\x80", 2, 2 },      { "\xC1\xBF", 2, 0 },          { "\xE0\xA0\x80", 3, 3 },
        { "\xE0\x9F\xBF", 3, 0 }, { "\xED\x9F\xBF", 3, 3 }, { "\xED\xA0\x80", 3, 0 },  { "\xF0\x90\x80\x80", 4, 4 },  { "\xF0\x8F\xBF\xBF", 4, 0 },
        { "\xF4\x8F\xBF\xBF", 4, 4 }, { "\xF4\x90\x80\x80", 4, 0 }, { "a\xE2\x82", 3, 1 }, { "\xF5\x80\x80\x80", 4, 0 }, { "a\0b", 3, 1 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) assert_int_equal(sq__utf8_bad(cases[i].text, cases[i].size), cases[i].bad);
    assert_int_equal(sq__utf8_count("a\xC3\xA9\xE2\x82\xAC", 6), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_tables),       cmocka_unit_test(quoted_tables),         cmocka_unit_test(broken_rows_have_a_place),
        cmocka_unit_test(cells_have_a_place), cmocka_unit_test(fast_path_equals_libcsv), cmocka_unit_test(limits),
        cmocka_unit_test(failed_allocations_are_survived), cmocka_unit_test(utf8_by_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
