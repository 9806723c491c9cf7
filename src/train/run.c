#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "io/file.h"
#include "report/metric.h"
#include "train/description.h"
#include "train/fit.h"
#include "train/scorer.h"
#include "train/tally.h"

static bool has_answer(const sq_dataset *data, int64_t example)
{
    switch (data->schema->target) {
    case SQ_TARGET_CLASS: return data->label[example] >= 0 && data->label[example] < data->schema->class_count;
    case SQ_TARGET_NUMBER: return isfinite(data->number[example]);
    case SQ_TARGET_EVENT_CLASS:
    case SQ_TARGET_EVENT_BITS: return true;   /* where nothing is asked, nothing is missing */
    }
    return false;
}

static sq_status check_classes(const sq_schema *schema, sq_error *error)
{
    const int C = schema->class_count, most = schema->target == SQ_TARGET_CLASS ? SQ_MAX_CLASSES : SQ_MAX_EVENT_CLASSES;
    if (schema->target == SQ_TARGET_NUMBER || schema->target == SQ_TARGET_EVENT_BITS) return SQ_OK;
    if (C < 2) return sq__fail(error, SQ_INVALID, "the target has %d class%s; expected two or more", C, C == 1 ? "" : "es");
    return C <= most ? SQ_OK : sq__fail(error, SQ_INVALID, "the target has %d classes; expected %d at most", C, most);
}

static sq_status check(const sq_train_job *job, sq_error *error)
{
    static const char *const names[SQ_SPLIT_COUNT] = { "training", "validation", "test" };
    const sq_dataset *data = job->dataset;
    SQ_TRY(check_classes(data->schema, error));
    SQ_TRY(sq__train_config_check(&job->train, data->schema->target, NULL, error));
    if (strcmp(job->mechanism, sq__mechanism_logistic) == 0 && sq__schema_per_event(data->schema))
        return sq__fail(error, SQ_UNSUPPORTED, "logistic is a model of a client's aggregates: it cannot answer for single events");
    if (data->split_size[SQ_SPLIT_TRAIN] == 0) return sq__fail(error, SQ_INVALID, "the training split has no clients");
    for (int split = 0; split < SQ_SPLIT_COUNT; split++)
        for (int64_t i = 0; i < data->split_size[split]; i++)
            if (!has_answer(data, data->split[split][i]))
                return sq__fail(error, SQ_INVALID, "client %.64s of the %s split has no label", data->id[data->split[split][i]], names[split]);
    return SQ_OK;
}

/* Passes over the test split until their time can be measured; the fastest counts. */
enum { MOST_PASSES = 20 };
static const double enough_seconds = 0.3;

static sq_status measure(sq_fit *fit, sq_scorer *scorer, sq_tally *tally, double *least, sq_error *error)
{
    const sq_dataset *data = fit->job->dataset;
    const sq_score_sink sink = { sq__tally_take, tally };
    double spent = 0;
    for (int pass = 0; pass < MOST_PASSES && spent < enough_seconds; pass++) {
        double seconds;
        sq__tally_begin(tally);
        SQ_TRY(sq__scorer_run(scorer, data, SQ_SPLIT_TEST, fit->job->stop, &sink, &seconds, error));
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
    sq_tally tally;
    SQ_TRY(sq__tally_create(&tally, data, SQ_SPLIT_TEST, error));
    sq_status status = measure(fit, scorer, &tally, &least, error);
    result->inference_peak_bytes = sq__fit_peak(fit);
    if (status == SQ_OK) status = sq__tally_quality(&tally, &result->test, result->confusion, &result->class_count, error);
    for (int64_t i = 0; i < n; i++) tokens += data->length[data->split[SQ_SPLIT_TEST][i]];
    result->clients_per_second = (double)n / least;
    result->tokens_per_second = tokens / least;
    sq__tally_clear(&tally);
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
    const sq_schema *schema = job->dataset->schema;
    const bool confused = schema->target == SQ_TARGET_CLASS || (schema->target == SQ_TARGET_EVENT_CLASS && schema->class_count <= SQ_MAX_CLASSES);
    *result = (sq_run_result){ .seed = job->seed, .test = sq__quality_unknown, .validation = sq__quality_unknown, .epoch_seconds = NAN, .clients_per_second = NAN,
                               .tokens_per_second = NAN, .target = schema->target, .class_count = confused ? schema->class_count : 0 };
    snprintf(result->mechanism, sizeof result->mechanism, "%s", job->mechanism);
    sq_fit fit = { .job = job, .threads = job->threads > 0 ? job->threads : sq__threads_available(), .folder = { .lock = -1 }, .begin = sq__clock(),
                   .progress = { .loss = NAN, .validation = NAN, .seconds_left = NAN }, .result = result };
    sq_status status = run(&fit, error);
    sq__run_folder_close(&fit.folder);
    sq__free(fit.description);
    if (status != SQ_OK) sq_run_result_clear(result);
    return status;
}
