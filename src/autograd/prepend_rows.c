/* prepend_rows: what is kept of the past, a constant, before the rows of now. */
#include "autograd/ops.h"
#include "autograd/relative.h"

typedef struct attributes { int64_t rows; int count; sq_row_part parts[2]; } attributes;

static sq_status prepend_rows_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const attributes *a = node->attributes;
    SQ_TRY(sq__want_rank(node->inputs[0], "the input", 3, error));
    SQ_TRY(sq__same_shape(node, shapes, error));
    shapes->at[1] += a->rows;
    return SQ_OK;
}

static void prepend_rows_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const attributes *a = node->attributes;
    const sq_var *x = node->inputs[0];
    const int64_t E = x->shape[2], own = x->shape[1] * E;
    float *to = node->outputs[0]->value;
    for (int64_t b = 0; b < x->shape[0]; b++) {
        for (int i = 0; i < a->count; i++) {
            const int64_t count = a->parts[i].rows * E;
            if (count) memcpy(to, a->parts[i].at + b * a->parts[i].stride, (size_t)count * sizeof *to);
            to += count;
        }
        if (own) memcpy(to, x->value + b * own, (size_t)own * sizeof *to);
        to += own;
    }
}

static void prepend_rows_vjp(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    const sq_var *x = node->inputs[0];
    const int64_t E = x->shape[2], own = x->shape[1] * E, before = a->rows * E;
    float *dx = sq__gradient_added(tape, node->inputs[0]);
    for (int64_t b = 0; dx && b < x->shape[0]; b++)
        sq__kernels()->axpy(dx + b * own, 1, node->outputs[0]->gradient + b * (before + own) + before, own);
}

const sq_op sq__op_prepend_rows = { "prepend_rows", 0, false, prepend_rows_shape, prepend_rows_forward, prepend_rows_vjp };

sq_var *sq__prepend_rows(sq_tape *tape, sq_var *x, const sq_row_part *parts, int count)
{
    attributes a = { .count = count };
    for (int i = 0; i < count && i < 2; i++) {
        a.parts[i] = parts[i];
        a.rows += parts[i].rows;
    }
    return sq__apply1(tape, &sq__op_prepend_rows, &x, 1, &a, sizeof a);
}
