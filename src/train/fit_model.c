#include "train/fit_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "io/file.h"
#include "report/metric.h"
#include "train/description.h"
#include "train/weights.h"

/* ---- setting up ---- */

static sq_status make_model(sq_fitting *fitting, sq_error *error)
{
    const sq_train_job *job = fitting->job;
    const sq_model_spec spec = { job->dataset->schema, job->mechanism, job->options, job->option_count, job->seed, fitting->fit->threads };
    return sq__model_create(&fitting->model, &job->model, &spec, error);
}

/* n / (C n_c): every class then has the same weight in the loss. A class that training never shows has none. */
static sq_status make_class_weights(sq_fitting *fitting, sq_error *error)
{
    const sq_dataset *data = fitting->job->dataset;
    const int C = data->schema->class_count;
    double n = 0;
    if (fitting->job->train.class_weights == 0) return SQ_OK;
    fitting->class_weights = sq__alloc_array((size_t)C, sizeof(float));
    double *counts = sq__alloc_array((size_t)C, sizeof *counts);
    const bool made = fitting->class_weights && counts;
    if (made) sq__count_classes(data, counts);
    for (int c = 0; made && c < C; c++) n += counts[c];
    for (int c = 0; made && c < C; c++)
        if (counts[c] > 0) fitting->class_weights[c] = (float)(n / ((double)C * counts[c]));
    sq__free(counts);
    return made ? SQ_OK : sq__no_memory(error);
}

static void make_schedule(sq_fitting *fitting)
{
    const sq_train_config *train = &fitting->job->train;
    fitting->batches = sq__batcher_count(fitting->batcher);
    fitting->steps = fitting->batches * train->epochs;
    if (train->max_steps > 0 && train->max_steps < fitting->steps) fitting->steps = train->max_steps;
    /* Steps count from 1 and the last one is total - 1, so that neither the first nor the last update is 0. */
    fitting->schedule = (sq_schedule){ .kind = (sq_schedule_kind)train->schedule, .rate = train->learning_rate,
                                       .warmup = round(train->warmup * (double)fitting->steps), .total = (double)fitting->steps + 1, .cycles = 0.5 };
}

static sq_status set_up(sq_fitting *fitting, sq_error *error)
{
    const sq_train_job *job = fitting->job;
    const sq_dataset *data = job->dataset;
    int count;
    SQ_TRY(make_model(fitting, error));
    fitting->fit->result->parameters = sq__model_parameter_count(fitting->model);
    SQ_TRY(sq__batcher_create(&fitting->batcher, data, SQ_SPLIT_TRAIN, job->train.batch, true, job->seed, error));
    make_schedule(fitting);
    SQ_TRY(make_class_weights(fitting, error));
    if (job->train.segment > 0) SQ_TRY(sq__segments_create(&fitting->segments, job->train.segment, fitting->model, job->mechanism, error));
    SQ_TRY(sq__tally_create(&fitting->tally, data, SQ_SPLIT_VALIDATION, error));
    fitting->tape = sq__tape_create(true);
    fitting->quiet = sq__tape_create(false);
    if (!fitting->tape || !fitting->quiet) return sq__no_memory(error);
    sq_parameter *parameters = sq__model_parameters(fitting->model, &count);
    return sq__state_create(&fitting->state, parameters, count, job->train.epochs, error);
}

static void tear_down(sq_fitting *fitting)
{
    sq__events_close(&fitting->events, NULL);
    sq__state_clear(&fitting->state);
    sq__tape_destroy(fitting->tape);
    sq__tape_destroy(fitting->quiet);
    sq__batcher_destroy(&fitting->batcher);
    sq__free(fitting->class_weights);
    sq__tally_clear(&fitting->tally);
    sq__segments_clear(&fitting->segments);
    sq__model_destroy(&fitting->model);
}

static sq_status go_on(sq_fitting *fitting, sq_error *error)
{
    sq_train_state *state = &fitting->state;
    const char *path = fitting->fit->folder.checkpoint;
    if (!fitting->job->resume || !sq__file_exists(path)) return SQ_OK;
    char message[64];
    SQ_TRY(sq__checkpoint_read(state, path, fitting->fit->description, error));
    if (state->batch > fitting->batches) return sq__fail(error, SQ_FORMAT, "%s: is a damaged checkpoint", path);
    sq_memory_reset_peak();   /* reading the checkpoint is no part of what training needs */
    snprintf(message, sizeof message, "resumed at step %lld", (long long)state->step);
    sq__fit_report(fitting->fit, "training", state->step, fitting->steps, message);
    return SQ_OK;
}

/* ---- running ---- */

static void report_step(sq_fitting *fitting, const char *message)
{
    const sq_train_state *state = &fitting->state;
    sq_progress *progress = &fitting->fit->progress;
    const int64_t here = state->step - fitting->first_step, left = fitting->steps - state->step;
    progress->epoch = state->epoch + (state->batch > 0 || state->epoch == 0);
    if (state->loss_weight > 0) progress->loss = state->loss_sum / state->loss_weight;
    if (state->best_epoch > 0) progress->validation = sq__metric_value(progress->metric, &state->curve[state->best_epoch - 1].validation);
    if (here > 0) progress->seconds_left = (sq__clock() - fitting->fit->begin) / (double)here * (double)left;
    sq__fit_report(fitting->fit, "training", state->step, fitting->steps, message);
}

static sq_status interrupted(sq_fitting *fitting, sq_error *error)
{
    SQ_TRY(sq__fit_checkpoint(fitting, error));
    return sq__fail(error, SQ_INTERRUPTED, "%s: interrupted at step %lld of %lld; resume goes on from there", fitting->job->folder,
                    (long long)fitting->state.step, (long long)fitting->steps);
}

static bool checkpoint_due(const sq_fitting *fitting)
{
    const sq_train_config *train = &fitting->job->train;
    return (train->checkpoint_steps > 0 && fitting->state.step % train->checkpoint_steps == 0) ||
           sq__clock() - fitting->last_checkpoint >= train->checkpoint_seconds;
}

static sq_status end_epoch(sq_fitting *fitting, sq_error *error)
{
    sq_train_state *state = &fitting->state;
    sq_status status = sq__fit_epoch_end(fitting, error);
    if (status == SQ_INTERRUPTED) return interrupted(fitting, error);
    SQ_TRY(status);
    if (state->epoch >= fitting->job->train.epochs || state->step >= fitting->steps) state->ended = 1;
    report_step(fitting, NULL);
    return sq__fit_checkpoint(fitting, error);
}

static sq_status run(sq_fitting *fitting, sq_error *error)
{
    sq_train_state *state = &fitting->state;
    while (!state->ended) {
        if (sq__fit_stopped(fitting->fit)) return interrupted(fitting, error);
        if (state->batch < fitting->batches && state->step < fitting->steps) {
            SQ_TRY(sq__fit_step(fitting, error));
            if (state->diverged) break;
            report_step(fitting, NULL);
            if (state->batch < fitting->batches && checkpoint_due(fitting)) SQ_TRY(sq__fit_checkpoint(fitting, error));
        } else {
            SQ_TRY(end_epoch(fitting, error));
        }
    }
    if (!state->diverged) return SQ_OK;
    char message[96];
    snprintf(message, sizeof message, "diverged at step %lld: the loss or its gradient is not finite", (long long)state->step);
    report_step(fitting, message);
    return sq__fit_checkpoint(fitting, error);
}

/* ---- leaving ---- */

static sq_status write_model(sq_fitting *fitting, sq_error *error)
{
    const int count = fitting->state.parameter_count;
    sq_st_tensor *tensors = sq__alloc_array((size_t)count, sizeof *tensors);
    sq_model_metadata metadata;
    if (!tensors) return sq__no_memory(error);
    for (int i = 0; i < count; i++) {
        const sq_parameter *parameter = &fitting->state.parameters[i];
        tensors[i] = sq__weights_tensor(parameter->name, parameter, parameter->value);
    }
    sq_status status = sq__model_metadata_make(fitting->job, &metadata, error);
    if (status == SQ_OK) {
        status = sq__safetensors_write(fitting->fit->folder.model, tensors, count, (const char *const *)metadata.keys,
                                       (const char *const *)metadata.values, metadata.count, error);
        sq__model_metadata_clear(&metadata);
    }
    sq__free(tensors);
    return status;
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median_seconds(const sq_epoch *curve, int count, double *scratch)
{
    for (int i = 0; i < count; i++) scratch[i] = curve[i].seconds;
    qsort(scratch, (size_t)count, sizeof *scratch, by_value);
    if (count == 0) return NAN;
    return (scratch[(count - 1) / 2] + scratch[count / 2]) / 2;
}

static sq_status fill_result(sq_fitting *fitting, sq_error *error)
{
    sq_train_state *state = &fitting->state;
    sq_run_result *result = fitting->fit->result;
    double *scratch = sq__alloc_array((size_t)state->curve_count, sizeof *scratch);
    if (!scratch) return sq__no_memory(error);
    result->epoch_seconds = median_seconds(state->curve, (int)state->curve_count, scratch);
    sq__free(scratch);
    result->diverged = state->diverged;
    result->epochs = state->curve_count;
    result->steps = state->step;
    result->best_epoch = state->best_epoch;
    if (state->best_epoch > 0) result->validation = state->curve[state->best_epoch - 1].validation;
    result->train_peak_bytes = (size_t)state->peak_bytes;
    result->train_resident_bytes = (size_t)state->resident_bytes;
    result->epoch_count = (int)state->curve_count;
    result->curve = state->curve;   /* handed over */
    state->curve = NULL;
    return SQ_OK;
}

static sq_status fit(sq_fitting *fitting, sq_error *error)
{
    SQ_TRY(set_up(fitting, error));
    SQ_TRY(sq__fit_open(fitting->fit, error));
    fitting->fit->progress.epochs = fitting->job->train.epochs;
    SQ_TRY(go_on(fitting, error));
    fitting->first_step = fitting->state.step;
    fitting->last_checkpoint = sq__clock();
    if (!fitting->state.ended) SQ_TRY(sq__events_open(&fitting->events, fitting->job->folder, error));
    if (fitting->state.curve_count > 0) fitting->fit->progress.metric = sq__train_metric(&fitting->job->train, fitting->job->dataset->schema->target);
    SQ_TRY(run(fitting, error));
    SQ_TRY(sq__events_close(&fitting->events, error));
    if (fitting->state.best_epoch > 0) {
        sq__state_restore_best(&fitting->state);
        SQ_TRY(write_model(fitting, error));
    }
    return fill_result(fitting, error);
}

sq_status sq__fit_model(sq_fit *whole, sq_error *error)
{
    sq_fitting fitting = { .fit = whole, .job = whole->job };
    sq_status status = fit(&fitting, error);
    tear_down(&fitting);
    return status;
}
