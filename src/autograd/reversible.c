/* reversible: a whole stack of reversible residual layers as one operation, whose output is all that is kept. */
#include "autograd/nested.h"
#include "autograd/ops.h"

/* places: where each part's rehearsal began */
typedef struct attributes { const sq_part *parts; int count; uint64_t *places; } attributes;

/* Two contiguous streams of the rows. */
typedef struct streams { sq_buffer *buffer[2]; float *of[2]; } streams;

static sq_status reversible_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    sq_var *const *in = node->inputs;
    SQ_TRY(sq__want_rank(in[0], "the first stream", 1, error));
    if (!in[1]) return sq__fail(error, SQ_INVALID, "the second stream is absent");
    SQ_TRY(sq__want_shape(in[1], "the second stream", in[0]->rank, in[0]->shape, error));
    SQ_TRY(sq__same_shape(node, shapes, error));
    shapes[0].at[shapes[0].rank - 1] *= 2;
    shapes[1] = (sq_shape){ 1, { 1 } };
    return SQ_OK;
}

static bool take(sq_tape *tape, streams *s, int64_t count)
{
    for (int i = 0; i < 2; i++) {
        s->buffer[i] = sq__scratch(tape, (size_t)count * sizeof(float));
        s->of[i] = s->buffer[i] ? sq__floats(s->buffer[i]) : NULL;
    }
    return s->of[0] && s->of[1];
}

static void release(sq_tape *tape, const streams *s)
{
    for (int i = 0; i < 2; i++) sq__pool_release(tape->pool, s->buffer[i]);
}

typedef struct copy { float *packed; const streams *streams; int64_t width; bool pack; } copy;

static void copy_rows(void *context, int64_t from, int64_t to)
{
    const copy *c = context;
    for (int64_t row = from; row < to; row++)
        for (int i = 0; i < 2; i++) {
            float *one = c->streams->of[i] + row * c->width, *both = c->packed + (2 * row + i) * c->width;
            memcpy(c->pack ? both : one, c->pack ? one : both, (size_t)c->width * sizeof(float));
        }
}

static void pack(const sq_node *node, float *packed, const streams *s, bool into)
{
    const sq_var *x = node->inputs[0];
    sq__for_range(sq__rows(x), SQ_ROWS, copy_rows, &(copy){ packed, s, sq__last(x), into });
}

typedef struct sum { float *y; const float *x; float factor; } sum;

static void add_range(void *context, int64_t from, int64_t to)
{
    const sum *s = context;
    sq__kernels()->axpy(s->y + from, s->factor, s->x + from, to - from);
}

static void add(float *y, float factor, const float *x, int64_t count)
{
    sq__for_range(count, SQ_ELEMENTS, add_range, &(sum){ y, x, factor });
}

/* Part i on the stream it reads, as an input of its own. */
static sq_var *run_part(sq_tape *tape, const sq_node *node, const streams *s, int i, sq_var **x, sq_var **auxiliary)
{
    const attributes *a = node->attributes;
    const sq_var *like = node->inputs[0];
    *auxiliary = NULL;
    *x = sq__tape_input(tape, like->rank, like->shape, s->of[!(i & 1)], true);
    sq_var *y = a->parts[i].run(a->parts[i].context, tape, *x, node->output_count > 1 ? auxiliary : NULL);
    sq_error error;
    if (y && y->count != like->count) {
        sq__fail(&error, SQ_INTERNAL, "reversible: part %d gives rows of another shape", i);
        sq__tape_fail(tape, &error);
    }
    return tape->status == SQ_OK ? y : NULL;
}

static void reversible_forward(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    const int64_t count = node->inputs[0]->count;
    streams s;
    float total = 0;
    if (!take(tape, &s, count)) return;
    for (int i = 0; i < 2; i++) memcpy(s.of[i], node->inputs[i]->value, (size_t)count * sizeof(float));
    for (int i = 0; i < a->count && tape->status == SQ_OK; i++) {
        sq_var *x, *auxiliary;
        a->places[i] = tape->places;
        const sq_nested outer = sq__rehearsal_begin(tape, node);
        const sq_var *y = run_part(tape, node, &s, i, &x, &auxiliary);
        if (y) add(s.of[i & 1], 1, y->value, count);
        if (y && auxiliary) total += auxiliary->value[0];
        sq__nested_end(tape, &outer);
    }
    pack(node, node->outputs[0]->value, &s, true);
    if (node->output_count > 1) node->outputs[1]->value[0] = total;
    release(tape, &s);
}

/* The gradients of both streams; the packed one goes. */
static bool unpack_gradient(sq_tape *tape, const sq_node *node, streams *d)
{
    sq_variable *out = sq__behind(node->outputs[0]);
    if (!take(tape, d, node->inputs[0]->count)) return false;
    if (!out->gradient) {
        for (int i = 0; i < 2; i++) memset(d->of[i], 0, (size_t)node->inputs[0]->count * sizeof(float));
        return true;
    }
    pack(node, out->var.gradient, d, false);
    sq__pool_release(tape->pool, out->gradient);
    out->gradient = NULL;
    out->var.gradient = NULL;
    return true;
}

/* From the last part to the first: the stream it wrote becomes what it was, the gradient of the stream it read is added to. */
static void reversible_vjp(sq_tape *tape, sq_node *node)
{
    const attributes *a = node->attributes;
    const float weight = node->output_count > 1 && node->outputs[1]->gradient ? node->outputs[1]->gradient[0] : 0;
    const int64_t count = node->inputs[0]->count;
    streams s, d;
    if (!unpack_gradient(tape, node, &d) || !take(tape, &s, count)) return;
    pack(node, node->outputs[0]->value, &s, false);
    for (int i = a->count; i-- > 0 && tape->status == SQ_OK;) {
        sq_var *x, *auxiliary;
        const sq_nested outer = sq__replay_begin(tape, a->places[i]);
        sq_var *y = run_part(tape, node, &s, i, &x, &auxiliary);
        if (y) add(s.of[i & 1], -1, y->value, count);
        sq__replay_back(tape, y, d.buffer[i & 1], auxiliary, weight);
        if (y && x->gradient) add(d.of[!(i & 1)], 1, x->gradient, count);
        sq__nested_end(tape, &outer);
    }
    release(tape, &s);
    for (int i = 0; i < 2; i++) sq__gradient_give(tape, node->inputs[i], d.buffer[i]);
}

const sq_op sq__op_reversible = { "reversible", SQ_READS_OUTPUT | SQ_READS_PARAMETERS, false, reversible_shape, reversible_forward, reversible_vjp };

sq_var *sq__reversible(sq_tape *tape, const sq_part *parts, int pairs, sq_var *x1, sq_var *x2, sq_var **auxiliary)
{
    const attributes a = { parts, 2 * pairs, sq__tape_memory(tape, (size_t)(2 * pairs) * sizeof *a.places) };
    sq_node *node = sq__apply(tape, &sq__op_reversible, (sq_var *[]){ x1, x2 }, 2, &a, sizeof a, auxiliary ? 2 : 1);
    if (auxiliary && node) *auxiliary = *auxiliary ? sq__add(tape, *auxiliary, node->outputs[1]) : node->outputs[1];
    return node ? node->outputs[0] : NULL;
}
