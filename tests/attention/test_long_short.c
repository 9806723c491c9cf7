/* Long-Short Transformer: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

static void open_long_short(trial *t, const char *options, const trial_shape *shape)
{
    assert_ok(trial_open(t, "long-short", options, shape), &t->error);
}

/* Rows of a trial's k or v, normalised over all heads with the trial's local norm, into the other's. */
static void normalise(const trial *from, const trial_array *x, trial_array *y)
{
    const int64_t H = x->heads, D = x->width, width = H * D;
    for (int64_t b = 0; b < from->shape.B; b++)
        for (int64_t j = 0; j < x->rows; j++) {
            double mean = 0, variance = 0;
            for (int64_t i = 0; i < width; i++) mean += *trial_at(x, b, j, i / D, i % D) / (double)width;
            for (int64_t i = 0; i < width; i++) variance += pow(*trial_at(x, b, j, i / D, i % D) - mean, 2) / (double)width;
            for (int64_t i = 0; i < width; i++)
                *trial_at(y, b, j, i / D, i % D) =
                    (float)((*trial_at(x, b, j, i / D, i % D) - mean) / sqrt(variance + 1e-5) * from->tensor[0][i] + from->tensor[1][i]);
        }
}

/* Causal, no segment complete, a window over everything: exact attention over normalised rows. */
static void test_before_the_first_segment_is_exact_attention(void **state)
{
    const trial_shape shape = { .B = 2, .H = 2, .T = 130, .N = 130, .D = 8, .M = 8, .causal = true };
    trial a, b;
    (void)state;
    open_long_short(&a, "window=200 segment=131", &shape);
    assert_ok(trial_open(&b, "softmax", "", &shape), &b.error);
    memcpy(b.q.data, a.q.data, (size_t)a.q.count * sizeof(float));
    normalise(&a, &a.k, &b.k);
    normalise(&a, &a.v, &b.v);
    trial_forward(&a);
    trial_forward(&b);
    for (int64_t i = 0; i < a.out.count; i++) assert_close(a.out.data[i], b.out.data[i], 3e-6);
    trial_close(&a);
    trial_close(&b);
}

/* A change far from a query's neighbours reaches it through the summary alone; before a segment is complete, not at all. */
static void test_far_keys_arrive_with_their_segment(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 64, .N = 64, .D = 8, .M = 8, .causal = true };
    trial a, b;
    (void)state;
    open_long_short(&a, "window=4 landmarks=2 segment=16", &shape);
    open_long_short(&b, "window=4 landmarks=2 segment=16", &shape);
    for (int64_t c = 0; c < 8; c++) *trial_at(&b.v, 0, 17, 0, c) = (float)c;
    trial_forward(&a);
    trial_forward(&b);
    for (int64_t i = 0; i < 64; i++) {
        bool same = true;
        for (int64_t c = 0; c < 8; c++) same = same && *trial_at(&a.out, 0, i, 0, c) == *trial_at(&b.out, 0, i, 0, c);
        assert_int_equal(same, !((i >= 17 && i < 21) || i >= 31));
    }
    trial_close(&a);
    trial_close(&b);
}

static void test_landmarks_are_an_input_of_keys(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 10, .N = 10, .D = 4, .M = 4 };
    sq_attention_input info;
    trial t;
    (void)state;
    open_long_short(&t, "landmarks=5", &shape);
    assert_int_equal(sq_attention_input_count(t.plan), 1);
    assert_int_equal(sq_attention_input_get(t.plan, 0, &info), SQ_OK);
    assert_string_equal(info.name, "landmarks");
    assert_int_equal(info.width, 5);
    assert_true(info.of_keys);
    trial_close(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_the_first_segment_is_exact_attention), cmocka_unit_test(test_far_keys_arrive_with_their_segment),
        cmocka_unit_test(test_landmarks_are_an_input_of_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
