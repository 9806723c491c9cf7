/* Layer normalisation, activations and softmax tiles of every ISA against double precision. */
#include "base/cpu.h"
#include "base/memory.h"
#include "base/random.h"
#include "kernels/kernels.h"
#include "support/check.h"

enum { ROWS = 5, MOST = 1000 };
static const int64_t widths[] = { 1, 2, 3, 15, 16, 17, 63, 65, 128, 1000 };
enum { WIDTHS = sizeof widths / sizeof *widths };

static float *draw(int64_t count, const char *name, float size)
{
    const sq_random stream = sq__random_stream(11, name, (uint64_t)count);
    float *at = sq__alloc(sizeof *at * (size_t)count);
    sq__random_normal_fill(&stream, at, count, size);
    return at;
}

typedef struct norm { double mean, rstd; } norm;

static norm statistics(const float *x, int64_t n, double eps)
{
    norm s = { 0, 0 };
    for (int64_t i = 0; i < n; i++) s.mean += x[i] / (double)n;
    for (int64_t i = 0; i < n; i++) s.rstd += (x[i] - s.mean) * (x[i] - s.mean) / (double)n;
    s.rstd = 1 / sqrt(s.rstd + eps);
    return s;
}

static void check_norm(const sq_kernels *kernels, int64_t n, float offset)
{
    const float eps = 1e-5f;
    float *x = draw(ROWS * n, "x", 1), *weight = draw(n, "w", 1), *bias = draw(n, "b", 1), *dy = draw(ROWS * n, "dy", 1);
    float *y = draw(ROWS * n, "y", 1), *dx = draw(ROWS * n, "dx", 1), *dweight = draw(n, "dw", 1), *dbias = draw(n, "db", 1);
    float *dweight_was = draw(n, "dw", 1), *dbias_was = draw(n, "db", 1), mean[ROWS], rstd[ROWS];
    double *expected_dweight = sq__alloc_zero(sizeof(double) * (size_t)n), *expected_dbias = sq__alloc_zero(sizeof(double) * (size_t)n);

    for (int64_t i = 0; i < ROWS * n; i++) x[i] += offset;
    kernels->layer_norm(y, mean, rstd, x, weight, bias, eps, ROWS, n);
    kernels->layer_norm_backward(dx, dweight, dbias, dy, x, mean, rstd, weight, ROWS, n);
    for (int64_t r = 0; r < ROWS; r++) {
        const float *xr = x + r * n, *dyr = dy + r * n;
        const norm s = statistics(xr, n, eps);
        const double slack = 2e-6 * (1 + fabs(offset)) * fmax(1, s.rstd);   /* x - mean loses |offset| u, magnified by rstd */
        double g_mean = 0, gx_mean = 0;
        assert_close(mean[r], s.mean, 1e-6 * (1 + fabs(offset)));
        assert_close(rstd[r], s.rstd, slack * s.rstd);
        for (int64_t i = 0; i < n; i++) {
            const double xh = (xr[i] - s.mean) * s.rstd, g = (double)dyr[i] * weight[i];
            assert_close(y[r * n + i], xh * weight[i] + bias[i], slack * (1 + fabs(weight[i]) * (1 + fabs(xh))));
            g_mean += g / (double)n;
            gx_mean += g * xh / (double)n;
            expected_dweight[i] += dyr[i] * xh;
            expected_dbias[i] += dyr[i];
        }
        for (int64_t i = 0; i < n; i++) {
            const double xh = (xr[i] - s.mean) * s.rstd, g = (double)dyr[i] * weight[i];
            assert_close(dx[r * n + i], s.rstd * (g - g_mean - xh * gx_mean), slack * s.rstd * (2 + fabs(g) + fabs(xh)));
        }
    }
    for (int64_t i = 0; i < n; i++) {   /* added to, not overwritten */
        assert_close(dweight[i], dweight_was[i] + expected_dweight[i], 3e-5 * (1 + fabs(offset)));
        assert_close(dbias[i], dbias_was[i] + expected_dbias[i], 1e-5);
    }
    float *const all[] = { x, weight, bias, dy, y, dx, dweight, dbias, dweight_was, dbias_was };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sq__free(all[i]);
    sq__free(expected_dweight);
    sq__free(expected_dbias);
}

static void normalises(void **state)
{
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++)
        for (int i = 0; i < WIDTHS && sq__kernels_for(isa); i++) {
            if (widths[i] > 2) check_norm(sq__kernels_for(isa), widths[i], 0);
            if (widths[i] > 15) check_norm(sq__kernels_for(isa), widths[i], 30);
        }
}

/* One value per row: y is the bias, and no gradient comes back. */
static void normalises_single_values(void **state)
{
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        float x[3] = { 1, -2, 1e6f }, weight = 2, bias = 0.5f, y[3], dx[3], mean[3], rstd[3], dw = 0, db = 0;
        const float dy[3] = { 1, 2, 3 };
        if (!kernels) continue;
        kernels->layer_norm(y, mean, rstd, x, &weight, &bias, 1e-5f, 3, 1);
        kernels->layer_norm_backward(dx, &dw, &db, dy, x, mean, rstd, &weight, 3, 1);
        for (int i = 0; i < 3; i++) assert_true(y[i] == 0.5f && dx[i] == 0);
        assert_true(dw == 0 && db == 6);
    }
}

static double phi(double x) { return 0.5 * erfc(-x / sqrt(2)); }
static double gelu(double x) { return x * phi(x); }
static double gelu_slope(double x) { return phi(x) + x * exp(-0.5 * x * x) / sqrt(2 * M_PI); }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }

/* Largest |y - f(x)| / (absolute + relative |f(x)|) over [-20, 20] and tiny arguments; must be at most 1. */
static void check_function(const char *name, const sq_kernels *kernels, void (*run)(float *, const float *, int64_t), double (*f)(double),
                           double absolute, double relative)
{
    float x[997], y[997];
    double worst = 0;
    for (int step = 0; step < 400; step++) {
        for (int i = 0; i < 997; i++) x[i] = (float)(-20 + 0.1 * step + 0.1 * i / 997);
        if (step == 0)
            for (int i = 0; i < 997; i++) x[i] = (float)((i % 2 ? 1 : -1) * ldexp(1, -i / 8));
        run(y, x, 997);
        for (int i = 0; i < 997; i++) worst = fmax(worst, fabs(y[i] - f(x[i])) / (absolute + relative * fabs(f(x[i]))));
    }
    print_message("%s: %s %.2f of its bound\n", kernels->isa, name, worst);
    assert_true(worst <= 1);
    float edges[4] = { INFINITY, -INFINITY, NAN, 0 };
    run(edges, edges, 4);
    assert_true(isnan(edges[2]));
    assert_true(edges[3] == (float)f(0));
}

static const sq_kernels *current;
static void gelu_slopes(float *y, const float *x, int64_t n)
{
    float ones[997];
    for (int64_t i = 0; i < n; i++) ones[i] = 1;
    current->gelu_backward(y, ones, x, n);
}

static void activations(void **state)
{
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        current = sq__kernels_for(isa);
        if (!current) continue;
        check_function("gelu", current, current->gelu, gelu, 1e-7, 3e-7);
        check_function("gelu slope", current, gelu_slopes, gelu_slope, 4e-7, 3e-7);
        check_function("tanh", current, current->tanh, tanh, 1e-45, 4e-7);
        check_function("sigmoid", current, current->sigmoid, sigmoid, 1e-37, 4e-7);
    }
}

static void activations_at_any_size(void **state)
{
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        if (!kernels) continue;
        for (int64_t n = 0; n < 70; n++) {
            float x[100], dy[100], y[4][100];
            for (int i = 0; i < 100; i++) {
                x[i] = 0.05f * (float)i - 1;
                dy[i] = (float)(i % 3);
                for (int j = 0; j < 4; j++) y[j][i] = -7;
            }
            kernels->gelu(y[0], x, n);
            kernels->gelu_backward(y[1], dy, x, n);
            kernels->tanh(y[2], x, n);
            kernels->sigmoid(y[3], x, n);
            for (int64_t i = 0; i < 100; i++) {
                assert_close(y[0][i], i < n ? gelu(x[i]) : -7, 1e-6);
                assert_close(y[1][i], i < n ? dy[i] * gelu_slope(x[i]) : -7, 2e-6);
                assert_close(y[2][i], i < n ? tanh(x[i]) : -7, 1e-6);
                assert_close(y[3][i], i < n ? sigmoid(x[i]) : -7, 1e-6);
            }
        }
    }
}

/* exp2 of a difference: the function's error, and that of rounding the difference; below 2^-126 results may be 0. */
static void assert_exp2(float got, double difference)
{
    const double e = exp2(difference);
    assert_close(got, e, e > 0 ? (2e-7 + ldexp(fabs(difference), -24)) * e + 1e-37 : 0);
}

/* Three tiles in a row give the softmax of all their rows; the last column is hidden throughout. */
static void check_tiles(const sq_kernels *kernels, int64_t rows, int64_t columns)
{
    enum { TILES = 3 };
    float max[96], sum[96], factor[96], delta[96];
    const int64_t count = TILES * rows * columns;
    float *s = draw(count, "s", 8), *p = draw(count, "s", 8), *dp = draw(count, "dp", 1), *ds = draw(count, "dp", 1);

    for (int64_t c = 0; c < columns; c++) {
        max[c] = -INFINITY;
        sum[c] = 0;
        delta[c] = 0.01f * (float)c;
    }
    for (int64_t r = 0; r < TILES * rows; r++) p[r * columns + columns - 1] = s[r * columns + columns - 1] = -INFINITY;
    for (int t = 0; t < TILES; t++) {
        float before[96];
        memcpy(before, max, sizeof before);
        const bool changed = kernels->softmax_tile(p + t * rows * columns, rows, columns, max, sum, factor);
        bool expected = false;
        for (int64_t c = 0; c < columns; c++) {
            const double shift = max[c] == -INFINITY ? 0 : max[c];
            assert_exp2(factor[c], before[c] - shift);
            expected |= factor[c] != 1;
            for (int64_t r = t * rows; r < (t + 1) * rows; r++) assert_exp2(p[r * columns + c], s[r * columns + c] - shift);
        }
        assert_int_equal(changed, expected);
    }
    for (int64_t c = 0; c < columns; c++) {
        double total = 0, top = -INFINITY;
        for (int64_t r = 0; r < TILES * rows; r++) top = fmax(top, s[r * columns + c]);
        for (int64_t r = 0; r < TILES * rows && top > -INFINITY; r++) total += exp2(s[r * columns + c] - top);
        assert_true(max[c] == (float)top);
        assert_close(sum[c], total, 1e-6 * total);
        max[c] = total > 0 ? (float)(top + log2(total)) : INFINITY;
    }
    memcpy(p, s, sizeof *p * (size_t)count);
    kernels->softmax_tile_backward(p, ds, TILES * rows, columns, max, NULL, delta, 0.25f);
    for (int64_t i = 0; i < count; i++) {
        const int64_t c = i % columns;
        assert_exp2(p[i], (double)s[i] - max[c]);
        assert_close(ds[i], p[i] * ((double)dp[i] - delta[c]) * 0.25, 4e-7 * fabs(p[i]) * (fabs(dp[i]) + delta[c]) + 1e-37);
    }
    sq__free(s);
    sq__free(p);
    sq__free(dp);
    sq__free(ds);
}

static void softmax_tiles(void **state)
{
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++)
        for (int64_t columns = 16; columns <= 96 && sq__kernels_for(isa); columns += 16) {
            check_tiles(sq__kernels_for(isa), 1, columns);
            check_tiles(sq__kernels_for(isa), 16, columns);
            check_tiles(sq__kernels_for(isa), 33, columns);
        }
}

static void softmax_tiles_pass_nan_on(void **state)
{
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        float s[4 * 16], max[16], sum[16] = { 0 }, factor[16];
        if (!kernels) continue;
        for (int i = 0; i < 64; i++) s[i] = i == 20 ? NAN : 1;
        for (int i = 0; i < 16; i++) max[i] = -INFINITY;
        kernels->softmax_tile(s, 4, 16, max, sum, factor);
        for (int i = 0; i < 16; i++) assert_true(i == 4 ? isnan(sum[i]) : sum[i] == 4);
    }
}

/* Scores near a maximum beside which the log-sum vanishes: apart, the two still give the exact quotient. */
static void softmax_tiles_keep_maximum_and_sum_apart(void **state)
{
    enum { HIGH = 5, WIDE = 80 };
    float max[WIDE], log_sum[WIDE], delta[WIDE], total[WIDE];
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++) {
        const sq_kernels *kernels = sq__kernels_for(isa);
        if (!kernels) continue;
        float *s = draw(HIGH * WIDE, "s", 1), *dp = draw(HIGH * WIDE, "dp", 1), *ds = draw(HIGH * WIDE, "dp", 1);
        for (int c = 0; c < WIDE; c++) max[c] = c == 3 ? INFINITY : -144269.5f, log_sum[c] = 1.5f, delta[c] = total[c] = 0.25f;
        for (int i = 0; i < HIGH * WIDE; i++) s[i] = i % 7 ? -144269.5f - (float)(i % 3) : -INFINITY;
        kernels->softmax_tile_delta(s, ds, HIGH, WIDE, max, log_sum, total);
        kernels->softmax_tile_backward(s, ds, HIGH, WIDE, max, log_sum, delta, 0.5f);
        for (int c = 0; c < WIDE; c++) {
            double sum = 0.25;
            for (int i = c; i < HIGH * WIDE; i += WIDE) {
                const double p = i % 7 && c != 3 ? exp2(-(i % 3) - 1.5) : 0;
                assert_close(s[i], p, 1e-6);
                assert_close(ds[i], 0.5 * p * (dp[i] - 0.25), 1e-6);
                sum += p * dp[i];
            }
            assert_close(total[c], sum, 2e-6);
        }
        sq__free(s);
        sq__free(dp);
        sq__free(ds);
    }
}

static void pairs_are_hidden(void **state)
{
    enum { COUNT = 37 };
    float s[COUNT + 1], t[COUNT + 1], addend[COUNT];
    int32_t low[COUNT], high[COUNT];
    (void)state;
    for (int isa = 0; isa < SQ_ISA_COUNT; isa++)
        for (int64_t n = 0; n <= COUNT && sq__kernels_for(isa); n += n < 5 ? 1 : 8) {
            for (int i = 0; i < COUNT; i++) low[i] = i - 10, high[i] = i, addend[i] = i % 4 ? (float)i : -INFINITY, s[i] = t[i] = i % 8 ? 1 : NAN;
            s[n] = t[n] = 7;
            sq__kernels_for(isa)->hide_outside(s, 12, low, high, n);
            sq__kernels_for(isa)->add_or_hide(t, addend, 2, n);
            for (int i = 0; i < n; i++) {
                assert_true(i > 12 && i <= 22 ? (i % 8 ? s[i] == 1 : isnan(s[i])) : s[i] == -INFINITY);
                assert_true(t[i] == (i % 4 ? 1 + 2 * (float)i : -INFINITY));
            }
            assert_true(s[n] == 7 && t[n] == 7);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(normalises), cmocka_unit_test(normalises_single_values), cmocka_unit_test(activations),
        cmocka_unit_test(activations_at_any_size), cmocka_unit_test(softmax_tiles), cmocka_unit_test(softmax_tiles_pass_nan_on),
        cmocka_unit_test(softmax_tiles_keep_maximum_and_sum_apart), cmocka_unit_test(pairs_are_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
