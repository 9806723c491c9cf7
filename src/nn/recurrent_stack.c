#include "nn/recurrent_stack.h"

#include <math.h>

#include "base/random.h"
#include "nn/recurrent_start.h"

/* torch.nn has a second bias for the recurrent product. */
static bool two_biases(const sq_recurrent_config *c) { return c->map == SQ_MAP_DENSE && c->cell <= SQ_CELL_GRU; }
/* Cells with a bias of their own in the place of the projection's. */
static bool own_bias(sq_cell cell) { return cell == SQ_CELL_FASTGRNN || cell >= SQ_CELL_MODRELU; }

static sq_status add(sq_recurrent_stack *stack, const char *prefix, const char *name, sq_initial initial, double scale, int rank, int64_t rows,
                     int64_t columns, int *index, sq_error *error)
{
    const sq_parameter_spec spec = { .prefix = prefix, .name = name, .initial = initial, .scale = (float)scale, .rank = rank, .shape = { rows, columns },
                                     .decay = rank == 2 };
    return sq__parameters_add(stack->set, &spec, index, error);
}

static float *value_of(const sq_recurrent_stack *stack, int index) { return stack->set->items[index].value; }

static sq_status create_input(sq_recurrent_stack *stack, sq_recurrent_cell *cell, const char *prefix, int64_t input, sq_error *error)
{
    const sq_recurrent_config *c = &stack->config;
    const int64_t rows = sq__cell_blocks(c->cell) * c->hidden;
    const double scale = 1 / sqrt((double)c->hidden);
    if (c->input_rank) {
        SQ_TRY(add(stack, prefix, "left_ih", SQ_INITIAL_UNIFORM, 1 / sqrt((double)input), 2, c->input_rank, input, &cell->left_ih, error));
        SQ_TRY(add(stack, prefix, "weight_ih", SQ_INITIAL_UNIFORM, 1 / sqrt((double)c->input_rank), 2, rows, c->input_rank, &cell->weight_ih, error));
    } else
        SQ_TRY(add(stack, prefix, "weight_ih", SQ_INITIAL_UNIFORM, scale, 2, rows, input, &cell->weight_ih, error));
    return own_bias(c->cell) ? SQ_OK : add(stack, prefix, "bias_ih", SQ_INITIAL_UNIFORM, scale, 1, rows, 1, &cell->bias_ih, error);
}

static sq_status create_map(sq_recurrent_stack *stack, sq_recurrent_cell *cell, const char *prefix, sq_error *error)
{
    const sq_recurrent_config *c = &stack->config;
    const int64_t blocks = sq__cell_blocks(c->cell), H = c->hidden, P = stack->width;
    const double scale = 1 / sqrt((double)H);
    switch (c->map) {
    case SQ_MAP_KRONECKER:
        SQ_TRY(add(stack, prefix, "factors_hh", SQ_INITIAL_NORMAL, 1, 2, blocks, sq__kronecker_floats(&stack->factors), &cell->weight_hh, error));
        sq__start_unitary(value_of(stack, cell->weight_hh), blocks, &stack->factors);
        stack->set->items[cell->weight_hh].decay = false;   /* the penalty keeps them in bounds */
        return SQ_OK;
    case SQ_MAP_LOW_RANK:
        SQ_TRY(add(stack, prefix, "left_hh", SQ_INITIAL_NORMAL, 1, 2, c->rank, P, &cell->left_hh, error));
        sq__start_orthonormal(value_of(stack, cell->left_hh), c->rank, P);
        return add(stack, prefix, "weight_hh", SQ_INITIAL_UNIFORM, 1 / sqrt((double)c->rank), 2, blocks * H, c->rank, &cell->weight_hh, error);
    default:
        SQ_TRY(add(stack, prefix, "weight_hh", c->start == SQ_START_UNIFORM ? SQ_INITIAL_UNIFORM : SQ_INITIAL_NORMAL, c->start == SQ_START_UNIFORM ? scale : 1,
                   2, blocks * H, P, &cell->weight_hh, error));
        for (int64_t b = 0; b < blocks; b++) {
            float *w = value_of(stack, cell->weight_hh) + b * H * P;
            if (c->start == SQ_START_ORTHOGONAL) sq__start_orthonormal(w, H, P);
            else if (c->start == SQ_START_IDENTITY && H == P) sq__start_identity(w, H);
        }
        if (two_biases(c)) SQ_TRY(add(stack, prefix, "bias_hh", SQ_INITIAL_UNIFORM, scale, 1, blocks * H, 1, &cell->bias_hh, error));
        return SQ_OK;
    }
}

/* Published starts: FastRNN alpha -3, beta 3; FastGRNN zeta 1, nu -4, biases 1; modrelu and complex tanh 0. */
static void start_own(const sq_recurrent_stack *stack, float *own)
{
    const int64_t H = stack->config.hidden;
    if (stack->config.cell == SQ_CELL_FASTRNN) own[0] = -3, own[1] = 3;
    if (stack->config.cell == SQ_CELL_FASTGRNN) {
        for (int64_t i = 0; i < 2 * H; i++) own[i] = 1;
        own[2 * H] = 1;
        own[2 * H + 1] = -4;
    }
}

/* The gate that keeps the state: f of lstm (i opens as little), z of the others. */
static void start_gates(const sq_recurrent_stack *stack, const sq_recurrent_cell *cell, const char *prefix)
{
    const sq_recurrent_config *c = &stack->config;
    const int64_t H = c->hidden;
    if (c->cell == SQ_CELL_LSTM)
        for (int64_t i = 0; i < H; i++) value_of(stack, cell->bias_ih)[H + i] += c->forget;
    float *own = c->cell == SQ_CELL_FASTGRNN ? value_of(stack, cell->cell) : NULL, *bias = own ? own : cell->bias_ih < 0 ? NULL : value_of(stack, cell->bias_ih);
    const bool keeps = c->cell == SQ_CELL_LSTM || c->cell == SQ_CELL_GRU || c->cell == SQ_CELL_GRU_BEFORE || c->cell == SQ_CELL_UGRNN || own;
    if (!c->memory || !keeps) return;
    const int64_t block = own || c->cell == SQ_CELL_UGRNN ? 0 : 1;
    const sq_random random = sq__random_stream(stack->set->seed, prefix, 1);
    float *remember = bias + block * H;
    sq__random_uniform_fill(&random, remember, H, 0, 1);
    sq__start_memory(remember, c->cell == SQ_CELL_LSTM ? bias : NULL, H, c->memory);
    for (int64_t i = 0; cell->bias_hh >= 0 && i < 2 * H; i++) value_of(stack, cell->bias_hh)[i] = 0;
}

static sq_status create_cell(sq_recurrent_stack *stack, sq_recurrent_cell *cell, const char *prefix, int64_t input, sq_error *error)
{
    const sq_recurrent_config *c = &stack->config;
    const int64_t own = sq__cell_parameters(c->cell, c->hidden);
    *cell = (sq_recurrent_cell){ -1, -1, -1, -1, -1, -1, -1, -1 };
    SQ_TRY(create_input(stack, cell, prefix, input, error));
    SQ_TRY(create_map(stack, cell, prefix, error));
    if (own) {
        SQ_TRY(add(stack, prefix, "cell", SQ_INITIAL_ZERO, 0, 1, own, 1, &cell->cell, error));
        start_own(stack, value_of(stack, cell->cell));
    }
    if (c->output) SQ_TRY(add(stack, prefix, "weight_hr", SQ_INITIAL_UNIFORM, 1 / sqrt((double)c->hidden), 2, c->output, c->hidden, &cell->weight_hr, error));
    start_gates(stack, cell, prefix);
    return SQ_OK;
}

/* n into square factors of `size` as often as it divides n, the rest into primes. */
static sq_status factorise(sq_kronecker *k, int64_t n, int64_t size, sq_error *error)
{
    int64_t rest = n, prime = 2;
    do {
        while (rest % size && rest > 1 && rest % prime) prime++;
        const int64_t f = rest % size == 0 ? size : rest > 1 ? prime : 1;
        if (k->count == SQ_KRONECKER_FACTORS) return sq__fail(error, SQ_INVALID, "%lld units need more than %d factors", (long long)n, SQ_KRONECKER_FACTORS);
        k->rows[k->count] = k->columns[k->count] = f;
        k->count++;
        rest /= f;
    } while (rest > 1);
    return SQ_OK;
}

static sq_status check(const sq_recurrent_config *c, sq_error *error)
{
    const char *name = sq__cell_name(c->cell);
    if (c->layers < 1) return sq__fail(error, SQ_INVALID, "%s: %d layers; expected at least 1", name, c->layers);
    if (c->hidden < 1 || (sq__cell_complex(c->cell) && c->hidden % 2))
        return sq__fail(error, SQ_INVALID, "%s: %lld units; expected at least 1%s", name, (long long)c->hidden, sq__cell_complex(c->cell) ? ", an even number" : "");
    if (c->map == SQ_MAP_LOW_RANK && c->rank < 1) return sq__fail(error, SQ_INVALID, "%s: rank %lld; expected at least 1", name, (long long)c->rank);
    if (c->map == SQ_MAP_KRONECKER && c->factor < 2) return sq__fail(error, SQ_INVALID, "%s: factors of %lld; expected at least 2", name, (long long)c->factor);
    if (c->output && c->map == SQ_MAP_KRONECKER) return sq__fail(error, SQ_UNSUPPORTED, "%s: an output projection with Kronecker factors", name);
    return SQ_OK;
}

sq_status sq__recurrent_stack_create(sq_recurrent_stack *stack, sq_parameters *set, const char *prefix, const sq_recurrent_config *config, sq_error *error)
{
    const bool is_complex = sq__cell_complex(config->cell);
    *stack = (sq_recurrent_stack){ .set = set, .config = *config, .factors = { .complex = is_complex }, .directions = config->both_directions ? 2 : 1,
                                   .width = config->output ? config->output : config->hidden };
    stack->state = stack->width + (sq__cell_has_c(config->cell) ? config->hidden : 0);
    SQ_TRY(check(config, error));
    if (config->map == SQ_MAP_KRONECKER) SQ_TRY(factorise(&stack->factors, is_complex ? config->hidden / 2 : config->hidden, config->factor, error));
    const int count = config->layers * stack->directions;
    stack->cells = sq__alloc_array((size_t)count, sizeof *stack->cells);
    if (!stack->cells) return sq__no_memory(error);
    for (int i = 0; i < count; i++) {
        const int layer = i / stack->directions;
        char name[96];
        snprintf(name, sizeof name, "%.70s.%d%s", prefix, layer, i % stack->directions ? ".reverse" : "");
        SQ_TRY(create_cell(stack, &stack->cells[i], name, layer ? stack->directions * stack->width : config->input, error));
    }
    return SQ_OK;
}

void sq__recurrent_stack_clear(sq_recurrent_stack *stack)
{
    sq__free(stack->cells);
    stack->cells = NULL;
}

static sq_var *run_cell(const sq_recurrent_stack *stack, sq_tape *tape, int i, sq_var *x, const int32_t *lengths, sq_var *initial, sq_var **last)
{
    const sq_recurrent_cell *cell = &stack->cells[i];
    const sq_parameters *set = stack->set;
    if (cell->left_ih >= 0) x = sq__linear(tape, x, sq__parameters_var(set, cell->left_ih, tape), NULL);
    const sq_recurrent inputs = {
        .cell = stack->config.cell, .map = stack->config.map, .kronecker = &stack->factors, .initial = initial, .lengths = lengths,
        .projection = sq__linear(tape, x, sq__parameters_var(set, cell->weight_ih, tape), sq__parameters_var(set, cell->bias_ih, tape)),
        .weight = sq__parameters_var(set, cell->weight_hh, tape),
        .left = sq__parameters_var(set, cell->left_hh, tape),
        .bias = sq__parameters_var(set, cell->bias_hh, tape),
        .parameters = sq__parameters_var(set, cell->cell, tape),
        .output = sq__parameters_var(set, cell->weight_hr, tape),
        .reverse = i % stack->directions == 1,
    };
    return sq__recurrent(tape, &inputs, last);
}

sq_var *sq__recurrent_stack_run(const sq_recurrent_stack *stack, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_var *const *initial, sq_var **last)
{
    for (int layer = 0; layer < stack->config.layers; layer++) {
        sq_var *states[2] = { NULL, NULL };
        if (layer > 0) x = sq__dropout(tape, x, stack->config.dropout);
        for (int way = 0; way < stack->directions; way++) {
            const int i = layer * stack->directions + way;
            states[way] = run_cell(stack, tape, i, x, lengths, initial ? initial[i] : NULL, last ? &last[i] : NULL);
        }
        x = stack->directions == 2 ? sq__concatenate(tape, states, 2) : states[0];
    }
    return x;
}

sq_var *sq__recurrent_stack_penalty(const sq_recurrent_stack *stack, sq_tape *tape)
{
    sq_var *sum = NULL;
    for (int i = 0; i < stack->config.layers * stack->directions; i++) {
        sq_var *one = sq__unitary_penalty(tape, sq__parameters_var(stack->set, stack->cells[i].weight_hh, tape), &stack->factors);
        sum = sum ? sq__add(tape, sum, one) : one;
    }
    return sum;
}
