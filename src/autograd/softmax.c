/* softmax and log_softmax over the last axis. */
#include <math.h>

#include "autograd/ops.h"

typedef struct rows_job { float *y; const float *x, *dy; int64_t n; float beta; } rows_job;

static sq_status softmax_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    SQ_TRY(sq__want_rank(node->inputs[0], "the input", 1, error));
    return sq__same_shape(node, shapes, error);
}

static void softmax_rows(void *context, int64_t from, int64_t to)
{
    const rows_job *c = context;
    const sq_kernels *kernels = sq__kernels();
    for (int64_t row = from; row < to; row++) {
        const float *x = c->x + row * c->n;
        float *y = c->y + row * c->n;
        kernels->scale(y, 1 / kernels->exp_sum(y, x, 1.0f, kernels->max(x, c->n), c->n), c->n);
    }
}

/* y = x - max - log(sum of exp(x - max)) */
static void log_softmax_rows(void *context, int64_t from, int64_t to)
{
    const rows_job *c = context;
    const sq_kernels *kernels = sq__kernels();
    for (int64_t row = from; row < to; row++) {
        const float *x = c->x + row * c->n;
        float *y = c->y + row * c->n, most = kernels->max(x, c->n), log_sum = logf(kernels->exp_sum(y, x, 1.0f, most, c->n));
        for (int64_t i = 0; i < c->n; i++) y[i] = x[i] - most - log_sum;
    }
}

/* dx += y (dy - sum of y dy) */
static void softmax_vjp_rows(void *context, int64_t from, int64_t to)
{
    const rows_job *c = context;
    for (int64_t row = from; row < to; row++) {
        const float *y = c->x + row * c->n, *dy = c->dy + row * c->n;
        float *dx = c->y + row * c->n, dot = sq__kernels()->dot(y, dy, c->n);
        for (int64_t i = 0; i < c->n; i++) dx[i] += y[i] * (dy[i] - dot);
    }
}

/* dx += dy - exp(y) sum of dy */
static void log_softmax_vjp_rows(void *context, int64_t from, int64_t to)
{
    const rows_job *c = context;
    for (int64_t row = from; row < to; row++) {
        const float *y = c->x + row * c->n, *dy = c->dy + row * c->n;
        float *dx = c->y + row * c->n, sum = sq__kernels()->sum(dy, c->n);
        for (int64_t i = 0; i < c->n; i++) dx[i] += dy[i] - expf(y[i]) * sum;
    }
}

static void forward(const sq_node *node, sq_range_fn run)
{
    const sq_var *x = node->inputs[0];
    sq__for_range(sq__rows(x), SQ_ROWS, run, &(rows_job){ .y = node->outputs[0]->value, .x = x->value, .n = sq__last(x) });
}

static void backward(sq_tape *tape, const sq_node *node, sq_range_fn run)
{
    const sq_var *y = node->outputs[0];
    float *dx = sq__gradient_added(tape, node->inputs[0]);
    if (dx) sq__for_range(sq__rows(y), SQ_ROWS, run, &(rows_job){ .y = dx, .x = y->value, .dy = y->gradient, .n = sq__last(y) });
}

static void softmax_forward(sq_tape *tape, sq_node *node) { (void)tape; forward(node, softmax_rows); }
static void softmax_vjp(sq_tape *tape, sq_node *node) { backward(tape, node, softmax_vjp_rows); }
static void log_softmax_forward(sq_tape *tape, sq_node *node) { (void)tape; forward(node, log_softmax_rows); }
static void log_softmax_vjp(sq_tape *tape, sq_node *node) { backward(tape, node, log_softmax_vjp_rows); }

const sq_op sq__op_softmax = { "softmax", SQ_READS_OUTPUT, false, softmax_shape, softmax_forward, softmax_vjp };
const sq_op sq__op_log_softmax = { "log_softmax", SQ_READS_OUTPUT, false, softmax_shape, log_softmax_forward, log_softmax_vjp };

sq_var *sq__softmax(sq_tape *tape, sq_var *x) { return sq__apply1(tape, &sq__op_softmax, &x, 1, NULL, 0); }
sq_var *sq__log_softmax(sq_tape *tape, sq_var *x) { return sq__apply1(tape, &sq__op_log_softmax, &x, 1, NULL, 0); }
