/* Losses: cross entropy, smoothed divergence, element losses. Sums are taken in double. */
#include <math.h>

#include "autograd/ops.h"

/* ---- cross entropy of logits [R, V] ----
 * row: (1-e) w_y (-log p_y) + e/V sum_v w_v (-log p_v); mean divides by the sum of w_y of kept rows. */

typedef struct entropy { const int32_t *targets; sq_cross_entropy options; } entropy;

static sq_status check_targets(const sq_node *node, const int32_t *targets, int32_t ignore, sq_shape *shapes, sq_error *error)
{
    const sq_var *x = node->inputs[0];
    char text[64];
    if (x->rank != 2 || !x->count) return sq__fail(error, SQ_INVALID, "the logits are %s; expected [rows, classes]", sq__shape_text(x, text));
    for (int64_t i = 0; i < x->shape[0]; i++)
        if (targets[i] != ignore && (targets[i] < 0 || targets[i] >= x->shape[1]))
            return sq__fail(error, SQ_INVALID, "target %d of row %lld; expected 0 to %lld", targets[i], (long long)i, (long long)x->shape[1] - 1);
    *shapes = (sq_shape){ 1, { 1 } };
    return SQ_OK;
}

static sq_status entropy_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const entropy *e = node->attributes;
    if (!(e->options.label_smoothing >= 0 && e->options.label_smoothing <= 1))
        return sq__fail(error, SQ_INVALID, "label smoothing is %g; expected 0 to 1", (double)e->options.label_smoothing);
    return check_targets(node, e->targets, e->options.ignore, shapes, error);
}

/* log of the sum of exp(x) in double */
static double log_sum(const float *x, int64_t n)
{
    double most = sq__kernels()->max(x, n), sum = 0;
    if (!isfinite(most)) return most;
    for (int64_t i = 0; i < n; i++) sum += exp(x[i] - most);
    return most + log(sum);
}

static double weight_of(const entropy *e, int64_t class) { return e->options.class_weights ? (double)e->options.class_weights[class] : 1; }

static double divisor(const entropy *e, int64_t rows)
{
    double kept = 0;
    if (e->options.sum) return 1;
    for (int64_t i = 0; i < rows; i++)
        if (e->targets[i] != e->options.ignore) kept += weight_of(e, e->targets[i]);
    return kept;
}

typedef struct entropy_rows { const entropy *e; const float *x; int64_t n; double *losses, scale, weights; float *dx; } entropy_rows;

static void losses_of_rows(void *context, int64_t from, int64_t to)
{
    const entropy_rows *r = context;
    const entropy *e = r->e;
    const double smoothing = e->options.label_smoothing;
    for (int64_t row = from; row < to; row++) {
        const float *x = r->x + row * r->n;
        r->losses[row] = 0;
        if (e->targets[row] == e->options.ignore) continue;
        double normal = log_sum(x, r->n), spread = 0;
        for (int64_t i = 0; smoothing > 0 && i < r->n; i++) spread += weight_of(e, i) * (normal - x[i]);
        r->losses[row] = (1 - smoothing) * weight_of(e, e->targets[row]) * (normal - x[e->targets[row]]) + smoothing / (double)r->n * spread;
    }
}

static void entropy_forward(sq_tape *tape, sq_node *node)
{
    const entropy *e = node->attributes;
    const int64_t rows = node->inputs[0]->shape[0], n = node->inputs[0]->shape[1];
    double total = 0, kept = divisor(e, rows), *losses = sq__tape_memory(tape, (size_t)rows * sizeof *losses);
    if (!losses) return;
    entropy_rows r = { .e = e, .x = node->inputs[0]->value, .n = n, .losses = losses };
    sq__for_range(rows, SQ_ROWS, losses_of_rows, &r);
    for (int64_t row = 0; row < rows; row++) total += losses[row];
    node->outputs[0]->value[0] = (float)(kept > 0 ? total / kept : 0);
}

/* with u = (1-e) w_y, s = e/V: d x_v = p_v (u + s sum w) - [v = y] u - s w_v */
static void slopes_of_rows(void *context, int64_t from, int64_t to)
{
    const entropy_rows *r = context;
    const entropy *e = r->e;
    const double smoothing = e->options.label_smoothing, share = smoothing / (double)r->n;
    for (int64_t row = from; row < to; row++) {
        const float *x = r->x + row * r->n;
        float *dx = r->dx + row * r->n;
        const int32_t y = e->targets[row];
        if (y == e->options.ignore) continue;
        const double normal = log_sum(x, r->n), u = (1 - smoothing) * weight_of(e, y);
        for (int64_t i = 0; i < r->n; i++)
            dx[i] += (float)(r->scale * (exp(x[i] - normal) * (u + share * r->weights) - (i == y ? u : 0) - share * weight_of(e, i)));
    }
}

static void entropy_vjp(sq_tape *tape, sq_node *node)
{
    const entropy *e = node->attributes;
    const int64_t rows = node->inputs[0]->shape[0], n = node->inputs[0]->shape[1];
    const double kept = divisor(e, rows);
    float *dx = sq__gradient_added(tape, node->inputs[0]);
    if (!dx || kept <= 0) return;
    entropy_rows r = { .e = e, .x = node->inputs[0]->value, .n = n, .scale = node->outputs[0]->gradient[0] / kept, .dx = dx };
    for (int64_t i = 0; i < n; i++) r.weights += weight_of(e, i);
    sq__for_range(rows, SQ_ROWS, slopes_of_rows, &r);
}

const sq_op sq__op_cross_entropy = { "cross_entropy", SQ_READS_INPUT(0), false, entropy_shape, entropy_forward, entropy_vjp };

sq_var *sq__cross_entropy(sq_tape *tape, sq_var *logits, const int32_t *targets, const sq_cross_entropy *options)
{
    entropy e = { targets, *options };
    return sq__apply1(tape, &sq__op_cross_entropy, &logits, 1, &e, sizeof e);
}

/* ---- smoothed divergence: sum of t (log t - log p) ---- */

typedef struct divergence { const int32_t *targets; float smoothing; int32_t padding; } divergence;

static sq_status divergence_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const divergence *d = node->attributes;
    SQ_TRY(check_targets(node, d->targets, d->padding, shapes, error));
    if (node->inputs[0]->shape[1] < 3 || !(d->smoothing >= 0 && d->smoothing <= 1))
        return sq__fail(error, SQ_INVALID, "smoothing is %g over %lld classes; expected 0 to 1 over at least 3", (double)d->smoothing,
                        (long long)node->inputs[0]->shape[1]);
    return SQ_OK;
}

static double target_of(const divergence *d, int64_t classes, int64_t i, int32_t y)
{
    if (i == y) return 1 - (double)d->smoothing;
    return i == d->padding ? 0 : (double)d->smoothing / (double)(classes - 2);
}

static void divergence_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const divergence *d = node->attributes;
    const int64_t rows = node->inputs[0]->shape[0], n = node->inputs[0]->shape[1];
    double total = 0;
    for (int64_t row = 0; row < rows; row++) {
        const float *x = node->inputs[0]->value + row * n;
        if (d->targets[row] == d->padding) continue;
        double normal = log_sum(x, n);
        for (int64_t i = 0; i < n; i++) {
            double t = target_of(d, n, i, d->targets[row]);
            if (t > 0) total += t * (log(t) - (x[i] - normal));
        }
    }
    node->outputs[0]->value[0] = (float)total;
}

static void divergence_vjp(sq_tape *tape, sq_node *node)
{
    const divergence *d = node->attributes;
    const int64_t rows = node->inputs[0]->shape[0], n = node->inputs[0]->shape[1];
    const double dy = node->outputs[0]->gradient[0];
    float *dx = sq__gradient_added(tape, node->inputs[0]);
    for (int64_t row = 0; dx && row < rows; row++, dx += n) {
        const float *x = node->inputs[0]->value + row * n;
        double normal = log_sum(x, n), mass = 0;
        if (d->targets[row] == d->padding) continue;
        for (int64_t i = 0; i < n; i++) mass += target_of(d, n, i, d->targets[row]);
        for (int64_t i = 0; i < n; i++) dx[i] += (float)(dy * (mass * exp(x[i] - normal) - target_of(d, n, i, d->targets[row])));
    }
}

const sq_op sq__op_smoothed_divergence = { "smoothed_divergence", SQ_READS_INPUT(0), false, divergence_shape, divergence_forward, divergence_vjp };

sq_var *sq__smoothed_divergence(sq_tape *tape, sq_var *logits, const int32_t *targets, float smoothing, int32_t padding)
{
    divergence d = { targets, smoothing, padding };
    return sq__apply1(tape, &sq__op_smoothed_divergence, &logits, 1, &d, sizeof d);
}

/* ---- element losses ---- */

typedef struct regression { const float *targets; int kind; float parameter; bool sum; } regression;

static sq_status regression_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const regression *r = node->attributes;
    if ((r->kind == SQ_SMOOTH_L1 || r->kind == SQ_HUBER) && !(r->parameter > 0))
        return sq__fail(error, SQ_INVALID, "beta or delta is %g; expected above 0", (double)r->parameter);
    if (!node->inputs[0]->count) return sq__fail(error, SQ_INVALID, "the input is empty");
    *shapes = (sq_shape){ 1, { 1 } };
    return SQ_OK;
}

static double element_loss(const regression *r, double x, double t)
{
    const double e = x - t, a = fabs(e), p = r->parameter;
    switch ((sq_regression)r->kind) {
    case SQ_MSE: return e * e;
    case SQ_L1: return a;
    case SQ_SMOOTH_L1: return a < p ? e * e / (2 * p) : a - p / 2;
    case SQ_HUBER: return a < p ? e * e / 2 : p * (a - p / 2);
    case SQ_BCE_WITH_LOGITS: return fmax(x, 0) - x * t + log1p(exp(-fabs(x)));
    }
    return NAN;
}

static double element_slope(const regression *r, double x, double t)
{
    const double e = x - t, sign = (e > 0) - (e < 0), p = r->parameter;
    switch ((sq_regression)r->kind) {
    case SQ_MSE: return 2 * e;
    case SQ_L1: return sign;
    case SQ_SMOOTH_L1: return fabs(e) < p ? e / p : sign;
    case SQ_HUBER: return fabs(e) < p ? e : p * sign;
    case SQ_BCE_WITH_LOGITS: return 1 / (1 + exp(-x)) - t;
    }
    return NAN;
}

static int64_t asked(const regression *r, int64_t count)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < count; i++) kept += !isnan(r->targets[i]);
    return kept;
}

static void regression_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const regression *r = node->attributes;
    const sq_var *x = node->inputs[0];
    const int64_t kept = asked(r, x->count);
    double total = 0;
    for (int64_t i = 0; i < x->count; i++)
        if (!isnan(r->targets[i])) total += element_loss(r, x->value[i], r->targets[i]);
    node->outputs[0]->value[0] = (float)(r->sum || kept == 0 ? total : total / (double)kept);
}

static void regression_vjp(sq_tape *tape, sq_node *node)
{
    const regression *r = node->attributes;
    const sq_var *x = node->inputs[0];
    const int64_t kept = asked(r, x->count);
    const double scale = node->outputs[0]->gradient[0] / (r->sum || kept == 0 ? 1.0 : (double)kept);
    float *dx = sq__gradient_added(tape, node->inputs[0]);
    for (int64_t i = 0; dx && i < x->count; i++)
        if (!isnan(r->targets[i])) dx[i] += (float)(scale * element_slope(r, x->value[i], r->targets[i]));
}

const sq_op sq__op_regression = { "regression", SQ_READS_INPUT(0), false, regression_shape, regression_forward, regression_vjp };

sq_var *sq__regression(sq_tape *tape, sq_var *x, const float *targets, sq_regression kind, float parameter, bool sum)
{
    regression r = { targets, (int)kind, parameter, sum };
    return sq__apply1(tape, &sq__op_regression, &x, 1, &r, sizeof r);
}
