/* A small schema and batches drawn at random, for tests of models. */
#ifndef SQ_TESTS_MODELS_TOY_H
#define SQ_TESTS_MODELS_TOY_H

#include "base/random.h"
#include "models/model.h"
#include "support/check.h"

static sq_category toy_categories[2] = { { .name = "code", .count = 12 }, { .name = "place", .count = 5 } };
static sq_number toy_numbers[2] = { { .name = "amount" }, { .name = "time.gap" } };
static const sq_schema toy_schema = {
    .category_count = 2, .number_count = 2, .class_count = 3, .categories = toy_categories, .numbers = toy_numbers, .max_length = 40
};

typedef struct toy_batch { sq_batch batch; int32_t *categories[2]; } toy_batch;

static inline void toy_batch_clear(toy_batch *toy)
{
    for (int i = 0; i < 2; i++) free(toy->categories[i]);
    free(toy->batch.numbers);
    free(toy->batch.lengths);
    free(toy->batch.labels);
}

/* lengths[B]; what lies beyond a length is -1 and 0, or, with junk, anything */
static inline void toy_batch_fill(toy_batch *toy, int64_t B, int64_t T, const int32_t *lengths)
{
    sq_random random = sq__random_stream(3, "toy", (uint64_t)B);
    *toy = (toy_batch){ .batch = { .B = B, .T = T, .category_count = 2, .number_count = 2 } };
    toy->batch.categories = toy->categories;
    for (int c = 0; c < 2; c++) toy->categories[c] = malloc((size_t)(B * T) * sizeof(int32_t));
    toy->batch.numbers = malloc((size_t)(B * T * 2) * sizeof(float));
    toy->batch.lengths = malloc((size_t)B * sizeof(int32_t));
    toy->batch.labels = malloc((size_t)B * sizeof(int32_t));
    for (int64_t b = 0; b < B; b++) {
        toy->batch.lengths[b] = lengths[b];
        toy->batch.labels[b] = (int32_t)(b % 3);
        toy->batch.tokens += lengths[b];
        for (int64_t t = 0; t < T; t++) {
            const uint64_t draw = (uint64_t)(b * 1000 + t) * 4;   /* not of T: the same events in wider batches */
            const bool valid = t < lengths[b];
            for (int c = 0; c < 2; c++)
                toy->categories[c][b * T + t] =
                    valid ? (int32_t)sq__random_below(&random, draw + (uint64_t)c, (uint64_t)toy_categories[c].count + 1) : -1;
            for (int i = 0; i < 2; i++)
                toy->batch.numbers[(b * T + t) * 2 + i] = valid ? (float)sq__random_normal(&random, draw + 2 + (uint64_t)i) : 0;
        }
    }
}

static inline sq_model_config toy_config(void)
{
    sq_model_config config;
    sq__fields_defaults(sq__model_fields, &config);
    config.width = 16;
    config.heads = 2;
    config.dropout = config.embedding_dropout = 0;
    return config;
}

/* option: of the mechanism, or NULL */
static inline sq_model *toy_model_with(const sq_model_config *config, const char *mechanism, const sq_option *option, uint64_t seed)
{
    sq_model *model;
    sq_error error;
    const sq_model_spec spec = { .schema = &toy_schema, .name = mechanism, .options = option, .option_count = option ? 1 : 0, .seed = seed,
                                 .threads = 1 };
    assert_ok(sq__model_create(&model, config, &spec, &error), &error);
    return model;
}

static inline sq_model *toy_model(const sq_model_config *config, const char *mechanism, uint64_t seed)
{
    return toy_model_with(config, mechanism, NULL, seed);
}

/* Logits of a batch, freshly computed without recording. Free them. */
static inline float *toy_logits(sq_model *model, const sq_batch *batch)
{
    sq_tape *tape = sq__tape_create(false);
    sq_error error = { 0 };
    const sq_var *logits = sq__model_forward(model, tape, batch, NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    float *out = malloc((size_t)logits->count * sizeof *out);
    memcpy(out, logits->value, (size_t)logits->count * sizeof *out);
    sq__tape_destroy(tape);
    return out;
}

#endif
