#include "autograd/mean_scan.h"

#include "attention/engine/gated.h"
#include "autograd/ops.h"

enum { Q, K, V, INPUTS, SAVED_ENGINE = 0, SAVED_SEEN = 1 };

static sq_status scan_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *q = node->inputs[Q], *k = node->inputs[K], *v = node->inputs[V];
    const sq_mean_scan *a = node->attributes;
    char text[64];
    if (!q || q->rank != 3 || !q->count || a->heads < 1 || sq__last(q) % a->heads)
        return sq__fail(error, SQ_INVALID, "the queries are %s; expected [B, T, heads * D]", q ? sq__shape_text(q, text) : "absent");
    if (!k || !v) return sq__fail(error, SQ_INVALID, "keys or values are absent");
    SQ_TRY(sq__want_shape(k, "the keys", 3, q->shape, error));
    if (v->rank != 3 || v->shape[0] != q->shape[0] || v->shape[1] != q->shape[1] || !v->count || sq__last(v) % a->heads)
        return sq__fail(error, SQ_INVALID, "the values are %s; expected [B, T, heads * M]", sq__shape_text(v, text));
    shapes[0] = (sq_shape){ 3, { v->shape[0], v->shape[1], v->shape[2] } };
    return SQ_OK;
}

static sq_gated_rows rows_of(const float *data, const sq_var *like, int64_t heads)
{
    return (sq_gated_rows){ sq_view_bthd(data, like->shape[1], heads, sq__last(like) / heads), heads };
}

static sq_gated scan_of(const sq_node *node)
{
    const sq_mean_scan *a = node->attributes;
    const sq_var *q = node->inputs[Q], *v = node->inputs[V];
    return (sq_gated){
        .rule = { .D = sq__last(q) / a->heads, .M = sq__last(v) / a->heads, .scale = a->scale }, .kernels = sq__kernels(), .threads = sq__threads(),
        .B = q->shape[0], .H = a->heads, .T = q->shape[1], .N = q->shape[1], .q = rows_of(q->value, q, a->heads), .k = rows_of(node->inputs[K]->value, q, a->heads),
        .v = rows_of(v->value, v, a->heads), .gate.heads = a->heads, .strength.heads = a->heads, .lengths = a->lengths, .query_lengths = a->lengths,
    };
}

typedef struct division { float *y; const float *x; const int64_t *seen; int64_t T, width; } division;

/* y = x / n_t; y may be x */
static void divide_rows(void *context, int64_t from, int64_t to)
{
    const division *d = context;
    for (int64_t row = from; row < to; row++) {
        const float share = 1 / (float)((d->seen ? d->seen[row / d->T] : 0) + row % d->T + 1);
        const float *x = d->x + row * d->width;
        float *y = d->y + row * d->width;
        for (int64_t i = 0; i < d->width; i++) y[i] = share * x[i];
    }
}

static void divide(const sq_node *node, float *y, const float *x, const int64_t *seen)
{
    const sq_var *out = node->outputs[0];
    division d = { y, x, seen, out->shape[1], sq__last(out) };
    sq__for_range(sq__rows(out), SQ_ROWS, divide_rows, &d);
}

static void scan_forward(sq_tape *tape, sq_node *node)
{
    const sq_mean_scan *a = node->attributes;
    sq_gated g = scan_of(node);
    float *out = node->outputs[0]->value;
    if (node->recorded && !sq__save(tape, node, SAVED_ENGINE, sq__gated_saved_bytes(&g))) return;
    if (node->recorded && a->seen) {   /* the caller counts on */
        if (!sq__save(tape, node, SAVED_SEEN, (size_t)g.B * sizeof *a->seen)) return;
        memcpy(sq__buffer_data(node->saved[SAVED_SEEN]), a->seen, (size_t)g.B * sizeof *a->seen);
    }
    sq_buffer *workspace = sq__scratch(tape, sq__gated_workspace_bytes(&g, SQ_FORWARD));
    if (!workspace) return;
    g.out = sq_view_bthd(out, g.T, g.H, g.rule.M);
    g.before = g.after = a->state;
    g.saved = node->saved[SAVED_ENGINE] ? sq__buffer_data(node->saved[SAVED_ENGINE]) : NULL;
    g.workspace = sq__buffer_data(workspace);
    sq__gated_forward(&g);
    sq__pool_release(tape->pool, workspace);
    divide(node, out, out, a->seen);
}

static void scan_vjp(sq_tape *tape, sq_node *node)
{
    const sq_mean_scan *a = node->attributes;
    const sq_var *out = node->outputs[0];
    sq_gated g = scan_of(node);
    sq_buffer *workspace = sq__scratch(tape, sq__gated_workspace_bytes(&g, SQ_BACKWARD)), *dout = sq__scratch(tape, (size_t)out->count * sizeof(float));
    sq_buffer *d[INPUTS];
    for (int i = 0; i < INPUTS; i++) d[i] = sq__scratch(tape, (size_t)node->inputs[i]->count * sizeof(float));
    if (tape->status != SQ_OK) return;
    divide(node, sq__floats(dout), out->gradient, node->saved[SAVED_SEEN] ? sq__buffer_data(node->saved[SAVED_SEEN]) : NULL);
    g.out = sq_view_bthd(out->value, g.T, g.H, g.rule.M);
    g.saved = sq__buffer_data(node->saved[SAVED_ENGINE]);
    g.workspace = sq__buffer_data(workspace);
    sq__gated_backward(&g, &(sq_gated_gradients){ .dout = sq_view_bthd(sq__floats(dout), g.T, g.H, g.rule.M),
        .dq = rows_of(sq__floats(d[Q]), node->inputs[Q], a->heads), .dk = rows_of(sq__floats(d[K]), node->inputs[K], a->heads),
        .dv = rows_of(sq__floats(d[V]), node->inputs[V], a->heads), .dgate.heads = a->heads, .dstrength.heads = a->heads });
    sq__pool_release(tape->pool, workspace);
    sq__pool_release(tape->pool, dout);
    for (int i = 0; i < INPUTS; i++) sq__gradient_give(tape, node->inputs[i], d[i]);
}

const sq_op sq__op_mean_scan = { "mean_scan", SQ_READS_INPUT(Q) | SQ_READS_INPUT(K) | SQ_READS_INPUT(V), false, scan_shape, scan_forward, scan_vjp };

sq_var *sq__mean_scan(sq_tape *tape, sq_var *q, sq_var *k, sq_var *v, const sq_mean_scan *scan)
{
    return sq__apply1(tape, &sq__op_mean_scan, (sq_var *[]){ q, k, v }, INPUTS, scan, sizeof *scan);
}
