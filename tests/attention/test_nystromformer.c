/* Laws of Nystroemformer that conformance cannot know, and its parts: means, pseudo-inverse, convolution. */
#include "attention/engine/pseudo_inverse.h"
#include "attention/engine/segments.h"
#include "base/memory.h"
#include "base/random.h"
#include "reference/trial.h"
#include "support/check.h"

static void open_or_fail(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s %s: %s", mechanism, options, t->error.message);
}

/* Root mean square difference of out and of the gradients from exact attention. */
static double distance(const char *options, const trial_shape *shape, bool gradients)
{
    trial exact, other;
    double square = 0;
    open_or_fail(&exact, "softmax", "", shape);
    open_or_fail(&other, "nystromformer", options, shape);
    trial_forward(&exact), trial_forward(&other);
    trial_backward(&exact), trial_backward(&other);
    const trial_array *a[] = { &exact.out, &exact.dq, &exact.dk, &exact.dv }, *b[] = { &other.out, &other.dq, &other.dk, &other.dv };
    int64_t count = 0;
    for (int i = gradients ? 1 : 0; i < (gradients ? 4 : 1); i++)
        for (int64_t j = 0; j < a[i]->count; j++, count++) square += pow((double)a[i]->data[j] - b[i]->data[j], 2);
    trial_close(&exact);
    trial_close(&other);
    return sqrt(square / (double)count);
}

/* As many landmarks as rows: exact, by itself and, where the convention goes the long way, through the three factors. */
static void test_all_landmarks_are_exact(void **state)
{
    const trial_shape shape = { .B = 2, .H = 2, .T = 24, .N = 24, .D = 16, .M = 8, .size = 2 };
    const trial_shape cross = { .B = 1, .H = 2, .T = 300, .N = 20, .D = 8, .M = 8 };
    (void)state;
    assert_true(distance("landmarks=24 convolution=0", &shape, false) < 1e-7);
    assert_true(distance("landmarks=20 convolution=0", &cross, true) < 1e-7);
    const double few = distance("landmarks=24 convolution=0 convention=lucidrains iterations=6", &shape, false);
    const double many = distance("landmarks=24 convolution=0 convention=lucidrains iterations=16", &shape, false);
    const double gradients = distance("landmarks=24 convolution=0 convention=lucidrains iterations=16", &shape, true);
    print_message("distance from softmax with all landmarks: %.2e after 6 iterations, %.2e after 16, its gradients %.2e\n", few, many, gradients);
    assert_true(many < 2e-5 && few > 10 * many && gradients < 2e-4);
}

/* Neighbours alike, as in real sequences: the error falls as segments become shorter. */
static void test_more_landmarks_err_less(void **state)
{
    static const char *const options[] = { "landmarks=4 convolution=0", "landmarks=16 convolution=0", "landmarks=64 convolution=0" };
    double error[3];
    (void)state;
    for (int o = 0; o < 3; o++) {
        const trial_shape shape = { .B = 1, .H = 2, .T = 256, .N = 256, .D = 8, .M = 4 };
        trial exact, other;
        open_or_fail(&exact, "softmax", "", &shape);
        open_or_fail(&other, "nystromformer", options[o], &shape);
        for (int64_t i = 0; i < 256; i++)
            for (int64_t h = 0; h < 2; h++)
                for (int64_t d = 0; d < 8; d++) {
                    const float angle = (float)i * 0.01f * (float)(d + 1) + (float)h;
                    *trial_at(&exact.q, 0, i, h, d) = *trial_at(&other.q, 0, i, h, d) = 2 * sinf(angle);
                    *trial_at(&exact.k, 0, i, h, d) = *trial_at(&other.k, 0, i, h, d) = 2 * cosf(angle);
                }
        trial_forward(&exact), trial_forward(&other);
        error[o] = 0;
        for (int64_t i = 0; i < exact.out.count; i++) error[o] += pow((double)exact.out.data[i] - other.out.data[i], 2) / (double)exact.out.count;
        trial_close(&exact);
        trial_close(&other);
    }
    print_message("mean square distance from softmax: %.2e with 4 landmarks, %.2e with 16, %.2e with 64\n", error[0], error[1], error[2]);
    assert_true(error[1] < 0.5 * error[0] && error[2] < 0.5 * error[1]);
}

/* init original: one divisor for the whole batch, so that another entry moves a row; exact: it does not. */
static void test_original_looks_at_the_batch(void **state)
{
    static const char *const options[] = { "landmarks=4 iterations=2 init=exact", "landmarks=4 iterations=2 init=original" };
    const trial_shape shape = { .B = 2, .H = 1, .T = 40, .N = 40, .D = 8, .M = 4 };
    (void)state;
    for (int o = 0; o < 2; o++) {
        trial a, b;
        bool same = true;
        open_or_fail(&a, "nystromformer", options[o], &shape);
        open_or_fail(&b, "nystromformer", options[o], &shape);
        for (int64_t i = 0; i < 40; i++)
            for (int64_t d = 0; d < 8; d++) *trial_at(&b.q, 1, i, 0, d) *= 9;
        trial_forward(&a), trial_forward(&b);
        for (int64_t i = 0; i < 40; i++) same = same && *trial_at(&a.out, 0, i, 0, 0) == *trial_at(&b.out, 0, i, 0, 0);
        assert_true(same == (o == 0));
        trial_close(&a);
        trial_close(&b);
    }
}

static void test_pseudo_inverse(void **state)
{
    enum { M = 12 };
    float A[M * M], Z[M * M], largest = 0;
    const sq_random random = sq__random_stream(2, "matrix", 0);
    void *workspace = sq__alloc(sq__pseudo_inverse_workspace(M, 20, SQ_FORWARD));
    (void)state;
    for (int i = 0; i < M; i++) {
        float sum = 0;
        for (int j = 0; j < M; j++) sum += A[i * M + j] = (float)sq__random_uniform(&random, (uint64_t)(i * M + j)) + (i == j ? 6 : 0);
        for (int j = 0; j < M; j++) A[i * M + j] /= sum;
    }
    for (int j = 0; j < M; j++) {
        float sum = 0;
        for (int i = 0; i < M; i++) sum += A[i * M + j];
        largest = fmaxf(largest, sum);
    }
    sq__pseudo_inverse(M, 12, A, largest, Z, workspace);
    for (int i = 0; i < M; i++)
        for (int j = 0; j < M; j++) {
            double sum = 0;
            for (int k = 0; k < M; k++) sum += (double)A[i * M + k] * Z[k * M + j];
            assert_close(sum, i == j, 1e-5);
        }
    sq__free(workspace);
}

static void expect_means(const float *y, double first, double second, double third)
{
    assert_close(y[0], first, 1e-6);
    assert_close(y[1], second, 1e-6);
    assert_close(y[2], third, 1e-6);
}

static void test_segments(void **state)
{
    static const uint8_t keep[] = { 1, 0, 1, 1, 0, 0, 1, 1, 1, 0, 1 };   /* 7 kept of 11 */
    const float x[] = { 1, NAN, 2, 3, NAN, NAN, 4, 5, 6, NAN, 7 };
    float shares[3], y[3];
    (void)state;
    sq_segments s = { 11, 1, 3, 0, keep, SQ_SEGMENT_KEPT };              /* 1 2 | 3 4 | 5 6 7 */
    sq__segments_shares(&s, shares);
    sq__segments_forward(&s, sq__kernels(), shares, x, 1, y);
    expect_means(y, 1.5, 3.5, 6);
    s.share = SQ_SEGMENT_LENGTH;                                         /* 1 . 2 | 3 . . 4 | 5 6 . 7 */
    sq__segments_shares(&s, shares);
    sq__segments_forward(&s, sq__kernels(), shares, x, 1, y);
    expect_means(y, 1, 1.75, 4.5);
    s.share = SQ_SEGMENT_COUNT, s.front = 1;                             /* _ 1 . 2 | 3 . . 4 | 5 6 . 7 */
    sq__segments_shares(&s, shares);
    sq__segments_forward(&s, sq__kernels(), shares, x, 1, y);
    expect_means(y, 1.5, 3.5, 6);
}

/* Workspace does not know the square of the length. */
static void test_memory_is_linear(void **state)
{
    size_t bytes[2];
    (void)state;
    for (int large = 0; large < 2; large++) {
        const int64_t n = large ? 65536 : 32768;
        const sq_attention_desc desc = { .mechanism = "nystromformer", .B = 1, .H = 8, .T = n, .N = n, .D = 64, .M = 64, .threads = 2 };
        sq_attention *plan;
        sq_error error;
        assert_ok(sq_attention_create(&plan, &desc, &error), &error);
        bytes[large] = sq_attention_workspace_bytes(plan, SQ_FORWARD) + sq_attention_workspace_bytes(plan, SQ_BACKWARD) + sq_attention_saved_bytes(plan);
        sq_attention_destroy(&plan);
    }
    assert_true(bytes[1] < 2 * bytes[0] && bytes[1] < (size_t)100 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_landmarks_are_exact), cmocka_unit_test(test_more_landmarks_err_less), cmocka_unit_test(test_original_looks_at_the_batch),
        cmocka_unit_test(test_pseudo_inverse), cmocka_unit_test(test_segments), cmocka_unit_test(test_memory_is_linear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
