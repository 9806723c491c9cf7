#include "autograd/nested.h"

struct sq_former { uint64_t place; int tensor; sq_former *previous; float value[]; };

static sq_nested state_of(const sq_tape *tape)
{
    return (sq_nested){ tape->variables, tape->nodes, tape->places, tape->record, tape->rehearsing, tape->replaying, false };
}

sq_nested sq__rehearsal_begin(sq_tape *tape, const sq_node *node)
{
    const sq_nested outer = state_of(tape);
    tape->rehearsing |= node->recorded && !tape->replaying;   /* a replay knows already what it needs */
    tape->record = false;
    return outer;
}

sq_nested sq__replay_begin(sq_tape *tape, uint64_t place)
{
    sq_nested outer = state_of(tape);
    outer.again = true;
    tape->nodes = NULL;
    tape->places = place;
    tape->replaying = true;
    return outer;
}

void sq__nested_end(sq_tape *tape, const sq_nested *outer)
{
    sq__drop_variables(tape, outer->variables);
    tape->nodes = outer->nodes;
    tape->record = outer->record;
    if (outer->again) tape->places = outer->places;   /* a rehearsal's places are taken */
    tape->rehearsing = outer->rehearsing;
    tape->replaying = outer->replaying;
}

void sq__replay_back(sq_tape *tape, sq_var *y, sq_buffer *gradient, sq_var *auxiliary, float weight)
{
    if (tape->status != SQ_OK) return;
    if (gradient) sq__gradient_give(tape, y, sq__buffer_share(gradient));
    float *of_auxiliary = weight != 0 ? sq__gradient_added(tape, auxiliary) : NULL;
    if (of_auxiliary) *of_auxiliary += weight;
    sq__run_back(tape);
}

void sq__former_keep(sq_tape *tape, const sq_node *node, int tensor, const sq_var *value)
{
    const size_t bytes = (size_t)value->count * sizeof(float);
    sq_former *former = sq__tape_memory(tape, sizeof *former + bytes);
    if (!former) return;
    *former = (sq_former){ node->place, tensor, tape->formers };
    memcpy(former->value, value->value, bytes);
    tape->formers = former;
}

float *sq__former_find(const sq_tape *tape, const sq_node *node, int tensor)
{
    for (sq_former *f = tape->formers; f; f = f->previous)
        if (f->place == node->place && f->tensor == tensor) return f->value;
    return NULL;
}
