/* kronecker: rows times a Kronecker product of factors; unitary_penalty: how far factors are from unitary. */
#include "autograd/kronecker_map.h"
#include "autograd/groups.h"
#include "autograd/ops.h"

enum { X, FACTORS };

static sq_status factors_shape(const sq_var *factors, const sq_kronecker *k, sq_error *error)
{
    char text[64];
    SQ_TRY(sq__kronecker_check(k, error));
    if (factors->rank == 2 && factors->shape[0] > 0 && factors->shape[1] == sq__kronecker_floats(k)) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "the factors are %s; expected [blocks, %lld]", sq__shape_text(factors, text), (long long)sq__kronecker_floats(k));
}

static sq_status kronecker_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const sq_var *x = node->inputs[X], *factors = node->inputs[FACTORS];
    const sq_kronecker *k = node->attributes;
    char text[64];
    SQ_TRY(sq__want_rank(x, "the input", 1, error));
    SQ_TRY(factors_shape(factors, k, error));
    if (sq__last(x) != sq__kronecker_in(k))
        return sq__fail(error, SQ_INVALID, "the input is %s; expected [..., %lld]", sq__shape_text(x, text), (long long)sq__kronecker_in(k));
    SQ_TRY(sq__same_shape(node, shapes, error));
    shapes->at[x->rank - 1] = factors->shape[0] * sq__kronecker_out(k);
    return SQ_OK;
}

typedef struct call { sq_kronecker_map map; int64_t in, out; const float *x, *dy; float *y, *dx; } call;

static sq_buffer *prepare(sq_tape *tape, const sq_node *node, call *c)
{
    const sq_kronecker *k = node->attributes;
    const int64_t blocks = node->inputs[FACTORS]->shape[0];
    sq_buffer *room = sq__scratch(tape, (size_t)(2 * blocks * sq__kronecker_prepared(k)) * sizeof(float));
    if (!room) return NULL;
    *c = (call){ .map = sq__kronecker_prepare(k, blocks, node->inputs[FACTORS]->value, sq__floats(room)),
                 .in = sq__kronecker_in(k),
                 .out = blocks * sq__kronecker_out(k),
                 .x = node->inputs[X]->value };
    return room;
}

static void forward_rows(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    (void)sums;
    const call *c = context;
    sq__kronecker_forward(&c->map, to - from, c->x + from * c->in, c->in, c->y + from * c->out, c->out, scratch);
}

static void kronecker_forward(sq_tape *tape, sq_node *node)
{
    call c;
    sq_buffer *room = prepare(tape, node, &c);
    if (!room) return;
    c.y = node->outputs[0]->value;
    sq__run_rows(tape, &(sq_row_work){ .rows = sq__rows(node->inputs[X]), .scratch = sq__kronecker_scratch(node->attributes, SQ_ROWS),
                                       .run = forward_rows, .context = &c });
    sq__pool_release(tape->pool, room);
}

static void backward_rows(void *context, int64_t from, int64_t to, float *const *sums, float *scratch)
{
    const call *c = context;
    const float *dy = c->dy + from * c->out;
    if (sums[0]) sq__kronecker_gradient(&c->map, to - from, c->x + from * c->in, c->in, dy, c->out, sums[0], scratch);
    if (c->dx) sq__kronecker_backward(&c->map, to - from, dy, c->out, c->dx + from * c->in, c->in, scratch);
}

static void kronecker_vjp(sq_tape *tape, sq_node *node)
{
    call c;
    sq_buffer *room = prepare(tape, node, &c);
    if (!room) return;
    c.dy = node->outputs[0]->gradient;
    c.dx = sq__gradient_added(tape, node->inputs[X]);
    sq_row_work work = { .rows = sq__rows(node->inputs[X]), .scratch = sq__kronecker_scratch(node->attributes, SQ_ROWS), .run = backward_rows, .context = &c };
    work.sums[0] = sq__gradient_added(tape, node->inputs[FACTORS]);
    work.lengths[0] = node->inputs[FACTORS]->count;
    if (tape->status == SQ_OK) sq__run_rows(tape, &work);
    sq__pool_release(tape->pool, room);
}

const sq_op sq__op_kronecker = { "kronecker", SQ_READS_INPUT(X) | SQ_READS_INPUT(FACTORS), false, kronecker_shape, kronecker_forward, kronecker_vjp };

sq_var *sq__kronecker(sq_tape *tape, sq_var *x, sq_var *factors, const sq_kronecker *k)
{
    return sq__apply1(tape, &sq__op_kronecker, (sq_var *[]){ x, factors }, 2, k, sizeof *k);
}

/* ---- penalty ---- */

static sq_status penalty_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    SQ_TRY(factors_shape(node->inputs[0], node->attributes, error));
    *shapes = (sq_shape){ 1, { 1 } };
    return SQ_OK;
}

/* Element (i, j) of W^H W - I; w [P,Q], v its imaginary part or NULL. */
static void gram(int64_t P, int64_t Q, const float *w, const float *v, int64_t i, int64_t j, double *re, double *im)
{
    *re = i == j ? -1 : 0;
    *im = 0;
    for (int64_t p = 0; p < P; p++) {
        *re += (double)w[p * Q + i] * w[p * Q + j] + (v ? (double)v[p * Q + i] * v[p * Q + j] : 0);
        *im += v ? (double)w[p * Q + i] * v[p * Q + j] - (double)v[p * Q + i] * w[p * Q + j] : 0;
    }
}

/* The sum over all factors; d (NULL: not wanted) += factor 4 W (W^H W - I). */
static double penalty(const sq_kronecker *k, int64_t blocks, const float *w, float factor, float *d)
{
    double total = 0;
    for (int64_t block = 0; block < blocks; block++)
        for (int f = 0; f < k->count; f++) {
            const int64_t P = k->rows[f], Q = k->columns[f], size = (k->complex ? 2 : 1) * P * Q;
            const float *v = k->complex ? w + P * Q : NULL;
            for (int64_t i = 0; i < Q; i++)
                for (int64_t j = 0; j < Q; j++) {
                    double re, im;
                    gram(P, Q, w, v, i, j, &re, &im);
                    total += re * re + im * im;
                    for (int64_t p = 0; d && p < P; p++) {
                        const double wr = w[p * Q + i], wi = v ? v[p * Q + i] : 0;
                        d[p * Q + j] += (float)(4 * factor * (wr * re - wi * im));
                        if (v) d[P * Q + p * Q + j] += (float)(4 * factor * (wr * im + wi * re));
                    }
                }
            w += size;
            if (d) d += size;
        }
    return total;
}

static void penalty_forward(sq_tape *tape, sq_node *node)
{
    (void)tape;
    const sq_var *factors = node->inputs[0];
    node->outputs[0]->value[0] = (float)penalty(node->attributes, factors->shape[0], factors->value, 0, NULL);
}

static void penalty_vjp(sq_tape *tape, sq_node *node)
{
    const sq_var *factors = node->inputs[0];
    float *d = sq__gradient_added(tape, node->inputs[0]);
    if (d) penalty(node->attributes, factors->shape[0], factors->value, node->outputs[0]->gradient[0], d);
}

const sq_op sq__op_unitary_penalty = { "unitary_penalty", SQ_READS_INPUT(0), false, penalty_shape, penalty_forward, penalty_vjp };

sq_var *sq__unitary_penalty(sq_tape *tape, sq_var *factors, const sq_kronecker *k)
{
    return sq__apply1(tape, &sq__op_unitary_penalty, (sq_var *[]){ factors }, 1, k, sizeof *k);
}
