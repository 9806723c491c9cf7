#include "train/fit.h"

#include <math.h>

#include "base/cpu.h"
#include "report/metric.h"

sq_status sq__fit_open(sq_fit *fit, sq_error *error)
{
    const sq_train_job *job = fit->job;
    SQ_TRY(sq__run_folder_open(&fit->folder, job->folder, job->resume, error));
    return sq__run_folder_describe(&fit->folder, job->config_yaml, job->dataset->schema, error);
}

void sq__fit_report(sq_fit *fit, const char *stage, int64_t done, int64_t total, const char *message)
{
    if (!fit->job->progress) return;
    fit->progress.stage = stage;
    fit->progress.mechanism = fit->job->mechanism;
    fit->progress.seed = fit->job->seed;
    fit->progress.done = done;
    fit->progress.total = total;
    fit->progress.message = message;
    fit->progress.seconds = sq__clock() - fit->begin;
    fit->job->progress(fit->job->user, &fit->progress);
}

bool sq__fit_stopped(const sq_fit *fit)
{
    return fit->job->stop && *fit->job->stop;
}

const char *sq__fit_metric(const sq_train_config *config)
{
    return sq__fields_find(sq__train_fields, "metric")->choices[config->metric];
}

double sq__fit_score(const sq_train_config *config, const sq_quality *quality)
{
    const char *name = sq__fit_metric(config);
    const double value = sq__metric_value(name, quality);
    if (isnan(value)) return -quality->log_loss;
    return sq__metric_falls(name) ? -value : value;
}

size_t sq__fit_peak(const sq_fit *fit)
{
    const size_t peak = sq_memory_peak();
    return peak > fit->base_bytes ? peak - fit->base_bytes : 0;
}
