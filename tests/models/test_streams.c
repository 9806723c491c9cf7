/* Every kind that streams: events one by one, in segments of unequal lengths and in one run give the same rows; a clone goes on to the
 * same bits; streams of one batch do not touch each other; the carry does not grow. */
#include "toy.h"

#include "models/backbone.h"

enum { B = 2, STEPS = 4096, CLASSES = 3 };

/* A model of the kind over sequences of up to STEPS events, with its default options. */
static sq_model *model_of(const char *name, int pooling)
{
    sq_model_config config = toy_config();
    sq_schema schema = toy_schema;
    sq_model *model;
    sq_error error;
    schema.max_length = STEPS;
    config.pooling = pooling;
    config.causal = true;
    assert_ok(sq__model_create(&model, &config, &(sq_model_spec){ .schema = &schema, .name = name, .seed = 5, .threads = 1 }, &error), &error);
    return model;
}

/* Events `from` to `to` of each stream of the toy batch; lengths[b] events of the whole. */
static void cut(const toy_batch *whole, toy_batch *part, int64_t from, int64_t to)
{
    const int64_t T = to - from, all = whole->batch.T;
    *part = (toy_batch){ .batch = whole->batch };
    part->batch.T = T;
    part->batch.categories = part->categories;
    for (int c = 0; c < 2; c++) part->categories[c] = malloc((size_t)(B * T) * sizeof(int32_t));
    part->batch.numbers = malloc((size_t)(B * T * 2) * sizeof(float));
    part->batch.lengths = malloc(B * sizeof(int32_t));
    part->batch.labels = malloc(B * sizeof(int32_t));
    for (int64_t b = 0; b < B; b++) {
        const int64_t left = whole->batch.lengths[b] - from;
        part->batch.lengths[b] = (int32_t)(left < 0 ? 0 : left < T ? left : T);
        for (int c = 0; c < 2; c++) memcpy(part->categories[c] + b * T, whole->categories[c] + b * all + from, (size_t)T * sizeof(int32_t));
        memcpy(part->batch.numbers + b * T * 2, whole->batch.numbers + (b * all + from) * 2, (size_t)(T * 2) * sizeof(float));
    }
}

/* Logits [B, all T, CLASSES] from `from` on, `piece(i)` events at a time, into out. */
static void stream(sq_model *model, const toy_batch *whole, sq_carry *carry, int64_t from, int64_t to, const int64_t *pieces, int count, float *out)
{
    sq_tape *tape = sq__tape_create(false);
    sq_error error;
    int i = 0;
    for (int64_t at = from, next; at < to; at = next, i++) {
        toy_batch part;
        next = at + pieces[i % count] < to ? at + pieces[i % count] : to;
        cut(whole, &part, at, next);
        sq__tape_reset(tape);
        const sq_var *logits = sq__model_stream(model, tape, &part.batch, carry);
        assert_ok(sq__tape_status(tape, &error), &error);
        for (int64_t b = 0; b < B; b++)
            memcpy(out + (b * whole->batch.T + at) * CLASSES, logits->value + b * (next - at) * CLASSES, (size_t)((next - at) * CLASSES) * sizeof(float));
        toy_batch_clear(&part);
    }
    sq__tape_destroy(tape);
}

static sq_carry *carry_of(sq_model *model)
{
    sq_carry *carry;
    sq_error error;
    assert_ok(sq__carry_create(&carry, sq__model_layout(model), B, &error), &error);
    return carry;
}

/* Largest difference over the valid rows, relative to the largest logit. */
static double difference(const toy_batch *whole, const float *a, const float *b)
{
    double worst = 0, most = 0;
    for (int64_t s = 0; s < B; s++)
        for (int64_t i = s * whole->batch.T * CLASSES; i < (s * whole->batch.T + whole->batch.lengths[s]) * CLASSES; i++) {
            assert_true(isfinite(a[i]) && isfinite(b[i]));
            worst = fmax(worst, fabs((double)a[i] - b[i]));
            most = fmax(most, fabs(b[i]));
        }
    return worst / most;
}

static void pieces_change_nothing(void **state)
{
    (void)state;
    const int32_t lengths[B] = { STEPS, STEPS - 777 };
    const int64_t one[] = { 1 }, unequal[] = { 5, 64, 1, 700, 333, 128 }, all[] = { STEPS };
    toy_batch whole;
    toy_batch_fill(&whole, B, STEPS, lengths);
    const size_t count = (size_t)(B * STEPS * CLASSES);
    float *steps = calloc(count, sizeof(float)), *segments = calloc(count, sizeof(float)), *run = calloc(count, sizeof(float));
    for (const sq_backbone_kind *const *kind = sq__backbone_kinds(); *kind; kind++) {
        if (!((*kind)->can & SQ_MODEL_STREAMS) || (getenv("SUBQUAD_ONLY") && !strstr(getenv("SUBQUAD_ONLY"), (*kind)->name))) continue;
        for (int pooling = SQ_BY_MEAN; pooling <= SQ_BY_LAST; pooling++) {
            sq_model *model = model_of((*kind)->name, pooling);
            assert_true(sq__model_streams(model));
            sq_carry *a = carry_of(model), *b = carry_of(model), *c = carry_of(model);
            stream(model, &whole, c, 0, STEPS, all, 1, run);
            stream(model, &whole, a, 0, STEPS, one, 1, steps);
            stream(model, &whole, b, 0, STEPS, unequal, 6, segments);
            const double by_step = difference(&whole, steps, run), by_segment = difference(&whole, segments, run);
            print_message("%-24s pooled by %s: step %.2g, segments %.2g, %zu bytes\n", (*kind)->name, pooling == SQ_BY_MEAN ? "mean" : "last", by_step, by_segment,
                          sq__carry_bytes(sq__model_layout(model)));
            assert_true(by_step <= 1e-5);
            assert_true(by_segment <= 1e-5);
            for (int64_t s = 0; s < B; s++) assert_int_equal(a->seen[s], lengths[s]);
            sq__carry_destroy(&a);
            sq__carry_destroy(&b);
            sq__carry_destroy(&c);
            sq__model_destroy(&model);
        }
    }
    free(steps);
    free(segments);
    free(run);
    toy_batch_clear(&whole);
}

/* The last row pooled is what the classifier says of the whole sequence; mean likewise. */
static void a_stream_ends_as_the_classifier(void **state)
{
    (void)state;
    const int32_t lengths[B] = { 300, 211 };
    const int64_t pieces[] = { 7, 50 };
    toy_batch whole;
    toy_batch_fill(&whole, B, 300, lengths);
    float *rows = calloc(B * 300 * CLASSES, sizeof(float));
    for (const sq_backbone_kind *const *kind = sq__backbone_kinds(); *kind; kind++) {
        if (!((*kind)->can & SQ_MODEL_STREAMS)) continue;
        for (int pooling = SQ_BY_MEAN; pooling <= SQ_BY_LAST; pooling++) {
            sq_model *model = model_of((*kind)->name, pooling);
            sq_carry *carry = carry_of(model);
            stream(model, &whole, carry, 0, 300, pieces, 2, rows);
            float *logits = toy_logits(model, &whole.batch);
            for (int64_t b = 0; b < B; b++)
                for (int c = 0; c < CLASSES; c++) {
                    const float got = rows[(b * 300 + lengths[b] - 1) * CLASSES + c], want = logits[b * CLASSES + c];
                    if (!(fabsf(got - want) <= 1e-5f * (1 + fabsf(want)))) fail_msg("%s: %.7g, %.7g by stream", (*kind)->name, (double)want, (double)got);
                }
            free(logits);
            sq__carry_destroy(&carry);
            sq__model_destroy(&model);
        }
    }
    free(rows);
    toy_batch_clear(&whole);
}

static void a_clone_goes_on_alone(void **state)
{
    (void)state;
    const int32_t lengths[B] = { 200, 200 };
    const int64_t pieces[] = { 30 };
    toy_batch whole;
    toy_batch_fill(&whole, B, 200, lengths);
    float *first = calloc(B * 200 * CLASSES, sizeof(float)), *second = calloc(B * 200 * CLASSES, sizeof(float));
    for (const sq_backbone_kind *const *kind = sq__backbone_kinds(); *kind; kind++) {
        if (!((*kind)->can & SQ_MODEL_STREAMS)) continue;
        sq_model *model = model_of((*kind)->name, SQ_BY_LAST);
        sq_carry *carry = carry_of(model), *clone = carry_of(model);
        stream(model, &whole, carry, 0, 120, pieces, 1, first);
        sq__carry_copy(clone, carry);
        stream(model, &whole, carry, 120, 200, pieces, 1, first);
        memcpy(second, first, B * 200 * CLASSES * sizeof(float));
        stream(model, &whole, clone, 120, 200, pieces, 1, second);
        assert_memory_equal(first, second, B * 200 * CLASSES * sizeof(float));
        sq__carry_reset(clone, 1);   /* stream 1 begins afresh; 0 is as before */
        assert_int_equal(clone->seen[0], 200);
        assert_int_equal(clone->seen[1], 0);
        sq__carry_reset(carry, -1);
        stream(model, &whole, carry, 0, 200, pieces, 1, second);   /* cut elsewhere after event 120: 30, 30, 20 there */
        assert_true(difference(&whole, second, first) <= 1e-5);
        sq__carry_destroy(&carry);
        sq__carry_destroy(&clone);
        sq__model_destroy(&model);
    }
    free(first);
    free(second);
    toy_batch_clear(&whole);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_change_nothing),
        cmocka_unit_test(a_stream_ends_as_the_classifier),
        cmocka_unit_test(a_clone_goes_on_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
