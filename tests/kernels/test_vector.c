/* Every vector slot of every ISA against double precision, at awkward sizes. What lies behind an array's end stays as it was. */
#include "base/cpu.h"
#include "base/memory.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "support/check.h"

static const int64_t sizes[] = { 0, 1, 2, 3, 15, 16, 17, 63, 65, 1000 };
enum { SIZES = sizeof sizes / sizeof *sizes, MOST = 1000, BEHIND = 32 };

static float x[MOST + BEHIND], y[MOST + BEHIND], z[MOST + BEHIND];
static const double u = 0x1p-24;   /* half a unit in the last place, relative */

static void fill(float *to, const char *name, float size)
{
    const sq_random stream = sq__random_stream(5, name, 0);
    sq__random_normal_fill(&stream, to, MOST + BEHIND, size);
}

static void fill_all(void)
{
    fill(x, "x", 1);
    fill(y, "y", 1);
    fill(z, "z", 1);
}

/* Runs body for every ISA here and every size n; y's tail is checked after it. */
#define FOR_EACH(kernels, n, ...)                                                                                  \
    for (int sq_isa_at = 0; sq_isa_at < SQ_ISA_COUNT; sq_isa_at++) {                                               \
        const sq_kernels *kernels = sq__kernels_for(sq_isa_at);                                                    \
        if (!kernels) continue;                                                                                    \
        for (int sq_at = 0; sq_at < SIZES; sq_at++) {                                                              \
            const int64_t n = sizes[sq_at];                                                                        \
            float behind[BEHIND];                                                                                  \
            fill_all();                                                                                            \
            memcpy(behind, y + n, sizeof behind);                                                                  \
            __VA_ARGS__;                                                                                           \
            assert_memory_equal(behind, y + n, sizeof behind);                                                     \
        }                                                                                                          \
    }

static void sums(void **state)
{
    (void)state;
    FOR_EACH(kernels, n, {
        double dot = 0, dot_size = 0, total = 0, total_size = 0, top = -INFINITY;
        for (int64_t i = 0; i < n; i++) {
            dot += (double)x[i] * z[i];
            dot_size += fabs((double)x[i] * z[i]);
            total += x[i];
            total_size += fabs(x[i]);
            top = fmax(top, x[i]);
        }
        assert_close(kernels->dot(x, z, n), dot, 8 * u * dot_size);
        assert_close(kernels->sum(x, n), total, 8 * u * total_size);
        assert_true(kernels->max(x, n) == top);
    })
}

/* Any number of rows, in any order, some twice. */
static void sums_of_rows(void **state)
{
    enum { ROWS = 11 };
    static float rows[ROWS * (MOST + 3)], sums_at[ROWS + 1];
    static const int32_t order[ROWS] = { 7, 0, 7, 10, 3, 1, 2, 9, 4, 8, 5 };
    (void)state;
    FOR_EACH(kernels, n, {
        const int64_t apart = n + 3;
        const sq_random stream = sq__random_stream(5, "rows", 0);
        sq__random_normal_fill(&stream, rows, ROWS * apart, 1);
        for (int64_t count = 0; count <= ROWS; count++) {
            sums_at[count] = -1;
            kernels->dot_rows(sums_at, x, rows, apart, order, count, n);
            for (int64_t r = 0; r < count; r++) {
                double dot = 0;
                double size = 0;
                for (int64_t i = 0; i < n; i++) {
                    dot += (double)x[i] * rows[order[r] * apart + i];
                    size += fabs((double)x[i] * rows[order[r] * apart + i]);
                }
                assert_close(sums_at[r], dot, 8 * u * size);
            }
            assert_true(sums_at[count] == -1);
        }
    })
}

static void updates(void **state)
{
    (void)state;
    FOR_EACH(kernels, n, {
        float was[MOST + BEHIND];
        memcpy(was, y, sizeof was);
        kernels->axpy(y, 0.3f, x, n);
        for (int64_t i = 0; i < n; i++) assert_close(y[i], was[i] + (double)0.3f * x[i], 2 * u * (fabs(was[i]) + fabs(x[i])));
        memcpy(y, was, sizeof was);
        kernels->scale(y, -1.7f, n);
        for (int64_t i = 0; i < n; i++) assert_true(y[i] == -1.7f * was[i]);
        if (n > 250) continue;
        for (int64_t rows = 0; rows < 4; rows++) {
            memcpy(y, was, sizeof was);
            kernels->scale_columns(y, x, rows, n);
            for (int64_t i = 0; i < rows * n; i++) assert_true(y[i] == was[i] * x[i % n]);
            assert_memory_equal(y + rows * n, was + rows * n, BEHIND * sizeof *y);
        }
        memcpy(y, was, sizeof was);
    })
}

/* Relative 2e-7 over the whole range, every ISA; denormal results to half a smallest normal. */
static void exponential_accuracy(void **state)
{
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        double worst = 0;
        if (!kernels) continue;
        for (double from = -104; from < 89; from += 0.1) {
            for (int i = 0; i < MOST; i++) x[i] = (float)(from + 0.1 * i / MOST);
            kernels->exp(y, x, MOST);
            for (int i = 0; i < MOST; i++) {
                const double expected = exp((double)x[i]);
                if (expected > 0x1.fffffep127) assert_true(y[i] == INFINITY || y[i] >= 0x1.fffffcp127f);
                else if (expected < 0x1p-126) assert_close(y[i], expected, 0x1p-149);
                else worst = fmax(worst, fabs(y[i] / expected - 1));
            }
        }
        print_message("%s: exp %.3g\n", kernels->isa, worst);
        assert_true(worst <= 2e-7);
    }
}

static void exponential_edges(void **state)
{
    (void)state;
    FOR_EACH(kernels, n, {
        for (int64_t i = 0; i < n; i++) x[i] = i % 5 == 0 ? -INFINITY : i % 5 == 1 ? INFINITY : i % 5 == 2 ? NAN : i % 5 == 3 ? 0 : -1e30f;
        kernels->exp(y, x, n);
        for (int64_t i = 0; i < n; i++) {
            if (i % 5 == 1) assert_true(y[i] == INFINITY);
            else if (i % 5 == 2) assert_true(isnan(y[i]));
            else assert_true(y[i] == (i % 5 == 3));
        }
    })
}

static void exponential_sums(void **state)
{
    (void)state;
    FOR_EACH(kernels, n, {
        double total = 0;
        for (int64_t i = 0; i < n; i += 7) x[i] = -INFINITY;
        memcpy(y, x, sizeof *y * (size_t)n);
        const float sum = kernels->exp_sum(y, y, 3, 2.5f, n);   /* in place */
        for (int64_t i = 0; i < n; i++) {
            const double expected = exp(3.0 * x[i] - 2.5);
            /* the argument is rounded to float: u |argument| more */
            if (isinf(x[i])) assert_true(y[i] == 0);
            else assert_close(y[i], expected, (2e-7 + 2 * u * (3 * fabs(x[i]) + 2.5)) * expected);
            total += y[i];
        }
        assert_close(sum, total, 4e-7 * total);
    })
}

static void transposes(void **state)
{
    static const int64_t sides[] = { 0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65 };
    enum { COUNT = sizeof sides / sizeof *sides, SIDE = 65 + 3 };
    static float from[SIDE * SIDE], to[SIDE * SIDE];
    (void)state;
    for (int i = 0; i < SIDE * SIDE; i++) from[i] = (float)i;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        if (!kernels) continue;
        for (int a = 0; a < COUNT; a++)
            for (int b = 0; b < COUNT; b++) {
                const int64_t rows = sides[a], columns = sides[b], ldx = columns + 2, ldy = rows + 3;
                for (int i = 0; i < SIDE * SIDE; i++) to[i] = -1;
                kernels->transpose(to, ldy, from, ldx, rows, columns);
                for (int64_t j = 0; j < columns; j++)
                    for (int64_t i = 0; i < ldy; i++) assert_true(to[j * ldy + i] == (i < rows ? from[i * ldx + j] : -1));
                for (int64_t i = columns * ldy; i < SIDE * SIDE; i++) assert_true(to[i] == -1);
            }
    }
}

static void reference_is_always_there(void **state)
{
    (void)state;
    assert_non_null(sq__kernels_for(SQ_ISA_REFERENCE));
    assert_non_null(sq__kernels());
    assert_null(sq__kernels_for(-1));
    assert_null(sq__kernels_for(SQ_ISA_COUNT));
    assert_ptr_equal(sq__kernels_for(SQ_ISA_REFERENCE), sq__kernels_for(SQ_ISA_REFERENCE));
    assert_string_equal(sq__kernels_for(SQ_ISA_REFERENCE)->isa, "reference");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reference_is_always_there), cmocka_unit_test(sums), cmocka_unit_test(sums_of_rows), cmocka_unit_test(updates), cmocka_unit_test(exponential_accuracy),
        cmocka_unit_test(exponential_edges), cmocka_unit_test(exponential_sums), cmocka_unit_test(transposes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
