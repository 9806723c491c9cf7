/* Texts read as bytes: TSV, JSON lines, folders; truncation, joins, what is refused. */
#include "data/tables.h"

#include <sys/stat.h>

static void bytes_are(const sq_dataset *d, int64_t example, const char *expected)
{
    assert_int_equal(d->length[example], strlen(expected));
    assert_memory_equal(d->bytes + d->start[example], expected, strlen(expected));
}

static void tab_separated_without_header(void **state)
{
    (void)state;
    put("t.tsv", "pos\t1\tgood \"film\"\nneg\t2\tbad, very bad\npos\t3\tna\xC3\xAFve\nneg\t4\tx\n");
    sq_dataset *d = load("kind: text\nfiles: t.tsv\nheader: false\ncolumns: [label, number, review]\ntext: review\ntarget: label\nid: number\nmax_length: 4\n"
                         "split: {validation: 0, test: 0.5}\n");
    assert_true(d->schema->text);
    assert_int_equal(d->schema->category_count, 1);
    assert_string_equal(d->schema->categories[0].name, "byte");
    assert_int_equal(d->schema->categories[0].count, 256);
    assert_string_equal(d->schema->classes[0], "neg");
    assert_int_equal(d->schema->max_length, 4);
    assert_null(d->categories);
    assert_string_equal(d->id[1], "2");
    bytes_are(d, 0, "good");   /* the first bytes */
    bytes_are(d, 1, "bad,");
    bytes_are(d, 2, "na\xC3\xAF");
    bytes_are(d, 3, "x");
    assert_int_equal(d->split_size[SQ_SPLIT_TEST], 2);
    assert_int_equal(d->split_size[SQ_SPLIT_TRAIN], 2);
    assert_int_not_equal(d->label[d->split[SQ_SPLIT_TEST][0]], d->label[d->split[SQ_SPLIT_TEST][1]]);   /* stratified */
    sq__dataset_destroy(&d);
    d = load("kind: text\nfiles: t.tsv\nheader: false\ncolumns: [label, number, review]\ntext: review\ntarget: label\nmax_length: 4\nkeep: latest\n"
             "split: {validation: 0, test: 0}\n");
    bytes_are(d, 1, " bad");
    assert_string_equal(d->id[1], "2");   /* without an id column: the row's number */
    sq__dataset_destroy(&d);
    assert_int_equal(sq_memory_current(), 0);
}

static void json_lines(void **state)
{
    (void)state;
    put("t.jsonl", "{\"text\": \"line\\none\", \"stars\": 5, \"id\": \"a\"}\n\n{\"id\": 7, \"stars\": 1.5, \"text\": \"two\", \"more\": [1]}\n"
                   "{\"id\": \"c\", \"stars\": null, \"text\": \"three\"}\n");
    sq_dataset *d = load("kind: text\nfiles: t.jsonl\ntext: text\ntarget: stars\nid: id\nsplit: {validation: 0, test: 0}\n");
    assert_int_equal(d->examples, 2);
    assert_int_equal(d->clients_without_label, 1);
    bytes_are(d, 0, "line\none");
    assert_string_equal(d->id[1], "7");
    assert_string_equal(d->schema->classes[0], "1.5");
    sq__dataset_destroy(&d);
    static const char yaml[] = "kind: text\nfiles: t.jsonl\ntext: text\ntarget: stars\n";
    static const char tail[] = "; 1 of 1 rows are broken ('on_broken_row: skip' leaves them out)";
    static const struct { const char *line, *message; } cases[] = {
        { "{\"text\": \"a\", \"star\": 1}", "t.jsonl:1:1: no 'stars' in this object; did you mean 'star'?" },
        { "{\"text\": \"a\", \"stars\": 1", "t.jsonl:1:24: not a JSON object: '}' expected near end of file" },
        { "[1, 2]", "t.jsonl:1:1: not a JSON object: another value" },
        { "{\"text\": [\"a\"], \"stars\": 1}", "t.jsonl:1:1: 'text' is a list or object; expected a text or number" },
        { "{\"text\": \"\", \"stars\": 1}", "t.jsonl:1:1: the text is empty" },
        { "{\"text\": \"\xFF\", \"stars\": 1}", "t.jsonl:1:11: not UTF-8 text" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char message[300];
        put("t.jsonl", cases[i].line);
        snprintf(message, sizeof message, "%s%s", cases[i].message, tail);
        refused(yaml, SQ_FORMAT, message);
    }
}

static void events_from_json_lines(void **state)
{
    (void)state;
    put("e.jsonl", "{\"c\": 1, \"t\": 2, \"w\": \"x\", \"s\": true}\n{\"c\": 2, \"t\": 1.25, \"w\": null, \"s\": false}\n");
    sq_dataset *d = load("files: e.jsonl\nid: c\ntime: {column: t, format: number}\ncategorical: w\ntarget: s\nsplit: {validation: 0, test: 0}\n");
    assert_int_equal(d->examples, 2);
    assert_string_equal(d->schema->classes[0], "false");
    assert_int_equal(d->categories[0][1], 0);
    sq__dataset_destroy(&d);
}

static void make_sub(const char *name)
{
    assert_int_equal(mkdir(path_of(name), 0777), 0);
}

static void a_folder_for_each_class(void **state)
{
    (void)state;
    make_sub("docs");
    make_sub("docs/sport");
    make_sub("docs/art");
    put("docs/sport/2.txt", "ball");
    put("docs/sport/1.txt", "goal");
    put("docs/art/1.txt", "two\nlines");
    put("docs/art/.hidden", "no");
    put("docs/readme", "no");
    sq_dataset *d = load("kind: text\nfiles: docs\nsplit: {validation: 0, test: 0}\n");
    assert_int_equal(d->examples, 3);
    assert_string_equal(d->id[0], "art/1.txt");
    assert_string_equal(d->id[1], "sport/1.txt");
    bytes_are(d, 0, "two\nlines");
    bytes_are(d, 2, "ball");
    assert_string_equal(d->schema->classes[1], "sport");
    assert_int_equal(d->label[2], 1);
    sq__dataset_destroy(&d);
    put("docs/art/2.txt", "a\n\xE9t\xE9");
    refused("kind: text\nfiles: docs\n", SQ_FORMAT, "docs/art/2.txt:2:1: not UTF-8 text; 1 of 4 rows are broken ('on_broken_row: skip' leaves them out)");
    put("docs/art/2.txt", "");
    refused("kind: text\nfiles: docs\n", SQ_FORMAT, "docs/art/2.txt:1:1: the text is empty; 1 of 4 rows are broken ('on_broken_row: skip' leaves them out)");
    make_sub("none");
    refused("kind: text\nfiles: none\n", SQ_NOT_FOUND, "none: no documents; expected a folder of texts for each class");
    refused("kind: text\nfiles: docs/readme\n", SQ_INVALID, "data: 'text.column' is missing, which docs/readme needs");
}

static void labels_from_another_table(void **state)
{
    (void)state;
    put("t.csv", "id,text\na,\"x, y\"\nb,z\nc,w\n");
    put("l.csv", "id,class\nb,1\na,0\ne,1\n");
    sq_dataset *d = load("kind: text\nfiles: t.csv\nid: id\ntext: text\ntarget: {column: class, file: l.csv}\nsplit: {validation: 0, test: 0}\n");
    assert_int_equal(d->examples, 2);
    assert_int_equal(d->clients_without_label, 1);
    assert_int_equal(d->labels_without_client, 1);
    bytes_are(d, 0, "x, y");
    assert_int_equal(d->label[1], 1);
    sq__dataset_destroy(&d);
    put("t.csv", "id,text\nq,z\n");
    refused("kind: text\nfiles: t.csv\nid: id\ntext: text\ntarget: {column: class, file: l.csv}\n", SQ_INVALID,
            "no text is left: 1 rows, 0 broken, 1 without a label, 3 labels without a text");
}

static void prediction_needs_no_labels(void **state)
{
    static const char yaml[] = "kind: text\nfiles: t.csv\ntext: text\ntarget: class\nmax_length: 3\nsplit: {validation: 0, test: 0}\n";
    sq_dataset *p;
    sq_error error;
    (void)state;
    put("t.csv", "text,class\nabcdef,0\nb,1\n");
    sq_dataset *d = load(yaml);
    put("t.csv", "text\nxyzw\n");
    assert_ok(load_with(&p, yaml, &(sq_dataset_options){ .schema = d->schema }, &error), &error);
    assert_int_equal(p->examples, 1);
    assert_int_equal(p->label[0], -1);
    bytes_are(p, 0, "xyz");
    assert_string_equal(p->id[0], "1");
    sq__dataset_destroy(&p);
    put("e.csv", "c,w,class\na,x,0\nb,y,1\n");
    assert_int_equal(load_with(&p, "files: e.csv\nid: c\ncategorical: w\ntarget: class\n", &(sq_dataset_options){ .schema = d->schema }, &error), SQ_INVALID);
    assert_string_equal(error.message, "the model was trained on texts; the configuration is of events");
    sq__dataset_destroy(&d);
}

static void failed_allocations_are_survived(void **state)
{
    static const char *const yamls[] = { "kind: text\nfiles: docs\nsplit: {validation: 0, test: 0}\n", "kind: text\nfiles: t.jsonl\ntext: text\ntarget: class\n"
                                         "split: {validation: 0, test: 0}\n" };
    sq_error error;
    sq_dataset *d;
    (void)state;
    put("docs/art/2.txt", "more");
    put("t.jsonl", "{\"text\": \"a\", \"class\": 1}\n{\"text\": \"b\", \"class\": 2}\n");
    for (int i = 0; i < 2; i++) {
        sq_status status = SQ_NO_MEMORY;
        for (long n = 1; status == SQ_NO_MEMORY; n++) {
            sq__alloc_fail_after(n);
            status = load_with(&d, yamls[i], NULL, &error);
            sq__alloc_fail_after(0);
            if (status != SQ_OK) assert_int_equal(sq_memory_current(), 0);
            assert_true(n < 3000);
        }
        assert_ok(status, &error);
        sq__dataset_destroy(&d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tab_separated_without_header), cmocka_unit_test(json_lines), cmocka_unit_test(events_from_json_lines),
        cmocka_unit_test(a_folder_for_each_class), cmocka_unit_test(labels_from_another_table), cmocka_unit_test(prediction_needs_no_labels),
        cmocka_unit_test(failed_allocations_are_survived),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
