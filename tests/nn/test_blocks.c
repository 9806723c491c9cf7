/* Attention blocks, encoder and decoder layers against their formulas in double. */
#include "naive.h"

#include "nn/transformer.h"

enum { B = 2, T = 5, N = 7, E = 6 };
static const int32_t lengths[B] = { 5, 3 }, memory_lengths[B] = { 4, 7 };
/* Outputs of size 1 to 5 after a few float32 products: measured worst 8e-7. */
#define BOUND 3e-6

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

static sq_var *input(const float *value, int64_t rows, int64_t width) { return sq__tape_input(tape, 3, (int64_t[]){ B, rows, width }, value, false); }

/* Heads of 4 and values of 3 numbers, neither width / heads; keys and values of other widths. */
static void cross_attention_of_free_sizes(void **state)
{
    (void)state;
    enum { H = 2, D = 4, M = 3, KEY = 5, VALUE = 8 };
    sq_attention_block block;
    assert_ok(sq__attention_block_create(&block, &set, "mix",
                                         &(sq_attention_block_config){ .mechanism = "softmax",
                                                                       .width = E,
                                                                       .heads = H,
                                                                       .head_size = D,
                                                                       .value_size = M,
                                                                       .key_width = KEY,
                                                                       .value_width = VALUE,
                                                                       .max_length = N,
                                                                       .cross = true,
                                                                       .lengths = true,
                                                                       .bias = true },
                                         NULL, false, &error),
              &error);
    shake(&set);
    float *x = draw("x", B * T * E), *keys = draw("keys", B * N * KEY), *values = draw("values", B * N * VALUE);
    double *wide = widen(x, B * T * E), *wide_keys = widen(keys, B * N * KEY), *wide_values = widen(values, B * N * VALUE);
    double *q = naive_linear(wide, named(&set, "mix", "query.weight"), named(&set, "mix", "query.bias"), B * T, E, H * D);
    double *k = naive_linear(wide_keys, named(&set, "mix", "key.weight"), named(&set, "mix", "key.bias"), B * N, KEY, H * D);
    double *v = naive_linear(wide_values, named(&set, "mix", "value.weight"), named(&set, "mix", "value.bias"), B * N, VALUE, H * M);
    double *mixed = naive_attention(&(naive_shape){ B, T, N, H, D, M, memory_lengths, false }, q, H * D, k, H * D, v, H * M);
    double *expected = naive_linear(mixed, named(&set, "mix", "output.weight"), named(&set, "mix", "output.bias"), B * T, H * M, E);
    for (int64_t i = 0; i < B * T * E; i++) expected[i] += x[i];
    const sq_var *out = sq__attention_block_run(&block, tape, &(sq_attention_block_inputs){ .x = input(x, T, E), .keys = input(keys, N, KEY),
        .values = input(values, N, VALUE), .lengths = memory_lengths, .residual = input(x, T, E) });
    assert_ok(sq__tape_status(tape, &error), &error);
    assert_rows(out, expected, NULL, BOUND);
    sq__attention_block_clear(&block);
    for (size_t i = 0; i < 8; i++) free((double *[]){ wide, wide_keys, wide_values, q, k, v, mixed, expected }[i]);
    free(x);
    free(keys);
    free(values);
}

/* A tensor that follows the data moves in passes of training, only there, and is not drawn anew. */
static void means_move_while_training(void **state)
{
    (void)state;
    sq_attention_block block;
    assert_ok(sq__attention_block_create(&block, &set, "mix", &(sq_attention_block_config){ .mechanism = "routing", .width = E, .heads = 2, .max_length = T },
                                         NULL, false, &error), &error);
    const sq_parameter *means = sq__parameters_find(&set, "mix.mechanism.means");
    assert_non_null(means);
    float *x = draw("x", B * T * E), *before = malloc((size_t)means->count * sizeof *before);
    for (int training = 0; training < 2; training++) {
        memcpy(before, means->value, (size_t)means->count * sizeof *before);
        sq__tape_mode(tape, training == 1, 1, 1);
        sq__attention_block_run(&block, tape, &(sq_attention_block_inputs){ .x = input(x, T, E) });
        assert_ok(sq__tape_status(tape, &error), &error);
        assert_ok(sq__attention_block_redraw(&block, 1, &error), &error);
        double moved = 0;
        for (int64_t i = 0; i < means->count; i++) moved = fmax(moved, fabs(means->value[i] - before[i]));
        if (training) assert_true(moved > 0 && moved < 0.01);   /* 1 - decay = 0.001 of a distance of a few */
        else assert_true(moved == 0);
    }
    sq__attention_block_clear(&block);
    free(x);
    free(before);
}

/* ---- layers ---- */

enum { HEADS = 3, SIZE = E / HEADS, HIDDEN = 11 };

static void add_to(double *x, double *y, int64_t count)
{
    for (int64_t i = 0; i < count; i++) x[i] += y[i];
    free(y);
}

static double *normed(const double *x, const char *prefix, const char *name)
{
    char full[64];
    double *y = malloc(B * T * E * sizeof *y);
    memcpy(y, x, B * T * E * sizeof *y);
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    naive_norm(y, named(&set, full, "weight"), named(&set, full, "bias"), B * T, E, 1e-5);
    return y;
}

static double *self_attended(const double *x, const char *prefix, bool causal)
{
    char full[64];
    snprintf(full, sizeof full, "%s.attention", prefix);
    double *packed = naive_linear(x, named(&set, full, "query_key_value.weight"), named(&set, full, "query_key_value.bias"), B * T, E, 3 * E);
    double *mixed = naive_attention(&(naive_shape){ B, T, T, HEADS, SIZE, SIZE, lengths, causal }, packed, 3 * E, packed + E, 3 * E,
                                    packed + 2 * E, 3 * E);
    double *out = naive_linear(mixed, named(&set, full, "output.weight"), named(&set, full, "output.bias"), B * T, E, E);
    free(packed);
    free(mixed);
    return out;
}

static double *cross_attended(const double *x, const double *memory, const char *prefix)
{
    char full[64];
    snprintf(full, sizeof full, "%s.cross_attention", prefix);
    double *q = naive_linear(x, named(&set, full, "query.weight"), named(&set, full, "query.bias"), B * T, E, E);
    double *k = naive_linear(memory, named(&set, full, "key.weight"), named(&set, full, "key.bias"), B * N, E, E);
    double *v = naive_linear(memory, named(&set, full, "value.weight"), named(&set, full, "value.bias"), B * N, E, E);
    double *mixed = naive_attention(&(naive_shape){ B, T, N, HEADS, SIZE, SIZE, memory_lengths, false }, q, E, k, E, v, E);
    double *out = naive_linear(mixed, named(&set, full, "output.weight"), named(&set, full, "output.bias"), B * T, E, E);
    for (size_t i = 0; i < 4; i++) free((double *[]){ q, k, v, mixed }[i]);
    return out;
}

static double *fed_forward(const double *x, const char *prefix)
{
    char full[64];
    snprintf(full, sizeof full, "%s.feed_forward", prefix);
    double *h = naive_linear(x, named(&set, full, "in.weight"), named(&set, full, "in.bias"), B * T, E, HIDDEN);
    for (int64_t i = 0; i < B * T * HIDDEN; i++) h[i] *= 0.5 * (1 + erf(h[i] / sqrt(2)));
    double *out = naive_linear(h, named(&set, full, "out.weight"), named(&set, full, "out.bias"), B * T, HIDDEN, E);
    free(h);
    return out;
}

/* part 0: self attention, 1: cross attention, 2: feed-forward */
static void add_part(double *x, const double *memory, const char *prefix, int part, bool pre, bool causal)
{
    static const char *const norms[] = { "attention_norm", "cross_attention_norm", "feed_forward_norm" };
    double *from = pre ? normed(x, prefix, norms[part]) : widen((const float[]){ 0 }, 1);
    const double *in = pre ? from : x;
    add_to(x, part == 0 ? self_attended(in, prefix, causal) : part == 1 ? cross_attended(in, memory, prefix) : fed_forward(in, prefix), B * T * E);
    free(from);
    if (pre) return;
    double *after = normed(x, prefix, norms[part]);
    memcpy(x, after, B * T * E * sizeof *x);
    free(after);
}

static void check_layers(bool decoder, bool pre)
{
    sq_attention_block_config
        self = { .mechanism = "softmax", .width = E, .heads = HEADS, .max_length = N, .causal = decoder, .lengths = true, .bias = true },
        cross = self;
    cross.cross = true;
    cross.causal = false;
    if (!decoder) cross.mechanism = NULL;
    sq_transformer_config config = { self, cross, HIDDEN, 0, SQ_GELU, pre, 0, 1e-5f };
    sq_transformer_layer layers[2];
    assert_ok(sq__transformer_layer_create(&layers[0], &set, "a", &config, NULL, false, &error), &error);
    assert_ok(sq__transformer_layer_create(&layers[1], &set, "b", &config, &layers[0], false, &error), &error);
    shake(&set);
    float *x = draw("x", B * T * E), *memory = draw("memory", B * N * E);
    double *expected = widen(x, B * T * E), *wide_memory = widen(memory, B * N * E);
    sq_var *out = input(x, T, E), *held = decoder ? input(memory, N, E) : NULL;
    for (int i = 0; i < 2; i++) {
        for (int part = 0; part < 3; part++)
            if (decoder || part != 1) add_part(expected, wide_memory, i ? "b" : "a", part, pre, decoder);
        out = sq__transformer_layer_run(
            &layers[i], tape, &(sq_transformer_inputs){ .x = out, .memory = held, .lengths = lengths, .memory_lengths = memory_lengths });
    }
    assert_ok(sq__tape_status(tape, &error), &error);
    assert_rows(out, expected, lengths, BOUND);
    for (int i = 1; i >= 0; i--) sq__transformer_layer_clear(&layers[i]);
    free(x);
    free(memory);
    free(expected);
    free(wide_memory);
}

static void encoder_layers_pre(void **state) { (void)state; check_layers(false, true); }
static void encoder_layers_post(void **state) { (void)state; check_layers(false, false); }
static void decoder_layers_pre(void **state) { (void)state; check_layers(true, true); }
static void decoder_layers_post(void **state) { (void)state; check_layers(true, false); }

/* Plans are made once per shape; the one used longest ago makes room. */
static void plans_are_kept(void **state)
{
    (void)state;
    sq_plans plans;
    const sq_attention *first, *again, *plan;
    assert_ok(
        sq__plans_create(&plans,
                         &(sq_attention_desc){ .mechanism = "softmax", .B = 1, .H = 1, .T = 64, .N = 64, .D = 4, .M = 4, .max_length = 64 },
                         &error),
        &error);
    assert_ok(sq__plans_get(&plans, 2, 10, 10, &first, &error), &error);
    for (int64_t n = 11; n < 11 + SQ_PLANS - 1; n++) {
        assert_ok(sq__plans_get(&plans, 2, n, n, &plan, &error), &error);
        assert_ok(sq__plans_get(&plans, 2, 10, 10, &again, &error), &error);
        assert_ptr_equal(again, first);
    }
    for (int64_t n = 30; n < 30 + SQ_PLANS; n++) assert_ok(sq__plans_get(&plans, 2, n, n, &plan, &error), &error);
    assert_int_equal(plans.slots[0].B, 2);
    for (int i = 0; i < SQ_PLANS; i++) assert_true(plans.slots[i].T >= 30);
    assert_int_equal(sq__plans_get(&plans, 2, 65, 65, &plan, &error), SQ_INVALID);
    assert_contains(error.message, "max_length = 64");
    sq__plans_clear(&plans);
}

static void configurations_that_cannot_be(void **state)
{
    (void)state;
    sq_attention_block block;
    assert_int_equal(sq__attention_block_create(
                         &block, &set, "x", &(sq_attention_block_config){ .mechanism = "softmax", .width = 7, .heads = 2, .max_length = 3 },
                         NULL, false, &error),
                     SQ_INVALID);
    assert_contains(error.message, "width is 7; expected a multiple of the 2 heads");
    sq__attention_block_clear(&block);
    assert_int_equal(sq__attention_block_create(
                         &block, &set, "x", &(sq_attention_block_config){ .mechanism = "nothing", .width = 8, .heads = 2, .max_length = 3 },
                         NULL, false, &error),
                     SQ_NOT_FOUND);
    sq__attention_block_clear(&block);
}

static float *named_for_writing(const char *prefix, const char *name) { return (float *)(uintptr_t)named(&set, prefix, name); }

/* Rotary positions turn further inputs, too: a window that sees all, the first token global by projections equal to the ordinary
 * ones, is exact attention; and neither is what it is without rotary positions. */
static void rotary_turns_further_inputs(void **state)
{
    enum { HEADS_ = 2 };
    static const char *const mechanisms[] = { "softmax", "longformer", "softmax" }, *const parts[] = { "global_query", "global_key", "global_value" };
    (void)state;
    sq_attention_block blocks[3];
    const sq_var *out[3];
    float *x = draw("x", B * T * E);
    for (int i = 0; i < 3; i++) {
        const sq_option globals = { "globals", "1" };
        char prefix[8];
        snprintf(prefix, sizeof prefix, "b%d", i);
        assert_ok(sq__attention_block_create(&blocks[i], &set, prefix,
                                             &(sq_attention_block_config){ .mechanism = mechanisms[i], .options = &globals, .option_count = i == 1, .width = E,
                                                                           .heads = HEADS_, .max_length = T, .rotary = i < 2 },
                                             NULL, false, &error),
                  &error);
    }
    const float *packed = named(&set, "b0", "query_key_value.weight");
    for (int i = 1; i < 3; i++) {
        char prefix[8];
        snprintf(prefix, sizeof prefix, "b%d", i);
        memcpy(named_for_writing(prefix, "query_key_value.weight"), packed, 3 * E * E * sizeof *packed);
        memcpy(named_for_writing(prefix, "output.weight"), named(&set, "b0", "output.weight"), E * E * sizeof *packed);
    }
    for (int part = 0; part < 3; part++) {
        char name[32];
        snprintf(name, sizeof name, "%s.weight", parts[part]);
        memcpy(named_for_writing("b1", name), packed + part * E * E, E * E * sizeof *packed);
    }
    double apart = 0;
    for (int i = 0; i < 3; i++) out[i] = sq__attention_block_run(&blocks[i], tape, &(sq_attention_block_inputs){ .x = input(x, T, E) });
    assert_ok(sq__tape_status(tape, &error), &error);
    for (int64_t i = 0; i < B * T * E; i++) {
        assert_close(out[1]->value[i], out[0]->value[i], BOUND);
        apart = fmax(apart, fabs(out[2]->value[i] - out[0]->value[i]));
    }
    assert_true(apart > 0.01);
    for (int i = 0; i < 3; i++) sq__attention_block_clear(&blocks[i]);
    free(x);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = { TEST(cross_attention_of_free_sizes), TEST(means_move_while_training), TEST(encoder_layers_pre),
                                        TEST(encoder_layers_post),           TEST(decoder_layers_pre),
                                        TEST(decoder_layers_post),           TEST(plans_are_kept),
                                        TEST(rotary_turns_further_inputs),
                                        TEST(configurations_that_cannot_be) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
