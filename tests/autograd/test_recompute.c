/* Parts that are run again on the way back: the same as when everything is kept, from the same draws, with less memory. */
#include "autograd/ops.h"
#include "autograd/recompute.h"
#include "base/memory.h"
#include "gradient.h"

enum { ROWS = 37, E = 6, H = 10, LAYERS = 4, PARTS = 2 * LAYERS };

/* A part: w2 dropout(gelu(w1 x)), its regulariser 0.1 sum(w1 x). */
typedef struct mixer { sq_parameter w1, w2; } mixer;

static sq_parameter make(const char *name, int64_t out, int64_t in)
{
    sq_parameter p = { .rank = 2, .shape = { out, in }, .count = out * in, .trainable = true };
    p.value = draw_floats(name, (uint64_t)out, p.count, -0.5f, 0.5f);
    p.gradient = calloc((size_t)p.count, sizeof *p.gradient);
    return p;
}

static sq_var *mix(const void *context, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    mixer *m = (mixer *)(uintptr_t)context;
    sq_scope scope = sq__scope_begin(tape);
    sq_var *h = sq__linear(tape, x, sq__tape_parameter(tape, &m->w1), NULL);
    sq_var *term = auxiliary ? sq__scale(tape, sq__sum(tape, h), 0.1f) : NULL;
    if (term) *auxiliary = *auxiliary ? sq__add(tape, *auxiliary, term) : term;
    h = sq__dropout(tape, sq__activate(tape, h, SQ_GELU), 0.3f);
    sq_var *y = sq__linear(tape, h, sq__tape_parameter(tape, &m->w2), NULL);
    sq__scope_end(tape, scope, y, auxiliary ? *auxiliary : NULL);
    return y;
}

static mixer mixers[PARTS];
static sq_part parts[PARTS];

/* Part i of the list as one that is itself run again. */
static sq_var *mix_again(const void *context, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    return sq__recompute(tape, &(sq_part){ mix, context }, x, auxiliary);
}

static int setup(void **state)
{
    (void)state;
    for (int i = 0; i < PARTS; i++) {
        char name[16];
        snprintf(name, sizeof name, "mixer %d", i);
        mixers[i] = (mixer){ make(name, H, E), make(name, E, H) };
        parts[i] = (sq_part){ mix, &mixers[i] };
    }
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    for (int i = 0; i < PARTS; i++)
        for (size_t p = 0; p < 2; p++) {
            sq_parameter *parameter = p ? &mixers[i].w2 : &mixers[i].w1;
            free(parameter->value);
            free(parameter->gradient);
        }
    return 0;
}

/* An operation that takes the place which a node of parts takes on the tape: draws are keyed by places. */
static sq_var *in_its_place(sq_tape *tape, sq_var *x) { return sq__scale(tape, x, 1); }

static sq_var *plain_layer(sq_tape *tape, int i, sq_var *x, sq_var **auxiliary)
{
    sq_var *term = NULL;
    x = mix(&mixers[i], tape, in_its_place(tape, x), auxiliary ? &term : NULL);
    if (auxiliary) *auxiliary = *auxiliary ? sq__add(tape, *auxiliary, term) : term;
    return x;
}

static sq_var *once_again(sq_tape *tape, int i, sq_var *x, sq_var **auxiliary) { return sq__recompute(tape, &parts[i], x, auxiliary); }

static sq_var *plain_layer_deeper(sq_tape *tape, int i, sq_var *x, sq_var **auxiliary) { return plain_layer(tape, i, in_its_place(tape, x), auxiliary); }

static sq_var *twice_again(sq_tape *tape, int i, sq_var *x, sq_var **auxiliary)
{
    static sq_part twice[PARTS];
    twice[i] = (sq_part){ mix_again, &mixers[i] };
    return sq__recompute(tape, &twice[i], x, auxiliary);
}

/* x + y without a place of its own. y NULL: x */
static sq_var *added(sq_tape *tape, sq_var *x, sq_var *y)
{
    if (!x || !y) return x ? x : y;
    sq_var *sum = sq__add(tape, x, y);
    tape->places--;
    return sum;
}

static sq_var *plain_reversible(sq_tape *tape, sq_var *x1, sq_var *x2, sq_var **auxiliary)
{
    x1 = in_its_place(tape, x1);
    sq_var *streams[2] = { x1, x2 };
    for (int i = 0; i < PARTS; i++) {
        sq_var *term = NULL;
        streams[i & 1] = added(tape, streams[i & 1], mix(&mixers[i], tape, streams[!(i & 1)], auxiliary ? &term : NULL));
        if (auxiliary) *auxiliary = added(tape, *auxiliary, term);
    }
    return sq__concatenate(tape, streams, 2);
}

static sq_var *layers_of(sq_tape *tape, sq_var *x, sq_var *(*layer)(sq_tape *, int, sq_var *, sq_var **), sq_var **auxiliary)
{
    for (int i = 0; i < PARTS; i++) x = layer(tape, i, x, auxiliary);
    return x;
}

typedef struct outcome { float *out, *dx[2], *dw[PARTS][2], auxiliary; int64_t count; } outcome;

typedef enum way { PLAIN, PLAIN_DEEPER, RECOMPUTED, RECOMPUTED_TWICE, REVERSED_PLAIN, REVERSED, REVERSED_RECOMPUTED } way;

static float *copy(const float *x, int64_t count)
{
    float *y = malloc((size_t)count * sizeof *y);
    memcpy(y, x, (size_t)count * sizeof *y);
    return y;
}

static sq_var *build(sq_tape *tape, way how, sq_var *x1, sq_var *x2, sq_var **auxiliary)
{
    static sq_part twice[PARTS];
    for (int i = 0; i < PARTS; i++) twice[i] = (sq_part){ mix_again, &mixers[i] };
    switch (how) {
    case PLAIN: return layers_of(tape, x1, plain_layer, auxiliary);
    case RECOMPUTED: return layers_of(tape, x1, once_again, auxiliary);
    case PLAIN_DEEPER: return layers_of(tape, x1, plain_layer_deeper, auxiliary);
    case RECOMPUTED_TWICE: return layers_of(tape, x1, twice_again, auxiliary);
    case REVERSED_PLAIN: return plain_reversible(tape, x1, x2, auxiliary);
    case REVERSED: return sq__reversible(tape, parts, LAYERS, x1, x2, auxiliary);
    default: return sq__reversible(tape, twice, LAYERS, x1, x2, auxiliary);
    }
}

/* loss = sum(out * g) + auxiliary */
static outcome run(way how, bool with_auxiliary)
{
    outcome o = { .count = 0 };
    sq_error error;
    sq_tape *tape = sq__tape_create(true);
    sq__tape_mode(tape, true, 9, 4);
    float *x[2] = { draw_floats("x", 1, ROWS * E, -1, 1), draw_floats("x", 2, ROWS * E, -1, 1) };
    sq_var *in[2], *auxiliary = NULL;
    for (int i = 0; i < 2; i++) in[i] = sq__tape_input(tape, 2, (int64_t[]){ ROWS, E }, x[i], true);
    for (int i = 0; i < PARTS; i++) {
        memset(mixers[i].w1.gradient, 0, (size_t)mixers[i].w1.count * sizeof(float));
        memset(mixers[i].w2.gradient, 0, (size_t)mixers[i].w2.count * sizeof(float));
    }
    sq_var *out = build(tape, how, in[0], in[1], with_auxiliary ? &auxiliary : NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    o.count = out->count;
    o.out = copy(out->value, out->count);
    float *g = draw_floats("g", 0, out->count, -1, 1);
    sq_var *loss = sq__sum(tape, sq__multiply(tape, out, sq__tape_input(tape, 2, out->shape, g, false)));
    if (auxiliary) {
        o.auxiliary = auxiliary->value[0];
        loss = sq__add(tape, loss, auxiliary);
    }
    assert_ok(sq__tape_backward(tape, loss, NULL, &error), &error);
    for (int i = 0; i < 2; i++)
        if (in[i]->gradient) o.dx[i] = copy(in[i]->gradient, ROWS * E);
    for (int i = 0; i < PARTS; i++) {
        o.dw[i][0] = copy(mixers[i].w1.gradient, H * E);
        o.dw[i][1] = copy(mixers[i].w2.gradient, H * E);
    }
    free(x[0]);
    free(x[1]);
    free(g);
    sq__tape_destroy(tape);
    return o;
}

static void drop(outcome *o)
{
    free(o->out);
    for (int i = 0; i < 2; i++) free(o->dx[i]);
    for (int i = 0; i < PARTS; i++) free(o->dw[i][0]), free(o->dw[i][1]);
}

static double apart(const float *a, const float *b, int64_t count)
{
    double most = 0, scale = 0;
    if (!a && !b) return 0;
    assert_true(a && b);
    for (int64_t i = 0; i < count; i++) {
        most = fmax(most, fabs((double)a[i] - b[i]));
        scale = fmax(scale, fabs(b[i]));
    }
    return most / scale;
}

static double worst_of(const outcome *a, const outcome *b)
{
    assert_int_equal(a->count, b->count);
    double most = apart(a->out, b->out, a->count);
    for (int i = 0; i < 2; i++) most = fmax(most, apart(a->dx[i], b->dx[i], ROWS * E));
    for (int i = 0; i < PARTS; i++)
        for (int w = 0; w < 2; w++) most = fmax(most, apart(a->dw[i][w], b->dw[i][w], H * E));
    return most;
}

static double compare(way a, way b, bool auxiliary)
{
    outcome first = run(a, auxiliary), second = run(b, auxiliary);
    const double most = worst_of(&first, &second);
    if (auxiliary) assert_close(first.auxiliary, second.auxiliary, 1e-5);
    assert_true(!auxiliary || second.auxiliary != 0);
    drop(&first);
    drop(&second);
    return most;
}

/* The same operations on the same numbers with the same draws: the same bits, of values and gradients. */
static void recomputed_is_kept(void **state)
{
    (void)state;
    for (int auxiliary = 0; auxiliary < 2; auxiliary++) {
        assert_true(compare(RECOMPUTED, PLAIN, auxiliary) == 0);
        if (!auxiliary) assert_true(compare(RECOMPUTED_TWICE, PLAIN_DEEPER, auxiliary) == 0);   /* sums of regularisers take places, too */
    }
}

/* Two runs are one another's bits. */
static void runs_repeat(void **state)
{
    (void)state;
    outcome a = run(REVERSED_RECOMPUTED, true), b = run(REVERSED_RECOMPUTED, true);
    assert_true(worst_of(&a, &b) == 0);
    drop(&a);
    drop(&b);
}

static sq_var *differentiate(sq_tape *tape, sq_var *const *in) { return build(tape, REVERSED, in[0], in[1], NULL); }
static sq_var *differentiate_nested(sq_tape *tape, sq_var *const *in) { return build(tape, REVERSED_RECOMPUTED, in[0], in[1], NULL); }
static sq_var *differentiate_recomputed(sq_tape *tape, sq_var *const *in) { return build(tape, RECOMPUTED_TWICE, in[0], NULL, NULL); }

/* Against differences of themselves, dropout drawn as in training: a replay with other draws would be far off. */
static void gradients(void **state)
{
    (void)state;
    const struct { const char *name; int inputs; sq_var *(*build)(sq_tape *, sq_var *const *); } cases[] = {
        { "reversible", 2, differentiate }, { "reversible, recomputed", 2, differentiate_nested }, { "recomputed, recomputed", 1, differentiate_recomputed } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const gradient_case c = { .name = cases[i].name, .inputs = cases[i].inputs, .input = { { 2, { ROWS, E } }, { 2, { ROWS, E } } }, .build = cases[i].build, .training = true };
        const double error = check_gradient(&c);
        print_message("%-24s gradient %.2g off\n", c.name, error);
        assert_true(error <= 3e-4);
    }
}

/* What comes back differs by the rounding of sums. */
static void reversed_is_unrolled(void **state)
{
    (void)state;
    for (int auxiliary = 0; auxiliary < 2; auxiliary++) {
        outcome first = run(REVERSED, auxiliary), second = run(REVERSED_PLAIN, auxiliary);
        assert_memory_equal(first.out, second.out, (size_t)first.count * sizeof(float));
        print_message("reversed %.2g off\n", worst_of(&first, &second));
        assert_true(worst_of(&first, &second) < 2e-6);
        assert_true(fabsf(first.auxiliary - second.auxiliary) <= 1e-5f * fabsf(second.auxiliary));
        drop(&first);
        drop(&second);
    }
}

/* An input without gradient: the parameters inside still get theirs. */
static void parameters_alone(void **state)
{
    (void)state;
    for (int reversed = 0; reversed < 2; reversed++) {
        sq_tape *tape = sq__tape_create(true);
        sq_error error;
        float *x = draw_floats("x", 1, ROWS * E, -1, 1);
        double size = 0;
        memset(mixers[0].w1.gradient, 0, H * E * sizeof(float));
        sq_var *in = sq__tape_input(tape, 2, (int64_t[]){ ROWS, E }, x, false);
        sq_var *out = reversed ? sq__reversible(tape, parts, 1, in, in, NULL) : sq__recompute(tape, parts, in, NULL);
        assert_ok(sq__tape_backward(tape, sq__sum(tape, sq__multiply(tape, out, out)), NULL, &error), &error);
        for (int i = 0; i < H * E; i++) size += fabsf(mixers[0].w1.gradient[i]);
        assert_true(size > 0.1);
        assert_null(in->gradient);
        sq__tape_destroy(tape);
        free(x);
    }
}

/* Peak bytes of a step over n layers of 20,000 rows. */
static size_t peak_of(way how, int layers)
{
    enum { MANY = 20000 };
    sq_error error;
    float *x = draw_floats("x", 3, MANY * E, -1, 1);
    const size_t before = sq_memory_current();
    sq_memory_reset_peak();
    sq_tape *tape = sq__tape_create(true);
    sq__tape_mode(tape, true, 9, 4);
    sq_var *out = sq__tape_input(tape, 2, (int64_t[]){ MANY, E }, x, true);
    static sq_part repeated[64];
    for (int i = 0; i < 2 * layers; i++) repeated[i] = parts[i % PARTS];
    sq_scope scope = sq__scope_begin(tape);
    if (how == REVERSED) out = sq__reversible(tape, repeated, layers, out, out, NULL);
    for (int i = 0; how != REVERSED && i < 2 * layers; i++) {
        out = how == PLAIN ? mix(&mixers[i % PARTS], tape, out, NULL) : sq__recompute(tape, &repeated[i], out, NULL);
        sq__scope_end(tape, scope, out, NULL);
    }
    assert_ok(sq__tape_backward(tape, sq__sum(tape, out), NULL, &error), &error);
    const size_t peak = sq_memory_peak() - before;
    sq__tape_destroy(tape);
    free(x);
    return peak;
}

static void memory_does_not_grow_with_layers(void **state)
{
    (void)state;
    const double plain = (double)peak_of(PLAIN, 24) / (double)peak_of(PLAIN, 6), reversed = (double)peak_of(REVERSED, 24) / (double)peak_of(REVERSED, 6);
    const double recomputed = (double)peak_of(RECOMPUTED, 24) / (double)peak_of(PLAIN, 24);
    print_message("24 layers for 6: plain %.2f, reversible %.2f; recomputed for plain %.2f\n", plain, reversed, recomputed);
    assert_true(plain > 3 && reversed < 1.1 && recomputed < 0.4);
}

/* What a part gives is checked. */
static sq_var *shorter(const void *context, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    (void)context;
    (void)auxiliary;
    return sq__slice(tape, x, 0, E - 1);
}

static void parts_are_checked(void **state)
{
    (void)state;
    const sq_part wrong[2] = { { shorter, NULL }, { shorter, NULL } };
    const float x[2 * E] = { 0 };
    for (int reversed = 0; reversed < 2; reversed++) {
        sq_tape *tape = sq__tape_create(true);
        sq_error error;
        sq_var *in = sq__tape_input(tape, 2, (int64_t[]){ 2, E }, x, true);
        assert_null(reversed ? sq__reversible(tape, wrong, 1, in, in, NULL) : sq__recompute(tape, wrong, in, NULL));
        assert_int_equal(sq__tape_status(tape, &error), SQ_INTERNAL);
        sq__tape_destroy(tape);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recomputed_is_kept), cmocka_unit_test(runs_repeat),  cmocka_unit_test(gradients),
        cmocka_unit_test(reversed_is_unrolled), cmocka_unit_test(parameters_alone), cmocka_unit_test(memory_does_not_grow_with_layers),
        cmocka_unit_test(parts_are_checked),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
