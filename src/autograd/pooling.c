/* sum of everything; pooling of [B, T, E] over the valid rows. */
#include <math.h>

#include "autograd/ops.h"

/* ---- sum: pieces in a fixed order, each in double ---- */

static sq_status scalar_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    (void)node;
    (void)error;
    *shapes = (sq_shape){ 1, { 1 } };
    return SQ_OK;
}

static void sum_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    double total = 0;
    for (int64_t i = 0; i < node->inputs[0]->count; i++) total += node->inputs[0]->value[i];
    node->outputs[0]->value[0] = (float)total;
}

static void sum_vjp(sq_tape *tape, sq_node *node)
{
    float *dx = sq__gradient_added(tape, node->inputs[0]), dy = node->outputs[0]->gradient[0];
    for (int64_t i = 0; dx && i < node->inputs[0]->count; i++) dx[i] += dy;
}

const sq_op sq__op_sum = { "sum", 0, false, scalar_shape, sum_forward, sum_vjp };

sq_var *sq__sum(sq_tape *tape, sq_var *x) { return sq__apply1(tape, &sq__op_sum, &x, 1, NULL, 0); }

/* ---- pool ---- */

typedef struct attributes { const int32_t *lengths; int pooling; } attributes;
typedef struct pool { const sq_node *node; float *dx; } pool;

static sq_status pool_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *x = node->inputs[0];
    const attributes *a = node->attributes;
    char text[64];
    if (x->rank != 3 || !x->count) return sq__fail(error, SQ_INVALID, "the input is %s; expected [B, T, E]", sq__shape_text(x, text));
    for (int64_t b = 0; a->lengths && b < x->shape[0]; b++)
        if (a->lengths[b] < 0 || a->lengths[b] > x->shape[1])
            return sq__fail(error, SQ_INVALID, "length %d of row %lld; expected 0 to %lld", a->lengths[b], (long long)b, (long long)x->shape[1]);
    *shapes = (sq_shape){ 2, { x->shape[0], x->shape[2] } };
    return SQ_OK;
}

static int64_t length_of(const sq_node *node, int64_t b)
{
    const attributes *a = node->attributes;
    return a->lengths ? a->lengths[b] : node->inputs[0]->shape[1];
}

static void pool_one(const sq_node *node, int64_t b)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t width = node->inputs[0]->shape[2], length = length_of(node, b);
    const float *x = node->inputs[0]->value + b * node->inputs[0]->shape[1] * width;
    float *y = node->outputs[0]->value + b * width;
    memset(y, 0, (size_t)width * sizeof(float));
    if (length == 0) return;   /* nothing is valid: zeros */
    switch ((sq_pooling)((const attributes *)node->attributes)->pooling) {
    case SQ_POOL_MEAN:
        for (int64_t t = 0; t < length; t++) kernels->axpy(y, 1.0f, x + t * width, width);
        kernels->scale(y, 1.0f / (float)length, width);
        break;
    case SQ_POOL_LAST: memcpy(y, x + (length - 1) * width, (size_t)width * sizeof(float)); break;
    case SQ_POOL_CLASS: memcpy(y, x, (size_t)width * sizeof(float)); break;
    case SQ_POOL_MAX:
        memcpy(y, x, (size_t)width * sizeof(float));
        for (int64_t t = 1; t < length; t++)
            for (int64_t i = 0; i < width; i++) y[i] = fmaxf(y[i], x[t * width + i]);
        break;
    }
}

static void pool_one_vjp(const sq_node *node, float *dx, int64_t b)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t width = node->inputs[0]->shape[2], length = length_of(node, b), start = b * node->inputs[0]->shape[1] * width;
    const float *x = node->inputs[0]->value + start, *dy = node->outputs[0]->gradient + b * width;
    dx += start;
    if (length == 0) return;
    switch ((sq_pooling)((const attributes *)node->attributes)->pooling) {
    case SQ_POOL_MEAN:
        for (int64_t t = 0; t < length; t++) kernels->axpy(dx + t * width, 1.0f / (float)length, dy, width);
        break;
    case SQ_POOL_LAST: kernels->axpy(dx + (length - 1) * width, 1.0f, dy, width); break;
    case SQ_POOL_CLASS: kernels->axpy(dx, 1.0f, dy, width); break;
    case SQ_POOL_MAX:   /* to the first of equal values */
        for (int64_t i = 0; i < width; i++) {
            int64_t best = 0;
            for (int64_t t = 1; t < length; t++)
                if (x[t * width + i] > x[best * width + i]) best = t;
            dx[best * width + i] += dy[i];
        }
        break;
    }
}

static void pool_range(void *context, int64_t from, int64_t to)
{
    const pool *p = context;
    for (int64_t b = from; b < to; b++)
        if (p->dx) pool_one_vjp(p->node, p->dx, b);
        else pool_one(p->node, b);
}

static void pool_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    sq__for_range(node->inputs[0]->shape[0], 1, pool_range, &(pool){ node, NULL });
}

static void pool_vjp(sq_tape *tape, sq_node *node)
{
    float *dx = sq__gradient_added(tape, node->inputs[0]);
    if (dx) sq__for_range(node->inputs[0]->shape[0], 1, pool_range, &(pool){ node, dx });
}

const sq_op sq__op_pool = { "pool", 0, false, pool_shape, pool_forward, pool_vjp };
const sq_op sq__op_pool_max = { "pool_max", SQ_READS_INPUT(0), false, pool_shape, pool_forward, pool_vjp };

sq_var *sq__pool(sq_tape *tape, sq_var *x, const int32_t *lengths, sq_pooling pooling)
{
    attributes a = { lengths, (int)pooling };
    return sq__apply1(tape, pooling == SQ_POOL_MAX ? &sq__op_pool_max : &sq__op_pool, &x, 1, &a, sizeof a);
}
