/* Infinity-former through the public interface: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

static const char small[] = "segment=20 basis=16 samples=30 width_narrow=0.04 width_wide=0.08";

static void open_former(trial *t, const char *options, const trial_shape *shape)
{
    assert_ok(trial_open(t, "infinite-former", options, shape), &t->error);
}

static void copy(trial_array *to, const trial_array *from)
{
    memcpy(to->data, from->data, (size_t)from->count * sizeof(float));
}

static void expect_rows(const trial *a, const trial *b, int64_t rows, double bound)
{
    const trial_shape *s = &a->shape;
    for (int64_t i = 0; i < s->B * rows * s->H * s->M; i++) {
        const int64_t c = i % s->M, h = i / s->M % s->H, row = i / s->M / s->H % rows, batch = i / s->M / s->H / rows;
        assert_close(*trial_at(&a->out, batch, row, h, c), *trial_at(&b->out, batch, row, h, c), bound);
    }
}

static void test_one_segment_is_exact_attention(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const trial_shape shape = { .B = 2, .H = 2, .T = 90, .N = 90, .D = 8, .M = 6, .causal = causal };
        trial long_segment, short_segment, exact;
        open_former(&long_segment, "segment=90", &shape);
        open_former(&short_segment, small, &shape);
        assert_ok(trial_open(&exact, "softmax", "", &shape), &exact.error);
        trial *const others[] = { &short_segment, &exact };
        for (int i = 0; i < 2; i++) {
            copy(&others[i]->q, &long_segment.q);
            copy(&others[i]->k, &long_segment.k);
            copy(&others[i]->v, &long_segment.v);
        }
        trial_forward(&long_segment);
        trial_forward(&short_segment);
        trial_forward(&exact);
        expect_rows(&long_segment, &exact, 90, 1e-6);
        if (causal) expect_rows(&short_segment, &exact, 20, 1e-6);   /* the first segment has no memory */
        trial_close(&long_segment);
        trial_close(&short_segment);
        trial_close(&exact);
    }
}

/* All values 1: attention inside a segment gives 1, and the memory of a constant, read about its middle, another 1. */
static void test_constant_values_come_back(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 1000, .N = 1000, .D = 4, .M = 3 };
    trial t;
    (void)state;
    open_former(&t, "", &shape);
    for (int64_t i = 0; i < t.v.count; i++) t.v.data[i] = 1;
    for (int64_t i = 0; i < t.tensor_size[0]; i++) t.tensor[0][i] = t.tensor[1][i] = 0;
    t.tensor[2][0] = 0.4f;                /* mu = 0.6 */
    t.tensor[3][0] = -7;                  /* sigma^2 = 0.0009 */
    trial_forward(&t);
    for (int64_t i = 0; i < 1000; i++) assert_close(*trial_at(&t.out, 0, i, 0, i % 3), i < 256 ? 1 : 2, i < 256 ? 1e-5 : 0.1);
    trial_close(&t);
}

static void test_heads_may_be_exchanged(void **state)
{
    const trial_shape shape = { .B = 2, .H = 3, .T = 70, .N = 70, .D = 8, .M = 6 };
    trial a, b;
    (void)state;
    open_former(&a, small, &shape);
    open_former(&b, small, &shape);
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

/* Also without `causal`: memory is of what came before, whole segments of it. */
static void test_later_segments_and_a_partial_one_are_not_remembered(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 75, .N = 75, .D = 8, .M = 6 };
    trial a, b;
    (void)state;
    open_former(&a, small, &shape);
    open_former(&b, small, &shape);
    for (int64_t i = 40; i < 75; i++) *trial_at(&b.k, 0, i, 0, 1) += sinf((float)i);
    trial_forward(&a);
    trial_forward(&b);
    expect_rows(&a, &b, 40, 0);
    assert_true(*trial_at(&a.out, 0, 45, 0, 0) != *trial_at(&b.out, 0, 45, 0, 0));
    trial_close(&a);
    trial_close(&b);
}

static double largest(const trial_array *a, int64_t from, int64_t to)
{
    double most = 0;
    for (int64_t i = from; i < to; i++)
        for (int64_t c = 0; c < a->width; c++) most = fmax(most, fabs(*trial_at(a, 0, i, 0, c)));
    return most;
}

/* The last segment's loss reaches every earlier key and value; with detach those of the segment before only. */
static void test_how_far_the_gradient_reaches(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 100, .N = 100, .D = 4, .M = 4 };
    char detached[128];
    (void)state;
    snprintf(detached, sizeof detached, "%s detach=true", small);
    for (int detach = 0; detach < 2; detach++) {
        trial t;
        open_former(&t, detach ? detached : small, &shape);
        t.dauxiliary = 0;
        for (int64_t i = 0; i < 80; i++)
            for (int64_t c = 0; c < 4; c++) *trial_at(&t.dout, 0, i, 0, c) = 0;
        trial_forward(&t);
        trial_backward(&t);
        assert_true(largest(&t.dv, 80, 100) > 0 && largest(&t.dv, 60, 80) > 0 && largest(&t.dk, 60, 80) > 0);
        for (int64_t s = 0; s < 3; s++) {
            assert_true((largest(&t.dv, 20 * s, 20 * s + 20) > 0) == !detach);
            assert_true((largest(&t.dk, 20 * s, 20 * s + 20) > 0) == !detach);
        }
        trial_close(&t);
    }
}

static void test_sticky_draws_follow_the_step(void **state)
{
    const trial_shape shape = { .B = 3, .H = 2, .T = 100, .N = 100, .D = 8, .M = 6, .threads = 2 };
    char sticky[128];
    trial t;
    (void)state;
    snprintf(sticky, sizeof sticky, "%s sticky=true", small);
    open_former(&t, sticky, &shape);
    float *first = malloc((size_t)t.out.count * sizeof *first);
    trial_forward(&t);
    memcpy(first, t.out.data, (size_t)t.out.count * sizeof *first);
    trial_forward(&t);
    assert_memory_equal(first, t.out.data, (size_t)t.out.count * sizeof *first);
    t.step++;
    trial_forward(&t);
    assert_memory_not_equal(first, t.out.data, (size_t)t.out.count * sizeof *first);
    for (int64_t i = 0; i < 40; i++)      /* the first draw is for what the third segment reads */
        assert_true(*trial_at(&t.out, 0, i, 0, 0) == first[i * 2 * 6]);
    free(first);
    trial_close(&t);
}

/* *auxiliary is weighted already. */
static void test_regulariser_carries_its_weight(void **state)
{
    const trial_shape shape = { .B = 2, .H = 2, .T = 60, .N = 60, .D = 8, .M = 6 };
    const char *const weights[] = { " kl_weight=0", " kl_weight=0.01", " kl_weight=0.02" };
    float auxiliary[3];
    (void)state;
    for (int i = 0; i < 3; i++) {
        char options[160];
        trial t;
        snprintf(options, sizeof options, "%s%s", small, weights[i]);
        open_former(&t, options, &shape);
        trial_forward(&t);
        auxiliary[i] = t.auxiliary;
        trial_close(&t);
    }
    assert_true(auxiliary[0] == 0 && auxiliary[1] > 0);
    assert_close(auxiliary[2] / auxiliary[1], 2, 0.3);   /* other options draw other inputs */
}

/* Workspace is O(segment); what a backward needs is one memory per segment. */
static void test_memory_does_not_grow_with_the_sequence(void **state)
{
    size_t workspace[2][2], saved[2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        const int64_t n = i ? 65536 : 4096;
        const sq_attention_desc desc = { .mechanism = "infinite-former", .B = 1, .H = 2, .T = n, .N = n, .D = 64, .M = 64, .threads = 2 };
        sq_attention *plan;
        sq_error error;
        assert_ok(sq_attention_create(&plan, &desc, &error), &error);
        for (int pass = SQ_FORWARD; pass <= SQ_BACKWARD; pass++) workspace[i][pass] = sq_attention_workspace_bytes(plan, pass);
        saved[i] = sq_attention_saved_bytes(plan);
        sq_attention_destroy(&plan);
    }
    assert_int_equal(workspace[0][SQ_FORWARD], workspace[1][SQ_FORWARD]);
    assert_int_equal(workspace[0][SQ_BACKWARD], workspace[1][SQ_BACKWARD]);
    assert_int_equal(saved[1], 2 * 65536 * sizeof(float) + 2 * 255 * 64 * 128 * sizeof(float));
    assert_int_equal(saved[0], 2 * 4096 * sizeof(float) + 2 * 15 * 64 * 128 * sizeof(float));
}

static void test_an_odd_basis_is_refused(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 10, .N = 10, .D = 4, .M = 4 };
    trial t;
    (void)state;
    assert_int_equal(trial_open(&t, "infinite-former", "basis=33", &shape), SQ_INVALID);
    assert_contains(t.error.message, "even");
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_segment_is_exact_attention), cmocka_unit_test(test_constant_values_come_back),
        cmocka_unit_test(test_heads_may_be_exchanged), cmocka_unit_test(test_later_segments_and_a_partial_one_are_not_remembered),
        cmocka_unit_test(test_how_far_the_gradient_reaches), cmocka_unit_test(test_sticky_draws_follow_the_step),
        cmocka_unit_test(test_regulariser_carries_its_weight), cmocka_unit_test(test_memory_does_not_grow_with_the_sequence),
        cmocka_unit_test(test_an_odd_basis_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
