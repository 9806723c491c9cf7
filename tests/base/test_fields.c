#include "base/cpu.h"
#include "base/fields.h"
#include "base/parallel.h"
#include "support/check.h"

typedef struct config {
    int64_t features;
    double tau;
    bool causal;
    int kernel;
    char name[SQ_TEXT_FIELD_SIZE];
} config;

static const char *const kernels[] = { "softmax", "relu", "trigonometric", NULL };
static const sq_field fields[] = {
    SQ_INT(config, features, "64", 1, 4096, "random features"),
    SQ_FLOAT(config, tau, "0.5", 0, 1, "share of the past"),
    SQ_BOOL(config, causal, "false", "look back only"),
    SQ_CHOICE(config, kernel, "relu", kernels, "kernel to approximate"),
    SQ_TEXT(config, name, "none", "any text"),
    SQ_FIELDS_END,
};

static void defaults_and_round_trip(void **state)
{
    (void)state;
    config c;
    sq_error error;
    char text[SQ_TEXT_FIELD_SIZE];
    sq__fields_defaults(fields, &c);
    assert_int_equal(c.features, 64);
    assert_close(c.tau, 0.5, 0);
    assert_false(c.causal);
    assert_int_equal(c.kernel, 1);
    assert_string_equal(c.name, "none");
    const char *const values[] = { "4096", "0.1234567890123456", "true", "trigonometric", "x: y" };
    for (int i = 0; i < sq__fields_count(fields); i++) {
        assert_ok(sq__fields_set(fields, &c, "test", fields[i].name, values[i], &error), &error);
        assert_string_equal(sq__fields_format(&fields[i], &c, text, sizeof text), values[i]);
    }
}

static void refusals_say_what_was_expected(void **state)
{
    (void)state;
    config c;
    sq__fields_defaults(fields, &c);
    const struct { const char *name, *value, *message; sq_status status; } cases[] = {
        { "features", "many", "test: features is 'many'; expected a whole number", SQ_INVALID },
        { "features", "64x", "test: features is '64x'; expected a whole number", SQ_INVALID },
        { "features", "", "test: features is ''; expected a whole number", SQ_INVALID },
        { "features", "0", "test: features is 0; expected 1 to 4096", SQ_INVALID },
        { "features", "99999999999999999999", "test: features is '99999999999999999999'; expected a whole number", SQ_INVALID },
        { "tau", "nan", "test: tau is 'nan'; expected a number", SQ_INVALID },
        { "tau", "1.5", "test: tau is 1.5; expected 0 to 1", SQ_INVALID },
        { "causal", "maybe", "test: causal is 'maybe'; expected true or false", SQ_INVALID },
        { "kernel", "relo", "test: kernel is 'relo'; expected one of softmax, relu, trigonometric; did you mean 'relu'?", SQ_INVALID },
        { "feature", "3", "test has no option 'feature'; did you mean 'features'?", SQ_NOT_FOUND },
        { "zzzzzz", "3", "test has no option 'zzzzzz'", SQ_NOT_FOUND },
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        sq_error error = { 0 };
        assert_int_equal(sq__fields_set(fields, &c, "test", cases[i].name, cases[i].value, &error), cases[i].status);
        assert_string_equal(error.message, cases[i].message);
        assert_int_equal(error.status, cases[i].status);
    }
    assert_int_equal(c.features, 64);
}

static void nearest_name(void **state)
{
    (void)state;
    static const char *const names[] = { "softmax", "linformer", "performer", "infinite-former", "key_length" };
    assert_string_equal(sq__nearest("preformer", names, 5), "performer");
    assert_string_equal(sq__nearest("Softmax", names, 5), "softmax");
    assert_string_equal(sq__nearest("infinite", names, 5), "infinite-former");
    assert_string_equal(sq__nearest("key-lenght", names, 5), "key_length");
    assert_null(sq__nearest("banana", names, 5));
    assert_null(sq__nearest("x", names, 5));
    assert_null(sq__nearest("anything", names, 0));
}

static void messages_stay_on_one_line(void **state)
{
    (void)state;
    sq_error error;
    assert_int_equal(sq__fail(&error, SQ_FORMAT, "bad name '%s'", "a\nb\rc"), SQ_FORMAT);
    assert_string_equal(error.message, "bad name 'a b c'");
    sq__fail_at(&error, SQ_FORMAT, "file.yaml:3:7");
    assert_string_equal(error.message, "file.yaml:3:7: bad name 'a b c'");
    assert_int_equal(sq__fail(NULL, SQ_IO, "nobody listens"), SQ_IO);
    assert_int_equal(sq_status_exit_code(SQ_INVALID), 2);
    assert_int_equal(sq_status_exit_code(SQ_OK), 0);
}

static void square(void *context, int64_t item, int thread)
{
    (void)thread;
    ((int64_t *)context)[item] = item * item;
}

static void parallel_visits_every_item(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 4; threads++) {
        int64_t out[101] = { 0 };
        sq__parallel(threads, 101, square, out);
        for (int64_t i = 0; i < 101; i++) assert_int_equal(out[i], i * i);
    }
    sq__parallel(3, 0, square, NULL);
}

static void isa_can_be_capped(void **state)
{
    (void)state;
    setenv("SUBQUAD_ISA", "reference", 1);
    assert_int_equal(sq__cpu_isa(), SQ_ISA_REFERENCE);
    setenv("SUBQUAD_ISA", "no-such-isa", 1);
    assert_int_equal(sq__cpu_isa(), sq__cpu_detected());
    unsetenv("SUBQUAD_ISA");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_and_round_trip), cmocka_unit_test(refusals_say_what_was_expected), cmocka_unit_test(nearest_name),
        cmocka_unit_test(messages_stay_on_one_line), cmocka_unit_test(parallel_visits_every_item), cmocka_unit_test(isa_can_be_capped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
