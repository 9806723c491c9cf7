#include <math.h>

#include "base/cpu.h"
#include "task/task.h"

typedef struct reading { const sq_task_reading *to; double begin; } reading;

static void report_reading(void *user, double fraction, int64_t rows)
{
    const reading *r = user;
    const double seconds = sq__clock() - r->begin;
    const sq_progress progress = { .stage = "reading", .done = rows, .total = fraction > 0 ? (int64_t)((double)rows / fraction) : 0, .loss = NAN,
                                   .validation = NAN, .seconds = seconds, .seconds_left = fraction > 0 ? seconds / fraction - seconds : NAN };
    r->to->progress(r->to->user, &progress);
}

static void report_warning(const sq_task_reading *to, const char *warning)
{
    const sq_progress progress = { .stage = "reading", .loss = NAN, .validation = NAN, .seconds_left = NAN, .message = warning };
    to->progress(to->user, &progress);
}

sq_status sq__task_dataset(const sq_task *task, const sq_task_reading *to, sq_dataset **dataset, sq_error *error)
{
    reading r = { to, sq__clock() };
    const sq_dataset_options options = { .progress = to->progress ? report_reading : NULL, .user = &r, .stop = to->stop };
    SQ_TRY(sq__dataset_load(dataset, task->data, &options, error));
    if (to->progress && (*dataset)->warning[0]) report_warning(to, (*dataset)->warning);
    return SQ_OK;
}

sq_status sq_train(const sq_task *task, const sq_train_options *options, sq_run_result *result, sq_error *error)
{
    const sq_task_reading to = { options->progress, options->user, options->stop };
    sq_dataset *dataset = NULL;
    sq_task_job made;
    *result = (sq_run_result){ 0 };
    if (!options->folder || !options->mechanism) return sq__fail(error, SQ_INVALID, "train: needs a mechanism and a run folder");
    SQ_TRY(sq__task_mechanism_check(options->mechanism, error));
    SQ_TRY(sq__task_dataset(task, &to, &dataset, error));
    sq_status status = sq__task_job_make(task, dataset, options->mechanism, options->seed, &made, error);
    if (status == SQ_OK) {
        made.job.threads = options->threads;
        made.job.folder = options->folder;
        made.job.resume = options->resume;
        made.job.progress = options->progress;
        made.job.user = options->user;
        made.job.stop = options->stop;
        status = sq__train_run(&made.job, result, error);
        sq__task_job_clear(&made);
    }
    sq__dataset_destroy(&dataset);
    return status;
}
