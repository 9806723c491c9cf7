/* feed_forward: y = residual + dropout(act(x W1' + b1) W2' + b2) in blocks of rows: the hidden block stays in the cache.
 * Kept for the way back: the hidden rows before the activation, [rows, hidden]; or, in chunks (arXiv:2001.04451), nothing. */
#include "autograd/activation.h"
#include "autograd/groups.h"
#include "autograd/ops.h"

enum { X, W1, B1, W2, B2, RESIDUAL, INPUTS };
enum { SAVED_KEEP, SAVED_HIDDEN };

typedef struct attributes { int activation; float p; int64_t chunk; } attributes;

typedef struct layers {
    int64_t rows, in, hidden, out;
    attributes a;
    float factor;
    const float *x, *w1, *b1, *w2, *b2, *residual, *dy, *packed1, *packed2;   /* packed: transposed, [in, hidden] and [hidden, out] */
    const uint8_t *keep;
    float *before, *y, *dx, beta;      /* before [rows, hidden], or NULL: computed block by block */
} layers;

static sq_status feed_forward_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    sq_var *const *in = node->inputs;
    const attributes *a = node->attributes;
    char text[64], other[64];
    SQ_TRY(sq__want_rank(in[X], "the input", 1, error));
    if (in[W1]->rank != 2 || in[W2]->rank != 2 || in[W1]->shape[1] != sq__last(in[X]) || in[W2]->shape[1] != in[W1]->shape[0] ||
        !in[W1]->count || !in[W2]->count)
        return sq__fail(error, SQ_INVALID, "the weights are %s and %s; expected [hidden, %lld] and [out, hidden]", sq__shape_text(in[W1], text),
                        sq__shape_text(in[W2], other), (long long)sq__last(in[X]));
    SQ_TRY(sq__same_shape(node, shapes, error));
    shapes->at[in[X]->rank - 1] = in[W2]->shape[0];
    if (in[B1]) SQ_TRY(sq__want_shape(in[B1], "the first bias", 1, in[W1]->shape, error));
    if (in[B2]) SQ_TRY(sq__want_shape(in[B2], "the second bias", 1, in[W2]->shape, error));
    if (in[RESIDUAL]) SQ_TRY(sq__want_shape(in[RESIDUAL], "the residual", shapes->rank, shapes->at, error));
    if (a->chunk < 0) return sq__fail(error, SQ_INVALID, "the chunk is %lld; expected at least 0", (long long)a->chunk);
    return sq__want_probability(a->p, error);
}

static const float *value_of(const sq_var *var) { return var ? var->value : NULL; }

static layers layers_of(const sq_node *node)
{
    sq_var *const *in = node->inputs;
    layers c = {
        .rows = sq__rows(in[X]),
        .in = sq__last(in[X]),
        .hidden = in[W1]->shape[0],
        .out = in[W2]->shape[0],
        .a = *(const attributes *)node->attributes,
        .x = in[X]->value,
        .w1 = in[W1]->value,
        .b1 = value_of(in[B1]),
        .w2 = in[W2]->value,
    };
    c.factor = 1 / (1 - c.a.p);
    if (node->saved[SAVED_KEEP]) c.keep = sq__buffer_data(node->saved[SAVED_KEEP]);
    if (node->saved[SAVED_HIDDEN]) c.before = sq__floats(node->saved[SAVED_HIDDEN]);
    return c;
}

/* Transposed weights, for products with rows: both, or the first alone. */
static sq_buffer *pack(sq_tape *tape, layers *c, bool both)
{
    sq_buffer *packed = sq__scratch(tape, (size_t)(c->hidden * (c->in + (both ? c->out : 0))) * sizeof(float));
    if (!packed) return NULL;
    float *first = sq__floats(packed), *second = first + c->hidden * c->in;
    sq__kernels()->transpose(first, c->hidden, c->w1, c->in, c->hidden, c->in);
    if (both) sq__kernels()->transpose(second, c->out, c->w2, c->hidden, c->out, c->hidden);
    c->packed1 = first;
    c->packed2 = second;
    return packed;
}

/* Hidden rows before the activation and after it (NULL: not wanted; or the same memory). */
static void enter(const layers *c, int64_t from, int64_t rows, float *before, float *after)
{
    sq__gemm(false, false, rows, c->hidden, c->in, 1, c->x + from * c->in, c->in, c->packed1, c->hidden, 0, before, c->hidden);
    for (int64_t i = 0; i < rows; i++) {
        if (c->b1) sq__kernels()->axpy(before + i * c->hidden, 1.0f, c->b1, c->hidden);
        if (after) sq__activation_forward((sq_activation)c->a.activation, after + i * c->hidden, before + i * c->hidden, c->hidden);
    }
}

static int64_t block_of(const layers *c) { return c->a.chunk ? sq__least(c->a.chunk, SQ_ROWS) : SQ_ROWS; }

static void forward_block(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    (void)sums;
    const layers *c = context;
    const sq_kernels *kernels = sq__kernels();
    int64_t rows = to - from;
    float *before = c->before ? c->before + from * c->hidden : scratch, *after = scratch, *y = c->y + from * c->out;
    enter(c, from, rows, before, after);
    sq__gemm(false, false, rows, c->out, c->hidden, 1, after, c->hidden, c->packed2, c->out, 0, y, c->out);
    for (int64_t row = from; row < to; row++, y += c->out) {
        if (c->b2) kernels->axpy(y, 1.0f, c->b2, c->out);
        if (c->keep) sq__masked(y, y, c->keep + row * c->out, c->factor, c->out);
        if (c->residual) kernels->axpy(y, 1.0f, c->residual + row * c->out, c->out);
    }
}

static void feed_forward_forward(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    const sq_var *y = node->outputs[0];
    int64_t hidden = node->inputs[W1]->shape[0];
    if (a->p > 0 && !sq__draw_keep(tape, node, SAVED_KEEP, y->count, a->p)) return;
    if (node->recorded && !a->chunk && !sq__save(tape, node, SAVED_HIDDEN, (size_t)(sq__rows(y) * hidden) * sizeof(float))) return;
    layers c = layers_of(node);
    sq_buffer *packed = pack(tape, &c, true);
    if (!packed) return;
    c.y = y->value;
    c.b2 = value_of(node->inputs[B2]);
    c.residual = value_of(node->inputs[RESIDUAL]);
    const int64_t block = block_of(&c);
    sq__run_rows(tape, &(sq_row_work){ .rows = c.rows, .scratch = block * c.hidden, .block = block, .run = forward_block, .context = &c });
    sq__pool_release(tape->pool, packed);
}

/* sums: dW1, db1, dW2, db2. h = before, a = act(h):
 *   dW2 += dy' a   da = dy W2   dh = da act'(h)   dW1 += dh' x   dx = dh W1 */
static void backward_block(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    const layers *c = context;
    const sq_kernels *kernels = sq__kernels();
    const int64_t rows = to - from, size = rows * c->hidden, room = block_of(c) * c->hidden;
    const float *dy = c->dy + from * c->out, *before = c->before ? c->before + from * c->hidden : scratch, *x = c->x + from * c->in;
    float *after = scratch + (c->before ? 0 : room), *dh = after + room, *masked = dh + room;
    if (!c->before) enter(c, from, rows, scratch, NULL);
    if (c->keep) {
        sq__masked(masked, dy, c->keep + from * c->out, c->factor, rows * c->out);
        dy = masked;
    }
    if (sums[2]) {
        sq__activation_forward((sq_activation)c->a.activation, after, before, size);
        sq__gemm(true, false, c->out, c->hidden, rows, 1, dy, c->out, after, c->hidden, 1, sums[2], c->hidden);
    }
    sq__gemm(false, false, rows, c->hidden, c->out, 1, dy, c->out, c->w2, c->hidden, 0, dh, c->hidden);
    sq__activation_backward((sq_activation)c->a.activation, dh, dh, before, size);
    if (sums[0]) sq__gemm(true, false, c->hidden, c->in, rows, 1, dh, c->hidden, x, c->in, 1, sums[0], c->in);
    for (int64_t i = 0; i < rows; i++) {
        if (sums[1]) kernels->axpy(sums[1], 1.0f, dh + i * c->hidden, c->hidden);
        if (sums[3]) kernels->axpy(sums[3], 1.0f, dy + i * c->out, c->out);
    }
    if (c->dx) sq__gemm(false, false, rows, c->in, c->hidden, 1, dh, c->hidden, c->w1, c->in, c->beta, c->dx + from * c->in, c->in);
}

static void feed_forward_vjp(sq_tape *tape, sq_node *node)
{
    layers c = layers_of(node);
    c.dy = node->outputs[0]->gradient;
    c.dx = sq__gradient(tape, node->inputs[X], &c.beta);
    const int64_t block = block_of(&c);
    sq_row_work work = { .rows = c.rows, .scratch = block * ((c.before ? 2 : 3) * c.hidden + c.out), .block = block, .run = backward_block, .context = &c,
                         .lengths = { c.hidden * c.in, c.hidden, c.out * c.hidden, c.out } };
    for (int i = 0; i < 4; i++) work.sums[i] = sq__gradient_added(tape, node->inputs[W1 + i]);
    sq_buffer *packed = c.before ? NULL : pack(tape, &c, false);
    if (tape->status != SQ_OK) return;
    sq__run_rows(tape, &work);
    sq__pool_release(tape->pool, packed);
    if (node->inputs[RESIDUAL]) sq__gradient_pass(tape, node, node->inputs[RESIDUAL]);
}

const sq_op sq__op_feed_forward = { "feed_forward", SQ_READS_INPUT(X) | SQ_READS_INPUT(W1) | SQ_READS_INPUT(B1) | SQ_READS_INPUT(W2), false,
                                    feed_forward_shape, feed_forward_forward, feed_forward_vjp };

sq_var *sq__feed_forward(sq_tape *tape, const sq_feed_forward_inputs *inputs, sq_activation activation, float dropout)
{
    attributes a = { (int)activation, tape->training ? dropout : 0, inputs->chunk };
    sq_var *in[INPUTS] = { inputs->x, inputs->w1, inputs->b1, inputs->w2, inputs->b2, inputs->residual };
    return sq__apply1(tape, &sq__op_feed_forward, in, INPUTS, &a, sizeof a);
}
