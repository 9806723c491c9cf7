/* Sorting, choosing and hashing rows: against plain loops. */
#include "attention/engine/gather.h"
#include "attention/engine/hash.h"
#include "base/cpu.h"
#include "support/check.h"

static void test_buckets_are_sorted_stably(void **state)
{
    enum { COUNT = 1000, BUCKETS = 7 };
    static int32_t bucket[COUNT], order[COUNT], starts[BUCKETS + 1];
    const sq_random random = sq__random_stream(1, "bucket", 0);
    (void)state;
    for (int i = 0; i < COUNT; i++) bucket[i] = (int32_t)sq__random_below(&random, (uint64_t)i, BUCKETS - 1);   /* the last stays empty */
    sq__sort_buckets(order, starts, bucket, COUNT, BUCKETS);
    assert_int_equal(starts[0], 0);
    assert_int_equal(starts[BUCKETS - 1], COUNT);
    assert_int_equal(starts[BUCKETS], COUNT);
    for (int b = 0; b < BUCKETS; b++)
        for (int i = starts[b]; i < starts[b + 1]; i++) {
            assert_int_equal(bucket[order[i]], b);
            if (i > starts[b]) assert_true(order[i] > order[i - 1]);
        }
    sq__sort_buckets(order, starts, bucket, 0, BUCKETS);
    for (int b = 0; b <= BUCKETS; b++) assert_int_equal(starts[b], 0);
}

/* Values repeat, so that ties happen; offered in pieces. */
static void test_largest_values_with_the_lowest_indexes(void **state)
{
    enum { COUNT = 300 };
    float value[COUNT], kept[COUNT];
    int32_t index[COUNT];
    const sq_random random = sq__random_stream(2, "value", 0);
    (void)state;
    for (int i = 0; i < COUNT; i++) value[i] = i % 11 == 3 ? -INFINITY : (float)sq__random_below(&random, (uint64_t)i, 20);
    for (int most = 0; most <= COUNT; most += 1 + most / 2) {
        sq_largest l = { most, 0, kept, index };
        for (int from = 0; from < COUNT; from += 37) sq__largest_offer(&l, value + from, from + 37 < COUNT ? 37 : COUNT - from, from);
        sq__largest_sort(&l);
        int at = 0, visible = 0;
        for (int i = 0; i < COUNT; i++) {
            int before = 0;
            if (value[i] == -INFINITY) continue;
            visible++;
            for (int j = 0; j < COUNT; j++) before += value[j] > value[i] || (value[j] == value[i] && j < i);
            if (before >= most) continue;
            assert_true(at < l.count);
            assert_int_equal(index[at++], i);
        }
        assert_int_equal(l.count, at);
        assert_int_equal(at, most < visible ? most : visible);
    }
}

static void test_draws_are_distinct_and_even(void **state)
{
    enum { N = 20, COUNT = 5, TIMES = 4000 };
    int32_t list[N];
    int chosen[N] = { 0 };
    (void)state;
    for (int time = 0; time < TIMES; time++) {
        const sq_random random = sq__random_stream(3, "distinct", (uint64_t)time);
        unsigned seen = 0;
        for (int i = 0; i < N; i++) list[i] = i;
        sq__draw_distinct(&random, list, N, COUNT);
        for (int i = 0; i < N; i++) seen |= 1u << list[i];
        assert_int_equal(seen, (1u << N) - 1);            /* still a permutation */
        for (int i = 0; i < COUNT; i++) chosen[list[i]]++;
    }
    for (int i = 0; i < N; i++) assert_close(chosen[i], TIMES * COUNT / N, 150);   /* five standard deviations */
}

static void test_indexes_of_any_number(void **state)
{
    (void)state;
    assert_int_equal(sq__tensor_index(7, 10), 7);
    assert_int_equal(sq__tensor_index(27, 10), 7);
    assert_int_equal(sq__tensor_index(-3, 10), 0);
    assert_int_equal(sq__tensor_index(NAN, 10), 0);
    assert_int_equal(sq__tensor_index(INFINITY, 10), 0);
}

static void test_codes_are_signs(void **state)
{
    enum { COUNT = 131, D = 9, ROW = D + 3 };
    static float x[COUNT * ROW], planes[SQ_HASH_BITS * (D + 1)], workspace[64 * SQ_HASH_BITS];
    static uint64_t codes[COUNT];
    const sq_random random = sq__random_stream(4, "hash", 0), other = sq__random_stream(4, "planes", 0);
    (void)state;
    assert_true(sizeof workspace >= sq__hash_workspace(SQ_HASH_BITS));
    sq__random_normal_fill(&random, x, COUNT * ROW, 1);
    sq__random_normal_fill(&other, planes, SQ_HASH_BITS * (D + 1), 1);
    for (int64_t bits = 1; bits <= SQ_HASH_BITS; bits += 21)
        for (int threshold = 0; threshold <= 1; threshold++) {
            sq__hash_signs(codes, x, ROW, COUNT, D, planes, bits, D + 1, threshold, workspace);
            for (int i = 0; i < COUNT; i++)
                for (int64_t b = 0; b < SQ_HASH_BITS; b++) {
                    double product = threshold ? -planes[b * (D + 1) + D] : 0;
                    for (int d = 0; d < D; d++) product += (double)x[i * ROW + d] * planes[b * (D + 1) + d];
                    if (fabs(product) > 1e-5) assert_int_equal(codes[i] >> b & 1, b < bits && product > 0);
                }
        }
}

/* Every code has its place, and neighbours differ in one bit. */
static void test_gray_order(void **state)
{
    uint64_t at[1 << 10];
    (void)state;
    memset(at, 0xff, sizeof at);
    for (uint64_t code = 0; code < 1 << 10; code++) at[sq__hash_gray_rank(code)] = code;
    for (int i = 1; i < 1 << 10; i++) assert_int_equal(__builtin_popcountll(at[i] ^ at[i - 1]), 1);
}

static void test_nearest_code(void **state)
{
    enum { COUNT = 500, CLUSTERS = 33 };
    static uint64_t codes[COUNT], centroids[CLUSTERS];
    static int32_t nearest[COUNT + 1];
    const sq_random random = sq__random_stream(5, "codes", 0);
    (void)state;
    for (int i = 0; i < COUNT; i++) codes[i] = sq__random_u64(&random, (uint64_t)i) & 0xf00000000000001fu;   /* few bits: ties */
    for (int c = 0; c < CLUSTERS; c++) centroids[c] = codes[c * 7];
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        if (!kernels) continue;
        nearest[COUNT] = -7;
        kernels->hamming_nearest(nearest, codes, COUNT, centroids, CLUSTERS);
        assert_int_equal(nearest[COUNT], -7);
        for (int i = 0; i < COUNT; i++)
            for (int c = 0; c < CLUSTERS; c++) {
                const int here = __builtin_popcountll(codes[i] ^ centroids[c]), there = __builtin_popcountll(codes[i] ^ centroids[nearest[i]]);
                assert_true(there < here || (there == here && nearest[i] <= c));
            }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buckets_are_sorted_stably), cmocka_unit_test(test_largest_values_with_the_lowest_indexes),
        cmocka_unit_test(test_draws_are_distinct_and_even), cmocka_unit_test(test_indexes_of_any_number), cmocka_unit_test(test_codes_are_signs),
        cmocka_unit_test(test_gray_order), cmocka_unit_test(test_nearest_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
