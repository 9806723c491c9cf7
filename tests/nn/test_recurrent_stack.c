/* Stacks of recurrent layers: how they start, what they hold, that states carried over go on. */
#include "nn/recurrent_stack.h"

#include "naive.h"
#include "nn/recurrent_start.h"

static sq_parameters set;

static int clear_set(void **state)
{
    (void)state;
    sq__parameters_clear(&set);
    return 0;
}

static sq_recurrent_stack stack_of(const sq_recurrent_config *config)
{
    sq_recurrent_stack stack;
    sq_error error;
    sq__parameters_clear(&set);
    assert_ok(sq__recurrent_stack_create(&stack, &set, "r", config, &error), &error);
    return stack;
}

static int64_t recurrent_numbers(void)
{
    int64_t all = 0;
    for (int i = 0; i < set.count; i++)
        if (strstr(set.items[i].name, "_hh")) all += set.items[i].count;
    return all;
}

/* Factors start unitary to rounding, whatever their sizes, and hold few numbers for many units. */
static void kronecker_starts_unitary(void **state)
{
    (void)state;
    const struct { sq_cell cell; int64_t hidden, factor, numbers; } cases[] = {
        { SQ_CELL_COMPLEX_MODRELU, 4096, 2, 11 * 8 }, { SQ_CELL_RNN_TANH, 4096, 2, 12 * 4 }, { SQ_CELL_LSTM, 96, 4, 4 * (2 * 16 + 2 * 4 + 9) },
        { SQ_CELL_MODRELU, 7, 2, 49 }, { SQ_CELL_RNN_TANH, 1, 2, 1 },   /* 96 = 4 4 2 3 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sq_recurrent_stack stack = stack_of(&(sq_recurrent_config){ .cell = cases[i].cell, .map = SQ_MAP_KRONECKER, .layers = 2, .input = 3,
                                                                    .hidden = cases[i].hidden, .factor = cases[i].factor });
        sq_tape *tape = sq__tape_create(false);
        const sq_var *penalty = sq__recurrent_stack_penalty(&stack, tape);
        assert_non_null(penalty);
        assert_close(penalty->value[0], 0, 1e-11);
        print_message("%s, %lld units: %lld numbers a layer, penalty %.2g\n", sq__cell_name(cases[i].cell), (long long)cases[i].hidden,
                      (long long)recurrent_numbers() / 2, (double)penalty->value[0]);
        if (cases[i].cell != SQ_CELL_LSTM) assert_int_equal(recurrent_numbers(), 2 * cases[i].numbers);
        sq__tape_destroy(tape);
        sq__recurrent_stack_clear(&stack);
    }
}

/* A unitary map keeps the length of what it maps: 1,000 steps of a linear unit (modrelu with bias 0) without input. */
static void a_unitary_state_neither_fades_nor_grows(void **state)
{
    (void)state;
    enum { HIDDEN = 64, STEPS = 1000 };
    sq_recurrent_stack stack = stack_of(&(sq_recurrent_config){ .cell = SQ_CELL_COMPLEX_MODRELU, .map = SQ_MAP_KRONECKER, .layers = 1, .input = 2,
                                                                .hidden = HIDDEN, .factor = 2 });
    static const float zeros[STEPS * 2];
    float *first = draw("first", HIDDEN);
    double before = 0, after = 0;
    sq_tape *tape = sq__tape_create(false);
    sq_var *initial = sq__tape_input(tape, 2, (int64_t[]){ 1, HIDDEN }, first, false), *last;
    sq__recurrent_stack_run(&stack, tape, sq__tape_input(tape, 3, (int64_t[]){ 1, STEPS, 2 }, zeros, false), NULL, &initial, &last);
    assert_non_null(last);
    for (int i = 0; i < HIDDEN; i++) {
        before += (double)first[i] * first[i];
        after += (double)last->value[i] * last->value[i];
    }
    assert_true(after < before && after > 0.9 * before);   /* 1e-5 in the denominator of modrelu takes a little at every step */
    sq__tape_destroy(tape);
    sq__recurrent_stack_clear(&stack);
    free(first);
}

static void starts(void **state)
{
    (void)state;
    enum { H = 12 };
    sq_recurrent_stack stack = stack_of(&(sq_recurrent_config){ .cell = SQ_CELL_LSTM, .layers = 1, .input = 3, .hidden = H, .start = SQ_START_ORTHOGONAL, .memory = 500 });
    const float *w = named(&set, "r.0", "weight_hh"), *b = named(&set, "r.0", "bias_ih"), *second = named(&set, "r.0", "bias_hh");
    for (int gate = 0; gate < 4; gate++)
        for (int i = 0; i < H; i++)
            for (int j = 0; j < H; j++) {
                double dot = 0;
                for (int k = 0; k < H; k++) dot += (double)w[(gate * H + i) * H + k] * w[(gate * H + j) * H + k];
                assert_close(dot, i == j, 1e-6);
            }
    for (int i = 0; i < H; i++) {
        assert_true(b[H + i] >= 0 && b[H + i] <= log(499) && b[i] == -b[H + i]);
        assert_true(second[i] == 0 && second[H + i] == 0);
    }
    sq__recurrent_stack_clear(&stack);
    stack = stack_of(&(sq_recurrent_config){ .cell = SQ_CELL_RNN_RELU, .layers = 1, .input = 3, .hidden = H, .start = SQ_START_IDENTITY });
    w = named(&set, "r.0", "weight_hh");
    for (int i = 0; i < H * H; i++) assert_true(w[i] == (i % (H + 1) == 0));
    sq__recurrent_stack_clear(&stack);
    stack = stack_of(&(sq_recurrent_config){ .cell = SQ_CELL_FASTGRNN, .map = SQ_MAP_LOW_RANK, .layers = 1, .input = 3, .hidden = H, .rank = 4 });
    assert_int_equal(recurrent_numbers(), 2 * 4 * H);
    w = named(&set, "r.0", "left_hh");
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            double dot = 0;
            for (int k = 0; k < H; k++) dot += (double)w[i * H + k] * w[j * H + k];
            assert_close(dot, i == j, 1e-6);
        }
    sq__recurrent_stack_clear(&stack);
}

/* Layers one over another, from states of their own. */
static void states_go_on(void **state)
{
    (void)state;
    enum { B = 2, T = 12, I = 3, H = 8 };
    float *x = draw("x", B * T * I);
    for (int projected = 0; projected < 2; projected++) {
        sq_recurrent_stack stack = stack_of(&(sq_recurrent_config){ .cell = SQ_CELL_LSTM, .layers = 2, .input = I, .hidden = H, .output = projected ? 5 : 0, .forget = 1 });
        sq_tape *tape = sq__tape_create(false);
        sq_var *last[2], *end[2];
        const sq_var *whole = sq__recurrent_stack_run(&stack, tape, sq__tape_input(tape, 3, (int64_t[]){ B, T, I }, x, false), NULL, NULL, last);
        assert_non_null(whole);
        const int64_t P = whole->shape[2];
        float first[B * 7 * I], rest[B * 5 * I];
        for (int b = 0; b < B; b++) {
            memcpy(first + b * 7 * I, x + b * T * I, 7 * I * sizeof *x);
            memcpy(rest + b * 5 * I, x + (b * T + 7) * I, 5 * I * sizeof *x);
        }
        sq__recurrent_stack_run(&stack, tape, sq__tape_input(tape, 3, (int64_t[]){ B, 7, I }, first, false), NULL, NULL, end);
        const sq_var *tail = sq__recurrent_stack_run(&stack, tape, sq__tape_input(tape, 3, (int64_t[]){ B, 5, I }, rest, false), NULL, end, end);
        assert_non_null(tail);
        for (int b = 0; b < B; b++)
            for (int64_t i = 0; i < 5 * P; i++) assert_close(tail->value[b * 5 * P + i], whole->value[(b * T + 7) * P + i], 1e-6);
        for (int layer = 0; layer < 2; layer++)
            for (int64_t i = 0; i < last[layer]->count; i++) assert_close(end[layer]->value[i], last[layer]->value[i], 1e-6);
        sq__tape_destroy(tape);
        sq__recurrent_stack_clear(&stack);
    }
    free(x);
}

static void refusals(void **state)
{
    (void)state;
    const struct { sq_recurrent_config config; sq_status status; } cases[] = {
        { { .cell = SQ_CELL_GRU, .layers = 0, .input = 1, .hidden = 1 }, SQ_INVALID },
        { { .cell = SQ_CELL_COMPLEX_TANH, .map = SQ_MAP_KRONECKER, .layers = 1, .input = 1, .hidden = 5, .factor = 2 }, SQ_INVALID },
        { { .cell = SQ_CELL_GRU, .map = SQ_MAP_LOW_RANK, .layers = 1, .input = 1, .hidden = 4 }, SQ_INVALID },
        { { .cell = SQ_CELL_LSTM, .map = SQ_MAP_KRONECKER, .layers = 1, .input = 1, .hidden = 4, .factor = 2, .output = 2 }, SQ_UNSUPPORTED },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sq_recurrent_stack stack;
        sq_error error = { 0 };
        assert_int_equal(sq__recurrent_stack_create(&stack, &set, "refused", &cases[i].config, &error), cases[i].status);
        assert_true(error.message[0] != 0);
        sq__recurrent_stack_clear(&stack);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(kronecker_starts_unitary), cmocka_unit_test(a_unitary_state_neither_fades_nor_grows),
                                        cmocka_unit_test(starts), cmocka_unit_test(states_go_on), cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, NULL, clear_set);
}
