/* add, subtract, multiply (b may lack leading axes of a), scale, activate, glu, dropout. */
#include "autograd/activation.h"
#include "autograd/ops.h"

typedef struct job { float *y; const float *a, *b; const uint8_t *keep; int64_t n, rows; float factor; int kind; } job;

/* ---- two inputs: a [rows, n], b [n] ---- */

static sq_status broadcast_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *a = node->inputs[0], *b = node->inputs[1];
    char text[64], other[64];
    bool fits = b->rank <= a->rank;
    for (int i = 1; fits && i <= b->rank; i++) fits = b->shape[b->rank - i] == a->shape[a->rank - i];
    if (!fits)
        return sq__fail(error, SQ_INVALID, "the second is %s; expected %s or its last axes", sq__shape_text(b, text),
                        sq__shape_text(a, other));
    return sq__same_shape(node, shapes, error);
}

/* Calls run on stretches that do not wrap around b. */
static void stretches(const job *c, int64_t from, int64_t to, void (*run)(float *y, const float *a, const float *b, int64_t n))
{
    for (int64_t at = from, m; at < to; at += m) {
        int64_t first = at % c->n;
        m = sq__least(c->n - first, to - at);
        run(c->y + at, c->a + at, c->b + first, m);
    }
}

static void add_run(float *y, const float *a, const float *b, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void subtract_run(float *y, const float *a, const float *b, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = a[i] - b[i];
}

static void multiply_run(float *y, const float *a, const float *b, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] = a[i] * b[i];
}

static void multiply_add_run(float *y, const float *a, const float *b, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += a[i] * b[i];
}

static void add_range(void *context, int64_t from, int64_t to) { stretches(context, from, to, add_run); }
static void subtract_range(void *context, int64_t from, int64_t to) { stretches(context, from, to, subtract_run); }
static void multiply_range(void *context, int64_t from, int64_t to) { stretches(context, from, to, multiply_run); }
static void multiply_add_range(void *context, int64_t from, int64_t to) { stretches(context, from, to, multiply_add_run); }

static void binary(const sq_node *node, sq_range_fn run)
{
    const sq_var *a = node->inputs[0], *b = node->inputs[1];
    sq__for_range(a->count, SQ_ELEMENTS, run, &(job){ .y = node->outputs[0]->value, .a = a->value, .b = b->value, .n = b->count });
}

static void add_forward(sq_tape *tape, sq_node *node) { (void)tape; binary(node, add_range); }
static void subtract_forward(sq_tape *tape, sq_node *node) { (void)tape; binary(node, subtract_range); }
static void multiply_forward(sq_tape *tape, sq_node *node) { (void)tape; binary(node, multiply_range); }

/* y[from..to) += factor * sum over rows of a (times b) */
static void fold_columns(void *context, int64_t from, int64_t to)
{
    const job *c = context;
    for (int64_t at = 0; at < c->rows * c->n; at += c->n)
        if (c->b) multiply_add_run(c->y + from, c->a + at + from, c->b + at + from, to - from);
        else sq__kernels()->axpy(c->y + from, c->factor, c->a + at + from, to - from);
}

static void fold(sq_tape *tape, sq_node *node, float factor, const float *other)
{
    sq_var *b = node->inputs[1], *y = node->outputs[0];
    job c = { .y = sq__gradient_added(tape, b), .a = y->gradient, .b = other, .n = b->count, .factor = factor };
    if (!c.y || !b->count) return;
    c.rows = y->count / b->count;
    sq__for_range(b->count, SQ_ELEMENTS, fold_columns, &c);
}

static void add_vjp(sq_tape *tape, sq_node *node)
{
    sq__gradient_pass(tape, node, node->inputs[0]);
    if (node->inputs[1]->count == node->inputs[0]->count) sq__gradient_pass(tape, node, node->inputs[1]);
    else fold(tape, node, 1, NULL);
}

static void subtract_vjp(sq_tape *tape, sq_node *node)
{
    sq__gradient_pass(tape, node, node->inputs[0]);
    fold(tape, node, -1, NULL);
}

static void multiply_vjp(sq_tape *tape, sq_node *node)
{
    const sq_var *a = node->inputs[0], *b = node->inputs[1], *y = node->outputs[0];
    float *da = sq__gradient_added(tape, node->inputs[0]);
    if (da) sq__for_range(a->count, SQ_ELEMENTS, multiply_add_range, &(job){ .y = da, .a = y->gradient, .b = b->value, .n = b->count });
    fold(tape, node, 1, a->value);
}

const sq_op sq__op_add = { "add", 0, false, broadcast_shape, add_forward, add_vjp };
const sq_op sq__op_subtract = { "subtract", 0, false, broadcast_shape, subtract_forward, subtract_vjp };
const sq_op sq__op_multiply = { "multiply", SQ_READS_INPUT(0) | SQ_READS_INPUT(1), false, broadcast_shape, multiply_forward, multiply_vjp };

sq_var *sq__add(sq_tape *tape, sq_var *a, sq_var *b) { return sq__apply1(tape, &sq__op_add, (sq_var *[]){ a, b }, 2, NULL, 0); }
sq_var *sq__subtract(sq_tape *tape, sq_var *a, sq_var *b) { return sq__apply1(tape, &sq__op_subtract, (sq_var *[]){ a, b }, 2, NULL, 0); }
sq_var *sq__multiply(sq_tape *tape, sq_var *a, sq_var *b) { return sq__apply1(tape, &sq__op_multiply, (sq_var *[]){ a, b }, 2, NULL, 0); }

/* ---- scale ---- */

static void scale_range(void *context, int64_t from, int64_t to)
{
    const job *c = context;
#pragma omp simd
    for (int64_t i = from; i < to; i++) c->y[i] = c->factor * c->a[i];
}

static void scale_add_range(void *context, int64_t from, int64_t to)
{
    const job *c = context;
    sq__kernels()->axpy(c->y + from, c->factor, c->a + from, to - from);
}

static void scale_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const sq_var *x = node->inputs[0];
    sq__for_range(x->count, SQ_ELEMENTS, scale_range,
                  &(job){ .y = node->outputs[0]->value, .a = x->value, .factor = *(const float *)node->attributes });
}

static void scale_vjp(sq_tape *tape, sq_node *node)
{
    float beta, *dx = sq__gradient(tape, node->inputs[0], &beta);
    job c = { .y = dx, .a = node->outputs[0]->gradient, .factor = *(const float *)node->attributes };
    if (dx) sq__for_range(node->inputs[0]->count, SQ_ELEMENTS, beta == 0 ? scale_range : scale_add_range, &c);
}

const sq_op sq__op_scale = { "scale", 0, false, sq__same_shape, scale_forward, scale_vjp };

sq_var *sq__scale(sq_tape *tape, sq_var *x, float factor) { return sq__apply1(tape, &sq__op_scale, &x, 1, &factor, sizeof factor); }

/* ---- activate ---- */

static void activate_range(void *context, int64_t from, int64_t to)
{
    const job *c = context;
    sq__activation_forward((sq_activation)c->kind, c->y + from, c->a + from, to - from);
}

enum { PIECE = 512 };

static void activate_vjp_range(void *context, int64_t from, int64_t to)
{
    const job *c = context;
    float add[PIECE];
    if (c->factor == 0) {
        sq__activation_backward((sq_activation)c->kind, c->y + from, c->b + from, c->a + from, to - from);
        return;
    }
    for (int64_t at = from; at < to; at += PIECE) {
        int64_t m = sq__least(PIECE, to - at);
        sq__activation_backward((sq_activation)c->kind, add, c->b + at, c->a + at, m);
        sq__kernels()->axpy(c->y + at, 1.0f, add, m);
    }
}

static void activate_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const sq_var *x = node->inputs[0];
    sq__for_range(x->count, SQ_ELEMENTS, activate_range,
                  &(job){ .y = node->outputs[0]->value, .a = x->value, .kind = *(const int *)node->attributes });
}

static void activate_vjp(sq_tape *tape, sq_node *node)
{
    const sq_var *x = node->inputs[0];
    job c = { .a = x->value, .b = node->outputs[0]->gradient, .kind = *(const int *)node->attributes };
    c.y = sq__gradient(tape, node->inputs[0], &c.factor);
    if (c.y) sq__for_range(x->count, SQ_ELEMENTS, activate_vjp_range, &c);
}

const sq_op sq__op_activate = { "activate", SQ_READS_INPUT(0), false, sq__same_shape, activate_forward, activate_vjp };

sq_var *sq__activate(sq_tape *tape, sq_var *x, sq_activation activation)
{
    int kind = activation;
    return sq__apply1(tape, &sq__op_activate, &x, 1, &kind, sizeof kind);
}

/* ---- glu: x [rows, 2n] -> a sigmoid(b) ---- */

static sq_status glu_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *x = node->inputs[0];
    SQ_TRY(sq__same_shape(node, shapes, error));
    if (sq__last(x) % 2) return sq__fail(error, SQ_INVALID, "the last axis is %lld; expected an even number", (long long)sq__last(x));
    shapes->at[x->rank - 1] /= 2;
    return SQ_OK;
}

static void glu_forward_rows(void *context, int64_t from, int64_t to)
{
    const job *c = context;
    for (int64_t row = from; row < to; row++) {
        const float *a = c->a + row * 2 * c->n;
        float *y = c->y + row * c->n;
        sq__kernels()->sigmoid(y, a + c->n, c->n);
        for (int64_t i = 0; i < c->n; i++) y[i] *= a[i];
    }
}

/* da = dy s, db = dy a s (1 - s), s = sigmoid(b) */
static void glu_vjp_rows(void *context, int64_t from, int64_t to)
{
    const job *c = context;
    for (int64_t row = from; row < to; row++) {
        const float *a = c->a + row * 2 * c->n, *dy = c->b + row * c->n;
        float *da = c->y + row * 2 * c->n, s[PIECE];
        for (int64_t at = 0; at < c->n; at += PIECE) {
            int64_t m = sq__least(PIECE, c->n - at);
            sq__kernels()->sigmoid(s, a + c->n + at, m);
            for (int64_t i = 0; i < m; i++) {
                da[at + i] += dy[at + i] * s[i];
                da[c->n + at + i] += dy[at + i] * a[at + i] * s[i] * (1 - s[i]);
            }
        }
    }
}

static void glu_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const sq_var *y = node->outputs[0];
    if (y->count) sq__for_range(sq__rows(y), SQ_ROWS, glu_forward_rows, &(job){ .y = y->value, .a = node->inputs[0]->value, .n = sq__last(y) });
}

static void glu_vjp(sq_tape *tape, sq_node *node)
{
    const sq_var *y = node->outputs[0];
    job c = { .y = sq__gradient_added(tape, node->inputs[0]), .a = node->inputs[0]->value, .b = y->gradient, .n = sq__last(y) };
    if (c.y && y->count) sq__for_range(sq__rows(y), SQ_ROWS, glu_vjp_rows, &c);
}

const sq_op sq__op_glu = { "glu", SQ_READS_INPUT(0), false, glu_shape, glu_forward, glu_vjp };

sq_var *sq__glu(sq_tape *tape, sq_var *x) { return sq__apply1(tape, &sq__op_glu, &x, 1, NULL, 0); }

/* ---- dropout: y = x keep / (1 - p), a byte per element kept for the way back ---- */

static void dropout_range(void *context, int64_t from, int64_t to)
{
    const job *c = context;
    sq__masked(c->y + from, c->a + from, c->keep + from, c->factor, to - from);
}

static void dropout_add_range(void *context, int64_t from, int64_t to)
{
    const job *c = context;
#pragma omp simd
    for (int64_t i = from; i < to; i++) c->y[i] += c->keep[i] ? c->factor * c->a[i] : 0;
}

static void dropout_forward(sq_tape *tape, sq_node *node)
{
    const sq_var *x = node->inputs[0];
    float p = *(const float *)node->attributes;
    if (!sq__draw_keep(tape, node, 0, x->count, p)) return;
    job c = { .y = node->outputs[0]->value, .a = x->value, .keep = sq__buffer_data(node->saved[0]), .factor = 1 / (1 - p) };
    sq__for_range(x->count, SQ_ELEMENTS, dropout_range, &c);
}

static void dropout_vjp(sq_tape *tape, sq_node *node)
{
    float beta, p = *(const float *)node->attributes, *dx = sq__gradient(tape, node->inputs[0], &beta);
    job c = { .y = dx, .a = node->outputs[0]->gradient, .keep = sq__buffer_data(node->saved[0]), .factor = 1 / (1 - p) };
    if (dx) sq__for_range(node->inputs[0]->count, SQ_ELEMENTS, beta == 0 ? dropout_range : dropout_add_range, &c);
}

static sq_status dropout_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    SQ_TRY(sq__want_probability(*(const float *)node->attributes, error));
    return sq__same_shape(node, shapes, error);
}

const sq_op sq__op_dropout = { "dropout", 0, false, dropout_shape, dropout_forward, dropout_vjp };

sq_var *sq__dropout(sq_tape *tape, sq_var *x, float p)
{
    if (!tape->training || p == 0) return x;
    return sq__apply1(tape, &sq__op_dropout, &x, 1, &p, sizeof p);
}
