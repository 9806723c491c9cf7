/* Every operation of the table, at odd sizes, against differences of its own forward (gradient.h says how). */
#include "autograd/ops.h"
#include "gradient.h"

/* Measured worst: 4.7e-5 (printed at the end of a run). A wrong element changes the figure by at least 1/sqrt(elements), 1e-2 here. */
#define BOUND 3e-4

#define BUILD(name, expression) \
    static sq_var *name(sq_tape *tape, sq_var *const *in) { return expression; }

BUILD(add, sq__add(tape, in[0], in[1]))
BUILD(add_twice, sq__add(tape, in[0], in[0]))
BUILD(subtract, sq__subtract(tape, in[0], in[1]))
BUILD(multiply, sq__multiply(tape, in[0], in[1]))
BUILD(square, sq__multiply(tape, in[0], in[0]))
BUILD(scale, sq__scale(tape, in[0], -1.5f))
BUILD(glu, sq__glu(tape, in[0]))
BUILD(dropout, sq__dropout(tape, in[0], 0.3f))
BUILD(linear, sq__linear(tape, in[0], in[1], in[2]))
BUILD(linear_no_bias, sq__linear(tape, in[0], in[1], NULL))
BUILD(linear_residual, sq__linear_residual(tape, in[0], in[1], in[2], 0.25f, in[3]))
BUILD(linear_onto_itself, sq__linear_residual(tape, in[0], in[1], in[2], 0, in[0]))
BUILD(matmul, sq__matmul(tape, in[0], in[1]))
BUILD(softmax, sq__softmax(tape, in[0]))
BUILD(log_softmax, sq__log_softmax(tape, in[0]))
BUILD(layer_norm, sq__layer_norm(tape, in[0], in[1], in[2], 1e-5f))
BUILD(rms_norm, sq__rms_norm(tape, in[0], in[1], 1e-6f))
BUILD(group_norm, sq__group_norm(tape, in[0], in[1], in[2], 2, 1e-5f))
BUILD(concatenate, sq__concatenate(tape, (sq_var *[]){ in[0], in[1], in[0] }, 3))
BUILD(slice, sq__slice(tape, in[0], 2, 4))
BUILD(reshape, sq__multiply(tape, sq__reshape(tape, in[0], 2, (int64_t[]){ 5, 6 }), in[1]))
BUILD(transpose, sq__multiply(tape, sq__transpose(tape, in[0]), in[1]))
BUILD(prepend, sq__prepend(tape, in[1], in[0]))
BUILD(sum, sq__sum(tape, in[0]))
BUILD(rotary, sq__rotary(tape, in[0], 2, 5))
BUILD(rotary_twice_used, sq__add(tape, sq__rotary(tape, in[0], 3, 4), in[0]))

static sq_var *feed_forward(sq_tape *tape, sq_var *const *in)
{
    return sq__feed_forward(tape, &(sq_feed_forward_inputs){ in[0], in[1], in[2], in[3], in[4], in[5], 0 }, SQ_GELU, 0.2f);
}

static sq_var *feed_forward_chunked(sq_tape *tape, sq_var *const *in)
{
    return sq__feed_forward(tape, &(sq_feed_forward_inputs){ in[0], in[1], in[2], in[3], in[4], in[5], 13 }, SQ_GELU, 0.2f);
}

static sq_var *feed_forward_plain(sq_tape *tape, sq_var *const *in)
{
    return sq__feed_forward(tape, &(sq_feed_forward_inputs){ .x = in[0], .w1 = in[1], .w2 = in[2], .residual = in[0] }, SQ_TANH, 0);
}

static const int32_t words[2][6] = { { 0, 3, -1, 3, 2, 0 }, { 1, -1, -1, 0, 1, 1 } };

static sq_var *embedding(sq_tape *tape, sq_var *const *in)
{
    return sq__embedding_sum(tape, in, (const int32_t *[]){ words[0], words[1] }, 2, 2, (int64_t[]){ 2, 3 });
}

static const int32_t lengths[3] = { 5, 0, 2 };

BUILD(pool_mean, sq__pool(tape, in[0], lengths, SQ_POOL_MEAN))
BUILD(pool_all, sq__pool(tape, in[0], NULL, SQ_POOL_MEAN))
BUILD(pool_last, sq__pool(tape, in[0], lengths, SQ_POOL_LAST))
BUILD(pool_class, sq__pool(tape, in[0], lengths, SQ_POOL_CLASS))
BUILD(pool_max, sq__pool(tape, in[0], lengths, SQ_POOL_MAX))

static const int32_t padded_targets[5] = { 1, 0, 3, 5, 2 };
static const int32_t targets[5] = { 2, -100, 0, 5, 2 };
static const float class_weights[6] = { 0.5f, 2, 1, 1, 0.25f, 3 };
static const float chances[6] = { 0, 1, 0.5f, 1, 0, 1 };
static const float some_chances[6] = { 0, NAN, 1, 1, NAN, 0 };
static const float aims[6] = { 0.5f, -1, 0.25f, 1, 0, 0.75f };

BUILD(entropy_mean, sq__cross_entropy(tape, in[0], targets, &(sq_cross_entropy){ .label_smoothing = 0.1f, .ignore = -100 }))
BUILD(entropy_weighted, sq__cross_entropy(tape, in[0], targets,
                                          &(sq_cross_entropy){ .label_smoothing = 0.2f, .class_weights = class_weights, .ignore = -100 }))
BUILD(entropy_sum, sq__cross_entropy(tape, in[0], targets, &(sq_cross_entropy){ .ignore = -100, .sum = true }))
BUILD(divergence, sq__smoothed_divergence(tape, in[0], padded_targets, 0.1f, 0))
BUILD(mse, sq__regression(tape, in[0], aims, SQ_MSE, 0, false))
BUILD(l1, sq__regression(tape, in[0], aims, SQ_L1, 0, true))
BUILD(smooth_l1, sq__regression(tape, in[0], aims, SQ_SMOOTH_L1, 0.6f, false))
BUILD(huber, sq__regression(tape, in[0], aims, SQ_HUBER, 0.6f, false))
BUILD(bce, sq__regression(tape, in[0], chances, SQ_BCE_WITH_LOGITS, 0, false))
BUILD(bce_some, sq__regression(tape, in[0], some_chances, SQ_BCE_WITH_LOGITS, 0, false))

#define S(...) { __VA_ARGS__ }
#define IN(axes, size) { .rank = axes, .shape = size }
#define RANGE(axes, size, from, to) { .rank = axes, .shape = size, .low = from, .high = to }
#define FIXED(axes, size) { .rank = axes, .shape = size, .constant = true }
#define CASE(text, count, list, made) .name = text, .inputs = count, .input = list, .build = made
static const gradient_case cases[] = {
    { CASE("add", 2, S(IN(3, S(3, 5, 7)), IN(3, S(3, 5, 7))), add) },
    { CASE("add broadcast", 2, S(IN(3, S(3, 5, 7)), IN(2, S(5, 7))), add) },
    { CASE("add to itself", 1, S(IN(2, S(3, 5))), add_twice) },
    { CASE("subtract", 2, S(IN(2, S(9, 7)), IN(1, S(7))), subtract) },
    { CASE("subtract same shape", 2, S(IN(2, S(9, 7)), IN(2, S(9, 7))), subtract) },
    { CASE("multiply", 2, S(IN(2, S(9, 7)), IN(2, S(9, 7))), multiply) },
    { CASE("multiply broadcast", 2, S(IN(3, S(4, 9, 7)), IN(1, S(7))), multiply) },
    { CASE("multiply, enough for threads", 2, S(IN(2, S(41, 3500)), IN(1, S(3500))), multiply) },
    { CASE("add, enough for threads", 2, S(IN(2, S(41, 3500)), IN(1, S(3500))), add) },
    { CASE("multiply by itself", 1, S(IN(2, S(9, 7))), square) },
    { CASE("multiply by a constant", 2, S(IN(2, S(9, 7)), FIXED(1, S(7))), multiply) },
    { CASE("scale", 1, S(IN(2, S(3, 11))), scale) },
    { CASE("glu", 1, S(RANGE(2, S(5, 14), -3, 3)), glu) },
    { CASE("dropout", 1, S(IN(2, S(13, 17))), dropout), .training = true },
    { CASE("dropout, enough for threads", 1, S(IN(1, S(140001))), dropout), .training = true },
    { CASE("linear", 3, S(IN(3, S(2, 5, 7)), IN(2, S(3, 7)), IN(1, S(3))), linear) },
    { CASE("linear, many rows", 3, S(IN(2, S(700, 9)), IN(2, S(5, 9)), IN(1, S(5))), linear) },
    { CASE("linear without bias", 2, S(IN(1, S(7)), IN(2, S(3, 7))), linear_no_bias) },
    { CASE("linear, frozen weight", 3, S(IN(2, S(65, 7)), FIXED(2, S(3, 7)), IN(1, S(3))), linear) },
    { CASE("linear, dropout, residual", 4, S(IN(2, S(67, 7)), IN(2, S(3, 7)), IN(1, S(3)), IN(2, S(67, 3))), linear_residual),
      .training = true },
    { CASE("linear onto itself", 3, S(IN(2, S(6, 7)), IN(2, S(7, 7)), IN(1, S(7))), linear_onto_itself) },
    { CASE("matmul", 2, S(IN(2, S(5, 7)), IN(2, S(7, 3))), matmul) },
    { CASE("feed forward", 6, S(IN(2, S(70, 5)), IN(2, S(9, 5)), IN(1, S(9)), IN(2, S(3, 9)), IN(1, S(3)), IN(2, S(70, 3))), feed_forward),
      .training = true },
    { CASE("feed forward, many rows", 6, S(IN(2, S(600, 5)), IN(2, S(9, 5)), IN(1, S(9)), IN(2, S(3, 9)), IN(1, S(3)), IN(2, S(600, 3))),
           feed_forward) },
    { CASE("feed forward, in chunks", 6, S(IN(2, S(600, 5)), IN(2, S(9, 5)), IN(1, S(9)), IN(2, S(3, 9)), IN(1, S(3)), IN(2, S(600, 3))),
           feed_forward_chunked), .training = true },
    { CASE("feed forward onto itself", 3, S(IN(2, S(3, 5)), IN(2, S(9, 5)), IN(2, S(5, 9))), feed_forward_plain) },
    { CASE("softmax", 1, S(RANGE(2, S(5, 19), -3, 3)), softmax) },
    { CASE("log_softmax", 1, S(RANGE(2, S(5, 19), -3, 3)), log_softmax) },
    { CASE("layer_norm", 3, S(IN(2, S(70, 13)), IN(1, S(13)), IN(1, S(13))), layer_norm) },
    { CASE("layer_norm, many rows", 3, S(RANGE(2, S(600, 5), -2, 2), IN(1, S(5)), IN(1, S(5))), layer_norm) },
    { CASE("layer_norm, frozen", 3, S(IN(2, S(7, 13)), FIXED(1, S(13)), FIXED(1, S(13))), layer_norm) },
    { CASE("rms_norm", 2, S(IN(2, S(9, 13)), IN(1, S(13))), rms_norm) },
    { CASE("group_norm", 3, S(IN(3, S(3, 6, 5)), IN(1, S(6)), IN(1, S(6))), group_norm) },
    { CASE("embedding", 2, S(IN(2, S(4, 5)), IN(2, S(2, 5))), embedding) },
    { CASE("embedding, wide", 2, S(IN(2, S(4, 600)), IN(2, S(2, 600))), embedding) },
    { CASE("softmax, many rows", 1, S(RANGE(2, S(600, 3), -3, 3)), softmax) },
    { CASE("rms_norm, many rows", 2, S(IN(2, S(600, 5)), IN(1, S(5))), rms_norm) },
    { CASE("concatenate", 2, S(IN(3, S(2, 3, 5)), IN(3, S(2, 3, 1))), concatenate) },
    { CASE("slice", 1, S(IN(2, S(3, 7))), slice) },
    { CASE("reshape", 2, S(IN(3, S(2, 3, 5)), IN(1, S(6))), reshape) },
    { CASE("transpose", 2, S(IN(3, S(3, 4, 5)), IN(3, S(4, 3, 5))), transpose) },
    { CASE("prepend", 2, S(IN(3, S(2, 3, 5)), IN(1, S(5))), prepend) },
    { CASE("sum", 1, S(IN(2, S(3, 5))), sum) },
    { CASE("pool mean", 1, S(IN(3, S(3, 5, 7))), pool_mean) },
    { CASE("pool mean of all", 1, S(IN(3, S(3, 5, 7))), pool_all) },
    { CASE("pool last", 1, S(IN(3, S(3, 5, 7))), pool_last) },
    { CASE("pool class", 1, S(IN(3, S(3, 5, 7))), pool_class) },
    { CASE("pool max", 1, S(RANGE(3, S(3, 5, 7), -100, 100)), pool_max) },
    { CASE("cross entropy", 1, S(RANGE(2, S(5, 6), -2, 2)), entropy_mean) },
    { CASE("cross entropy, weights", 1, S(RANGE(2, S(5, 6), -2, 2)), entropy_weighted) },
    { CASE("cross entropy, sum", 1, S(RANGE(2, S(5, 6), -2, 2)), entropy_sum) },
    { CASE("smoothed divergence", 1, S(RANGE(2, S(5, 6), -2, 2)), divergence) },
    { CASE("mse", 1, S(IN(2, S(2, 3))), mse) },
    { CASE("l1", 1, S(RANGE(2, S(2, 3), 2, 4)), l1) },
    { CASE("smooth l1, inside", 1, S(RANGE(2, S(2, 3), 2, 4)), smooth_l1) },
    { CASE("rotary, odd heads and more behind", 1, S(IN(3, S(2, 7, 13))), rotary) },
    { CASE("rotary, gradient added", 1, S(IN(3, S(3, 4, 12))), rotary_twice_used) },
    { CASE("huber", 1, S(RANGE(2, S(2, 3), 2, 4)), huber) },
    { CASE("binary cross entropy", 1, S(RANGE(2, S(2, 3), -3, 3)), bce) },
    { CASE("binary cross entropy of what is asked", 1, S(RANGE(2, S(2, 3), -3, 3)), bce_some) },
};

static double worst;

static void check(const gradient_case *c)
{
    double error = check_gradient(c);
    if (error > worst) worst = error;
    if (!(error <= BOUND)) fail_msg("%s: relative error %.3g; expected at most %.3g", c->name, error, BOUND);
}

static void every_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) check(&cases[i]);
}

static sq_activation current;
BUILD(activate_current, sq__activate(tape, in[0], current))

static void every_activation(void **state)
{
    (void)state;
    for (int i = 0; i < SQ_ACTIVATION_COUNT; i++) {
        current = (sq_activation)i;
        gradient_case c = { CASE(sq__activation_name(current), 1, S(RANGE(2, S(5, 19), -2.5f, 2.5f)), activate_current), .margin = 0.1f };
        check(&c);
    }
}

static sq_attention *plan;

static const int32_t seven_three[2] = { 7, 3 };

static sq_var *attend(sq_tape *tape, sq_var *const *in)
{
    return sq__attention(tape, plan, &(sq_attention_inputs){ .q = in[0], .k = in[1], .v = in[2], .lengths = seven_three });
}

static sq_var *attend_to_itself(sq_tape *tape, sq_var *const *in)
{
    return sq__attention(tape, plan, &(sq_attention_inputs){ .q = in[0], .k = in[0], .v = in[0] });
}

static sq_var *attend_packed(sq_tape *tape, sq_var *const *in)
{
    static const int32_t three[2] = { 5, 3 };
    return sq__attention(tape, plan, &(sq_attention_inputs){ .packed = in[0], .lengths = three, .query_lengths = three });
}

static void check_attention(const sq_attention_desc *desc, const gradient_case *c)
{
    sq_error error = { 0 };
    assert_ok(sq_attention_create(&plan, desc, &error), &error);
    check(c);
    sq_attention_destroy(&plan);
}

static void attention(void **state)
{
    (void)state;
    check_attention(&(sq_attention_desc){ .mechanism = "softmax", .B = 2, .H = 3, .T = 5, .N = 7, .D = 4, .M = 2, .lengths = true },
                    &(gradient_case){ CASE("cross attention", 3, S(IN(3, S(2, 5, 12)), IN(3, S(2, 7, 12)), IN(3, S(2, 7, 6))), attend) });
    check_attention(&(sq_attention_desc){ .mechanism = "softmax", .B = 2, .H = 3, .T = 5, .N = 5, .D = 4, .M = 4, .causal = true },
                    &(gradient_case){ CASE("one input thrice", 1, S(IN(3, S(2, 5, 12))), attend_to_itself) });
    check_attention(&(sq_attention_desc){ .mechanism = "softmax", .B = 2, .H = 3, .T = 5, .N = 5, .D = 4, .M = 2, .lengths = true },
                    &(gradient_case){ CASE("packed", 1, S(IN(3, S(2, 5, 30))), attend_packed) });
}

/* Tried above, and in the files of their families. */
static const sq_op *const elsewhere[] = { &sq__op_activate, &sq__op_attention, &sq__op_relative_attention, &sq__op_prepend_rows, &sq__op_ntm,
                                          &sq__op_inverted_attention, &sq__op_mean_scan, &sq__op_head_scores, &sq__op_retrieved, &sq__op_continuous_read, &sq__op_continuous_written, &sq__op_gated_scan, &sq__op_wkv, &sq__op_short_convolution,
                                          &sq__op_recompute, &sq__op_reversible,
                                          &sq__op_recurrent, &sq__op_kronecker, &sq__op_unitary_penalty };

/* Every row of the table appears in a case above. */
static void nothing_is_missing(void **state)
{
    (void)state;
    sq_tape *tape = sq__tape_create(true);
    static float zeros[MOST_FLOATS];
    const sq_op *seen[256];
    int count = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        operands o = { .g = NULL };
        for (int j = 0; j < MOST_INPUTS; j++) o.value[j] = zeros;
        build_case(&cases[i], tape, &o);
        for (const sq_node *node = tape->nodes; node; node = node->previous) seen[count++] = node->op;
    }
    for (const sq_op *const *op = sq__ops; *op; op++) {
        bool found = false;
        for (size_t i = 0; i < sizeof elsewhere / sizeof *elsewhere; i++) found |= *op == elsewhere[i];
        for (int i = 0; i < count; i++) found |= seen[i] == *op;
        if (!found) fail_msg("no gradient check of operation '%s'", (*op)->name);
    }
    sq__tape_destroy(tape);
}

static int print_worst(void **state)
{
    (void)state;
    print_message("worst relative error of a directional derivative: %.3g\n", worst);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_case), cmocka_unit_test(every_activation), cmocka_unit_test(attention),
                                        cmocka_unit_test(nothing_is_missing) };
    return cmocka_run_group_tests(tests, NULL, print_worst);
}
