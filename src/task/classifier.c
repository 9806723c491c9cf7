#include <math.h>
#include <string.h>

#include "task/run.h"
#include "train/metrics.h"
#include "train/predictions.h"

struct sq_classifier { sq_opened_run run; };

sq_status sq_classifier_open(sq_classifier **classifier, const char *run_folder, int threads, sq_error *error)
{
    sq_classifier *made = *classifier = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    sq_status status = sq__run_open(&made->run, run_folder, threads, error);
    if (status != SQ_OK) sq_classifier_destroy(classifier);
    return status;
}

void sq_classifier_destroy(sq_classifier **classifier)
{
    if (!classifier || !*classifier) return;
    sq__run_close(&(*classifier)->run);
    sq__free(*classifier);
    *classifier = NULL;
}

int sq_classifier_class_count(const sq_classifier *classifier) { return classifier->run.schema->class_count; }

const char *sq_classifier_class_name(const sq_classifier *classifier, int index)
{
    return index >= 0 && index < classifier->run.schema->class_count ? classifier->run.schema->classes[index] : NULL;
}

/* ---- predicting ---- */

static sq_status give_out(const sq_dataset *dataset, const float *logits, sq_prediction_fn each, void *user, sq_error *error)
{
    const int C = dataset->schema->class_count;
    for (int64_t i = 0; i < dataset->split_size[SQ_SPLIT_TEST]; i++) {
        const char *id = dataset->id[dataset->split[SQ_SPLIT_TEST][i]];
        double exact[SQ_MAX_CLASSES];
        float probabilities[SQ_MAX_CLASSES];
        sq__softmax_row(logits + i * C, C, exact);
        for (int c = 0; c < C; c++) {
            if (!isfinite(exact[c])) return sq__fail(error, SQ_FORMAT, "client %.64s: the model's probabilities are not finite", id);
            probabilities[c] = (float)exact[c];
        }
        const sq_status status = each(user, id, probabilities, C);
        if (status != SQ_OK) return sq__fail(error, status, "client %.64s: %s", id, sq_status_name(status));
    }
    return SQ_OK;
}

static sq_status predict(sq_classifier *classifier, const sq_dataset *dataset, sq_prediction_fn each, void *user, sq_stop_flag *stop, sq_error *error)
{
    const size_t count = (size_t)dataset->split_size[SQ_SPLIT_TEST] * (size_t)dataset->schema->class_count;
    float *logits = sq__alloc_array(count, sizeof *logits);
    if (!logits) return sq__no_memory(error);
    sq_status status = sq__scorer_run(classifier->run.scorer, dataset, SQ_SPLIT_TEST, stop, logits, NULL, error);
    if (status == SQ_OK) status = give_out(dataset, logits, each, user, error);
    sq__free(logits);
    return status;
}

sq_status sq_classifier_predict(sq_classifier *classifier, const char *table, sq_prediction_fn each, void *user, sq_stop_flag *stop, sq_error *error)
{
    sq_dataset *dataset = NULL;
    const sq_dataset_options options = { .schema = classifier->run.schema, .files = &table, .file_count = 1, .stop = stop };
    sq_status status = sq__dataset_load(&dataset, classifier->run.task->data, &options, error);
    if (status != SQ_OK) return error && !strstr(error->message, table) ? sq__fail_at(error, status, table) : status;
    status = predict(classifier, dataset, each, user, stop, error);
    sq__dataset_destroy(&dataset);
    return status;
}

/* ---- into a file ---- */

typedef struct rows { sq_output *output; int64_t count; } rows;

static sq_status write_row(void *user, const char *id, const float *probabilities, int class_count)
{
    rows *to = user;
    sq__predictions_row(to->output, id, probabilities, class_count);
    to->count++;
    return SQ_OK;
}

sq_status sq_predict_file(const char *run_folder, const char *table, const char *output, int threads, sq_stop_flag *stop, int64_t *clients, sq_error *error)
{
    sq_classifier *classifier;
    rows to = { NULL, 0 };
    SQ_TRY(sq_classifier_open(&classifier, run_folder, threads, error));
    sq_status status = sq__predictions_open(&to.output, output, (const char *const *)classifier->run.schema->classes, classifier->run.schema->class_count, error);
    if (status == SQ_OK) status = sq_classifier_predict(classifier, table, write_row, &to, stop, error);
    if (status == SQ_OK) status = sq__output_commit(&to.output, error);
    if (to.output) sq__output_discard(&to.output);
    sq_classifier_destroy(&classifier);
    if (status == SQ_OK && clients) *clients = to.count;
    return status;
}
