/* Laws of Reformer that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

static void open_or_fail(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s", t->error.message);
}

/* Exact attention with unit keys that are the queries' own directions, nobody seeing themselves. */
static void open_exact(trial *t, const trial_shape *shape)
{
    trial_shape masked = *shape;
    masked.pair_mask = true;
    open_or_fail(t, "softmax", "", &masked);
    for (int64_t i = 0; i < shape->T; i++) {
        double square = 0;
        for (int64_t d = 0; d < shape->D; d++) square += pow((double)*trial_at(&t->q, 0, i, 0, d), 2);
        for (int64_t d = 0; d < shape->D; d++) *trial_at(&t->k, 0, i, 0, d) = (float)(*trial_at(&t->q, 0, i, 0, d) / sqrt(square));
        for (int64_t j = 0; j < shape->N; j++) t->pair_keep[i * shape->N + j] = i != j;
    }
    trial_forward(t);
}

static double distance(const trial *a, const trial *b)
{
    double square = 0;
    for (int64_t i = 0; i < a->out.count; i++) square += pow((double)a->out.data[i] - b->out.data[i], 2);
    return sqrt(square / (double)a->out.count);
}

/* One chunk, and one bucket: exact; more rounds: nearer. */
static void test_approaches_exact(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 150, .N = 150, .D = 8, .M = 6, .size = 2 };
    static const char *const options[] = { "block=150", "block=16 rounds=1", "block=16 rounds=4", "block=16 rounds=16", "block=16 rounds=64" };
    double error[5];
    trial exact, hashed;
    (void)state;
    open_exact(&exact, &shape);
    for (int i = 0; i < 5; i++) {
        open_or_fail(&hashed, "reformer", options[i], &shape);
        trial_forward(&hashed);
        error[i] = distance(&hashed, &exact);
        print_message("%s: distance from exact %.3g\n", options[i], error[i]);
        trial_close(&hashed);
    }
    assert_true(error[0] < 1e-6);
    for (int i = 2; i < 5; i++) assert_true(error[i] < 0.75 * error[i - 1]);
    trial_close(&exact);
}

/* A row that sees only itself gives its value and no gradient but to it, whatever the size of its score: the first causal row, and
 * with more buckets than a round fills many others. */
static void test_lone_rows_are_exact(void **state)
{
    static const char *const options[] = { "rounds=1", "block=16 rounds=5", "block=16 rounds=3 duplicates=true", "convention=lucidrains block=16 rounds=3",
                                           "convention=huggingface block=16 rounds=7 duplicates=true across_buckets=true" };
    const trial_shape shape = { .B = 1, .H = 2, .T = 100, .N = 100, .D = 5, .M = 7, .causal = true, .size = 30 };
    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        trial t;
        open_or_fail(&t, "reformer", options[i], &shape);
        trial_forward(&t);
        for (int64_t j = 1; j < shape.T * shape.M * shape.H; j++) t.dout.data[j] = j < shape.M * shape.H ? 1.0f : 0.0f;
        t.dout.data[0] = 1;
        trial_backward(&t);
        for (int64_t h = 0; h < shape.H; h++) {
            for (int64_t m = 0; m < shape.M; m++) {
                const float v = *trial_at(&t.v, 0, 0, h, m);
                assert_true(fabsf(*trial_at(&t.out, 0, 0, h, m) - v) <= 3e-7f * fabsf(v));
                assert_true(fabsf(*trial_at(&t.dv, 0, 0, h, m) - 1) <= 3e-7f);
            }
            for (int64_t d = 0; d < shape.D; d++) assert_true(fabsf(*trial_at(&t.dq, 0, 0, h, d)) <= 1e-6f);
        }
        trial_close(&t);
    }
}

/* What a hidden key holds as a value changes nothing, and gets no gradient; the keys that are given are not read at all. */
static void test_hidden_values_are_ignored(void **state)
{
    const trial_shape shape = { .B = 2, .H = 2, .T = 90, .N = 90, .D = 6, .M = 5, .key_mask = true };
    trial clean, dirty;
    (void)state;
    open_or_fail(&clean, "reformer", "block=16", &shape);
    open_or_fail(&dirty, "reformer", "block=16", &shape);
    for (int64_t i = 0; i < dirty.k.count; i++) dirty.k.data[i] = NAN;
    for (int64_t b = 0; b < shape.B; b++)
        for (int64_t j = 0; j < shape.N; j++)
            for (int64_t c = 0; c < shape.H * shape.M && !dirty.key_keep[b * shape.N + j]; c++) *trial_at(&dirty.v, b, j, c / shape.M, c % shape.M) = NAN;
    trial_forward(&clean), trial_forward(&dirty);
    trial_backward(&clean), trial_backward(&dirty);
    assert_memory_equal(clean.out.data, dirty.out.data, (size_t)clean.out.count * sizeof(float));
    assert_memory_equal(clean.dq.data, dirty.dq.data, (size_t)clean.dq.count * sizeof(float));
    assert_memory_equal(clean.dv.data, dirty.dv.data, (size_t)clean.dv.count * sizeof(float));
    for (int64_t i = 0; i < clean.dk.count; i++) assert_true(clean.dk.data[i] == 0);
    trial_close(&clean);
    trial_close(&dirty);
}

static void test_refusals(void **state)
{
    static const sq_option odd[] = { { "buckets", "7" } }, alone[] = { { "buckets2", "4" } }, wide[] = { { "convention", "lucidrains" }, { "before", "2" } };
    const struct { const sq_option *options; int count; sq_status status; const char *text; } cases[] = {
        { odd, 1, SQ_INVALID, "even" }, { alone, 1, SQ_INVALID, "buckets2" }, { wide, 2, SQ_UNSUPPORTED, "one chunk back" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const sq_attention_desc desc = { .mechanism = "reformer", .B = 1, .H = 1, .T = 8, .N = 8, .D = 4, .M = 4, .options = cases[i].options,
                                         .option_count = cases[i].count };
        sq_attention *plan;
        sq_error error;
        assert_int_equal(sq_attention_create(&plan, &desc, &error), cases[i].status);
        assert_contains(error.message, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_approaches_exact), cmocka_unit_test(test_lone_rows_are_exact), cmocka_unit_test(test_hidden_values_are_ignored),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
