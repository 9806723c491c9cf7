/* relative_attention: the operation's row, and its forward. */
#include <math.h>

#include "autograd/relative_block.h"

/* Every span within q and kv, every visible distance within r. */
static sq_status check_spans(const sq_node *node, sq_error *error)
{
    const sq_relative_attributes *a = node->attributes;
    const sq_var *q = node->inputs[RELATIVE_Q], *kv = node->inputs[RELATIVE_KV], *r = node->inputs[RELATIVE_R];
    for (int64_t s = 0; s < a->span_count; s++) {
        const sq_relative_span *span = &a->spans[s];
        bool fits = span->entry >= 0 && span->entry < q->shape[0] && span->first >= 0 && span->count >= 0 && span->count <= q->shape[1] - span->first;
        for (int i = 0; i < 2; i++)
            fits &= span->keys[i] >= 0 && (!span->keys[i] || (span->from[i] >= 0 && span->from[i] <= kv->shape[1] - span->keys[i]));
        if (!fits) return sq__fail(error, SQ_INTERNAL, "span %lld lies outside of the queries or the keys", (long long)s);
        const int64_t farthest = span->origin + span->count;   /* one more than the largest distance */
        if (r && (a->window && a->window < farthest ? a->window : farthest) > r->shape[0])
            return sq__fail(error, SQ_INTERNAL, "span %lld looks back farther than %lld positions", (long long)s, (long long)r->shape[0]);
    }
    return SQ_OK;
}

static sq_status relative_attention_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    sq_var *const *in = node->inputs;
    const sq_relative_attributes *a = node->attributes;
    const sq_var *q = in[RELATIVE_Q], *kv = in[RELATIVE_KV];
    char text[64];
    if (q->rank != 3 || !q->count || a->heads < 1 || q->shape[2] % a->heads)
        return sq__fail(error, SQ_INVALID, "the queries are %s; expected [B, T, H*D] of %lld heads", sq__shape_text(q, text), (long long)a->heads);
    const int64_t E = q->shape[2];
    if (!kv || kv->rank != 3 || kv->shape[0] != q->shape[0] || kv->shape[2] != 2 * E)
        return sq__fail(error, SQ_INVALID, "keys and values are %s; expected [%lld, N, %lld]", kv ? sq__shape_text(kv, text) : "absent",
                        (long long)q->shape[0], (long long)(2 * E));
    if (in[RELATIVE_R] && (in[RELATIVE_R]->rank != 2 || in[RELATIVE_R]->shape[1] != E))
        return sq__fail(error, SQ_INVALID, "the positions are %s; expected [P, %lld]", sq__shape_text(in[RELATIVE_R], text), (long long)E);
    for (int i = RELATIVE_U; i <= RELATIVE_V; i++)
        if (in[i] && in[i]->count != E)
            return sq__fail(error, SQ_INVALID, "a bias is %s; expected %lld numbers", sq__shape_text(in[i], text), (long long)E);
    SQ_TRY(check_spans(node, error));
    return sq__same_shape(node, shapes, error);
}

static void forward_item(void *context, int64_t item, int thread)
{
    const sq_relative_call *c = context;
    sq_relative_worker w;
    sq_relative_block b;
    sq__relative_cut(c, c->scratch + (size_t)thread * c->per_thread, &w);
    sq__relative_block(c, &w, item / c->H, item % c->H, &b);
    const sq_dense_scores scores = sq__relative_scores(&b.relative);
    b.dense.scores = c->r || c->a.window ? &scores : NULL;
    if (b.keys) {
        sq__dense_forward(&b.dense, sq__kernels(), w.dense);
        return;
    }
    for (int64_t i = 0; i < b.count; i++) {
        memset(b.dense.out + i * b.dense.out_row, 0, (size_t)c->D * sizeof(float));
        if (b.dense.lse) b.dense.lse[i] = -INFINITY;
    }
}

static void relative_attention_forward(sq_tape *tape, sq_node *node)
{
    sq_relative_call c = sq__relative_call(node, SQ_FORWARD);
    int64_t queries = 0;
    for (int64_t s = 0; s < c.a.span_count; s++) queries += c.a.spans[s].count;
    if (queries < c.B * c.T) memset(c.out, 0, (size_t)node->outputs[0]->count * sizeof(float));
    if (node->recorded) {
        if (!sq__save(tape, node, 0, (size_t)(c.B * c.H * c.T) * sizeof(float))) return;
        c.lse = sq__floats(node->saved[0]);
    }
    sq_buffer *scratch = sq__scratch(tape, (size_t)sq__threads() * c.per_thread);
    if (!scratch) return;
    c.scratch = sq__buffer_data(scratch);
    sq__parallel(sq__relative_threads(&c), c.blocks * c.H, forward_item, &c);
    sq__pool_release(tape->pool, scratch);
}

const sq_op sq__op_relative_attention = { "relative_attention", SQ_READS_INPUT(RELATIVE_Q) | SQ_READS_INPUT(RELATIVE_KV) | SQ_READS_INPUT(RELATIVE_R) |
                                          SQ_READS_INPUT(RELATIVE_U) | SQ_READS_INPUT(RELATIVE_V) | SQ_READS_OUTPUT, false,
                                          relative_attention_shape, relative_attention_forward, sq__relative_backward };

sq_var *sq__relative_attention(sq_tape *tape, const sq_relative_inputs *in)
{
    const sq_relative_attributes a = { in->heads, in->window, in->span_count, in->spans };
    return sq__apply1(tape, &sq__op_relative_attention, (sq_var *[]){ in->q, in->kv, in->r, in->u, in->v }, RELATIVE_INPUTS, &a, sizeof a);
}
