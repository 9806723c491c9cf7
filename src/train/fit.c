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

double sq__fit_loss(sq_target_kind target, const sq_quality *quality)
{
    return target == SQ_TARGET_NUMBER ? quality->mse : target == SQ_TARGET_EVENT_BITS ? quality->bits : quality->log_loss;
}

double sq__fit_score(const sq_train_config *config, sq_target_kind target, const sq_quality *quality)
{
    const char *name = sq__train_metric(config, target);
    const double value = sq__metric_value(name, quality);
    if (isnan(value)) return -sq__fit_loss(target, quality);
    return sq__metric_falls(name) ? -value : value;
}

size_t sq__fit_peak(const sq_fit *fit)
{
    const size_t peak = sq_memory_peak();
    return peak > fit->base_bytes ? peak - fit->base_bytes : 0;
}
