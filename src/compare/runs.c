#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "compare/comparing.h"
#include "io/file.h"
#include "models/model.h"

/* ---- which mechanisms can run ---- */

/* Makes the model and throws it away: whatever it refuses (causal, a rank beyond the length) it refuses now. */
static sq_status try_model(const sq_comparing *c, const sq_comparing_model *model, sq_error *error)
{
    sq_task_job made;
    sq_model *built;
    SQ_TRY(sq__task_job_make(c->task, c->dataset, model->name, 1, &made, error));
    const sq_model_spec spec = { c->dataset->schema, model->name, made.job.options, made.job.option_count, 1, c->threads };
    sq_status status = sq__model_create(&built, &made.job.model, &spec, error);
    if (status == SQ_OK) sq__model_destroy(&built);
    sq__task_job_clear(&made);
    return status;
}

static void refuse(sq_comparing_model *model, const char *reason)
{
    snprintf(model->refused, sizeof model->refused, "%.*s", (int)sizeof model->refused - 1, reason);
}

static sq_status describe_options(const sq_comparing *c, sq_comparing_model *model, sq_error *error)
{
    sq_task_job made;
    SQ_TRY(sq__task_job_make(c->task, c->dataset, model->name, 1, &made, error));
    for (int i = 0; i < made.job.option_count; i++) {
        const size_t used = strlen(model->options);
        snprintf(model->options + used, sizeof model->options - used, "%s%s=%s", i ? " " : "", made.job.options[i].key, made.job.options[i].value);
    }
    sq__task_job_clear(&made);
    return SQ_OK;
}

sq_status sq__compare_check_models(sq_comparing *c, sq_error *error)
{
    int left = 0;
    for (int i = 0; i < c->model_count; i++) {
        sq_comparing_model *model = &c->models[i];
        sq_error reason;
        SQ_TRY(describe_options(c, model, error));
        const sq_status status = strcmp(model->name, "logistic") == 0 ? SQ_OK : try_model(c, model, &reason);
        if (status == SQ_UNSUPPORTED || status == SQ_INVALID) {
            refuse(model, reason.message);
            sq__compare_report(c, "training", model->name, 0, 0, NAN, reason.message);
            continue;
        }
        if (status != SQ_OK) return sq__fail(error, status, "%s: %s", model->name, reason.message);
        left++;
    }
    if (left > 0) return SQ_OK;
    return sq__fail(error, SQ_UNSUPPORTED, "no mechanism can run on this task; %s: %s", c->models[0].name, c->models[0].refused);
}

/* ---- time left ---- */

/* How long models of different kinds train, against each other, while nothing better is known. */
static double weight(const sq_comparing_model *model)
{
    return model->baseline && strcmp(model->name, "logistic") == 0 ? 0.05 : 1;
}

double sq__compare_training_left(const sq_comparing *c, double spent, double running)
{
    double known_seconds = 0, known_weight = 0, left = isfinite(running) ? running : 0;
    for (int i = 0; i < c->model_count; i++) {
        known_seconds += c->models[i].run_seconds;
        known_weight += c->models[i].run_count * weight(&c->models[i]);
    }
    if (isfinite(running) && c->current >= 0) {   /* the run under way tells of its model before it ends */
        known_seconds += spent + running;
        known_weight += weight(&c->models[c->current]);
    }
    if (known_weight <= 0) return NAN;
    for (int i = 0; i < c->model_count; i++) {
        const sq_comparing_model *model = &c->models[i];
        if (model->refused[0]) continue;
        const bool now = i == c->current;
        double each = known_seconds / known_weight * weight(model);
        if (model->run_count > 0) each = model->run_seconds / model->run_count;
        else if (now && isfinite(running)) each = spent + running;
        left += each * (c->seeds - model->run_count - now);
        if (now && !isfinite(running)) left += fmax(each - spent, 0);
    }
    return left;
}

typedef struct run_progress { const sq_comparing *comparing; } run_progress;

static void forward_progress(void *user, const sq_progress *run)
{
    const sq_comparing *c = ((const run_progress *)user)->comparing;
    sq_progress whole = *run;
    whole.seconds = sq__clock() - c->begin;
    whole.seconds_left = sq__compare_training_left(c, run->seconds, run->seconds_left) + c->sweep_seconds;
    c->options->progress(c->options->user, &whole);
}

/* ---- training ---- */

static char *run_folder(const sq_comparing *c, const char *mechanism, uint64_t seed)
{
    char name[128];
    snprintf(name, sizeof name, "runs/%s-s%llu", mechanism, (unsigned long long)seed);
    return sq__path_join(c->folder, name);
}

static sq_status train_one(sq_comparing *c, sq_comparing_model *model, uint64_t seed, sq_error *error)
{
    sq_task_job made;
    run_progress progress = { c };
    const double begin = sq__clock();
    char *folder = run_folder(c, model->name, seed);
    if (!folder) return sq__no_memory(error);
    sq_run_result *result = &model->runs[model->run_count];
    sq_status status = sq__task_job_make(c->task, c->dataset, model->name, seed, &made, error);
    if (status == SQ_OK) {
        made.job.threads = c->threads;
        made.job.folder = folder;
        made.job.resume = c->options->resume;
        made.job.progress = c->options->progress ? forward_progress : NULL;
        made.job.user = &progress;
        made.job.stop = c->options->stop;
        status = sq__train_run(&made.job, result, error);
        sq__task_job_clear(&made);
    }
    sq__free(folder);
    if (status != SQ_OK) return status;
    model->run_count++;
    model->run_seconds += fmax(sq__run_seconds(result), sq__clock() - begin);
    return sq__store_run(c->store, result, model->baseline, error);
}

sq_status sq__compare_train(sq_comparing *c, sq_error *error)
{
    for (int s = 0; s < c->seeds; s++)
        for (int i = 0; i < c->model_count; i++) {
            sq_comparing_model *model = &c->models[i];
            sq_error problem;
            if (model->refused[0]) continue;
            if (sq__compare_stopped(c)) return sq__fail(error, SQ_INTERRUPTED, "interrupted before %s, seed %lld", model->name, (long long)(c->task->compare.seed + s));
            c->current = i;
            const sq_status status = train_one(c, model, (uint64_t)(c->task->compare.seed + s), &problem);
            c->current = -1;
            if (status == SQ_UNSUPPORTED && model->run_count == 0) refuse(model, problem.message);
            else if (status != SQ_OK) {
                if (error) *error = problem;
                return status;
            }
        }
    return SQ_OK;
}
