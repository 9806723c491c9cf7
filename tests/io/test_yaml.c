/* YAML: the tree, the place of every node, and what is refused with which message. */
#include "support/check.h"

#include "base/memory.h"
#include "io/yaml.h"

static sq_yaml_document *parse(const char *text)
{
    sq_yaml_document *document;
    sq_error error;
    assert_ok(sq__yaml_parse(&document, "t.yaml", text, strlen(text), &error), &error);
    return document;
}

static void refused(const char *text, const char *message)
{
    sq_yaml_document *document;
    sq_error error = { .message = "" };
    size_t before = sq_memory_current();
    assert_int_equal(sq__yaml_parse(&document, "t.yaml", text, strlen(text), &error), SQ_FORMAT);
    assert_string_equal(error.message, message);
    assert_null(document);
    assert_int_equal(sq_memory_current(), before);
}

static void nodes_know_their_place(void **state)
{
    (void)state;
    sq_yaml_document *document = parse("# comment\ndata:\n  id: client\n  list: [a, \"b c\", {k: v}]\nempty:\nnull: ~\n");
    const sq_yaml *data = sq__yaml_get(document->root, "data"), *list = sq__yaml_get(data, "list");
    assert_int_equal(document->root->type, SQ_YAML_MAP);
    assert_int_equal(document->root->count, 3);
    assert_string_equal(sq__yaml_get(data, "id")->text, "client");
    assert_int_equal(sq__yaml_get(data, "id")->line, 3);
    assert_int_equal(sq__yaml_get(data, "id")->column, 7);
    assert_int_equal(list->type, SQ_YAML_LIST);
    assert_int_equal(list->count, 3);
    assert_string_equal(list->items[1]->text, "b c");
    assert_string_equal(sq__yaml_get(list->items[2], "k")->text, "v");
    assert_string_equal(sq__yaml_get(document->root, "empty")->text, "");
    assert_string_equal(sq__yaml_get(document->root, "null")->text, "");
    assert_null(sq__yaml_get(document->root, "absent"));
    assert_null(sq__yaml_get(list, "k"));
    sq__yaml_destroy(&document);
    assert_null(document);
    sq__yaml_destroy(&document);
    assert_int_equal(sq_memory_current(), 0);
}

static void long_lists_and_shared_nodes(void **state)
{
    char text[40000] = "a: &x {k: v}\nb: *x\nc: [", *at = text + strlen(text);
    (void)state;
    for (int i = 0; i < 5000; i++) at += sprintf(at, "%d,", i);
    strcpy(at, "]\n");
    sq_yaml_document *document = parse(text);
    assert_ptr_equal(sq__yaml_get(document->root, "a"), sq__yaml_get(document->root, "b"));
    const sq_yaml *list = sq__yaml_get(document->root, "c");
    assert_int_equal(list->count, 5000);
    assert_string_equal(list->items[4999]->text, "4999");
    sq__yaml_destroy(&document);
}

static void bad_yaml_has_a_place(void **state)
{
    char deep[200];
    (void)state;
    refused("a: 1\nb: [1, 2\nc: 3\n", "t.yaml:3:2: did not find expected ',' or ']'");
    refused("a: 1\na: 2\n", "t.yaml:2:1: 'a' is given twice; first in line 1");
    refused("? [x]\n: 1\n", "t.yaml:1:3: a list or map as a key; expected a word");
    refused("a: &x [*x]\n", "t.yaml:1:8: an alias to a value that holds it");
    refused("a: *nothing\n", "t.yaml:1:4: an alias without its anchor");
    refused("a: 1\n---\nb: 2\n", "t.yaml:2:1: a second document; expected one");
    refused("", "t.yaml:1:1: the file is empty");
    refused("a: \"x\\0y\"\n", "t.yaml:1:4: a zero byte in a text");
    refused("a: \xFF\xFE\n", "t.yaml: invalid leading UTF-8 octet at byte 3");
    refused("\tb: 1\n", "t.yaml:1:1: found character that cannot start any token");
    memset(deep, '[', 150);
    deep[150] = 0;
    refused(deep, "t.yaml:1:65: nested deeper than 64");
}

static void unknown_keys_name_the_nearest(void **state)
{
    static const char *const allowed[] = { "max_length", "target", "files" };
    sq_error error;
    (void)state;
    sq_yaml_document *document = parse("files: a.csv\nmax_lenght: 3\n");
    assert_int_equal(sq__yaml_check_keys(document, document->root, allowed, 3, &error), SQ_NOT_FOUND);
    assert_string_equal(error.message, "t.yaml:2:1: unknown key 'max_lenght'; did you mean 'max_length'?");
    assert_int_equal(sq__yaml_check_keys(document, sq__yaml_get(document->root, "files"), allowed, 3, &error), SQ_INVALID);
    assert_string_equal(error.message, "t.yaml:1:8: expected keys with values");
    assert_int_equal(sq__yaml_fail(document, document->root->items[1], &error, "%d is wrong", 3), SQ_INVALID);
    assert_string_equal(error.message, "t.yaml:2:13: 3 is wrong");
    sq__yaml_destroy(&document);
}

static void a_missing_file_is_named(void **state)
{
    sq_yaml_document *document;
    sq_error error;
    (void)state;
    assert_int_equal(sq__yaml_load(&document, "/nonexistent/task.yaml", &error), SQ_NOT_FOUND);
    assert_contains(error.message, "/nonexistent/task.yaml");
    assert_contains(error.message, "No such file");
}

static void failed_allocations_are_survived(void **state)
{
    static const char text[] = "a: &x [1, 2, {b: c}]\nd: *x\n";
    sq_yaml_document *document;
    sq_error error;
    sq_status status = SQ_NO_MEMORY;
    (void)state;
    for (long n = 1; status == SQ_NO_MEMORY; n++) {
        sq__alloc_fail_after(n);
        status = sq__yaml_parse(&document, "t.yaml", text, strlen(text), &error);
        sq__alloc_fail_after(0);
        if (status != SQ_OK) assert_int_equal(sq_memory_current(), 0);
        assert_true(n < 1000);
    }
    assert_int_equal(status, SQ_OK);
    sq__yaml_destroy(&document);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nodes_know_their_place),        cmocka_unit_test(long_lists_and_shared_nodes),
        cmocka_unit_test(bad_yaml_has_a_place),          cmocka_unit_test(unknown_keys_name_the_nearest),
        cmocka_unit_test(a_missing_file_is_named),       cmocka_unit_test(failed_allocations_are_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
