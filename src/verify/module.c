#include "verify/module.h"

#include <string.h>

#include "base/status.h"

bool sq__module_open(sq_module *module, sq_golden *golden)
{
    *module = (sq_module){ .golden = golden };
    module->tape = sq__tape_create(true);
    if (!module->tape) sq__golden_status(golden, SQ_NO_MEMORY, NULL);
    else sq__tape_mode(module->tape, true, 1, 1);
    return module->tape != NULL;
}

void sq__module_close(sq_module *module)
{
    sq__tape_destroy(module->tape);
    module->tape = NULL;
    sq__parameters_clear(&module->set);
}

bool sq__module_going(sq_module *module)
{
    sq_error error;
    if (sq__golden_going(module->golden)) sq__golden_status(module->golden, sq__tape_status(module->tape, &error), &error);
    return sq__golden_going(module->golden);
}

/* d<name> or grad.<name less "param.">, as the file has it. When backward runs, it must be there. */
static void remember(sq_module *module, const char *name, sq_module_input input)
{
    const bool bare = sq__golden_starts(name, "param.");
    if (module->count == SQ_MODULE_INPUTS) {
        sq__golden_fail(module->golden, "more than %d tensors with gradients", SQ_MODULE_INPUTS);
        return;
    }
    snprintf(input.gradient, sizeof input.gradient, "d%s", name);
    if (!sq__golden_has(module->golden, input.gradient)) snprintf(input.gradient, sizeof input.gradient, "grad.%s", bare ? name + 6 : name);
    module->inputs[module->count++] = input;
}

void sq__module_load(sq_module *module, const char *name, const sq_module_part *parts, int count)
{
    const sq_parameter *to[SQ_MODULE_PARTS] = { NULL };
    int64_t shape[4] = { 0 };
    for (int i = 0; i < count; i++) {
        to[i] = sq__parameters_find(&module->set, parts[i].parameter);
        if (!to[i]) {
            sq__golden_fail(module->golden, "the layer has no parameter '%s'", parts[i].parameter);
            return;
        }
        shape[0] += parts[i].rows;
        for (int axis = 1; axis < to[i]->rank; axis++) shape[axis] = to[i]->shape[axis];
    }
    const float *values = sq__golden_floats(module->golden, name, to[0]->rank, shape);
    if (!values) return;
    sq_module_input input = { .count = 0 };
    for (int i = 0; i < count; i++) {
        const int64_t inner = to[i]->count / to[i]->shape[0], first = parts[i].row * inner;
        input.part_counts[i] = parts[i].rows * inner;
        input.parts[i] = to[i]->gradient + first;
        memcpy(to[i]->value + first, values + input.count, (size_t)input.part_counts[i] * sizeof(float));
        input.count += input.part_counts[i];
    }
    remember(module, name, input);
}

void sq__module_parameter(sq_module *module, const char *parameter, int64_t row, int64_t rows, const char *name)
{
    sq__module_load(module, name, &(sq_module_part){ parameter, row, rows }, 1);
}

/* What failed outside of the tape stops it, too: operations on what is missing then do nothing. */
static sq_var *stopped(sq_module *module)
{
    sq_error error;
    if (!sq__golden_going(module->golden)) {
        sq__fail(&error, SQ_INVALID, "the file's check has ended");
        sq__tape_fail(module->tape, &error);
    }
    return NULL;
}

static sq_var *enter(sq_module *module, const char *name, int rank, const int64_t *shape, bool needs_gradient)
{
    const sq_st_tensor *tensor = sq__golden_tensor(module->golden, name, rank, shape);
    const float *values = tensor ? sq__golden_floats(module->golden, name, rank, shape) : NULL;
    if (!values || !sq__module_going(module)) return stopped(module);
    sq_var *var = sq__tape_input(module->tape, rank, tensor->shape, values, needs_gradient);
    if (var && needs_gradient) remember(module, name, (sq_module_input){ .var = var, .count = var->count });
    return var;
}

sq_var *sq__module_input(sq_module *module, const char *name, int rank, const int64_t *shape)
{
    return enter(module, name, rank, shape, true);
}

sq_var *sq__module_optional(sq_module *module, const char *name, int rank, const int64_t *shape)
{
    return sq__golden_has(module->golden, name) ? enter(module, name, rank, shape, true) : NULL;
}

sq_var *sq__module_constant(sq_module *module, const char *name, int rank, const int64_t *shape)
{
    return enter(module, name, rank, shape, false);
}

sq_var *sq__module_values(sq_module *module, int rank, const int64_t *shape, const float *values, bool needs_gradient)
{
    if (!values || !sq__module_going(module)) return stopped(module);
    return sq__tape_input(module->tape, rank, shape, values, needs_gradient);
}

static const float *gathered(sq_golden *golden, const sq_module_input *input)
{
    float *all = sq__golden_room(golden, input->count), *at = all;
    for (int i = 0; all && i < SQ_MODULE_PARTS && input->parts[i]; at += input->part_counts[i++])
        memcpy(at, input->parts[i], (size_t)input->part_counts[i] * sizeof(float));
    return all;
}

void sq__module_backward(sq_module *module, sq_var *out, const float *seed)
{
    sq_error error;
    if (!sq__module_going(module) || !out) return;
    sq__golden_status(module->golden, sq__tape_backward(module->tape, out, seed, &error), &error);
    for (int i = 0; i < module->count && sq__golden_going(module->golden); i++) {
        const sq_module_input *input = &module->inputs[i];
        sq__golden_compare(module->golden, input->gradient, input->var ? input->var->gradient : gathered(module->golden, input), input->count);
    }
}

void sq__module_finish(sq_module *module, sq_var *out)
{
    sq_golden *golden = module->golden;
    if (!sq__module_going(module) || !out) return;
    const int64_t inner = out->shape[out->rank - 1], rows = out->rank > 1 ? out->shape[out->rank - 2] : 1;
    sq__golden_compare_rows(golden, "out", out->value, out->count / (inner * rows), rows, inner);
    if (!sq__golden_has(golden, "g")) return;
    const float *g = sq__golden_floats(golden, "g", out->rank, out->shape);
    if (g) sq__module_backward(module, out, g);
}
