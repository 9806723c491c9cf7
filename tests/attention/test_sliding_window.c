/* Sliding window and Longformer: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

static void open_named(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    assert_ok(trial_open(t, mechanism, options, shape), &t->error);
}

/* Both mechanisms on the same inputs: the same values and gradients. */
static void expect_equal(const char *mechanism, const char *options, const char *other, const char *other_options, const trial_shape *shape)
{
    trial a, b;
    open_named(&a, mechanism, options, shape);
    open_named(&b, other, other_options, shape);
    trial_same_inputs(&b, &a);
    trial_forward(&a), trial_forward(&b);
    trial_backward(&a), trial_backward(&b);
    trial_expect_close(&a, &a.out, &b, &b.out, 2e-6);
    trial_expect_close(&a, &a.dq, &b, &b.dq, 4e-6);
    trial_expect_close(&a, &a.dk, &b, &b.dk, 4e-6);
    trial_expect_close(&a, &a.dv, &b, &b.dv, 4e-6);
    trial_close(&a);
    trial_close(&b);
}

static trial_shape square(int64_t n, bool causal)
{
    return (trial_shape){ .B = 2, .H = 3, .T = n, .N = n, .D = 8, .M = 6, .causal = causal, .lengths = true, .query_lengths = true };
}

static void test_a_window_over_everything_is_exact_attention(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const trial_shape shape = square(150, causal);
        expect_equal("sliding-window", "window=149", "softmax", "", &shape);
        expect_equal("sliding-window", "window=1073741824", "softmax", "", &shape);
        expect_equal("sliding-window", "window=1 block=1000", "softmax", "", &shape);
        expect_equal("longformer", "window=0 globals=150 global_projections=shared", "softmax", "", &shape);
        expect_equal("bigbird", "block=16 window=160 globals=0 random=0", "softmax", "", &shape);
        expect_equal("bigbird", "block=30 random=0 globals=150", "softmax", "", &shape);
        expect_equal("bigbird", "construction=extended globals=150", "softmax", "", &shape);
        expect_equal("sparse-transformer", "stride=150", "softmax", "", &shape);
        expect_equal("sparse-transformer", "stride=1", "softmax", "", &shape);
        expect_equal("sparse-transformer", "pattern=fixed stride=10 summary=10", "softmax", "", &shape);
    }
}

static void test_one_pattern_by_several_names(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const trial_shape shape = square(131, causal);
        expect_equal("longformer", "window=5 globals=0 dilation=1,3,2", "sliding-window", "window=5 dilation=1,3,2", &shape);
        expect_equal("sparse-transformer", "stride=9 heads=layers", "sliding-window", "window=9", &shape);
        expect_equal("sparse-transformer", "stride=9 heads=layers convention=openai", "sliding-window", "window=8", &shape);
        expect_equal("bigbird", "block=7 window=10 globals=0 random=0", "sliding-window", "block=7 window=14", &shape);
        expect_equal("sliding-window", "window=20 dilation=200", "sliding-window", "window=0", &shape);
    }
}

/* Longformer's third rule: a global row reads the global projections and nothing of q, k, v. */
static void test_global_rows_have_projections_of_their_own(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 90, .N = 90, .D = 8, .M = 6 };
    trial t, plain;
    (void)state;
    open_named(&t, "longformer", "window=4 globals=2", &shape);
    assert_int_equal(t.input_count, 3);
    open_named(&plain, "longformer", "window=4 globals=2 global_projections=shared", &shape);
    assert_int_equal(plain.input_count, 0);
    trial_same_inputs(&plain, &t);
    trial_forward(&t), trial_forward(&plain);
    for (int64_t i = 0; i < shape.T; i++)
        for (int64_t h = 0; h < shape.H; h++) {
            const bool same = memcmp(trial_at(&t.out, 0, i, h, 0), trial_at(&plain.out, 0, i, h, 0), (size_t)shape.M * sizeof(float)) == 0;
            assert_int_equal(same, i >= 2);
        }
    trial_backward(&t);
    for (int64_t i = 0; i < shape.T; i++)
        for (int64_t c = 0; c < shape.D; c++) {
            if (i < 2) assert_true(*trial_at(&t.dq, 0, i, 0, c) == 0);
            else assert_true(*trial_at(&t.dinput[0], 0, i, 0, c) == 0);
        }
    trial_close(&t);
    trial_close(&plain);
}

static void expect_refused(const char *mechanism, const char *options, const char *reason)
{
    const trial_shape shape = { .B = 1, .H = 3, .T = 20, .N = 20, .D = 8, .M = 8 };
    trial t;
    assert_int_equal(trial_open(&t, mechanism, options, &shape), SQ_INVALID);
    assert_contains(t.error.message, reason);
    trial_close(&t);
}

static void test_bad_options_are_refused(void **state)
{
    (void)state;
    expect_refused("sliding-window", "dilation=1,2", "expected 1 or 3");
    expect_refused("sliding-window", "dilation=1,,2", "one per head");
    expect_refused("sliding-window", "dilation=0", "one per head");
    expect_refused("sliding-window", "dilation=2x", "one per head");
    expect_refused("sliding-window", "dilation=2 block=8", "no dilation");
    expect_refused("sliding-window", "circular=true", "needs blocks");
    expect_refused("longformer", "dilation=,", "one per head");
    expect_refused("sparse-transformer", "convention=fairseq", "fairseq");
}

/* What cannot be told from a ring of rows does not stream. */
static void test_what_streams(void **state)
{
    static const struct { const char *options; bool causal, streams; } cases[] = {
        { "window=5", true, true }, { "window=5", false, false }, { "window=5 block=4", true, true }, { "self_score=-1", true, false },
        { "window=1000000", true, true }, { "window=1048577", true, false }, { "window=1073741824 dilation=1,1048576", true, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        trial t;
        const trial_shape shape = { .B = 1, .H = 2, .T = 9, .N = 9, .D = 4, .M = 4, .causal = cases[i].causal };
        open_named(&t, "sliding-window", cases[i].options, &shape);
        assert_int_equal(sq_attention_state_bytes(t.plan) > 0, cases[i].streams);
        trial_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_window_over_everything_is_exact_attention), cmocka_unit_test(test_one_pattern_by_several_names),
        cmocka_unit_test(test_global_rows_have_projections_of_their_own), cmocka_unit_test(test_bad_options_are_refused),
        cmocka_unit_test(test_what_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
