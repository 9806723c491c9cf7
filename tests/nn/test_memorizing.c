/* Memorizing Transformer: one layer with memory in double, straight from its equations. */
#include "naive.h"

#include "nn/memorizing.h"

enum { B = 2, T = 21, E = 8, H = 2, D = E / H, FF = 12, WINDOW = 4, MEMORY = 9, TOPK = 3 };
/* Outputs of size 1 to 5 after a few float32 products. */
#define BOUND 3e-6

static sq_tape *tape;
static sq_parameters set;
static sq_carry_layout layout;
static sq_error error;

static int setup(void **state)
{
    (void)state;
    tape = sq__tape_create(true);
    set = (sq_parameters){ .seed = 3 };
    return tape ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sq__tape_destroy(tape);
    sq__parameters_clear(&set);
    sq__carry_layout_clear(&layout);
    return 0;
}

static sq_memorizing_config config_of(bool pre_norm, int64_t layers)
{
    return (sq_memorizing_config){ .layer = { .width = E, .heads = H, .feed_forward = FF, .activation = SQ_RELU, .pre_norm = pre_norm, .eps = 1e-5f },
                                   .layers = layers, .window = WINDOW, .memory = MEMORY, .topk = TOPK };
}

static void unit_rows(double *x, int64_t rows, int64_t row, const float *scale)
{
    for (int64_t r = 0; r < rows; r++)
        for (int h = 0; h < H; h++) {
            double square = 0, *at = x + r * row + h * D;
            for (int d = 0; d < D; d++) square += at[d] * at[d] / D;
            for (int d = 0; d < D; d++) at[d] = at[d] / sqrt(square) * (scale ? scale[d] : 1);
        }
}

/* r [WINDOW, E]: row of distance d */
static double *positions(void)
{
    double wave[WINDOW * E];
    for (int d = 0; d < WINDOW; d++)
        for (int i = 0; i < E / 2; i++) {
            const double angle = d * pow(10000, -2.0 * i / E);
            wave[d * E + i] = sin(angle);
            wave[d * E + E / 2 + i] = cos(angle);
        }
    return naive_linear(wave, named(&set, "m.0", "attention.position.weight"), NULL, WINDOW, E, E);
}

typedef struct head { const double *q, *kv, *r; const float *u, *v; } head;   /* rows of one stream, E and 2E apart, from one head's on */

static double times(const double *a, const double *b) { return a[0] * b[0] + a[1] * b[1] + a[2] * b[2] + a[3] * b[3]; }

static void local(const head *s, int t, double *out)
{
    double sum = 0, mixed[D] = { 0 };
    for (int j = t - WINDOW + 1 < 0 ? 0 : t - WINDOW + 1; j <= t; j++) {
        double score = 0;
        for (int d = 0; d < D; d++)
            score += (s->q[t * E + d] + s->u[d]) * s->kv[j * 2 * E + d] + (s->q[t * E + d] + s->v[d]) * s->r[(t - j) * E + d];
        const double p = exp(score / sqrt(D));
        sum += p;
        for (int d = 0; d < D; d++) mixed[d] += p * s->kv[j * 2 * E + E + d];
    }
    for (int d = 0; d < D; d++) out[d] = mixed[d] / sum;
}

/* False: nothing to find. */
static bool found(const head *s, int t, double *out)
{
    bool taken[T] = { false };
    double sum = 0, mixed[D] = { 0 };
    for (int k = 0; k < TOPK; k++) {
        int best = -1;
        for (int j = t - WINDOW - MEMORY + 1 < 0 ? 0 : t - WINDOW - MEMORY + 1; j <= t - WINDOW; j++)
            if (!taken[j] && (best < 0 || times(s->q + t * E, s->kv + j * 2 * E) > times(s->q + t * E, s->kv + best * 2 * E))) best = j;
        if (best < 0) break;
        taken[best] = true;
        const double p = exp(times(s->q + t * E, s->kv + best * 2 * E) / sqrt(D));
        sum += p;
        for (int d = 0; d < D; d++) mixed[d] += p * s->kv[best * 2 * E + E + d];
    }
    for (int d = 0; sum > 0 && d < D; d++) out[d] = mixed[d] / sum;
    return sum > 0;
}

static double *mixed_heads(const double *q, const double *kv, const double *r)
{
    double *out = calloc(B * T * E, sizeof *out);
    const float *u = named(&set, "m.0", "attention.content_bias"), *v = named(&set, "m.0", "attention.position_bias"), *gate = named(&set, "m.0", "gate");
    for (int b = 0; b < B; b++)
        for (int h = 0; h < H; h++)
            for (int t = 0; t < T; t++) {
                const head s = { q + b * T * E + h * D, kv + b * T * 2 * E + h * D, r + h * D, u + h * D, v + h * D };
                double near[D], far[D] = { 0 };
                local(&s, t, near);
                const double share = found(&s, t, far) ? 1 / (1 + exp(-gate[h])) : 0;
                for (int d = 0; d < D; d++) out[(b * T + t) * E + h * D + d] = near[d] + share * (far[d] - near[d]);
            }
    return out;
}

static void add(double *x, const double *y)
{
    for (int i = 0; i < B * T * E; i++) x[i] += y[i];
}

static void a_layer_by_its_equations(void **state)
{
    (void)state;
    const int32_t lengths[B] = { T, 17 };
    const sq_memorizing_config config = config_of(true, 1);
    sq_memorizing stack;
    assert_ok(sq__memorizing_create(&stack, &set, &layout, "m", &config, &error), &error);
    shake(&set);
    float *x = draw("x", B * T * E);
    double *rows = widen(x, B * T * E), *normed = widen(x, B * T * E), *r = positions();
    naive_norm(normed, named(&set, "m.0", "attention_norm.weight"), named(&set, "m.0", "attention_norm.bias"), B * T, E, 1e-5);
    double *q = naive_linear(normed, named(&set, "m.0", "attention.query.weight"), NULL, B * T, E, E);
    double *kv = naive_linear(normed, named(&set, "m.0", "attention.key_value.weight"), NULL, B * T, E, 2 * E);
    unit_rows(q, B * T, E, named(&set, "m.0", "query_scale"));
    unit_rows(kv, B * T, 2 * E, NULL);
    double *mixed = mixed_heads(q, kv, r);
    double *out = naive_linear(mixed, named(&set, "m.0", "attention.output.weight"), NULL, B * T, E, E);
    add(rows, out);
    double *fed = malloc(B * T * E * sizeof *fed);
    memcpy(fed, rows, B * T * E * sizeof *fed);
    naive_norm(fed, named(&set, "m.0", "feed_forward_norm.weight"), named(&set, "m.0", "feed_forward_norm.bias"), B * T, E, 1e-5);
    double *hidden = naive_linear(fed, named(&set, "m.0", "feed_forward.in.weight"), named(&set, "m.0", "feed_forward.in.bias"), B * T, E, FF);
    for (int i = 0; i < B * T * FF; i++) hidden[i] = hidden[i] > 0 ? hidden[i] : 0;
    double *back = naive_linear(hidden, named(&set, "m.0", "feed_forward.out.weight"), named(&set, "m.0", "feed_forward.out.bias"), B * T, FF, E);
    add(rows, back);
    naive_norm(rows, named(&set, "m", "norm.weight"), named(&set, "m", "norm.bias"), B * T, E, 1e-5);
    const sq_var *got = sq__memorizing_run(&stack, tape, sq__tape_input(tape, 3, (int64_t[]){ B, T, E }, x, true), lengths, NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    assert_rows(got, rows, lengths, BOUND);
    sq__memorizing_clear(&stack);
    for (int i = 0; i < 10; i++) free((double *[]){ rows, normed, r, q, kv, mixed, out, fed, hidden, back }[i]);
    free(x);
}

/* While training, too, a run that goes on from a carry gives what one run gives, and writing the carry leaves gradients alone. */
static void segments_while_training(void **state)
{
    (void)state;
    enum { CUT = 13 };
    const sq_memorizing_config config = config_of(false, 2);
    sq_memorizing stack;
    sq_carry *carry;
    float *x = draw("x", T * E);
    double sums[2] = { 0 };
    assert_ok(sq__memorizing_create(&stack, &set, &layout, "m", &config, &error), &error);
    assert_false(stack.layers[0].remembers);
    assert_true(stack.layers[1].remembers);
    shake(&set);
    assert_ok(sq__carry_create(&carry, &layout, 1, &error), &error);
    const sq_var *whole = sq__memorizing_run(&stack, tape, sq__tape_input(tape, 3, (int64_t[]){ 1, T, E }, x, true), NULL, NULL);
    float *first = malloc(T * E * sizeof *first);
    memcpy(first, whole->value, T * E * sizeof *first);
    for (int part = 0; part < 2; part++) {
        const int64_t from = part ? CUT : 0, rows = part ? T - CUT : CUT;
        sq_var *in = sq__tape_input(tape, 3, (int64_t[]){ 1, rows, E }, x + from * E, true), *out = sq__memorizing_run(&stack, tape, in, NULL, carry);
        assert_ok(sq__tape_status(tape, &error), &error);
        for (int64_t i = 0; i < rows * E; i++) assert_close(out->value[i], first[from * E + i], 3e-6);
        for (int slot = 0; part && slot < layout.count; slot++) memset(carry->values[slot], 0x7f, (size_t)layout.slots[slot].count * sizeof(float));   /* huge */
        carry->seen[0] += rows;
        if (!part) continue;
        assert_ok(sq__tape_backward(tape, out, NULL, &error), &error);
        for (int64_t i = 0; i < rows * E; i++) sums[1] += fabs((double)in->gradient[i]);
    }
    assert_true(isfinite(sums[1]) && sums[1] > 1e-3 && sums[1] < 1e6);
    sq__carry_destroy(&carry);
    sq__memorizing_clear(&stack);
    free(first);
    free(x);
}

static void what_cannot_be(void **state)
{
    (void)state;
    sq_memorizing stack;
    sq_memorizing_config config = config_of(true, 1);
    config.topk = MEMORY + 1;
    assert_int_equal(sq__memorizing_create(&stack, &set, &layout, "m", &config, &error), SQ_INVALID);
    config = config_of(true, 1);
    config.window = 1;
    assert_int_equal(sq__memorizing_create(&stack, &set, &layout, "m", &config, &error), SQ_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_layer_by_its_equations, setup, teardown),
        cmocka_unit_test_setup_teardown(segments_while_training, setup, teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
