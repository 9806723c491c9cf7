/* Latents over many inputs, rows packed from them: what Perceiver's and Luna's parts do beyond their formulas, which the reference vectors hold. */
#include "naive.h"

#include "nn/fourier_positions.h"
#include "nn/gated_feed_forward.h"
#include "nn/luna.h"
#include "nn/perceiver.h"

enum { B = 2, N = 9, C = 6, L = 3, E = 8 };

static sq_tape *tape;
static sq_parameters set;
static sq_error error;

static int setup(void **state)
{
    (void)state;
    tape = sq__tape_create(false);
    set = (sq_parameters){ .seed = 3 };
    return tape ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    sq__tape_destroy(tape);
    sq__parameters_clear(&set);
    return 0;
}

/* Two axes, three by two places: every number from its definition. */
static void fourier_features_of_a_grid(void **state)
{
    (void)state;
    enum { K = 2, WIDTH = 2 * (2 * K + 1) };
    const double place[3] = { -1, 0, 1 }, column[2] = { -1, 1 }, scale[K] = { 1, 4 };
    sq_fourier_positions positions;
    assert_ok(sq__fourier_positions_create(&positions, 2, (int64_t[]){ 3, 2 }, K, 8, &error), &error);
    assert_int_equal(positions.width, WIDTH);
    float *x = draw("x", 1 * 6 * 2);
    const sq_var *out = sq__fourier_positions_append(&positions, tape, sq__tape_input(tape, 3, (int64_t[]){ 1, 6, 2 }, x, false));
    assert_ok(sq__tape_status(tape, &error), &error);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 2; j++) {
            const float *row = out->value + (i * 2 + j) * (2 + WIDTH);
            assert_true(row[0] == x[(i * 2 + j) * 2] && row[1] == x[(i * 2 + j) * 2 + 1]);
            for (int axis = 0; axis < 2; axis++) {
                const float *f = row + 2 + axis * (2 * K + 1);
                const double p = axis ? column[j] : place[i];
                for (int k = 0; k < K; k++) {
                    assert_close(f[k], sin(acos(-1) * p * scale[k]), 1e-6);
                    assert_close(f[K + k], cos(acos(-1) * p * scale[k]), 1e-6);
                }
                assert_close(f[2 * K], p, 0);
            }
        }
    sq__fourier_positions_clear(&positions);
    assert_int_equal(sq__fourier_positions_create(&positions, 1, (int64_t[]){ 0 }, K, 8, &error), SQ_INVALID);
    free(x);
}

static sq_perceiver_config config_of(int64_t blocks, bool shared, bool inverted)
{
    return (sq_perceiver_config){ .input_width = C, .latents = L, .width = E, .blocks = blocks, .depth = 1, .cross_heads = 2, .heads = 2, .activation = SQ_GELU,
                                  .shared = shared, .inverted = inverted, .bias = true, .max_length = N, .threads = 1 };
}

/* Inputs in another order, and rubbish beyond the length: the same latents. */
static void latents_see_a_set_of_inputs(void **state)
{
    (void)state;
    const int32_t lengths[B] = { 5, 9 };
    for (int inverted = 0; inverted < 2; inverted++) {
        sq_perceiver perceiver;
        const sq_perceiver_config config = config_of(2, false, inverted);
        sq__parameters_clear(&set);
        set.seed = 3;
        assert_ok(sq__perceiver_create(&perceiver, &set, "p", &config, &error), &error);
        shake(&set);
        float *x = draw("x", B * N * C), *y = malloc((size_t)(B * N * C) * sizeof *y);
        for (int b = 0; b < B; b++)
            for (int n = 0; n < N; n++)
                for (int c = 0; c < C; c++) {
                    const int to = n < lengths[b] ? (n + 2) % lengths[b] : n;
                    if (n >= lengths[b]) x[(b * N + n) * C + c] = 3;
                    y[(b * N + to) * C + c] = n < lengths[b] ? x[(b * N + n) * C + c] : -50;
                }
        const sq_var *a = sq__perceiver_run(&perceiver, tape, sq__tape_input(tape, 3, (int64_t[]){ B, N, C }, x, false), lengths, NULL);
        const sq_var *b = sq__perceiver_run(&perceiver, tape, sq__tape_input(tape, 3, (int64_t[]){ B, N, C }, y, false), lengths, NULL);
        assert_ok(sq__tape_status(tape, &error), &error);
        assert_true(a->shape[0] == B && a->shape[1] == L && a->shape[2] == E);
        for (int64_t i = 0; i < a->count; i++) assert_close(a->value[i], b->value[i], 5e-6);
        assert_true(fabsf(a->value[0] - a->value[L * E]) > 1e-3f);
        sq__perceiver_clear(&perceiver);
        free(x);
        free(y);
    }
}

/* Sharing: however many blocks, the weights of two. */
static void blocks_share_weights(void **state)
{
    (void)state;
    int count[2];
    for (int i = 0; i < 2; i++) {
        sq_perceiver perceiver;
        const sq_perceiver_config config = config_of(i ? 5 : 2, true, false);
        sq__parameters_clear(&set);
        assert_ok(sq__perceiver_create(&perceiver, &set, "p", &config, &error), &error);
        count[i] = set.count;
        sq__perceiver_clear(&perceiver);
    }
    assert_int_equal(count[0], count[1]);
}

/* out(a gelu(b)) in double. */
static void gated_feed_forward_by_its_formula(void **state)
{
    (void)state;
    enum { HIDDEN = 5 };
    sq_feed_forward layer;
    assert_ok(sq__gated_feed_forward_create(&layer, &set, "ff", E, HIDDEN, SQ_GELU, &error), &error);
    shake(&set);
    float *x = draw("x", B * N * E);
    double *wide = widen(x, B * N * E), *gated = calloc(B * N * HIDDEN, sizeof *gated);
    double *both = naive_linear(wide, named(&set, "ff", "in.weight"), named(&set, "ff", "in.bias"), B * N, E, 2 * HIDDEN);
    for (int r = 0; r < B * N; r++)
        for (int i = 0; i < HIDDEN; i++) {
            const double gate = both[r * 2 * HIDDEN + HIDDEN + i];
            gated[r * HIDDEN + i] = both[r * 2 * HIDDEN + i] * gate * (1 + erf(gate / sqrt(2))) / 2;
        }
    double *expected = naive_linear(gated, named(&set, "ff", "out.weight"), named(&set, "ff", "out.bias"), B * N, HIDDEN, E);
    for (int64_t i = 0; i < B * N * E; i++) expected[i] += x[i];
    sq_var *in = sq__tape_input(tape, 3, (int64_t[]){ B, N, E }, x, false);
    const sq_var *out = sq__gated_feed_forward_run(&layer, tape, in, 0, in);
    assert_rows(out, expected, NULL, 3e-6);
    free(x);
    free(wide);
    free(both);
    free(gated);
    free(expected);
}

/* What lies beyond a length changes nothing before it; causal, nothing later does. */
static void luna_reads_what_it_may(void **state)
{
    (void)state;
    const int32_t lengths[B] = { 5, 9 };
    for (int causal = 0; causal < 2; causal++)
        for (int pre = 0; pre < 2; pre++) {
            const sq_luna_config config = { .width = E, .heads = 2, .latents = L, .feed_forward = 12, .activation = SQ_RELU, .causal = causal, .tied = pre,
                                            .pre_norm = pre, .max_length = N, .threads = 1 };
            sq_luna_layer layer;
            sq__parameters_clear(&set);
            set.seed = 3;
            assert_ok(sq__luna_layer_create(&layer, &set, NULL, "l", &config, &error), &error);
            shake(&set);
            float *x = draw("x", B * N * E), *y = malloc((size_t)(B * N * E) * sizeof *y), *p = draw("p", B * L * E);
            for (int64_t i = 0; i < B * N * E; i++) y[i] = i / E % N < (causal ? 4 : lengths[i / E / N]) ? x[i] : 7;
            const sq_var *out[2], *seen[2];
            for (int way = 0; way < 2; way++) {
                sq_var *packed = sq__tape_input(tape, 3, (int64_t[]){ B, L, E }, p, false);
                out[way] = sq__luna_layer_run(&layer, tape, sq__tape_input(tape, 3, (int64_t[]){ B, N, E }, way ? y : x, false), &packed, lengths, NULL);
                seen[way] = packed;
            }
            assert_ok(sq__tape_status(tape, &error), &error);
            for (int64_t i = 0; i < B * N * E; i++)
                if (i / E % N < (causal ? 4 : lengths[i / E / N])) assert_true(out[0]->value[i] == out[1]->value[i]);
            for (int64_t i = 0; i < B * L * E; i++) assert_true(seen[0]->value[i] == seen[1]->value[i] && (causal ? seen[0]->value[i] == p[i] : true));
            assert_true(causal || fabsf(seen[0]->value[0] - p[0]) > 1e-3f);
            sq__luna_layer_clear(&layer);
            free(x);
            free(y);
            free(p);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(fourier_features_of_a_grid, setup, teardown),
        cmocka_unit_test_setup_teardown(latents_see_a_set_of_inputs, setup, teardown),
        cmocka_unit_test_setup_teardown(blocks_share_weights, setup, teardown),
        cmocka_unit_test_setup_teardown(gated_feed_forward_by_its_formula, setup, teardown),
        cmocka_unit_test_setup_teardown(luna_reads_what_it_may, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
