/* Synthesizer: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

static trial_shape square(int64_t n)
{
    return (trial_shape){ .B = 2, .H = 2, .T = n, .N = n, .D = 8, .M = 6 };
}

static void open_synthesizer(trial *t, const char *options, const trial_shape *shape)
{
    assert_ok(trial_open(t, "synthesizer", options, shape), &t->error);
}

static void expect_same_out(const trial *a, const trial *b, double bound)
{
    float *x = trial_packed(a, &a->out), *y = trial_packed(b, &b->out);
    for (int64_t i = 0; i < a->out.count; i++) assert_close(x[i], y[i], bound);
    free(x);
    free(y);
}

/* A random matrix of zeros beside dot products that are added up is exact attention. */
static void test_dot_product_alone_is_exact_attention(void **state)
{
    trial_shape shape = square(90);
    trial a, b;
    (void)state;
    shape.causal = true;
    open_synthesizer(&a, "variant=random dot_product=true mixture=sum", &shape);
    assert_ok(trial_open(&b, "softmax", "", &shape), &b.error);
    memcpy(b.q.data, a.q.data, (size_t)a.q.count * sizeof(float));
    memcpy(b.k.data, a.k.data, (size_t)a.k.count * sizeof(float));
    memcpy(b.v.data, a.v.data, (size_t)a.v.count * sizeof(float));
    memset(a.tensor[0], 0, (size_t)a.tensor_size[0] * sizeof(float));
    trial_forward(&a);
    trial_forward(&b);
    expect_same_out(&a, &b, 2e-6);
    trial_close(&a);
    trial_close(&b);
}

/* r = r1 r2 */
static void test_factors_are_a_random_matrix(void **state)
{
    const trial_shape shape = square(70);
    trial low, full;
    (void)state;
    open_synthesizer(&low, "variant=factorised-random rank=5", &shape);
    open_synthesizer(&full, "variant=random", &shape);
    memcpy(full.v.data, low.v.data, (size_t)low.v.count * sizeof(float));
    for (int64_t h = 0; h < 2; h++)
        for (int64_t i = 0; i < 70; i++)
            for (int64_t j = 0; j < 70; j++) {
                double sum = 0;
                for (int64_t r = 0; r < 5; r++) sum += (double)low.tensor[0][(h * 70 + i) * 5 + r] * low.tensor[1][(h * 5 + r) * 70 + j];
                full.tensor[0][(h * 70 + i) * 70 + j] = (float)sum;
            }
    trial_forward(&low);
    trial_forward(&full);
    expect_same_out(&low, &full, 2e-6);
    trial_close(&low);
    trial_close(&full);
}

/* What is not read may be absent, and its gradient, if asked for, is 0. */
static void test_ignored_inputs(void **state)
{
    static const struct { const char *options; unsigned ignores; } cases[] = {
        { "", SQ_READS_KEY }, { "variant=random", SQ_READS_QUERY | SQ_READS_KEY }, { "variant=factorised-random", SQ_READS_QUERY | SQ_READS_KEY },
        { "variant=factorised-dense", SQ_READS_KEY }, { "variant=random-dense", SQ_READS_KEY }, { "variant=random dot_product=true", 0 },
    };
    const trial_shape shape = square(20);
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        trial t;
        open_synthesizer(&t, cases[i].options, &shape);
        assert_int_equal(sq_attention_ignores(t.plan), cases[i].ignores);
        trial_close(&t);
    }
}

/* Random scores have no place for a query beyond max_length. */
static void test_more_queries_than_positions(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 12, .N = 8, .D = 4, .M = 4 };
    trial t;
    (void)state;
    assert_int_equal(trial_open(&t, "synthesizer", "variant=random", &shape), SQ_UNSUPPORTED);
    assert_non_null(strstr(t.error.message, "dense"));
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dot_product_alone_is_exact_attention), cmocka_unit_test(test_factors_are_a_random_matrix),
        cmocka_unit_test(test_ignored_inputs), cmocka_unit_test(test_more_queries_than_positions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
