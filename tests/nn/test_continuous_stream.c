/* Streams through continuous memory: sticky memories do not depend on how a stream is cut; a million events leave no more behind than a thousand. */
#include "naive.h"

#include "nn/recurrence.h"
#include "subquad/status.h"

enum { E = 8, HEADS = 2, LAYERS = 2 };

typedef struct made { sq_parameters set; sq_carry_layout layout; sq_recurrence stack; sq_carry *carry; } made;

static void make(made *m, int64_t B, int64_t memory, int64_t segment, bool sticky)
{
    sq_error error;
    const sq_continuous_config continuous = { .basis = { 16, 0.03, 0.1, false }, .rule = { segment, 32, 0.75, 1, sticky }, .sigma_min = 1e-4,
                                              .prior = { 0.05, 0, false }, .seed = 4 };
    const sq_recurrence_config config = { .layer = { .width = E, .heads = HEADS, .feed_forward = 2 * E, .activation = SQ_GELU, .pre_norm = true, .eps = 1e-5f },
                                          .layers = LAYERS, .memory = memory, .segment = segment, .continuous = &continuous };
    *m = (made){ .set.seed = 8 };
    assert_ok(sq__recurrence_create(&m->stack, &m->set, &m->layout, "memory", &config, &error), &error);
    shake(&m->set);
    /* narrow densities, so that where one samples matters */
    for (int i = 0; i < m->set.count; i++)
        if (strstr(m->set.items[i].name, "variance.bias")) m->set.items[i].value[0] = -6;
    assert_ok(sq__carry_create(&m->carry, &m->layout, B, &error), &error);
}

static void unmake(made *m)
{
    sq__carry_destroy(&m->carry);
    sq__recurrence_clear(&m->stack);
    sq__carry_layout_clear(&m->layout);
    sq__parameters_clear(&m->set);
}

/* Events `from` to `to` of a stream of T, into out. */
static void run(made *m, sq_tape *tape, const float *x, int64_t from, int64_t to, float *out)
{
    const int32_t length = (int32_t)(to - from);
    sq_error error;
    sq__tape_reset(tape);
    const sq_var *y = sq__recurrence_run(&m->stack, tape, sq__tape_input(tape, 3, (int64_t[]){ 1, to - from, E }, x + from * E, false), &length, m->carry, NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    memcpy(out + from * E, y->value, (size_t)y->count * sizeof *out);
    m->carry->seen[0] += to - from;
}

static void sticky_memories_do_not_depend_on_the_cut(void **state)
{
    (void)state;
    enum { T = 400 };
    static const int64_t pieces[] = { 1, 13, 40, 2, 77 };
    float *x = draw("stream", T * E), *whole = calloc(T * E, sizeof *whole), *cut = calloc(T * E, sizeof *cut), *even = calloc(T * E, sizeof *even);
    sq_tape *tape = sq__tape_create(false);
    made m;
    for (int i = 0; i < 3; i++) {
        make(&m, 1, 10, 20, i < 2);
        if (i == 1) for (int64_t at = 0, n = 0; at < T; at += pieces[n++ % 5]) run(&m, tape, x, at, at + pieces[n % 5] < T ? at + pieces[n % 5] : T, cut);
        else run(&m, tape, x, 0, T, i ? even : whole);
        unmake(&m);
    }
    double off = 0, differs = 0;
    for (int64_t i = 0; i < T * E; i++) {
        off = fmax(off, fabs(whole[i] - cut[i]));
        differs = fmax(differs, fabs(whole[i] - even[i]));
    }
    print_message("cut: %.2g, places drawn or even: %.2g\n", off, differs);
    assert_true(off <= 1e-5);
    assert_true(differs > 1e-2);
    sq__tape_destroy(tape);
    free(x);
    free(whole);
    free(cut);
    free(even);
}

static void a_million_events_leave_no_more_than_a_thousand(void **state)
{
    (void)state;
    enum { PIECE = 1000 };
    float *x = draw("long stream", PIECE * E), *out = calloc(PIECE * E, sizeof *out);
    sq_tape *tape = sq__tape_create(false);
    size_t before = 0;
    made m;
    make(&m, 1, 8, 250, false);
    for (int64_t seen = PIECE; seen <= 1000000; seen += PIECE) {
        run(&m, tape, x, 0, PIECE, out);
        if (seen > PIECE && seen < 1000000) continue;
        sq__tape_destroy(tape);        /* its pool is what the first runs made it */
        if (seen == PIECE) before = sq_memory_current();
        else assert_int_equal(sq_memory_current(), before);
        tape = sq__tape_create(false);
    }
    assert_int_equal(m.carry->seen[0], 1000000);
    for (int i = 0; i < PIECE * E; i++) assert_true(isfinite(out[i]));
    sq__tape_destroy(tape);
    unmake(&m);
    free(x);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sticky_memories_do_not_depend_on_the_cut),
        cmocka_unit_test(a_million_events_leave_no_more_than_a_thousand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
