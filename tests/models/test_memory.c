/* What a model holds: a training step and inference at full size, and every allocation failing in turn. */
#include "toy.h"

#include "models/backbone.h"

typedef struct sized { sq_schema schema; sq_category category; sq_batch batch; int32_t *ids; } sized;

/* B sequences of n events over one column of 100 words; max_length n */
static void make_sized(sized *s, int64_t B, int64_t n)
{
    sq_random random = sq__random_stream(1, "sized", 0);
    s->category = (sq_category){ .name = "code", .count = 100 };
    s->schema = (sq_schema){ .category_count = 1, .class_count = 2, .categories = &s->category, .max_length = n };
    s->ids = malloc((size_t)(B * n) * sizeof *s->ids);
    s->batch = (sq_batch){ .B = B,
                           .T = n,
                           .category_count = 1,
                           .categories = &s->ids,
                           .lengths = malloc((size_t)B * sizeof(int32_t)),
                           .labels = calloc((size_t)B, sizeof(int32_t)) };
    for (int64_t i = 0; i < B * n; i++) s->ids[i] = (int32_t)sq__random_below(&random, (uint64_t)i, 101);
    for (int64_t b = 0; b < B; b++) s->batch.lengths[b] = (int32_t)n;
}

static void drop_sized(sized *s)
{
    free(s->ids);
    free(s->batch.lengths);
    free(s->batch.labels);
}

static sq_model_config usual(void)
{
    sq_model_config config;
    sq__fields_defaults(sq__model_fields, &config);
    return config;
}

/* Peak bytes above the model's own while a batch runs forward (and backward). */
static size_t peak_of(const sq_model_config *config, int64_t B, int64_t n, bool train)
{
    sized s;
    sq_model *model;
    sq_error error;
    make_sized(&s, B, n);
    assert_ok(
        sq__model_create(&model, config, &(sq_model_spec){ .schema = &s.schema, .name = "softmax", .seed = 1, .threads = 1 }, &error),
        &error);
    const size_t before = sq_memory_current();
    sq_memory_reset_peak();
    sq_tape *tape = sq__tape_create(train);
    sq__tape_mode(tape, train, 1, 1);
    sq_var *logits = sq__model_forward(model, tape, &s.batch, NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    if (train) {
        sq_var *loss = sq__cross_entropy(tape, logits, s.batch.labels, &(sq_cross_entropy){ .ignore = -100 });
        assert_ok(sq__tape_backward(tape, loss, NULL, &error), &error);
    }
    const size_t peak = sq_memory_peak() - before;
    sq__tape_destroy(tape);
    sq__model_destroy(&model);
    drop_sized(&s);
    return peak;
}

/* 2 layers, width 128, 4 heads, n = 1024, batch 8, dropout: rows of 4 MB; kept per layer 13 of them (norm, packed projection 3,
 * attention, sum, norm, hidden 4, two byte masks): about 130 MB with the gradients on the way. */
static void a_training_step(void **state)
{
    (void)state;
    const sq_model_config config = usual();
    const size_t peak = peak_of(&config, 8, 1024, true);
    print_message("training step: %.1f MB\n", (double)peak * 1e-6);
    assert_true(peak < 160u << 20);
}

/* Nothing is kept: about 7 rows at once, in proportion to their number, however many layers. */
static void inference(void **state)
{
    (void)state;
    const sq_model_config config = usual();
    const size_t small = peak_of(&config, 1, 1024, false), large = peak_of(&config, 1, 8192, false);
    print_message("inference: %.2f MB for 1024 events, %.2f MB for 8192\n", (double)small * 1e-6, (double)large * 1e-6);
    assert_true(large < 8u * 8192 * 128 * sizeof(float));
    assert_true((double)large / (double)small < 8.5);
}

/* 12 layers for 3: as many times the values of a layer; none of them; the rows between layers, of which a layer has 13 otherwise. */
static void deeper_models(void **state)
{
    (void)state;
    size_t peaks[4][2];
    for (int way = 0; way < 4; way++)
        for (int deep = 0; deep < 2; deep++) {
            sq_model_config config = usual();
            config.layers = deep ? 12 : 3;
            config.reversible = way == 1 || way == 2;
            config.feed_forward_chunk = way == 2 ? 64 : 0;
            config.recompute = way == 3;
            peaks[way][deep] = peak_of(&config, 4, 512, true);
        }
    static const char *const names[4] = { "kept", "reversible", "reversible, chunked", "recomputed" };
    for (int way = 0; way < 4; way++)
        print_message("%-20s %6.1f MB with 3 layers, %6.1f MB with 12: %.2f times\n", names[way], (double)peaks[way][0] * 1e-6,
                      (double)peaks[way][1] * 1e-6, (double)peaks[way][1] / (double)peaks[way][0]);
    assert_true(peaks[0][1] > 3 * peaks[0][0]);
    assert_true(peaks[1][1] * 100 < peaks[1][0] * 105 && peaks[2][1] * 100 < peaks[2][0] * 105);
    assert_true(peaks[2][1] * 10 < peaks[1][1] * 9);
    assert_true(peaks[3][1] * 4 < peaks[0][1]);
}

/* Creation and a training step; of what streams, two segments more. */
static sq_status live(const char *name, const sq_model_config *config, const toy_batch *toy, sq_model **model, sq_tape **tape, sq_carry **carry)
{
    sq_error error;
    SQ_TRY(sq__model_create(model, config, &(sq_model_spec){ .schema = &toy_schema, .name = name, .seed = 1, .threads = 1 }, &error));
    if (!(*tape = sq__tape_create(true))) return SQ_NO_MEMORY;
    if (sq__model_streams(*model)) SQ_TRY(sq__carry_create(carry, sq__model_layout(*model), toy->batch.B, &error));
    for (int segment = 0; segment < (*carry ? 3 : 1); segment++) {
        sq__tape_reset(*tape);
        sq__tape_mode(*tape, true, 1, 1);
        sq_var *auxiliary, *out = segment ? sq__model_segment(*model, *tape, &toy->batch, *carry, &auxiliary)
                                          : sq__model_forward(*model, *tape, &toy->batch, &auxiliary);
        sq_var *loss = sq__cross_entropy(*tape, out, toy->batch.labels, &(sq_cross_entropy){ .ignore = -100 });
        if (auxiliary) loss = sq__add(*tape, loss, auxiliary);
        SQ_TRY(sq__tape_status(*tape, &error));
        SQ_TRY(sq__tape_backward(*tape, loss, NULL, &error));
    }
    return SQ_OK;
}

static void fail_in_turn(const char *name, const sq_model_config *config, const toy_batch *toy)
{
    const size_t before = sq_memory_current();
    bool done = false;
    for (long n = 1; !done && n < 3000; n++) {
        sq_model *model = NULL;
        sq_tape *tape = NULL;
        sq_carry *carry = NULL;
        sq__alloc_fail_after(n);
        const sq_status status = live(name, config, toy, &model, &tape, &carry);
        sq__alloc_fail_after(0);
        done = status == SQ_OK;
        if (!done) assert_int_equal(status, SQ_NO_MEMORY);
        sq__carry_destroy(&carry);
        sq__tape_destroy(tape);
        sq__model_destroy(&model);
        assert_int_equal(sq_memory_current(), before);
    }
    assert_true(done);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    static const char *const mechanisms[] = { "softmax", "linformer", "routing", "softmax" };
    const int32_t lengths[3] = { 5, 2, 4 };
    toy_batch toy;
    toy_batch_fill(&toy, 3, 5, lengths);
    sq_model_config config = toy_config();
    config.dropout = 0.1;
    for (const sq_backbone_kind *const *kind = sq__backbone_kinds(); *kind; kind++) fail_in_turn((*kind)->name, &config, &toy);
    for (int i = 0; i < 4; i++) {
        config.pooling = i == 1 ? SQ_BY_CLASS : SQ_BY_AUTO;
        config.reversible = i == 2;
        config.recompute = config.share_layers = i == 3;
        fail_in_turn(mechanisms[i], &config, &toy);
    }
    toy_batch_clear(&toy);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_training_step), cmocka_unit_test(inference), cmocka_unit_test(deeper_models), cmocka_unit_test(every_allocation_may_fail) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
