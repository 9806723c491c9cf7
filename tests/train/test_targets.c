/* Every kind of target: metrics against sums by hand, a run that learns, goes on to the same bits and does not hang on threads. */
#include "train/run_support.h"

#include "report/metric.h"
#include "train/loss.h"
#include "train/tally.h"

/* ---- data of each kind over the synthetic clients ---- */

/* NUMBER: how often word 1 occurs, less than a half of the length. EVENT_CLASS: the word before. EVENT_BITS: whether this word is above 2, and the one before. */
static sq_dataset *asking(sq_target_kind kind, int64_t clients)
{
    sq_dataset *d = synthetic(clients, 6, 12, 5);
    d->schema->target = kind;
    if (kind == SQ_TARGET_CLASS) return d;
    const int32_t *words = d->categories[0];
    for (int c = 0; c < d->schema->class_count; c++) sq__free(d->schema->classes[c]);
    sq__free(d->schema->classes);
    d->schema->class_count = kind == SQ_TARGET_EVENT_CLASS ? SYNTHETIC_WORDS : 0;
    d->schema->bit_count = kind == SQ_TARGET_EVENT_BITS ? 2 : 0;
    d->schema->classes = sq__alloc_array(SYNTHETIC_WORDS, sizeof *d->schema->classes);
    d->schema->bits = sq__alloc_array(2, sizeof *d->schema->bits);
    for (int c = 0; c < d->schema->class_count; c++) d->schema->classes[c] = synthetic_name("w%d", c);
    for (int b = 0; b < d->schema->bit_count; b++) d->schema->bits[b] = synthetic_name("b%d", b);
    if (kind == SQ_TARGET_NUMBER) d->number = sq__alloc_array((size_t)clients, sizeof *d->number);
    if (kind == SQ_TARGET_EVENT_CLASS) d->event_label = sq__alloc_array((size_t)d->events, sizeof *d->event_label);
    if (kind == SQ_TARGET_EVENT_BITS) d->event_bits = sq__alloc_array((size_t)d->events, 2);
    d->schema->target_mean = 3;
    d->schema->target_deviation = 2;
    for (int64_t i = 0; i < clients; i++)
        for (int64_t t = d->start[i]; t < d->start[i] + d->length[i]; t++) {
            const bool first = t == d->start[i];
            if (d->number) d->number[i] += words[t] == 1;
            if (d->event_label) d->event_label[t] = first ? SQ_NOT_ASKED : words[t - 1] - 1;
            if (d->event_bits) d->event_bits[2 * t] = first ? SQ_BIT_NOT_ASKED : words[t] > 2;
            if (d->event_bits) d->event_bits[2 * t + 1] = first ? SQ_BIT_NOT_ASKED : words[t - 1] > 2;
        }
    return d;
}

/* ---- metrics ---- */

static void numbers_in_their_own_units(void **state)
{
    (void)state;
    sq_dataset *d = asking(SQ_TARGET_NUMBER, 10);
    sq_tally tally;
    sq_quality q;
    sq_error error;
    assert_ok(sq__tally_create(&tally, d, SQ_SPLIT_TEST, &error), &error);
    assert_int_equal(tally.n, 2);
    d->number[d->split[SQ_SPLIT_TEST][0]] = 5;
    d->number[d->split[SQ_SPLIT_TEST][1]] = 1;
    sq__tally_take(&tally, 0, d->split[SQ_SPLIT_TEST][0], (const float[]){ 0.5f }, 1);     /* 4 */
    sq__tally_take(&tally, 1, d->split[SQ_SPLIT_TEST][1], (const float[]){ -2.5f }, 1);    /* -2 */
    assert_ok(sq__tally_quality(&tally, &q, NULL, NULL, &error), &error);
    assert_close(q.mse, (1 + 9) / 2.0, 1e-12);
    assert_close(q.mae, 2, 1e-12);
    assert_close(q.r2, 1 - 10.0 / 8, 1e-12);
    assert_true(isnan(q.accuracy) && isnan(q.bits) && isnan(q.log_loss));
    sq__tally_clear(&tally);
    sq__dataset_destroy(&d);
}

static void events_by_all_that_ask(void **state)
{
    (void)state;
    sq_dataset *d = asking(SQ_TARGET_EVENT_CLASS, 10);
    sq_tally tally;
    sq_quality q;
    sq_error error;
    int64_t confusion[SYNTHETIC_WORDS * SYNTHETIC_WORDS];
    int classes;
    double nats = 0, asked = 0, right = 0;
    assert_ok(sq__tally_create(&tally, d, SQ_SPLIT_TEST, &error), &error);
    sq__tally_begin(&tally);
    for (int64_t i = 0; i < 2; i++) {
        const int64_t example = d->split[SQ_SPLIT_TEST][i];
        float outputs[12 * SYNTHETIC_WORDS] = { 0 };
        for (int64_t t = 0; t < d->length[example]; t++) {
            const int32_t label = d->event_label[d->start[example] + t];
            if (label == SQ_NOT_ASKED) continue;
            const bool hit = i == 0 || t > 1;
            outputs[t * SYNTHETIC_WORDS + (hit ? label : (label + 1) % SYNTHETIC_WORDS)] = 2;
            nats += log(exp(2) + SYNTHETIC_WORDS - 1) - (hit ? 2 : 0);
            asked++;
            right += hit;
        }
        sq__tally_take(&tally, i, example, outputs, d->length[example]);
    }
    assert_ok(sq__tally_quality(&tally, &q, confusion, &classes, &error), &error);
    assert_int_equal(classes, SYNTHETIC_WORDS);
    assert_close(q.accuracy, right / asked, 1e-12);
    assert_close(q.log_loss, nats / asked, 1e-9);
    assert_close(q.perplexity, exp(nats / asked), 1e-8);
    assert_close(q.exact, 0.5, 0);
    int64_t all = 0, diagonal = 0;
    for (int i = 0; i < SYNTHETIC_WORDS * SYNTHETIC_WORDS; i++) {
        all += confusion[i];
        diagonal += i % (SYNTHETIC_WORDS + 1) == 0 ? confusion[i] : 0;
    }
    assert_true((double)all == asked && (double)diagonal == right);
    sq__tally_clear(&tally);
    sq__dataset_destroy(&d);
}

static void bits_by_sequence(void **state)
{
    (void)state;
    sq_dataset *d = asking(SQ_TARGET_EVENT_BITS, 10);
    sq_tally tally;
    sq_quality q;
    sq_error error;
    double bits = 0, wrong = 0;
    assert_ok(sq__tally_create(&tally, d, SQ_SPLIT_TEST, &error), &error);
    for (int64_t i = 0; i < 2; i++) {
        const int64_t example = d->split[SQ_SPLIT_TEST][i];
        float outputs[12 * 2];
        for (int k = 0; k < 24; k++) outputs[k] = i == 0 ? 1 : 0;
        for (int64_t k = 2; k < 2 * d->length[example]; k++) {
            const int is = d->event_bits[2 * d->start[example] + k];
            bits += i == 0 ? log2(1 + exp(is ? -1 : 1)) : 1;
            wrong += i == 0 ? !is : is;   /* 0 says no bit */
        }
        sq__tally_take(&tally, i, example, outputs, d->length[example]);
    }
    assert_ok(sq__tally_quality(&tally, &q, NULL, NULL, &error), &error);
    assert_close(q.bits, bits / 2, 1e-9);
    assert_close(q.bit_errors, wrong / 2, 1e-12);
    assert_true(q.exact >= 0 && isnan(q.accuracy));
    sq__tally_clear(&tally);
    sq__dataset_destroy(&d);
}

/* What is said of a class is said of all kinds: no better than chance, and never worse than a constant can be on the training split. */
static void a_constant_is_measured(void **state)
{
    (void)state;
    for (int kind = SQ_TARGET_CLASS; kind <= SQ_TARGET_EVENT_BITS; kind++) {
        sq_dataset *d = asking((sq_target_kind)kind, 60);
        sq_quality q;
        sq_error error;
        if (kind == SQ_TARGET_NUMBER) {
            double sum = 0;
            for (int64_t i = 0; i < d->split_size[SQ_SPLIT_TRAIN]; i++) sum += d->number[d->split[SQ_SPLIT_TRAIN][i]];
            d->schema->target_mean = sum / (double)d->split_size[SQ_SPLIT_TRAIN];
        }
        assert_ok(sq__constant_quality(d, SQ_SPLIT_TRAIN, &q, &error), &error);
        if (kind == SQ_TARGET_CLASS) assert_true(q.accuracy >= 0.5 && q.log_loss <= log(2) + 1e-9);
        if (kind == SQ_TARGET_NUMBER) assert_close(q.r2, 0, 1e-9);
        if (kind == SQ_TARGET_EVENT_CLASS) assert_true(q.log_loss < log(SYNTHETIC_WORDS) && q.accuracy >= 1.0 / SYNTHETIC_WORDS);
        if (kind == SQ_TARGET_EVENT_BITS) assert_true(q.bits > 0 && q.bits <= 2 * 11);
        sq__dataset_destroy(&d);
    }
}

/* ---- runs ---- */

static const char *const folders[] = { "class", "number", "event-class", "event-bits" };

static sq_train_job job_of(const sq_dataset *data, const char *folder)
{
    sq_train_job job = small_job(data, "gru", folder);
    job.model.width = 24;
    job.model.dropout = job.model.embedding_dropout = 0;
    job.train.epochs = 12;
    return job;
}

static void every_kind_is_learned(void **state)
{
    (void)state;
    for (int kind = SQ_TARGET_NUMBER; kind <= SQ_TARGET_EVENT_BITS; kind++) {
        sq_dataset *d = asking((sq_target_kind)kind, 300);
        sq_train_job job = job_of(d, in_root(folders[kind]));
        sq_run_result result;
        sq_quality constant;
        sq_error error;
        assert_ok(sq__constant_quality(d, SQ_SPLIT_TEST, &constant, &error), &error);
        assert_ok(sq__train_run(&job, &result, &error), &error);
        assert_int_equal(result.target, kind);
        assert_int_equal(result.class_count, kind == SQ_TARGET_EVENT_CLASS ? SYNTHETIC_WORDS : 0);
        if (kind == SQ_TARGET_NUMBER) assert_true(result.test.mse < 0.3 * constant.mse && result.test.r2 > 0.7);
        if (kind == SQ_TARGET_EVENT_CLASS) assert_true(result.test.accuracy > 0.95 && result.test.log_loss < 0.3 * constant.log_loss);
        if (kind == SQ_TARGET_EVENT_BITS) assert_true(result.test.bits < 0.2 * constant.bits && result.test.bit_errors < 0.2 * constant.bit_errors);
        /* the loss that is told of training is of the same measure as that of validation */
        const sq_epoch *last = &result.curve[result.epoch_count - 1];
        assert_true(last->train_loss < 3 * last->validation_loss + 0.1 && last->validation_loss < 3 * last->train_loss + 0.1);
        sq_run_result_clear(&result);
        sq__dataset_destroy(&d);
    }
    assert_int_equal(sq_memory_current(), 0);
}

static void stop_at_step_6(void *user, const sq_progress *progress)
{
    if (strcmp(progress->stage, "training") == 0 && progress->done == 6) *(sq_stop_flag *)user = 1;
}

static void a_run_goes_on_to_the_same_bits(void **state)
{
    (void)state;
    for (int kind = SQ_TARGET_NUMBER; kind <= SQ_TARGET_EVENT_BITS; kind++) {
        sq_dataset *d = asking((sq_target_kind)kind, 60);
        char whole[32], parts[32];
        sq_run_result a, b;
        sq_error error;
        snprintf(whole, sizeof whole, "whole-%d", kind);
        snprintf(parts, sizeof parts, "parts-%d", kind);
        sq_train_job job = job_of(d, in_root(whole));
        job.train.epochs = 3;
        assert_ok(sq__train_run(&job, &a, &error), &error);
        job.folder = in_root(parts);
        job.threads = 2;
        sq_stop_flag stop = 0;
        job.stop = &stop;
        job.user = (void *)(uintptr_t)&stop;
        job.progress = stop_at_step_6;
        assert_int_equal(sq__train_run(&job, &b, &error), SQ_INTERRUPTED);
        stop = 0;
        job.progress = NULL;
        job.resume = true;
        assert_ok(sq__train_run(&job, &b, &error), &error);
        assert_same_result(&a, &b);
        sq_run_result_clear(&b);
        assert_ok(sq__train_run(&job, &b, &error), &error);   /* the stored result */
        assert_same_result(&a, &b);
        sq_run_result_clear(&a);
        sq_run_result_clear(&b);
        sq__dataset_destroy(&d);
    }
}

static void ridge_regression_fits_counts(void **state)
{
    (void)state;
    sq_dataset *d = asking(SQ_TARGET_NUMBER, 200);
    sq_train_job job = job_of(d, in_root("ridge"));
    sq_run_result result;
    sq_error error;
    job.mechanism = "logistic";
    assert_ok(sq__train_run(&job, &result, &error), &error);
    if (!(result.test.r2 > 0.9)) fail_msg("r2 is %g", result.test.r2);   /* the count is nearly an aggregate: log(1 + count) and its share */
    assert_close(result.curve[0].train_loss, result.validation.mse, 0.1);
    sq_run_result_clear(&result);
    sq__dataset_destroy(&d);
}

static void what_does_not_suit_is_refused(void **state)
{
    (void)state;
    sq_dataset *bits = asking(SQ_TARGET_EVENT_BITS, 20), *next = asking(SQ_TARGET_EVENT_CLASS, 20);
    sq_train_job job = job_of(bits, in_root("refused"));
    sq_run_result result;
    sq_error error;
    job.mechanism = "logistic";
    assert_int_equal(sq__train_run(&job, &result, &error), SQ_UNSUPPORTED);
    assert_string_equal(error.message, "logistic is a model of a client's aggregates: it cannot answer for single events");
    job.mechanism = "gru";
    assert_ok(sq__fields_set(sq__train_fields, &job.train, "train", "metric", "auc", &error), &error);
    assert_int_equal(sq__train_run(&job, &result, &error), SQ_INVALID);
    assert_string_equal(error.message, "train: metric is 'auc', but the target is bits of events; expected auto or one of bits, bit-errors, exact");
    assert_ok(sq__fields_set(sq__train_fields, &job.train, "train", "metric", "exact", &error), &error);
    assert_ok(sq__fields_set(sq__train_fields, &job.train, "train", "class_weights", "balanced", &error), &error);
    assert_int_equal(sq__train_run(&job, &result, &error), SQ_INVALID);
    assert_contains(error.message, "class_weights is 'balanced', but the target is bits of events");

    next->schema->next = true;
    job = job_of(next, in_root("refused"));
    job.mechanism = "softmax";
    assert_int_equal(sq__train_run(&job, &result, &error), SQ_UNSUPPORTED);
    assert_string_equal(error.message, "softmax sees later events, and the next one is asked: set model.causal to true");
    assert_ok(sq__fields_set(sq__model_fields, &job.model, "model", "pooling", "attention", &error), &error);
    job.model.causal = true;
    assert_int_equal(sq__train_run(&job, &result, &error), SQ_UNSUPPORTED);
    assert_contains(error.message, "their rows are not pooled");
    assert_false(sq__file_exists(in_root("refused")));
    sq__dataset_destroy(&bits);
    sq__dataset_destroy(&next);
}

/* ---- segments ---- */

/* One segment that holds all is the whole: the same updates of the same weights. */
static void one_segment_is_the_whole(void **state)
{
    (void)state;
    for (int kind = SQ_TARGET_CLASS; kind <= SQ_TARGET_EVENT_BITS; kind++) {
        sq_dataset *d = asking((sq_target_kind)kind, 40);
        char whole[32], one[32];
        sq_run_result a, b;
        sq_error error;
        snprintf(whole, sizeof whole, "segment-0-%d", kind);
        snprintf(one, sizeof one, "segment-1-%d", kind);
        sq_train_job job = job_of(d, in_root(whole));
        job.train.epochs = 2;
        assert_ok(sq__train_run(&job, &a, &error), &error);
        job.folder = in_root(one);
        job.train.segment = 12;
        assert_ok(sq__train_run(&job, &b, &error), &error);
        for (int e = 0; e < 2; e++) {
            assert_close(b.curve[e].train_loss, a.curve[e].train_loss, 1e-5 * a.curve[e].train_loss);
            assert_close(b.curve[e].validation_loss, a.curve[e].validation_loss, 1e-5 * a.curve[e].validation_loss);
        }
        sq_run_result_clear(&a);
        sq_run_result_clear(&b);
        sq__dataset_destroy(&d);
    }
}

/* Segments of three events: what the first of them asks stands in the segment before and comes over with the state alone. */
static void a_state_comes_over(void **state)
{
    (void)state;
    sq_dataset *d = asking(SQ_TARGET_EVENT_CLASS, 300);
    sq_run_result result;
    sq_error error;
    for (int64_t i = 0; i < d->examples; i++)
        for (int64_t t = 0; t < d->length[i]; t++)   /* in validation and test only segments' beginnings ask */
            if (i % 10 >= 6 && t % 3 != 0) d->event_label[d->start[i] + t] = SQ_NOT_ASKED;
    sq_train_job job = job_of(d, in_root("segments"));
    job.train.segment = 3;
    job.train.epochs = 8;
    assert_ok(sq__train_run(&job, &result, &error), &error);
    if (!(result.test.accuracy > 0.95)) fail_msg("accuracy %g", result.test.accuracy);
    assert_int_equal(result.steps, 8 * ((d->split_size[SQ_SPLIT_TRAIN] + 7) / 8));
    sq_run_result_clear(&result);
    sq__dataset_destroy(&d);
}

static void segments_resume_and_are_refused(void **state)
{
    (void)state;
    sq_dataset *d = asking(SQ_TARGET_CLASS, 60);
    sq_run_result a, b;
    sq_error error;
    sq_train_job job = job_of(d, in_root("segments-whole"));
    job.train.epochs = 3;
    job.train.segment = 5;
    assert_ok(sq__train_run(&job, &a, &error), &error);
    sq_stop_flag stop = 0;
    job.folder = in_root("segments-parts");
    job.stop = &stop;
    job.user = (void *)(uintptr_t)&stop;
    job.progress = stop_at_step_6;
    job.threads = 2;
    assert_int_equal(sq__train_run(&job, &b, &error), SQ_INTERRUPTED);
    stop = 0;
    job.progress = NULL;
    job.resume = true;
    assert_ok(sq__train_run(&job, &b, &error), &error);
    assert_same_result(&a, &b);
    sq_run_result_clear(&a);
    sq_run_result_clear(&b);

    job = job_of(d, in_root("refused"));
    job.train.segment = 5;
    job.mechanism = "softmax";
    assert_int_equal(sq__train_run(&job, &a, &error), SQ_UNSUPPORTED);
    assert_string_equal(error.message, "softmax does not go on from a state, which train.segment needs; models that do: 'subquad list'");
    job.mechanism = "gru";
    assert_ok(sq__fields_set(sq__model_fields, &job.model, "model", "pooling", "mean", &error), &error);
    assert_int_equal(sq__train_run(&job, &a, &error), SQ_UNSUPPORTED);
    assert_contains(error.message, "model.pooling last");
    assert_false(sq__file_exists(in_root("refused")));
    sq__dataset_destroy(&d);
    assert_int_equal(sq_memory_current(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_in_their_own_units), cmocka_unit_test(events_by_all_that_ask), cmocka_unit_test(bits_by_sequence),
        cmocka_unit_test(a_constant_is_measured), cmocka_unit_test(every_kind_is_learned), cmocka_unit_test(a_run_goes_on_to_the_same_bits),
        cmocka_unit_test(ridge_regression_fits_counts), cmocka_unit_test(what_does_not_suit_is_refused), cmocka_unit_test(one_segment_is_the_whole),
        cmocka_unit_test(a_state_comes_over), cmocka_unit_test(segments_resume_and_are_refused),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}
