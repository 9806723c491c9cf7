/* Operations of models that keep rows of the past: against their formulas in double, and against differences of themselves (gradient.h). */
#include "autograd/ops.h"
#include "autograd/relative.h"
#include "gradient.h"

/* Measured worst of the gradients: printed at the end of a run. A wrong element changes the figure by at least 1/sqrt(elements), 1e-2 here. */
#define BOUND 3e-4

typedef struct relative_case {
    const char *name;
    int64_t B, T, N, H, D, P, window;
    bool biases;
    int64_t span_count;
    sq_relative_span spans[4];
} relative_case;

/* Long: several blocks of queries, key tiles and groups; lists in two pieces; a query in no span; a window shorter and longer than a block. */
static const relative_case cases[] = {
    { "whole", 2, 5, 9, 2, 3, 9, 0, true, 2, { { 0, 0, 5, { 0, 0 }, { 9, 0 }, 4 }, { 1, 0, 5, { 2, 0 }, { 7, 0 }, 2 } } },
    { "no biases", 1, 4, 4, 1, 5, 4, 0, false, 1, { { 0, 0, 4, { 0, 0 }, { 4, 0 }, 0 } } },
    { "window", 1, 7, 12, 2, 4, 3, 3, true, 1, { { 0, 1, 6, { 0, 0 }, { 12, 0 }, 6 } } },
    { "two pieces", 2, 6, 14, 2, 3, 14, 0, true, 3, { { 0, 0, 6, { 1, 8 }, { 3, 6 }, 3 }, { 1, 0, 2, { 0, 6 }, { 2, 4 }, 4 }, { 1, 3, 3, { 1, 8 }, { 2, 5 }, 4 } } },
    { "everything seen", 2, 3, 6, 2, 4, 0, 0, false, 2, { { 0, 0, 3, { 0, 0 }, { 6, 0 }, 0 }, { 1, 0, 3, { 0, 4 }, { 2, 2 }, 0 } } },
    { "blocks", 1, 150, 420, 1, 8, 300, 300, true, 1, { { 0, 0, 150, { 0, 0 }, { 420, 0 }, 270 } } },
    { "short window", 1, 140, 160, 2, 4, 20, 20, true, 1, { { 0, 0, 140, { 0, 0 }, { 160, 0 }, 20 } } },
    { "blocks of two pieces", 1, 100, 200, 1, 4, 190, 0, true, 1, { { 0, 0, 100, { 5, 95 }, { 60, 105 }, 65 } } },
};
enum { CASES = sizeof cases / sizeof *cases };

static const relative_case *current;

static sq_var *attend(sq_tape *tape, sq_var *const *in)
{
    const relative_case *c = current;
    const bool table = c->P > 0;
    sq_relative_inputs inputs = { .q = in[0], .kv = in[1], .r = table ? in[2] : NULL, .heads = c->H, .window = c->window, .spans = c->spans, .span_count = c->span_count };
    if (c->biases) {
        inputs.u = in[3];
        inputs.v = in[4];
    }
    return sq__relative_attention(tape, &inputs);
}

static gradient_case gradient_of(const relative_case *c)
{
    const int64_t E = c->H * c->D;
    gradient_case g = { .name = c->name, .inputs = 2 + (c->P > 0) + 2 * c->biases, .build = attend,
                        .input = { { 3, { c->B, c->T, E } }, { 3, { c->B, c->N, 2 * E } }, { 2, { c->P, E } }, { 2, { c->H, c->D } }, { 1, { E } } } };
    current = c;
    return g;
}

/* Query i of a span in double: out [D] of head h. */
static void naive_row(const relative_case *c, const sq_relative_span *s, int64_t i, int64_t h, const float *const *in, double *out)
{
    const int64_t E = c->H * c->D, all = s->keys[0] + s->keys[1];
    const float *q = in[0] + (s->entry * c->T + s->first + i) * E + h * c->D;
    double *p = calloc((size_t)all, sizeof *p), sum = 0;
    for (int64_t j = 0; j < all; j++) {
        const int64_t row = j < s->keys[0] ? s->from[0] + j : s->from[1] + j - s->keys[0], distance = s->origin + i - j;
        const float *k = in[1] + (s->entry * c->N + row) * 2 * E + h * c->D;
        if ((c->P || c->window) && (distance < 0 || (c->window && distance >= c->window))) continue;
        for (int64_t d = 0; d < c->D; d++) {
            const double u = c->biases ? in[3][h * c->D + d] : 0, v = c->biases ? in[4][h * c->D + d] : 0;
            p[j] += (q[d] + u) * k[d];
            if (c->P) p[j] += (q[d] + v) * in[2][(c->P - 1 - distance) * E + h * c->D + d];
        }
        sum += p[j] = exp(p[j] / sqrt((double)c->D));
    }
    for (int64_t j = 0; j < all; j++) {
        const int64_t row = j < s->keys[0] ? s->from[0] + j : s->from[1] + j - s->keys[0];
        for (int64_t d = 0; d < c->D; d++) out[d] += p[j] / sum * in[1][(s->entry * c->N + row) * 2 * E + E + h * c->D + d];
    }
    free(p);
}

static void attention_is_its_formula(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const relative_case *c = &cases[i];
        const gradient_case g = gradient_of(c);
        const int64_t E = c->H * c->D;
        sq_tape *tape = sq__tape_create(false);
        operands o = { .g = NULL };
        for (int n = 0; n < g.inputs; n++) {
            o.count[n] = 1;
            for (int axis = 0; axis < g.input[n].rank; axis++) o.count[n] *= g.input[n].shape[axis];
            o.value[n] = draw_floats("naive", (uint64_t)n, o.count[n], -1, 1);
        }
        const sq_var *out = build_case(&g, tape, &o);
        double *expected = calloc((size_t)out->count, sizeof *expected), worst = 0;
        for (int64_t s = 0; s < c->span_count; s++)
            for (int64_t t = 0; t < c->spans[s].count; t++)
                for (int64_t h = 0; h < c->H; h++)
                    naive_row(c, &c->spans[s], t, h, (const float *const *)o.value,
                              expected + (c->spans[s].entry * c->T + c->spans[s].first + t) * E + h * c->D);
        for (int64_t n = 0; n < out->count; n++) worst = fmax(worst, fabs(out->value[n] - expected[n]));
        print_message("%-24s %.2g off\n", c->name, worst);
        assert_true(worst <= 1e-6);
        for (int n = 0; n < g.inputs; n++) free(o.value[n]);
        free(expected);
        sq__tape_destroy(tape);
    }
}

static void attention_has_its_gradient(void **state)
{
    (void)state;
    for (int i = 0; i < CASES; i++) {
        const gradient_case g = gradient_of(&cases[i]);
        const double error = check_gradient(&g);
        print_message("%-24s gradient %.2g off\n", g.name, error);
        assert_true(error <= BOUND);
    }
}

static float past[2][4 * 3];

static sq_var *prepend(sq_tape *tape, sq_var *const *in)
{
    for (int i = 0; i < 24; i++) past[i / 12][i % 12] = (float)i / 24;
    return sq__multiply(tape, sq__prepend_rows(tape, in[0], (sq_row_part[]){ { past[0] + 3, 1, 12 }, { past[0] + 6, 2, 12 } }, 2), in[1]);
}

static void prepend_rows_has_its_gradient(void **state)
{
    (void)state;
    const gradient_case g = { .name = "prepend_rows", .inputs = 2, .input = { { 3, { 2, 4, 3 } }, { 3, { 2, 7, 3 } } }, .build = prepend };
    assert_true(check_gradient(&g) <= BOUND);
}

/* A span that looks back beyond the table, or a key beyond the rows: refused, not read. */
static void spans_are_checked(void **state)
{
    (void)state;
    const sq_relative_span wrong[] = { { 0, 0, 2, { 0, 0 }, { 4, 0 }, 3 }, { 0, 0, 2, { 1, 0 }, { 4, 0 }, 1 }, { 1, 0, 1, { 0, 0 }, { 1, 0 }, 0 }, { 0, 1, 2, { 0, 0 }, { 4, 0 }, 1 } };
    const float values[32] = { 0 };
    for (int i = 0; i < 4; i++) {
        sq_tape *tape = sq__tape_create(false);
        sq_error error;
        const sq_relative_inputs inputs = { .q = sq__tape_input(tape, 3, (int64_t[]){ 1, 2, 2 }, values, false), .kv = sq__tape_input(tape, 3, (int64_t[]){ 1, 4, 4 }, values, false),
                                            .r = sq__tape_input(tape, 2, (int64_t[]){ 4, 2 }, values, false), .heads = 1, .spans = &wrong[i], .span_count = 1 };
        assert_null(sq__relative_attention(tape, &inputs));
        assert_int_equal(sq__tape_status(tape, &error), SQ_INTERNAL);
        sq__tape_destroy(tape);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attention_is_its_formula),
        cmocka_unit_test(attention_has_its_gradient),
        cmocka_unit_test(prepend_rows_has_its_gradient),
        cmocka_unit_test(spans_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
