#include "autograd/recurrent.h"
#include "nn/gru.h"

#include <math.h>

static sq_status create_cell(sq_gru_stack *stack, sq_gru_cell *cell, const char *prefix, int64_t input, sq_error *error)
{
    const int64_t H = stack->hidden;
    sq_parameter_spec spec = { .prefix = prefix,
                               .initial = SQ_INITIAL_UNIFORM,
                               .scale = (float)(1 / sqrt((double)H)),
                               .rank = 2,
                               .shape = { 3 * H, input },
                               .decay = true };
    spec.name = "weight_ih";
    SQ_TRY(sq__parameters_add(stack->set, &spec, &cell->weight_ih, error));
    spec.name = "weight_hh";
    spec.shape[1] = H;
    SQ_TRY(sq__parameters_add(stack->set, &spec, &cell->weight_hh, error));
    spec.rank = 1;
    spec.decay = false;
    spec.name = "bias_ih";
    SQ_TRY(sq__parameters_add(stack->set, &spec, &cell->bias_ih, error));
    spec.name = "bias_hh";
    return sq__parameters_add(stack->set, &spec, &cell->bias_hh, error);
}

sq_status sq__gru_create(sq_gru_stack *stack, sq_parameters *set, const char *prefix, const sq_gru_config *config, sq_error *error)
{
    *stack = (sq_gru_stack){ set, config->layers, config->both_directions ? 2 : 1, config->hidden, config->dropout, NULL };
    if (config->layers < 1) return sq__fail(error, SQ_INVALID, "gru: %d layers; expected at least 1", config->layers);
    stack->cells = sq__alloc_array((size_t)(stack->layers * stack->directions), sizeof *stack->cells);
    if (!stack->cells) return sq__no_memory(error);
    for (int i = 0; i < stack->layers * stack->directions; i++) {
        const int layer = i / stack->directions;
        char name[96];
        snprintf(name, sizeof name, "%.70s.%d%s", prefix, layer, i % stack->directions ? ".reverse" : "");
        SQ_TRY(create_cell(stack, &stack->cells[i], name, layer ? stack->directions * stack->hidden : config->input, error));
    }
    return SQ_OK;
}

void sq__gru_clear(sq_gru_stack *stack)
{
    sq__free(stack->cells);
    stack->cells = NULL;
}

static sq_var *run_cell(const sq_gru_stack *stack, sq_tape *tape, int i, sq_var *x, const int32_t *lengths, sq_var *initial, sq_var **last)
{
    const sq_gru_cell *cell = &stack->cells[i];
    return sq__gru(tape, x, sq__parameters_var(stack->set, cell->weight_ih, tape), sq__parameters_var(stack->set, cell->weight_hh, tape),
                   sq__parameters_var(stack->set, cell->bias_ih, tape), sq__parameters_var(stack->set, cell->bias_hh, tape), initial, lengths,
                   i % stack->directions == 1, last);
}

sq_var *sq__gru_run(const sq_gru_stack *stack, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_var *const *initial, sq_var **last)
{
    for (int layer = 0; layer < stack->layers; layer++) {
        sq_var *states[2] = { NULL, NULL };
        if (layer > 0) x = sq__dropout(tape, x, stack->dropout);
        for (int way = 0; way < stack->directions; way++) {
            int i = layer * stack->directions + way;
            states[way] = run_cell(stack, tape, i, x, lengths, initial ? initial[i] : NULL, last ? &last[i] : NULL);
        }
        x = stack->directions == 2 ? sq__concatenate(tape, states, 2) : states[0];
    }
    return x;
}
