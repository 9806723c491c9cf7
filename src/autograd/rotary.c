/* rotary: queries and keys turned by their positions (RoFormer, arXiv:2104.09864), so that q.k depends on the distance alone.
 *   (y[2i], y[2i+1]) = (x[2i] cos a - x[2i+1] sin a, x[2i] sin a + x[2i+1] cos a),  a = t * 10000^(-2i/D) at position t
 * x [B,T,W]: the first `heads` pieces of D numbers of each row are turned; the last number of an odd D, and what lies behind, pass. */
#include <math.h>

#include "autograd/ops.h"

typedef struct attributes { int64_t heads, D; } attributes;

typedef struct tables { float *cosine, *sine; const double *frequency; int64_t half; } tables;   /* [T, half] [half] */

typedef struct turn {
    const float *x, *cosine, *sine;    /* tables [T, D/2] */
    float *y;
    int64_t T, width, heads, D;
    float sign, beta;                  /* -1: back; 1: y is added to */
} turn;

static sq_status rotary_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const attributes *a = node->attributes;
    SQ_TRY(sq__want_rank(node->inputs[0], "the input", 3, error));
    if (a->heads * a->D > sq__last(node->inputs[0]))
        return sq__fail(error, SQ_INVALID, "%lld heads of %lld numbers do not fit rows of %lld", (long long)a->heads, (long long)a->D,
                        (long long)sq__last(node->inputs[0]));
    return sq__same_shape(node, shapes, error);
}

/* Angles are reduced in double precision: at position 65536 a float32 would be off by 0.004. */
static void fill_rows(void *context, int64_t from, int64_t to)
{
    const double circle = 6.28318530717958647693;
    const tables *c = context;
    for (int64_t t = from; t < to; t++) {
        float *sine = c->sine + t * c->half;
        for (int64_t i = 0; i < c->half; i++) sine[i] = (float)remainder((double)t * c->frequency[i], circle);
        sq__kernels()->sine_cosine(sine, c->cosine + t * c->half, sine, c->half);
    }
}

static void turn_pairs(float *y, const float *x, const float *cosine, const float *sine, int64_t half, float sign, float beta)
{
    for (int64_t i = 0; i < half; i++) {
        const float c = cosine[i], s = sign * sine[i], first = x[2 * i] * c - x[2 * i + 1] * s, second = x[2 * i] * s + x[2 * i + 1] * c;
        y[2 * i] = beta != 0 ? y[2 * i] + first : first;
        y[2 * i + 1] = beta != 0 ? y[2 * i + 1] + second : second;
    }
}

static void pass(float *y, const float *x, int64_t count, float beta)
{
    if (beta != 0) sq__kernels()->axpy(y, 1, x, count);
    else memcpy(y, x, (size_t)count * sizeof *y);
}

static void turn_rows(void *context, int64_t from, int64_t to)
{
    const turn *c = context;
    const int64_t half = c->D / 2;
    for (int64_t row = from; row < to; row++) {
        const float *x = c->x + row * c->width, *cosine = c->cosine + row % c->T * half, *sine = c->sine + row % c->T * half;
        float *y = c->y + row * c->width;
        for (int64_t h = 0; h < c->heads; h++, x += c->D, y += c->D) {
            turn_pairs(y, x, cosine, sine, half, c->sign, c->beta);
            pass(y + 2 * half, x + 2 * half, c->D - 2 * half, c->beta);
        }
        pass(y, x, c->width - c->heads * c->D, c->beta);
    }
}

static void run(sq_tape *tape, const sq_node *node, const float *x, float *y, float sign, float beta)
{
    const attributes *a = node->attributes;
    const int64_t T = node->inputs[0]->shape[1], half = a->D / 2;
    sq_buffer *scratch = sq__scratch(tape, (size_t)half * sizeof(double) + (size_t)(2 * T * half + 1) * sizeof(float));
    if (!scratch) return;
    double *frequency = (double *)(void *)sq__floats(scratch);
    float *cosine = (float *)(frequency + half);
    tables all = { cosine, cosine + T * half, frequency, half };
    turn c = { x, cosine, all.sine, y, T, sq__last(node->inputs[0]), a->heads, a->D, sign, beta };
    for (int64_t i = 0; i < half; i++) frequency[i] = pow(10000, -2.0 * (double)i / (double)a->D);
    sq__for_range(T, SQ_ROWS, fill_rows, &all);
    sq__for_range(sq__rows(node->inputs[0]), SQ_ROWS, turn_rows, &c);
    sq__pool_release(tape->pool, scratch);
}

static void rotary_forward(sq_tape *tape, sq_node *node)
{
    run(tape, node, node->inputs[0]->value, node->outputs[0]->value, 1, 0);
}

static void rotary_vjp(sq_tape *tape, sq_node *node)
{
    float beta, *dx = sq__gradient(tape, node->inputs[0], &beta);
    if (dx) run(tape, node, node->outputs[0]->gradient, dx, -1, beta);
}

const sq_op sq__op_rotary = { "rotary", 0, false, rotary_shape, rotary_forward, rotary_vjp };

sq_var *sq__rotary(sq_tape *tape, sq_var *x, int64_t heads, int64_t D)
{
    return sq__apply1(tape, &sq__op_rotary, (sq_var *[]){ x }, 1, &(attributes){ heads, D }, sizeof(attributes));
}
