/* The tape itself: failures, memory that goes when nobody reads it, gradients that meet. */
#include "autograd/ops.h"
#include "autograd/recurrent.h"
#include "support/check.h"

static const float ones[64] = { [0 ... 63] = 1 };

static sq_var *vector(sq_tape *tape, int64_t count, bool needs_gradient) { return sq__tape_input(tape, 1, &count, ones, needs_gradient); }

static void the_first_failure_is_kept(void **state)
{
    (void)state;
    sq_tape *tape = sq__tape_create(true);
    sq_error error = { 0 };
    sq_var *a = vector(tape, 4, true);
    assert_null(sq__add(tape, a, vector(tape, 3, true)));
    assert_null(sq__sum(tape, a));   /* quiet */
    assert_null(sq__matmul(tape, NULL, NULL));
    assert_int_equal(sq__tape_status(tape, &error), SQ_INVALID);
    assert_string_equal(error.message, "add: the second is [3]; expected [4] or its last axes");
    sq__tape_reset(tape);
    assert_int_equal(sq__tape_status(tape, NULL), SQ_OK);
    assert_non_null(sq__sum(tape, vector(tape, 4, true)));
    sq__tape_destroy(tape);
}

#define REFUSED(expression, part)                                          \
    do {                                                                   \
        sq_error found = { 0 };                                            \
        sq__tape_reset(tape);                                              \
        sq_var *v = vector(tape, 6, true);                                 \
        sq_var *m = sq__reshape(tape, vector(tape, 6, true), 2, (int64_t[]){ 2, 3 }); \
        (void)m;                                                           \
        (void)v;                                                           \
        assert_null(expression);                                           \
        assert_int_equal(sq__tape_status(tape, &found), SQ_INVALID);       \
        assert_contains(found.message, part);                              \
    } while (0)

static void shape_rules(void **state)
{
    (void)state;
    sq_tape *tape = sq__tape_create(true);
    const int32_t ids[2] = { 0, 2 };
    REFUSED(sq__linear(tape, v, m, NULL), "linear: the weight is [2, 3]; expected [out, 6]");
    REFUSED(sq__linear(tape, m, m, v), "linear: the bias is [6]; expected [2]");
    REFUSED(sq__matmul(tape, m, m), "matmul: [2, 3] times [2, 3]; expected [m, k] times [k, n]");
    REFUSED(sq__layer_norm(tape, m, v, v, 1e-5f), "layer_norm: the weight is [6]; expected [3]");
    REFUSED(sq__glu(tape, m), "glu: the last axis is 3; expected an even number");
    REFUSED(sq__slice(tape, m, 2, 2), "slice: [2, 4) of a last axis of 3");
    REFUSED(sq__reshape(tape, m, 2, (int64_t[]){ 4, 2 }), "reshape: [2, 3] to a shape of 8 elements");
    REFUSED(sq__pool(tape, m, NULL, SQ_POOL_MEAN), "pool: the input is [2, 3]; expected [B, T, E]");
    REFUSED(sq__embedding(tape, m, ids, 1, (int64_t[]){ 2 }), "embedding: id 2 of column 0 is past its table of 2 words");
    REFUSED(sq__cross_entropy(tape, m, (const int32_t[]){ 0, 3 }, &(sq_cross_entropy){ .ignore = -100 }),
            "cross_entropy: target 3 of row 1; expected 0 to 2");
    REFUSED(sq__gru(tape, m, m, m, NULL, NULL, NULL, NULL, false, NULL), "recurrent: the projection is [2, 2]; expected [B, T, 3 H]");
    REFUSED(sq__group_norm(tape, m, v, v, 2, 1e-5f), "group_norm: groups is 2; expected a divisor of the 3 channels");
    REFUSED(sq__regression(tape, m, ones, SQ_HUBER, 0, true), "regression: beta or delta is 0; expected above 0");
    sq__tape_mode(tape, true, 1, 1);
    REFUSED(sq__dropout(tape, m, 1), "dropout: the probability of dropping is 1");
    sq__tape_destroy(tape);
}

/* sum((2x + x) x) = 3 x^2: x is reached by three ways. */
static void gradients_meet(void **state)
{
    (void)state;
    sq_tape *tape = sq__tape_create(true);
    sq_error error;
    float x[3] = { 1, -2, 0.5f };
    sq_var *in = sq__tape_input(tape, 1, (int64_t[]){ 3 }, x, true);
    sq_var *y = sq__multiply(tape, sq__add(tape, sq__scale(tape, in, 2), in), in);
    assert_ok(sq__tape_backward(tape, sq__sum(tape, y), NULL, &error), &error);
    for (int i = 0; i < 3; i++) assert_close(in->gradient[i], 6 * x[i], 1e-6);
    assert_null(y->gradient);   /* gone when it was used */
    assert_int_equal(sq__tape_backward(tape, y, NULL, &error), SQ_INVALID);
    assert_contains(error.message, "already ran backward");
    sq__tape_destroy(tape);
}

/* A buffer shared between two variables is copied before one of them is added to. */
static void shared_gradients_stay_apart(void **state)
{
    (void)state;
    sq_tape *tape = sq__tape_create(true);
    sq_error error;
    sq_var *a = vector(tape, 3, true), *b = vector(tape, 3, true);
    sq_var *late = sq__add(tape, a, b);             /* backward: both share the gradient of late */
    sq_var *early = sq__scale(tape, a, 5);
    (void)early;
    sq_var *total = sq__add(tape, late, sq__scale(tape, a, 7));
    assert_ok(sq__tape_backward(tape, sq__sum(tape, total), NULL, &error), &error);
    for (int i = 0; i < 3; i++) {
        assert_true(a->gradient[i] == 8);
        assert_true(b->gradient[i] == 1);
    }
    sq__tape_destroy(tape);
}

static void parameters_are_added_to(void **state)
{
    (void)state;
    float value[2] = { 3, 4 }, gradient[2] = { 100, 200 };
    sq_parameter parameter = { .name = "p", .rank = 1, .shape = { 2 }, .count = 2, .value = value, .gradient = gradient, .trainable = true };
    sq_tape *tape = sq__tape_create(true);
    sq_error error;
    for (int run = 0; run < 2; run++) {
        sq__tape_reset(tape);
        sq_var *once = sq__tape_parameter(tape, &parameter), *again = sq__tape_parameter(tape, &parameter);
        assert_ok(sq__tape_backward(tape, sq__sum(tape, sq__multiply(tape, once, again)), NULL, &error), &error);
    }
    assert_true(gradient[0] == 100 + 4 * 3 && gradient[1] == 200 + 4 * 4);
    parameter.trainable = false;
    parameter.gradient = NULL;
    sq__tape_reset(tape);
    sq_var *frozen = sq__sum(tape, sq__tape_parameter(tape, &parameter));
    assert_false(frozen->needs_gradient);
    assert_ok(sq__tape_backward(tape, frozen, NULL, &error), &error);
    sq__tape_destroy(tape);
}

/* Inside a scope only what backward reads stays; without recording only the result. */
static void scopes_let_values_go(void **state)
{
    (void)state;
    for (int record = 0; record < 2; record++) {
        sq_tape *tape = sq__tape_create(record);
        sq_error error;
        sq_scope scope = sq__scope_begin(tape);
        sq_var *x = vector(tape, 8, true), *a = sq__scale(tape, x, 2), *b = sq__activate(tape, a, SQ_TANH), *c = sq__add(tape, b, x);
        sq__scope_end(tape, scope, c, NULL);
        assert_non_null(c->value);
        assert_null(b->value);                       /* add reads neither */
        assert_int_equal(a->value != NULL, record);   /* activate reads its input */
        if (record) assert_ok(sq__tape_backward(tape, c, NULL, &error), &error);
        assert_null(a->value);
        assert_null(sq__sum(tape, b));
        assert_int_equal(sq__tape_status(tape, &error), SQ_INTERNAL);
        assert_contains(error.message, "let go by its scope");
        sq__tape_destroy(tape);
    }
}

/* A chain of 100 operations on 4 MB needs the room of a few without recording, and does not grow from run to run. */
static void memory_is_used_again(void **state)
{
    (void)state;
    const int64_t count = 1 << 20;
    float *x = calloc((size_t)count, sizeof *x);
    sq_tape *tape = sq__tape_create(false);
    const size_t before = sq_memory_current();
    size_t first = 0;
    for (int run = 0; run < 3; run++) {
        sq__tape_reset(tape);
        sq_memory_reset_peak();
        sq_scope scope = sq__scope_begin(tape);
        sq_var *y = sq__tape_input(tape, 1, &count, x, false);
        for (int i = 0; i < 100; i++) {
            y = sq__scale(tape, y, 1.01f);
            sq__scope_end(tape, scope, y, NULL);
        }
        assert_int_equal(sq__tape_status(tape, NULL), SQ_OK);
        const size_t used = sq_memory_peak() - before;
        assert_true(used < 3 * (size_t)count * sizeof *x);
        if (run == 1) first = used;
        if (run == 2) assert_true(used <= first);
    }
    sq__tape_destroy(tape);
    free(x);
}

/* Every allocation of a small network fails in turn: a clear status, nothing lost. */
static void every_allocation_may_fail(void **state)
{
    (void)state;
    const size_t before = sq_memory_current();
    sq_error error;
    bool done = false;
    for (long n = 1; !done && n < 1000; n++) {
        sq__alloc_fail_after(n);
        sq_tape *tape = sq__tape_create(true);
        sq_status status = SQ_NO_MEMORY;
        if (tape) {
            sq__tape_mode(tape, true, 1, 1);
            sq_var *x = sq__reshape(tape, vector(tape, 12, true), 3, (int64_t[]){ 2, 3, 2 });
            sq_var *w = sq__reshape(tape, vector(tape, 12, true), 2, (int64_t[]){ 6, 2 }), *last;
            sq_var *states = sq__gru(tape, x, w, w, NULL, NULL, NULL, NULL, true, &last);
            sq_var *gain = vector(tape, 2, true);
            sq_var *y = sq__dropout(tape, sq__layer_norm(tape, states, gain, gain, 1e-5f), 0.5f);
            sq_var *w2 = sq__reshape(tape, w, 2, (int64_t[]){ 2, 6 });
            y = sq__feed_forward(tape, &(sq_feed_forward_inputs){ .x = y, .w1 = w, .w2 = w2, .residual = y }, SQ_GELU, 0.5f);
            y = sq__cross_entropy(tape, sq__pool(tape, y, NULL, SQ_POOL_MEAN), (const int32_t[]){ 0, 1 }, &(sq_cross_entropy){ .ignore = -100 });
            status = sq__tape_status(tape, &error);
            if (status == SQ_OK) status = sq__tape_backward(tape, y, NULL, &error);
        }
        done = status == SQ_OK;
        if (!done) assert_int_equal(status, SQ_NO_MEMORY);
        sq__alloc_fail_after(0);
        sq__tape_destroy(tape);
        assert_int_equal(sq_memory_current(), before);
    }
    assert_true(done);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_failure_is_kept), cmocka_unit_test(shape_rules), cmocka_unit_test(gradients_meet),
        cmocka_unit_test(shared_gradients_stay_apart), cmocka_unit_test(parameters_are_added_to), cmocka_unit_test(scopes_let_values_go),
        cmocka_unit_test(memory_is_used_again), cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
