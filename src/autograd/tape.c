#include <stdarg.h>

#include "autograd/node.h"

sq_tape *sq__tape_create(bool record)
{
    sq_tape *tape = sq__alloc_zero(sizeof *tape);
    if (!tape) return NULL;
    tape->record = record;
    tape->arena = sq__arena_create(1 << 15);
    tape->pool = sq__pool_create();
    if (tape->arena && tape->pool) return tape;
    sq__tape_destroy(tape);
    return NULL;
}

void sq__tape_destroy(sq_tape *tape)
{
    if (!tape) return;
    sq__arena_destroy(tape->arena);
    sq__pool_destroy(tape->pool);
    sq__free(tape);
}

void sq__tape_reset(sq_tape *tape)
{
    sq__pool_reset(tape->pool);
    sq__arena_reset(tape->arena);
    tape->variables = NULL;
    tape->nodes = NULL;
    tape->formers = NULL;
    tape->places = 0;
    tape->ran = false;
    tape->status = SQ_OK;
}

sq_status sq__tape_status(const sq_tape *tape, sq_error *error)
{
    if (tape->status != SQ_OK && error) *error = tape->error;
    return tape->status;
}

void sq__tape_fail(sq_tape *tape, const sq_error *error)
{
    if (tape->status != SQ_OK) return;
    tape->status = error->status;
    tape->error = *error;
}

void sq__tape_mode(sq_tape *tape, bool training, uint64_t seed, uint64_t step)
{
    tape->training = training;
    tape->seed = seed;
    tape->step = step;
}

bool sq__tape_training(const sq_tape *tape) { return tape->training; }

void sq__out_of_memory(sq_tape *tape)
{
    if (tape->status == SQ_OK) tape->status = sq__no_memory(&tape->error);
}

void *sq__tape_memory(sq_tape *tape, size_t bytes)
{
    void *memory = tape->status == SQ_OK ? sq__arena_alloc(tape->arena, bytes) : NULL;
    if (!memory) sq__out_of_memory(tape);
    return memory;
}

sq_buffer *sq__scratch(sq_tape *tape, size_t bytes)
{
    sq_buffer *buffer = sq__pool_take(tape->pool, bytes);
    if (!buffer) sq__out_of_memory(tape);
    return buffer;
}

bool sq__save(sq_tape *tape, sq_node *node, int slot, size_t bytes)
{
    node->saved[slot] = sq__scratch(tape, bytes);
    return node->saved[slot] != NULL;
}

sq_random sq__node_random(const sq_tape *tape, const sq_node *node, const char *purpose)
{
    const uint64_t key[2] = { tape->step, node->place };
    return sq__random_stream(tape->seed, purpose, sq__hash_bytes(key, sizeof key, 0));
}

/* ---- variables ---- */

static sq_variable *variable(sq_tape *tape, const sq_shape *shape)
{
    sq_variable *v = sq__tape_memory(tape, sizeof *v);
    if (!v) return NULL;
    *v = (sq_variable){ .var.rank = shape->rank, .var.count = 1, .previous = tape->variables };
    for (int i = 0; i < shape->rank; i++) {
        v->var.shape[i] = shape->at[i];
        if (shape->at[i] < 0 || __builtin_mul_overflow(v->var.count, shape->at[i], &v->var.count) || v->var.count > INT64_MAX / 8) {
            tape->status = sq__fail(&tape->error, SQ_INVALID, "a tensor is too large to count");
            return NULL;
        }
    }
    tape->variables = v;
    return v;
}

static sq_var *borrowed(sq_tape *tape, int rank, const int64_t *shape, const float *value, bool needs_gradient)
{
    if (tape->status != SQ_OK) return NULL;
    sq_shape s = { .rank = rank };
    if (rank < 1 || rank > SQ_MAX_RANK) {
        tape->status = sq__fail(&tape->error, SQ_INVALID, "input: rank is %d; expected 1 to %d", rank, SQ_MAX_RANK);
        return NULL;
    }
    memcpy(s.at, shape, (size_t)rank * sizeof *shape);
    sq_variable *v = variable(tape, &s);
    if (!v) return NULL;
    v->var.value = (float *)(uintptr_t)value;
    v->var.needs_gradient = needs_gradient && tape->record;
    v->leaf = true;
    return &v->var;
}

sq_var *sq__tape_input(sq_tape *tape, int rank, const int64_t *shape, const float *value, bool needs_gradient)
{
    return borrowed(tape, rank, shape, value, needs_gradient);
}

sq_var *sq__tape_parameter(sq_tape *tape, sq_parameter *parameter)
{
    sq_var *var = borrowed(tape, parameter->rank, parameter->shape, parameter->value, parameter->trainable);
    if (!sq__wants(var)) return var;
    var->gradient = parameter->gradient;
    sq__behind(var)->parameter = true;
    return var;
}

/* ---- scopes ---- */

sq_scope sq__scope_begin(sq_tape *tape) { return (sq_scope){ tape->variables }; }

static void let_value_go(sq_tape *tape, sq_variable *v)
{
    if (!v->value) return;
    sq__pool_release(tape->pool, v->value);
    v->value = NULL;
    v->var.value = NULL;
}

void sq__scope_end(sq_tape *tape, sq_scope scope, const sq_var *result, const sq_var *second)
{
    if (tape->status != SQ_OK) return;
    for (sq_variable *v = tape->variables; v && v != scope.mark; v = v->previous) {
        if (&v->var == result || &v->var == second) continue;
        v->transient = true;
        if (!v->readers) let_value_go(tape, v);
    }
}

/* ---- applying an operation ---- */

static void fail_at(sq_tape *tape, const sq_op *op, sq_status status)
{
    tape->status = sq__fail_at(&tape->error, status, op->name);
}

static bool check_inputs(sq_tape *tape, const sq_node *node)
{
    if (!node->inputs[0]) {
        fail_at(tape, node->op, sq__fail(&tape->error, SQ_INTERNAL, "the first input is absent"));
        return false;
    }
    for (int i = 0; i < node->input_count; i++)
        if (node->inputs[i] && !node->inputs[i]->value) {
            fail_at(tape, node->op, sq__fail(&tape->error, SQ_INTERNAL, "the value of input %d was let go by its scope", i));
            return false;
        }
    return true;
}

static bool make_outputs(sq_tape *tape, sq_node *node, const sq_shape *shapes)
{
    for (int i = 0; i < node->output_count; i++) {
        sq_variable *v = variable(tape, &shapes[i]);
        if (!v) return false;
        v->var.needs_gradient = node->recorded;
        node->outputs[i] = &v->var;
        if (i == 0 && node->op->shares) {
            v->value = sq__buffer_share(sq__behind(node->inputs[0])->value);
            v->var.value = node->inputs[0]->value;
            continue;
        }
        v->value = sq__scratch(tape, (size_t)v->var.count * sizeof(float));
        if (!v->value) return false;
        v->var.value = sq__floats(v->value);
    }
    return true;
}

static void count_readers(sq_node *node, int step)
{
    for (int i = 0; i < node->input_count && i < 16; i++)
        if (node->inputs[i] && node->op->reads & SQ_READS_INPUT(i)) sq__behind(node->inputs[i])->readers += step;
    if (node->op->reads & SQ_READS_OUTPUT) sq__behind(node->outputs[0])->readers += step;
}

static void release_saved(sq_tape *tape, sq_node *node)
{
    for (int i = 0; i < SQ_NODE_SAVED; i++) {
        sq__pool_release(tape->pool, node->saved[i]);
        node->saved[i] = NULL;
    }
}

sq_node *sq__apply(sq_tape *tape, const sq_op *op, sq_var *const *inputs, int input_count, const void *attributes, size_t size, int output_count)
{
    sq_shape shapes[2] = { { 0 }, { 0 } };
    if (tape->status != SQ_OK) return NULL;
    sq_node *node = sq__tape_memory(tape, sizeof *node);
    sq_var **copies = sq__tape_memory(tape, (size_t)input_count * sizeof *copies);
    void *kept = sq__tape_memory(tape, size);
    if (!node || !copies || !kept) return NULL;
    memcpy(copies, inputs, (size_t)input_count * sizeof *copies);
    if (size) memcpy(kept, attributes, size);
    *node = (sq_node){ .op = op, .input_count = input_count, .output_count = output_count, .inputs = copies, .attributes = kept, .place = tape->places++ };
    node->recorded = tape->record && op->reads & SQ_READS_PARAMETERS;
    for (int i = 0; i < input_count; i++) node->recorded |= tape->record && sq__wants(inputs[i]);
    if (!check_inputs(tape, node)) return NULL;
    sq_status status = op->shape(node, shapes, &tape->error);
    if (status != SQ_OK) {
        fail_at(tape, op, status);
        return NULL;
    }
    if (!make_outputs(tape, node, shapes)) return NULL;
    if (op->forward) op->forward(tape, node);
    if (tape->status != SQ_OK) return NULL;
    if (node->recorded) {
        count_readers(node, 1);
        node->previous = tape->nodes;
        tape->nodes = node;
    } else {
        release_saved(tape, node);
    }
    return node;
}

sq_var *sq__apply1(sq_tape *tape, const sq_op *op, sq_var *const *inputs, int input_count, const void *attributes, size_t size)
{
    sq_node *node = sq__apply(tape, op, inputs, input_count, attributes, size, 1);
    return node ? node->outputs[0] : NULL;
}

/* ---- backward ---- */

static void let_gradient_go(sq_tape *tape, sq_variable *v)
{
    if (v->leaf || !v->gradient) return;
    sq__pool_release(tape->pool, v->gradient);
    v->gradient = NULL;
    v->var.gradient = NULL;
}

static void retire(sq_tape *tape, sq_node *node)
{
    count_readers(node, -1);
    release_saved(tape, node);
    for (int i = 0; i < node->output_count; i++) {
        sq_variable *v = sq__behind(node->outputs[i]);
        let_gradient_go(tape, v);
        if (v->transient) let_value_go(tape, v);   /* all its readers came later on the tape and are done */
    }
    for (int i = 0; i < node->input_count; i++) {
        sq_variable *v = node->inputs[i] ? sq__behind(node->inputs[i]) : NULL;
        if (v && v->transient && !v->readers) let_value_go(tape, v);
    }
}

static bool reached(const sq_node *node)
{
    for (int i = 0; i < node->output_count; i++)
        if (node->outputs[i]->gradient) return true;
    return false;
}

void sq__run_back(sq_tape *tape)
{
    sq_node *node = tape->nodes;
    for (; node && tape->status == SQ_OK; node = node->previous) {
        if (reached(node)) node->op->vjp(tape, node);
        if (tape->status == SQ_OK) retire(tape, node);
    }
    tape->nodes = NULL;
}

void sq__drop_variables(sq_tape *tape, const sq_variable *mark)
{
    for (sq_variable *v = tape->variables; v != mark; v = v->previous) {
        sq__pool_release(tape->pool, v->value);
        sq__pool_release(tape->pool, v->gradient);
        tape->variables = v->previous;
    }
}

sq_status sq__tape_backward(sq_tape *tape, sq_var *var, const float *seed, sq_error *error)
{
    if (tape->status != SQ_OK) return sq__tape_status(tape, error);
    if (!tape->record) return sq__fail(error, SQ_INVALID, "backward: the tape does not record");
    if (tape->ran) return sq__fail(error, SQ_INVALID, "backward: the tape already ran backward");
    if (!sq__wants(var)) return SQ_OK;   /* nothing depends on anything that needs a gradient */
    tape->ran = true;
    float beta, *gradient = sq__gradient(tape, var, &beta);
    if (!gradient) return sq__tape_status(tape, error);
    for (int64_t i = 0; i < var->count; i++) gradient[i] = (seed ? seed[i] : 1.0f) + (beta != 0 ? gradient[i] : 0);
    sq__run_back(tape);
    return sq__tape_status(tape, error);
}
