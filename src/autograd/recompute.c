/* recompute: a part of the network that is run again on the way back. */
#include "autograd/nested.h"
#include "autograd/ops.h"

/* The output's own buffer makes room for that of the part's result. */
static void recompute_forward(sq_tape *tape, sq_node *node)
{
    const sq_part *part = node->attributes;
    sq_var *auxiliary = NULL, *x = node->inputs[0];
    sq_variable *out = sq__behind(node->outputs[0]);
    sq__pool_release(tape->pool, out->value);
    out->value = NULL;
    const sq_nested outer = sq__rehearsal_begin(tape, node);
    sq_var *y = part->run(part->context, tape, x, node->output_count > 1 ? &auxiliary : NULL);
    sq_error error;
    if (y && (y->rank != x->rank || memcmp(y->shape, x->shape, (size_t)x->rank * sizeof *x->shape) != 0 || !sq__behind(y)->value)) {
        sq__fail(&error, SQ_INTERNAL, "recompute: the part gives no rows of its own of the input's shape");
        sq__tape_fail(tape, &error);
    }
    if (tape->status == SQ_OK) {
        out->value = sq__buffer_share(sq__behind(y)->value);
        out->var.value = y->value;
        if (node->output_count > 1) node->outputs[1]->value[0] = auxiliary ? auxiliary->value[0] : 0;
    }
    sq__nested_end(tape, &outer);
}

static void recompute_vjp(sq_tape *tape, sq_node *node)
{
    const sq_part *part = node->attributes;
    const sq_var *of = node->inputs[0];
    const float weight = node->output_count > 1 && node->outputs[1]->gradient ? node->outputs[1]->gradient[0] : 0;
    sq_var *auxiliary = NULL;
    const sq_nested outer = sq__replay_begin(tape, node->place + 1);
    sq_var *x = sq__tape_input(tape, of->rank, of->shape, of->value, of->needs_gradient);
    sq_var *y = part->run(part->context, tape, x, node->output_count > 1 ? &auxiliary : NULL);
    sq__replay_back(tape, y, sq__behind(node->outputs[0])->gradient, auxiliary, weight);
    sq_buffer *dx = x ? sq__buffer_share(sq__behind(x)->gradient) : NULL;
    sq__nested_end(tape, &outer);
    if (dx) sq__gradient_give(tape, node->inputs[0], dx);
}

static sq_status recompute_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    shapes[1] = (sq_shape){ 1, { 1 } };
    return sq__same_shape(node, shapes, error);
}

const sq_op sq__op_recompute = { "recompute", SQ_READS_INPUT(0) | SQ_READS_PARAMETERS, false, recompute_shape, recompute_forward, recompute_vjp };

sq_var *sq__recompute(sq_tape *tape, const sq_part *part, sq_var *x, sq_var **auxiliary)
{
    sq_node *node = sq__apply(tape, &sq__op_recompute, &x, 1, part, sizeof *part, auxiliary ? 2 : 1);
    if (auxiliary && node) *auxiliary = *auxiliary ? sq__add(tape, *auxiliary, node->outputs[1]) : node->outputs[1];
    return node ? node->outputs[0] : NULL;
}
