/* gru: one direction of a gated recurrent layer (Cho et al., arXiv:1406.1078, in the form of torch.nn.GRU).
 *   r = sigmoid(Wir x + bir + Whr h + bhr)   z likewise   n = tanh(Win x + bin + r (Whn h + bhn))   h' = (1 - z) n + z h
 * One product gives all input projections; then each step multiplies the states of a slice of the batch. Sequences are independent,
 * so slices run side by side. Kept for the way back: gates r, z, n in the place of the input projections [B*T, 3H], and
 * m = Whn h + bhn [B*T, H]. Row (b, t) of a kept matrix is b*T + t; rows beyond a length stay zero. */
#include <math.h>

#include "autograd/ops.h"

enum { X, WEIGHT_IH, WEIGHT_HH, BIAS_IH, BIAS_HH, INITIAL, INPUTS };
enum { SAVED_GATES, SAVED_INNER, SLICE = 16 };   /* SLICE sequences walk together */

typedef struct attributes { const int32_t *lengths; bool reverse; } attributes;

typedef struct gru {
    int64_t B, T, I, H;
    attributes a;
    const float *x, *weight_ih, *weight_hh, *bias_ih, *bias_hh, *initial;
    const float *packed_ih, *packed_hh;   /* transposed: [I, 3H], [H, 3H] */
    float *gates, *inner, *out, *last;
    const float *dout, *dlast;
    float *dinitial, *scratch;
    int64_t slice_scratch;             /* floats per thread */
} gru;

static sq_status gru_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    sq_var *const *in = node->inputs;
    const sq_var *x = in[X], *w = in[WEIGHT_HH];
    const attributes *a = node->attributes;
    char text[64];
    if (x->rank != 3 || !x->count) return sq__fail(error, SQ_INVALID, "the input is %s; expected [B, T, I]", sq__shape_text(x, text));
    if (!w || w->rank != 2 || w->shape[0] != 3 * w->shape[1] || !w->count)
        return sq__fail(error, SQ_INVALID, "the recurrent weight is %s; expected [3 H, H]", w ? sq__shape_text(w, text) : "absent");
    const int64_t H = w->shape[1], weight[2] = { 3 * H, x->shape[2] }, initial[2] = { x->shape[0], H };
    if (!in[WEIGHT_IH]) return sq__fail(error, SQ_INVALID, "the input weight is absent");
    SQ_TRY(sq__want_shape(in[WEIGHT_IH], "the input weight", 2, weight, error));
    for (int i = BIAS_IH; i <= BIAS_HH; i++)
        if (in[i]) SQ_TRY(sq__want_shape(in[i], "a bias", 1, weight, error));
    if (in[INITIAL]) SQ_TRY(sq__want_shape(in[INITIAL], "the initial state", 2, initial, error));
    for (int64_t b = 0; a->lengths && b < x->shape[0]; b++)
        if (a->lengths[b] < 0 || a->lengths[b] > x->shape[1])
            return sq__fail(error, SQ_INVALID, "length %d of row %lld; expected 0 to %lld", a->lengths[b], (long long)b, (long long)x->shape[1]);
    shapes[0] = (sq_shape){ 3, { x->shape[0], x->shape[1], H } };
    shapes[1] = (sq_shape){ 2, { x->shape[0], H } };
    return SQ_OK;
}

static const float *value_of(const sq_var *var) { return var ? var->value : NULL; }

static gru gru_of(const sq_node *node)
{
    sq_var *const *in = node->inputs;
    return (gru){
        .B = in[X]->shape[0], .T = in[X]->shape[1], .I = in[X]->shape[2], .H = in[WEIGHT_HH]->shape[1], .a = *(const attributes *)node->attributes,
        .x = in[X]->value, .weight_ih = in[WEIGHT_IH]->value, .weight_hh = in[WEIGHT_HH]->value, .bias_ih = value_of(in[BIAS_IH]),
        .bias_hh = value_of(in[BIAS_HH]), .initial = value_of(in[INITIAL]), .gates = sq__floats(node->saved[SAVED_GATES]),
        .inner = sq__floats(node->saved[SAVED_INNER]), .out = node->outputs[0]->value, .last = node->outputs[1]->value,
    };
}

static int64_t length_of(const gru *c, int64_t b) { return c->a.lengths ? c->a.lengths[b] : c->T; }

/* Row of step s of sequence b, or -1 when it is over. */
static int64_t row_at(const gru *c, int64_t b, int64_t s)
{
    int64_t length = length_of(c, b);
    if (s >= length) return -1;
    return b * c->T + (c->a.reverse ? length - 1 - s : s);
}

static int64_t longest(const gru *c, int64_t from, int64_t to)
{
    int64_t most = 0;
    for (int64_t b = from; b < to; b++) most = length_of(c, b) > most ? length_of(c, b) : most;
    return most;
}

/* gates: input projections -> r, z, n. h [H] is replaced. recurrent [3H] = Whh h */
static void cell(const gru *c, float *gates, float *inner, float *recurrent, float *h)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t H = c->H;
    if (c->bias_hh) kernels->axpy(recurrent, 1.0f, c->bias_hh, 3 * H);
    memcpy(inner, recurrent + 2 * H, (size_t)H * sizeof(float));
    kernels->axpy(gates, 1.0f, recurrent, 2 * H);
    kernels->sigmoid(gates, gates, 2 * H);
    float *r = gates, *z = gates + H, *n = gates + 2 * H;
#pragma omp simd
    for (int64_t i = 0; i < H; i++) n[i] += r[i] * inner[i];
    kernels->tanh(n, n, H);
#pragma omp simd
    for (int64_t i = 0; i < H; i++) h[i] = (1 - z[i]) * n[i] + z[i] * h[i];
}

static void forward_slice(void *context, int64_t slice, int thread)
{
    const gru *c = context;
    const int64_t H = c->H, from = slice * SLICE, to = sq__least(c->B, from + SLICE), steps = longest(c, from, to);
    float *h = c->last + from * H, *recurrent = c->scratch + thread * c->slice_scratch;
    if (c->initial) memcpy(h, c->initial + from * H, (size_t)((to - from) * H) * sizeof(float));
    else memset(h, 0, (size_t)((to - from) * H) * sizeof(float));
    for (int64_t s = 0; s < steps; s++) {
        sq__gemm(false, false, to - from, 3 * H, H, 1, h, H, c->packed_hh, 3 * H, 0, recurrent, 3 * H);
        for (int64_t b = from; b < to; b++) {
            int64_t row = row_at(c, b, s);
            if (row < 0) continue;
            cell(c, c->gates + row * 3 * H, c->inner + row * H, recurrent + (b - from) * 3 * H, h + (b - from) * H);
            memcpy(c->out + row * H, h + (b - from) * H, (size_t)H * sizeof(float));
        }
    }
    for (int64_t b = from; b < to; b++) {
        int64_t first = b * c->T + length_of(c, b), past = (b + 1) * c->T - first;
        memset(c->out + first * H, 0, (size_t)(past * H) * sizeof(float));
        memset(c->inner + first * H, 0, (size_t)(past * H) * sizeof(float));
        memset(c->gates + first * 3 * H, 0, (size_t)(past * 3 * H) * sizeof(float));
    }
}

static void project_rows(void *context, int64_t from, int64_t to)
{
    const gru *c = context;
    float *gates = c->gates + from * 3 * c->H;
    sq__gemm(false, false, to - from, 3 * c->H, c->I, 1, c->x + from * c->I, c->I, c->packed_ih, 3 * c->H, 0, gates, 3 * c->H);
    for (int64_t i = 0; c->bias_ih && i < to - from; i++) sq__kernels()->axpy(gates + i * 3 * c->H, 1.0f, c->bias_ih, 3 * c->H);
}

static void gru_forward(sq_tape *tape, sq_node *node)
{
    const int64_t positions = sq__rows(node->outputs[0]), H = sq__last(node->outputs[0]), slice_scratch = SLICE * 3 * H;
    if (!sq__save(tape, node, SAVED_GATES, (size_t)(positions * 3 * H) * sizeof(float))) return;
    if (!sq__save(tape, node, SAVED_INNER, (size_t)(positions * H) * sizeof(float))) return;
    gru c = gru_of(node);
    sq_buffer *scratch = sq__scratch(tape, (size_t)(3 * H * (c.I + H) + sq__threads() * slice_scratch) * sizeof(float));
    if (!scratch) return;
    float *packed_ih = sq__floats(scratch), *packed_hh = packed_ih + 3 * H * c.I;
    sq__kernels()->transpose(packed_ih, 3 * H, c.weight_ih, c.I, 3 * H, c.I);
    sq__kernels()->transpose(packed_hh, 3 * H, c.weight_hh, H, 3 * H, H);
    c.packed_ih = packed_ih;
    c.packed_hh = packed_hh;
    c.scratch = packed_hh + 3 * H * H;
    c.slice_scratch = slice_scratch;
    sq__for_range(positions, SQ_ROWS, project_rows, &c);
    sq__parallel(sq__threads(), (c.B + SLICE - 1) / SLICE, forward_slice, &c);
    sq__pool_release(tape->pool, scratch);
    for (int i = 0; !node->recorded && i < SQ_NODE_SAVED; i++) {
        sq__pool_release(tape->pool, node->saved[i]);
        node->saved[i] = NULL;
    }
}

/* Gradients fade along a sequence; once so small they are nothing, and arithmetic on subnormal numbers is a hundred times slower. */
#define FADED 1e-30f

/* One step back: dh [H] (of h') becomes z dh; gates become the gradient before the gates (of the input projections), inner that of m.
 * before: h. The caller adds Whh' (dr, dz, dm) to dh. True if any gradient is left. */
static bool cell_back(const gru *c, float *gates, float *inner, const float *before, float *dh)
{
    const int64_t H = c->H;
    float *r = gates, *z = gates + H, *n = gates + 2 * H;
#pragma omp simd
    for (int64_t i = 0; i < H; i++) {
        const float d = fabsf(dh[i]) < FADED ? 0 : dh[i];
        const float dn = d * (1 - z[i]) * (1 - n[i] * n[i]), dz = d * (before[i] - n[i]) * z[i] * (1 - z[i]);
        const float dr = dn * inner[i] * r[i] * (1 - r[i]);
        dh[i] = d * z[i];
        inner[i] = dn * r[i];
        r[i] = dr;
        z[i] = dz;
        n[i] = dn;
    }
    for (int64_t i = 0; i < H; i++)
        if (dh[i] != 0 || z[i] != 0 || n[i] != 0) return true;   /* NaN counts as something */
    return false;
}

/* The state that step s of sequence b began with. */
static const float *state_before(const gru *c, int64_t b, int64_t s, const float *zeros)
{
    if (s > 0) return c->out + row_at(c, b, s - 1) * c->H;
    return c->initial ? c->initial + b * c->H : zeros;
}

static void backward_slice(void *context, int64_t slice, int thread)
{
    const gru *c = context;
    const int64_t H = c->H, from = slice * SLICE, to = sq__least(c->B, from + SLICE);
    float *dh = c->scratch + thread * c->slice_scratch, *dgates = dh + SLICE * H, *zeros = dgates + SLICE * 3 * H;
    memset(zeros, 0, (size_t)H * sizeof(float));
    if (c->dlast) memcpy(dh, c->dlast + from * H, (size_t)((to - from) * H) * sizeof(float));
    else memset(dh, 0, (size_t)((to - from) * H) * sizeof(float));
    for (int64_t s = longest(c, from, to); s-- > 0;) {
        bool any = false;
        for (int64_t b = from; b < to; b++) {
            int64_t row = row_at(c, b, s);
            float *gates = c->gates + row * 3 * H, *inner = c->inner + row * H, *d = dgates + (b - from) * 3 * H;
            if (row < 0) {
                memset(d, 0, (size_t)(3 * H) * sizeof(float));
                continue;
            }
            if (c->dout) sq__kernels()->axpy(dh + (b - from) * H, 1.0f, c->dout + row * H, H);
            any |= cell_back(c, gates, inner, state_before(c, b, s, zeros), dh + (b - from) * H);
            memcpy(d, gates, (size_t)(2 * H) * sizeof(float));
            memcpy(d + 2 * H, inner, (size_t)H * sizeof(float));
        }
        if (any) sq__gemm(false, false, to - from, H, 3 * H, 1, dgates, 3 * H, c->weight_hh, H, 1, dh, H);
    }
    if (c->dinitial) sq__kernels()->axpy(c->dinitial + from * H, 1.0f, dh, (to - from) * H);
}

/* dWhh += (dr, dz, dm)' h over all steps; h of a step is the row of out before it (after it in reverse), or the initial state. */
static void add_recurrent_weight(const gru *c, float *dweight)
{
    const int64_t H = c->H;
    for (int64_t b = 0; b < c->B; b++) {
        const int64_t length = length_of(c, b), steps = length - 1, now = b * c->T + (c->a.reverse ? 0 : 1),
                      before = b * c->T + (c->a.reverse ? 1 : 0);
        if (steps > 0) {
            sq__gemm_parallel(sq__threads(), true, false, 2 * H, H, steps, 1, c->gates + now * 3 * H, 3 * H, c->out + before * H, H, 1, dweight, H);
            sq__gemm_parallel(sq__threads(), true, false, H, H, steps, 1, c->inner + now * H, H, c->out + before * H, H, 1, dweight + 2 * H * H, H);
        }
        if (!c->initial || length < 1) continue;
        const int64_t first = row_at(c, b, 0);
        sq__gemm(true, false, 2 * H, H, 1, 1, c->gates + first * 3 * H, 3 * H, c->initial + b * H, H, 1, dweight, H);
        sq__gemm(true, false, H, H, 1, 1, c->inner + first * H, H, c->initial + b * H, H, 1, dweight + 2 * H * H, H);
    }
}

static void gru_vjp(sq_tape *tape, sq_node *node)
{
    gru c = gru_of(node);
    const int64_t positions = c.B * c.T, H = c.H;
    c.dout = node->outputs[0]->gradient;
    c.dlast = node->outputs[1]->gradient;
    c.dinitial = sq__gradient_added(tape, node->inputs[INITIAL]);
    c.slice_scratch = (4 * SLICE + 1) * H;
    sq_buffer *scratch = sq__scratch(tape, (size_t)(sq__threads() * c.slice_scratch) * sizeof(float));
    if (!scratch) return;
    c.scratch = sq__floats(scratch);
    sq__parallel(sq__threads(), (c.B + SLICE - 1) / SLICE, backward_slice, &c);
    sq__pool_release(tape->pool, scratch);

    float beta, *d = sq__gradient(tape, node->inputs[X], &beta);
    if (d) sq__gemm_parallel(sq__threads(), false, false, positions, c.I, 3 * H, 1, c.gates, 3 * H, c.weight_ih, c.I, beta, d, c.I);
    d = sq__gradient(tape, node->inputs[WEIGHT_IH], &beta);
    if (d) sq__gemm_parallel(sq__threads(), true, false, 3 * H, c.I, positions, 1, c.gates, 3 * H, c.x, c.I, beta, d, c.I);
    d = sq__gradient_added(tape, node->inputs[WEIGHT_HH]);
    if (d) add_recurrent_weight(&c, d);
    d = sq__gradient_added(tape, node->inputs[BIAS_IH]);
    if (d) sq__add_rows(d, c.gates, positions, 3 * H, 3 * H);
    d = sq__gradient_added(tape, node->inputs[BIAS_HH]);
    if (!d) return;
    sq__add_rows(d, c.gates, positions, 2 * H, 3 * H);
    sq__add_rows(d + 2 * H, c.inner, positions, H, H);
}

const sq_op sq__op_gru = { "gru", SQ_READS_INPUTS | SQ_READS_OUTPUT, false, gru_shape, gru_forward, gru_vjp };

sq_var *sq__gru(sq_tape *tape, sq_var *x, sq_var *weight_ih, sq_var *weight_hh, sq_var *bias_ih, sq_var *bias_hh, sq_var *initial,
                const int32_t *lengths, bool reverse, sq_var **last)
{
    attributes a = { lengths, reverse };
    sq_var *in[INPUTS] = { x, weight_ih, weight_hh, bias_ih, bias_hh, initial };
    sq_node *node = sq__apply(tape, &sq__op_gru, in, INPUTS, &a, sizeof a, 2);
    if (last) *last = node ? node->outputs[1] : NULL;
    return node ? node->outputs[0] : NULL;
}
