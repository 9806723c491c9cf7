/* Kronecker products: against the product written out, gradients, the penalty's zeros. */
#include "autograd/kronecker.h"

#include "gradient.h"

static const sq_kronecker rectangular = { .count = 3, .rows = { 2, 4, 3 }, .columns = { 3, 2, 5 } };
static const sq_kronecker complex_rectangular = { .count = 3, .complex = true, .rows = { 1, 3, 4 }, .columns = { 5, 2, 2 } };
static const sq_kronecker squares = { .count = 5, .rows = { 2, 2, 2, 2, 2 }, .columns = { 2, 2, 2, 2, 2 } };
static const sq_kronecker complex_squares = { .count = 2, .complex = true, .rows = { 3, 2 }, .columns = { 3, 2 } };

#define BUILD(name, made) static sq_var *name(sq_tape *tape, sq_var *const *in) { return made; }
BUILD(product, sq__kronecker(tape, in[0], in[1], &rectangular))
BUILD(complex_product, sq__kronecker(tape, in[0], in[1], &complex_rectangular))
BUILD(twos, sq__kronecker(tape, in[0], in[1], &squares))
BUILD(penalty, sq__unitary_penalty(tape, in[0], &squares))
BUILD(complex_penalty, sq__unitary_penalty(tape, in[0], &complex_squares))

static void gradients(void **state)
{
    (void)state;
    const gradient_case cases[] = {
        { "kronecker", 2, { { .rank = 2, .shape = { 7, 30 } }, { .rank = 2, .shape = { 2, 29 } } }, product, false, 0 },
        { "kronecker, many rows", 2, { { .rank = 3, .shape = { 3, 171, 30 } }, { .rank = 2, .shape = { 1, 29 } } }, product, false, 0 },
        { "kronecker, complex", 2, { { .rank = 2, .shape = { 9, 40 } }, { .rank = 2, .shape = { 2, 38 } } }, complex_product, false, 0 },
        { "kronecker, twos", 2, { { .rank = 1, .shape = { 32 } }, { .rank = 2, .shape = { 1, 20 } } }, twos, false, 0 },
        { "unitary_penalty", 1, { { .rank = 2, .shape = { 2, 20 } } }, penalty, false, 0 },
        { "unitary_penalty, complex", 1, { { .rank = 2, .shape = { 2, 26 } } }, complex_penalty, false, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double worst = check_gradient(&cases[i]);
        print_message("%-28s %.2g\n", cases[i].name, worst);
        assert_true(worst <= 3e-4);
    }
}

typedef struct number { double re, im; } number;

/* Element (i, j) of the product of the factors at w. */
static number element(const sq_kronecker *k, const float *w, int64_t i, int64_t j)
{
    number e = { 1, 0 };
    int64_t in = 1, out = 1;
    for (int f = 0; f < k->count; f++) {
        in *= k->columns[f];
        out *= k->rows[f];
    }
    for (int f = 0; f < k->count; f++) {
        const int64_t P = k->rows[f], Q = k->columns[f];
        in /= Q;
        out /= P;
        const int64_t at = i / out % P * Q + j / in % Q;
        const double re = w[at], im = k->complex ? w[P * Q + at] : 0;
        e = (number){ e.re * re - e.im * im, e.re * im + e.im * re };
        w += (k->complex ? 2 : 1) * P * Q;
    }
    return e;
}

static void written_out(void **state)
{
    (void)state;
    enum { ROWS = 70, BLOCKS = 2 };
    const sq_kronecker *const all[] = { &rectangular, &complex_rectangular, &squares, &complex_squares };
    for (size_t which = 0; which < 4; which++) {
        const sq_kronecker *k = all[which];
        const int64_t in = sq__kronecker_in(k), out = sq__kronecker_out(k), floats = sq__kronecker_floats(k), planes = k->complex ? 2 : 1, n = in / planes, m = out / planes;
        float *x = draw_floats("x", which, ROWS * in, -1, 1), *w = draw_floats("w", which, BLOCKS * floats, -1, 1);
        sq_tape *tape = sq__tape_create(false);
        const sq_var *y = sq__kronecker(tape, sq__tape_input(tape, 2, (int64_t[]){ ROWS, in }, x, false),
                                        sq__tape_input(tape, 2, (int64_t[]){ BLOCKS, floats }, w, false), k);
        assert_non_null(y);
        for (int64_t r = 0; r < ROWS; r++)
            for (int64_t b = 0; b < BLOCKS; b++)
                for (int64_t i = 0; i < m; i++) {
                    number sum = { 0, 0 };
                    for (int64_t j = 0; j < n; j++) {
                        const number e = element(k, w + b * floats, i, j);
                        const double re = x[r * in + j], im = planes == 2 ? x[r * in + n + j] : 0;
                        sum = (number){ sum.re + e.re * re - e.im * im, sum.im + e.re * im + e.im * re };
                    }
                    const float *got = y->value + (r * BLOCKS + b) * out;
                    assert_close(got[i], sum.re, 2e-6);
                    if (planes == 2) assert_close(got[m + i], sum.im, 2e-6);
                }
        sq__tape_destroy(tape);
        free(x);
        free(w);
    }
}

/* Rotations and phases cost nothing; twice a rotation costs ||4 I - I||^2 = 9 per dimension. */
static void unitary_factors_cost_nothing(void **state)
{
    (void)state;
    const float a = cosf(0.7f), b = sinf(0.7f);
    const float rotations[20] = { a, b, -b, a, a, -b, b, a, 1, 0, 0, 1, 0, 1, 1, 0, -1, 0, 0, 1 }, doubled[4] = { 2 * a, 2 * b, -2 * b, 2 * a }, phase[2] = { a, b };
    const sq_kronecker one = { .count = 1, .rows = { 2 }, .columns = { 2 } }, turn = { .count = 1, .complex = true, .rows = { 1 }, .columns = { 1 } };
    sq_tape *tape = sq__tape_create(false);
    assert_close(sq__unitary_penalty(tape, sq__tape_input(tape, 2, (int64_t[]){ 1, 20 }, rotations, false), &squares)->value[0], 0, 1e-12);
    assert_close(sq__unitary_penalty(tape, sq__tape_input(tape, 2, (int64_t[]){ 1, 2 }, phase, false), &turn)->value[0], 0, 1e-12);
    assert_close(sq__unitary_penalty(tape, sq__tape_input(tape, 2, (int64_t[]){ 1, 4 }, doubled, false), &one)->value[0], 18, 1e-6);
    sq__tape_destroy(tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(written_out), cmocka_unit_test(gradients), cmocka_unit_test(unitary_factors_cost_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
