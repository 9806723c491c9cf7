/* Set Transformer: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

static void open_set(trial *t, const char *options, const trial_shape *shape)
{
    assert_ok(trial_open(t, "set-transformer", options, shape), &t->error);
}

/* Keys and values in another order: a set. */
static void test_order_of_keys_is_irrelevant(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 30, .N = 50, .D = 8, .M = 6 };
    trial a, b;
    (void)state;
    open_set(&a, "latents=9", &shape);
    open_set(&b, "latents=9", &shape);
    for (int64_t j = 0; j < 50; j++)
        for (int64_t h = 0; h < 2; h++) {
            for (int64_t c = 0; c < 8; c++) *trial_at(&b.k, 0, (7 * j + 3) % 50, h, c) = *trial_at(&a.k, 0, j, h, c);
            for (int64_t c = 0; c < 6; c++) *trial_at(&b.v, 0, (7 * j + 3) % 50, h, c) = *trial_at(&a.v, 0, j, h, c);
        }
    trial_forward(&a);
    trial_forward(&b);
    for (int64_t i = 0; i < a.out.count; i++) assert_close(a.out.data[i], b.out.data[i], 2e-6);
    trial_close(&a);
    trial_close(&b);
}

/* One point: every query gets the same. */
static void test_one_point_is_one_result(void **state)
{
    const trial_shape shape = { .B = 2, .H = 1, .T = 20, .N = 40, .D = 8, .M = 6 };
    trial t;
    (void)state;
    open_set(&t, "latents=1", &shape);
    trial_forward(&t);
    for (int64_t b = 0; b < 2; b++)
        for (int64_t i = 1; i < 20; i++)
            for (int64_t c = 0; c < 6; c++) assert_close(*trial_at(&t.out, b, i, 0, c), *trial_at(&t.out, b, 0, 0, c), 1e-6);
    trial_close(&t);
}

/* Points that each see one key alone leave exact attention over the keys. */
static void test_a_point_for_each_key_is_exact_attention(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 25, .N = 8, .D = 8, .M = 6 };
    trial a, b;
    (void)state;
    open_set(&a, "latents=8", &shape);
    assert_ok(trial_open(&b, "softmax", "", &shape), &b.error);
    memcpy(b.q.data, a.q.data, (size_t)a.q.count * sizeof(float));
    memcpy(b.v.data, a.v.data, (size_t)a.v.count * sizeof(float));
    for (int64_t j = 0; j < 8; j++)
        for (int64_t h = 0; h < 2; h++)
            for (int64_t c = 0; c < 8; c++) {
                *trial_at(&a.k, 0, j, h, c) = *trial_at(&b.k, 0, j, h, c) = j == c;
                a.tensor[0][(h * 8 + j) * 8 + c] = j == c ? 300 : 0;
            }
    trial_forward(&a);
    trial_forward(&b);
    for (int64_t i = 0; i < a.out.count; i++) assert_close(a.out.data[i], b.out.data[i], 2e-6);
    trial_close(&a);
    trial_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_of_keys_is_irrelevant), cmocka_unit_test(test_one_point_is_one_result),
        cmocka_unit_test(test_a_point_for_each_key_is_exact_attention),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
