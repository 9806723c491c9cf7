/* Laws of Sinkhorn attention that conformance cannot know. */
#include "attention/sinkhorn.h"
#include "base/memory.h"
#include "reference/trial.h"
#include "support/check.h"

static void open_or_fail(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s", t->error.message);
}

/* One block: its sorted copy is itself with weight 1, and meeting every key twice is exact attention. */
static void test_one_block_is_exact(void **state)
{
    static const char *const options[] = { "block=90", "block=100 noise=none", "block=90 sorting=topk topk=1", "block=200 sorting=sortcut topk=1" };
    const trial_shape shape = { .B = 2, .H = 2, .T = 90, .N = 90, .D = 8, .M = 5, .key_mask = true };
    trial exact, sorted;
    (void)state;
    open_or_fail(&exact, "softmax", "", &shape);
    trial_forward(&exact);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        open_or_fail(&sorted, "sinkhorn", options[i], &shape);
        trial_forward(&sorted);
        for (int64_t j = 0; j < exact.out.count; j++)
            if (!(fabsf(sorted.out.data[j] - exact.out.data[j]) < 2e-6f))
                fail_msg("[%s] element %d is %g; expected %g", options[i], (int)j, (double)sorted.out.data[j], (double)exact.out.data[j]);
        trial_close(&sorted);
    }
    trial_close(&exact);
}

/* Enough normalisations: every block of queries takes one block's worth, every block of keys gives one. */
static void test_weights_are_doubly_stochastic(void **state)
{
    enum { BLOCKS = 7 };
    const trial_shape shape = { .B = 1, .H = 1, .T = 53, .N = 53, .D = 8, .M = 8 };
    const sq_sinkhorn_config config = { .block = 8, .iterations = 100, .temperature = 2, .noise = SQ_SINKHORN_TRAINING };
    const sq_problem problem = { .B = 1, .H = 1, .Hk = 1, .T = 53, .N = 53, .D = 8, .M = 8, .max_length = 53, .threads = 1, .scale = 0.35f, .seed = 4 };
    float matrix[BLOCKS * BLOCKS];
    sq_sizes sizes = { 0 };
    trial t;
    (void)state;
    open_or_fail(&t, "sinkhorn", "", &shape);
    sq__attention_kind("sinkhorn")->sizes(&config, &problem, &sizes);
    void *workspace = sq__alloc(sizes.forward_workspace);
    const sq_attention_call call = { .q = t.q.view, .k = t.k.view, .v = t.v.view, .workspace = workspace, .training = true };
    const sq_run run = { .problem = &problem, .config = &config, .kernels = sq__kernels(), .call = &call };
    sq__sinkhorn_matrix(&run, 0, 0, matrix);
    for (int u = 0; u < BLOCKS; u++) {
        double row = 0, column = 0;
        for (int v = 0; v < BLOCKS; v++) row += matrix[u * BLOCKS + v], column += matrix[v * BLOCKS + u];
        assert_true(fabs(row - 1) < 1e-3 && fabs(column - 1) < 1e-5);   /* columns come last */
    }
    sq__free(workspace);
    trial_close(&t);
}

/* Noise is drawn anew in each step of training, and there alone. */
static void test_noise_is_of_training(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 64, .N = 64, .D = 8, .M = 4 };
    (void)state;
    for (int training = 0; training < 2; training++) {
        trial a, b;
        open_or_fail(&a, "sinkhorn", "block=8", &shape);
        open_or_fail(&b, "sinkhorn", training ? "block=8" : "block=8 noise=none", &shape);
        a.training = training == 1, b.training = true, b.step = 4;
        trial_forward(&a), trial_forward(&b);
        const bool same = memcmp(a.out.data, b.out.data, (size_t)a.out.count * sizeof(float)) == 0;
        assert_int_equal(same, !training);
        trial_close(&a), trial_close(&b);
    }
}

static void test_refusals(void **state)
{
    static const sq_option sortcut = { "sorting", "sortcut" }, lucidrains = { "convention", "lucidrains" };
    const struct { const sq_option *option; bool causal; const char *text; } cases[] = { { &sortcut, true, "sortcut" }, { &lucidrains, false, "D = M" } };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const sq_attention_desc desc = { .mechanism = "sinkhorn", .B = 1, .H = 1, .T = 8, .N = 8, .D = 4, .M = 5, .causal = cases[i].causal,
                                         .options = cases[i].option, .option_count = 1 };
        sq_attention *plan;
        sq_error error;
        assert_int_equal(sq_attention_create(&plan, &desc, &error), SQ_UNSUPPORTED);
        assert_contains(error.message, cases[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_one_block_is_exact), cmocka_unit_test(test_weights_are_doubly_stochastic),
                                        cmocka_unit_test(test_noise_is_of_training), cmocka_unit_test(test_refusals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
