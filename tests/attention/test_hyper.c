/* HyperAttention's laws: everything sampled or in one block is exact attention; the error falls with samples and with blocks; hashing
 * finds what matters; a causal row depends on nothing after it. */
#include "reference/trial.h"
#include "support/check.h"

static void open_trial(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s [%s]: %s", mechanism, options, t->error.message);
}

static double distance(const trial_array *a, const trial_array *b)
{
    double square = 0;
    for (int64_t i = 0; i < a->count; i++) square += ((double)a->data[i] - b->data[i]) * ((double)a->data[i] - b->data[i]);
    return sqrt(square / (double)a->count);
}

static void test_everything_sampled_is_exact(void **state)
{
    static const char *const options[] = { "block=300 samples=0", "block=16 samples=300", "block=1 samples=1000 bits=1", "block=50 samples=250 bits=16" };
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const trial_shape shape = { .B = 2, .H = 2, .T = 250, .N = 250, .D = 16, .M = 8, .causal = causal };
        trial exact;
        open_trial(&exact, "softmax", "", &shape);
        trial_forward(&exact);
        trial_backward(&exact);
        for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
            trial t;
            open_trial(&t, "hyper", options[i], &shape);
            trial_forward(&t);
            trial_backward(&t);
            assert_close(distance(&t.out, &exact.out), 0, 5e-7);
            assert_close(distance(&t.dq, &exact.dq), 0, 1e-6);
            assert_close(distance(&t.dk, &exact.dk), 0, 2e-6);
            assert_close(distance(&t.dv, &exact.dv), 0, 2e-6);
            trial_close(&t);
        }
        trial_close(&exact);
    }
}

/* Each of four steps leaves less than the one before. */
static void test_error_falls(void **state)
{
    static const char *const more_samples[] = { "block=32 samples=8", "block=32 samples=32", "block=32 samples=128", "block=32 samples=512" };
    static const char *const larger_blocks[] = { "block=16 samples=16", "block=64 samples=16", "block=256 samples=16", "block=512 samples=16" };
    const char *const *const rows[] = { more_samples, larger_blocks };
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const trial_shape shape = { .B = 1, .H = 4, .T = 600, .N = 600, .D = 16, .M = 16, .causal = causal };
        trial exact;
        open_trial(&exact, "softmax", "", &shape);
        trial_forward(&exact);
        for (int row = 0; row < 2; row++) {
            double before = INFINITY;
            for (int i = 0; i < 4; i++) {
                trial t;
                open_trial(&t, "hyper", rows[row][i], &shape);
                trial_forward(&t);
                const double error = distance(&t.out, &exact.out);
                if (!(error < 0.95 * before)) fail_msg("%s%s: error %g after %g", rows[row][i], causal ? " causal" : "", error, before);
                before = error;
                trial_close(&t);
            }
        }
        trial_close(&exact);
    }
}

/* Queries that look for one key each: hashing finds it among many, where as many sampled keys mostly miss it. */
static void test_hashing_finds_what_matters(void **state)
{
    enum { N = 512 };
    const trial_shape shape = { .B = 1, .H = 1, .T = N, .N = N, .D = 16, .M = 16, .size = 2 };
    static const char *const options[] = { "", "block=64 samples=0 bits=8", "block=1 samples=63 bits=8" };
    trial t[3];
    double error[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        open_trial(&t[i], i ? "hyper" : "softmax", options[i], &shape);
        for (int64_t row = 0; row < N; row++)
            for (int64_t d = 0; d < 16; d++) *trial_at(&t[i].q, 0, row, 0, d) = 2 * *trial_at(&t[i].k, 0, (row * 37 + 11) % N, 0, d);
        trial_forward(&t[i]);
        error[i] = distance(&t[i].out, &t[0].out);
    }
    assert_true(error[1] < 0.5 * error[2]);
    for (int i = 0; i < 3; i++) trial_close(&t[i]);
}

/* A new step draws other keys while training, the same ones where it is told to keep them. */
static void test_samples_follow_the_step(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 200, .N = 200, .D = 8, .M = 8 };
    static const struct { const char *options; bool training, same; } cases[] = {
        { "block=16 samples=16", true, false }, { "block=16 samples=16", false, true }, { "block=16 samples=16 resample=false", true, true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        trial a, b;
        open_trial(&a, "hyper", cases[i].options, &shape);
        open_trial(&b, "hyper", cases[i].options, &shape);
        a.training = b.training = cases[i].training;
        b.step = a.step + 1;
        trial_forward(&a);
        trial_forward(&b);
        assert_true((distance(&a.out, &b.out) == 0) == cases[i].same);
        trial_close(&a);
        trial_close(&b);
    }
}

/* A causal row depends on nothing after it, the length included. */
static void test_a_causal_prefix_is_the_whole_of_it(void **state)
{
    const trial_shape lengths[] = { { .B = 1, .H = 1, .T = 100, .N = 100, .D = 8, .M = 8, .causal = true },
                                    { .B = 1, .H = 1, .T = 333, .N = 333, .D = 8, .M = 8, .causal = true } };
    trial t[2];
    (void)state;
    for (int i = 0; i < 2; i++) open_trial(&t[i], "hyper", "block=8 samples=4", &lengths[i]);
    for (int64_t row = 0; row < 100; row++) {
        memcpy(trial_at(&t[0].q, 0, row, 0, 0), trial_at(&t[1].q, 0, row, 0, 0), 8 * sizeof(float));
        memcpy(trial_at(&t[0].k, 0, row, 0, 0), trial_at(&t[1].k, 0, row, 0, 0), 8 * sizeof(float));
        memcpy(trial_at(&t[0].v, 0, row, 0, 0), trial_at(&t[1].v, 0, row, 0, 0), 8 * sizeof(float));
    }
    for (int i = 0; i < 2; i++) trial_forward(&t[i]);
    for (int64_t i = 0; i < 100 * 8; i++) assert_close(t[0].out.data[i], t[1].out.data[i], 1e-6);
    for (int i = 0; i < 2; i++) trial_close(&t[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_sampled_is_exact), cmocka_unit_test(test_error_falls), cmocka_unit_test(test_hashing_finds_what_matters),
        cmocka_unit_test(test_samples_follow_the_step), cmocka_unit_test(test_a_causal_prefix_is_the_whole_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
