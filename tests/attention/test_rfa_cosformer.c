/* Laws of random feature attention and cosFormer that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

static void open_or_fail(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s %s: %s", mechanism, options, t->error.message);
}

/* Rows of unit length, for which exp(-|q - k|^2 / 2) is exp(q.k) up to a constant factor: softmax of scale 1. */
static void give_directions(trial *t)
{
    trial_array *sides[] = { &t->q, &t->k };
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < sides[s]->rows; i++)
            for (int64_t h = 0; h < sides[s]->heads; h++) {
                double square = 0;
                for (int64_t d = 0; d < sides[s]->width; d++) square += pow((double)*trial_at(sides[s], 0, i, h, d), 2);
                for (int64_t d = 0; d < sides[s]->width; d++) *trial_at(sides[s], 0, i, h, d) /= (float)sqrt(square);
            }
}

static double distance_from_softmax(const char *features, bool causal, int draws)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 120, .N = 120, .D = 8, .M = 5, .causal = causal };
    trial exact, random;
    double square = 0;
    sq_error error;
    open_or_fail(&exact, "softmax", "", &shape);
    open_or_fail(&random, "rfa", features, &shape);
    sq_attention_desc desc = exact.desc;
    desc.scale = 1;
    sq_attention_destroy(&exact.plan);
    assert_ok(sq_attention_create(&exact.plan, &desc, &error), &error);
    give_directions(&exact), give_directions(&random);
    trial_forward(&exact);
    for (int64_t i = 0; i < random.tensor_size[1]; i++) random.tensor[1][i] = 1;
    for (int draw = 0; draw < draws; draw++) {
        assert_int_equal(sq_attention_tensor_init(random.plan, 0, 5, (uint64_t)draw, random.tensor[0]), SQ_OK);
        trial_forward(&random);
        for (int64_t i = 0; i < exact.out.count; i++) square += pow((double)exact.out.data[i] - random.out.data[i], 2);
    }
    square /= (double)(exact.out.count * draws);
    trial_close(&exact);
    trial_close(&random);
    return sqrt(square);
}

/* The error falls as m^-1/2: 256 times the features, 1/16 of the error. */
static void test_rfa_converges_to_softmax_of_directions(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const double coarse = distance_from_softmax("features=64", causal == 1, 8), fine = distance_from_softmax("features=16384", causal == 1, 1);
        print_message("rfa%s: distance from softmax %.2e with 64 features, %.2e with 16384\n", causal ? " causal" : "", coarse, fine);
        assert_true(fine < coarse / 8 && fine > coarse / 32);
    }
}

/* Only directions count. */
static void test_rfa_ignores_norms(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 30, .N = 30, .D = 8, .M = 5 };
    trial a, b;
    (void)state;
    open_or_fail(&a, "rfa", "", &shape);
    open_or_fail(&b, "rfa", "", &shape);
    for (int64_t i = 0; i < a.q.count; i++) b.q.data[i] *= 8, b.k.data[i] *= 0.25f;
    trial_forward(&a), trial_forward(&b);
    for (int64_t i = 0; i < a.out.count; i++) assert_close(b.out.data[i], a.out.data[i], 1e-6);
    trial_close(&a);
    trial_close(&b);
}

/* Open gates keep everything alike (up to their common factor, which cancels); closed ones see their own token alone. */
static void test_rfa_gates(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 200, .N = 200, .D = 8, .M = 3, .causal = true };
    trial plain, gated;
    (void)state;
    open_or_fail(&plain, "rfa", "kernel=arccos", &shape);
    open_or_fail(&gated, "rfa", "kernel=arccos gate=true", &shape);
    memcpy(gated.tensor[0], plain.tensor[0], (size_t)plain.tensor_size[0] * sizeof(float));
    memcpy(gated.tensor[1], plain.tensor[1], (size_t)plain.tensor_size[1] * sizeof(float));
    for (int64_t i = 0; i < gated.input[0].count; i++) gated.input[0].data[i] = 30;
    trial_forward(&plain), trial_forward(&gated);
    for (int64_t i = 0; i < plain.out.count; i++) assert_close(gated.out.data[i], plain.out.data[i], 1e-5);
    for (int64_t i = 0; i < gated.input[0].count; i++) gated.input[0].data[i] = -40;
    trial_forward(&gated);
    for (int64_t i = 0; i < shape.T; i++)
        for (int64_t c = 0; c < shape.M; c++) assert_close(*trial_at(&gated.out, 0, i, 0, c), *trial_at(&gated.v, 0, i, 0, c), 1e-5);
    trial_close(&plain);
    trial_close(&gated);
}

/* Over a period far beyond the length the cosine is 1: linear attention of rectified rows. */
static void test_cosformer_of_a_long_period_is_linear(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const trial_shape shape = { .B = 1, .H = 2, .T = 50, .N = 50, .D = 8, .M = 4, .causal = causal == 1 };
        trial a, b;
        open_or_fail(&a, "cosformer", "period=10000000", &shape);
        open_or_fail(&b, "linear", "feature_map=relu", &shape);
        trial_forward(&a), trial_forward(&b);
        for (int64_t i = 0; i < a.out.count; i++) assert_close(a.out.data[i], b.out.data[i], 2e-6);
        trial_close(&a);
        trial_close(&b);
    }
}

/* A plan that knows a larger length gives a shorter sequence the same weights whatever it is padded to. */
static void test_cosformer_takes_the_largest_length(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 50, .N = 50, .D = 8, .M = 4 };
    trial a, b;
    sq_error error;
    (void)state;
    open_or_fail(&a, "cosformer", "period=400", &shape);
    open_or_fail(&b, "cosformer", "", &shape);
    sq_attention_desc desc = b.desc;
    desc.max_length = 400;
    sq_attention_destroy(&b.plan);
    assert_ok(sq_attention_create(&b.plan, &desc, &error), &error);
    trial_forward(&a), trial_forward(&b);
    for (int64_t i = 0; i < a.out.count; i++) assert_true(a.out.data[i] == b.out.data[i]);
    trial_close(&a);
    trial_close(&b);
}

/* NaN in keys and values that are masked: the same bits out, and gradients of 0 there. */
static void hide_nan(const char *mechanism, const char *options, bool causal)
{
    const trial_shape shape = { .B = 2, .H = 2, .T = 70, .N = 70, .D = 8, .M = 5, .causal = causal, .key_mask = true };
    trial clean, dirty;
    open_or_fail(&clean, mechanism, options, &shape);
    open_or_fail(&dirty, mechanism, options, &shape);
    for (int64_t b = 0; b < 2; b++)
        for (int64_t j = 0; j < 70; j++)
            for (int64_t h = 0; h < 2 && !dirty.key_keep[b * 70 + j]; h++) {
                for (int64_t c = 0; c < 8; c++) *trial_at(&dirty.k, b, j, h, c) = NAN;
                for (int64_t c = 0; c < 5; c++) *trial_at(&dirty.v, b, j, h, c) = NAN;
                if (dirty.input_count) *trial_at(&dirty.input[0], b, j, h, 0) = NAN;
            }
    trial_forward(&clean), trial_forward(&dirty);
    trial_backward(&clean), trial_backward(&dirty);
    const trial_array *a[] = { &clean.out, &clean.dq, &clean.dk, &clean.dv, &clean.dinput[0] };
    const trial_array *b[] = { &dirty.out, &dirty.dq, &dirty.dk, &dirty.dv, &dirty.dinput[0] };
    for (int x = 0; x < 4 + clean.input_count; x++)
        if (memcmp(a[x]->data, b[x]->data, (size_t)a[x]->count * sizeof(float)) != 0) fail_msg("%s %s: masked NaN shows (array %d)", mechanism, options, x);
    for (int i = 0; i < clean.tensor_count; i++)
        if (clean.dtensor[i] && memcmp(clean.dtensor[i], dirty.dtensor[i], (size_t)clean.tensor_size[i] * sizeof(float)) != 0)
            fail_msg("%s %s: masked NaN shows in the gradient of %s", mechanism, options, clean.tensors[i].name);
    trial_close(&clean);
    trial_close(&dirty);
}

static void test_masked_rows_may_hold_anything(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        hide_nan("linear", "", causal == 1);
        hide_nan("linear", "feature_map=softmax", causal == 1);
        hide_nan("linear", "feature_map=relu convention=idiap", causal == 1);
        hide_nan("cosformer", "", causal == 1);
        hide_nan("rfa", "", causal == 1);
        hide_nan("performer", "", causal == 1);
        hide_nan("performer", "kernel=hyperbolic", causal == 1);
    }
    hide_nan("rfa", "gate=true", true);
    hide_nan("rfa", "gate=true kernel=arccos", true);
    hide_nan("nystromformer", "landmarks=8", false);
    hide_nan("nystromformer", "landmarks=8 convention=lucidrains", false);
}

static void expect_refusal(const char *mechanism, const char *options, sq_status status, const char *part)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 8, .N = 8, .D = 4, .M = 4 };
    trial t;
    assert_int_equal(trial_open(&t, mechanism, options, &shape), status);
    assert_contains(t.error.message, part);
    trial_close(&t);
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refusal("rfa", "convention=noahs-ark kernel=arccos", SQ_UNSUPPORTED, "convention paper has all");
    expect_refusal("rfa", "gate=true", SQ_UNSUPPORTED, "only causal");
    expect_refusal("cosformer", "period=7", SQ_INVALID, "at least the length, 8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfa_converges_to_softmax_of_directions), cmocka_unit_test(test_rfa_ignores_norms), cmocka_unit_test(test_rfa_gates),
        cmocka_unit_test(test_cosformer_of_a_long_period_is_linear), cmocka_unit_test(test_cosformer_takes_the_largest_length),
        cmocka_unit_test(test_masked_rows_may_hold_anything),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
