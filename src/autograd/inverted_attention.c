#include "autograd/inverted_attention.h"

#include <math.h>

#include "autograd/ops.h"

enum { Q, K, V, INPUTS, SAVED_SUMS = 0, TILE = 64 };   /* inputs in a tile */
#define LEAST_SUM 1e-8f

typedef struct attributes { int64_t heads; float scale; const int32_t *lengths; const uint8_t *keep; } attributes;

typedef struct inverted {
    attributes a;
    int64_t L, N, D, M, q_row, v_row;
    const float *q, *k, *v, *dout;
    float *out, *sums, *dq, *dk, *dv;  /* sums [B,H,L] */
    float *scratch;
    int64_t scratch_floats;            /* per thread */
} inverted;

static sq_status inverted_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *q = node->inputs[Q], *k = node->inputs[K], *v = node->inputs[V];
    const attributes *a = node->attributes;
    char text[64];
    if (!q || q->rank != 3 || a->heads < 1 || sq__last(q) % a->heads || !q->count)
        return sq__fail(error, SQ_INVALID, "the queries are %s; expected [B, L, heads * D]", q ? sq__shape_text(q, text) : "absent");
    if (!k || k->rank != 3) return sq__fail(error, SQ_INVALID, "the keys are absent or not [B, N, heads * D]");
    SQ_TRY(sq__want_shape(k, "the keys", 3, (int64_t[]){ q->shape[0], k->shape[1], q->shape[2] }, error));
    if (!v || v->rank != 3 || v->shape[0] != q->shape[0] || v->shape[1] != k->shape[1] || sq__last(v) % a->heads || !v->count)
        return sq__fail(error, SQ_INVALID, "the values are %s; expected [B, N, heads * M]", v ? sq__shape_text(v, text) : "absent");
    shapes[0] = (sq_shape){ 3, { q->shape[0], q->shape[1], v->shape[2] } };
    return SQ_OK;
}

static inverted inverted_of(const sq_node *node)
{
    const attributes *a = node->attributes;
    const sq_var *q = node->inputs[Q], *k = node->inputs[K], *v = node->inputs[V];
    inverted c = { .a = *a, .L = q->shape[1], .N = k->shape[1], .D = sq__last(q) / a->heads, .M = sq__last(v) / a->heads, .q_row = sq__last(q),
                   .v_row = sq__last(v), .q = q->value, .k = k->value, .v = v->value, .out = node->outputs[0]->value,
                   .sums = sq__floats(node->saved[SAVED_SUMS]) };
    if (c.a.scale == 0) c.a.scale = (float)(1 / sqrt((double)c.D));
    return c;
}

static bool hidden(const inverted *c, int64_t b, int64_t n)
{
    return (c->a.lengths && n >= c->a.lengths[b]) || (c->a.keep && !c->a.keep[b * c->N + n]);
}

/* p [count, L] of inputs from n0; zeros for those that are hidden. */
static void shares(const inverted *c, int64_t b, int64_t h, int64_t n0, int64_t count, float *p)
{
    const sq_kernels *kernels = sq__kernels();
    sq__gemm(false, true, count, c->L, c->D, c->a.scale, c->k + (b * c->N + n0) * c->q_row + h * c->D, c->q_row, c->q + b * c->L * c->q_row + h * c->D,
             c->q_row, 0, p, c->L);
    for (int64_t n = 0; n < count; n++) {
        float *row = p + n * c->L;
        if (hidden(c, b, n0 + n)) memset(row, 0, (size_t)c->L * sizeof *row);
        else kernels->scale(row, 1 / kernels->exp_sum(row, row, 1, kernels->max(row, c->L), c->L), c->L);
    }
}

/* Rows [count, width] of keys or values of one head; hidden ones, which may hold anything, become zeros. */
static void visible_rows(const inverted *c, int64_t b, int64_t n0, int64_t count, const float *x, int64_t row, int64_t width, float *to)
{
    for (int64_t n = 0; n < count; n++) {
        if (hidden(c, b, n0 + n)) memset(to + n * width, 0, (size_t)width * sizeof *to);
        else memcpy(to + n * width, x + (b * c->N + n0 + n) * row, (size_t)width * sizeof *to);
    }
}

static void forward_head(void *context, int64_t item, int thread)
{
    const inverted *c = context;
    const int64_t b = item / c->a.heads, h = item % c->a.heads;
    float *p = c->scratch + thread * c->scratch_floats, *v = p + TILE * c->L, *sums = c->sums + item * c->L;
    float *out = c->out + b * c->L * c->v_row + h * c->M;
    memset(sums, 0, (size_t)c->L * sizeof *sums);
    for (int64_t l = 0; l < c->L; l++) memset(out + l * c->v_row, 0, (size_t)c->M * sizeof *out);
    for (int64_t n0 = 0; n0 < c->N; n0 += TILE) {
        const int64_t count = sq__least(TILE, c->N - n0);
        shares(c, b, h, n0, count, p);
        visible_rows(c, b, n0, count, c->v + h * c->M, c->v_row, c->M, v);
        for (int64_t n = 0; n < count; n++) sq__kernels()->axpy(sums, 1, p + n * c->L, c->L);
        sq__gemm(true, false, c->L, c->M, count, 1, p, c->L, v, c->M, 1, out, c->v_row);
    }
    for (int64_t l = 0; l < c->L; l++) sq__kernels()->scale(out + l * c->v_row, 1 / fmaxf(sums[l], LEAST_SUM), c->M);
}

static bool scratch_of(sq_tape *tape, inverted *c, int64_t floats, sq_buffer **buffer)
{
    c->scratch_floats = floats;
    *buffer = sq__scratch(tape, (size_t)(sq__threads() * floats) * sizeof(float));
    if (!*buffer) return false;
    c->scratch = sq__floats(*buffer);
    return true;
}

static void inverted_forward(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    const int64_t heads = node->inputs[Q]->shape[0] * a->heads;
    sq_buffer *buffer;
    if (!sq__save(tape, node, SAVED_SUMS, (size_t)(heads * node->inputs[Q]->shape[1]) * sizeof(float))) return;
    inverted c = inverted_of(node);
    if (!scratch_of(tape, &c, TILE * (c.L + c.M), &buffer)) return;
    sq__parallel(sq__threads(), heads, forward_head, &c);
    sq__pool_release(tape->pool, buffer);
    if (node->recorded) return;
    sq__pool_release(tape->pool, node->saved[SAVED_SUMS]);
    node->saved[SAVED_SUMS] = NULL;
}

/* With w_l = 1/max(1e-8, s_l), g_l = w_l dout_l and c_l = g_l . out_l (0 where s_l is at its least):
 *   dv_n = sum_l p_nl g_l    dp_nl = g_l . v_n - c_l    ds_nl = scale p_nl (dp_nl - sum_m p_nm dp_nm) */
static void backward_head(void *context, int64_t item, int thread)
{
    const inverted *c = context;
    const sq_kernels *kernels = sq__kernels();
    const int64_t b = item / c->a.heads, h = item % c->a.heads, L = c->L;
    float *p = c->scratch + thread * c->scratch_floats, *dp = p + TILE * L, *v = dp + TILE * L, *k = v + TILE * c->M, *g = k + TILE * c->D, *constant = g + L * c->M;
    const float *out = c->out + b * L * c->v_row + h * c->M, *dout = c->dout + b * L * c->v_row + h * c->M, *sums = c->sums + item * L;
    const float *q = c->q + b * L * c->q_row + h * c->D;
    for (int64_t l = 0; l < L; l++) {
        memcpy(g + l * c->M, dout + l * c->v_row, (size_t)c->M * sizeof *g);
        kernels->scale(g + l * c->M, 1 / fmaxf(sums[l], LEAST_SUM), c->M);
        constant[l] = sums[l] > LEAST_SUM ? kernels->dot(g + l * c->M, out + l * c->v_row, c->M) : 0;
    }
    for (int64_t n0 = 0; n0 < c->N; n0 += TILE) {
        const int64_t count = sq__least(TILE, c->N - n0), at = b * c->N + n0;
        shares(c, b, h, n0, count, p);
        visible_rows(c, b, n0, count, c->v + h * c->M, c->v_row, c->M, v);
        sq__gemm(false, true, count, L, c->M, 1, v, c->M, g, c->M, 0, dp, L);
        if (c->dv) sq__gemm(false, false, count, c->M, L, 1, p, L, g, c->M, 1, c->dv + at * c->v_row + h * c->M, c->v_row);
        for (int64_t n = 0; n < count; n++) {
            float *row = dp + n * L;
            const float *share = p + n * L;
            kernels->axpy(row, -1, constant, L);
            const float mean = kernels->dot(row, share, L);
            for (int64_t l = 0; l < L; l++) row[l] = c->a.scale * share[l] * (row[l] - mean);
        }
        visible_rows(c, b, n0, count, c->k + h * c->D, c->q_row, c->D, k);
        if (c->dq) sq__gemm(true, false, L, c->D, count, 1, dp, L, k, c->D, 1, c->dq + b * L * c->q_row + h * c->D, c->q_row);
        if (c->dk) sq__gemm(false, false, count, c->D, L, 1, dp, L, q, c->q_row, 1, c->dk + at * c->q_row + h * c->D, c->q_row);
    }
}

static void inverted_vjp(sq_tape *tape, sq_node *node)
{
    inverted c = inverted_of(node);
    sq_buffer *buffer;
    c.dout = node->outputs[0]->gradient;
    c.dq = sq__gradient_added(tape, node->inputs[Q]);
    c.dk = sq__gradient_added(tape, node->inputs[K]);
    c.dv = sq__gradient_added(tape, node->inputs[V]);
    if (tape->status != SQ_OK || !scratch_of(tape, &c, TILE * (2 * c.L + c.M + c.D) + c.L * (c.M + 1), &buffer)) return;
    sq__parallel(sq__threads(), node->inputs[Q]->shape[0] * c.a.heads, backward_head, &c);
    sq__pool_release(tape->pool, buffer);
}

const sq_op sq__op_inverted_attention = { "inverted attention", SQ_READS_INPUT(Q) | SQ_READS_INPUT(K) | SQ_READS_INPUT(V) | SQ_READS_OUTPUT, false,
                                          inverted_shape, inverted_forward, inverted_vjp };

sq_var *sq__inverted_attention(sq_tape *tape, sq_var *q, sq_var *k, sq_var *v, int64_t heads, float scale, const int32_t *lengths, const uint8_t *keep)
{
    return sq__apply1(tape, &sq__op_inverted_attention, (sq_var *[]){ q, k, v }, INPUTS, &(attributes){ heads, scale, lengths, keep }, sizeof(attributes));
}
