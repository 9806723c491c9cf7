#include "train/state.h"

#include <string.h>

static float *values_of(const sq_parameter *parameter, sq_error *error, sq_status *status)
{
    float *values = sq__alloc_array((size_t)parameter->count, sizeof *values);
    if (!values) *status = sq__no_memory(error);
    return values;
}

sq_status sq__state_create(sq_train_state *state, sq_parameter *parameters, int count, int64_t epochs, sq_error *error)
{
    *state = (sq_train_state){ .parameters = parameters, .parameter_count = count, .curve_room = epochs };
    state->first = sq__alloc_array((size_t)count, sizeof *state->first);
    state->second = sq__alloc_array((size_t)count, sizeof *state->second);
    state->best = sq__alloc_array((size_t)count, sizeof *state->best);
    state->curve = sq__alloc_array((size_t)epochs, sizeof *state->curve);
    sq_status status = state->first && state->second && state->best && state->curve ? SQ_OK : sq__no_memory(error);
    for (int i = 0; i < count && status == SQ_OK; i++) {
        state->best[i] = values_of(&parameters[i], error, &status);
        if (!parameters[i].trainable) continue;
        state->first[i] = values_of(&parameters[i], error, &status);
        state->second[i] = values_of(&parameters[i], error, &status);
    }
    if (status != SQ_OK) sq__state_clear(state);
    return status;
}

void sq__state_clear(sq_train_state *state)
{
    float **sets[] = { state->first, state->second, state->best };
    for (int k = 0; k < 3; k++) {
        for (int i = 0; sets[k] && i < state->parameter_count; i++) sq__free(sets[k][i]);
        sq__free(sets[k]);
    }
    sq__free(state->curve);
    *state = (sq_train_state){ 0 };
}

void sq__state_keep_best(sq_train_state *state)
{
    for (int i = 0; i < state->parameter_count; i++)
        memcpy(state->best[i], state->parameters[i].value, (size_t)state->parameters[i].count * sizeof(float));
}

void sq__state_restore_best(sq_train_state *state)
{
    for (int i = 0; i < state->parameter_count; i++)
        memcpy(state->parameters[i].value, state->best[i], (size_t)state->parameters[i].count * sizeof(float));
}
