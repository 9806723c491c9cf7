/* Backward of relative_attention. Blocks of one head and batch entry share keys, so a worker takes a head of some entries and goes through
 * their blocks in order. Gradients of the table and of the biases are summed over entries: in groups, whose number depends on sizes alone,
 * then over groups in order. */
#include "autograd/relative_block.h"

enum { LEAST_ITEMS = 8 };              /* heads times groups: what several threads can share */

static void add_columns(float *to, const float *rows, int64_t count, int64_t D)
{
    for (int64_t i = 0; i < count; i++) sq__kernels()->axpy(to, 1, rows + i * D, D);
}

static void block_backward(const sq_relative_call *c, const sq_relative_worker *w, sq_relative_block *b, float *sums)
{
    const sq_kernels *kernels = sq__kernels();
    const int64_t E = c->H * c->D, D = c->D;
    const bool direct = b->dk != w->dk;
    const sq_dense_scores scores = sq__relative_scores(&b->relative);
    b->dense.scores = c->r || c->a.window ? &scores : NULL;
    b->relative.dp = w->dqv;
    b->relative.dp_row = D;
    b->relative.dr = sums;
    b->relative.dr_row = E;
    memset(w->dqv, 0, (size_t)(b->count * D) * sizeof(float));
    const sq_dense_gradients gradients = { .dout = c->dout + (b->entry * c->T + b->first) * E + b->head * D, .dout_row = E, .dq = w->dqu, .dq_row = D,
                                           .dk = b->dk, .dv = b->dv, .dk_row = b->dkv_row, .dv_row = b->dkv_row, .accumulate_kv = direct };
    sq__dense_backward(&b->dense, &gradients, kernels, w->dense);
    for (int64_t j = 0; c->dkv && !direct && j < b->keys; j++) {
        float *to = c->dkv + (b->entry * c->N + sq__relative_row(b, j)) * 2 * E + b->head * D;
        kernels->axpy(to, 1, b->dk + j * D, D);
        kernels->axpy(to + E, 1, b->dv + j * D, D);
    }
    for (int64_t i = 0; c->dq && i < b->count; i++) {
        float *to = c->dq + (b->entry * c->T + b->first + i) * E + b->head * D;
        kernels->axpy(to, 1, w->dqu + i * D, D);
        kernels->axpy(to, 1, w->dqv + i * D, D);
    }
    add_columns(sums + c->P * E, w->dqu, b->count, D);
    add_columns(sums + (c->P + 1) * E, w->dqv, b->count, D);
}

static void backward_item(void *context, int64_t item, int thread)
{
    const sq_relative_call *c = context;
    const int64_t group = item / c->H, head = item % c->H, E = c->H * c->D;
    sq_relative_worker w;
    sq_relative_block b;
    float *sums = c->sums + group * (c->P + 2) * E + head * c->D;
    sq__relative_cut(c, c->scratch + (size_t)thread * c->per_thread, &w);
    for (int64_t i = 0; i < c->P + 2; i++) memset(sums + i * E, 0, (size_t)c->D * sizeof(float));
    int64_t index = 0;
    for (int64_t s = 0; s < c->a.span_count; s++) {
        const sq_relative_span *span = &c->a.spans[s];
        const int64_t end = index + (span->count + RELATIVE_BLOCK - 1) / RELATIVE_BLOCK;
        const bool own = span->entry * c->groups / c->B == group;
        for (; index < end; index++) {
            if (!own) continue;
            sq__relative_block(c, &w, index, head, &b);
            if (b.keys) block_backward(c, &w, &b, sums);
        }
    }
}

/* rows of every group's sums, in order, into the gradient of an input. */
static void add_sums(sq_tape *tape, const sq_relative_call *c, sq_var *input, int64_t first, int64_t rows)
{
    const int64_t E = c->H * c->D;
    float *to = sq__gradient_added(tape, input);
    for (int64_t g = 0; to && g < c->groups; g++) sq__kernels()->axpy(to, 1, c->sums + (g * (c->P + 2) + first) * E, rows * E);
}

void sq__relative_backward(sq_tape *tape, sq_node *node)
{
    sq_var *const *in = node->inputs;
    sq_relative_call c = sq__relative_call(node, SQ_BACKWARD);
    c.lse = sq__floats(node->saved[0]);
    c.dout = node->outputs[0]->gradient;
    c.groups = sq__least(c.B, (LEAST_ITEMS + c.H - 1) / c.H);
    c.dq = sq__gradient_added(tape, in[RELATIVE_Q]);
    c.dkv = sq__gradient_added(tape, in[RELATIVE_KV]);
    const size_t scratch = (size_t)sq__threads() * c.per_thread, sums = (size_t)(c.groups * (c.P + 2) * c.H * c.D) * sizeof(float);
    sq_buffer *buffer = sq__scratch(tape, scratch + sums);
    if (!buffer) return;
    c.scratch = sq__buffer_data(buffer);
    c.sums = (float *)(void *)(c.scratch + scratch);
    sq__parallel(sq__relative_threads(&c), c.groups * c.H, backward_item, &c);
    if (in[RELATIVE_R]) add_sums(tape, &c, in[RELATIVE_R], 0, c.P);
    if (in[RELATIVE_U]) add_sums(tape, &c, in[RELATIVE_U], c.P, 1);
    if (in[RELATIVE_V]) add_sums(tape, &c, in[RELATIVE_V], c.P + 1, 1);
    sq__pool_release(tape->pool, buffer);
}
