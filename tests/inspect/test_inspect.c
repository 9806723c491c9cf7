/* The implied matrix against its formula, its figures on matrices whose answers are known, reach, files, approximation. */
#include <unistd.h>

#include "base/memory.h"
#include "subquad/inspect.h"
#include "support/check.h"

enum { H = 2, N = 37, D = 5 };

static sq_error error;

static void draw(sq_qkv_set *set) { assert_ok(sq_qkv_draw(set, H, N, D, 4, 7, &error), &error); }

static double weight(const sq_qkv *x, int64_t h, int64_t i, int64_t j)
{
    double s = 0;
    for (int64_t d = 0; d < D; d++) s += (double)x->q[(i * H + h) * D + d] * x->k[(j * H + h) * D + d];
    return exp(s / sqrt(D));
}

/* D < N: the identity goes through in pieces. */
static void matrix_of_exact_attention(void **state)
{
    sq_qkv_set set;
    sq_matrix_info info;
    static float matrix[H * N * N];
    (void)state;
    draw(&set);
    assert_ok(sq_attention_matrix(&(sq_attention_desc){ .mechanism = "softmax", .causal = true }, &set.items[0], NULL, NULL, matrix, &info, &error), &error);
    assert_true(info.linearity < 1e-5 && !info.by_channel);
    for (int64_t h = 0; h < H; h++)
        for (int64_t i = 0; i < N; i++) {
            double sum = 0;
            for (int64_t j = 0; j <= i; j++) sum += weight(&set.items[0], h, i, j);
            for (int64_t j = 0; j < N; j++)
                assert_close(matrix[(h * N + i) * N + j], j > i ? 0 : weight(&set.items[0], h, i, j) / sum, 2e-6);
        }
    sq_qkv_set_clear(&set);
}

/* Whatever a mechanism is, its matrix times random values is its output, if it says that it is linear. Channels apart are left out. */
static void every_mechanism_has_one(void **state)
{
    sq_mechanism_info info;
    sq_qkv_set set;
    int linear = 0;
    static float matrix[H * N * N];
    (void)state;
    draw(&set);
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        sq_matrix_info found;
        const sq_status status = sq_attention_matrix(&(sq_attention_desc){ .mechanism = info.name, .seed = 3 }, &set.items[0], NULL, NULL, matrix, &found, &error);
        if (status != SQ_OK) {           /* only by its own rules: a grid that does not fit, causal alone */
            if (status != SQ_UNSUPPORTED && status != SQ_INVALID) fail_msg("%s: %s", info.name, error.message);
            continue;
        }
        for (int64_t i = 0; i < H * N * N; i++)
            if (!isfinite(matrix[i])) fail_msg("%s: weight %d is not finite", info.name, (int)i);
        linear += found.linearity < 1e-4;
    }
    assert_true(linear >= 3);
    assert_int_equal(sq_attention_matrix(&(sq_attention_desc){ .mechanism = "sotfmax" }, &set.items[0], NULL, NULL, matrix, NULL, &error), SQ_NOT_FOUND);
    sq_qkv_set_clear(&set);
}

/* Fastformer adds the query, so its matrix is a derivative; row i reads value i alone, and no trace of another. */
static void a_derivative_is_zero_where_nothing_is_read(void **state)
{
    sq_qkv_set set;
    sq_matrix_info info;
    static float matrix[H * N * N];
    (void)state;
    draw(&set);
    assert_ok(sq_attention_matrix(&(sq_attention_desc){ .mechanism = "fastformer", .seed = 3 }, &set.items[0], NULL, NULL, matrix, &info, &error), &error);
    assert_true(info.linearity > 1e-3);
    for (int64_t i = 0; i < H * N * N; i++) assert_true((matrix[i] != 0) == (i % N == i / N % N));
    sq_qkv_set_clear(&set);
}

static void figures_of_known_matrices(void **state)
{
    enum { n = 20 };
    static float identity[n * n], flat[n * n], shifted[n * n];
    sq_matrix_statistics s;
    (void)state;
    for (int i = 0; i < n; i++) {
        identity[i * n + i] = 1;
        shifted[i * n + (i + 5) % n] = 1;
        for (int j = 0; j < n; j++) flat[i * n + j] = 1.0f / n;
    }
    assert_ok(sq_matrix_measure(&s, identity, n, n, &error), &error);
    assert_true(s.entropy == 0 && s.distance == 0 && s.inside[0] == 1);
    assert_in_range(s.rank90, 18, 19);
    assert_close(s.energy[4], 0.25, 1e-9);
    sq_matrix_statistics_clear(&s);
    assert_ok(sq_matrix_measure(&s, flat, n, n, &error), &error);
    assert_close(s.entropy, log2(n), 1e-6);
    assert_int_equal(s.rank99, 1);
    assert_close(s.distance, (n * n - 1) / (3.0 * n), 1e-6);
    assert_close(s.inside[0], (3.0 * n - 2) / (n * n), 1e-6);
    sq_matrix_statistics_clear(&s);
    assert_ok(sq_matrix_measure(&s, shifted, n, n, &error), &error);
    assert_close(s.distance, (15 * 5 + 5 * 15) / 20.0, 1e-6);
    assert_close(s.inside[2], 0, 1e-9);           /* 4 rows to each side */
    assert_close(s.inside[3], 0.75, 1e-9);
    sq_matrix_statistics_clear(&s);
    flat[3] = NAN;
    assert_int_equal(sq_matrix_measure(&s, flat, n, n, &error), SQ_INVALID);
    sq_matrix_statistics_clear(&s);
}

static void reach_through_layers(void **state)
{
    enum { LAYERS = 2 };
    sq_qkv_set set;
    static uint8_t reach[LAYERS * N * N];
    (void)state;
    draw(&set);
    assert_ok(sq_attention_reach(&(sq_attention_desc){ .mechanism = "softmax", .causal = true }, &set.items[0], NULL, LAYERS, reach, &error), &error);
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < N; j++) assert_int_equal(reach[i * N + j], j <= i);
    assert_memory_equal(reach, reach + N * N, N * N);
    sq_qkv_set_clear(&set);
}

static void a_file_round_trips(void **state)
{
    sq_qkv_set set, again;
    char path[] = "/tmp/subquad-inspect-XXXXXX";
    (void)state;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    draw(&set);
    set.causal = true;
    assert_ok(sq_qkv_save(&set, path, &error), &error);
    assert_ok(sq_qkv_load(&again, path, 0, 0, &error), &error);
    assert_int_equal(again.count, 1);
    assert_true(again.causal);
    assert_string_equal(again.items[0].name, set.items[0].name);
    assert_memory_equal(again.items[0].k, set.items[0].k, H * N * D * sizeof(float));
    assert_memory_equal(again.items[0].v, set.items[0].v, H * N * D * sizeof(float));
    sq_qkv_set_clear(&again);
    assert_ok(sq_qkv_load(&again, path, 1, 10, &error), &error);
    assert_int_equal(again.items[0].N, 10);
    assert_memory_equal(again.items[0].q, set.items[0].q, H * 10 * D * sizeof(float));
    sq_qkv_set_clear(&again);
    sq_qkv_set_clear(&set);
    unlink(path);
    assert_int_equal(sq_qkv_load(&again, SQ_TEST_DATA "/golden/loss-ce_smooth_weighted.safetensors", 0, 0, &error), SQ_FORMAT);
    assert_contains(error.message, "no tensors q, k, v");
}

static void approximation(void **state)
{
    sq_qkv_set set;
    sq_approximation *rows;
    int count, performers = 0;
    double first = 0, last = 0;
    (void)state;
    draw(&set);
    assert_ok(sq_approximate(&set, "softmax", 1, 1, NULL, &rows, &count, &error), &error);
    for (int i = 0; i < count; i++) {
        if (strcmp(rows[i].mechanism, "softmax") == 0) assert_true(rows[i].error == 0 && rows[i].flops > 0);
        const bool varied = (i > 0 && strcmp(rows[i].mechanism, rows[i - 1].mechanism) == 0) ||
                            (i + 1 < count && strcmp(rows[i].mechanism, rows[i + 1].mechanism) == 0);
        assert_int_equal(*rows[i].option != 0, varied);   /* only an option that changes something is named */
        if (strcmp(rows[i].mechanism, "local-2d") == 0) assert_memory_equal(rows[i].option, "distance=", 9);
        if (strcmp(rows[i].mechanism, "performer") != 0) continue;
        if (!performers++) first = rows[i].error;
        last = rows[i].error;
        assert_true(rows[i].flops > 0 && !rows[i].drawn);
    }
    assert_true(performers >= 3 && last < first);
    sq_approximations_clear(&rows);
    sq_qkv_set_clear(&set);
    assert_int_equal(sq_memory_current(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrix_of_exact_attention), cmocka_unit_test(every_mechanism_has_one),
        cmocka_unit_test(a_derivative_is_zero_where_nothing_is_read), cmocka_unit_test(figures_of_known_matrices),
        cmocka_unit_test(reach_through_layers), cmocka_unit_test(a_file_round_trips), cmocka_unit_test(approximation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
