/* head_scores: rows against a few others, by heads. dx_t = scale sum_l ds_tl y_l, dy_l = scale sum_t ds_tl x_t. */
#include "autograd/mean_scan.h"
#include "autograd/ops.h"

enum { X, Y, INPUTS };

typedef struct attributes { int64_t heads; float scale; } attributes;

typedef struct scores {
    attributes a;
    int64_t T, L, D, blocks;           /* blocks of rows per batch entry */
    const float *x, *y, *ds;
    float *s, *dx, *dy;
} scores;

static sq_status scores_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *x = node->inputs[X], *y = node->inputs[Y];
    const attributes *a = node->attributes;
    char text[64];
    if (!x || x->rank != 3 || !x->count || a->heads < 1 || sq__last(x) % a->heads)
        return sq__fail(error, SQ_INVALID, "the rows are %s; expected [B, T, heads * D]", x ? sq__shape_text(x, text) : "absent");
    if (!y || y->rank != 3 || !y->count || y->shape[0] != x->shape[0] || sq__last(y) != sq__last(x))
        return sq__fail(error, SQ_INVALID, "the others are %s; expected [%lld, L, %lld]", y ? sq__shape_text(y, text) : "absent", (long long)x->shape[0],
                        (long long)sq__last(x));
    shapes[0] = (sq_shape){ 3, { x->shape[0], x->shape[1], a->heads * y->shape[1] } };
    return SQ_OK;
}

static scores scores_of(const sq_node *node)
{
    const sq_var *x = node->inputs[X], *y = node->inputs[Y];
    scores c = { .a = *(const attributes *)node->attributes, .T = x->shape[1], .L = y->shape[1], .x = x->value, .y = y->value, .s = node->outputs[0]->value };
    c.D = sq__last(x) / c.a.heads;
    c.blocks = (c.T + SQ_ROWS - 1) / SQ_ROWS;
    return c;
}

/* SQ_ROWS rows of one batch entry, all heads: s, or dx. */
static void rows_item(void *context, int64_t item, int thread)
{
    const scores *c = context;
    const int64_t b = item / c->blocks, t = item % c->blocks * SQ_ROWS, rows = sq__least(SQ_ROWS, c->T - t), E = c->a.heads * c->D, S = c->a.heads * c->L;
    (void)thread;
    for (int64_t h = 0; h < c->a.heads; h++) {
        const int64_t at = (b * c->T + t) * S + h * c->L, row = (b * c->T + t) * E + h * c->D, other = b * c->L * E + h * c->D;
        if (c->dx) sq__gemm(false, false, rows, c->D, c->L, c->a.scale, c->ds + at, S, c->y + other, E, 1, c->dx + row, E);
        else sq__gemm(false, true, rows, c->L, c->D, c->a.scale, c->x + row, E, c->y + other, E, 0, c->s + at, S);
    }
}

static void others_item(void *context, int64_t item, int thread)
{
    const scores *c = context;
    const int64_t b = item / c->a.heads, h = item % c->a.heads, E = c->a.heads * c->D, S = c->a.heads * c->L;
    (void)thread;
    sq__gemm(true, false, c->L, c->D, c->T, c->a.scale, c->ds + b * c->T * S + h * c->L, S, c->x + b * c->T * E + h * c->D, E, 1,
             c->dy + b * c->L * E + h * c->D, E);
}

static void scores_forward(sq_tape *tape, sq_node *node)
{
    scores c = scores_of(node);
    (void)tape;
    sq__parallel(sq__threads(), node->inputs[X]->shape[0] * c.blocks, rows_item, &c);
}

static void scores_vjp(sq_tape *tape, sq_node *node)
{
    scores c = scores_of(node);
    const int64_t B = node->inputs[X]->shape[0];
    c.ds = node->outputs[0]->gradient;
    c.dx = sq__gradient_added(tape, node->inputs[X]);
    if (c.dx) sq__parallel(sq__threads(), B * c.blocks, rows_item, &c);
    c.dy = sq__gradient_added(tape, node->inputs[Y]);
    if (c.dy) sq__parallel(sq__threads(), B * c.a.heads, others_item, &c);
}

const sq_op sq__op_head_scores = { "head_scores", SQ_READS_INPUT(X) | SQ_READS_INPUT(Y), false, scores_shape, scores_forward, scores_vjp };

sq_var *sq__head_scores(sq_tape *tape, sq_var *x, sq_var *y, int64_t heads, float scale)
{
    return sq__apply1(tape, &sq__op_head_scores, (sq_var *[]){ x, y }, INPUTS, &(attributes){ heads, scale }, sizeof(attributes));
}
