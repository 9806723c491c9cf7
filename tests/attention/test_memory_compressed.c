/* Memory-compressed attention: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

enum { N = 22, D = 6, HEADS = 2 };

static void open_trial(trial *t, const char *mechanism, const char *options, bool causal)
{
    const trial_shape shape = { .B = 2, .H = HEADS, .T = N, .N = N, .D = D, .M = D, .causal = causal };
    assert_ok(trial_open(t, mechanism, options, &shape), &t->error);
}

static void copy_inputs(trial *to, const trial *from)
{
    memcpy(to->q.data, from->q.data, (size_t)from->q.count * sizeof(float));
    memcpy(to->k.data, from->k.data, (size_t)from->k.count * sizeof(float));
    memcpy(to->v.data, from->v.data, (size_t)from->v.count * sizeof(float));
}

/* W = one matrix for every tap: `entry` on the diagonal. */
static void set_diagonal(trial *t, int tensor, int64_t window, float entry)
{
    memset(t->tensor[tensor], 0, (size_t)t->tensor_size[tensor] * sizeof(float));
    for (int64_t h = 0; h < HEADS; h++)
        for (int64_t o = 0; o < D; o++)
            for (int64_t x = 0; x < window; x++) t->tensor[tensor][((h * D + o) * D + o) * window + x] = entry;
}

static void expect_equal(const trial *a, const trial *b, double bound)
{
    for (int64_t i = 0; i < a->out.count; i++) assert_close(a->out.data[i], b->out.data[i], bound);
}

/* Windows of one row, the convolution the identity: nothing is compressed. */
static void test_windows_of_one_are_exact_attention(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        trial exact, ours;
        open_trial(&exact, "softmax", "", causal);
        open_trial(&ours, "memory-compressed", "window=1 bias=false", causal);
        copy_inputs(&ours, &exact);
        for (int i = 0; i < 2; i++) set_diagonal(&ours, i, 1, 1);
        trial_forward(&exact);
        trial_forward(&ours);
        expect_equal(&exact, &ours, 1e-6);
        trial_close(&exact);
        trial_close(&ours);
    }
}

/* Taps that take the mean: Linformer's mean pooling of the same windows. */
static void test_a_mean_is_mean_pooling(void **state)
{
    trial mean, ours;
    (void)state;
    open_trial(&mean, "linformer", "rank=11 method=mean-pool", false);
    open_trial(&ours, "memory-compressed", "window=2 bias=false", false);
    copy_inputs(&ours, &mean);
    for (int i = 0; i < 2; i++) set_diagonal(&ours, i, 2, 0.5f);
    trial_forward(&mean);
    trial_forward(&ours);
    expect_equal(&mean, &ours, 1e-6);
    trial_close(&mean);
    trial_close(&ours);
}

/* Causal: nothing is seen before the first window ends; there the null key's value alone is. */
static void test_before_the_first_window(void **state)
{
    trial t, null;
    (void)state;
    open_trial(&t, "memory-compressed", "window=5", true);
    open_trial(&null, "memory-compressed", "window=5 null_key=true", true);
    for (int64_t i = 0; i < null.tensor_size[5]; i++) null.tensor[5][i] = (float)i + 1;
    trial_forward(&t);
    trial_forward(&null);
    for (int64_t i = 0; i < 4; i++)
        for (int64_t h = 0; h < HEADS; h++)
            for (int64_t c = 0; c < D; c++) {
                assert_true(*trial_at(&t.out, 1, i, h, c) == 0);
                assert_close(*trial_at(&null.out, 1, i, h, c), (double)(h * D + c) + 1, 1e-5);
            }
    assert_true(*trial_at(&t.out, 1, 4, 0, 0) != 0);
    trial_close(&t);
    trial_close(&null);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_of_one_are_exact_attention),
        cmocka_unit_test(test_a_mean_is_mean_pooling),
        cmocka_unit_test(test_before_the_first_window),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
