/* BigBird's random blocks, and what coinciding ones count; a layout of blocks against exact attention under its mask. */
#include "attention/engine/layout.h"
#include "base/memory.h"
#include "base/random.h"
#include "reference/softmax.h"
#include "reference/trial.h"
#include "support/check.h"

static void open_bigbird(trial *t, const char *options, int64_t n, bool causal)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = n, .N = n, .D = 8, .M = 6, .causal = causal };
    assert_ok(trial_open(t, "bigbird", options, &shape), &t->error);
}

/* Distinct, never what the block sees anyway, earlier when causal, and as many as there are left. */
static void check_draws(bool causal)
{
    enum { BLOCKS = 25, RANDOM = 6 };
    trial t;
    int64_t seen[BLOCKS] = { 0 };
    open_bigbird(&t, "block=4 window=4 globals=8 random=6", 4 * BLOCKS - 1, causal);
    assert_int_equal(t.tensor_size[0], 2 * BLOCKS * RANDOM);
    assert_false(t.tensors[0].trainable);
    for (int64_t draw = 0; draw < 40; draw++) {
        assert_int_equal(sq_attention_tensor_init(t.plan, 0, 3, (uint64_t)draw, t.tensor[0]), SQ_OK);
        for (int64_t row = 0; row < 2 * BLOCKS; row++) {
            const float *drawn = t.tensor[0] + row * RANDOM;
            const int64_t query = row % BLOCKS, front = causal ? 2 : 1, end = causal ? query : BLOCKS - 1;
            int64_t left = 0, count = 0;
            for (int64_t key = front; key < end; key++) left += key < query - 1 || key > query + 1;
            for (; count < RANDOM && drawn[count] >= 0; count++) {
                const int64_t key = (int64_t)drawn[count];
                assert_true(key >= front && key < end && (key < query - 1 || key > query + 1));
                for (int64_t x = 0; x < count; x++) assert_true(drawn[x] != drawn[count]);
                if (row == 12) seen[key]++;
            }
            assert_int_equal(count, left < RANDOM ? left : RANDOM);
        }
    }
    for (int64_t key = 2; key < (causal ? 11 : BLOCKS - 1); key++) assert_true(seen[key] > 0 || (key >= 11 && key <= 13));
    trial_close(&t);
}

static void test_random_blocks(void **state)
{
    (void)state;
    check_draws(false);
    check_draws(true);
}

/* All random blocks at the query's own block: the paper's set does not change, Hugging Face counts them again. */
static void test_coinciding_blocks(void **state)
{
    trial once, none, twice;
    (void)state;
    open_bigbird(&once, "block=8 window=8 globals=16 random=2", 100, false);
    open_bigbird(&none, "block=8 window=8 globals=16 random=0", 100, false);
    open_bigbird(&twice, "block=8 window=8 globals=16 random=2 convention=huggingface", 100, false);
    trial *all[] = { &once, &twice };
    for (int i = 0; i < 2; i++) {
        memcpy(all[i]->q.data, none.q.data, (size_t)none.q.count * sizeof(float));
        memcpy(all[i]->k.data, none.k.data, (size_t)none.k.count * sizeof(float));
        memcpy(all[i]->v.data, none.v.data, (size_t)none.v.count * sizeof(float));
        for (int64_t x = 0; x < all[i]->tensor_size[0]; x++) all[i]->tensor[0][x] = (float)(x / 2 % 13);
        trial_forward(all[i]);
    }
    trial_forward(&none);
    assert_memory_equal(once.out.data, none.out.data, (size_t)none.out.count * sizeof(float));
    assert_memory_not_equal(twice.out.data, none.out.data, (size_t)none.out.count * sizeof(float));
    trial_close(&once);
    trial_close(&none);
    trial_close(&twice);
}

/* Fewer keys than a window reaches: rows behind the last key still see it. */
static void test_rows_behind_the_last_key(void **state)
{
    enum { N = 60, KEYS = 13 };
    const trial_shape shape = { .B = 1, .H = 1, .T = N, .N = N, .D = 8, .M = 6, .lengths = true };
    trial t;
    double out[N * 6], auxiliary;
    (void)state;
    assert_ok(trial_open(&t, "bigbird", "block=4 window=30 globals=0 random=0", &shape), &t.error);
    t.lengths[0] = KEYS;
    trial_forward(&t);
    trial_reference(&t, 0, out, &auxiliary);
    assert_true(fabs(out[36 * 6]) > 0);
    for (int64_t i = 0; i < N * 6; i++) assert_true(fabs(t.out.data[i] - out[i]) < 1e-5);
    trial_close(&t);
}

/* A window over everything leaves nothing to draw: the cost is that of exact attention. */
static void test_operations_of_a_short_sequence(void **state)
{
    trial t;
    (void)state;
    open_bigbird(&t, "block=8 window=100 random=9", 100, false);
    assert_true(sq_attention_flops(t.plan, SQ_FORWARD) == 2.0 * 2 * 100 * 100 * (8 + 6));
    assert_true(sq_attention_flops(t.plan, SQ_BACKWARD) == 2.0 * 2 * 100 * 100 * (3 * 8 + 2 * 6));
    trial_close(&t);
}

/* What a file may hold instead of block numbers is no block. */
static void test_numbers_that_are_no_blocks(void **state)
{
    static const float odd[] = { -1, NAN, INFINITY, -INFINITY, 3e9f, 1e6f };
    trial t;
    (void)state;
    open_bigbird(&t, "block=8 window=8 globals=16 random=6", 100, false);
    for (int64_t x = 0; x < t.tensor_size[0]; x++) t.tensor[0][x] = odd[x % 6];
    trial_forward(&t);
    for (int64_t i = 0; i < t.out.count; i++) assert_true(isfinite(t.out.data[i]));
    trial_close(&t);
}

static void test_a_layout_is_its_mask(void **state)
{
    enum { T = 130, N = 205, D = 12, BLOCK = 20, WIDE = 11 };
    const sq_random random = sq__random_stream(6, "layout", 0);
    uint8_t seen[7 * WIDE], *keep = sq__alloc(T * N);
    float *x[] = { sq__alloc(T * D * sizeof(float)), sq__alloc(N * D * sizeof(float)), sq__alloc(N * D * sizeof(float)), sq__alloc(T * D * sizeof(float)) };
    double *expected = sq__alloc_zero(T * D * sizeof(double)), *lse = sq__alloc_zero(T * sizeof(double));
    (void)state;
    for (int i = 0; i < 3; i++) sq__random_normal_fill(&(sq_random){ 1, (uint64_t)i }, x[i], (i ? N : T) * D, 1);
    for (int i = 0; i < 7 * WIDE; i++) seen[i] = i / WIDE != 3 && sq__random_uniform(&random, (uint64_t)i) < 0.4;
    for (int causal = 0; causal < 2; causal++) {
        for (int i = 0; i < T * N; i++) keep[i] = seen[i / N / BLOCK * WIDE + i % N / BLOCK] && !(causal && i % N > i / N);
        const sq_layout layout = { T, N, BLOCK, seen, causal };
        const sq_sparse_pattern pattern = sq__layout_pattern(&layout);
        const sq_sparse sparse = { .T = T, .N = N, .D = D, .M = D, .scale = 0.3f, .pattern = &pattern, .q = x[0], .k = x[1], .v = x[2], .q_row = D,
                                   .k_row = D, .v_row = D, .out = x[3], .out_row = D };
        void *work = sq__alloc(sq__sparse_workspace(T, N, D, D, &pattern, SQ_SPARSE_MERGE, SQ_FORWARD));
        sq__sparse_forward(&sparse, sq__kernels(), work);
        reference_softmax reference = { .T = T, .N = N, .D = D, .M = D, .scale = 0.3f, .q = x[0], .k = x[1], .v = x[2], .pair_keep = keep,
                                        .out = expected, .lse = lse };
        assert_true(reference_softmax_run(&reference));
        for (int i = 0; i < T * D; i++) assert_close(x[3][i], expected[i], 2e-6);
        sq__free(work);
    }
    for (int i = 0; i < 4; i++) sq__free(x[i]);
    sq__free(keep);
    sq__free(expected);
    sq__free(lse);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_blocks), cmocka_unit_test(test_coinciding_blocks),
        cmocka_unit_test(test_rows_behind_the_last_key), cmocka_unit_test(test_operations_of_a_short_sequence), cmocka_unit_test(test_numbers_that_are_no_blocks),
        cmocka_unit_test(test_a_layout_is_its_mask),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
