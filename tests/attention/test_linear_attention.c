/* What only linear attention promises: a weighted mean of values at any size of inputs, buckets that are blind to themselves, and efficient
 * attention's two softmaxes. */
#include "reference/trial.h"
#include "support/check.h"

static void open_or_fail(trial *t, const char *options, const trial_shape *shape)
{
    if (trial_open(t, "linear", options, shape) != SQ_OK) fail_msg("linear %s: %s", options, t->error.message);
}

/* One key: every row of every map without eps is its value. */
static void test_one_key_gives_its_value(void **state)
{
    static const char *const options[] = { "", "feature_map=exp", "feature_map=softmax" };
    const trial_shape shape = { .B = 2, .H = 2, .T = 7, .N = 1, .D = 6, .M = 5, .size = 3 };
    (void)state;
    for (size_t o = 0; o < sizeof options / sizeof options[0]; o++) {
        trial t;
        open_or_fail(&t, options[o], &shape);
        trial_forward(&t);
        for (int64_t i = 0; i < shape.T; i++)
            for (int64_t c = 0; c < shape.M; c++) assert_close(*trial_at(&t.out, 1, i, 1, c), *trial_at(&t.v, 1, 0, 1, c), 1e-6);
        trial_close(&t);
    }
}

/* Positive features weigh values by a probability; exp and softmax do so for inputs of any size. */
static void test_inputs_of_any_size(void **state)
{
    static const char *const options[] = { "feature_map=exp", "feature_map=softmax" };
    static const double sizes[] = { 1e-20, 1, 30, 1e3, 1e6 };
    (void)state;
    for (size_t o = 0; o < 2; o++)
        for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++)
            for (int causal = 0; causal < 2; causal++) {
                const trial_shape shape = { .B = 1, .H = 1, .T = 300, .N = 300, .D = 16, .M = 4, .causal = causal == 1, .size = sizes[s] };
                float most = 0;
                trial t;
                open_or_fail(&t, options[o], &shape);
                trial_forward(&t);
                trial_backward(&t);
                for (int64_t i = 0; i < t.v.count; i++) most = fmaxf(most, fabsf(t.v.data[i]));
                for (int64_t i = 0; i < t.out.count; i++)
                    if (!(fabsf(t.out.data[i]) <= 1.0001f * most)) fail_msg("%s size %g: out is %g", options[o], sizes[s], (double)t.out.data[i]);
                for (int64_t i = 0; i < t.dq.count; i++)
                    if (!isfinite(t.dq.data[i]) || !isfinite(t.dk.data[i])) fail_msg("%s size %g: a gradient is not finite", options[o], sizes[s]);
                trial_close(&t);
            }
}

static void test_buckets_are_blind_to_themselves(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 50, .N = 50, .D = 8, .M = 3, .causal = true };
    trial whole, cut;
    (void)state;
    open_or_fail(&whole, "bucket=16", &shape);
    open_or_fail(&cut, "bucket=16", &shape);
    for (int64_t c = 0; c < shape.M; c++) *trial_at(&cut.v, 0, 20, 0, c) += 5;
    trial_forward(&whole);
    trial_forward(&cut);
    for (int64_t i = 0; i < shape.T; i++) {
        const float before = *trial_at(&whole.out, 0, i, 0, 0), after = *trial_at(&cut.out, 0, i, 0, 0);
        if (i < 16) assert_true(before == 0);
        if ((i < 32) != (before == after)) fail_msg("row %d of key 20's bucket of 16: %g and %g", (int)i, (double)before, (double)after);
    }
    trial_close(&whole);
    trial_close(&cut);
}

/* lucidrains' rows are the paper's times D^-1/2. */
static void test_conventions_of_efficient_attention(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 40, .N = 60, .D = 16, .M = 3 };
    trial paper, other;
    (void)state;
    open_or_fail(&paper, "feature_map=softmax", &shape);
    open_or_fail(&other, "feature_map=softmax convention=lucidrains", &shape);
    trial_forward(&paper), trial_forward(&other);
    for (int64_t i = 0; i < paper.out.count; i++) assert_close(4 * other.out.data[i], paper.out.data[i], 1e-6);
    trial_close(&paper);
    trial_close(&other);
}

static void expect_refusal(const char *options, bool causal, const char *part)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 8, .N = 8, .D = 4, .M = 4, .causal = causal };
    trial t;
    assert_int_equal(trial_open(&t, "linear", options, &shape), SQ_UNSUPPORTED);
    assert_contains(t.error.message, part);
    trial_close(&t);
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refusal("convention=idiap feature_map=exp", false, "convention idiap has no feature_map exp");
    expect_refusal("convention=lucidrains", true, "convention lucidrains has no feature_map elu");
    expect_refusal("bucket=4", false, "buckets");
    expect_refusal("bucket=4 feature_map=exp", true, "buckets");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_key_gives_its_value), cmocka_unit_test(test_inputs_of_any_size), cmocka_unit_test(test_buckets_are_blind_to_themselves),
        cmocka_unit_test(test_conventions_of_efficient_attention), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
