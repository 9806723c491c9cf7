#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "io/file.h"
#include "train/description.h"
#include "train/fit.h"
#include "train/metrics.h"
#include "train/score.h"
#include "train/scorer.h"

static sq_status check(const sq_train_job *job, sq_error *error)
{
    static const char *const names[SQ_SPLIT_COUNT] = { "training", "validation", "test" };
    const sq_dataset *data = job->dataset;
    const int C = data->schema->class_count;
    if (C < 2) return sq__fail(error, SQ_INVALID, "the target has %d class%s; expected two or more", C, C == 1 ? "" : "es");
    if (C > SQ_MAX_CLASSES) return sq__fail(error, SQ_INVALID, "the target has %d classes; expected %d at most", C, SQ_MAX_CLASSES);
    if (data->split_size[SQ_SPLIT_TRAIN] == 0) return sq__fail(error, SQ_INVALID, "the training split has no clients");
    for (int split = 0; split < SQ_SPLIT_COUNT; split++)
        for (int64_t i = 0; i < data->split_size[split]; i++) {
            const int32_t label = data->label[data->split[split][i]];
            if (label < 0 || label >= C) return sq__fail(error, SQ_INVALID, "client %.64s of the %s split has no label", data->id[data->split[split][i]], names[split]);
        }
    return SQ_OK;
}

/* Passes over the test split until their time can be measured; the fastest counts. */
enum { MOST_PASSES = 20 };
static const double enough_seconds = 0.3;

static sq_status measure(sq_fit *fit, sq_scorer *scorer, float *logits, double *least, sq_error *error)
{
    const sq_dataset *data = fit->job->dataset;
    double spent = 0;
    for (int pass = 0; pass < MOST_PASSES && spent < enough_seconds; pass++) {
        double seconds;
        SQ_TRY(sq__scorer_run(scorer, data, SQ_SPLIT_TEST, fit->job->stop, logits, &seconds, error));
        if (pass == 0 || seconds < *least) *least = seconds;
        spent += seconds;
    }
    return SQ_OK;
}

static sq_status test_scorer(sq_fit *fit, sq_scorer *scorer, sq_error *error)
{
    const sq_dataset *data = fit->job->dataset;
    const int64_t n = data->split_size[SQ_SPLIT_TEST];
    sq_run_result *result = fit->result;
    double least = 0, tokens = 0;
    int32_t *labels = NULL;
    float *logits = sq__alloc_array((size_t)n * (size_t)data->schema->class_count, sizeof *logits);
    sq_status status = logits ? sq__split_labels(data, SQ_SPLIT_TEST, &labels, error) : sq__no_memory(error);
    if (status == SQ_OK) status = measure(fit, scorer, logits, &least, error);
    result->inference_peak_bytes = sq__fit_peak(fit);
    if (status == SQ_OK) status = sq__metrics(logits, labels, n, data->schema->class_count, &result->test, result->confusion, error);
    for (int64_t i = 0; i < n; i++) tokens += data->length[data->split[SQ_SPLIT_TEST][i]];
    result->clients_per_second = (double)n / least;
    result->tokens_per_second = tokens / least;
    sq__free(labels);
    sq__free(logits);
    return status;
}

/* Read the model back from its file, alone in memory, and measure it: what is reported is what prediction will do. */
static sq_status test(sq_fit *fit, sq_error *error)
{
    sq_scorer *scorer;
    if (fit->result->best_epoch == 0 || fit->job->dataset->split_size[SQ_SPLIT_TEST] == 0) return SQ_OK;
    sq__fit_report(fit, "testing", 0, 1, NULL);
    sq_memory_reset_peak();
    SQ_TRY(sq__scorer_open(&scorer, fit->folder.model, fit->job->dataset->schema, fit->threads, error));
    sq_status status = test_scorer(fit, scorer, error);
    sq__scorer_destroy(&scorer);
    if (status == SQ_OK) sq__fit_report(fit, "testing", 1, 1, NULL);
    return status;
}

static sq_status train_and_test(sq_fit *fit, sq_error *error)
{
    const bool logistic = strcmp(fit->job->mechanism, sq__mechanism_logistic) == 0;
    SQ_TRY(logistic ? sq__fit_logistic(fit, error) : sq__fit_model(fit, error));
    SQ_TRY(test(fit, error));
    return sq__result_write(fit->folder.result, fit->result, fit->description, error);
}

static sq_status stored_result(const sq_fit *fit, bool *found, sq_error *error)
{
    char *path = sq__path_join(fit->job->folder, "result.json");
    if (!path) return sq__no_memory(error);
    *found = fit->job->resume && sq__file_exists(path);
    sq_status status = *found ? sq__result_read(path, fit->description, fit->result, error) : SQ_OK;
    sq__free(path);
    return status;
}

static sq_status run(sq_fit *fit, sq_error *error)
{
    bool found;
    SQ_TRY(check(fit->job, error));
    SQ_TRY(sq__describe_job(fit->job, &fit->description, error));
    SQ_TRY(stored_result(fit, &found, error));
    if (found) return SQ_OK;
    sq__set_threads(fit->threads);
    fit->base_bytes = sq_memory_current();
    sq_memory_reset_peak();
    return train_and_test(fit, error);
}

sq_status sq__train_run(const sq_train_job *job, sq_run_result *result, sq_error *error)
{
    const sq_quality unknown = { NAN, NAN, NAN, NAN };
    *result = (sq_run_result){ .seed = job->seed, .test = unknown, .validation = unknown, .epoch_seconds = NAN, .clients_per_second = NAN,
                               .tokens_per_second = NAN, .class_count = job->dataset->schema->class_count };
    snprintf(result->mechanism, sizeof result->mechanism, "%s", job->mechanism);
    sq_fit fit = { .job = job, .threads = job->threads > 0 ? job->threads : sq__threads_available(), .folder = { .lock = -1 }, .begin = sq__clock(),
                   .progress = { .loss = NAN, .validation = NAN, .seconds_left = NAN }, .result = result };
    sq_status status = run(&fit, error);
    sq__run_folder_close(&fit.folder);
    sq__free(fit.description);
    if (status != SQ_OK) sq_run_result_clear(result);
    return status;
}
