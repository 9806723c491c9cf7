/* Operations that only move values: concatenate and slice on the last axis, reshape, transpose of the first two axes, prepend. */
#include "autograd/ops.h"

/* dst[rows, width] at distance ld_dst = (or +=) src[rows, width] at distance ld_src */
typedef struct move { float *dst; const float *src; int64_t width, ld_dst, ld_src; bool add; } move;

static void move_rows(void *context, int64_t from, int64_t to)
{
    const move *m = context;
    for (int64_t row = from; row < to; row++) {
        if (m->add) sq__kernels()->axpy(m->dst + row * m->ld_dst, 1.0f, m->src + row * m->ld_src, m->width);
        else memcpy(m->dst + row * m->ld_dst, m->src + row * m->ld_src, (size_t)m->width * sizeof(float));
    }
}

static void run_move(int64_t rows, move m) { sq__for_range(rows, SQ_ROWS, move_rows, &m); }

/* ---- concatenate ---- */

static sq_status concatenate_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *first = node->inputs[0];
    char text[64], other[64];
    SQ_TRY(sq__same_shape(node, shapes, error));
    for (int i = 1; i < node->input_count; i++) {
        const sq_var *part = node->inputs[i];
        if (!part || part->rank != first->rank || memcmp(part->shape, first->shape, (size_t)(first->rank - 1) * sizeof *first->shape) != 0)
            return sq__fail(error, SQ_INVALID, "part %d is %s; expected %s up to the last axis", i, part ? sq__shape_text(part, text) : "absent",
                            sq__shape_text(first, other));
        shapes->at[first->rank - 1] += sq__last(part);
    }
    return sq__last(first) > 0 ? SQ_OK : sq__fail(error, SQ_INVALID, "the first part is empty");
}

static void concatenate_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const sq_var *y = node->outputs[0];
    int64_t at = 0, width = sq__last(y);
    for (int i = 0; i < node->input_count; i++) {
        const sq_var *part = node->inputs[i];
        run_move(sq__rows(node->inputs[0]), (move){ y->value + at, part->value, sq__last(part), width, sq__last(part), false });
        at += sq__last(part);
    }
}

static void concatenate_vjp(sq_tape *tape, sq_node *node)
{
    const sq_var *y = node->outputs[0];
    int64_t at = 0, width = sq__last(y);
    for (int i = 0; i < node->input_count; i++) {
        int64_t part = sq__last(node->inputs[i]);
        float beta, *d = sq__gradient(tape, node->inputs[i], &beta);
        if (d) run_move(sq__rows(y), (move){ d, y->gradient + at, part, part, width, beta != 0 });
        at += part;
    }
}

const sq_op sq__op_concatenate = { "concatenate", 0, false, concatenate_shape, concatenate_forward, concatenate_vjp };

sq_var *sq__concatenate(sq_tape *tape, sq_var *const *parts, int count) { return sq__apply1(tape, &sq__op_concatenate, parts, count, NULL, 0); }

/* ---- slice ---- */

typedef struct window { int64_t start, length; } window;

static sq_status slice_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const window *w = node->attributes;
    const sq_var *x = node->inputs[0];
    if (w->start < 0 || w->length < 1 || w->start > sq__last(x) - w->length)
        return sq__fail(error, SQ_INVALID, "[%lld, %lld) of a last axis of %lld", (long long)w->start, (long long)(w->start + w->length),
                        (long long)sq__last(x));
    SQ_TRY(sq__same_shape(node, shapes, error));
    shapes->at[x->rank - 1] = w->length;
    return SQ_OK;
}

static void slice_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const window *w = node->attributes;
    const sq_var *x = node->inputs[0];
    run_move(sq__rows(x), (move){ node->outputs[0]->value, x->value + w->start, w->length, w->length, sq__last(x), false });
}

static void slice_vjp(sq_tape *tape, sq_node *node)
{
    const window *w = node->attributes;
    const sq_var *x = node->inputs[0];
    float *dx = sq__gradient_added(tape, node->inputs[0]);
    if (dx) run_move(sq__rows(x), (move){ dx + w->start, node->outputs[0]->gradient, w->length, sq__last(x), w->length, true });
}

const sq_op sq__op_slice = { "slice", 0, false, slice_shape, slice_forward, slice_vjp };

sq_var *sq__slice(sq_tape *tape, sq_var *x, int64_t start, int64_t length)
{
    window w = { start, length };
    return sq__apply1(tape, &sq__op_slice, &x, 1, &w, sizeof w);
}

/* ---- reshape ---- */

static sq_status reshape_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_shape *wanted = node->attributes;
    char text[64];
    int64_t count = 1;
    bool fits = wanted->rank >= 1 && wanted->rank <= SQ_MAX_RANK;
    for (int i = 0; fits && i < wanted->rank; i++) fits = wanted->at[i] >= 0 && !__builtin_mul_overflow(count, wanted->at[i], &count);
    if (!fits || count != node->inputs[0]->count)
        return sq__fail(error, SQ_INVALID, "%s to a shape of %lld elements", sq__shape_text(node->inputs[0], text), (long long)count);
    *shapes = *wanted;
    return SQ_OK;
}

static void reshape_vjp(sq_tape *tape, sq_node *node) { sq__gradient_pass(tape, node, node->inputs[0]); }

const sq_op sq__op_reshape = { "reshape", 0, true, reshape_shape, NULL, reshape_vjp };

sq_var *sq__reshape(sq_tape *tape, sq_var *x, int rank, const int64_t *shape)
{
    sq_shape wanted = { .rank = rank };
    for (int i = 0; i < rank && i < SQ_MAX_RANK; i++) wanted.at[i] = shape[i];
    return sq__apply1(tape, &sq__op_reshape, &x, 1, &wanted, sizeof wanted);
}

/* ---- transpose: [A, B, ...] -> [B, A, ...] ---- */

static sq_status transpose_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    SQ_TRY(sq__want_rank(node->inputs[0], "the input", 2, error));
    SQ_TRY(sq__same_shape(node, shapes, error));
    shapes->at[0] = node->inputs[0]->shape[1];
    shapes->at[1] = node->inputs[0]->shape[0];
    return SQ_OK;
}

/* dst [b, a, width] from src [a, b, width] */
static void swap_axes(float *dst, const float *src, int64_t a, int64_t b, int64_t width, bool add)
{
    for (int64_t j = 0; j < b; j++) run_move(a, (move){ dst + j * a * width, src + j * width, width, width, b * width, add });
}

static void transpose_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const sq_var *x = node->inputs[0];
    if (x->count) swap_axes(node->outputs[0]->value, x->value, x->shape[0], x->shape[1], x->count / (x->shape[0] * x->shape[1]), false);
}

static void transpose_vjp(sq_tape *tape, sq_node *node)
{
    const sq_var *x = node->inputs[0];
    float beta, *dx = sq__gradient(tape, node->inputs[0], &beta);
    if (dx && x->count) swap_axes(dx, node->outputs[0]->gradient, x->shape[1], x->shape[0], x->count / (x->shape[0] * x->shape[1]), beta != 0);
}

const sq_op sq__op_transpose = { "transpose", 0, false, transpose_shape, transpose_forward, transpose_vjp };

sq_var *sq__transpose(sq_tape *tape, sq_var *x) { return sq__apply1(tape, &sq__op_transpose, &x, 1, NULL, 0); }

/* ---- prepend: [B, T, E], [E] -> [B, T+1, E]. Inputs: x, token ---- */

static sq_status prepend_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *x = node->inputs[0];
    char text[64];
    if (x->rank != 3 || !x->count) return sq__fail(error, SQ_INVALID, "the input is %s; expected [B, T, E]", sq__shape_text(x, text));
    SQ_TRY(sq__want_shape(node->inputs[1], "the token", 1, &x->shape[2], error));
    SQ_TRY(sq__same_shape(node, shapes, error));
    shapes->at[1]++;
    return SQ_OK;
}

static void prepend_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const sq_var *x = node->inputs[0];
    int64_t width = x->shape[2], row = x->shape[1] * width;
    float *y = node->outputs[0]->value;
    run_move(x->shape[0], (move){ y, node->inputs[1]->value, width, row + width, 0, false });
    run_move(x->shape[0], (move){ y + width, x->value, row, row + width, row, false });
}

static void prepend_vjp(sq_tape *tape, sq_node *node)
{
    const sq_var *x = node->inputs[0];
    int64_t width = x->shape[2], row = x->shape[1] * width;
    const float *dy = node->outputs[0]->gradient;
    float beta, *dx = sq__gradient(tape, node->inputs[0], &beta);
    if (dx) run_move(x->shape[0], (move){ dx, dy + width, row, row, row + width, beta != 0 });
    float *token = sq__gradient_added(tape, node->inputs[1]);
    if (token) sq__add_rows(token, dy, x->shape[0], width, row + width);
}

const sq_op sq__op_prepend = { "prepend", 0, false, prepend_shape, prepend_forward, prepend_vjp };

sq_var *sq__prepend(sq_tape *tape, sq_var *token, sq_var *x)
{
    if (!token) return NULL;
    return sq__apply1(tape, &sq__op_prepend, (sq_var *[]){ x, token }, 2, NULL, 0);
}
