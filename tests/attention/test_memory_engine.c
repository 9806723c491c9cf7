/* Continuous memory, piece by piece: laws of the basis, the regression, densities, sticky draws and the gate. */
#include "attention/engine/memory.h"
#include "support/check.h"

static const sq_memory_basis basis = { 64, 0.01, 0.05, false };

/* ---- regression ---- */

/* What memory of a signal x (rows at (i+1)/L) reads at t. */
static double read_at(const double *B, double t)
{
    double psi[64], sum = 0;
    sq__memory_psi(&basis, &t, 1, psi);
    for (int j = 0; j < 64; j++) sum += B[j] * psi[j];
    return sum;
}

static void test_memory_of_a_constant_is_constant(void **state)
{
    enum { L = 256, M = 512 };
    double *first = malloc(sizeof(double) * L * 64), *update = malloc(sizeof(double) * (M + L) * 64), B[64] = { 0 }, next[64];
    sq_error error;
    (void)state;
    assert_ok(sq__memory_regression_first(&basis, L, 1, first, &error), &error);
    assert_ok(sq__memory_regression_update(&basis, L, M, 0.75, 1, update, &error), &error);
    for (int i = 0; i < L * 64; i++) B[i % 64] += first[i];
    for (double t = 0.1; t < 0.95; t += 0.05) assert_close(read_at(B, t), 1, 0.05);
    for (int segment = 1; segment < 100; segment++) {
        memset(next, 0, sizeof next);
        for (int m = 0; m < M; m++) {
            const double x = read_at(B, (double)(m + 1) / M);
            for (int j = 0; j < 64; j++) next[j] += update[m * 64 + j] * x;
        }
        for (int i = 0; i < L * 64; i++) next[i % 64] += update[M * 64 + i];
        memcpy(B, next, sizeof B);
    }
    double mean = 0;
    for (int i = 0; i < 100; i++) mean += read_at(B, 0.1 + 0.8 * i / 99) / 100;
    assert_close(mean, 1, 0.02);          /* no drift over a hundred updates; ripples at the seam */
    for (double t = 0.1; t < 0.95; t += 0.05) assert_close(read_at(B, t), 1, 0.25);
    free(first);
    free(update);
}

static void test_memory_follows_a_smooth_signal(void **state)
{
    enum { L = 300 };
    double *first = malloc(sizeof(double) * L * 64), B[64] = { 0 };
    sq_error error;
    (void)state;
    assert_ok(sq__memory_regression_first(&basis, L, 1e-3, first, &error), &error);
    for (int i = 0; i < L; i++)
        for (int j = 0; j < 64; j++) B[j] += first[i * 64 + j] * sin(6 * (i + 0.5) / L);
    for (double t = 0.1; t < 0.95; t += 0.03) assert_close(read_at(B, t), sin(6 * t), 0.03);
    free(first);
}

static void test_places_are_the_padded_grid(void **state)
{
    (void)state;
    for (int64_t L = 2; L < 40; L++) {
        double t[400];
        sq_memory_places places = { t, 0, 0 };
        const int64_t count = sq__memory_places_first(L, &places);
        assert_int_equal(count, L % 2 ? 2 * L - 1 : 2 * L);
        assert_int_equal(places.kept, L);
        assert_int_equal(places.first * 2 + L, count);
        for (int64_t i = 0; i < count; i++) assert_true((t[i] >= 0 && t[i] <= 1) == (i >= places.first && i < places.first + L));
        const int64_t M = 3 * L / 2, all = sq__memory_places_update(L, M, 0.6, &places);
        assert_int_equal(places.kept, M + L);
        assert_close(t[places.first + M - 1], 0.6, 1e-12);
        assert_close(t[places.first + M + L - 1], 1, 1e-12);
        for (int64_t i = 0; i < all; i++) {
            const bool own = i >= places.first && i < places.first + M + L;
            if (own) assert_true(t[i] > 0 && t[i] <= 1 + 1e-12);
            else assert_true(t[i] < 0 || t[i] > 1);
        }
    }
}

/* ---- densities ---- */

/* A basis function that is flat over the density is worth its height: the density's mass is 1. */
static void test_densities_have_mass_one(void **state)
{
    const sq_memory_basis flat = { 2, 100, 200, false };
    const double mu[] = { 0.1, 0.5, 0.9 }, sigma_sq[] = { 1e-4, 0.02, 0.5 };
    (void)state;
    for (int density = SQ_MEMORY_GAUSSIAN; density <= SQ_MEMORY_SPARSEMAX; density++) {
        float r[6];
        sq__memory_expect(&flat, density, mu, sigma_sq, 3, r, sq__kernels());
        for (int i = 0; i < 6; i++) assert_close(r[i] * sq__memory_width(&flat, i % 2) * sqrt(2 * M_PI), 1, 1e-4);
    }
}

/* A density that is narrow against the basis reads it at its mean. */
static void test_narrow_densities_read_at_their_mean(void **state)
{
    const double mu[] = { 0.03, 0.42, 0.77 }, sigma_sq[] = { 1e-11, 1e-11, 1e-11 };
    double psi[3 * 64];
    float r[3 * 64];
    (void)state;
    sq__memory_psi(&basis, mu, 3, psi);
    for (int density = SQ_MEMORY_GAUSSIAN; density <= SQ_MEMORY_SPARSEMAX; density++) {
        sq__memory_expect(&basis, density, mu, sigma_sq, 3, r, sq__kernels());
        for (int i = 0; i < 3 * 64; i++) assert_close(r[i], psi[i], density == SQ_MEMORY_GAUSSIAN ? 1e-4 : 0.01);
    }
}

static double along(sq_memory_density density, double mu, double sigma_sq, const float *dr)
{
    float r[64];
    double sum = 0;
    sq__memory_expect(&basis, density, &mu, &sigma_sq, 1, r, sq__kernels());
    for (int j = 0; j < 64; j++) sum += (double)r[j] * (double)dr[j];
    return sum;
}

static void test_density_gradient(void **state)
{
    (void)state;
    for (int density = SQ_MEMORY_GAUSSIAN; density <= SQ_MEMORY_SPARSEMAX; density++)
        for (double mu = 0.05; mu < 1; mu += 0.3)
            for (double sigma_sq = 0.002; sigma_sq < 1; sigma_sq *= 6) {
                float r[64], dr[64];
                double dmu, dsigma_sq;
                for (int j = 0; j < 64; j++) dr[j] = cosf((float)j * 0.2f);
                sq__memory_expect(&basis, density, &mu, &sigma_sq, 1, r, sq__kernels());
                sq__memory_expect_backward(&basis, density, &mu, &sigma_sq, 1, r, dr, &dmu, &dsigma_sq);
                const double step = 2e-4, wide = step * sigma_sq;
                const double by_mu = (along(density, mu + step, sigma_sq, dr) - along(density, mu - step, sigma_sq, dr)) / (2 * step);
                const double by_sigma = (along(density, mu, sigma_sq + wide, dr) - along(density, mu, sigma_sq - wide, dr)) / (2 * wide);
                assert_close(dmu, by_mu, 0.02 * (fabs(by_mu) + 1));
                assert_close(dsigma_sq * sigma_sq, by_sigma * sigma_sq, 0.02 * (fabs(by_sigma * sigma_sq) + 0.5));
            }
}

static void test_regulariser_is_the_divergence(void **state)
{
    const sq_memory_prior own = { 0.1, 0.3, true }, variance_only = { 0.1, 0.3, false };
    double dmu = 0, dsigma_sq = 0;
    (void)state;
    assert_close(sq__memory_kl(&own, 0.3, 0.01), 0, 1e-12);
    assert_close(sq__memory_kl(&variance_only, 0.9, 0.01), 0, 1e-12);
    assert_close(sq__memory_kl(&own, 0.4, 0.02), log(0.1 / sqrt(0.02)) + (0.02 + 0.01) / 0.02 - 0.5, 1e-12);
    sq__memory_kl_backward(&own, 0.4, 0.02, 3, &dmu, &dsigma_sq);
    assert_close(dmu, 3 * (sq__memory_kl(&own, 0.4 + 1e-6, 0.02) - sq__memory_kl(&own, 0.4 - 1e-6, 0.02)) / 2e-6, 1e-6);
    assert_close(dsigma_sq, 3 * (sq__memory_kl(&own, 0.4, 0.02 + 1e-7) - sq__memory_kl(&own, 0.4, 0.02 - 1e-7)) / 2e-7, 1e-5);
}

/* ---- sticky ---- */

static void test_histogram_has_the_mass_where_it_is(void **state)
{
    const double mu[] = { 0.5 + 0.5 / SQ_MEMORY_BINS, 0.25 }, sigma_sq[] = { 1e-8, 1 };
    double p[SQ_MEMORY_BINS] = { 0 }, sum = 0;
    (void)state;
    sq__memory_histogram(mu, sigma_sq, 1, p);
    assert_close(p[SQ_MEMORY_BINS / 2], 1, 1e-12);
    memset(p, 0, sizeof p);
    sq__memory_histogram(mu + 1, sigma_sq + 1, 1, p);
    for (int b = 0; b < SQ_MEMORY_BINS; b++) sum += p[b];
    assert_close(sum, 0.5 * (erf((1 + 1e-6 - 0.25) / sqrt(2)) - erf((-1e-6 - 0.25) / sqrt(2))), 1e-12);
    memset(p, 0, sizeof p);
    sq__memory_histogram_normalise(p);   /* nothing was added */
    assert_close(p[17], 1.0 / SQ_MEMORY_BINS, 1e-15);
}

static void test_draws_follow_the_histogram(void **state)
{
    enum { M = 100000 };
    const sq_random random = sq__random_stream(4, "test", 0), other = sq__random_stream(4, "test", 1);
    double p[SQ_MEMORY_BINS];
    int32_t counts[SQ_MEMORY_BINS], again[SQ_MEMORY_BINS];
    int64_t all = 0;
    (void)state;
    for (int b = 0; b < SQ_MEMORY_BINS; b++) p[b] = b % 4 == 1 ? 0 : b + 1;
    sq__memory_histogram_normalise(p);
    sq__memory_draw(p, &random, M, counts);
    for (int b = 0; b < SQ_MEMORY_BINS; b++) {
        all += counts[b];
        assert_close(counts[b], M * p[b], 5 * sqrt(M * p[b]) + 1e-9);
    }
    assert_int_equal(all, M);
    sq__memory_draw(p, &random, M, again);
    assert_memory_equal(counts, again, sizeof counts);
    sq__memory_draw(p, &other, M, again);
    assert_memory_not_equal(counts, again, sizeof counts);
}

/* The sum over bins is the sum over draws in ascending order. */
static void test_sticky_past_is_the_sampled_past(void **state)
{
    enum { N = 6, M = 9 };
    const sq_memory_basis small = { N, 0.1, 0.3, false };
    const int32_t bins[M] = { 3, 3, 10, 50, 50, 50, 90, 127, 127 };
    int32_t counts[SQ_MEMORY_BINS] = { 0 };
    float G[M * N], psi[SQ_MEMORY_BINS * N], past[N * N], scratch[SQ_MEMORY_BINS * N];
    double t[SQ_MEMORY_BINS], exact[SQ_MEMORY_BINS * N];
    (void)state;
    for (int m = 0; m < M; m++) counts[bins[m]]++;
    for (int i = 0; i < M * N; i++) G[i] = sinf((float)i);
    for (int b = 0; b < SQ_MEMORY_BINS; b++) t[b] = (double)b / SQ_MEMORY_BINS;
    sq__memory_psi(&small, t, SQ_MEMORY_BINS, exact);
    for (int i = 0; i < SQ_MEMORY_BINS * N; i++) psi[i] = (float)exact[i];
    sq__memory_sticky_past(counts, G, psi, N, past, scratch);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            double sum = 0;
            for (int m = 0; m < M; m++) sum += (double)G[m * N + i] * exact[bins[m] * N + j];
            assert_close(past[i * N + j], sum, 1e-5);
        }
}

/* ---- gate ---- */

static double gated(const double *x, const double *weight, const double *bias, int L, int e, int i, int o)
{
    double z = bias[o];
    for (int tap = 0; tap < 3; tap++)
        for (int c = 0; c < e; c++)
            if (i + tap >= 1 && i + tap <= L) z += weight[(o * e + c) * 3 + tap] * x[(i + tap - 1) * e + c];
    return x[i * e + o] / (1 + exp(-z));
}

static void test_gate(void **state)
{
    enum { L = 7, E = 4, ALL = L * E, W = E * E * 3 };
    double value[ALL + W + E], direction[ALL + W + E], expected[2] = { 0, 0 }, found = 0;
    float x[ALL + W + E], y[ALL], dy[ALL], d[ALL + W + E] = { 0 };
    float *scratch = malloc(sq__memory_gate_scratch(L, E) * sizeof *scratch);
    (void)state;
    for (int i = 0; i < ALL + W + E; i++) {
        x[i] = sinf(1 + (float)(i * i));
        direction[i] = cos(2 + i * 1.7);
    }
    for (int i = 0; i < ALL; i++) dy[i] = cosf((float)i);
    sq__memory_gate(L, E, x, x + ALL, x + ALL + W, y, scratch, sq__kernels());
    for (int i = 0; i < ALL + W + E; i++) value[i] = x[i];
    for (int i = 0; i < ALL; i++) assert_close(y[i], gated(value, value + ALL, value + ALL + W, L, E, i / E, i % E), 1e-6);
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < ALL + W + E; i++) value[i] = (double)x[i] + (side ? 1e-5 : -1e-5) * direction[i];
        for (int i = 0; i < ALL; i++) expected[side] += (double)dy[i] * gated(value, value + ALL, value + ALL + W, L, E, i / E, i % E);
    }
    sq__memory_gate_backward(L, E, x, x + ALL, x + ALL + W, dy, d, d + ALL, d + ALL + W, scratch, sq__kernels());
    for (int i = 0; i < ALL + W + E; i++) found += (double)d[i] * direction[i];
    assert_close(found, (expected[1] - expected[0]) / 2e-5, 1e-5);
    free(scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_of_a_constant_is_constant), cmocka_unit_test(test_memory_follows_a_smooth_signal),
        cmocka_unit_test(test_places_are_the_padded_grid), cmocka_unit_test(test_densities_have_mass_one),
        cmocka_unit_test(test_narrow_densities_read_at_their_mean), cmocka_unit_test(test_density_gradient),
        cmocka_unit_test(test_regulariser_is_the_divergence), cmocka_unit_test(test_histogram_has_the_mass_where_it_is),
        cmocka_unit_test(test_draws_follow_the_histogram), cmocka_unit_test(test_sticky_past_is_the_sampled_past), cmocka_unit_test(test_gate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
