/* Attention-free transformer: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

static trial_shape square(int64_t T, int64_t N)
{
    return (trial_shape){ .B = 2, .H = 2, .T = T, .N = N, .D = 8, .M = 8 };
}

static void open_aft(trial *t, const char *options, const trial_shape *shape)
{
    assert_ok(trial_open(t, "aft", options, shape), &t->error);
}

static void expect_same_out(const trial *a, const trial *b, double bound)
{
    float *x = trial_packed(a, &a->out), *y = trial_packed(b, &b->out);
    for (int64_t i = 0; i < a->out.count; i++) assert_close(x[i], y[i], bound);
    free(x);
    free(y);
}

/* Both with the tensors of the first; they have the same. */
static void expect_alike(const char *first, const char *second, bool causal, float tensor_value)
{
    trial_shape shape = square(150, 150);
    trial a, b;
    shape.causal = causal;
    open_aft(&a, first, &shape);
    open_aft(&b, second, &shape);
    trial_same_inputs(&b, &a);
    for (int i = 0; i < a.tensor_count; i++)
        for (int64_t j = 0; j < a.tensor_size[i]; j++)
            if (tensor_value == 0) a.tensor[i][j] = 0;
    for (int i = 0; i < b.tensor_count; i++) {
        if (tensor_value == 0) memset(b.tensor[i], 0, (size_t)b.tensor_size[i] * sizeof(float));
        else memcpy(b.tensor[i], a.tensor[i], (size_t)a.tensor_size[i] * sizeof(float));
    }
    trial_forward(&a);
    trial_forward(&b);
    expect_same_out(&a, &b, 3e-6);
    trial_close(&a);
    trial_close(&b);
}

static void test_a_window_over_everything_is_full(void **state)
{
    (void)state;
    expect_alike("variant=full rank=5", "variant=local rank=5 window=150", false, 1);
    expect_alike("variant=full rank=5", "variant=local rank=5 window=400", true, 1);
}

static void test_no_bias_is_simple(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        expect_alike("variant=full rank=0", "variant=simple", causal, 0);
        expect_alike("variant=local window=9", "variant=simple", causal, 0);
        expect_alike("variant=local window=9 rank=0", "variant=simple", causal, 0);
    }
}

/* One key: its value, gated. */
static void test_one_key(void **state)
{
    const trial_shape shape = square(1, 1);
    trial t;
    (void)state;
    open_aft(&t, "", &shape);
    trial_forward(&t);
    for (int64_t b = 0; b < 2; b++)
        for (int64_t c = 0; c < 8; c++)
            assert_close(*trial_at(&t.out, b, 0, 1, c), *trial_at(&t.v, b, 0, 1, c) / (1 + exp(-(double)*trial_at(&t.q, b, 0, 1, c))), 1e-6);
    trial_close(&t);
}

/* Keys of any size: exp(k) alone overflows from 89 on. */
static void test_huge_keys(void **state)
{
    static const char *const options[] = { "variant=full", "variant=simple", "variant=local window=7", "variant=conv window=7" };
    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++)
        for (int causal = 0; causal < 2; causal++) {
            trial_shape shape = square(70, 70);
            trial t;
            shape.causal = causal;
            open_aft(&t, options[i], &shape);
            for (int64_t j = 0; j < t.k.count; j++) t.k.data[j] = 300 + 3 * t.k.data[j];
            double *expected = calloc((size_t)t.out.count, sizeof *expected), auxiliary;
            trial_forward(&t);
            trial_reference(&t, 0, expected, &auxiliary);
            float *out = trial_packed(&t, &t.out);
            for (int64_t j = 0; j < t.out.count; j++) assert_close(out[j], expected[j], 3e-4);   /* one rounding of a key of 300 is 3e-5 */
            trial_backward(&t);
            for (int64_t j = 0; j < t.dk.count; j++) assert_true(isfinite(t.dk.data[j]));
            free(out);
            free(expected);
            trial_close(&t);
        }
}

/* Fewer queries than keys, with biases of positions; more are refused. */
static void test_cross(void **state)
{
    static const char *const options[] = { "variant=full", "variant=full rank=0", "", "rank=0 window=6" };
    const trial_shape fewer = square(40, 90), more = square(41, 40);
    (void)state;
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        trial t;
        open_aft(&t, options[i], &fewer);
        double *expected = calloc((size_t)t.out.count, sizeof *expected), auxiliary;
        trial_forward(&t);
        trial_reference(&t, 0, expected, &auxiliary);
        float *out = trial_packed(&t, &t.out);
        for (int64_t j = 0; j < t.out.count; j++) assert_close(out[j], expected[j], 3e-6);
        free(out);
        free(expected);
        trial_close(&t);
        assert_int_equal(trial_open(&t, "aft", options[i], &more), SQ_UNSUPPORTED);
        assert_non_null(strstr(t.error.message, "simple and conv"));
        trial_close(&t);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_window_over_everything_is_full), cmocka_unit_test(test_no_bias_is_simple), cmocka_unit_test(test_one_key),
        cmocka_unit_test(test_huge_keys), cmocka_unit_test(test_cross),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
