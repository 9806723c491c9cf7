/* Option tables from and to YAML: places of what is wrong, lists into text, and the round trip. */
#include "support/check.h"

#include "base/memory.h"
#include "io/yaml_fields.h"

typedef struct settings {
    int64_t steps;
    double rate;
    bool fast;
    int kind;
    char names[SQ_TEXT_FIELD_SIZE];
} settings;

static const char *const kinds[] = { "small", "very-large", NULL };
static const sq_field fields[] = {
    SQ_INT(settings, steps, "3", 1, 100, "how many"),
    SQ_FLOAT(settings, rate, "0.1", 0, 1, "how fast"),
    SQ_BOOL(settings, fast, "false", "faster"),
    SQ_CHOICE(settings, kind, "small", kinds, "which"),
    SQ_TEXT(settings, names, "all", "whose"),
    SQ_FIELDS_END
};

static sq_status read_text(const char *text, settings *config, sq_error *error)
{
    sq_yaml_document *document;
    sq__fields_defaults(fields, config);
    assert_ok(sq__yaml_parse(&document, "t.yaml", text, strlen(text), error), error);
    sq_status status = sq__yaml_fields_read(document, document->root, fields, config, "settings", error);
    sq__yaml_destroy(&document);
    return status;
}

static void values(void **state)
{
    (void)state;
    settings config;
    sq_error error;
    assert_ok(read_text("steps: 7\nfast: yes\nkind: very_large\nnames: [a, 'b c', d]\n", &config, &error), &error);
    assert_int_equal(config.steps, 7);
    assert_close(config.rate, 0.1, 0);
    assert_true(config.fast);
    assert_int_equal(config.kind, 1);
    assert_string_equal(config.names, "a,b c,d");
    assert_ok(read_text("names: []", &config, &error), &error);
    assert_string_equal(config.names, "");
    assert_ok(read_text("names: one", &config, &error), &error);
    assert_string_equal(config.names, "one");
}

static void places(void **state)
{
    (void)state;
    static const struct { const char *text, *message; sq_status status; } cases[] = {
        { "steps: 3\nrat: 2\n", "t.yaml:2:1: settings has no option 'rat'; did you mean 'rate'?", SQ_NOT_FOUND },
        { "steps: 3\nrate:   2\n", "t.yaml:2:9: settings: rate is 2; expected 0 to 1", SQ_INVALID },
        { "steps: 1.5\n", "t.yaml:1:8: settings: steps is '1.5'; expected a whole number", SQ_INVALID },
        { "kind: larger\n", "t.yaml:1:7: settings: kind is 'larger'; expected one of small, very-large", SQ_INVALID },
        { "steps: [1]\n", "t.yaml:1:8: steps: expected one value", SQ_INVALID },
        { "names: [a, [b]]\n", "t.yaml:1:12: names: expected a list of plain values", SQ_INVALID },
        { "[1, 2]\n", "t.yaml:1:1: settings: expected keys with values", SQ_INVALID },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        settings config;
        sq_error error = { 0 };
        assert_int_equal(read_text(cases[i].text, &config, &error), cases[i].status);
        assert_contains(error.message, cases[i].message);
    }
    char long_list[2 * SQ_TEXT_FIELD_SIZE] = "names: [";
    for (int i = 0; i < SQ_TEXT_FIELD_SIZE / 8; i++) strcat(long_list, "longword,");
    strcat(long_list, "x]");
    settings config;
    sq_error error;
    assert_int_equal(read_text(long_list, &config, &error), SQ_INVALID);
    assert_contains(error.message, "longer than");
}

static void round_trip(void **state)
{
    (void)state;
    settings config, again;
    sq_error error;
    memset(&config, 0, sizeof config);
    sq__fields_defaults(fields, &config);
    config.rate = 1.0 / 3;
    config.kind = 1;
    strcpy(config.names, "a \"b\"\\ \t: #\xc3\xa9");
    char *text = NULL;
    size_t size;
    FILE *stream = open_memstream(&text, &size);
    sq__yaml_fields_write(stream, fields, &config, 2);
    fclose(stream);
    memset(&again, 0, sizeof again);
    assert_ok(read_text(text, &again, &error), &error);
    assert_memory_equal(&config.rate, &again.rate, sizeof config.rate);
    assert_string_equal(config.names, again.names);
    assert_int_equal(again.kind, 1);
    assert_int_equal(again.steps, 3);
    free(text);
    assert_int_equal(sq_memory_current(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(places), cmocka_unit_test(round_trip) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
