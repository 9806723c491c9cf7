#include <math.h>

#include "base/cpu.h"
#include "report/metric.h"
#include "train/fit_model.h"
#include "train/score.h"

sq_status sq__fit_checkpoint(sq_fitting *fitting, sq_error *error)
{
    sq_train_state *state = &fitting->state;
    const int64_t peak = (int64_t)sq__fit_peak(fitting->fit);
    if (peak > state->peak_bytes) state->peak_bytes = peak;
    fitting->last_checkpoint = sq__clock();
    return sq__checkpoint_write(state, fitting->fit->folder.checkpoint, fitting->fit->description, error);
}

static sq_status validate(sq_fitting *fitting, sq_quality *quality, sq_error *error)
{
    const sq_dataset *data = fitting->job->dataset;
    const sq_score_sink sink = { sq__tally_take, &fitting->tally };
    const sq_score_input input = { data, SQ_SPLIT_VALIDATION, fitting->job->train.batch, fitting->job->stop };
    sq__tally_begin(&fitting->tally);
    if (fitting->tally.n > 0) SQ_TRY(sq__score_model(fitting->model, fitting->quiet, &input, &sink, NULL, error));
    sq__tape_reset(fitting->quiet);
    return sq__tally_quality(&fitting->tally, quality, NULL, NULL, error);
}

static void judge(sq_fitting *fitting, const sq_epoch *epoch)
{
    sq_train_state *state = &fitting->state;
    const sq_train_config *train = &fitting->job->train;
    const bool validated = fitting->job->dataset->split_size[SQ_SPLIT_VALIDATION] > 0;
    const double score = validated ? sq__fit_score(train, fitting->job->dataset->schema->target, &epoch->validation) : (double)epoch->epoch;   /* without validation: the last */
    if (state->best_epoch == 0 || score > state->best_score) {
        state->best_score = score;
        state->best_epoch = epoch->epoch;
        state->stale = 0;
        sq__state_keep_best(state);
    } else {
        state->stale++;
    }
    if (train->patience > 0 && state->stale >= train->patience) state->ended = 1;
}

static sq_status write_curves(sq_fitting *fitting, const sq_epoch *epoch, sq_error *error)
{
    const sq_target_kind target = fitting->job->dataset->schema->target;
    const sq_metric_row *metric;
    const struct { const char *tag; double value; } scalars[] = {
        { "loss/train", epoch->train_loss }, { "loss/validation", epoch->validation_loss }, { "rate", sq__schedule_rate(&fitting->schedule, (double)epoch->step) }, { "seconds", epoch->seconds },
    };
    for (size_t i = 0; i < sizeof scalars / sizeof *scalars; i++)
        if (isfinite(scalars[i].value)) sq__events_scalar(fitting->events, scalars[i].tag, epoch->step, 0, scalars[i].value);
    for (int i = 0; (metric = sq__metric_of(target, i)); i++) {
        char tag[64];
        snprintf(tag, sizeof tag, "validation/%s", metric->key);
        if (isfinite(sq__metric_at(metric, &epoch->validation))) sq__events_scalar(fitting->events, tag, epoch->step, 0, sq__metric_at(metric, &epoch->validation));
    }
    SQ_TRY(sq__events_flush(fitting->events, error));
    return sq__write_metrics(fitting->fit->folder.metrics, target, fitting->state.curve, fitting->state.curve_count, error);
}

sq_status sq__fit_epoch_end(sq_fitting *fitting, sq_error *error)
{
    sq_train_state *state = &fitting->state;
    sq_epoch epoch = { .epoch = state->epoch + 1, .step = state->step, .train_loss = state->loss_sum / state->loss_weight, .seconds = state->seconds };
    SQ_TRY(validate(fitting, &epoch.validation, error));
    epoch.validation_loss = sq__fit_loss(fitting->job->dataset->schema->target, &epoch.validation);
    if (fitting->job->dataset->split_size[SQ_SPLIT_VALIDATION] > 0 && !isfinite(epoch.validation_loss)) {
        state->diverged = state->ended = 1;   /* the update that spoiled the weights came after the last finite loss */
        return SQ_OK;
    }
    judge(fitting, &epoch);
    state->curve[state->curve_count++] = epoch;
    SQ_TRY(write_curves(fitting, &epoch, error));
    state->epoch++;
    state->batch = 0;
    state->loss_sum = state->loss_weight = state->seconds = 0;
    fitting->fit->progress.metric = sq__train_metric(&fitting->job->train, fitting->job->dataset->schema->target);
    return SQ_OK;
}
