/* Where gradients go, messages, and loops that operations share. */
#include "autograd/node.h"

float *sq__gradient(sq_tape *tape, sq_var *input, float *beta)
{
    *beta = 0;
    if (!sq__wants(input) || tape->status != SQ_OK) return NULL;
    sq_variable *v = sq__behind(input);
    *beta = v->var.gradient ? 1 : 0;
    if (v->parameter || (v->gradient && sq__buffer_references(v->gradient) == 1)) return v->var.gradient;
    sq_buffer *own = sq__scratch(tape, (size_t)input->count * sizeof(float));
    if (!own) return NULL;
    if (v->gradient) {   /* shared with another variable: add to a copy */
        memcpy(sq__floats(own), v->var.gradient, (size_t)input->count * sizeof(float));
        sq__pool_release(tape->pool, v->gradient);
    }
    v->gradient = own;
    v->var.gradient = sq__floats(own);
    return v->var.gradient;
}

float *sq__gradient_added(sq_tape *tape, sq_var *input)
{
    float beta, *gradient = sq__gradient(tape, input, &beta);
    if (gradient && beta == 0) memset(gradient, 0, (size_t)input->count * sizeof(float));
    return gradient;
}

typedef struct addition { float *y; const float *x; } addition;

static void add_range(void *context, int64_t from, int64_t to)
{
    const addition *a = context;
    sq__kernels()->axpy(a->y + from, 1.0f, a->x + from, to - from);
}

void sq__gradient_give(sq_tape *tape, sq_var *input, sq_buffer *buffer)
{
    if (!sq__wants(input) || tape->status != SQ_OK) {
        sq__pool_release(tape->pool, buffer);
        return;
    }
    sq_variable *v = sq__behind(input);
    if (!v->var.gradient) {
        v->gradient = buffer;
        v->var.gradient = sq__floats(buffer);
        return;
    }
    float beta, *gradient = sq__gradient(tape, input, &beta);
    if (gradient) sq__for_range(input->count, SQ_ELEMENTS, add_range, &(addition){ gradient, sq__floats(buffer) });
    sq__pool_release(tape->pool, buffer);
}

void sq__gradient_pass(sq_tape *tape, sq_node *node, sq_var *input)
{
    sq_variable *out = sq__behind(node->outputs[0]);
    if (sq__wants(input)) sq__gradient_give(tape, input, sq__buffer_share(out->gradient));
}

typedef struct range { int64_t count, piece; sq_range_fn run; void *context; } range;

static void run_piece(void *context, int64_t item, int thread)
{
    (void)thread;
    const range *r = context;
    r->run(r->context, item * r->piece, sq__least(r->count, (item + 1) * r->piece));
}

void sq__for_range(int64_t count, int64_t piece, sq_range_fn run, void *context)
{
    range r = { count, piece, run, context };
    const int64_t pieces = (count + piece - 1) / piece;
    sq__parallel(pieces < SQ_LEAST_PIECES ? 1 : sq__threads(), pieces, run_piece, &r);
}

typedef struct row_sum { float *out; const float *x; int64_t rows, ld; } row_sum;

static void add_columns(void *context, int64_t from, int64_t to)
{
    const row_sum *s = context;
    const sq_kernels *kernels = sq__kernels();
    for (int64_t i = 0; i < s->rows; i++) kernels->axpy(s->out + from, 1.0f, s->x + i * s->ld + from, to - from);
}

void sq__add_rows(float *out, const float *x, int64_t rows, int64_t columns, int64_t ld)
{
    sq__for_range(columns, 64, add_columns, &(row_sum){ out, x, rows, ld });
}

bool sq__aim(sq_tape *tape, sq_var *input, sq_target *t)
{
    float beta;
    *t = (sq_target){ NULL, NULL };
    if (!input) return true;
    if (sq__wants(input) && !input->gradient) {
        t->data = sq__gradient(tape, input, &beta);
    } else {
        t->buffer = sq__scratch(tape, (size_t)input->count * sizeof(float));
        t->data = t->buffer ? sq__floats(t->buffer) : NULL;
    }
    return t->data != NULL;
}

void sq__hit(sq_tape *tape, sq_var *input, sq_target *t)
{
    if (t->buffer) sq__gradient_give(tape, input, t->buffer);
    t->buffer = NULL;
}

typedef struct draws { sq_random random; uint8_t *keep; float p; } draws;

static void draw_range(void *context, int64_t from, int64_t to)
{
    const draws *d = context;
    sq__random_keep_fill(&d->random, (uint64_t)from, d->keep + from, to - from, d->p);
}

bool sq__draw_keep(sq_tape *tape, sq_node *node, int slot, int64_t count, float p)
{
    if (!sq__save(tape, node, slot, (size_t)count)) return false;
    draws d = { sq__node_random(tape, node, "dropout"), sq__buffer_data(node->saved[slot]), p };
    sq__for_range(count, SQ_ELEMENTS, draw_range, &d);
    return true;
}

sq_status sq__want_probability(float p, sq_error *error)
{
    if (p >= 0 && p < 1) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "the probability of dropping is %g; expected at least 0 and below 1", (double)p);
}

const char *sq__shape_text(const sq_var *var, char *text)
{
    int at = 0;
    for (int i = 0; i < var->rank; i++)
        at += snprintf(text + at, (size_t)(64 - at), "%s%lld", i ? ", " : "[", (long long)(var->shape[i] % 1000000000));
    snprintf(text + at, (size_t)(64 - at), "]");
    return text;
}

sq_status sq__want_rank(const sq_var *var, const char *what, int least, sq_error *error)
{
    char text[64];
    if (var->rank >= least && sq__last(var) > 0) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "%s is %s; expected at least %d axes, the last not empty", what, sq__shape_text(var, text), least);
}

sq_status sq__want_shape(const sq_var *var, const char *what, int rank, const int64_t *shape, sq_error *error)
{
    bool same = var->rank == rank;
    for (int i = 0; same && i < rank; i++) same = var->shape[i] == shape[i];
    if (same) return SQ_OK;
    char found[64], expected[64];
    sq_var other = { .rank = rank };
    memcpy(other.shape, shape, (size_t)rank * sizeof *shape);
    return sq__fail(error, SQ_INVALID, "%s is %s; expected %s", what, sq__shape_text(var, found), sq__shape_text(&other, expected));
}
