#include "autograd/retrieved.h"

#include <math.h>

#include "autograd/ops.h"

enum { Q, NOW, TEMPERATURE, LOCAL, GATE, INPUTS, SAVED_PAST = 0 };

typedef struct attributes { int64_t heads, topk, past_rows; const float *past; const int32_t *list; float scale; bool learns; } attributes;

typedef struct retrieved {
    attributes a;
    int64_t T, N, D, E;
    const float *q, *now, *past, *temperature, *local, *gate, *dout;
    float *out, *dq, *dnow, *dlocal, *sums;   /* sums [B,H,2]: gradients of temperature and gate */
    float *scratch;
    int64_t scratch_floats;
} retrieved;

static sq_status retrieved_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *q = node->inputs[Q], *now = node->inputs[NOW];
    const attributes *a = node->attributes;
    const int64_t heads = a->heads;
    char text[64];
    if (!q || q->rank != 3 || !q->count || heads < 1 || sq__last(q) % heads)
        return sq__fail(error, SQ_INVALID, "the queries are %s; expected [B, T, heads * D]", q ? sq__shape_text(q, text) : "absent");
    if (!now || now->rank != 3 || now->shape[0] != q->shape[0] || sq__last(now) != 2 * sq__last(q))
        return sq__fail(error, SQ_INVALID, "the rows are %s; expected [B, N, %lld]", now ? sq__shape_text(now, text) : "absent", (long long)(2 * sq__last(q)));
    for (int i = TEMPERATURE; i < INPUTS; i++)
        if (i != LOCAL && node->inputs[i]) SQ_TRY(sq__want_shape(node->inputs[i], i == GATE ? "the gate" : "the temperature", 1, &heads, error));
    if (!node->inputs[LOCAL] != !node->inputs[GATE]) return sq__fail(error, SQ_INVALID, "a gate and what it chooses from come together");
    if (node->inputs[LOCAL]) SQ_TRY(sq__want_shape(node->inputs[LOCAL], "what was found nearby", 3, q->shape, error));
    for (int64_t i = 0; i < q->shape[0] * q->shape[1] * heads * a->topk; i++)
        if (a->list[i] >= a->past_rows + now->shape[1]) return sq__fail(error, SQ_INVALID, "row %d is not among %lld", a->list[i], (long long)(a->past_rows + now->shape[1]));
    return sq__same_shape(node, shapes, error);
}

static const float *value_of(const sq_var *var) { return var ? var->value : NULL; }

static retrieved retrieved_of(const sq_node *node)
{
    const attributes *a = node->attributes;
    const sq_var *q = node->inputs[Q];
    return (retrieved){ .a = *a, .T = q->shape[1], .N = node->inputs[NOW]->shape[1], .D = sq__last(q) / a->heads, .E = sq__last(q), .q = q->value,
                        .now = node->inputs[NOW]->value, .past = node->saved[SAVED_PAST] ? sq__floats(node->saved[SAVED_PAST]) : a->past,
                        .temperature = value_of(node->inputs[TEMPERATURE]), .local = value_of(node->inputs[LOCAL]), .gate = value_of(node->inputs[GATE]),
                        .out = node->outputs[0]->value };
}

/* Key of row `index` for a head; its value lies E floats behind. */
static const float *key_of(const retrieved *c, int64_t b, int64_t h, int32_t index)
{
    const int64_t past = c->a.past_rows;
    const float *row = index < past ? c->past + (b * past + index) * 2 * c->E : c->now + (b * c->N + index - past) * 2 * c->E;
    return row + h * c->D;
}

static float scale_of(const retrieved *c, int64_t h) { return c->a.scale * (c->temperature ? expf(c->temperature[h]) : 1); }
static float share_of(const retrieved *c, int64_t h) { return c->gate ? 1 / (1 + expf(-c->gate[h])) : 1; }

/* Shares p [topk] of the rows in the list (0 for -1) and what they give, found [D]; s [topk]: scores. False: the list is empty. */
static bool attend(const retrieved *c, int64_t b, int64_t h, const float *q, const int32_t *list, float *s, float *p, float *found)
{
    const sq_kernels *kernels = sq__kernels();
    const float scale = scale_of(c, h);
    for (int64_t j = 0; j < c->a.topk; j++) s[j] = list[j] < 0 ? -INFINITY : scale * kernels->dot(q, key_of(c, b, h, list[j]), c->D);
    const float most = kernels->max(s, c->a.topk);
    memset(found, 0, (size_t)c->D * sizeof *found);
    if (most == -INFINITY) return false;
    kernels->scale(p, 1 / kernels->exp_sum(p, s, 1, most, c->a.topk), c->a.topk);
    for (int64_t j = 0; j < c->a.topk; j++)
        if (list[j] >= 0) kernels->axpy(found, p[j], key_of(c, b, h, list[j]) + c->E, c->D);
    return true;
}

typedef struct room { float *s, *p, *dp, *found, *dfound; } room;

static room room_of(const retrieved *c, int thread)
{
    float *at = c->scratch + thread * c->scratch_floats;
    return (room){ at, at + c->a.topk, at + 2 * c->a.topk, at + 3 * c->a.topk, at + 3 * c->a.topk + c->D };
}

static bool make_room(sq_tape *tape, retrieved *c, sq_buffer **buffer)
{
    c->scratch_floats = 3 * c->a.topk + 2 * c->D;
    *buffer = sq__scratch(tape, (size_t)(sq__threads() * c->scratch_floats) * sizeof(float));
    if (*buffer) c->scratch = sq__floats(*buffer);
    return *buffer != NULL;
}

static void forward_row(void *context, int64_t item, int thread)
{
    const retrieved *c = context;
    const room r = room_of(c, thread);
    for (int64_t h = 0; h < c->a.heads; h++) {
        const int64_t at = item * c->E + h * c->D;
        const bool any = attend(c, item / c->T, h, c->q + at, c->a.list + (item * c->a.heads + h) * c->a.topk, r.s, r.p, r.found);
        const float share = any ? share_of(c, h) : 0;
        for (int64_t d = 0; d < c->D; d++) c->out[at + d] = c->local ? c->local[at + d] + share * (r.found[d] - c->local[at + d]) : r.found[d];
    }
}

static void retrieved_forward(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    const int64_t B = node->inputs[Q]->shape[0];
    sq_buffer *buffer;
    if (node->recorded && a->past) {   /* the caller goes on writing there */
        const size_t bytes = (size_t)(B * a->past_rows * 2 * sq__last(node->inputs[Q])) * sizeof(float);
        if (!sq__save(tape, node, SAVED_PAST, bytes)) return;
        memcpy(sq__buffer_data(node->saved[SAVED_PAST]), a->past, bytes);
    }
    retrieved c = retrieved_of(node);
    if (!make_room(tape, &c, &buffer)) return;
    sq__parallel(sq__threads(), B * c.T, forward_row, &c);
    sq__pool_release(tape->pool, buffer);
}

/* One query of one head back. */
static void row_back(const retrieved *c, const room *r, int64_t b, int64_t t, int64_t h, float *sums)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t row = b * c->T + t, at = row * c->E + h * c->D;
    const int32_t *list = c->a.list + (row * c->a.heads + h) * c->a.topk;
    const float scale = scale_of(c, h), *dout = c->dout + at;
    const bool any = attend(c, b, h, c->q + at, list, r->s, r->p, r->found);
    const float share = any ? share_of(c, h) : 0;
    if (c->dlocal) kernels->axpy(c->dlocal + at, 1 - share, dout, c->D);
    if (!any) return;
    for (int64_t d = 0; d < c->D; d++) r->dfound[d] = c->local ? share * dout[d] : dout[d];
    for (int64_t d = 0; c->gate && d < c->D; d++) sums[1] += (1 - share) * r->dfound[d] * (r->found[d] - c->local[at + d]);
    for (int64_t j = 0; j < c->a.topk; j++) r->dp[j] = list[j] < 0 ? 0 : kernels->dot(r->dfound, key_of(c, b, h, list[j]) + c->E, c->D);
    const float mean = kernels->dot(r->p, r->dp, c->a.topk);
    for (int64_t j = 0; j < c->a.topk; j++) {
        if (list[j] < 0) continue;
        const float ds = r->p[j] * (r->dp[j] - mean);
        const int64_t now = list[j] - c->a.past_rows;
        sums[0] += ds * r->s[j];
        if (c->dq) kernels->axpy(c->dq + at, scale * ds, key_of(c, b, h, list[j]), c->D);
        if (!c->dnow || now < 0) continue;
        float *dkey = c->dnow + (b * c->N + now) * 2 * c->E + h * c->D;
        kernels->axpy(dkey, scale * ds, c->q + at, c->D);
        kernels->axpy(dkey + c->E, r->p[j], r->dfound, c->D);
    }
}

static void backward_head(void *context, int64_t item, int thread)
{
    const retrieved *c = context;
    const room r = room_of(c, thread);
    float *sums = c->sums + 2 * item;
    sums[0] = sums[1] = 0;
    for (int64_t t = 0; t < c->T; t++) row_back(c, &r, item / c->a.heads, t, item % c->a.heads, sums);
}

static void retrieved_vjp(sq_tape *tape, sq_node *node)
{
    retrieved c = retrieved_of(node);
    const int64_t B = node->inputs[Q]->shape[0], H = c.a.heads;
    float *of_heads[2];
    sq_buffer *buffer, *sums = sq__scratch(tape, (size_t)(2 * B * H) * sizeof(float));
    c.dout = node->outputs[0]->gradient;
    c.dq = sq__gradient_added(tape, node->inputs[Q]);
    c.dnow = c.a.learns ? sq__gradient_added(tape, node->inputs[NOW]) : NULL;
    c.dlocal = sq__gradient_added(tape, node->inputs[LOCAL]);
    of_heads[0] = sq__gradient_added(tape, node->inputs[TEMPERATURE]);
    of_heads[1] = sq__gradient_added(tape, node->inputs[GATE]);
    if (!sums || tape->status != SQ_OK || !make_room(tape, &c, &buffer)) return;
    c.sums = sq__floats(sums);
    sq__parallel(sq__threads(), B * H, backward_head, &c);
    for (int i = 0; i < 2; i++)
        for (int64_t item = 0; of_heads[i] && item < B * H; item++) of_heads[i][item % H] += c.sums[2 * item + i];
    sq__pool_release(tape->pool, buffer);
    sq__pool_release(tape->pool, sums);
}

const sq_op sq__op_retrieved = { "retrieved", SQ_READS_INPUT(Q) | SQ_READS_INPUT(NOW) | SQ_READS_INPUT(TEMPERATURE) | SQ_READS_INPUT(LOCAL) | SQ_READS_INPUT(GATE),
                                 false, retrieved_shape, retrieved_forward, retrieved_vjp };

sq_var *sq__retrieved(sq_tape *tape, const sq_retrieved *in)
{
    const attributes a = { in->heads, in->topk, in->memory.past_rows, in->memory.past, in->list, in->scale, in->learns };
    if (!in->list) return NULL;
    return sq__apply1(tape, &sq__op_retrieved, (sq_var *[]){ in->q, in->memory.now, in->temperature, in->local, in->gate }, INPUTS, &a, sizeof a);
}
