/* Gradient checks: the derivative of f = sum(out * g) along a random direction, g random, by the stencil
 *   (8 (f(h) - f(-h)) - (f(2h) - f(-2h))) / 12h
 * against the gradient that backward gives. Outputs are float32; sums are taken in double.
 *
 * What is left is the stencil's h^4/30 times the fifth derivative and the rounding of the outputs, about 1e-7 |out g| / h.
 * Errors are relative to the root of the sum of (gradient * direction)^2, which is what one wrong element in that many changes.
 */
#ifndef SQ_TESTS_AUTOGRAD_GRADIENT_H
#define SQ_TESTS_AUTOGRAD_GRADIENT_H

#include "autograd/node.h"
#include "support/check.h"

enum { MOST_INPUTS = 8, MOST_FLOATS = 1 << 18, DIRECTIONS = 3 };

typedef struct input_spec {
    int rank;
    int64_t shape[SQ_MAX_RANK];
    float low, high;                   /* drawn uniformly; both 0: -1 to 1 */
    bool constant;                     /* no gradient wanted */
} input_spec;

typedef struct gradient_case {
    const char *name;
    int inputs;
    input_spec input[MOST_INPUTS];
    sq_var *(*build)(sq_tape *tape, sq_var *const *in);
    bool training;
    float margin;                      /* values this near to 0 are pushed away: kinks */
} gradient_case;

typedef struct operands { float *value[MOST_INPUTS]; int64_t count[MOST_INPUTS]; float *g; } operands;

static inline float *draw_floats(const char *purpose, uint64_t number, int64_t count, float low, float high)
{
    sq_random random = sq__random_stream(7, purpose, number);
    float *out = malloc((size_t)(count ? count : 1) * sizeof *out);
    assert_non_null(out);
    sq__random_uniform_fill(&random, out, count, low, high);
    return out;
}

static inline sq_var *build_case(const gradient_case *c, sq_tape *tape, const operands *o)
{
    sq_var *in[MOST_INPUTS] = { 0 };
    sq_error error = { 0 };
    sq__tape_reset(tape);
    sq__tape_mode(tape, c->training, 11, 5);
    for (int i = 0; i < c->inputs; i++) in[i] = sq__tape_input(tape, c->input[i].rank, c->input[i].shape, o->value[i], !c->input[i].constant);
    sq_var *out = c->build(tape, in);
    assert_ok(sq__tape_status(tape, &error), &error);
    assert_non_null(out);
    return out;
}

static inline double case_value(const gradient_case *c, sq_tape *tape, const operands *o)
{
    const sq_var *out = build_case(c, tape, o);
    double total = 0;
    for (int64_t i = 0; i < out->count; i++) total += (double)out->value[i] * o->g[i];
    return total;
}

/* f at x + step * u for input i */
static inline double shifted_value(const gradient_case *c, sq_tape *tape, operands *o, int i, const float *u, float step)
{
    float *kept = o->value[i], *moved = malloc((size_t)o->count[i] * sizeof *moved);
    for (int64_t j = 0; j < o->count[i]; j++) moved[j] = kept[j] + step * u[j];
    o->value[i] = moved;
    double value = case_value(c, tape, o);
    o->value[i] = kept;
    free(moved);
    return value;
}

/* The exact step taken is that of the rounded inputs, so u is made of multiples of 1/8 and h of a power of two: x is of size 1, and
 * x + h u is then exact to 2^-24, an error of 1e-7/h that counts as rounding of the outputs. */
static inline double direction_error(const gradient_case *c, sq_tape *tape, operands *o, int i, const float *gradient, int number)
{
    const double h = 1.0 / 64;
    double along = 0, norm = 0;
    float *u = draw_floats(c->name, (uint64_t)(1000 + 10 * i + number), o->count[i], -1, 1);
    for (int64_t j = 0; j < o->count[i]; j++) {
        u[j] = rintf(u[j] * 8) / 8;
        along += (double)gradient[j] * u[j];
        norm += (double)gradient[j] * u[j] * ((double)gradient[j] * u[j]);
    }
    double near = shifted_value(c, tape, o, i, u, (float)h) - shifted_value(c, tape, o, i, u, (float)-h);
    double far = shifted_value(c, tape, o, i, u, (float)(2 * h)) - shifted_value(c, tape, o, i, u, (float)(-2 * h));
    free(u);
    return fabs((8 * near - far) / (12 * h) - along) / (sqrt(norm) + 1e-6);
}

/* The variables of a case's inputs, in order. */
static inline void case_inputs(const gradient_case *c, const sq_tape *tape, const sq_variable **leaves)
{
    int found = c->inputs;
    for (const sq_variable *v = tape->variables; v; v = v->previous)
        if (v->leaf) leaves[--found] = v;
    assert_int_equal(found, 0);
}

/* The same run on three threads gives the same bits. */
static inline void check_threads(const gradient_case *c, const operands *o, const sq_var *out, const sq_variable *const *leaves)
{
    sq_tape *tape = sq__tape_create(true);
    const sq_variable *again[MOST_INPUTS] = { 0 };
    sq_error error = { 0 };
    sq__set_threads(3);
    sq_var *same = build_case(c, tape, o);
    assert_memory_equal(same->value, out->value, (size_t)out->count * sizeof(float));
    case_inputs(c, tape, again);
    assert_ok(sq__tape_backward(tape, same, o->g, &error), &error);
    for (int i = 0; i < c->inputs; i++)
        if (!c->input[i].constant) assert_memory_equal(again[i]->var.gradient, leaves[i]->var.gradient, (size_t)o->count[i] * sizeof(float));
    sq__set_threads(1);
    sq__tape_destroy(tape);
}

/* Draws the inputs, runs backward once; then the worst error over inputs and directions. */
static inline double check_gradient(const gradient_case *c)
{
    operands o = { .g = NULL };
    sq_error error = { 0 };
    sq_tape *recording = sq__tape_create(true), *plain = sq__tape_create(false);
    double worst = 0;
    assert_non_null(recording);
    assert_non_null(plain);
    for (int i = 0; i < c->inputs; i++) {
        const input_spec *s = &c->input[i];
        o.count[i] = 1;
        for (int axis = 0; axis < s->rank; axis++) o.count[i] *= s->shape[axis];
        o.value[i] = draw_floats(c->name, (uint64_t)i, o.count[i], s->low == s->high ? -1 : s->low, s->low == s->high ? 1 : s->high);
        for (int64_t j = 0; j < o.count[i]; j++)
            if (fabsf(o.value[i][j]) < c->margin) o.value[i][j] = copysignf(c->margin, o.value[i][j]);
    }
    sq_var *out = build_case(c, recording, &o);
    o.g = draw_floats(c->name, 99, out->count, -1, 1);
    const sq_var *same = build_case(c, plain, &o);
    assert_memory_equal(out->value, same->value, (size_t)out->count * sizeof(float));   /* recording changes nothing */

    const sq_variable *leaves[MOST_INPUTS] = { 0 };
    case_inputs(c, recording, leaves);
    assert_ok(sq__tape_backward(recording, out, o.g, &error), &error);
    check_threads(c, &o, out, leaves);
    for (int i = 0; i < c->inputs; i++) {
        if (c->input[i].constant) continue;
        assert_non_null(leaves[i]->var.gradient);
        for (int number = 0; number < DIRECTIONS; number++) {
            double e = direction_error(c, plain, &o, i, leaves[i]->var.gradient, number);
            if (!(e <= worst)) worst = e;
        }
    }
    for (int i = 0; i < c->inputs; i++) free(o.value[i]);
    free(o.g);
    sq__tape_destroy(recording);
    sq__tape_destroy(plain);
    return worst;
}

#endif
