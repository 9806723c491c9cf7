/* Memory that is searched: gradients of what is found, and the search against a plain one. */
#include "gradient.h"

#include "autograd/retrieved.h"

/* Measured worst of the gradients: printed. A wrong element changes the figure by at least 1/sqrt(elements), 1e-2 here. */
#define BOUND 3e-4

enum { B = 2, T = 70, H = 2, D = 3, E = H * D, N = 75, PAST = 300, K = 5 };

static float past[B * PAST * 2 * E];
static int32_t list[B * T * H * K];

/* Lists of random rows, some short, one empty. */
static int fill(void **state)
{
    (void)state;
    sq_random random = sq__random_stream(1, "retrieved", 0);
    sq__random_uniform_fill(&random, past, B * PAST * 2 * E, -1, 1);
    for (int i = 0; i < B * T * H * K; i++) list[i] = i < K || i % 11 == 3 ? -1 : (int32_t)sq__random_below(&random, (uint64_t)(B * PAST * 2 * E + i), PAST + N);
    return 0;
}

static sq_retrieved inputs(sq_var *const *in, bool learns)
{
    return (sq_retrieved){ .q = in[0], .memory = { past, PAST, in[1] }, .temperature = in[2], .local = in[3], .gate = in[4], .list = list, .heads = H, .topk = K,
                           .scale = 0.7f, .learns = learns };
}

static sq_var *mixed(sq_tape *tape, sq_var *const *in)
{
    const sq_retrieved of = inputs(in, true);
    return sq__retrieved(tape, &of);
}

static sq_var *alone(sq_tape *tape, sq_var *const *in)
{
    return mixed(tape, (sq_var *[]){ in[0], in[1], NULL, NULL, NULL });
}

#define OF(rank, ...) { rank, { __VA_ARGS__ }, 0, 0, false }
static const gradient_case cases[] = {
    { "retrieved, gated", 5, { OF(3, B, T, E), OF(3, B, N, 2 * E), OF(1, H), OF(3, B, T, E), OF(1, H) }, mixed, false, 0 },
    { "retrieved", 2, { OF(3, B, T, E), OF(3, B, N, 2 * E) }, alone, false, 0 },
};

static void gradients(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double error = check_gradient(&cases[i]);
        print_message("%-32s %.2g\n", cases[i].name, error);
        assert_true(error <= BOUND);
    }
}

/* Memory that does not learn gets no gradient; the queries get theirs. Where nothing is found, what was found nearby stays. */
static void memory_is_constant(void **state)
{
    (void)state;
    sq_tape *tape = sq__tape_create(true);
    sq_error error;
    float *values[5] = { draw_floats("q", 0, B * T * E, -1, 1), draw_floats("now", 0, B * N * 2 * E, -1, 1), draw_floats("temperature", 0, H, -1, 1),
                         draw_floats("local", 0, B * T * E, -1, 1), draw_floats("gate", 0, H, -1, 1) };
    sq_var *in[5] = { sq__tape_input(tape, 3, (int64_t[]){ B, T, E }, values[0], true), sq__tape_input(tape, 3, (int64_t[]){ B, N, 2 * E }, values[1], true),
                      sq__tape_input(tape, 1, (int64_t[]){ H }, values[2], true), sq__tape_input(tape, 3, (int64_t[]){ B, T, E }, values[3], true),
                      sq__tape_input(tape, 1, (int64_t[]){ H }, values[4], true) };
    const sq_retrieved of = inputs(in, false);
    sq_var *out = sq__retrieved(tape, &of);
    assert_ok(sq__tape_status(tape, &error), &error);
    for (int d = 0; d < D; d++) assert_true(out->value[d] == values[3][d]);
    assert_ok(sq__tape_backward(tape, out, NULL, &error), &error);
    assert_true(!in[1]->gradient || in[1]->gradient[0] == 0);
    assert_true(in[0]->gradient[E] != 0);
    sq__tape_destroy(tape);
    for (int i = 0; i < 5; i++) free(values[i]);
}

/* Whether query t of stream b may find row i. */
static bool may(const sq_memory_view *view, int64_t rows, int64_t t, int64_t i)
{
    if (i >= rows) return i - rows >= view->first && i - rows >= t - view->reach && i - rows < t - view->behind;
    const int64_t age = (i - view->oldest + rows) % rows;   /* 0: the oldest */
    return age >= view->hidden && age >= t;
}

static void the_nearest_are_found(void **state)
{
    (void)state;
    const sq_memory_view views[B] = { { .oldest = 290, .hidden = 20, .first = 2, .reach = 40, .behind = -1 }, { .oldest = 0, .hidden = 300, .first = 0, .reach = 1000, .behind = 9 } };
    const int32_t lengths[B] = { T, 66 };
    float *q = draw_floats("q", 2, B * T * E, -1, 1), *now = draw_floats("now", 2, B * N * 2 * E, -1, 1);
    for (int threads = 1; threads <= 3; threads += 2) {
        sq_tape *tape = sq__tape_create(false);
        sq__set_threads(threads);
        const sq_memory_rows memory = { past, PAST, sq__tape_input(tape, 3, (int64_t[]){ B, N, 2 * E }, now, false) };
        const int32_t *found = sq__nearest_rows(tape, sq__tape_input(tape, 3, (int64_t[]){ B, T, E }, q, false), &memory, views, lengths, H, K);
        assert_non_null(found);
        for (int64_t b = 0; b < B; b++)
            for (int64_t t = 0; t < T; t++)
                for (int64_t h = 0; h < H; h++, found += K) {
                    double least = INFINITY, score[PAST + N];
                    int count = 0, better = 0;
                    for (int64_t i = 0; i < PAST + N; i++) {
                        const float *key = i < PAST ? past + (b * PAST + i) * 2 * E : now + (b * N + i - PAST) * 2 * E;
                        score[i] = 0;
                        for (int d = 0; d < D; d++) score[i] += (double)q[(b * T + t) * E + h * D + d] * key[h * D + d];
                    }
                    while (count < K && found[count] >= 0) {
                        assert_true(t < lengths[b] && may(&views[b], PAST, t, found[count]) && (!count || found[count] > found[count - 1]));
                        least = fmin(least, score[found[count++]]);
                    }
                    for (int64_t i = 0; i < PAST + N; i++) better += t < lengths[b] && may(&views[b], PAST, t, i) && score[i] > (count < K ? -INFINITY : least + 1e-6);
                    assert_true(count < K ? better == count : better < K);
                }
        sq__tape_destroy(tape);
    }
    sq__set_threads(1);
    free(q);
    free(now);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(gradients), cmocka_unit_test(memory_is_constant), cmocka_unit_test(the_nearest_are_found) };
    return cmocka_run_group_tests(tests, fill, NULL);
}
