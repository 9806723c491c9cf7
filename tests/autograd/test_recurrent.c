/* Recurrent layers: every cell with every map against the equations, gradients, and laws of walking. */
#include "recurrent_cases.h"

static layer current;
static int place[OPERANDS];            /* of operand i among the inputs of a case; -1: absent */

static sq_var *present(sq_var *const *in, int i) { return place[i] < 0 ? NULL : in[place[i]]; }

/* Both outputs side by side, so that g reaches them all. */
static sq_var *run_current(sq_tape *tape, sq_var *const *in)
{
    sq_var *given[OPERANDS], *last;
    for (int i = 0; i < OPERANDS; i++) given[i] = present(in, i);
    sq_var *states = run_layer(tape, &current, given, &last);
    if (!states) return NULL;
    sq_var *flat = sq__reshape(tape, states, 1, &states->count), *end = sq__reshape(tape, last, 1, &last->count);
    return sq__concatenate(tape, (sq_var *[]){ flat, end }, 2);
}

static double worst_gradient, worst_value;

static const int32_t few_lengths[3] = { 3, 5, 0 };

/* relu and modrelu have kinks: one step that stays above them. Steps on the other side are in the reference vectors. */
static bool kinked(sq_cell cell) { return cell == SQ_CELL_RNN_RELU || cell == SQ_CELL_MODRELU || cell == SQ_CELL_COMPLEX_MODRELU; }

static void check_layer_gradient(layer l, bool from_zero)
{
    input_spec spec[OPERANDS];
    char name[80];
    snprintf(name, sizeof name, "%s, map %d%s%s", sq__cell_name(l.cell), l.map, l.projected ? ", projected" : "", l.reverse ? ", reversed" : "");
    gradient_case c = { .name = name, .build = run_current };
    current = l;
    operands_of(&l, spec);
    if (kinked(l.cell)) spec[0].low = 4.5f, spec[0].high = 6;
    if (from_zero) spec[6].rank = 0;
    for (int i = 0; i < OPERANDS; i++) {
        place[i] = spec[i].rank ? c.inputs : -1;
        if (spec[i].rank) c.input[c.inputs++] = spec[i];
    }
    const double error = check_gradient(&c);
    worst_gradient = fmax(worst_gradient, error);   /* measured: 3.4e-4 by rounding, where a cell has two numbers of its own; a wrong element: 1e-2 */
    if (!(error <= 6e-4)) fail_msg("%s: relative error %.3g", name, error);
}

static void gradients(void **state)
{
    (void)state;
    for (int cell = 0; cell < SQ_CELL_COUNT; cell++)
        for (int map = 0; map <= SQ_MAP_KRONECKER; map++) {
            const int64_t T = kinked(cell) ? 1 : 5;
            check_layer_gradient((layer){ .cell = cell, .map = map, .B = 3, .T = T, .bias = true, .lengths = T == 5 ? few_lengths : NULL }, false);
            check_layer_gradient((layer){ .cell = cell, .map = map, .B = 19, .T = kinked(cell) ? 1 : 4, .reverse = true }, true);   /* more than a slice */
        }
    for (int map = 0; map <= SQ_MAP_LOW_RANK; map++)
        check_layer_gradient((layer){ .cell = SQ_CELL_LSTM, .map = map, .projected = true, .B = 3, .T = 5, .bias = true, .lengths = few_lengths }, false);
    check_layer_gradient((layer){ .cell = SQ_CELL_GRU, .B = 70, .T = 2, .bias = true }, false);   /* wide slices, packed weights */
    print_message("worst relative error of a gradient: %.2g\n", worst_gradient);
}

static void check_layer_values(layer l)
{
    input_spec spec[OPERANDS];
    float *value[OPERANDS] = { NULL };
    sq_var *in[OPERANDS] = { NULL }, *last;
    sq_tape *tape = sq__tape_create(false);
    operands_of(&l, spec);
    for (int i = 0; i < OPERANDS; i++) {
        int64_t count = spec[i].rank ? 1 : 0;
        for (int axis = 0; axis < spec[i].rank; axis++) count *= spec[i].shape[axis];
        if (!count) continue;
        value[i] = draw_floats("values", (uint64_t)(i + 10 * (int)l.cell), count, -0.6f, i == 4 ? -0.05f : 0.6f);   /* modrelu with b > 0 jumps at 0 */
        in[i] = sq__tape_input(tape, spec[i].rank, spec[i].shape, value[i], false);
    }
    const sq_var *out = run_layer(tape, &l, in, &last);
    sq_error error;
    assert_ok(sq__tape_status(tape, &error), &error);
    const int64_t P = width_of(&l), W = state_of(&l), G = sq__cell_blocks(l.cell) * H;
    for (int64_t b = 0; b < l.B; b++) {
        double h[2 * H];
        const int64_t length = l.lengths ? l.lengths[b] : l.T;
        for (int64_t i = 0; i < W; i++) h[i] = value[6][b * W + i];
        for (int64_t s = 0; s < length; s++) {
            const int64_t row = b * l.T + (l.reverse ? length - 1 - s : s);
            naive_step(&l, value, value[0] + row * G, h);
            for (int64_t i = 0; i < P; i++) worst_value = fmax(worst_value, fabs(h[i] - out->value[row * P + i]));
        }
        for (int64_t i = 0; i < W; i++) worst_value = fmax(worst_value, fabs(h[i] - last->value[b * W + i]));
        for (int64_t i = (b * l.T + length) * P; i < (b + 1) * l.T * P; i++) assert_true(out->value[i] == 0);
    }
    if (!(worst_value <= 2e-6)) fail_msg("%s, map %d: error %.3g", sq__cell_name(l.cell), l.map, worst_value);
    for (int i = 0; i < OPERANDS; i++) free(value[i]);
    sq__tape_destroy(tape);
}

static void values(void **state)
{
    (void)state;
    static const int32_t lengths[20] = { 7, 9, 0, 9, 1, 2, 3, 9, 8, 8, 5, 4, 9, 1, 0, 6, 9, 2, 7, 9 };
    for (int cell = 0; cell < SQ_CELL_COUNT; cell++)
        for (int map = 0; map <= SQ_MAP_KRONECKER; map++)
            for (int reverse = 0; reverse < 2; reverse++)
                check_layer_values((layer){ .cell = cell, .map = map, .reverse = reverse, .bias = map != SQ_MAP_LOW_RANK, .lengths = lengths, .B = 20, .T = 9 });
    for (int map = 0; map <= SQ_MAP_LOW_RANK; map++)
        check_layer_values((layer){ .cell = SQ_CELL_LSTM, .map = map, .projected = true, .bias = true, .lengths = lengths, .B = 20, .T = 9 });
    print_message("worst error of a value: %.2g\n", worst_value);
}

/* A run in pieces, each from where the last one ended, gives the rows of one run; a sequence does not see the others of its batch,
 * nor what lies beyond its length (NaN here). */
static void pieces_and_neighbours(void **state)
{
    (void)state;
    enum { B = 5, T = 40 };
    const int32_t lengths[B] = { 40, 17, 3, 40, 29 };
    for (int cell = 0; cell < SQ_CELL_COUNT; cell++) {
        const layer l = { .cell = cell, .B = B, .T = T, .lengths = lengths };
        const int64_t G = sq__cell_blocks(l.cell) * H, W = state_of(&l);
        input_spec spec[OPERANDS];
        operands_of(&l, spec);
        float *x = draw_floats("pieces", 1, B * T * G, -1, 1), *w = draw_floats("pieces", 2, G * H, -0.5f, 0.5f), *own = draw_floats("pieces", 3, 2 * H + 2, 0, 0.5f);
        for (int b = 0; b < B; b++)
            for (int64_t i = (b * T + lengths[b]) * G; i < (b + 1) * T * G; i++) x[i] = NAN;
        sq_tape *tape = sq__tape_create(false);
        sq_var *in[OPERANDS] = { [1] = sq__tape_input(tape, 2, spec[1].shape, w, false) }, *last;
        if (spec[4].rank) in[4] = sq__tape_input(tape, 1, spec[4].shape, own, false);
        in[0] = sq__tape_input(tape, 3, spec[0].shape, x, false);
        const sq_var *whole = run_layer(tape, &l, in, &last);
        for (int b = 0; b < B; b++) {
            sq_var *from = NULL;
            for (int at = 0, next; at < lengths[b]; at = next) {
                next = at + 1 + at / 3 < lengths[b] ? at + 1 + at / 3 : lengths[b];
                const layer piece = { .cell = cell, .B = 1, .T = next - at };
                in[0] = sq__tape_input(tape, 3, (int64_t[]){ 1, next - at, G }, x + (b * T + at) * G, false);
                in[6] = from;
                const sq_var *part = run_layer(tape, &piece, in, &from);
                for (int64_t i = 0; i < part->count; i++) assert_close(part->value[i], whole->value[(b * T + at) * H + i], 3e-6);
            }
            in[6] = NULL;
            for (int64_t i = 0; i < W; i++) assert_close(from->value[i], last->value[b * W + i], 3e-6);
        }
        sq__tape_destroy(tape);
        free(x);
        free(w);
        free(own);
    }
}

static void refusals(void **state)
{
    (void)state;
    sq_tape *tape = sq__tape_create(true);
    sq_error error;
    static float zeros[256];
    struct { sq_recurrent inputs; const char *message; } cases[] = {
        { { .cell = SQ_CELL_LSTM }, "recurrent: the projection is [2, 3, 6]; expected [B, T, 4 H]" },
        { { .cell = SQ_CELL_RNN_TANH }, "recurrent: the recurrent weight is absent" },
        { { .cell = SQ_CELL_RNN_TANH, .map = SQ_MAP_LOW_RANK, .weight = sq__tape_input(tape, 2, (int64_t[]){ 6, 2 }, zeros, false) },
          "recurrent: the left factor is absent; expected [rank, 6]" },
        { { .cell = SQ_CELL_FASTRNN, .weight = sq__tape_input(tape, 2, (int64_t[]){ 6, 6 }, zeros, false) }, "recurrent: fastrnn has 2 parameters" },
        { { .cell = SQ_CELL_RNN_TANH, .map = SQ_MAP_KRONECKER, .kronecker = &(sq_kronecker){ .count = 1, .rows = { 6 }, .columns = { 5 } },
            .weight = sq__tape_input(tape, 2, (int64_t[]){ 1, 30 }, zeros, false) },
          "recurrent: the factors lead from 5 to 6 numbers; expected 6 to 6" },
        { { .cell = SQ_CELL_RNN_TANH, .output = sq__tape_input(tape, 2, (int64_t[]){ 2, 6 }, zeros, false) },
          "recurrent: an output projection for rnn_tanh; only lstm has one" },
        { { .cell = SQ_CELL_RNN_TANH, .weight = sq__tape_input(tape, 2, (int64_t[]){ 6, 6 }, zeros, false), .lengths = (int32_t[]){ 3, 4 } },
          "recurrent: length 4 of row 1; expected 0 to 3" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        cases[i].inputs.projection = sq__tape_input(tape, 3, (int64_t[]){ 2, 3, 6 }, zeros, false);
        assert_null(sq__recurrent(tape, &cases[i].inputs, NULL));
        sq__tape_status(tape, &error);
        assert_string_equal(error.message, cases[i].message);
        tape->status = SQ_OK;
    }
    sq__tape_destroy(tape);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(values), cmocka_unit_test(gradients), cmocka_unit_test(pieces_and_neighbours), cmocka_unit_test(refusals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
