/* Gradients of the operations of gated linear recurrences, with their states at both ends and ragged lengths. */
#include "autograd/gated.h"

#include "gradient.h"

enum { B = 2, T = 70, H = 2, D = 5, M = 3, C = H * M, K = 4 };

static const int32_t lengths[B] = { T, 41 };
static const float fixed[H] = { -0.03f, -0.4f };
static const sq_gated_rule retention = { .D = D, .M = M, .gate = SQ_GATE_FIXED, .width = 1, .scale = 0.4f };
static const sq_gated_rule by_feature = { .D = D, .M = M, .gate = SQ_GATE_SIGMOID, .width = D, .scale = 0.4f, .temperature = 4 };
static const sq_gated_rule delta = { .D = D, .M = M, .delta = true, .unit = true, .scale = 0.4f, .strength = 1 };
static const sq_gated_rule gated_delta = { .D = D, .M = M, .delta = true, .unit = true, .gate = SQ_GATE_SOFTPLUS, .width = 1, .scale = 0.4f, .strength = 1.5f };
/* Not a paper's: a decay for each feature, the delta rule and a skip. */
static const sq_gated_rule delta_by_feature = { .D = D, .M = M, .delta = true, .skips = true, .gate = SQ_GATE_SIGMOID, .width = D, .scale = 0.4f, .temperature = 4, .strength = 0.3f };
static const sq_gated_rule state_space = { .D = D, .M = M, .gate = SQ_GATE_SOFTPLUS, .width = 1, .weighs = true, .skips = true, .scale = 0.4f };

/* Both outputs in one row. */
static sq_var *join(sq_tape *tape, sq_var *out, sq_var *last)
{
    if (!out) return NULL;
    const int64_t first[2] = { 1, out->count }, second[2] = { 1, last->count };
    return sq__concatenate(tape, (sq_var *[]){ sq__reshape(tape, out, 2, first), sq__reshape(tape, last, 2, second) }, 2);
}

static sq_var *scan(sq_tape *tape, const sq_gated_rule *rule, int64_t groups, sq_gated_inputs in)
{
    sq_var *last;
    in.fixed = fixed;
    in.lengths = lengths;
    sq_var *out = sq__gated_scan(tape, &in, rule, H, groups, &last);
    return join(tape, out, last);
}

static sq_var *scan_retention(sq_tape *tape, sq_var *const *in)
{
    return scan(tape, &retention, H, (sq_gated_inputs){ .packed = in[0], .initial = in[1] });
}

static sq_var *scan_by_feature(sq_tape *tape, sq_var *const *in)
{
    return scan(tape, &by_feature, H, (sq_gated_inputs){ .packed = in[0], .initial = in[1], .gate = in[2] });
}

static sq_var *scan_delta(sq_tape *tape, sq_var *const *in)
{
    return scan(tape, &delta, H, (sq_gated_inputs){ .packed = in[0], .initial = in[1], .strength = in[2] });
}

static sq_var *scan_delta_by_feature(sq_tape *tape, sq_var *const *in)
{
    return scan(tape, &delta_by_feature, H, (sq_gated_inputs){ .packed = in[0], .initial = in[1], .gate = in[2], .strength = in[3], .skip = in[4] });
}

static sq_var *scan_gated_delta(sq_tape *tape, sq_var *const *in)
{
    return scan(tape, &gated_delta, H, (sq_gated_inputs){ .packed = in[0], .initial = in[1], .gate = in[2], .strength = in[3], .rate = in[4], .bias = in[5] });
}

/* One group: all heads share q and k. */
static sq_var *scan_state_space(sq_tape *tape, sq_var *const *in)
{
    return scan(tape, &state_space, 1, (sq_gated_inputs){ .packed = in[0], .initial = in[1], .gate = in[2], .rate = in[3], .bias = in[4], .skip = in[5] });
}

static sq_var *averages(sq_tape *tape, sq_var *const *in)
{
    return sq__wkv(tape, in[0], in[1], in[2], in[3], in[4], NULL, lengths, NULL);
}

static sq_var *convolve(sq_tape *tape, sq_var *const *in)
{
    return sq__short_convolution(tape, in[0], in[1], in[2], in[3], lengths, NULL);
}

#define PACKED { 3, { B, T, 2 * H * D + H * M }, 0, 0, false }
#define SHARED { 3, { B, T, 2 * D + H * M }, 0, 0, false }
#define STATE { 4, { B, H, D, M }, 0, 0, false }
#define HEAD { 3, { B, T, H }, 0, 0, false }
#define FEATURE { 3, { B, T, H * D }, 0, 0, false }
#define EACH { 1, { H }, 0, 0, false }
static const gradient_case cases[] = {
    { "gated_scan, retention", 2, { PACKED, STATE }, scan_retention, false, 0 },
    { "gated_scan, by feature", 3, { PACKED, STATE, FEATURE }, scan_by_feature, false, 0 },
    { "gated_scan, delta rule", 3, { PACKED, STATE, HEAD }, scan_delta, false, 0 },
    { "gated_scan, delta rule by feature", 5, { PACKED, STATE, FEATURE, HEAD, EACH }, scan_delta_by_feature, false, 0 },
    { "gated_scan, gated delta rule", 6, { PACKED, STATE, HEAD, HEAD, EACH, EACH }, scan_gated_delta, false, 0 },
    { "gated_scan, state space", 6, { SHARED, STATE, HEAD, EACH, EACH, EACH }, scan_state_space, false, 0 },
    { "wkv", 5, { { 3, { B, T, C }, 0, 0, false }, { 3, { B, T, C }, 0, 0, false }, { 3, { B, T, C }, 0, 0, false }, { 1, { C }, -2, 1, false }, { 1, { C }, 0, 0, false } },
      averages, false, 0 },
    { "short_convolution", 4, { { 3, { B, T, C }, 0, 0, false }, { 2, { C, K }, 0, 0, false }, { 1, { C }, 0, 0, false }, { 3, { B, K - 1, C }, 0, 0, true } },
      convolve, false, 0 },
};

/* Measured worst: 1.2e-4. A wrong element changes the figure by 1e-2 or more. */
static void gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double worst = check_gradient(&cases[i]);
        print_message("%-36s %.2g\n", cases[i].name, worst);
        assert_true(worst < 2e-4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(gradients) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
