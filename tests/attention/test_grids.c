/* Mechanisms on grids: laws that conformance cannot know. */
#include "reference/trial.h"
#include "support/check.h"

/* Two option sets on the same inputs give the same. */
static void expect_equal(const char *mechanism, const char *options, int layer, const char *other, const char *other_options, trial_shape shape, double bound)
{
    trial a, b;
    shape.layer = layer;
    assert_ok(trial_open(&a, mechanism, options, &shape), &a.error);
    shape.layer = 0;
    assert_ok(trial_open(&b, other, other_options, &shape), &b.error);
    trial_same_inputs(&b, &a);
    trial_forward(&a), trial_forward(&b);
    trial_backward(&a), trial_backward(&b);
    trial_expect_close(&a, &a.out, &b, &b.out, bound);
    trial_expect_close(&a, &a.dq, &b, &b.dq, 5 * bound);
    trial_expect_close(&a, &a.dk, &b, &b.dk, 5 * bound);
    trial_expect_close(&a, &a.dv, &b, &b.dv, 5 * bound);
    trial_close(&a);
    trial_close(&b);
}

static void test_one_group_is_exact_attention(void **state)
{
    static const struct { const char *mechanism, *options; } all[] = {
        { "axial", "shape=150 combine=joint" }, { "axial", "shape=1x150 axis=1" }, { "axial", "shape=1x1x170x1 combine=joint" }, { "space-time", "shape=1x1x150" },
        { "space-time", "shape=1x160x1" }, { "local-2d", "distance=1000" }, { "local-2d", "distance=1000 norm=euclidean shape=15x10" },
        { "local-2d", "pattern=window window=13" }, { "local-2d", "pattern=block block=3 margin=12" }, { "local-2d", "pattern=dilated dilation=1" },
        { "longnet", "segments=150 dilations=1" }, { "longnet", "segments=7000,2000 dilations=1,1" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int causal = 0; causal <= 1; causal++) {
            const trial_shape shape = { .B = 1, .H = 2, .T = 150, .N = 150, .D = 8, .M = 6, .causal = causal };
            expect_equal(all[i].mechanism, all[i].options, 0, "softmax", "", shape, 4e-6);
        }
}

static void test_layers_take_turns(void **state)
{
    const trial_shape shape = { .B = 2, .H = 2, .T = 130, .N = 130, .D = 5, .M = 4 };
    (void)state;
    for (int layer = 0; layer < 5; layer++) {
        char axis[32];
        snprintf(axis, sizeof axis, "shape=5x3x9 axis=%d", layer % 3);
        expect_equal("axial", "shape=5x3x9", layer, "axial", axis, shape, 0);
        expect_equal("local-2d", "pattern=window window=5", layer, "local-2d", layer % 2 ? "pattern=window window=5 shift=2" : "pattern=window window=5 shift=0", shape, 0);
    }
}

/* Odd layers and odd heads use the second strided set. */
static void test_strided_sets(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 120, .N = 120, .D = 5, .M = 4 };
    trial heads, layers[2];
    trial_shape first = shape, second = shape;
    (void)state;
    second.layer = 1;
    assert_ok(trial_open(&heads, "space-time", "pattern=strided stride=2 combine=heads", &shape), &heads.error);
    assert_ok(trial_open(&layers[0], "space-time", "pattern=strided stride=2 combine=layers", &first), &layers[0].error);
    assert_ok(trial_open(&layers[1], "space-time", "pattern=strided stride=2 combine=layers", &second), &layers[1].error);
    trial_forward(&heads);
    for (int l = 0; l < 2; l++) {
        trial_same_inputs(&layers[l], &heads);
        trial_forward(&layers[l]);
        for (int64_t i = 0; i < shape.T; i++)
            for (int64_t c = 0; c < shape.M; c++)
                assert_true(*trial_at(&layers[l].out, 0, i, l, c) == *trial_at(&heads.out, 0, i, l, c));
        trial_close(&layers[l]);
    }
    trial_close(&heads);
}

/* A position that no pair keeps for its head gives zeros and takes no gradient. */
static void test_longnet_skips_positions(void **state)
{
    const trial_shape shape = { .B = 1, .H = 3, .T = 50, .N = 50, .D = 4, .M = 4 };
    trial t;
    (void)state;
    assert_ok(trial_open(&t, "longnet", "segments=12 dilations=3", &shape), &t.error);
    trial_forward(&t);
    trial_backward(&t);
    for (int64_t i = 0; i < shape.T; i++)
        for (int64_t h = 0; h < shape.H; h++) {
            const bool kept = i % 12 % 3 == h;
            assert_true((*trial_at(&t.out, 0, i, h, 0) != 0) == kept);
            assert_true((*trial_at(&t.dv, 0, i, h, 1) != 0) == kept);
            assert_true(kept || *trial_at(&t.dq, 0, i, h, 2) == 0);
        }
    trial_close(&t);
}

static void expect_refused(const char *mechanism, const char *options, trial_shape shape, sq_status status, const char *reason)
{
    trial t;
    assert_int_equal(trial_open(&t, mechanism, options, &shape), status);
    assert_contains(t.error.message, reason);
    trial_close(&t);
}

static void test_refusals(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 60, .N = 60, .D = 4, .M = 4 };
    trial_shape lengths = shape, masked = shape, more = shape;
    (void)state;
    lengths.lengths = masked.pair_mask = true;
    more.T = 90;
    expect_refused("axial", "shape=7x8", shape, SQ_INVALID, "56 cells");
    expect_refused("axial", "shape=7x9", more, SQ_INVALID, "at least the longest sequence, 90");
    expect_refused("axial", "shape=7x9x", shape, SQ_INVALID, "7x9x");
    expect_refused("axial", "shape=-7x9", shape, SQ_INVALID, "-7x9");
    expect_refused("axial", "shape=2x2x2x2x9", shape, SQ_INVALID, "1 to 4 sizes");
    expect_refused("axial", "shape=70000x70000", shape, SQ_INVALID, "more than 2147483647");
    expect_refused("axial", "shape=8x8 axis=2", shape, SQ_INVALID, "axis is 2");
    expect_refused("space-time", "shape=8x8", shape, SQ_INVALID, "expected 3 sizes");
    expect_refused("local-2d", "shape=4x4x4", shape, SQ_INVALID, "expected 2 sizes");
    expect_refused("longnet", "segments=8,16 dilations=1", shape, SQ_INVALID, "2 segments and 1 dilations");
    expect_refused("longnet", "segments=8,,16 dilations=1,2", shape, SQ_INVALID, "segments is '8,,16'");
    expect_refused("longnet", "segments=8,0 dilations=1,2", shape, SQ_INVALID, "segments");
    expect_refused("longnet", "segments=8 dilations=1.5", shape, SQ_INVALID, "dilations is '1.5'");
    expect_refused("longnet", "padding=true", lengths, SQ_UNSUPPORTED, "lengths");
    expect_refused("longnet", "padding=true", masked, SQ_UNSUPPORTED, "masks");
}

/* 65,536 positions, 8 heads of 64: no quadratic memory, and the work that the header comments name. */
static void test_long_sequences_stay_cheap(void **state)
{
    static const struct { const char *mechanism, *options; double pairs; } all[] = {
        { "axial", "", 256 }, { "axial", "combine=joint", 2 * 256 }, { "space-time", "", 3 * 64 + 128 }, { "space-time", "pattern=strided", 2400 },
        { "local-2d", "", 14 * 14 }, { "local-2d", "pattern=window", 64 }, { "local-2d", "pattern=dilated", 256 }, { "local-2d", "pattern=block", 16 * 16 },
        { "longnet", "", 256 + 256 / 4 + 256 / 16 + 256 / 64 + 4 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        char text[64];
        sq_option options[4];
        const int64_t n = 65536;
        snprintf(text, sizeof text, "%s", all[i].options);
        const sq_attention_desc desc = { .mechanism = all[i].mechanism, .options = options, .option_count = trial_options(text, options, 4), .B = 1, .H = 8, .T = n,
                                         .N = n, .D = 64, .M = 64 };
        sq_attention *plan;
        sq_error error;
        assert_ok(sq_attention_create(&plan, &desc, &error), &error);
        const size_t bytes = sq_attention_workspace_bytes(plan, SQ_FORWARD) + sq_attention_workspace_bytes(plan, SQ_BACKWARD) + sq_attention_saved_bytes(plan);
        const double pairs = sq_attention_flops(plan, SQ_FORWARD) / (2.0 * 8 * (64 + 64) * (double)n);
        if (bytes > (size_t)64 << 20) fail_msg("%s [%s]: %zu bytes", all[i].mechanism, all[i].options, bytes);
        if (!(pairs <= all[i].pairs && pairs >= all[i].pairs / 4)) fail_msg("%s [%s]: %g keys for each query", all[i].mechanism, all[i].options, pairs);
        sq_attention_destroy(&plan);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_group_is_exact_attention), cmocka_unit_test(test_layers_take_turns), cmocka_unit_test(test_strided_sets),
        cmocka_unit_test(test_longnet_skips_positions), cmocka_unit_test(test_refusals), cmocka_unit_test(test_long_sequences_stay_cheap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
