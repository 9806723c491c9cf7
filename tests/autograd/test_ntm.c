/* The Neural Turing Machine's operation: gradients against differences of its own forward, what ends and begins where. */
#include "autograd/ntm.h"
#include "gradient.h"

/* Measured worst: 1.4e-4. A wrong element changes the figure by 1e-2 or more. */
#define BOUND 5e-4

enum { B = 11, T = 4, I = 3, N = 7, M = 3, H = 5 };   /* eleven sequences: two slices */
static const int32_t lengths[B] = { 4, 0, 2, 4, 1, 3, 4, 4, 2, 4, 3 };
static const int64_t seen[B] = { 0, 3, 0, 1, 1, 0, 9, 0, 0, 2, 0 };

static const sq_ntm_shape plain = { .slots = N, .slot_size = M, .hidden = H, .shift = 1, .layers = 1, .read_heads = 1, .write_heads = 1, .recurrent = true };
static const sq_ntm_shape deep = { .slots = N, .slot_size = M, .hidden = H, .shift = 2, .layers = 2, .read_heads = 2, .write_heads = 1, .recurrent = true,
                                   .squash = true };
static const sq_ntm_shape feed_forward = { .slots = N, .slot_size = M, .hidden = H, .shift = 1, .layers = 2, .read_heads = 1, .write_heads = 2 };

static sq_var *all_of(sq_tape *tape, sq_var *out, sq_var *last)
{
    sq_var *rows = out && last ? sq__reshape(tape, out, 2, (int64_t[]){ out->shape[0], out->count / out->shape[0] }) : NULL;
    return rows ? sq__concatenate(tape, (sq_var *[]){ rows, last }, 2) : NULL;
}

/* The next rows * columns (columns 0: a vector) of a flat variable. */
static sq_var *piece(sq_tape *tape, sq_var *flat, int64_t *from, int64_t rows, int64_t columns)
{
    const int64_t count = rows * (columns ? columns : 1);
    sq_var *part = sq__slice(tape, flat, *from, count);
    *from += count;
    return part && columns ? sq__reshape(tape, part, 2, (int64_t[]){ rows, columns }) : part;
}

/* in: x, initial, state, the heads' weight and bias, all weights of the controller one after the other */
static sq_var *run(sq_tape *tape, sq_var *const *in, const sq_ntm_shape *shape, const int64_t *begun)
{
    const int64_t G = (shape->recurrent ? 4 : 1) * H;
    sq_ntm_inputs inputs = { in[0], in[1], in[2], in[3], in[4], { { 0 } } };
    int64_t from = 0;
    for (int l = 0; l < shape->layers; l++) {
        sq_ntm_layer *layer = &inputs.layer[l];
        layer->weight_ih = piece(tape, in[5], &from, G, l ? H : I + shape->read_heads * M);
        layer->bias_ih = piece(tape, in[5], &from, G, 0);
        if (!shape->recurrent) continue;
        layer->weight_hh = piece(tape, in[5], &from, G, H);
        layer->bias_hh = piece(tape, in[5], &from, G, 0);
    }
    assert_int_equal(from, in[5]->count);
    sq_var *last, *out = sq__ntm(tape, &inputs, shape, lengths, begun, &last);
    return all_of(tape, out, last);
}

static sq_var *build_plain(sq_tape *tape, sq_var *const *in) { return run(tape, in, &plain, seen); }
static sq_var *build_deep(sq_tape *tape, sq_var *const *in) { return run(tape, in, &deep, seen); }
static sq_var *build_feed_forward(sq_tape *tape, sq_var *const *in) { return run(tape, in, &feed_forward, seen); }

static int64_t weights_of(const sq_ntm_shape *s)
{
    const int64_t G = (s->recurrent ? 4 : 1) * H, own = s->recurrent ? G * H + G : 0;
    return G * (I + s->read_heads * M) + G + own + (s->layers > 1 ? G * H + G + own : 0);
}

/* States well above zero: memory near nothing turns fast, and the stencil falls behind. */
static gradient_case case_of(const char *name, const sq_ntm_shape *s, sq_var *(*build)(sq_tape *, sq_var *const *))
{
    const int64_t size = sq__ntm_state(s).size, P = sq__ntm_heads_size(s);
    return (gradient_case){ name, 6,
                            { { 3, { B, T, I }, 0, 0, false }, { 1, { size }, 0.7f, 1.3f, false }, { 2, { B, size }, 0.7f, 1.3f, false }, { 2, { P, H }, -0.7f, 0.7f, false },
                              { 1, { P }, 0, 0, false }, { 1, { weights_of(s) }, -0.6f, 0.6f, false } },
                            build, false, 0 };
}

static void gradients(void **state)
{
    (void)state;
    const gradient_case cases[] = { case_of("lstm", &plain, build_plain), case_of("two layers, heads of two kinds", &deep, build_deep),
                                    case_of("feed-forward", &feed_forward, build_feed_forward) };
    double worst = 0;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const double e = check_gradient(&cases[i]);
        printf("%s: %.2g\n", cases[i].name, e);
        if (!(e <= worst)) worst = e;
    }
    assert_true(worst < BOUND);
}

typedef struct machine { float *value[6]; int64_t count[6]; gradient_case c; } machine;

static machine draw_machine(const sq_ntm_shape *s, const char *name)
{
    machine m = { .c = case_of(name, s, NULL) };
    for (int i = 0; i < 6; i++) {
        const input_spec *spec = &m.c.input[i];
        m.count[i] = 1;
        for (int axis = 0; axis < spec->rank; axis++) m.count[i] *= spec->shape[axis];
        m.value[i] = draw_floats(name, (uint64_t)i, m.count[i], spec->low == spec->high ? -1 : spec->low, spec->low == spec->high ? 1 : spec->high);
    }
    return m;
}

static void free_machine(machine *m)
{
    for (int i = 0; i < 6; i++) free(m->value[i]);
}

static void enter(const machine *m, sq_tape *tape, sq_var **in)
{
    for (int i = 0; i < 6; i++) in[i] = sq__tape_input(tape, m->c.input[i].rank, m->c.input[i].shape, m->value[i], true);
}

/* Beyond a length: zeros, whatever x holds there; a sequence of no steps keeps its state; new ones begin with the initial state. */
static void ends_and_beginnings(void **state)
{
    (void)state;
    machine m = draw_machine(&plain, "ends");
    sq_tape *tape = sq__tape_create(false);
    sq_error error;
    sq_var *in[6];
    const int64_t width = H + M, size = sq__ntm_state(&plain).size, row = T * width + size;
    enter(&m, tape, in);
    sq_var *first = run(tape, in, &plain, seen);
    assert_ok(sq__tape_status(tape, &error), &error);
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = lengths[b] * width; i < T * width; i++) assert_true(first->value[b * row + i] == 0);
    assert_memory_equal(first->value + row + T * width, m.value[2] + size, (size_t)size * sizeof(float));   /* b = 1: no steps, seen before */
    float *moved = malloc((size_t)m.count[0] * sizeof *moved);
    memcpy(moved, m.value[0], (size_t)m.count[0] * sizeof *moved);
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = lengths[b] * I; i < T * I; i++) moved[b * T * I + i] = 1e30f;
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; seen[b] == 0 && i < size; i++) m.value[2][b * size + i] = -7;   /* not read: they are new */
    in[0] = sq__tape_input(tape, 3, (int64_t[]){ B, T, I }, moved, true);
    sq_var *second = run(tape, in, &plain, seen);
    assert_memory_equal(first->value, second->value, (size_t)first->count * sizeof(float));
    free(moved);
    sq__tape_destroy(tape);
    free_machine(&m);
}

/* A weighting is a distribution, whatever the rules. */
static void weights_sum_to_one(void **state)
{
    (void)state;
    machine m = draw_machine(&deep, "sums");
    sq_tape *tape = sq__tape_create(false);
    sq_error error;
    sq_var *in[6];
    enter(&m, tape, in);
    const sq_ntm_state at = sq__ntm_state(&deep);
    const int64_t row = T * (H + 2 * M) + at.size;
    sq_var *all = run(tape, in, &deep, NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    for (int64_t b = 0; b < B; b++)
        for (int head = 0; lengths[b] && head < 3; head++) {
            double sum = 0;
            for (int64_t i = 0; i < N; i++) {
                const float w = all->value[b * row + T * (H + 2 * M) + at.weights + head * N + i];
                assert_true(w >= 0);
                sum += w;
            }
            assert_close(sum, 1, 1e-6);
        }
    sq__tape_destroy(tape);
    free_machine(&m);
}

static void what_cannot_be(void **state)
{
    (void)state;
    sq_error error;
    machine m = draw_machine(&plain, "refused");
    sq_ntm_shape wrong[] = { plain, plain, plain };
    static const char *const messages[] = { "a shift of 4 places", "the heads' weight is [", "0 read heads" };
    wrong[0].shift = 4;
    wrong[1].slot_size = M + 1;
    wrong[2].read_heads = 0;
    for (int i = 0; i < 3; i++) {
        sq_tape *tape = sq__tape_create(false);
        sq_var *in[6];
        enter(&m, tape, in);
        if (i == 1) in[1] = sq__tape_input(tape, 1, (int64_t[]){ sq__ntm_state(&wrong[1]).size }, m.value[2], false), in[2] = NULL;
        sq_ntm_inputs inputs = { in[0], in[1], in[2], in[3], in[4], { { in[5], in[5], in[5], in[5] } } };
        assert_null(sq__ntm(tape, &inputs, &wrong[i], NULL, NULL, NULL));
        assert_int_equal(sq__tape_status(tape, &error), SQ_INVALID);
        assert_contains(error.message, messages[i]);
        sq__tape_destroy(tape);
    }
    free_machine(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(gradients), cmocka_unit_test(ends_and_beginnings), cmocka_unit_test(weights_sum_to_one),
                                        cmocka_unit_test(what_cannot_be) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
