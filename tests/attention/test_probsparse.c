/* ProbSparse attention where it is exact, what its other rows hold, and which rows it takes. */
#include "attention/probsparse.h"
#include "base/memory.h"
#include "reference/trial.h"
#include "support/check.h"

static void open_trial(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s [%s]: %s", mechanism, options, t->error.message);
}

static double distance(const trial_array *a, const trial_array *b)
{
    double most = 0;
    for (int64_t i = 0; i < a->count; i++) most = fmax(most, fabs((double)a->data[i] - b->data[i]));
    return most;
}

/* Every query exact: exact attention, causal too. */
static void test_all_queries_are_exact_attention(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        trial_shape shape = { .B = 2, .H = 2, .T = 100, .N = 100, .D = 16, .M = 8, .causal = causal };
        trial t, exact;
        open_trial(&exact, "softmax", "", &shape);
        shape.causal = false;
        open_trial(&t, "probsparse", causal ? "queries=100 pseudo_causal=true" : "queries=100", &shape);
        trial_forward(&t), trial_forward(&exact);
        trial_backward(&t), trial_backward(&exact);
        assert_close(distance(&t.out, &exact.out), 0, 1e-6);
        assert_close(distance(&t.dq, &exact.dq), 0, 2e-6);
        assert_close(distance(&t.dk, &exact.dk), 0, 5e-6);
        assert_close(distance(&t.dv, &exact.dv), 0, 5e-6);
        trial_close(&t);
        trial_close(&exact);
    }
}

/* Queries of 0 attend evenly whatever the keys: the measure passes them over, and for them the mean is exact. */
static void test_even_queries_lose_nothing(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 120, .N = 120, .D = 16, .M = 8 };
    static const char *const options[] = { "", "queries=20" };
    trial t[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        open_trial(&t[i], i ? "probsparse" : "softmax", options[i], &shape);
        for (int64_t row = 0; row < 120; row++)
            for (int64_t d = 0; d < 16 && row % 6 != 2; d++) *trial_at(&t[i].q, 0, row, 0, d) = 0;
        trial_forward(&t[i]);
    }
    assert_close(distance(&t[0].out, &t[1].out), 0, 1e-6);
    for (int i = 0; i < 2; i++) trial_close(&t[i]);
}

/* More exact queries are nearer to exact attention. */
static void test_error_falls_with_queries(void **state)
{
    static const char *const options[] = { "queries=1", "queries=50", "queries=150", "queries=290" };
    const trial_shape shape = { .B = 1, .H = 2, .T = 300, .N = 300, .D = 16, .M = 8 };
    trial exact;
    double before = INFINITY;
    (void)state;
    open_trial(&exact, "softmax", "", &shape);
    trial_forward(&exact);
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        trial t;
        double error = 0;
        open_trial(&t, "probsparse", options[i], &shape);
        trial_forward(&t);
        for (int64_t j = 0; j < t.out.count; j++) error += fabs((double)t.out.data[j] - exact.out.data[j]);
        assert_true(error < before);
        before = error;
        trial_close(&t);
    }
    trial_close(&exact);
}

static void test_a_table_of_samples_is_kept_only_where_asked(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 50, .N = 50, .D = 4, .M = 4 };
    trial t;
    (void)state;
    open_trial(&t, "probsparse", "", &shape);
    assert_int_equal(t.tensor_count, 0);
    trial_close(&t);
    open_trial(&t, "probsparse", "resample=false factor=3", &shape);
    assert_int_equal(t.tensor_count, 1);
    assert_int_equal(t.tensors[0].shape[0], 50);
    assert_int_equal(t.tensors[0].shape[1], 12);           /* 3 ceil(ln 50) */
    assert_false(t.tensors[0].trainable);
    for (int64_t i = 0; i < 50 * 12; i++) assert_true(t.tensor[0][i] >= 0 && t.tensor[0][i] < 50 && t.tensor[0][i] == floorf(t.tensor[0][i]));
    trial_close(&t);
}

/* Longer than a block of keys and than a tile of queries: still each query's own draws, the hidden ones aside. */
static void test_measure_of_long_sequences(void **state)
{
    enum { T = 3000, N = 40000, D = 5, SAMPLES = 200 };
    float *q = malloc(T * D * sizeof *q), *k = malloc(N * D * sizeof *k), *measure = malloc(T * sizeof *measure);
    uint8_t *keep = malloc(N);
    const sq_random random = sq__random_stream(8, "keys", 0);
    (void)state;
    sq__random_normal_fill(&random, q, T * D, 1);
    sq__random_normal_fill(&random, k, N * D, 1);
    for (int64_t j = 0; j < N; j++) keep[j] = j % 3 != 1;
    const sq_probsparse_measure m = { .T = T, .N = N, .D = D, .samples = SAMPLES, .scale = 0.5f, .q = q, .k = k, .q_row = D, .k_row = D, .key_keep = keep, .random = random };
    void *workspace = sq__alloc(sq__probsparse_workspace(T, N, D, SAMPLES));
    sq__probsparse_measure(&m, sq__kernels(), measure, workspace);
    for (int64_t i = 0; i < T; i++) {
        double most = -INFINITY, sum = 0, seen = 0;
        for (int64_t index = i * SAMPLES; index < (i + 1) * SAMPLES; index++) {
            const uint64_t pair = sq__random_u64(&random, (uint64_t)index / 2);
            const int64_t j = (int64_t)(((index % 2 ? pair >> 32 : pair & 0xffffffffu) * N) >> 32);
            double score = 0;
            for (int64_t d = 0; d < D; d++) score += 0.5 * q[i * D + d] * k[j * D + d];
            if (!keep[j]) continue;
            most = fmax(most, score);
            sum += score;
            seen++;
        }
        assert_close(measure[i], most - sum / seen, 1e-5);
    }
    sq__free(workspace);
    free(q), free(k), free(measure), free(keep);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_queries_are_exact_attention), cmocka_unit_test(test_even_queries_lose_nothing),
        cmocka_unit_test(test_error_falls_with_queries), cmocka_unit_test(test_a_table_of_samples_is_kept_only_where_asked),
        cmocka_unit_test(test_measure_of_long_sequences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
