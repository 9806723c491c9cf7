/* Operations on a continuous memory: reading against its formula in double (densities integrated numerically), both against differences. */
#include "autograd/continuous.h"
#include "autograd/ops.h"
#include "gradient.h"

/* Measured worst: 4e-4, of the bias of the mean, a single number whose derivative is a sum that nearly cancels; the rest stays below 2e-4. A wrong
 * element changes the figure by at least 1/sqrt(elements), 1e-2 here. */
#define BOUND 1e-3

enum { B = 2, T = 5, H = 2, D = 3, N = 6, E = H * D };
static const int64_t counts[B] = { 5, 3 };

typedef struct read_case { const char *name; sq_memory_basis basis; sq_memory_density density; sq_memory_prior prior; bool biases; } read_case;
static const read_case cases[] = {
    { "gaussian", { N, 0.1, 0.3, false }, SQ_MEMORY_GAUSSIAN, { 0.5, 0, false }, true },
    { "gaussian, no biases", { N, 0.2, 0.4, false }, SQ_MEMORY_GAUSSIAN, { 0.7, 0.5, true }, false },
    { "sparsemax", { N, 0.1, 0.3, false }, SQ_MEMORY_SPARSEMAX, { 0.5, 0.4, true }, true },
    { "rectangular", { N, 0, 0, true }, SQ_MEMORY_GAUSSIAN, { 0.5, 0, false }, true },
    { "rectangular, sparsemax", { N, 0, 0, true }, SQ_MEMORY_SPARSEMAX, { 0.5, 0, false }, true },
};
enum { CASES = sizeof cases / sizeof *cases };

static const read_case *current;

static sq_var *read_memory(sq_tape *tape, sq_var *const *in)
{
    sq_var *kl = NULL;
    const sq_continuous_inputs inputs = { .q = in[0], .kv = in[1], .w_mu = in[2], .w_sigma = in[3], .b_mu = current->biases ? in[4] : NULL,
                                          .b_sigma = current->biases ? in[5] : NULL, .heads = H, .basis = current->basis, .density = current->density,
                                          .sigma_min = 1e-6, .prior = current->prior, .counts = counts, .kl = &kl };
    sq_var *out = sq__continuous_read(tape, &inputs);
    return out ? sq__concatenate(tape, (sq_var *[]){ sq__reshape(tape, out, 1, (int64_t[]){ out->count }), sq__scale(tape, kl, 1.0f / 16) }, 2) : NULL;
}

static gradient_case gradient_of(const read_case *c)
{
    current = c;
    /* With variances of about 0.03 the means matter: what they change is well above the rounding of the outputs. Not so small where a density's
     * end that passes the edge of a box would be a kink. */
    const float low = c->basis.rectangular ? -1 : -4;
    return (gradient_case){ .name = c->name, .inputs = c->biases ? 6 : 4, .build = read_memory,
                            .input = { { 3, { B, T, E } }, { 3, { B, N, 2 * E } }, { 1, { N } }, { 1, { N } }, { 1, { 1 } }, { 1, { 1 }, low, low + 1 } } };
}

/* int p psi_j by many steps. */
static double naive_expectation(const read_case *c, double mu, double variance, int64_t j)
{
    enum { STEPS = 40000 };
    const double reach = c->density == SQ_MEMORY_SPARSEMAX ? cbrt(1.5 * variance) : 9 * sqrt(variance);
    const double low = c->basis.rectangular ? fmax(mu - reach, (double)j / N) : mu - reach, high = c->basis.rectangular ? fmin(mu + reach, (j + 1.0) / N) : mu + reach;
    double sum = 0;
    for (int i = 0; i < STEPS && low < high; i++) {
        const double t = low + (high - low) * (i + 0.5) / STEPS, x = t - mu;
        const double p = c->density == SQ_MEMORY_SPARSEMAX ? (reach * reach - x * x) / (2 * variance) : exp(-x * x / (2 * variance)) / sqrt(2 * M_PI * variance);
        const double s = j % 2 ? c->basis.wide : c->basis.narrow, u = (t - (double)(j / 2) / (N / 2 - 1)) / s;
        const double psi = c->basis.rectangular ? N : exp(-u * u / 2) / sqrt(2 * M_PI) / s;
        sum += p * psi * (high - low) / STEPS;
    }
    return sum;
}

static void reading_is_its_formula(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const read_case *c = &cases[i];
        const gradient_case g = gradient_of(c);
        operands o = { .g = NULL };
        double expected[B * T * E + 1] = { 0 }, worst = 0;
        for (int n = 0; n < g.inputs; n++) {
            o.count[n] = 1;
            for (int axis = 0; axis < g.input[n].rank; axis++) o.count[n] *= g.input[n].shape[axis];
            o.value[n] = draw_floats("continuous", (uint64_t)n, o.count[n], n == 5 ? g.input[5].low : -1, n == 5 ? g.input[5].high : 1);
        }
        for (int64_t b = 0; b < B; b++)
            for (int64_t t = 0; t < counts[b]; t++)
                for (int64_t h = 0; h < H; h++) {
                    double z[2] = { c->biases ? o.value[4][0] : 0, c->biases ? o.value[5][0] : 0 };
                    for (int64_t j = 0; j < N; j++)
                        for (int64_t d = 0; d < D; d++)
                            for (int k = 0; k < 2; k++)
                                z[k] += o.value[0][(b * T + t) * E + h * D + d] * o.value[1][(b * N + j) * 2 * E + h * D + d] / sqrt(D) * o.value[2 + k][j];
                    const double mu = 1 / (1 + exp(-z[0])), variance = log1p(exp(z[1]));
                    const double sigma0 = c->prior.sigma0, mean = c->prior.mean ? c->prior.mu0 : mu;
                    expected[B * T * E] += 1.0 / 32 * ((variance + (mu - mean) * (mu - mean)) / (sigma0 * sigma0) - 1 - log(variance / (sigma0 * sigma0)));
                    for (int64_t j = 0; j < N; j++) {
                        const double r = naive_expectation(c, mu, variance, j);
                        for (int64_t d = 0; d < D; d++) expected[(b * T + t) * E + h * D + d] += r * o.value[1][(b * N + j) * 2 * E + E + h * D + d];
                    }
                }
        sq_tape *tape = sq__tape_create(false);
        const sq_var *out = build_case(&g, tape, &o);
        for (int64_t n = 0; n < out->count; n++) worst = fmax(worst, fabs(out->value[n] - expected[n]) / (1 + fabs(expected[n])));
        print_message("%-24s %.2g off\n", c->name, worst);
        assert_true(worst <= 2e-6);
        for (int n = 0; n < g.inputs; n++) free(o.value[n]);
        sq__tape_destroy(tape);
    }
}

static void reading_has_its_gradient(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const gradient_case g = gradient_of(&cases[i]);
        const double error = check_gradient(&g);
        print_message("%-24s gradient %.2g off\n", g.name, error);
        assert_true(error <= BOUND);
    }
}

/* Coefficients made outside of the tape depend on the rows through the maps; the second entry's are constants. */
static float map[4 * N], coefficients[B * N * 3];

static sq_var *write_memory(sq_tape *tape, sq_var *const *in)
{
    static const float *const maps[B] = { map, NULL };
    for (int i = 0; i < 4 * N; i++) map[i] = (float)((i * 7) % 11) / 11 - 0.5f;
    for (int i = 0; i < B * N * 3; i++) coefficients[i] = (float)i / 50;
    for (int64_t j = 0; j < N; j++)
        for (int64_t e = 0; e < 3; e++)
            for (int64_t l = 0; l < 4; l++) coefficients[j * 3 + e] += map[l * N + j] * in[0]->value[l * 3 + e];
    sq_var *written = sq__continuous_written(tape, in[0], coefficients, N, maps);
    return sq__multiply(tape, written, in[1]);
}

static void writing_has_its_gradient(void **state)
{
    (void)state;
    const gradient_case g = { .name = "continuous_written", .inputs = 2, .input = { { 3, { B, 4, 3 } }, { 3, { B, N, 3 } } }, .build = write_memory };
    assert_true(check_gradient(&g) <= BOUND);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_is_its_formula),
        cmocka_unit_test(reading_has_its_gradient),
        cmocka_unit_test(writing_has_its_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
