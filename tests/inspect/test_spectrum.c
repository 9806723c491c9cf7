/* Singular values and what truncation loses. */
#include "base/memory.h"
#include "base/random.h"
#include "inspect/spectrum.h"
#include "support/check.h"

enum { ROWS = 30, COLUMNS = 45 };

static double frobenius(const float *x, const float *y, int64_t count)
{
    double sum = 0;
    for (int64_t i = 0; i < count; i++) sum += pow((double)x[i] - (y ? y[i] : 0), 2);
    return sqrt(sum);
}

/* softmax of random scores by rows */
static void attention_matrix(float *p, int64_t rows, int64_t columns, double size)
{
    const sq_random random = sq__random_stream(1, "scores", 0);
    for (int64_t i = 0; i < rows; i++) {
        double total = 0;
        for (int64_t j = 0; j < columns; j++) total += exp(size * sq__random_normal(&random, (uint64_t)(i * columns + j)));
        for (int64_t j = 0; j < columns; j++) p[i * columns + j] = (float)(exp(size * sq__random_normal(&random, (uint64_t)(i * columns + j))) / total);
    }
}

/* Eckart and Young: the error of the truncated matrix is what the spectrum says, for every rank, either way up. */
static void test_truncation_loses_what_the_spectrum_says(void **state)
{
    static const int64_t shapes[][2] = { { ROWS, COLUMNS }, { COLUMNS, ROWS }, { 1, COLUMNS }, { COLUMNS, 1 }, { 20, 20 } };
    float *p = malloc(sizeof(float) * COLUMNS * COLUMNS), *low = malloc(sizeof(float) * COLUMNS * COLUMNS);
    (void)state;
    for (size_t k = 0; k < sizeof shapes / sizeof shapes[0]; k++) {
        const int64_t rows = shapes[k][0], columns = shapes[k][1];
        sq_spectrum s;
        sq_error error;
        attention_matrix(p, rows, columns, 2);
        assert_ok(sq__spectrum_create(&s, p, rows, columns, true, &error), &error);
        assert_int_equal(s.count, rows < columns ? rows : columns);
        for (int64_t rank = 0; rank <= s.count; rank += 3) {
            sq__spectrum_truncate(&s, rank, low);
            const double lost = frobenius(p, low, rows * columns) / frobenius(p, NULL, rows * columns);
            assert_close(lost, sq__spectrum_error(&s, rank), 1e-6);
            assert_close(sq__spectrum_energy(&s, rank), 1 - lost * lost, 1e-6);
            if (rank) assert_true(sq__spectrum_energy(&s, rank) >= sq__spectrum_energy(&s, rank - 1));
        }
        assert_close(sq__spectrum_error(&s, s.count), 0, 0);
        assert_close(sq__spectrum_error_spectral(&s, 0), 1, 1e-12);
        sq__spectrum_clear(&s);
    }
    free(p);
    free(low);
}

/* A matrix of rank 3: three values, and no more rank is needed. */
static void test_known_rank(void **state)
{
    float x[ROWS * COLUMNS];
    sq_spectrum s;
    sq_error error;
    (void)state;
    for (int i = 0; i < ROWS; i++)
        for (int j = 0; j < COLUMNS; j++) x[i * COLUMNS + j] = (float)((i % 3 == j % 3) * (1 + i % 3));
    assert_ok(sq__spectrum_create(&s, x, ROWS, COLUMNS, false, &error), &error);
    for (int r = 0; r < 3; r++) assert_close(s.values[r], (3 - r) * sqrt(10.0 * 15.0), 1e-5);   /* ten rows, fifteen columns each */
    assert_close(s.values[3], 0, 1e-5);
    assert_int_equal(sq__spectrum_rank(&s, 0.999999), 3);
    assert_int_equal(sq__spectrum_rank(&s, 9.0 / 14.0 - 1e-6), 1);
    assert_int_equal(sq__spectrum_rank(&s, 9.0 / 14.0 + 1e-6), 2);
    assert_int_equal(sq__spectrum_rank(&s, 0), 0);
    assert_close(sq__spectrum_energy(&s, 1), 9.0 / 14.0, 1e-6);
    assert_close(sq__spectrum_error_spectral(&s, 1), 2.0 / 3.0, 1e-6);
    assert_null(s.left);
    sq__spectrum_clear(&s);
    memset(x, 0, sizeof x);
    assert_ok(sq__spectrum_create(&s, x, ROWS, COLUMNS, false, &error), &error);
    assert_close(sq__spectrum_energy(&s, 0), 1, 0);
    assert_int_equal(sq__spectrum_rank(&s, 1), 0);
    sq__spectrum_clear(&s);
}

static void test_refusals(void **state)
{
    float x[4] = { 1, 2, NAN, 4 };
    sq_spectrum s;
    sq_error error;
    (void)state;
    assert_int_equal(sq__spectrum_create(&s, x, 2, 2, false, &error), SQ_INVALID);
    assert_contains(error.message, "row 1, column 0");
    assert_int_equal(sq__spectrum_create(&s, x, 0, 2, false, &error), SQ_INVALID);
    x[2] = 3;
    const size_t before = sq_memory_current();
    bool whole = false;
    for (long nth = 1; !whole; nth++) {
        sq__alloc_fail_after(nth);
        const sq_status status = sq__spectrum_create(&s, x, 2, 2, true, &error);
        sq__alloc_fail_after(0);
        whole = status == SQ_OK;
        if (!whole) assert_int_equal(status, SQ_NO_MEMORY);
        sq__spectrum_clear(&s);
        assert_int_equal(sq_memory_current(), before);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_truncation_loses_what_the_spectrum_says), cmocka_unit_test(test_known_rank), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
