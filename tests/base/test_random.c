#include "base/random.h"
#include "support/check.h"

/* Random123's known answer for Philox4x32-10: counter and key zero give 6627e8d5 e169c58d bc57ac4c 9b00dbd8. */
static void matches_the_published_answer(void **state)
{
    (void)state;
    sq_random zero = { 0, 0 };
    assert_int_equal(sq__random_u32(&zero, 0), 0x6627e8d5u);
    assert_true(sq__random_u64(&zero, 0) == 0xe169c58d6627e8d5u);
}

static void streams_differ(void **state)
{
    (void)state;
    sq_random a = sq__random_stream(1, "dropout", 0), b = sq__random_stream(1, "dropout", 1), c = sq__random_stream(1, "features", 0),
              d = sq__random_stream(2, "dropout", 0);
    uint64_t x = sq__random_u64(&a, 5);
    assert_true(x != sq__random_u64(&b, 5) && x != sq__random_u64(&c, 5) && x != sq__random_u64(&d, 5));
    assert_true(x == sq__random_u64(&a, 5));
}

static void moments_are_right(void **state)
{
    (void)state;
    enum { N = 200000 };
    sq_random r = sq__random_stream(3, "moments", 0);
    double mean = 0, square = 0, fourth = 0, uniform = 0;
    for (int i = 0; i < N; i++) {
        double z = sq__random_normal(&r, (uint64_t)i), u = sq__random_uniform(&r, (uint64_t)i);
        assert_true(u >= 0 && u < 1);
        mean += z / N;
        square += z * z / N;
        fourth += z * z * z * z / N;
        uniform += u / N;
    }
    /* five standard errors of each */
    assert_close(mean, 0, 5 / sqrt(N));
    assert_close(square, 1, 5 * sqrt(2.0 / N));
    assert_close(fourth, 3, 5 * sqrt(96.0 / N));
    assert_close(uniform, 0.5, 5 * sqrt(1.0 / 12 / N));
}

static void below_stays_below_and_reaches_all(void **state)
{
    (void)state;
    sq_random r = sq__random_stream(4, "below", 0);
    int seen[7] = { 0 };
    for (uint64_t i = 0; i < 7000; i++) seen[sq__random_below(&r, i, 7)]++;
    for (int i = 0; i < 7; i++) assert_close(seen[i], 1000, 5 * sqrt(1000));
}

static void permutation_holds_each_once(void **state)
{
    (void)state;
    int64_t order[1000];
    bool seen[1000] = { false };
    sq_random r = sq__random_stream(5, "permutation", 0);
    sq__random_permutation(&r, order, 1000);
    int fixed = 0;
    for (int i = 0; i < 1000; i++) {
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
        fixed += order[i] == i;
    }
    assert_true(fixed < 10);
}

static void keep_fill_does_not_depend_on_pieces(void **state)
{
    (void)state;
    enum { N = 10001 };
    static uint8_t whole[N], pieces[N];
    sq_random r = sq__random_stream(6, "keep", 0);
    sq__random_keep_fill(&r, 0, whole, N, 0.3f);
    for (int at = 0, step = 1; at < N; at += step, step = step % 17 + 1) sq__random_keep_fill(&r, (uint64_t)at, pieces + at, step < N - at ? step : N - at, 0.3f);
    assert_memory_equal(whole, pieces, N);
    double kept = 0;
    for (int i = 0; i < N; i++) kept += whole[i];
    assert_close(kept / N, 0.7, 5 * sqrt(0.21 / N));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_the_published_answer), cmocka_unit_test(streams_differ), cmocka_unit_test(moments_are_right),
        cmocka_unit_test(below_stays_below_and_reaches_all), cmocka_unit_test(permutation_holds_each_once),
        cmocka_unit_test(keep_fill_does_not_depend_on_pieces),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
