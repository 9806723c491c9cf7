/* Linformer: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

static trial_shape square(int64_t n)
{
    return (trial_shape){ .B = 2, .H = 3, .T = n, .N = n, .D = 8, .M = 6 };
}

static void open_linformer(trial *t, const char *options, const trial_shape *shape)
{
    assert_ok(trial_open(t, "linformer", options, shape), &t->error);
}

/* E = F = identity, for each projection. */
static void set_identity(trial *t)
{
    for (int i = 0; i < t->tensor_count; i++) {
        const int64_t rows = t->tensors[i].shape[1], columns = t->tensors[i].shape[2];
        for (int64_t j = 0; j < t->tensor_size[i]; j++) t->tensor[i][j] = j / columns % rows == j % columns;
    }
}

static void expect_same_out(const trial *a, const trial *b, double bound)
{
    float *x = trial_packed(a, &a->out), *y = trial_packed(b, &b->out);
    assert_int_equal(a->out.count, b->out.count);
    for (int64_t i = 0; i < a->out.count; i++) assert_close(x[i], y[i], bound);
    free(x);
    free(y);
}

/* Trials of one shape draw the same q, k and v only if their options are the same: copy them. */
static void expect_exact(const char *options, trial_shape shape, bool causal)
{
    trial compressed, exact;
    open_linformer(&compressed, options, &shape);
    shape.causal = causal;
    assert_ok(trial_open(&exact, "softmax", "", &shape), &exact.error);
    trial_same_inputs(&exact, &compressed);
    set_identity(&compressed);
    trial_forward(&compressed);
    trial_forward(&exact);
    expect_same_out(&compressed, &exact, 2e-6);
    trial_close(&compressed);
    trial_close(&exact);
}

static void test_full_rank_identity_is_exact_attention(void **state)
{
    const trial_shape taller = { .B = 1, .H = 2, .T = 700, .N = 300, .D = 8, .M = 8 };
    (void)state;
    expect_exact("rank=50", square(50), false);
    expect_exact("rank=1000", square(50), false);               /* capped at max_length */
    expect_exact("rank=50 sharing=none", square(50), false);
    expect_exact("rank=50 sharing=layerwise", square(50), false);
    expect_exact("rank=50 method=mean-pool", square(50), false);   /* windows of one row */
    expect_exact("rank=50 pseudo_causal=true", square(50), true);
    expect_exact("rank=300 pseudo_causal=true", taller, true);     /* more rows than are attended at once */
}

static void test_heads_may_be_exchanged(void **state)
{
    const trial_shape shape = square(40);
    trial a, b;
    (void)state;
    open_linformer(&a, "rank=9", &shape);
    open_linformer(&b, "rank=9", &shape);
    trial_array *const from[] = { &a.q, &a.k, &a.v }, *const to[] = { &b.q, &b.k, &b.v };
    for (int x = 0; x < 3; x++)
        for (int64_t i = 0; i < shape.B * shape.N * shape.H * from[x]->width; i++) {
            const int64_t c = i % from[x]->width, h = i / from[x]->width % shape.H, row = i / from[x]->width / shape.H;
            *trial_at(to[x], row / shape.N, row % shape.N, (h + 1) % shape.H, c) = *trial_at(from[x], row / shape.N, row % shape.N, h, c);
        }
    trial_forward(&a);
    trial_forward(&b);
    for (int64_t i = 0; i < a.out.count; i++) {
        const int64_t c = i % shape.M, h = i / shape.M % shape.H, row = i / shape.M / shape.H;
        assert_true(*trial_at(&a.out, row / shape.N, row % shape.N, h, c) == *trial_at(&b.out, row / shape.N, row % shape.N, (h + 1) % shape.H, c));
    }
    trial_close(&a);
    trial_close(&b);
}

/* A convolution whose taps are multiples of the identity is a linear projection by blocks. */
static void test_diagonal_convolution_is_a_projection(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 30, .N = 44, .D = 5, .M = 5 };
    const int64_t window = 4;             /* ceil(44 / 11) */
    trial convolution, linear;
    (void)state;
    open_linformer(&convolution, "rank=11 method=convolution", &shape);
    open_linformer(&linear, "rank=11", &shape);
    trial_same_inputs(&linear, &convolution);
    assert_int_equal(convolution.tensors[0].shape[3], window);
    for (int side = 0; side < 2; side++) {
        float *taps = convolution.tensor[side], *E = linear.tensor[side];
        for (int64_t i = 0; i < 5 * 5 * window; i++) taps[i] = i / window / 5 == i / window % 5 ? 0.5f + (float)(i % window) * 0.25f : 0;
        for (int64_t i = 0; i < 11 * 44; i++) E[i] = i % 44 / window == i / 44 ? 0.5f + (float)(i % 44 % window) * 0.25f : 0;
    }
    trial_forward(&convolution);
    trial_forward(&linear);
    expect_same_out(&convolution, &linear, 2e-6);
    trial_close(&convolution);
    trial_close(&linear);
}

/* Only the first N columns of E and F exist for N keys. */
static void test_columns_beyond_the_sequence_are_not_read(void **state)
{
    const int64_t B = 1, H = 2, N = 30, D = 4, longest = 80, count = B * N * H * D;
    const sq_option options[] = { { "rank", "8" } };
    const sq_attention_desc desc = { .mechanism = "linformer", .options = options, .option_count = 1, .B = B, .H = H, .T = N, .N = N, .D = D, .M = D,
                                     .max_length = longest };
    sq_attention *plan;
    sq_error error;
    float *tensors[2], *x = malloc((size_t)count * sizeof *x), *out = malloc((size_t)count * sizeof *out);
    (void)state;
    assert_ok(sq_attention_create(&plan, &desc, &error), &error);
    assert_int_equal(sq_attention_tensor_count(plan), 2);
    for (int i = 0; i < 2; i++) {
        sq_attention_tensor info;
        assert_int_equal(sq_attention_tensor_get(plan, i, &info), SQ_OK);
        assert_int_equal(info.shape[1], 8);
        assert_int_equal(info.shape[2], longest);
        tensors[i] = malloc((size_t)(8 * longest) * sizeof(float));
        assert_int_equal(sq_attention_tensor_init(plan, i, 1, 0, tensors[i]), SQ_OK);
        for (int64_t j = 0; j < 8 * longest; j++)
            if (j % longest >= N) tensors[i][j] = NAN;
    }
    for (int64_t i = 0; i < count; i++) x[i] = sinf((float)i);
    const sq_view view = sq_view_bthd(x, N, H, D);
    void *workspace = aligned_alloc(64, sq_attention_workspace_bytes(plan, SQ_FORWARD));
    const sq_attention_call call = { .q = view, .k = view, .v = view, .out = sq_view_bthd(out, N, H, D), .tensors = tensors, .workspace = workspace };
    sq_attention_forward(plan, &call);
    for (int64_t i = 0; i < count; i++) assert_true(isfinite(out[i]));
    sq_attention_destroy(&plan);
    free(workspace);
    free(tensors[0]);
    free(tensors[1]);
    free(x);
    free(out);
}

/* Whatever the length, a compressed key is about as large as a key at the start of training. */
static void test_initial_projection_keeps_the_scale(void **state)
{
    (void)state;
    for (int64_t n = 64; n <= 16384; n *= 16) {
        const sq_attention_desc desc = { .mechanism = "linformer", .B = 1, .H = 1, .T = n, .N = n, .D = 4, .M = 4 };
        sq_attention *plan;
        sq_error error;
        double square_sum = 0;
        assert_ok(sq_attention_create(&plan, &desc, &error), &error);
        float *E = malloc((size_t)(64 * n) * sizeof *E);
        assert_int_equal(sq_attention_tensor_init(plan, 0, 5, 0, E), SQ_OK);
        for (int64_t i = 0; i < 64 * n; i++) square_sum += (double)E[i] * (double)E[i];
        assert_close(sqrt(square_sum / 64), 1, 0.1);   /* norm of a row of E: what keys of unit variance are multiplied by */
        free(E);
        sq_attention_destroy(&plan);
    }
}

static void test_tensors_follow_the_sharing(void **state)
{
    const trial_shape shape = square(20);
    const struct { const char *options, *names[4]; int64_t projections; bool trainable; } cases[] = {
        { "rank=4 sharing=none bias=true", { "E", "F", "E_bias", "F_bias" }, 3, true },
        { "rank=4", { "E", "F" }, 1, true },
        { "rank=4 sharing=key-value bias=true", { "E", "E_bias" }, 1, true },
        { "rank=4 sharing=layerwise bias=true", { "shared.E", "shared.E_bias" }, 1, true },
        { "rank=4 method=fixed bias=true", { "E", "F" }, 1, false },
        { "rank=4 method=mean-pool", { NULL }, 0, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        trial t;
        int count = 0;
        while (count < 4 && cases[i].names[count]) count++;
        open_linformer(&t, cases[i].options, &shape);
        assert_int_equal(t.tensor_count, count);
        for (int tensor = 0; tensor < count; tensor++) {
            assert_string_equal(t.tensors[tensor].name, cases[i].names[tensor]);
            assert_int_equal(t.tensors[tensor].shape[0], cases[i].projections);
            assert_true(t.tensors[tensor].trainable == cases[i].trainable);
        }
        trial_close(&t);
    }
}

static void test_keys_and_values_of_other_sizes_cannot_share_a_convolution(void **state)
{
    const trial_shape shape = square(20);
    trial t;
    (void)state;
    assert_int_equal(trial_open(&t, "linformer", "method=convolution sharing=key-value", &shape), SQ_UNSUPPORTED);
    assert_contains(t.error.message, "headwise");
    trial_close(&t);
}

/* Compressed keys do not grow with the sequence: what is kept beside a row's log-sum-exp is the same for any length. */
static void test_memory_does_not_grow_with_the_sequence(void **state)
{
    size_t workspace[2][2], saved[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        const int64_t n = i ? 65536 : 1024;
        const sq_attention_desc desc = { .mechanism = "linformer", .B = 1, .H = 2, .T = n, .N = n, .D = 64, .M = 64, .threads = 2 };
        sq_attention *plan;
        sq_error error;
        assert_ok(sq_attention_create(&plan, &desc, &error), &error);
        for (int pass = SQ_FORWARD; pass <= SQ_BACKWARD; pass++) workspace[i][pass] = sq_attention_workspace_bytes(plan, pass);
        saved[i] = sq_attention_saved_bytes(plan) - (size_t)(2 * n) * sizeof(float);
        sq_attention_destroy(&plan);
    }
    assert_int_equal(workspace[0][SQ_FORWARD], workspace[1][SQ_FORWARD]);
    assert_int_equal(workspace[0][SQ_BACKWARD], workspace[1][SQ_BACKWARD]);
    assert_int_equal(saved[0], saved[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_rank_identity_is_exact_attention), cmocka_unit_test(test_heads_may_be_exchanged),
        cmocka_unit_test(test_diagonal_convolution_is_a_projection), cmocka_unit_test(test_columns_beyond_the_sequence_are_not_read),
        cmocka_unit_test(test_initial_projection_keeps_the_scale), cmocka_unit_test(test_tensors_follow_the_sharing),
        cmocka_unit_test(test_keys_and_values_of_other_sizes_cannot_share_a_convolution),
        cmocka_unit_test(test_memory_does_not_grow_with_the_sequence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
