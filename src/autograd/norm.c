/* layer_norm and rms_norm over the last axis, group_norm over channels of a group and positions. */
#include <math.h>

#include "autograd/groups.h"
#include "autograd/ops.h"

enum { X, WEIGHT, BIAS };

typedef struct attributes { float eps; int groups; } attributes;

typedef struct norm {
    int64_t n, channels, inner;        /* group_norm: positions per channel in inner, channels of a group in channels */
    int groups;
    float eps, beta;
    const float *x, *weight, *bias, *dy;
    float *y, *mean, *rstd, *dx;       /* statistics per row (per group) */
} norm;

static sq_status norm_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *x = node->inputs[X];
    int64_t width;
    SQ_TRY(sq__want_rank(x, "the input", 1, error));
    width = sq__last(x);
    SQ_TRY(sq__want_shape(node->inputs[WEIGHT], "the weight", 1, &width, error));
    if (node->input_count > BIAS) SQ_TRY(sq__want_shape(node->inputs[BIAS], "the bias", 1, &width, error));
    return sq__same_shape(node, shapes, error);
}

/* Statistics are kept for the way back, or live in scratch that the caller releases. */
static norm norm_of(sq_tape *tape, sq_node *node, int64_t units)
{
    norm c = { .eps = ((const attributes *)node->attributes)->eps,
               .groups = ((const attributes *)node->attributes)->groups,
               .n = sq__last(node->inputs[X]),
               .x = node->inputs[X]->value,
               .weight = node->inputs[WEIGHT]->value,
               .y = node->outputs[0]->value,
               .dy = node->outputs[0]->gradient };
    if (node->input_count > BIAS) c.bias = node->inputs[BIAS]->value;
    if (!node->saved[0] && !sq__save(tape, node, 0, (size_t)(2 * units) * sizeof(float))) return c;
    c.mean = sq__floats(node->saved[0]);
    c.rstd = c.mean + units;
    return c;
}

static void drop_unless_recorded(sq_tape *tape, sq_node *node)
{
    if (node->recorded) return;
    sq__pool_release(tape->pool, node->saved[0]);
    node->saved[0] = NULL;
}

/* Rows through vjp blocks: weight and bias gradients in groups. */
static void run_vjp(sq_tape *tape, sq_node *node, norm *c, int64_t scratch, sq_rows_fn block)
{
    sq_row_work work = { .rows = sq__rows(node->inputs[X]), .scratch = scratch, .run = block, .context = c, .lengths = { c->n, c->n } };
    c->dx = sq__gradient(tape, node->inputs[X], &c->beta);
    work.sums[0] = sq__gradient_added(tape, node->inputs[WEIGHT]);
    work.sums[1] = node->input_count > BIAS ? sq__gradient_added(tape, node->inputs[BIAS]) : NULL;
    if (tape->status == SQ_OK) sq__run_rows(tape, &work);
}

/* ---- layer_norm ---- */

static void layer_rows(void *context, int64_t from, int64_t to)
{
    const norm *c = context;
    sq__kernels()->layer_norm(c->y + from * c->n, c->mean + from, c->rstd + from, c->x + from * c->n, c->weight, c->bias, c->eps, to - from, c->n);
}

static void layer_norm_forward(sq_tape *tape, sq_node *node)
{
    norm c = norm_of(tape, node, sq__rows(node->inputs[X]));
    if (c.mean) sq__for_range(sq__rows(node->inputs[X]), SQ_ROWS, layer_rows, &c);
    drop_unless_recorded(tape, node);
}

static void layer_vjp_block(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    const norm *c = context;
    const bool direct = c->dx && c->beta == 0;
    float *drop = scratch + SQ_ROWS * c->n, *dx = direct ? c->dx + from * c->n : scratch;   /* what nobody wants goes to drop */
    sq__kernels()->layer_norm_backward(dx, sums[0] ? sums[0] : drop, sums[1] ? sums[1] : drop, c->dy + from * c->n, c->x + from * c->n,
                                       c->mean + from, c->rstd + from, c->weight, to - from, c->n);
    if (c->dx && !direct) sq__kernels()->axpy(c->dx + from * c->n, 1.0f, scratch, (to - from) * c->n);
}

static void layer_norm_vjp(sq_tape *tape, sq_node *node)
{
    norm c = norm_of(tape, node, sq__rows(node->inputs[X]));
    run_vjp(tape, node, &c, (SQ_ROWS + 1) * c.n, layer_vjp_block);
}

const sq_op sq__op_layer_norm = { "layer_norm", SQ_READS_INPUT(X) | SQ_READS_INPUT(WEIGHT), false, norm_shape, layer_norm_forward, layer_norm_vjp };

sq_var *sq__layer_norm(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias, float eps)
{
    attributes a = { eps, 1 };
    return sq__apply1(tape, &sq__op_layer_norm, (sq_var *[]){ x, weight, bias }, 3, &a, sizeof a);
}

/* ---- rms_norm: y = x / sqrt(mean(x^2) + eps) weight ---- */

static void rms_rows(void *context, int64_t from, int64_t to)
{
    const norm *c = context;
    for (int64_t row = from; row < to; row++) {
        const float *x = c->x + row * c->n;
        double square = 0;
        for (int64_t i = 0; i < c->n; i++) square += (double)x[i] * x[i];
        c->rstd[row] = (float)(1 / sqrt(square / (double)c->n + c->eps));
        for (int64_t i = 0; i < c->n; i++) c->y[row * c->n + i] = x[i] * c->rstd[row] * c->weight[i];
    }
}

/* with g = dy weight: dx = rstd (g - x rstd^2 mean(g x)) */
static void rms_vjp_block(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    (void)scratch;
    const norm *c = context;
    for (int64_t row = from; row < to; row++) {
        const float *x = c->x + row * c->n, *dy = c->dy + row * c->n, s = c->rstd[row];
        double gx = 0;
        for (int64_t i = 0; i < c->n; i++) gx += (double)dy[i] * c->weight[i] * x[i];
        float shared = (float)(gx / (double)c->n) * s * s, *dx = c->dx ? c->dx + row * c->n : NULL;
        for (int64_t i = 0; dx && i < c->n; i++) dx[i] = s * (dy[i] * c->weight[i] - x[i] * shared) + (c->beta != 0 ? dx[i] : 0);
        for (int64_t i = 0; sums[0] && i < c->n; i++) sums[0][i] += dy[i] * x[i] * s;
    }
}

static void rms_norm_forward(sq_tape *tape, sq_node *node)
{
    norm c = norm_of(tape, node, sq__rows(node->inputs[X]));
    if (c.mean) sq__for_range(sq__rows(node->inputs[X]), SQ_ROWS, rms_rows, &c);
    drop_unless_recorded(tape, node);
}

static void rms_norm_vjp(sq_tape *tape, sq_node *node)
{
    norm c = norm_of(tape, node, sq__rows(node->inputs[X]));
    run_vjp(tape, node, &c, 0, rms_vjp_block);
}

const sq_op sq__op_rms_norm = { "rms_norm", SQ_READS_INPUT(X) | SQ_READS_INPUT(WEIGHT), false, norm_shape, rms_norm_forward, rms_norm_vjp };

sq_var *sq__rms_norm(sq_tape *tape, sq_var *x, sq_var *weight, float eps)
{
    attributes a = { eps, 1 };
    return sq__apply1(tape, &sq__op_rms_norm, (sq_var *[]){ x, weight }, 2, &a, sizeof a);
}

/* ---- group_norm: x [B, C, ...]; a unit is (sample, group): C/groups channels of `inner` positions each ---- */

static sq_status group_norm_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *x = node->inputs[X];
    int groups = ((const attributes *)node->attributes)->groups;
    SQ_TRY(sq__want_rank(x, "the input", 2, error));
    if (groups < 1 || !x->count || x->shape[1] % groups)
        return sq__fail(error, SQ_INVALID, "groups is %d; expected a divisor of the %lld channels", groups, (long long)x->shape[1]);
    SQ_TRY(sq__want_shape(node->inputs[WEIGHT], "the weight", 1, &x->shape[1], error));
    SQ_TRY(sq__want_shape(node->inputs[BIAS], "the bias", 1, &x->shape[1], error));
    return sq__same_shape(node, shapes, error);
}

static norm group_norm_of(sq_tape *tape, sq_node *node)
{
    const sq_var *x = node->inputs[X];
    norm c = norm_of(tape, node, x->shape[0] * ((const attributes *)node->attributes)->groups);
    c.inner = x->count / (x->shape[0] * x->shape[1]);
    c.channels = x->shape[1] / c.groups;
    c.n = c.channels * c.inner;
    return c;
}

static void group_units(void *context, int64_t from, int64_t to)
{
    const norm *c = context;
    for (int64_t unit = from; unit < to; unit++) {
        const float *x = c->x + unit * c->n;
        const int64_t first = unit % c->groups * c->channels;
        double total = 0, square = 0;
        for (int64_t i = 0; i < c->n; i++) total += x[i];
        c->mean[unit] = (float)(total / (double)c->n);
        for (int64_t i = 0; i < c->n; i++) square += (double)(x[i] - c->mean[unit]) * (x[i] - c->mean[unit]);
        c->rstd[unit] = (float)(1 / sqrt(square / (double)c->n + c->eps));
        for (int64_t i = 0; i < c->n; i++)
            c->y[unit * c->n + i] = (x[i] - c->mean[unit]) * c->rstd[unit] * c->weight[first + i / c->inner] + c->bias[first + i / c->inner];
    }
}

/* as layer_norm, with the weight of the element's channel */
static void group_vjp_units(const norm *c, int64_t units, float *dweight, float *dbias)
{
    for (int64_t unit = 0; unit < units; unit++) {
        const float *x = c->x + unit * c->n, *dy = c->dy + unit * c->n, m = c->mean[unit], s = c->rstd[unit];
        const int64_t first = unit % c->groups * c->channels;
        double g_sum = 0, gx_sum = 0;
        for (int64_t i = 0; i < c->n; i++) {
            const int64_t channel = first + i / c->inner;
            const float xh = (x[i] - m) * s, g = dy[i] * c->weight[channel];
            g_sum += g;
            gx_sum += (double)g * xh;
            if (dweight) dweight[channel] += dy[i] * xh;
            if (dbias) dbias[channel] += dy[i];
        }
        const float g_mean = (float)(g_sum / (double)c->n), gx_mean = (float)(gx_sum / (double)c->n);
        float *dx = c->dx ? c->dx + unit * c->n : NULL;
        for (int64_t i = 0; dx && i < c->n; i++)
            dx[i] = s * (dy[i] * c->weight[first + i / c->inner] - g_mean - (x[i] - m) * s * gx_mean) + (c->beta != 0 ? dx[i] : 0);
    }
}

static void group_norm_forward(sq_tape *tape, sq_node *node)
{
    norm c = group_norm_of(tape, node);
    if (c.mean) sq__for_range(node->inputs[X]->shape[0] * c.groups, 1, group_units, &c);
    drop_unless_recorded(tape, node);
}

static void group_norm_vjp(sq_tape *tape, sq_node *node)
{
    norm c = group_norm_of(tape, node);
    c.dx = sq__gradient(tape, node->inputs[X], &c.beta);
    float *dweight = sq__gradient_added(tape, node->inputs[WEIGHT]), *dbias = sq__gradient_added(tape, node->inputs[BIAS]);
    if (tape->status == SQ_OK) group_vjp_units(&c, node->inputs[X]->shape[0] * c.groups, dweight, dbias);
}

const sq_op sq__op_group_norm = { "group_norm", SQ_READS_INPUT(X) | SQ_READS_INPUT(WEIGHT), false, group_norm_shape, group_norm_forward,
                                  group_norm_vjp };

sq_var *sq__group_norm(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias, int groups, float eps)
{
    attributes a = { eps, groups };
    return sq__apply1(tape, &sq__op_group_norm, (sq_var *[]){ x, weight, bias }, 3, &a, sizeof a);
}
