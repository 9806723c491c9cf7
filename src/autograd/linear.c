/* linear: y = residual + dropout(x W' + b), and plain matmul. Rows go through in blocks, so that bias, mask and residual are
 * applied while a block is in the cache. */
#include "autograd/groups.h"
#include "autograd/ops.h"

enum { X, WEIGHT, BIAS, RESIDUAL, INPUTS };
enum { LARGE = 1 << 16 };              /* numbers of a weight that leaves the near caches */

typedef struct linear {
    int64_t rows, in, out;
    float p, factor;                   /* dropout; 1 / (1 - p) */
    const float *x, *weight, *bias, *residual, *dy;
    sq_packed packed;                  /* the weight for x W', or for dy W */
    const uint8_t *keep;
    float *y, *dx, beta;
} linear;

static sq_status linear_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *x = node->inputs[X], *w = node->inputs[WEIGHT], *b = node->inputs[BIAS], *r = node->inputs[RESIDUAL];
    char text[64];
    SQ_TRY(sq__want_rank(x, "the input", 1, error));
    if (w->rank != 2 || w->shape[1] != sq__last(x) || w->shape[0] < 1)
        return sq__fail(error, SQ_INVALID, "the weight is %s; expected [out, %lld]", sq__shape_text(w, text), (long long)sq__last(x));
    SQ_TRY(sq__same_shape(node, shapes, error));
    shapes->at[x->rank - 1] = w->shape[0];
    if (b) SQ_TRY(sq__want_shape(b, "the bias", 1, w->shape, error));
    if (r) SQ_TRY(sq__want_shape(r, "the residual", shapes->rank, shapes->at, error));
    return sq__want_probability(*(const float *)node->attributes, error);
}

static void forward_block(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    (void)sums;
    (void)scratch;
    const linear *c = context;
    const sq_kernels *kernels = sq__kernels();
    float *y = c->y + from * c->out;
    sq__gemm_packed(to - from, &c->packed, c->x + from * c->in, c->in, false, y, c->out);
    for (int64_t row = from; row < to; row++, y += c->out) {
        if (c->bias) kernels->axpy(y, 1.0f, c->bias, c->out);
        if (c->keep) sq__masked(y, y, c->keep + row * c->out, c->factor, c->out);
        if (c->residual) kernels->axpy(y, 1.0f, c->residual + row * c->out, c->out);
    }
}

static linear linear_of(const sq_node *node)
{
    const sq_var *x = node->inputs[X];
    float p = *(const float *)node->attributes;
    linear c = { .rows = sq__rows(x),
                 .in = sq__last(x),
                 .out = node->inputs[WEIGHT]->shape[0],
                 .x = x->value,
                 .weight = node->inputs[WEIGHT]->value,
                 .p = p,
                 .factor = 1 / (1 - p) };
    if (node->saved[0]) c.keep = sq__buffer_data(node->saved[0]);
    return c;
}

/* The weight for x W', or (back) for dy W. Many rows: packed once into *room, since every block of them would do it again. */
static bool pack_weight(sq_tape *tape, linear *c, bool back, sq_buffer **room)
{
    const int64_t k = back ? c->out : c->in, n = back ? c->in : c->out;
    *room = NULL;
    c->packed = (sq_packed){ !back, k, n, c->in, c->weight, NULL };
    if (c->rows < SQ_ROWS) return true;
    *room = sq__scratch(tape, (size_t)(k * n) * sizeof(float));
    if (*room) c->packed = sq__pack(sq__floats(*room), !back, k, n, c->weight, c->in);
    return *room != NULL;
}

static void linear_forward(sq_tape *tape, sq_node *node)
{
    if (*(const float *)node->attributes > 0 && !sq__draw_keep(tape, node, 0, node->outputs[0]->count, *(const float *)node->attributes)) return;
    linear c = linear_of(node);
    sq_buffer *packed;
    c.y = node->outputs[0]->value;
    c.bias = node->inputs[BIAS] ? node->inputs[BIAS]->value : NULL;
    c.residual = node->inputs[RESIDUAL] ? node->inputs[RESIDUAL]->value : NULL;
    if (!pack_weight(tape, &c, false, &packed)) return;
    sq__run_rows(tape, &(sq_row_work){ .rows = c.rows, .run = forward_block, .context = &c });
    sq__pool_release(tape->pool, packed);
}

/* dW += dy' x, db += sum of dy, dx = dy W */
static void backward_block(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    const linear *c = context;
    const float *dy = c->dy + from * c->out, *x = c->x + from * c->in;
    int64_t rows = to - from;
    if (c->keep) {
        sq__masked(scratch, dy, c->keep + from * c->out, c->factor, rows * c->out);
        dy = scratch;
    }
    if (sums[0]) sq__gemm(true, false, c->out, c->in, rows, 1, dy, c->out, x, c->in, 1, sums[0], c->in);
    if (sums[1])
        for (int64_t i = 0; i < rows; i++) sq__kernels()->axpy(sums[1], 1.0f, dy + i * c->out, c->out);
    if (c->dx) sq__gemm_packed(rows, &c->packed, dy, c->out, c->beta != 0, c->dx + from * c->in, c->in);
}

static void linear_vjp(sq_tape *tape, sq_node *node)
{
    linear c = linear_of(node);
    c.dy = node->outputs[0]->gradient;
    c.dx = sq__gradient(tape, node->inputs[X], &c.beta);
    sq_row_work work = { .rows = c.rows, .scratch = c.keep ? SQ_ROWS * c.out : 0, .run = backward_block, .context = &c };
    float *dweight = sq__gradient_added(tape, node->inputs[WEIGHT]);
    const bool apart = dweight && !c.keep && c.in * c.out >= LARGE && c.rows > SQ_ROWS;
    work.sums[0] = apart ? NULL : dweight;
    work.sums[1] = sq__gradient_added(tape, node->inputs[BIAS]);
    work.lengths[0] = c.out * c.in;
    work.lengths[1] = c.out;
    sq_buffer *packed = NULL;
    if (tape->status != SQ_OK || (c.dx && !pack_weight(tape, &c, true, &packed))) return;
    sq__run_rows(tape, &work);
    sq__pool_release(tape->pool, packed);
    if (apart) sq__add_product(dweight, c.out, c.in, c.rows, c.dy, c.out, c.x, c.in);
    if (node->inputs[RESIDUAL]) sq__gradient_pass(tape, node, node->inputs[RESIDUAL]);
}

const sq_op sq__op_linear = { "linear", SQ_READS_INPUT(X) | SQ_READS_INPUT(WEIGHT), false, linear_shape, linear_forward, linear_vjp };

sq_var *sq__linear_residual(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias, float dropout, sq_var *residual)
{
    float p = tape->training ? dropout : 0;
    return sq__apply1(tape, &sq__op_linear, (sq_var *[]){ x, weight, bias, residual }, INPUTS, &p, sizeof p);
}

sq_var *sq__linear(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias)
{
    return sq__linear_residual(tape, x, weight, bias, 0, NULL);
}

/* ---- matmul ---- */

static sq_status matmul_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *a = node->inputs[0], *b = node->inputs[1];
    char text[64], other[64];
    if (a->rank != 2 || b->rank != 2 || a->shape[1] != b->shape[0] || !a->count || !b->count)
        return sq__fail(error, SQ_INVALID, "%s times %s; expected [m, k] times [k, n]", sq__shape_text(a, text), sq__shape_text(b, other));
    *shapes = (sq_shape){ 2, { a->shape[0], b->shape[1] } };
    return SQ_OK;
}

static void matmul_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const sq_var *a = node->inputs[0], *b = node->inputs[1];
    int64_t m = a->shape[0], k = a->shape[1], n = b->shape[1];
    sq__gemm_parallel(sq__threads(), false, false, m, n, k, 1, a->value, k, b->value, n, 0, node->outputs[0]->value, n);
}

static void matmul_vjp(sq_tape *tape, sq_node *node)
{
    const sq_var *a = node->inputs[0], *b = node->inputs[1];
    const float *dy = node->outputs[0]->gradient;
    int64_t m = a->shape[0], k = a->shape[1], n = b->shape[1];
    float beta, *da = sq__gradient(tape, node->inputs[0], &beta);
    if (da) sq__gemm_parallel(sq__threads(), false, true, m, k, n, 1, dy, n, b->value, n, beta, da, k);
    float *db = sq__gradient(tape, node->inputs[1], &beta);
    if (db) sq__gemm_parallel(sq__threads(), true, false, k, n, m, 1, a->value, k, dy, n, beta, db, n);
}

const sq_op sq__op_matmul = { "matmul", SQ_READS_INPUT(0) | SQ_READS_INPUT(1), false, matmul_shape, matmul_forward, matmul_vjp };

sq_var *sq__matmul(sq_tape *tape, sq_var *a, sq_var *b) { return sq__apply1(tape, &sq__op_matmul, (sq_var *[]){ a, b }, 2, NULL, 0); }
