#include <math.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "train/fit_model.h"
#include "train/loss.h"
#include "train/optimizer.h"

typedef struct update { const sq_fitting *fitting; sq_adam adam; float factor; } update;

static void update_one(void *context, int64_t item, int thread)
{
    (void)thread;
    const update *u = context;
    const sq_train_state *state = &u->fitting->state;
    const sq_parameter *parameter = &state->parameters[item];
    if (!parameter->trainable) return;
    sq_adam adam = u->adam;
    if (!parameter->decay) adam.weight_decay = 0;
    for (int64_t i = 0; u->factor != 1 && i < parameter->count; i++) parameter->gradient[i] *= u->factor;
    sq__adam_step(&adam, state->updates + 1, parameter->count, parameter->value, parameter->gradient, state->first[item], state->second[item], NULL);
}

static double gradient_norm(const sq_train_state *state)
{
    double sum = 0;
    for (int i = 0; i < state->parameter_count; i++)
        if (state->parameters[i].trainable) sum += sq__sum_of_squares(state->parameters[i].gradient, state->parameters[i].count);
    return sqrt(sum);
}

static void apply(sq_fitting *fitting, double norm)
{
    const sq_train_config *train = &fitting->job->train;
    const update u = {
        .fitting = fitting,
        .adam = { sq__schedule_rate(&fitting->schedule, (double)fitting->state.step + 1), train->beta1, train->beta2, train->epsilon, train->weight_decay, true },
        .factor = train->clip > 0 ? (float)sq__clip_factor(norm, train->clip) : 1.0f,
    };
    sq__parallel(fitting->fit->threads, fitting->state.parameter_count, update_one, (void *)&u);
}

typedef struct step_loss { double value; bool trains; } step_loss;   /* value: without the regularisers */

/* Loss and gradients of a batch, or with a carry of a segment. It trains unless it asks nothing and has no regulariser. */
static sq_status differentiate(sq_fitting *fitting, const sq_batch *batch, sq_carry *carry, step_loss *loss, sq_error *error)
{
    const sq_train_config *train = &fitting->job->train;
    const sq_schema *schema = fitting->job->dataset->schema;
    sq_tape *tape = fitting->tape;
    sq__model_zero_gradients(fitting->model);
    sq__tape_reset(tape);
    sq__tape_mode(tape, true, fitting->job->seed, (uint64_t)fitting->state.updates);
    sq_var *auxiliary = NULL;
    sq_var *outputs = carry ? sq__model_segment(fitting->model, tape, batch, carry, &auxiliary) : sq__model_forward(fitting->model, tape, batch, &auxiliary);
    const sq_loss_options options = { (float)train->label_smoothing, fitting->class_weights };
    sq_var *asked = sq__batch_loss(tape, schema, outputs, batch, &options);
    sq_var *total = auxiliary ? sq__add(tape, asked, auxiliary) : asked;
    SQ_TRY(sq__tape_status(tape, error));
    loss->value = isfinite(total->value[0]) ? asked->value[0] : NAN;
    loss->trains = auxiliary || !carry || sq__batch_asks(schema, batch);
    return loss->trains ? sq__tape_backward(tape, total, NULL, error) : SQ_OK;
}

/* One update of the weights. */
static sq_status learn(sq_fitting *fitting, const sq_batch *batch, sq_carry *carry, int64_t ending, sq_error *error)
{
    sq_train_state *state = &fitting->state;
    step_loss loss;
    SQ_TRY(differentiate(fitting, batch, carry, &loss, error));
    const int64_t resident = (int64_t)sq_memory_resident();   /* now, while the tape is full */
    if (resident > state->resident_bytes) state->resident_bytes = resident;
    const double norm = loss.trains ? gradient_norm(state) : 0;
    if (!isfinite(loss.value) || !isfinite(norm)) {
        state->diverged = state->ended = 1;
        return SQ_OK;
    }
    if (loss.trains) apply(fitting, norm);
    const sq_loss_sum reported = sq__reported_loss(fitting->job->dataset->schema, batch, ending, loss.value);
    state->loss_sum += reported.sum;
    state->loss_weight += reported.weight;
    state->updates++;
    return SQ_OK;
}

static sq_status learn_segments(sq_fitting *fitting, const sq_batch *batch, sq_error *error)
{
    sq_segments *segments = &fitting->segments;
    SQ_TRY(sq__segments_begin(segments, fitting->model, batch, error));
    while (!fitting->state.diverged && sq__segments_next(segments)) SQ_TRY(learn(fitting, &segments->batch, segments->carry, segments->ending, error));
    return SQ_OK;
}

sq_status sq__fit_step(sq_fitting *fitting, sq_error *error)
{
    sq_train_state *state = &fitting->state;
    const int64_t redraw = fitting->job->train.redraw;
    const sq_batch *batch;
    SQ_TRY(sq__batcher_get(fitting->batcher, state->epoch, state->batch, &batch, error));
    const double begin = sq__clock();
    if (redraw > 0 && state->step > 0 && state->step % redraw == 0) sq__model_redraw(fitting->model, (uint64_t)(state->step / redraw));
    SQ_TRY(fitting->segments.length ? learn_segments(fitting, batch, error) : learn(fitting, batch, NULL, batch->B, error));
    if (state->diverged) return SQ_OK;
    state->seconds += sq__clock() - begin;
    state->step++;
    state->batch++;
    return SQ_OK;
}
