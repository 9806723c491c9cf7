/* Laws of Performer that conformance cannot know. */
#include "attention/orthogonal.h"
#include "base/random.h"
#include "reference/trial.h"
#include "support/check.h"

static void open_or_fail(trial *t, const char *mechanism, const char *options, const trial_shape *shape)
{
    if (trial_open(t, mechanism, options, shape) != SQ_OK) fail_msg("%s", t->error.message);
}

/* Root mean square difference from exact attention over some draws of the projection. */
static double distance_from_softmax(const char *options, const trial_shape *shape, int draws)
{
    trial exact, random;
    double square = 0;
    open_or_fail(&exact, "softmax", "", shape);
    open_or_fail(&random, "performer", options, shape);
    trial_forward(&exact);
    for (int draw = 0; draw < draws; draw++) {
        assert_int_equal(sq_attention_tensor_init(random.plan, 0, 77, (uint64_t)draw, random.tensor[0]), SQ_OK);
        trial_forward(&random);
        for (int64_t i = 0; i < exact.out.count; i++) square += pow((double)exact.out.data[i] - random.out.data[i], 2);
    }
    square /= (double)(exact.out.count * draws);
    trial_close(&exact);
    trial_close(&random);
    return sqrt(square);
}

/* The error falls as m^-1/2: 256 times the directions, 1/16 of the error. (Once m exceeds exp(|q~ + k~|^2): so inputs are small.)
 * Orthogonal directions with LAPACK's signs would stop at 7e-3. */
static void test_converges_to_softmax(void **state)
{
    static const char *const kernels[] = { "softmax", "hyperbolic", "trigonometric" };
    (void)state;
    for (int causal = 0; causal < 2; causal++)
        for (size_t i = 0; i < sizeof kernels / sizeof kernels[0]; i++) {
            const trial_shape shape = { .B = 1, .H = 2, .T = 150, .N = 150, .D = 8, .M = 5, .causal = causal == 1, .size = 0.4 };
            char few[128], many[128];
            snprintf(few, sizeof few, "features=64 kernel=%s", kernels[i]);
            snprintf(many, sizeof many, "features=16384 kernel=%s", kernels[i]);
            const double coarse = distance_from_softmax(few, &shape, 8), fine = distance_from_softmax(many, &shape, 1);
            print_message("%s%s: distance from softmax %.2e with 64 features, %.2e with 16384\n", kernels[i], causal ? " causal" : "", coarse, fine);
            if (!(fine < coarse / 8 && fine > coarse / 32)) fail_msg("%s: the error goes from %.3g to %.3g; expected a sixteenth", kernels[i], coarse, fine);
        }
}

/* Theorem 2: orthogonal directions err less than independent ones; Lemma 2: hyperbolic features less than as many positive ones. */
static void test_orthogonal_and_hyperbolic_err_less(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 60, .N = 60, .D = 16, .M = 4, .size = 0.4 };
    const double independent = distance_from_softmax("features=16 orthogonal=false", &shape, 200);
    const double orthogonal = distance_from_softmax("features=16", &shape, 200);
    const double twice = distance_from_softmax("features=32", &shape, 200), both_signs = distance_from_softmax("features=16 kernel=hyperbolic", &shape, 200);
    (void)state;
    print_message("distance from softmax, 16 directions of 16: independent %.4f, orthogonal %.4f, 32 orthogonal %.4f, 16 hyperbolic %.4f\n",
                  independent, orthogonal, twice, both_signs);
    assert_true(orthogonal < independent);
    assert_true(both_signs < twice);
}

static void test_order_of_keys_is_irrelevant(void **state)
{
    const trial_shape shape = { .B = 1, .H = 2, .T = 70, .N = 300, .D = 16, .M = 8 };
    const sq_random random = sq__random_stream(5, "order", 0);
    int64_t order[300];
    trial a, b;
    (void)state;
    sq__random_permutation(&random, order, 300);
    open_or_fail(&a, "performer", "", &shape);
    open_or_fail(&b, "performer", "", &shape);
    for (int64_t j = 0; j < shape.N; j++)
        for (int64_t h = 0; h < shape.H; h++) {
            memcpy(trial_at(&b.k, 0, j, h, 0), trial_at(&a.k, 0, order[j], h, 0), (size_t)shape.D * sizeof(float));
            memcpy(trial_at(&b.v, 0, j, h, 0), trial_at(&a.v, 0, order[j], h, 0), (size_t)shape.M * sizeof(float));
        }
    trial_forward(&a), trial_forward(&b);
    trial_backward(&a), trial_backward(&b);
    for (int64_t i = 0; i < a.out.count; i++) assert_close(b.out.data[i], a.out.data[i], 2e-6);
    for (int64_t j = 0; j < shape.N; j++)
        for (int64_t h = 0; h < shape.H; h++)
            for (int64_t c = 0; c < shape.D; c++) {
                const double expected = *trial_at(&a.dk, 0, order[j], h, c);
                assert_close(*trial_at(&b.dk, 0, j, h, c), expected, 2e-6 * (1 + fabs(expected)));
            }
    trial_close(&a);
    trial_close(&b);
}

/* Key j times factor[j % 4]: norms far apart within a chunk, so that references rise, fall and cut chunks short. */
static void spread_norms(trial *t, double least, double most)
{
    for (int64_t j = 0; j < t->shape.N; j++) {
        const double factor = least * pow(most / least, (double)(j * 37 % 101) / 100);
        for (int64_t h = 0; h < t->k.heads; h++)
            for (int64_t d = 0; d < t->shape.D; d++) *trial_at(&t->k, 0, j, h, d) *= (float)factor;
    }
}

/* Positive features weigh values by a probability: out lies between the least and the largest value, gradients are finite. */
static void expect_sane(trial *t, const char *what)
{
    float least = INFINITY, most = -INFINITY;
    trial_forward(t);
    trial_backward(t);
    for (int64_t i = 0; i < t->v.count; i++) {
        least = fminf(least, t->v.data[i]);
        most = fmaxf(most, t->v.data[i]);
    }
    for (int64_t i = 0; i < t->out.count; i++)
        if (!(t->out.data[i] >= least - 1e-4f && t->out.data[i] <= most + 1e-4f))
            fail_msg("%s: out is %g; expected between %g and %g", what, (double)t->out.data[i], (double)least, (double)most);
    const trial_array *gradients[] = { &t->dq, &t->dk, &t->dv };
    for (int g = 0; g < 3; g++)
        for (int64_t i = 0; i < gradients[g]->count; i++)
            if (!isfinite(gradients[g]->data[i])) fail_msg("%s: a gradient is %g", what, (double)gradients[g]->data[i]);
}

static void test_inputs_of_any_size(void **state)
{
    static const double sizes[] = { 1e-30, 1e-10, 1e-3, 1, 4, 30, 1e3, 1e6, 1e15 };   /* 4 at D = 64: norm 32 */
    (void)state;
    for (int causal = 0; causal < 2; causal++)
        for (int both = 0; both < 2; both++)
            for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
                const trial_shape shape = { .B = 1, .H = 1, .T = 300, .N = 300, .D = 64, .M = 6, .causal = causal == 1, .size = sizes[i] };
                char what[128];
                trial t;
                snprintf(what, sizeof what, "inputs of size %g%s%s", sizes[i], causal ? " causal" : "", both ? " hyperbolic" : "");
                open_or_fail(&t, "performer", both ? "kernel=hyperbolic features=100" : "", &shape);
                expect_sane(&t, what);
                spread_norms(&t, 1e-3, 10);
                expect_sane(&t, what);
                trial_close(&t);
            }
}

/* Tiny inputs: every key weighs the same. */
static void test_tiny_inputs_average(void **state)
{
    const trial_shape shape = { .B = 1, .H = 1, .T = 10, .N = 400, .D = 64, .M = 3, .size = 1e-12 };
    trial t;
    double mean[3] = { 0 };
    (void)state;
    open_or_fail(&t, "performer", "", &shape);
    trial_forward(&t);
    for (int64_t j = 0; j < shape.N; j++)
        for (int64_t c = 0; c < shape.M; c++) mean[c] += *trial_at(&t.v, 0, j, 0, c) / (double)shape.N;
    for (int64_t i = 0; i < shape.T; i++)
        for (int64_t c = 0; c < shape.M; c++) assert_close(*trial_at(&t.out, 0, i, 0, c), mean[c], 1e-6);
    trial_close(&t);
}

/* Norms around 30 that differ by e^100 and more between the keys of a chunk: still the reference's value and gradient. */
static void test_large_inputs_agree_with_reference(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const trial_shape shape = { .B = 1, .H = 1, .T = 300, .N = 300, .D = 64, .M = 4, .causal = causal == 1, .size = 2 };
        double *expected = calloc(300 * 4, sizeof *expected), *shaken = calloc(300 * 4, sizeof *shaken), auxiliary;
        double error = 0, noise = 0, along = 0, square = 0;
        trial t;
        open_or_fail(&t, "performer", "features=80", &shape);
        spread_norms(&t, 0.2, 4);
        trial_forward(&t);
        trial_backward(&t);
        trial_reference(&t, 0, expected, &auxiliary);
        trial_reference(&t, 0x1p-24, shaken, &auxiliary);
        for (int64_t i = 0; i < t.out.count; i++) {
            error = fmax(error, fabs(t.out.data[i] - expected[i]));
            noise = fmax(noise, fabs(shaken[i] - expected[i]));
        }
        print_message("large inputs%s: error %.2e where rounding the inputs moves the value by %.2e\n", causal ? " causal" : "", error, noise);
        assert_true(error <= 16 * noise + 2e-6);
        const sq_random random = sq__random_stream(8, "direction", 0);
        double *direction[3 + TRIAL_TENSORS] = { NULL, calloc((size_t)t.k.count, sizeof(double)) };
        float *dk = trial_packed(&t, &t.dk);
        for (int64_t i = 0; i < t.k.count; i++) {
            direction[1][i] = sq__random_normal(&random, (uint64_t)i);
            along += direction[1][i] * dk[i];
            square += (double)dk[i] * dk[i];
        }
        const double difference = (trial_objective(&t, direction, 1e-6) - trial_objective(&t, direction, -1e-6)) / 2e-6;
        assert_close(along, difference, 2e-4 * sqrt(square));
        free(direction[1]);
        free(dk);
        free(expected);
        free(shaken);
        trial_close(&t);
    }
}

/* ---- the projection ---- */

static double inner(const float *x, const float *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i] * y[i];
    return sum;
}

/* Rows of Q' with LAPACK's signs: Q'A is upper triangular, and its first row points against the sign of a_00. */
static void test_orthogonal_directions(void **state)
{
    enum { D = 24, M = 60, BLOCKS = 3 };
    static float blocks[BLOCKS * D * D], norms[M * D], rows[M * D];
    const sq_random random = sq__random_stream(3, "blocks", 0), length = sq__random_stream(3, "norms", 0);
    (void)state;
    sq__random_normal_fill(&random, blocks, BLOCKS * D * D, 1);
    sq__random_normal_fill(&length, norms, M * D, 1);
    for (int chi = 0; chi < 2; chi++) {
        assert_int_equal(sq__orthogonal_directions(blocks, chi ? norms : NULL, M, D, rows), SQ_OK);
        for (int i = 0; i < M; i++) {
            const double expected = chi ? inner(norms + i * D, norms + i * D, D) : D;
            assert_close(inner(rows + i * D, rows + i * D, D), expected, 1e-5 * expected);
            for (int j = i / D * D; j < i; j++) assert_close(inner(rows + i * D, rows + j * D, D), 0, 1e-5 * expected);
            for (int column = 0; column < i % D; column++) {
                double below = 0;
                for (int d = 0; d < D; d++) below += (double)rows[i * D + d] * blocks[(i / D * D + d) * D + column];
                assert_close(below, 0, 1e-4);
            }
            if (i % D == 0) assert_true(rows[i * D] < 0);   /* column 0 of A times -sign(a_00) */
        }
    }
}

static void test_draws(void **state)
{
    const trial_shape shape = { .B = 1, .H = 3, .T = 4, .N = 4, .D = 16, .M = 4 };
    static const char *const options[] = { "features=40", "features=40 orthogonal=false", "features=40 per_head=true" };
    (void)state;
    for (size_t o = 0; o < sizeof options / sizeof options[0]; o++) {
        trial t;
        open_or_fail(&t, "performer", options[o], &shape);
        const size_t bytes = (size_t)t.tensor_size[0] * sizeof(float);
        float *again = malloc(bytes);
        assert_string_equal(t.tensors[0].name, "projection");
        assert_false(t.tensors[0].trainable);
        assert_int_equal(t.tensor_size[0], (o == 2 ? 3 : 1) * 40 * 16);
        assert_int_equal(sq_attention_tensor_init(t.plan, 0, 21, 0, again), SQ_OK);
        assert_memory_equal(again, t.tensor[0], bytes);
        assert_int_equal(sq_attention_tensor_init(t.plan, 0, 21, 1, again), SQ_OK);
        assert_true(memcmp(again, t.tensor[0], bytes) != 0);
        assert_int_equal(sq_attention_tensor_init(t.plan, 0, 22, 0, again), SQ_OK);
        assert_true(memcmp(again, t.tensor[0], bytes) != 0);
        if (o == 2) assert_true(memcmp(again, again + 40 * 16, 40 * 16 * sizeof(float)) != 0);
        assert_close(inner(t.tensor[0], t.tensor[0], t.tensor_size[0]) / (double)t.tensor_size[0], 1, 0.15);   /* unit variance */
        free(again);
        trial_close(&t);
    }
}

/* ---- cost ---- */

/* Workspace does not know the length; what is saved is a float a row. */
static void test_memory_is_linear(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        size_t workspace[2][2], saved[2];
        for (int large = 0; large < 2; large++) {
            const int64_t n = large ? 65536 : 1024;
            const sq_attention_desc desc = { .mechanism = "performer", .B = 1, .H = 2, .T = n, .N = n, .D = 64, .M = 64, .causal = causal == 1 };
            sq_attention *plan;
            sq_error error;
            assert_ok(sq_attention_create(&plan, &desc, &error), &error);
            for (int pass = 0; pass < 2; pass++) workspace[large][pass] = sq_attention_workspace_bytes(plan, (sq_pass)pass);
            saved[large] = sq_attention_saved_bytes(plan);
            sq_attention_destroy(&plan);
        }
        assert_int_equal(workspace[0][0], workspace[1][0]);
        assert_int_equal(workspace[0][1], workspace[1][1]);
        assert_int_equal(saved[1] - saved[0], (65536 - 1024) * 2 * sizeof(float));
    }
}

static void expect_refusal(const char *options, float scale, const char *part)
{
    char text[128];
    sq_option list[TRIAL_OPTIONS];
    sq_attention *plan;
    sq_error error;
    snprintf(text, sizeof text, "%s", options);
    const sq_attention_desc desc = { .mechanism = "performer", .options = list, .option_count = trial_options(text, list, TRIAL_OPTIONS), .scale = scale,
                                     .B = 1, .H = 1, .T = 4, .N = 4, .D = 4, .M = 4 };
    assert_int_equal(sq_attention_create(&plan, &desc, &error), SQ_UNSUPPORTED);
    assert_contains(error.message, part);
}

static void test_refusals(void **state)
{
    (void)state;
    expect_refusal("convention=idiap kernel=relu", 0, "convention idiap has no kernel relu");
    expect_refusal("convention=hku kernel=hyperbolic", 0, "convention hku has no kernel hyperbolic");
    expect_refusal("project=false", 0, "with project false");
    expect_refusal("", -0.5f, "scale");
    expect_refusal("convention=google kernel=relu", 0.9f, "scale");
    expect_refusal("stabilize=true", 0, "convention paper is always stable");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_converges_to_softmax), cmocka_unit_test(test_orthogonal_and_hyperbolic_err_less),
        cmocka_unit_test(test_order_of_keys_is_irrelevant), cmocka_unit_test(test_inputs_of_any_size), cmocka_unit_test(test_tiny_inputs_average),
        cmocka_unit_test(test_large_inputs_agree_with_reference), cmocka_unit_test(test_orthogonal_directions), cmocka_unit_test(test_draws),
        cmocka_unit_test(test_memory_is_linear), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
