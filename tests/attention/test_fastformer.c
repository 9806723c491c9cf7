/* Fastformer: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

enum { N = 40, D = 8 };

static void open_fastformer(trial *t)
{
    const trial_shape shape = { .B = 2, .H = 2, .T = N, .N = N, .D = D, .M = D };
    assert_ok(trial_open(t, "fastformer", "", &shape), &t->error);
}

static void expect_row(const trial *a, const trial *b, int64_t entry, int64_t i, int64_t j, double bound)
{
    for (int64_t h = 0; h < 2; h++)
        for (int64_t c = 0; c < D; c++) assert_close(*trial_at(&a->out, entry, i, h, c), *trial_at(&b->out, entry, j, h, c), bound);
}

/* Tokens in another order: the same rows in that order. */
static void test_order_of_tokens_is_irrelevant(void **state)
{
    trial a, b;
    (void)state;
    open_fastformer(&a);
    open_fastformer(&b);
    trial_array *const from[] = { &a.q, &a.k, &a.v }, *const to[] = { &b.q, &b.k, &b.v };
    for (int x = 0; x < 3; x++)
        for (int64_t i = 0; i < 2 * N; i++)
            for (int64_t h = 0; h < 2; h++)
                for (int64_t c = 0; c < D; c++) *trial_at(to[x], i / N, (7 * (i % N) + 3) % N, h, c) = *trial_at(from[x], i / N, i % N, h, c);
    trial_forward(&a);
    trial_forward(&b);
    for (int64_t i = 0; i < 2 * N; i++) expect_row(&a, &b, i / N, i % N, (7 * (i % N) + 3) % N, 4e-6);
    trial_close(&a);
    trial_close(&b);
}

/* Without weights to choose by, both global rows are means: out_i = q_i + (mean q . mean k . v_i) W by entries. */
static void test_without_weights_sums_are_means(void **state)
{
    trial t;
    (void)state;
    open_fastformer(&t);
    for (int x = 0; x < 2; x++) memset(t.tensor[x], 0, (size_t)t.tensor_size[x] * sizeof(float));
    trial_forward(&t);
    for (int64_t b = 0; b < 2; b++)
        for (int64_t h = 0; h < 2; h++) {
            double global[D];
            for (int64_t c = 0; c < D; c++) {
                double query = 0, key = 0;
                for (int64_t i = 0; i < N; i++) query += *trial_at(&t.q, b, i, h, c) / (double)N, key += *trial_at(&t.k, b, i, h, c) / (double)N;
                global[c] = query * key;
            }
            for (int64_t i = 0; i < N; i++)
                for (int64_t c = 0; c < D; c++) {
                    double out = *trial_at(&t.q, b, i, h, c);
                    for (int64_t r = 0; r < D; r++) out += global[r] * *trial_at(&t.v, b, i, h, r) * t.tensor[2][(h * D + r) * D + c];
                    assert_close(*trial_at(&t.out, b, i, h, c), out, 2e-6);
                }
        }
    trial_close(&t);
}

/* A value is met by the global key in its own row alone; a key is met by all rows. */
static void test_values_stay_in_their_rows_and_keys_do_not(void **state)
{
    trial a, b;
    (void)state;
    open_fastformer(&a);
    open_fastformer(&b);
    for (int64_t c = 0; c < D; c++) *trial_at(&b.v, 0, 5, 0, c) += 1, *trial_at(&b.k, 1, 5, 0, c) += 1;
    trial_forward(&a);
    trial_forward(&b);
    for (int64_t i = 0; i < N; i++) {
        if (i != 5) expect_row(&a, &b, 0, i, i, 0);
        assert_true(*trial_at(&a.out, 1, i, 0, 0) != *trial_at(&b.out, 1, i, 0, 0));
    }
    assert_true(*trial_at(&a.out, 0, 5, 0, 0) != *trial_at(&b.out, 0, 5, 0, 0));
    trial_close(&a);
    trial_close(&b);
}

/* A hidden token has no part: its row is its query, and the others are as without it. */
static void test_a_hidden_token_has_no_part(void **state)
{
    const trial_shape all = { .B = 1, .H = 2, .T = N, .N = N, .D = D, .M = D, .key_mask = true }, fewer = { .B = 1, .H = 2, .T = N - 1, .N = N - 1, .D = D, .M = D };
    trial a, b;
    (void)state;
    assert_ok(trial_open(&a, "fastformer", "", &all), &a.error);
    assert_ok(trial_open(&b, "fastformer", "", &fewer), &b.error);
    for (int64_t j = 0; j < N; j++) a.key_keep[j] = j != 5;
    trial_array *const whole[] = { &a.q, &a.k, &a.v }, *const cut[] = { &b.q, &b.k, &b.v };
    for (int x = 0; x < 3; x++)
        for (int64_t i = 0; i < N - 1; i++)
            for (int64_t h = 0; h < 2; h++)
                for (int64_t c = 0; c < D; c++) *trial_at(cut[x], 0, i, h, c) = *trial_at(whole[x], 0, i + (i >= 5), h, c);
    trial_forward(&a);
    trial_forward(&b);
    for (int64_t i = 0; i < N - 1; i++) expect_row(&a, &b, 0, i + (i >= 5), i, 4e-6);
    for (int64_t h = 0; h < 2; h++)
        for (int64_t c = 0; c < D; c++) assert_true(*trial_at(&a.out, 0, 5, h, c) == *trial_at(&a.q, 0, 5, h, c));
    trial_close(&a);
    trial_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_tokens_is_irrelevant), cmocka_unit_test(test_without_weights_sums_are_means),
        cmocka_unit_test(test_values_stay_in_their_rows_and_keys_do_not), cmocka_unit_test(test_a_hidden_token_has_no_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
