#include "nn/parameters.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

static sq_status grow(sq_parameters *set, sq_error *error)
{
    if (set->count < set->capacity) return SQ_OK;
    int capacity = set->capacity ? 2 * set->capacity : 32;
    sq_parameter *items = sq__realloc(set->items, (size_t)capacity * sizeof *items);
    if (!items) return sq__no_memory(error);
    set->items = items;
    set->capacity = capacity;
    return SQ_OK;
}

static void fill(const sq_parameters *set, const sq_parameter_spec *spec, sq_parameter *parameter)
{
    sq_random random = sq__random_stream(set->seed, parameter->name, 0);
    switch (spec->initial) {
    case SQ_INITIAL_ZERO: break;   /* allocated so */
    case SQ_INITIAL_ONE:
        for (int64_t i = 0; i < parameter->count; i++) parameter->value[i] = 1;
        break;
    case SQ_INITIAL_UNIFORM: sq__random_uniform_fill(&random, parameter->value, parameter->count, -spec->scale, spec->scale); break;
    case SQ_INITIAL_NORMAL: sq__random_normal_fill(&random, parameter->value, parameter->count, spec->scale); break;
    }
}

static sq_status share(const sq_parameters *set, const sq_parameter_spec *spec, const sq_parameter *found, int *index, sq_error *error)
{
    bool same = found->rank == spec->rank && found->trainable == !spec->frozen;
    for (int i = 0; same && i < spec->rank; i++) same = found->shape[i] == spec->shape[i];
    if (!same) return sq__fail(error, SQ_UNSUPPORTED, "layers cannot share '%s', whose shape differs between them", found->name);
    *index = (int)(found - set->items);
    return SQ_OK;
}

sq_status sq__parameters_add(sq_parameters *set, const sq_parameter_spec *spec, int *index, sq_error *error)
{
    sq_parameter parameter = { .rank = spec->rank, .count = 1, .trainable = !spec->frozen, .decay = spec->decay };
    int length = snprintf(parameter.name, sizeof parameter.name, "%s%s%s", spec->prefix, *spec->prefix ? "." : "", spec->name);
    if (length >= (int)sizeof parameter.name)
        return sq__fail(error, SQ_INVALID, "the name of parameter '%s.%s' is longer than %d bytes", spec->prefix, spec->name,
                        (int)sizeof parameter.name - 1);
    const sq_parameter *found = sq__parameters_find(set, parameter.name);
    if (found && set->sharing) return share(set, spec, found, index, error);
    if (found) return sq__fail(error, SQ_INTERNAL, "parameter '%s' exists already", parameter.name);
    for (int i = 0; i < spec->rank; i++) {
        parameter.shape[i] = spec->shape[i];
        if (spec->shape[i] < 1 || __builtin_mul_overflow(parameter.count, spec->shape[i], &parameter.count))
            return sq__fail(error, SQ_INVALID, "parameter '%s' has an axis of %lld", parameter.name, (long long)spec->shape[i]);
    }
    SQ_TRY(grow(set, error));
    parameter.value = sq__alloc_array((size_t)parameter.count, sizeof(float));
    if (parameter.trainable) parameter.gradient = sq__alloc_array((size_t)parameter.count, sizeof(float));
    if (!parameter.value || (parameter.trainable && !parameter.gradient)) {
        sq__free(parameter.value);
        sq__free(parameter.gradient);
        return sq__no_memory(error);
    }
    fill(set, spec, &parameter);
    *index = set->count;
    set->items[set->count++] = parameter;
    return SQ_OK;
}

void sq__parameters_clear(sq_parameters *set)
{
    for (int i = 0; i < set->count; i++) {
        sq__free(set->items[i].value);
        sq__free(set->items[i].gradient);
    }
    sq__free(set->items);
    *set = (sq_parameters){ .seed = set->seed };
}

sq_var *sq__parameters_var(const sq_parameters *set, int index, sq_tape *tape)
{
    return index < 0 ? NULL : sq__tape_parameter(tape, &set->items[index]);
}

const sq_parameter *sq__parameters_find(const sq_parameters *set, const char *name)
{
    for (int i = 0; i < set->count; i++)
        if (strcmp(set->items[i].name, name) == 0) return &set->items[i];
    return NULL;
}

float sq__glorot(int64_t in, int64_t out) { return (float)sqrt(6.0 / (double)(in + out)); }
