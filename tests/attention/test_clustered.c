/* What clustered attention promises beside its value: where it is exact, how far it can be off, and clusters without members. */
#include "reference/trial.h"
#include "support/check.h"

static void open_trial(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s [%s]: %s", mechanism, options, t->error.message);
}

static double distance(const trial *a, const trial *b)
{
    double most = 0;
    for (int64_t i = 0; i < a->out.count; i++) most = fmax(most, fabs((double)a->out.data[i] - b->out.data[i]));
    return most;
}

/* As many clusters as queries, none with the same code: every query is its own centroid. All keys on top: likewise. */
static void test_exact_attention_at_the_limits(void **state)
{
    static const struct { const char *mechanism, *options; } limits[] = {
        { "clustered", "clusters=90 bits=64" }, { "improved-clustered", "clusters=4 topk=90" }, { "improved-clustered", "clusters=90 topk=3 bits=64" },
    };
    const trial_shape shape = { .B = 2, .H = 2, .T = 90, .N = 90, .D = 16, .M = 8 };
    trial exact;
    (void)state;
    open_trial(&exact, "softmax", "", &shape);
    trial_forward(&exact);
    trial_backward(&exact);
    for (size_t i = 0; i < sizeof limits / sizeof limits[0]; i++) {
        trial t;
        open_trial(&t, limits[i].mechanism, limits[i].options, &shape);
        trial_forward(&t);
        trial_backward(&t);
        assert_close(distance(&t, &exact), 0, 3e-6);
        for (int64_t j = 0; j < t.dq.count; j++) assert_close(t.dq.data[j], exact.dq.data[j], 1e-5);
        trial_close(&t);
    }
    trial_close(&exact);
}

/* Proposition 2 of the paper: no row of weights is further from the exact one after its top keys are corrected. With v the identity,
 * a row of out is the row of weights. */
static void test_correction_never_increases_the_error(void **state)
{
    enum { N = 60 };
    const trial_shape shape = { .B = 1, .H = 3, .T = N, .N = N, .D = 8, .M = N, .size = 1.5 };
    trial t[3];
    double before = 0, after = 0;
    (void)state;
    open_trial(&t[0], "softmax", "", &shape);
    open_trial(&t[1], "clustered", "clusters=6", &shape);
    open_trial(&t[2], "improved-clustered", "clusters=6 topk=10", &shape);
    for (int i = 0; i < 3; i++) {
        for (int64_t j = 0; j < N; j++)
            for (int64_t h = 0; h < 3; h++)
                for (int64_t m = 0; m < N; m++) *trial_at(&t[i].v, 0, j, h, m) = j == m;
        trial_forward(&t[i]);
    }
    for (int64_t row = 0; row < N; row++)
        for (int64_t h = 0; h < 3; h++) {
            double plain = 0, improved = 0, total = 0;
            for (int64_t m = 0; m < N; m++) {
                const double exact = *trial_at(&t[0].out, 0, row, h, m);
                plain += fabs(*trial_at(&t[1].out, 0, row, h, m) - exact);
                improved += fabs(*trial_at(&t[2].out, 0, row, h, m) - exact);
                total += *trial_at(&t[2].out, 0, row, h, m);
            }
            assert_true(improved <= plain + 1e-5);
            assert_close(total, 1, 1e-5);
            before += plain, after += improved;
        }
    assert_true(after < 0.8 * before);     /* 0.59 measured */
    for (int i = 0; i < 3; i++) trial_close(&t[i]);
}

/* Equal queries fall into one cluster; the others stay empty and have no part in anything. */
static void test_empty_clusters(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 40, .N = 40, .D = 5, .M = 4 };
    static const char *const mechanisms[] = { "softmax", "clustered", "improved-clustered" };
    trial t[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        open_trial(&t[i], mechanisms[i], i ? "clusters=12" : "", &shape);
        for (int64_t row = 1; row < 40; row++) memcpy(trial_at(&t[i].q, 0, row, 0, 0), trial_at(&t[i].q, 0, 0, 0, 0), 5 * sizeof(float));
        trial_forward(&t[i]);
        trial_backward(&t[i]);
        assert_close(distance(&t[i], &t[0]), 0, 2e-6);
        for (int64_t j = 0; j < t[i].dk.count; j++) assert_close(t[i].dk.data[j], t[0].dk.data[j], 2e-5);
    }
    for (int i = 0; i < 3; i++) trial_close(&t[i]);
}

/* Workspace and saved memory grow with the length, not with its square. */
static void test_memory_is_linear(void **state)
{
    static const char *const mechanisms[] = { "clustered", "improved-clustered" };
    (void)state;
    for (int m = 0; m < 2; m++) {
        size_t bytes[2];
        for (int i = 0; i < 2; i++) {
            const int64_t n = i ? 65536 : 8192;
            const sq_attention_desc desc = { .mechanism = mechanisms[m], .B = 1, .H = 8, .T = n, .N = n, .D = 64, .M = 64 };
            sq_attention *plan;
            sq_error error;
            assert_ok(sq_attention_create(&plan, &desc, &error), &error);
            bytes[i] = sq_attention_workspace_bytes(plan, SQ_BACKWARD) + sq_attention_workspace_bytes(plan, SQ_FORWARD) + sq_attention_saved_bytes(plan);
            sq_attention_destroy(&plan);
        }
        assert_true(bytes[1] < 9 * bytes[0]);
        assert_true(bytes[1] < (size_t)1 << 27);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exact_attention_at_the_limits), cmocka_unit_test(test_correction_never_increases_the_error),
        cmocka_unit_test(test_empty_clusters), cmocka_unit_test(test_memory_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
