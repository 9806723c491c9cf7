/* short_convolution: a few taps along time for each feature, as in Mamba, DeltaNet and (two taps) RWKV's token shift. */
#include "autograd/gated.h"
#include "autograd/groups.h"
#include "autograd/ops.h"

enum { X, WEIGHT, BIAS, INITIAL, INPUTS };

typedef struct attributes { const int32_t *lengths; } attributes;

typedef struct convolution {
    int64_t B, T, C, K;
    const int32_t *lengths;
    const float *x, *bias, *initial, *dy;
    float *taps;                       /* [K,C]: the weight turned */
    float *y, *last, *dx;
    float beta;
} convolution;

static sq_status convolution_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    sq_var *const *in = node->inputs;
    char text[64];
    if (!in[X] || in[X]->rank != 3 || !in[X]->count)
        return sq__fail(error, SQ_INVALID, "the input is %s; expected [B, T, C]", in[X] ? sq__shape_text(in[X], text) : "absent");
    const int64_t *x = in[X]->shape;
    if (!in[WEIGHT] || in[WEIGHT]->rank != 2 || in[WEIGHT]->shape[0] != x[2] || in[WEIGHT]->shape[1] < 2)
        return sq__fail(error, SQ_INVALID, "the weight is %s; expected [%lld, K], K at least 2", in[WEIGHT] ? sq__shape_text(in[WEIGHT], text) : "absent",
                        (long long)x[2]);
    const int64_t before[3] = { x[0], in[WEIGHT]->shape[1] - 1, x[2] };
    if (in[BIAS]) SQ_TRY(sq__want_shape(in[BIAS], "the bias", 1, x + 2, error));
    if (in[INITIAL]) SQ_TRY(sq__want_shape(in[INITIAL], "the rows before", 3, before, error));
    shapes[0] = (sq_shape){ 3, { x[0], x[1], x[2] } };
    shapes[1] = (sq_shape){ 3, { before[0], before[1], before[2] } };
    return SQ_OK;
}

static convolution convolution_of(const sq_node *node)
{
    sq_var *const *in = node->inputs;
    return (convolution){
        .B = in[X]->shape[0], .T = in[X]->shape[1], .C = in[X]->shape[2], .K = in[WEIGHT]->shape[1], .lengths = ((const attributes *)node->attributes)->lengths,
        .x = in[X]->value, .bias = in[BIAS] ? in[BIAS]->value : NULL, .initial = in[INITIAL] ? in[INITIAL]->value : NULL,
        .y = node->outputs[0]->value, .last = node->outputs[1]->value, .dy = node->outputs[0]->gradient,
    };
}

static sq_buffer *turn(sq_tape *tape, const sq_node *node, convolution *c)
{
    sq_buffer *taps = sq__scratch(tape, (size_t)(c->K * c->C) * sizeof(float));
    if (!taps) return NULL;
    c->taps = sq__floats(taps);
    sq__kernels()->transpose(c->taps, c->C, node->inputs[WEIGHT]->value, c->K, c->C, c->K);
    return taps;
}

static int64_t length_of(const convolution *c, int64_t b) { return c->lengths ? c->lengths[b] : c->T; }

/* Row t of sequence b, from before it where t < 0; NULL: zeros. */
static const float *row_at(const convolution *c, int64_t b, int64_t t)
{
    if (t >= 0) return c->x + (b * c->T + t) * c->C;
    return c->initial ? c->initial + (b * (c->K - 1) + c->K - 1 + t) * c->C : NULL;
}

static void multiply_add(float *y, const float *a, const float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) y[i] += a[i] * x[i];
}

static void forward_rows(void *context, int64_t from, int64_t to)
{
    const convolution *c = context;
    for (int64_t row = from; row < to; row++) {
        const int64_t b = row / c->T, t = row % c->T;
        float *y = c->y + row * c->C;
        if (c->bias && t < length_of(c, b)) memcpy(y, c->bias, (size_t)c->C * sizeof *y);
        else memset(y, 0, (size_t)c->C * sizeof *y);
        for (int64_t j = 0; j < c->K && t < length_of(c, b); j++) {
            const float *x = row_at(c, b, t - c->K + 1 + j);
            if (x) multiply_add(y, c->taps + j * c->C, x, c->C);
        }
    }
}

static void keep_last(const convolution *c)
{
    for (int64_t b = 0; b < c->B; b++)
        for (int64_t j = 0; j < c->K - 1; j++) {
            const float *x = row_at(c, b, length_of(c, b) - c->K + 1 + j);
            float *to = c->last + (b * (c->K - 1) + j) * c->C;
            if (x) memcpy(to, x, (size_t)c->C * sizeof *to);
            else memset(to, 0, (size_t)c->C * sizeof *to);
        }
}

static void convolution_forward(sq_tape *tape, sq_node *node)
{
    convolution c = convolution_of(node);
    sq_buffer *taps = turn(tape, node, &c);
    if (!taps) return;
    sq__for_range(c.B * c.T, SQ_ROWS, forward_rows, &c);
    keep_last(&c);
    sq__pool_release(tape->pool, taps);
}

/* dx[t] = sum_j taps[j] dy[t + K - 1 - j]; sums: of taps and bias. */
static void backward_rows(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    const convolution *c = context;
    (void)scratch;
    for (int64_t row = from; row < to; row++) {
        const int64_t b = row / c->T, t = row % c->T, length = length_of(c, b);
        const float *dy = c->dy + row * c->C;
        float *dx = c->dx ? c->dx + row * c->C : NULL;
        if (dx && c->beta == 0) memset(dx, 0, (size_t)c->C * sizeof *dx);
        if (t >= length) continue;
        for (int64_t j = 0; j < c->K; j++) {
            const int64_t later = t + c->K - 1 - j;
            const float *x = sums[0] ? row_at(c, b, t - c->K + 1 + j) : NULL;
            if (dx && later < length) multiply_add(dx, c->taps + j * c->C, c->dy + (b * c->T + later) * c->C, c->C);
            if (x) multiply_add(sums[0] + j * c->C, x, dy, c->C);
        }
        if (sums[1]) sq__kernels()->axpy(sums[1], 1, dy, c->C);
    }
}

static void convolution_vjp(sq_tape *tape, sq_node *node)
{
    convolution c = convolution_of(node);
    const bool weighs = sq__wants(node->inputs[WEIGHT]);
    if (!c.dy) return;
    sq_buffer *taps = turn(tape, node, &c), *sums = weighs ? sq__scratch(tape, (size_t)(c.K * c.C) * sizeof(float)) : NULL;
    if (!taps || (weighs && !sums)) return;
    if (sums) memset(sq__floats(sums), 0, (size_t)(c.K * c.C) * sizeof(float));
    c.dx = sq__gradient(tape, node->inputs[X], &c.beta);
    sq_row_work work = { .rows = c.B * c.T, .run = backward_rows, .context = &c, .sums = { sums ? sq__floats(sums) : NULL, sq__gradient_added(tape, node->inputs[BIAS]) },
                         .lengths = { c.K * c.C, c.C } };
    if (tape->status == SQ_OK) sq__run_rows(tape, &work);
    float *dweight = sq__gradient_added(tape, node->inputs[WEIGHT]);
    for (int64_t i = 0; dweight && i < c.C; i++)
        for (int64_t j = 0; j < c.K; j++) dweight[i * c.K + j] += sq__floats(sums)[j * c.C + i];
    sq__pool_release(tape->pool, taps);
    sq__pool_release(tape->pool, sums);
}

const sq_op sq__op_short_convolution = { "short_convolution", SQ_READS_INPUTS | SQ_READS_OUTPUT, false, convolution_shape, convolution_forward, convolution_vjp };

sq_var *sq__short_convolution(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias, sq_var *initial, const int32_t *lengths, sq_var **last)
{
    const attributes a = { lengths };
    sq_node *node = sq__apply(tape, &sq__op_short_convolution, (sq_var *[]){ x, weight, bias, initial }, INPUTS, &a, sizeof a, 2);
    if (last) *last = node ? node->outputs[1] : NULL;
    return node ? node->outputs[0] : NULL;
}
