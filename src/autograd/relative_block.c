/* Lists of keys become blocks: at most 64 queries against the stretch of their list that the window leaves them. */
#include <math.h>

#include "autograd/relative_block.h"

static int64_t blocks_of(const sq_relative_span *span) { return (span->count + RELATIVE_BLOCK - 1) / RELATIVE_BLOCK; }

/* The stretch of the span's list that queries i .. i+count-1 of it can see. */
static void stretch(const sq_relative_call *c, const sq_relative_span *span, int64_t i, int64_t count, int64_t *at, int64_t *keys)
{
    const int64_t all = span->keys[0] + span->keys[1], place = span->origin + i;
    *at = c->a.window && place - c->a.window + 1 > 0 ? place - c->a.window + 1 : 0;
    *keys = (c->P || c->a.window ? sq__least(all, place + count) : all) - *at;
    if (*keys < 0) *keys = 0;
}

sq_relative_call sq__relative_call(const sq_node *node, sq_pass pass)
{
    sq_var *const *in = node->inputs;
    const sq_var *q = in[RELATIVE_Q];
    sq_relative_call c = { .a = *(const sq_relative_attributes *)node->attributes, .B = q->shape[0], .T = q->shape[1], .N = in[RELATIVE_KV]->shape[1],
                           .P = in[RELATIVE_R] ? in[RELATIVE_R]->shape[0] : 0, .q = q->value, .kv = in[RELATIVE_KV]->value,
                           .out = node->outputs[0]->value, .pass = pass };
    const float **const tables[] = { &c.r, &c.u, &c.v };
    for (int i = 0; i < 3; i++) *tables[i] = in[RELATIVE_R + i] ? in[RELATIVE_R + i]->value : NULL;
    c.H = c.a.heads;
    c.D = q->shape[2] / c.H;
    for (int64_t s = 0; s < c.a.span_count; s++) {
        const sq_relative_span *span = &c.a.spans[s];
        c.blocks += blocks_of(span);
        c.split |= span->keys[0] > 0 && span->keys[1] > 0 && span->from[1] != span->from[0] + span->keys[0];
        for (int64_t i = 0; i < span->count; i += RELATIVE_BLOCK) {
            int64_t at, keys;
            stretch(&c, span, i, sq__least(RELATIVE_BLOCK, span->count - i), &at, &keys);
            c.most = keys > c.most ? keys : c.most;
        }
    }
    sq_relative_worker none;
    c.per_thread = sq__relative_cut(&c, NULL, &none);
    return c;
}

size_t sq__relative_cut(const sq_relative_call *c, void *base, sq_relative_worker *w)
{
    sq_cut cut = { base, 0 };
    const int64_t rows = RELATIVE_BLOCK * c->D, keys = c->most * c->D;
    const bool back = c->pass == SQ_BACKWARD;
    *w = (sq_relative_worker){ .qu = sq__cut_floats(&cut, rows), .qv = sq__cut_floats(&cut, rows) };
    w->dqu = back ? sq__cut_floats(&cut, rows) : NULL;
    w->dqv = back ? sq__cut_floats(&cut, rows) : NULL;
    w->k = c->split ? sq__cut_floats(&cut, keys) : NULL;
    w->v = c->split ? sq__cut_floats(&cut, keys) : NULL;
    w->dk = back ? sq__cut_floats(&cut, keys) : NULL;
    w->dv = back ? sq__cut_floats(&cut, keys) : NULL;
    w->relative = sq__cut_floats(&cut, sq__relative_scratch());
    w->dense = sq__cut(&cut, sq__dense_workspace(RELATIVE_BLOCK, c->most, c->D, c->D, c->pass));
    return cut.used;
}

int64_t sq__relative_row(const sq_relative_block *b, int64_t j)
{
    const int64_t place = b->at + j;
    return place < b->span->keys[0] ? b->span->from[0] + place : b->span->from[1] + place - b->span->keys[0];
}

/* q + bias of the block's rows, or q itself. */
static const float *biased(const sq_relative_call *c, const sq_relative_block *b, const float *bias, float *to, int64_t *row)
{
    const int64_t E = c->H * c->D;
    const float *q = c->q + (b->entry * c->T + b->first) * E + b->head * c->D;
    *row = bias ? c->D : E;
    for (int64_t i = 0; bias && i < b->count; i++)
        for (int64_t d = 0; d < c->D; d++) to[i * c->D + d] = q[i * E + d] + bias[b->head * c->D + d];
    return bias ? to : q;
}

static void gather(const sq_relative_call *c, const sq_relative_worker *w, sq_relative_block *b)
{
    const int64_t E = c->H * c->D, row = 2 * E;
    const float *kv = c->kv + b->entry * c->N * row + b->head * c->D;
    const int64_t first = b->keys ? sq__relative_row(b, 0) : 0;
    b->gathered = b->keys && sq__relative_row(b, b->keys - 1) != first + b->keys - 1;
    b->dense.k_row = b->dense.v_row = b->gathered ? c->D : row;
    b->dense.k = b->gathered ? w->k : kv + first * row;
    b->dense.v = b->gathered ? w->v : kv + first * row + E;
    for (int64_t j = 0; b->gathered && j < b->keys; j++) {
        const float *from = kv + sq__relative_row(b, j) * row;
        memcpy(w->k + j * c->D, from, (size_t)c->D * sizeof(float));
        memcpy(w->v + j * c->D, from + E, (size_t)c->D * sizeof(float));
    }
    const bool in_place = c->dkv && !b->gathered;
    float *dkv = in_place ? c->dkv + (b->entry * c->N + first) * row + b->head * c->D : NULL;
    b->dkv_row = in_place ? row : c->D;
    b->dk = in_place ? dkv : w->dk;
    b->dv = in_place ? dkv + E : w->dv;
}

void sq__relative_block(const sq_relative_call *c, const sq_relative_worker *w, int64_t index, int64_t head, sq_relative_block *b)
{
    const sq_relative_span *span = c->a.spans;
    while (index >= blocks_of(span)) index -= blocks_of(span++);
    const int64_t i = index * RELATIVE_BLOCK, E = c->H * c->D;
    const float scale = (float)(1 / sqrt((double)c->D));
    *b = (sq_relative_block){ .entry = span->entry, .head = head, .first = span->first + i, .count = sq__least(RELATIVE_BLOCK, span->count - i), .span = span };
    stretch(c, span, i, b->count, &b->at, &b->keys);
    b->origin = span->origin + i - b->at;
    b->dense = (sq_dense){ .T = b->count, .N = b->keys, .D = c->D, .M = c->D, .scale = scale, .out_row = E,
                           .out = c->out + (b->entry * c->T + b->first) * E + head * c->D,
                           .lse = c->lse ? c->lse + (b->entry * c->H + head) * c->T + b->first : NULL };
    b->dense.q = biased(c, b, c->u, w->qu, &b->dense.q_row);
    gather(c, w, b);
    b->relative = (sq_relative){ .D = c->D, .origin = b->origin, .window = c->a.window ? c->a.window : INT64_MAX / 2, .scale = scale,
                                 .r = c->r ? c->r + head * c->D : NULL, .r_row = E, .places = c->P, .kernels = sq__kernels(), .scratch = w->relative };
    if (c->r) b->relative.p = biased(c, b, c->v, w->qv, &b->relative.p_row);
}

int sq__relative_threads(const sq_relative_call *c)
{
    return c->blocks * c->most * c->H * c->D < SQ_ELEMENTS ? 1 : sq__threads();
}
