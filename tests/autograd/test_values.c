/* Forward values of operations against their formulas in double. Bounds are a few float32 roundings (6e-8) of the largest term. */
#include "autograd/ops.h"
#include "support/check.h"

static float *draw(const char *purpose, int64_t count, float low, float high)
{
    sq_random random = sq__random_stream(21, purpose, 0);
    float *out = malloc((size_t)count * sizeof *out);
    sq__random_uniform_fill(&random, out, count, low, high);
    return out;
}

static sq_tape *tape;

static int make_tape(void **state)
{
    (void)state;
    tape = sq__tape_create(false);
    return tape ? 0 : -1;
}

static int drop_tape(void **state)
{
    (void)state;
    sq__tape_destroy(tape);
    return 0;
}

static sq_var *input(const float *value, int rank, int64_t a, int64_t b, int64_t c)
{
    return sq__tape_input(tape, rank, (int64_t[]){ a, b, c }, value, false);
}

static double logistic(double x) { return 1 / (1 + exp(-x)); }
static double softplus(double x) { return log1p(exp(x)); }

static double activation_value(sq_activation activation, double x)
{
    switch (activation) {
    case SQ_IDENTITY: return x;
    case SQ_RELU: return fmax(x, 0);
    case SQ_GELU: return x * 0.5 * (1 + erf(x / sqrt(2)));
    case SQ_GELU_TANH: return 0.5 * x * (1 + tanh(sqrt(2 / M_PI) * (x + 0.044715 * x * x * x)));
    case SQ_QUICK_GELU: return x * logistic(1.702 * x);
    case SQ_SIGMOID: return logistic(x);
    case SQ_TANH: return tanh(x);
    case SQ_SILU: return x * logistic(x);
    case SQ_ELU: return x > 0 ? x : exp(x) - 1;
    case SQ_SOFTPLUS: return softplus(x);
    case SQ_LEAKY_RELU: return x > 0 ? x : 0.01 * x;
    case SQ_ELU_PLUS_ONE: return x > 0 ? x + 1 : exp(x);
    case SQ_MISH: return x * tanh(softplus(x));
    case SQ_SOFTSIGN: return x / (1 + fabs(x));
    case SQ_HARDSWISH: return x * fmin(fmax(x + 3, 0), 6) / 6;
    case SQ_ACTIVATION_COUNT: break;
    }
    return NAN;
}

static void activations(void **state)
{
    (void)state;
    enum { COUNT = 61 };
    float x[COUNT];
    for (int i = 0; i < COUNT; i++) x[i] = (float)(i - 30);   /* -30 ... 30, 0 among them */
    for (int k = 0; k < SQ_ACTIVATION_COUNT; k++) {
        sq__tape_reset(tape);
        const sq_var *y = sq__activate(tape, input(x, 1, COUNT, 0, 0), (sq_activation)k);
        assert_non_null(y);
        for (int i = 0; i < COUNT; i++) {
            double expected = activation_value((sq_activation)k, x[i]);
            if (!(fabs(y->value[i] - expected) <= 3e-7 * (1 + fabs(expected))))
                fail_msg("%s(%g) is %.9g; expected %.9g", sq__activation_name((sq_activation)k), (double)x[i], (double)y->value[i], expected);
        }
    }
}

static void softmax_of_large_and_small(void **state)
{
    (void)state;
    const float x[8] = { 1000, 999, -1000, 1000.5f, -3, -3, -INFINITY, -2 };
    const sq_var *p = sq__softmax(tape, input(x, 2, 2, 4, 0)), *l = sq__log_softmax(tape, input(x, 2, 2, 4, 0));
    for (int row = 0; row < 2; row++) {
        double sum = 0;
        for (int i = 0; i < 4; i++) sum += exp((double)x[4 * row + i] - (row ? -2 : 1000.5));
        for (int i = 0; i < 4; i++) {
            double expected = (double)x[4 * row + i] - (row ? -2 : 1000.5) - log(sum);
            assert_close(p->value[4 * row + i], exp(expected), 2e-7);
            if (isfinite(expected)) assert_close(l->value[4 * row + i], expected, 3e-7 * (1 + fabs(expected)));
            else assert_true(l->value[4 * row + i] == expected);
        }
    }
}

static void norms(void **state)
{
    (void)state;
    enum { B = 3, C = 6, L = 5 };
    float *x = draw("norms", B * C * L, 99, 101), *w = draw("weight", C * L, -1, 1), *b = draw("bias", C * L, -1, 1);
    const sq_var *layer = sq__layer_norm(tape, input(x, 2, B, C * L, 0), input(w, 1, C * L, 0, 0), input(b, 1, C * L, 0, 0), 1e-5f);
    const sq_var *rms = sq__rms_norm(tape, input(x, 2, B, C * L, 0), input(w, 1, C * L, 0, 0), 1e-6f);
    const sq_var *group = sq__group_norm(tape, input(x, 3, B, C, L), input(w, 1, C, 0, 0), input(b, 1, C, 0, 0), 2, 1e-5f);
    for (int s = 0; s < B; s++) {
        const float *row = x + s * C * L;
        double mean = 0, square = 0, centred = 0;
        for (int i = 0; i < C * L; i++) mean += row[i] / (double)(C * L);
        for (int i = 0; i < C * L; i++) centred += (row[i] - mean) * (row[i] - mean) / (C * L);
        for (int i = 0; i < C * L; i++) square += (double)row[i] * row[i] / (C * L);
        for (int i = 0; i < C * L; i++) {
            /* the mean, 100, is rounded to float32: 4e-6 of a spread of 0.6 */
            assert_close(layer->value[s * C * L + i], (row[i] - mean) / sqrt(centred + 1e-5) * w[i] + b[i], 1e-5);
            assert_close(rms->value[s * C * L + i], row[i] / sqrt(square + 1e-6) * w[i], 3e-7);
        }
        for (int g = 0; g < 2; g++) {
            const float *unit = row + g * C * L / 2;
            mean = centred = 0;
            for (int i = 0; i < C * L / 2; i++) mean += unit[i] / (C * L / 2.0);
            for (int i = 0; i < C * L / 2; i++) centred += (unit[i] - mean) * (unit[i] - mean) / (C * L / 2.0);
            for (int i = 0; i < C * L / 2; i++) {
                const int channel = g * C / 2 + i / L;
                assert_close(group->value[s * C * L + g * C * L / 2 + i], (unit[i] - mean) / sqrt(centred + 1e-5) * w[channel] + b[channel], 1e-5);
            }
        }
    }
    free(x);
    free(w);
    free(b);
}

static void linear_layers(void **state)
{
    (void)state;
    enum { R = 67, I = 5, O = 3, F = 9 };
    float *x = draw("x", R * I, -1, 1), *w1 = draw("w1", F * I, -1, 1), *b1 = draw("b1", F, -1, 1), *w2 = draw("w2", O * F, -1, 1),
          *b2 = draw("b2", O, -1, 1);
    float *r = draw("r", R * O, -1, 1);
    const sq_var *hidden = sq__linear(tape, input(x, 2, R, I, 0), input(w1, 2, F, I, 0), input(b1, 1, F, 0, 0));
    const sq_var *out = sq__feed_forward(tape, &(sq_feed_forward_inputs){ input(x, 2, R, I, 0), input(w1, 2, F, I, 0), input(b1, 1, F, 0, 0),
                                         input(w2, 2, O, F, 0), input(b2, 1, O, 0, 0), input(r, 2, R, O, 0), 0 }, SQ_GELU, 0);
    for (int row = 0; row < R; row++) {
        double h[F];
        for (int f = 0; f < F; f++) {
            h[f] = b1[f];
            for (int i = 0; i < I; i++) h[f] += (double)x[row * I + i] * w1[f * I + i];
            assert_close(hidden->value[row * F + f], h[f], 1e-6);
        }
        for (int o = 0; o < O; o++) {
            double y = (double)b2[o] + r[row * O + o];
            for (int f = 0; f < F; f++) y += activation_value(SQ_GELU, h[f]) * w2[o * F + f];
            assert_close(out->value[row * O + o], y, 2e-6);
        }
    }
    free(x);
    free(w1);
    free(b1);
    free(w2);
    free(b2);
    free(r);
}

static void losses(void **state)
{
    (void)state;
    enum { R = 4, V = 5 };
    float *x = draw("logits", R * V, -3, 3), *t = draw("targets", R * V, 0, 1);
    const int32_t y[R] = { 3, -100, 0, 4 };
    const float w[V] = { 0.5f, 1, 2, 3, 0.25f };
    const double e = 0.1;
    double plain = 0, weighted = 0, weights = 0, divergence = 0;
    double mse = 0, l1 = 0, smooth = 0, huber = 0, bce = 0;
    for (int row = 0; row < R; row++) {
        double sum = 0, spread = 0, p[V];
        for (int v = 0; v < V; v++) sum += exp(x[row * V + v]);
        for (int v = 0; v < V; v++) p[v] = exp(x[row * V + v]) / sum;
        for (int v = 0; v < V; v++) spread -= w[v] * log(p[v]);
        for (int v = 0; v < V; v++) {
            const double d = (double)x[row * V + v] - t[row * V + v], a = fabs(d), s = logistic(x[row * V + v]);
            mse += d * d / (R * V);
            l1 += a;
            smooth += (a < 0.5 ? d * d : a - 0.25) / (R * V);
            huber += a < 0.5 ? d * d / 2 : 0.5 * (a - 0.25);
            bce -= (t[row * V + v] * log(s) + (1 - t[row * V + v]) * log(1 - s)) / (R * V);
        }
        if (y[row] < 0) continue;
        plain -= log(p[y[row]]);
        weighted += (1 - e) * w[y[row]] * -log(p[y[row]]) + e / V * spread;
        weights += w[y[row]];
        for (int v = 1; v < V && y[row] != 0; v++) {   /* padding class 0 */
            const double q = v == y[row] ? 1 - e : e / (V - 2);
            divergence += q * (log(q) - log(p[v]));
        }
    }
    const int32_t padded[R] = { 3, 0, 0, 4 };
    sq_var *in = input(x, 2, R, V, 0);
    assert_close(sq__cross_entropy(tape, in, y, &(sq_cross_entropy){ .ignore = -100, .sum = true })->value[0], plain, 1e-6);
    assert_close(
        sq__cross_entropy(tape, in, y, &(sq_cross_entropy){ .label_smoothing = 0.1f, .class_weights = w, .ignore = -100 })->value[0],
        weighted / weights, 1e-6);
    assert_close(sq__smoothed_divergence(tape, in, padded, 0.1f, 0)->value[0], divergence, 1e-6);
    assert_close(sq__regression(tape, in, t, SQ_MSE, 0, false)->value[0], mse, 1e-6);
    assert_close(sq__regression(tape, in, t, SQ_L1, 0, true)->value[0], l1, 3e-6);
    assert_close(sq__regression(tape, in, t, SQ_SMOOTH_L1, 0.5f, false)->value[0], smooth, 1e-6);
    assert_close(sq__regression(tape, in, t, SQ_HUBER, 0.5f, true)->value[0], huber, 1e-6);
    assert_close(sq__regression(tape, in, t, SQ_BCE_WITH_LOGITS, 0, false)->value[0], bce, 1e-6);
    const int32_t none[R] = { -100, -100, -100, -100 };
    assert_true(sq__cross_entropy(tape, in, none, &(sq_cross_entropy){ .ignore = -100 })->value[0] == 0);
    free(x);
    free(t);
}

static void shapes_and_pooling(void **state)
{
    (void)state;
    const float x[12] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12 };
    const int32_t lengths[2] = { 2, 0 };
    sq_var *in = input(x, 3, 2, 3, 2);
    const sq_var *mean = sq__pool(tape, in, lengths, SQ_POOL_MEAN), *last = sq__pool(tape, in, lengths, SQ_POOL_LAST);
    const sq_var *class = sq__pool(tape, in, NULL, SQ_POOL_CLASS), *most = sq__pool(tape, in, NULL, SQ_POOL_MAX);
    assert_memory_equal(mean->value, ((const float[]){ 2, 3, 0, 0 }), 4 * sizeof(float));
    assert_memory_equal(last->value, ((const float[]){ 3, 4, 0, 0 }), 4 * sizeof(float));
    assert_memory_equal(class->value, ((const float[]){ 1, 2, 7, 8 }), 4 * sizeof(float));
    assert_memory_equal(most->value, ((const float[]){ 5, 6, 11, 12 }), 4 * sizeof(float));

    const float token[2] = { -1, -2 };
    const sq_var *longer = sq__prepend(tape, input(token, 1, 2, 0, 0), in);
    assert_int_equal(longer->shape[1], 4);
    assert_memory_equal(longer->value, ((const float[]){ -1, -2, 1, 2, 3, 4, 5, 6, -1, -2, 7, 8, 9, 10, 11, 12 }), 16 * sizeof(float));
    const sq_var *turned = sq__transpose(tape, in);
    assert_memory_equal(turned->value, ((const float[]){ 1, 2, 7, 8, 3, 4, 9, 10, 5, 6, 11, 12 }), 12 * sizeof(float));
    const sq_var *part = sq__slice(tape, in, 1, 1);
    assert_memory_equal(part->value, ((const float[]){ 2, 4, 6, 8, 10, 12 }), 6 * sizeof(float));
    const sq_var *joined = sq__concatenate(tape, (sq_var *[]){ sq__slice(tape, in, 1, 1), in }, 2);
    assert_memory_equal(joined->value, ((const float[]){ 2, 1, 2, 4, 3, 4, 6, 5, 6, 8, 7, 8, 10, 9, 10, 12, 11, 12 }), 18 * sizeof(float));

    const float table[6] = { 1, 2, 10, 20, 100, 200 };
    const int32_t first[3] = { 0, 2, -1 }, second[3] = { 1, -1, -1 };
    sq_var *words = input(table, 2, 3, 2, 0);
    const sq_var *sum = sq__embedding_sum(tape, (sq_var *[]){ words, words }, (const int32_t *[]){ first, second }, 2, 1, (int64_t[]){ 3 });
    assert_memory_equal(sum->value, ((const float[]){ 11, 22, 100, 200, 0, 0 }), 6 * sizeof(float));
}

/* Dropout keeps the expected part, scales it, and draws the same for the same (seed, step, place). */
static void dropout(void **state)
{
    (void)state;
    enum { COUNT = 100000 };
    float *x = malloc(COUNT * sizeof *x), *first = malloc(COUNT * sizeof *first);
    for (int i = 0; i < COUNT; i++) x[i] = 2;
    sq_var *in = input(x, 1, COUNT, 0, 0);
    assert_ptr_equal(sq__dropout(tape, in, 0.25f), in);   /* not training */
    sq__tape_mode(tape, true, 9, 4);
    const sq_var *y = sq__dropout(tape, in, 0.25f);
    int kept = 0;
    for (int i = 0; i < COUNT; i++) {
        kept += y->value[i] != 0;
        assert_true(y->value[i] == 0 || y->value[i] == 2 / 0.75f);
    }
    assert_close(kept / (double)COUNT, 0.75, 5 * sqrt(0.25 * 0.75 / COUNT));
    memcpy(first, y->value, COUNT * sizeof *first);
    assert_memory_not_equal(sq__dropout(tape, in, 0.25f)->value, first, COUNT * sizeof *first);   /* another place */
    sq__tape_reset(tape);
    in = input(x, 1, COUNT, 0, 0);
    assert_memory_equal(sq__dropout(tape, in, 0.25f)->value, first, COUNT * sizeof *first);
    free(x);
    free(first);
}

/* Against the formula, and its point: the product of two turned rows depends on their distance alone. */
static void rotary(void **state)
{
    (void)state;
    enum { T = 70000, D = 5, W = 7 };
    static float x[T * W];
    float *row = draw("rotary", W, -1, 1);
    for (int64_t t = 0; t < T; t++) memcpy(x + t * W, row, W * sizeof *x);
    const float *y = sq__rotary(tape, input(x, 3, 1, T, W), 1, D)->value;
    for (int64_t t = 0; t < T; t += 997) {
        for (int i = 0; i < D / 2; i++) {
            const double a = (double)t * pow(10000, -2.0 * i / D), c = cos(a), s = sin(a);
            assert_close(y[t * W + 2 * i], row[2 * i] * c - row[2 * i + 1] * s, 5e-7);
            assert_close(y[t * W + 2 * i + 1], row[2 * i] * s + row[2 * i + 1] * c, 5e-7);
        }
        for (int i = D - D % 2; i < W; i++) assert_true(y[t * W + i] == row[i]);
    }
    double near = 0, far = 0;
    for (int i = 0; i < D; i++) {
        near += y[3 * W + i] * y[10 * W + i];
        far += y[60003 * W + i] * y[60010 * W + i];
    }
    assert_close(near, far, 2e-6);
    free(row);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(activations, make_tape, drop_tape),
        cmocka_unit_test_setup_teardown(softmax_of_large_and_small, make_tape, drop_tape),
        cmocka_unit_test_setup_teardown(norms, make_tape, drop_tape),
        cmocka_unit_test_setup_teardown(linear_layers, make_tape, drop_tape),
        cmocka_unit_test_setup_teardown(losses, make_tape, drop_tape),
        cmocka_unit_test_setup_teardown(shapes_and_pooling, make_tape, drop_tape),
        cmocka_unit_test_setup_teardown(rotary, make_tape, drop_tape),
        cmocka_unit_test_setup_teardown(dropout, make_tape, drop_tape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
