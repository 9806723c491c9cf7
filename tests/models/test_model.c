/* Classifiers: gradients, padding, starting values, pooling, refusals, learning. */
#include "toy.h"

#include "autograd/node.h"

enum { CLASSES = 3 };
static const int32_t lengths[4] = { 9, 4, 7, 1 };

typedef struct variant { const char *name, *mechanism; sq_option option; int norm, pooling, positions, activation, bias; bool causal; int64_t head_size; } variant;

static const variant variants[] = {
    { .name = "pre, mean", .mechanism = "softmax" },
    { .name = "post, last, causal", .mechanism = "softmax", .norm = 1, .pooling = SQ_BY_LAST, .causal = true, .activation = 1 },
    { .name = "attention pooling", .mechanism = "softmax", .pooling = SQ_BY_ATTENTION },
    { .name = "attention pooling, causal", .mechanism = "aft", .pooling = SQ_BY_ATTENTION, .causal = true },
    { .name = "class token, sinusoidal", .mechanism = "softmax", .pooling = SQ_BY_CLASS, .positions = 1 },
    { .name = "no positions", .mechanism = "softmax", .positions = 2 },
    { .name = "rotary, class token", .mechanism = "softmax", .positions = 3, .pooling = SQ_BY_CLASS },
    { .name = "axial positions", .mechanism = "softmax", .positions = 4 },
    { .name = "alibi, causal", .mechanism = "softmax", .positions = 2, .bias = 1, .causal = true },
    { .name = "relative bias", .mechanism = "softmax", .positions = 2, .bias = 2 },
    { .name = "head size of its own", .mechanism = "softmax", .head_size = 7 },
    { .name = "linformer", .mechanism = "linformer" },
    { .name = "performer", .mechanism = "performer", .option = { "features", "256" } },
    { .name = "infinite-former", .mechanism = "infinite-former" },
    { .name = "long-short, post", .mechanism = "long-short", .norm = 1, .option = { "landmarks", "3" } },
    { .name = "synthesizer, random", .mechanism = "synthesizer", .option = { "variant", "random" } },
    { .name = "set-transformer", .mechanism = "set-transformer", .option = { "latents", "4" } },
    { .name = "axial attention, layers in turn", .mechanism = "axial" },
    { .name = "longnet, causal", .mechanism = "longnet", .option = { "dilations", "1,2,4,8" }, .causal = true },
    { .name = "gru", .mechanism = "gru" },
    { .name = "gru, reset before", .mechanism = "gru", .option = { "reset", "before" } },
    { .name = "rnn", .mechanism = "rnn" },
    { .name = "lstm", .mechanism = "lstm", .option = { "start", "orthogonal" } },
    { .name = "lstm, both directions", .mechanism = "lstm", .option = { "bidirectional", "true" } },
    { .name = "low-rank-rnn", .mechanism = "low-rank-rnn", .option = { "cell", "gru" } },
    { .name = "kronecker", .mechanism = "kronecker" },
};
enum { VARIANTS = sizeof variants / sizeof variants[0] };

static sq_model_config config_of(const variant *v)
{
    sq_model_config config = toy_config();
    config.norm = v->norm;
    config.head_size = v->head_size;
    config.pooling = v->pooling;
    config.positions = v->positions;
    config.activation = v->activation;
    config.position_bias = v->bias;
    config.bias_distance = 5;
    config.causal = v->causal;
    return config;
}

static sq_model *model_of(const variant *v, const sq_model_config *config)
{
    return toy_model_with(config, v->mechanism, v->option.key ? &v->option : NULL, 5);
}

static double loss_of(sq_model *model, sq_tape *tape, const sq_batch *batch, bool backward)
{
    sq_error error = { 0 };
    sq_var *auxiliary;
    sq__tape_reset(tape);
    sq__tape_mode(tape, true, 1, 2);
    sq_var *loss = sq__cross_entropy(tape, sq__model_forward(model, tape, batch, &auxiliary), batch->labels, &(sq_cross_entropy){ .ignore = -100 });
    if (auxiliary) loss = sq__add(tape, loss, auxiliary);
    assert_ok(sq__tape_status(tape, &error), &error);
    double value = loss->value[0];
    if (backward) assert_ok(sq__tape_backward(tape, loss, NULL, &error), &error);
    return value;
}

/* A step along a random direction of all parameters changes the loss as the gradient says. The loss is one float32 number near 1, so
 * the difference at h = 1/64 is good to 6e-8/h = 4e-6; measured worst over the variants, curvature included: 1.0e-4. Performer has features enough to be as smooth as the others. */
static void gradients_of_the_whole(void **state)
{
    (void)state;
    toy_batch toy;
    toy_batch_fill(&toy, 4, 9, lengths);
    double worst = 0;
    for (int v = 0; v < VARIANTS; v++) {
        sq_model_config config = config_of(&variants[v]);
        config.activation = 0;   /* relu has a kink */
        sq_model *model = model_of(&variants[v], &config);
        sq_tape *tape = sq__tape_create(true);
        int count;
        sq_parameter *parameters = sq__model_parameters(model, &count);
        sq__model_zero_gradients(model);
        loss_of(model, tape, &toy.batch, true);
        double along = 0, norm = 0, losses[4];
        const double steps[4] = { 1, -1, 2, -2 }, h = 1.0 / 64;
        for (int step = 0; step < 4; step++) {
            along = norm = 0;
            for (int sign = 1; sign >= -1; sign -= 2) {   /* there, and back again */
                for (int i = 0; i < count; i++) {
                    sq_random random = sq__random_stream(4, parameters[i].name, 0);
                    for (int64_t j = 0; parameters[i].trainable && j < parameters[i].count; j++) {
                        double u = rint(8 * sq__random_uniform(&random, (uint64_t)j) - 4) / 16;
                        parameters[i].value[j] += (float)(sign * steps[step] * h * u);
                        if (sign < 0) continue;
                        along += u * parameters[i].gradient[j];
                        norm += u * parameters[i].gradient[j] * u * parameters[i].gradient[j];
                    }
                }
                if (sign > 0) losses[step] = loss_of(model, tape, &toy.batch, false);
            }
        }
        double found = (8 * (losses[0] - losses[1]) - (losses[2] - losses[3])) / (12 * h), error = fabs(found - along) / sqrt(norm);
        if (!(error < 5e-4)) fail_msg("%s: derivative %.6g, by differences %.6g (error %.3g)", variants[v].name, along, found, error);
        worst = error > worst ? error : worst;
        sq__tape_destroy(tape);
        sq__model_destroy(&model);
    }
    print_message("worst relative error of the loss's derivative: %.3g\n", worst);
    toy_batch_clear(&toy);
}

/* The same events in a wider batch, alone, or without recording give the same logits. */
static void padding_changes_nothing(void **state)
{
    (void)state;
    toy_batch narrow, wide;
    toy_batch_fill(&narrow, 4, 9, lengths);
    toy_batch_fill(&wide, 4, 23, lengths);
    for (int v = 0; v < VARIANTS; v++) {
        sq_model_config config = config_of(&variants[v]);
        sq_model *model = model_of(&variants[v], &config);
        float *a = toy_logits(model, &narrow.batch), *b = toy_logits(model, &wide.batch);
        for (int i = 0; i < 4 * CLASSES; i++)
            if (!(fabsf(a[i] - b[i]) <= 2e-6f * (1 + fabsf(a[i]))))
                fail_msg("%s: logit %d is %.7g, %.7g in a wider batch", variants[v].name, i, (double)a[i], (double)b[i]);
        free(a);
        free(b);
        sq__model_destroy(&model);
    }
    toy_batch_clear(&narrow);
    toy_batch_clear(&wide);
}

/* Everything that is not the mechanism's own starts equal, whatever the mechanism; another seed starts elsewhere. */
static void mechanisms_start_equal(void **state)
{
    (void)state;
    sq_model_config config = toy_config();
    sq_model *a = toy_model(&config, "softmax", 5), *b = toy_model(&config, "performer", 5), *c = toy_model(&config, "softmax", 6);
    int na, nb, nc, shared = 0;
    sq_parameter *pa = sq__model_parameters(a, &na), *pb = sq__model_parameters(b, &nb), *pc = sq__model_parameters(c, &nc);
    assert_int_equal(na, nc);
    assert_true(nb > na);
    for (int i = 0; i < nb; i++) {
        if (strstr(pb[i].name, ".mechanism.")) {
            assert_false(pb[i].trainable);
            continue;
        }
        assert_string_equal(pb[i].name, pa[shared].name);
        assert_memory_equal(pb[i].value, pa[shared].value, (size_t)pa[shared].count * sizeof(float));
        shared++;
    }
    assert_int_equal(shared, na);
    assert_string_equal(pa[0].name, pc[0].name);
    assert_memory_not_equal(pa[0].value, pc[0].value, (size_t)pa[0].count * sizeof(float));
    sq__model_destroy(&a);
    sq__model_destroy(&b);
    sq__model_destroy(&c);
}

static const sq_parameter *named(sq_model *model, const char *name)
{
    int count;
    const sq_parameter *parameters = sq__model_parameters(model, &count);
    for (int i = 0; i < count; i++)
        if (strcmp(parameters[i].name, name) == 0) return &parameters[i];
    fail_msg("no parameter '%s'", name);
    return NULL;
}

static void names_and_shapes(void **state)
{
    (void)state;
    sq_model_config config = toy_config();
    config.pooling = SQ_BY_CLASS;
    sq_model *model = toy_model(&config, "softmax", 5);
    static const struct { const char *name; int64_t rows, columns; bool decay;
    } expected[] = {
        { "embedding.category.code.weight", 13, 16, false },   { "embedding.numbers.weight", 16, 2, true },
        { "embedding.positions.weight", 40, 16, false },       { "encoder.1.attention.query_key_value.weight", 48, 16, true },
        { "encoder.0.attention.output.weight", 16, 16, true }, { "encoder.0.feed_forward.in.weight", 64, 16, true },
        { "encoder.1.feed_forward.out.weight", 16, 64, true }, { "head.weight", 3, 16, true },
    };
    for (size_t i = 0; i < sizeof expected / sizeof expected[0]; i++) {
        const sq_parameter *p = named(model, expected[i].name);
        assert_int_equal(p->shape[0], expected[i].rows);
        assert_int_equal(p->shape[1], expected[i].columns);
        assert_int_equal(p->decay, expected[i].decay);
    }
    assert_int_equal(named(model, "embedding.class")->count, 16);
    assert_int_equal(named(model, "encoder.norm.bias")->count, 16);
    sq__model_destroy(&model);
}

/* layerwise sharing: one tensor of the mechanism for all layers; redraw changes what is drawn, the same way for the same number. */
static void tensors_of_the_mechanism(void **state)
{
    (void)state;
    sq_model_config config = toy_config();
    sq_model *model;
    sq_error error;
    int shared = 0, count;
    const sq_option options[2] = { { "sharing", "layerwise" }, { "rank", "4" } };
    assert_ok(sq__model_create(
                  &model, &config,
                  &(sq_model_spec){
                      .schema = &toy_schema, .name = "linformer", .options = options, .option_count = 2, .seed = 1, .threads = 1 },
                  &error),
              &error);
    sq_parameter *parameters = sq__model_parameters(model, &count);
    for (int i = 0; i < count; i++) {
        if (!strstr(parameters[i].name, ".mechanism.")) continue;
        assert_contains(parameters[i].name, "encoder.0.attention.mechanism.");
        shared++;
    }
    assert_true(shared > 0);
    sq__model_destroy(&model);

    model = toy_model(&config, "performer", 1);
    parameters = sq__model_parameters(model, &count);
    for (int i = 0; i < count; i++) {
        if (parameters[i].trainable) continue;
        const size_t bytes = (size_t)parameters[i].count * sizeof(float);
        float *first = malloc(bytes), *second = malloc(bytes);
        memcpy(first, parameters[i].value, bytes);
        assert_int_equal(sq__model_redraw(model, 0), SQ_OK);
        assert_memory_equal(parameters[i].value, first, bytes);   /* number 0 is what it began with */
        assert_int_equal(sq__model_redraw(model, 1), SQ_OK);
        memcpy(second, parameters[i].value, bytes);
        assert_memory_not_equal(first, second, bytes);
        assert_int_equal(sq__model_redraw(model, 2), SQ_OK);
        assert_int_equal(sq__model_redraw(model, 1), SQ_OK);
        assert_memory_equal(parameters[i].value, second, bytes);
        assert_int_equal(sq__model_redraw(model, 0), SQ_OK);
        free(first);
        free(second);
    }
    sq__model_destroy(&model);
}

static void refused(const sq_model_config *config, const char *mechanism, const sq_schema *schema, const char *part)
{
    sq_model *model;
    sq_error error = { 0 };
    assert_int_not_equal(
        sq__model_create(&model, config, &(sq_model_spec){ .schema = schema, .name = mechanism, .seed = 1, .threads = 1 }, &error),
        SQ_OK);
    assert_null(model);
    assert_contains(error.message, part);
}

static void what_cannot_be(void **state)
{
    (void)state;
    sq_model_config config = toy_config();
    sq_schema schema = toy_schema;
    refused(&config, "sotfmax", &toy_schema, "did you mean 'softmax'");
    config.causal = true;
    refused(&config, "linformer", &toy_schema, "linformer cannot do 'causal'");
    config.pooling = SQ_BY_CLASS;
    refused(&config, "softmax", &toy_schema, "class token");
    config = toy_config();
    config.positions = 3;
    refused(&config, "linformer", &toy_schema, "linformer cannot do 'rotary'");
    config = toy_config();
    config.position_bias = 1;
    refused(&config, "performer", &toy_schema, "performer cannot do 'bias'");
    config = toy_config();
    config.heads = 3;
    refused(&config, "softmax", &toy_schema, "multiple of the 3 heads");
    config = toy_config();
    schema.class_count = 1;
    refused(&config, "softmax", &schema, "1 classes");
    schema = toy_schema;
    schema.category_count = schema.number_count = 0;
    refused(&config, "softmax", &schema, "no columns");
}

static void a_batch_that_does_not_fit(void **state)
{
    (void)state;
    sq_model_config config = toy_config();
    sq_model *model = toy_model(&config, "softmax", 5);
    sq_tape *tape = sq__tape_create(false);
    sq_error error = { 0 };
    toy_batch toy;
    toy_batch_fill(&toy, 4, 41, lengths);
    assert_null(sq__model_forward(model, tape, &toy.batch, NULL));
    assert_int_equal(sq__tape_status(tape, &error), SQ_INVALID);
    assert_contains(error.message, "max_length = 40");
    toy_batch_clear(&toy);
    toy_batch_fill(&toy, 4, 9, lengths);
    toy.categories[0][1] = 13;
    sq__tape_reset(tape);
    assert_null(sq__model_forward(model, tape, &toy.batch, NULL));
    assert_int_equal(sq__tape_status(tape, &error), SQ_INVALID);
    assert_contains(error.message, "id 13 of column 0");
    toy_batch_clear(&toy);
    sq__tape_destroy(tape);
    sq__model_destroy(&model);
}

/* Plain descent on one batch fits it. */
static void it_learns(void **state)
{
    (void)state;
    toy_batch toy;
    toy_batch_fill(&toy, 4, 9, lengths);
    for (int v = 0; v < VARIANTS; v++) {
        sq_model_config config = config_of(&variants[v]);
        sq_model *model = model_of(&variants[v], &config);
        sq_tape *tape = sq__tape_create(true);
        int count;
        sq_parameter *parameters = sq__model_parameters(model, &count);
        double first = 0, last = 0;
        for (int step = 0; step < 250; step++) {
            sq__model_zero_gradients(model);
            last = loss_of(model, tape, &toy.batch, true);
            if (step == 0) first = last;
            for (int i = 0; i < count; i++)
                for (int64_t j = 0; parameters[i].trainable && j < parameters[i].count; j++)
                    parameters[i].value[j] -= 0.1f * parameters[i].gradient[j];
        }
        if (!(last < 0.1 && last < first / 5)) fail_msg("%s: the loss went from %.4g to %.4g only", variants[v].name, first, last);
        sq__tape_destroy(tape);
        sq__model_destroy(&model);
    }
    toy_batch_clear(&toy);
}

/* Loss and gradients have the same bits on any number of threads. */
static void threads_change_no_bit(void **state)
{
    (void)state;
    toy_batch toy;
    toy_batch_fill(&toy, 4, 40, (const int32_t[]){ 40, 33, 7, 1 });
    for (int v = 0; v < VARIANTS; v++) {
        sq_model_config config = config_of(&variants[v]);
        config.dropout = config.embedding_dropout = 0.2;
        float *kept[256];
        double loss[2];
        for (int run = 0; run < 2; run++) {
            sq_model *model = model_of(&variants[v], &config);
            sq_tape *tape = sq__tape_create(true);
            int count;
            sq__set_threads(run ? 3 : 1);
            sq__model_zero_gradients(model);
            loss[run] = loss_of(model, tape, &toy.batch, true);
            sq_parameter *parameters = sq__model_parameters(model, &count);
            for (int i = 0; i < count && i < 256; i++) {
                if (!parameters[i].trainable) continue;
                const size_t bytes = (size_t)parameters[i].count * sizeof(float);
                if (run) assert_memory_equal(kept[i], parameters[i].gradient, bytes);
                else memcpy(kept[i] = malloc(bytes), parameters[i].gradient, bytes);
                if (run) free(kept[i]);
            }
            sq__tape_destroy(tape);
            sq__model_destroy(&model);
        }
        assert_true(loss[0] == loss[1]);
    }
    sq__set_threads(1);
    toy_batch_clear(&toy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_of_the_whole), cmocka_unit_test(padding_changes_nothing), cmocka_unit_test(mechanisms_start_equal),
        cmocka_unit_test(names_and_shapes), cmocka_unit_test(tensors_of_the_mechanism), cmocka_unit_test(what_cannot_be),
        cmocka_unit_test(a_batch_that_does_not_fit), cmocka_unit_test(it_learns), cmocka_unit_test(threads_change_no_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
