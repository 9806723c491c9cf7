/* Laws of routing that conformance cannot know. */
#include "base/memory.h"
#include "reference/trial.h"
#include "support/check.h"

static void open_or_fail(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s", t->error.message);
}

static void layer_normalise(trial_array *a, const trial_shape *s)
{
    for (int64_t i = 0; i < a->count / s->D; i++) {
        float *x = a->data + i * s->D;
        double mean = 0, square = 0;
        for (int64_t d = 0; d < s->D; d++) mean += x[d] / (double)s->D;
        for (int64_t d = 0; d < s->D; d++) square += (x[d] - mean) * (x[d] - mean);
        for (int64_t d = 0; d < s->D; d++) x[d] = (float)((x[d] - mean) / sqrt(square / (double)s->D));
    }
}

/* Every cluster takes every row: exact attention of normalised queries and keys, whatever the means. */
static void test_whole_window_is_exact(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const trial_shape shape = { .B = 2, .H = 2, .T = 70, .N = 70, .D = 8, .M = 5, .causal = causal == 1 };
        trial routed, exact;
        open_or_fail(&routed, "routing", "clusters=3 window=70 memory=0", &shape);
        open_or_fail(&exact, "softmax", "", &shape);
        layer_normalise(&exact.q, &shape);
        layer_normalise(&exact.k, &shape);
        trial_forward(&routed);
        trial_forward(&exact);
        for (int64_t i = 0; i < exact.out.count; i++) assert_true(fabsf(routed.out.data[i] - exact.out.data[i]) < 2e-6f);
        trial_close(&routed);
        trial_close(&exact);
    }
}

static void run(const trial *t, float *out, float *const *moved)
{
    void *workspace = sq__alloc(sq_attention_workspace_bytes(t->plan, SQ_FORWARD));
    const sq_attention_call call = { .q = t->q.view, .k = t->k.view, .v = t->v.view, .out = { out, t->out.view.batch, t->out.view.row, t->out.view.head },
                                     .tensors = t->tensor, .workspace = workspace, .training = true, .moved = moved };
    sq_attention_forward(t->plan, &call);
    sq__free(workspace);
}

/* k-means: rows of two kinds, means that begin near both: with decay 0 one step brings each mean to its rows; one that no row is nearest to stays. */
static void test_means_go_to_their_rows(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 40, .N = 40, .D = 4, .M = 2 };
    static const float kinds[2][4] = { { 3, -1, -1, -1 }, { -1, -1, -1, 3 } }, start[12] = { 1, 0, -0.5f, -0.5f, 0, -1, 0, 1, -1, 2, -1, 0 };
    float next[12], *moved[1] = { next }, out[80];
    trial t;
    (void)state;
    open_or_fail(&t, "routing", "clusters=3 decay=0", &shape);
    memcpy(t.tensor[0], start, sizeof start);
    for (int64_t i = 0; i < 40; i++)
        for (int64_t d = 0; d < 4; d++) *trial_at(&t.q, 0, i, 0, d) = *trial_at(&t.k, 0, i, 0, d) = kinds[i % 3 == 0][d];
    run(&t, out, moved);
    for (int kind = 0; kind < 2; kind++)
        for (int d = 0; d < 4; d++) assert_true(fabs(next[kind * 4 + d] - kinds[kind][d] * 2 / sqrt(12)) < 1e-6);
    assert_memory_equal(next + 8, start + 8, 4 * sizeof *next);
    assert_true(sq_attention_moves(t.plan, 0));
    assert_false(sq_attention_moves(t.plan, 1));
    trial_close(&t);
}

static void test_shared_keys_refuse_cross(void **state)
{
    const sq_option shared = { "shared", "true" };
    const sq_attention_desc desc = { .mechanism = "routing", .B = 1, .H = 1, .T = 8, .N = 9, .D = 4, .M = 4, .options = &shared, .option_count = 1 };
    sq_attention *plan;
    sq_error error;
    (void)state;
    assert_int_equal(sq_attention_create(&plan, &desc, &error), SQ_UNSUPPORTED);
    assert_contains(error.message, "shared");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_whole_window_is_exact), cmocka_unit_test(test_means_go_to_their_rows),
                                        cmocka_unit_test(test_shared_keys_refuse_cross) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
