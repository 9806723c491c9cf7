/* Each optimiser against its formula in double, written here from the papers and manuals, not from the code. */
#include "support/check.h"

#include "base/random.h"
#include "train/optimizer.h"

enum { N = 24, STEPS = 7 };
static float p[N], g[N], m[N], v[N], largest[N], row[6], column[8], update[N];
static double P[N], M[N], V[N], L[N];

static void start(uint64_t seed)
{
    sq_random draw = sq__random_stream(seed, "optimizer", 0);
    sq__random_normal_fill(&draw, p, N, 1);
    for (int i = 0; i < N; i++) {
        P[i] = p[i];
        M[i] = V[i] = L[i] = 0;
        m[i] = v[i] = largest[i] = 0;
    }
}

static void new_gradient(uint64_t seed, int t)
{
    sq_random draw = sq__random_stream(seed, "gradient", (uint64_t)t);
    sq__random_normal_fill(&draw, g, N, 0.5f);
}

static void assert_equal_arrays(const float *x, const double *X, int n, double bound)
{
    for (int i = 0; i < n; i++) assert_close(x[i], X[i], bound * fmax(1, fabs(X[i])));
}

static void adam(void **state)
{
    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        const sq_adam options = { 0.01, 0.9, variant == 3 ? 0.9 : 0.99, 1e-6, 0.1, variant % 2 == 0 };
        const bool amsgrad = variant >= 2;
        start(1);
        for (int t = 1; t <= STEPS; t++) {
            new_gradient(1, t);
            if (t > 3)
                for (int i = 0; i < N; i++) g[i] *= 0.01f;   /* v falls, so that the running maximum matters */
            sq__adam_step(&options, t, N, p, g, m, v, amsgrad ? largest : NULL);
            for (int i = 0; i < N; i++) {
                double G = g[i];
                if (options.decoupled) P[i] -= options.learning_rate * options.weight_decay * P[i];
                else G += options.weight_decay * P[i];
                M[i] = options.beta1 * M[i] + (1 - options.beta1) * G;
                V[i] = options.beta2 * V[i] + (1 - options.beta2) * G * G;
                L[i] = fmax(L[i], V[i]);
                double mean = M[i] / (1 - pow(options.beta1, t)), square = (amsgrad ? L[i] : V[i]) / (1 - pow(options.beta2, t));
                P[i] -= options.learning_rate * mean / (sqrt(square) + options.epsilon);
            }
            assert_equal_arrays(p, P, N, 2e-6);
            assert_equal_arrays(m, M, N, 1e-6);
            assert_equal_arrays(v, V, N, 1e-6);
        }
    }
}

static void hf_adamw(void **state)
{
    (void)state;
    for (int correct = 0; correct < 2; correct++) {
        const sq_adam options = { 0.01, 0.9, 0.999, 1e-3, 0.1, true };
        start(2);
        for (int t = 1; t <= STEPS; t++) {
            new_gradient(2, t);
            sq__hf_adamw_step(&options, correct, t, N, p, g, m, v);
            for (int i = 0; i < N; i++) {
                M[i] = 0.9 * M[i] + 0.1 * g[i];
                V[i] = 0.999 * V[i] + 0.001 * g[i] * g[i];
                double rate = 0.01;
                if (correct) rate *= sqrt(1 - pow(0.999, t)) / (1 - pow(0.9, t));
                P[i] -= rate * M[i] / (sqrt(V[i]) + 1e-3);
                P[i] -= 0.01 * 0.1 * P[i];
            }
            assert_equal_arrays(p, P, N, 2e-6);
        }
    }
}

static double norm(const double *x)
{
    double sum = 0;
    for (int i = 0; i < N; i++) sum += x[i] * x[i];
    return sqrt(sum);
}

static void lamb(void **state)
{
    (void)state;
    for (int variant = 0; variant < 3; variant++) {
        const sq_lamb options = { 0.01, 0.9, 0.99, 1e-6, 0.1, variant == 1 ? 2 : 10, variant == 1 };
        start(3);
        if (variant == 2)
            for (int i = 0; i < N; i++) P[i] = p[i] = 0;   /* no norm: ratio 1 */
        for (int t = 1; t <= STEPS; t++) {
            double U[N], ratio;
            new_gradient(3, t);
            sq_lamb_norms norms = sq__lamb_step(&options, t, N, p, g, m, v);
            for (int i = 0; i < N; i++) {
                M[i] = 0.9 * M[i] + 0.1 * g[i];
                V[i] = 0.99 * V[i] + 0.01 * g[i] * g[i];
                U[i] = M[i] / (sqrt(V[i]) + 1e-6) + 0.1 * P[i];
            }
            ratio = fmin(norm(P), options.clamp) / norm(U);
            if (norm(P) == 0) ratio = 1;
            assert_close(norms.ratio, ratio, 1e-5 * ratio);
            assert_close(norms.update, norm(U), 1e-5 * norm(U));
            assert_close(norms.weight, fmin(norm(P), options.clamp), 1e-5);
            double rate = 0.01 * ratio * (options.debias ? sqrt(1 - pow(0.99, t)) / (1 - pow(0.9, t)) : 1);
            for (int i = 0; i < N; i++) P[i] -= rate * U[i];
            assert_equal_arrays(p, P, N, 4e-6);
        }
    }
}

/* Matrices [2, 3, 4] (row [2, 3], column [2, 4]) or one vector [24]. */
static void adafactor(void **state)
{
    (void)state;
    const int64_t cube[] = { 2, 3, 4 }, line[] = { N };
    for (int variant = 0; variant < 4; variant++) {
        const bool factored = variant % 2 == 0, relative = variant < 2;
        const sq_adafactor options = { 0.01, 1e-30, 1e-3, 1.0, -0.8, relative ? 0 : 0.9, relative ? 0 : 0.01, relative, relative, false };
        double R[6] = { 0 }, C[8] = { 0 };
        start(4);
        memset(row, 0, sizeof row);
        memset(column, 0, sizeof column);
        for (int t = 1; t <= STEPS; t++) {
            new_gradient(4, t);
            sq__adafactor_step(&options, t, factored ? 3 : 1, factored ? cube : line, p, g, row, column, v, relative ? NULL : m, update);
            double U[N], decay = 1 - pow(t, -0.8), square = 0, weight = norm(P) / sqrt(N);
            for (int i = 0; i < 6 && factored; i++) {
                double mean = 0;
                for (int c = 0; c < 4; c++) mean += (double)g[i * 4 + c] * g[i * 4 + c] / 4;
                R[i] = decay * R[i] + (1 - decay) * mean;
            }
            for (int i = 0; i < 8 && factored; i++) {
                double mean = 0;
                for (int r = 0; r < 3; r++) mean += pow(g[i / 4 * 12 + r * 4 + i % 4], 2) / 3;
                C[i] = decay * C[i] + (1 - decay) * mean;
            }
            for (int i = 0; i < N; i++) {
                int k = i / 12, r = i / 4;
                V[i] = decay * V[i] + (1 - decay) * (double)g[i] * g[i];
                double mean = (R[k * 3] + R[k * 3 + 1] + R[k * 3 + 2]) / 3;
                U[i] = g[i] / sqrt(factored ? R[r] / mean * C[k * 4 + i % 4] : V[i]);
                square += U[i] * U[i] / N;
            }
            double rate = relative ? fmin(1e-2, 1 / sqrt(t)) * fmax(1e-3, weight) : 0.01;
            for (int i = 0; i < N; i++) {
                double change = rate * U[i] / fmax(1, sqrt(square));
                if (!relative) change = M[i] = 0.9 * M[i] + 0.1 * change;
                P[i] -= options.weight_decay * rate * P[i];
                P[i] -= change;
            }
            assert_equal_arrays(p, P, N, 2e-6);
            if (factored) assert_equal_arrays(row, R, 6, 1e-6);
            if (factored) assert_equal_arrays(column, C, 8, 1e-6);
        }
    }
}

static void sgd(void **state)
{
    (void)state;
    for (int nesterov = 0; nesterov < 2; nesterov++) {
        const sq_sgd options = { 0.05, 0.9, 0.01, nesterov };
        start(5);
        for (int t = 1; t <= STEPS; t++) {
            new_gradient(5, t);
            sq__sgd_step(&options, t, N, p, g, m);
            for (int i = 0; i < N; i++) {
                double G = g[i] + 0.01 * P[i];
                M[i] = t == 1 ? G : 0.9 * M[i] + G;
                P[i] -= 0.05 * (nesterov ? G + 0.9 * M[i] : M[i]);
            }
            assert_equal_arrays(p, P, N, 2e-6);
        }
    }
}

static void clipping(void **state)
{
    (void)state;
    start(6);
    for (int n = 0; n <= N; n++) {
        double sum = 0;
        for (int i = 0; i < n; i++) sum += (double)p[i] * p[i];
        assert_close(sq__sum_of_squares(p, n), sum, 1e-14 * sum);
    }
    assert_close(sq__clip_factor(4, 1), 1 / (4 + 1e-6), 1e-15);
    assert_close(sq__clip_factor(0.5, 1), 1, 0);
    assert_close(sq__clip_factor(0, 1), 1, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(adam), cmocka_unit_test(hf_adamw), cmocka_unit_test(lamb),
                                        cmocka_unit_test(adafactor), cmocka_unit_test(sgd), cmocka_unit_test(clipping) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
