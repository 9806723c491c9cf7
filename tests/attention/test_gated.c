/* Gated linear recurrences: laws that conformance cannot know. */
#include "base/memory.h"
#include "reference/trial.h"
#include "support/check.h"

enum { N = 300, D = 6, M = 5 };

static trial_shape usual(void) { return (trial_shape){ .B = 1, .H = 2, .T = N, .N = N, .D = D, .M = M, .causal = true }; }

static void open_or_fail(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s %s: %s", mechanism, options, t->error.message);
}

static void fill(trial_array *a, float value)
{
    for (int64_t i = 0; i < a->count; i++) a->data[i] = value;
}

static void run(trial *t)
{
    trial_forward(t);
    trial_backward(t);
}

static void expect_same(const trial *a, const trial *b, double bound)
{
    trial_expect_close(a, &a->out, b, &b->out, bound);
    trial_expect_close(a, &a->dq, b, &b->dq, bound);
    trial_expect_close(a, &a->dk, b, &b->dk, bound);
    trial_expect_close(a, &a->dv, b, &b->dv, bound);
}

static void close_both(trial *a, trial *b)
{
    trial_close(a);
    trial_close(b);
}

/* A gate for each feature that is the same for all of them is a gate for the head: by blocks of 16 rows or in one product. s = softplus(-x) decays
 * by exp(-s) = sigmoid(x), and weighs keys by s. */
static void equal_gates_are_one(void **state)
{
    const trial_shape shape = usual();
    trial each, one;
    (void)state;
    open_or_fail(&each, "gated-linear", "temperature=1", &shape);
    open_or_fail(&one, "ssd", "", &shape);
    trial_same_inputs(&one, &each);
    for (int64_t h = 0; h < shape.H; h++) one.tensor[0][h] = one.tensor[1][h] = one.tensor[2][h] = 0;
    for (int64_t t = 0; t < N; t++)
        for (int64_t h = 0; h < shape.H; h++) {
            const float x = *trial_at(&each.input[0], 0, t, h, 0), s = log1pf(expf(-x));
            for (int64_t d = 0; d < D; d++) {
                *trial_at(&each.input[0], 0, t, h, d) = x;
                *trial_at(&each.k, 0, t, h, d) *= s;
            }
            *trial_at(&one.input[0], 0, t, h, 0) = -x;
        }
    run(&each);
    run(&one);
    trial_expect_close(&each, &each.out, &one, &one.out, 4e-6);
    trial_expect_close(&each, &each.dq, &one, &one.dq, 1e-5);
    trial_expect_close(&each, &each.dv, &one, &one.dv, 1e-5);
    close_both(&each, &one);
}

/* A gate that forgets nothing leaves the delta rule. */
static void an_open_gate_is_no_gate(void **state)
{
    const trial_shape shape = usual();
    trial gated, plain;
    (void)state;
    open_or_fail(&gated, "gated-delta-rule", "", &shape);
    open_or_fail(&plain, "delta-rule", "", &shape);
    trial_same_inputs(&gated, &plain);
    for (int64_t i = 0; i < plain.input[0].count; i++) gated.input[1].data[i] = plain.input[0].data[i];
    fill(&gated.input[0], -200);
    run(&gated);
    run(&plain);
    expect_same(&gated, &plain, 1e-6);
    close_both(&gated, &plain);
}

/* Full strength and keys at right angles: a memory that gives back what was last written under a key, and nothing of what it replaced. */
static void the_delta_rule_replaces(void **state)
{
    trial_shape shape = usual();
    trial t;
    (void)state;
    shape.H = 1;
    open_or_fail(&t, "delta-rule", "", &shape);
    fill(&t.input[0], 40);
    fill(&t.k, 0), fill(&t.q, 0);
    for (int64_t i = 0; i < N; i++) {
        *trial_at(&t.k, 0, i, 0, i * i % D) = 3;
        *trial_at(&t.q, 0, i, 0, (i + 1) * (i + 1) % D) = 0.2f;
    }
    trial_forward(&t);
    for (int64_t i = D; i < N; i++) {
        int64_t j = i;
        while (j >= 0 && j * j % D != (i + 1) * (i + 1) % D) j--;
        for (int64_t m = 0; m < M; m++) assert_close(*trial_at(&t.out, 0, i, 0, m), j < 0 ? 0 : *trial_at(&t.v, 0, j, 0, m) / sqrtf(D), 2e-6);
    }
    trial_close(&t);
}

/* Gates so closed that a chunk's product of decays is no float: each row sees itself alone, and nothing is NaN. */
static void closed_gates_leave_the_row_itself(void **state)
{
    const trial_shape shape = usual();
    trial t;
    (void)state;
    open_or_fail(&t, "gated-linear", "temperature=0.01", &shape);
    fill(&t.input[0], -30);
    run(&t);
    for (int64_t i = 0; i < N; i++)
        for (int64_t h = 0; h < shape.H; h++) {
            double weight = 0;
            for (int64_t d = 0; d < D; d++) weight += (double)*trial_at(&t.q, 0, i, h, d) * *trial_at(&t.k, 0, i, h, d) / sqrt((double)D);
            for (int64_t m = 0; m < M; m++) assert_close(*trial_at(&t.out, 0, i, h, m), weight * *trial_at(&t.v, 0, i, h, m), 2e-6);
        }
    for (int64_t i = 0; i < t.dinput[0].count; i++) assert_true(t.dinput[0].data[i] == 0);
    trial_close(&t);
}

/* Equal keys that hardly decay and no bonus: the mean of all values so far. */
static void wkv_of_equal_keys_is_a_mean(void **state)
{
    trial_shape shape = usual();
    trial t;
    (void)state;
    shape.M = D;
    open_or_fail(&t, "wkv", "", &shape);
    for (int64_t i = 0; i < t.tensor_size[0]; i++) t.tensor[0][i] = -80, t.tensor[1][i] = 0;
    fill(&t.k, 90);                    /* exp(90) is no float */
    fill(&t.q, 100);
    trial_forward(&t);
    for (int64_t h = 0; h < shape.H; h++)
        for (int64_t d = 0; d < D; d++) {
            double sum = 0;
            for (int64_t i = 0; i < N; i++) {
                sum += *trial_at(&t.v, 0, i, h, d);
                assert_close(*trial_at(&t.out, 0, i, h, d), sum / (double)(i + 1), 1e-6);
            }
        }
    trial_close(&t);
}

/* 4,096 rows one by one. */
static void steps_are_the_chunked_form(void **state)
{
    static const char *const mechanisms[] = { "retention", "gated-linear", "delta-rule", "gated-delta-rule", "ssd", "wkv" };
    (void)state;
    for (size_t i = 0; i < sizeof mechanisms / sizeof *mechanisms; i++) {
        const trial_shape shape = { .B = 1, .H = 2, .T = 4096, .N = 4096, .D = 16, .M = 16, .causal = true };
        trial t;
        double worst = 0, most = 0;
        open_or_fail(&t, mechanisms[i], "", &shape);
        trial_forward(&t);
        float *whole = trial_packed(&t, &t.out);
        assert_true(trial_stream(&t, 1));
        float *steps = trial_packed(&t, &t.out);
        for (int64_t j = 0; j < t.out.count; j++) {
            worst = fmax(worst, fabs((double)steps[j] - whole[j]));
            most = fmax(most, fabs(whole[j]));
        }
        print_message("%-18s %.2g of the largest\n", mechanisms[i], worst / most);
        assert_true(worst <= 1e-5 * most);
        free(whole);
        free(steps);
        trial_close(&t);
    }
}

static void not_causal_is_refused(void **state)
{
    trial_shape shape = usual();
    trial t;
    (void)state;
    shape.causal = false;
    assert_int_equal(trial_open(&t, "retention", "", &shape), SQ_UNSUPPORTED);
    assert_contains(t.error.message, "causal");
    assert_contains(t.error.message, "a mechanism that can: ");
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_gates_are_one), cmocka_unit_test(an_open_gate_is_no_gate), cmocka_unit_test(the_delta_rule_replaces),
        cmocka_unit_test(closed_gates_leave_the_row_itself), cmocka_unit_test(wkv_of_equal_keys_is_a_mean), cmocka_unit_test(steps_are_the_chunked_form),
        cmocka_unit_test(not_causal_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
