/* Recurrent models: stacks of recurrent layers (nn/recurrent_stack.h) below KIND.I. Carried: each layer's last state, KIND.I.state.
 * With both directions a model is not causal and does not stream. */
#include <string.h>

#include "models/backbone.h"
#include "nn/recurrent_stack.h"

typedef struct recurrent { sq_backbone base; sq_recurrent_stack stack; int *slots; float penalty; } recurrent;

static sq_status make(sq_backbone **backbone, const sq_backbone_spec *spec, const char *name, sq_recurrent_config config, double penalty,
                      sq_error *error)
{
    recurrent *r = sq__alloc_zero(sizeof *r);
    if (!r) return sq__no_memory(error);
    *backbone = &r->base;
    r->penalty = (float)penalty;
    config.layers = (int)spec->model->layers;
    config.input = spec->model->width;
    config.dropout = (float)spec->model->dropout;
    if (!config.hidden) config.hidden = spec->model->width;
    SQ_TRY(sq__recurrent_stack_create(&r->stack, spec->set, name, &config, error));
    r->base.row_width = r->stack.directions * r->stack.width;
    r->base.cannot = config.both_directions ? SQ_MODEL_STREAMS : 0;
    if (config.both_directions) return SQ_OK;
    r->slots = sq__alloc_array((size_t)config.layers, sizeof *r->slots);
    if (!r->slots) return sq__no_memory(error);
    for (int i = 0; i < config.layers; i++) {
        char prefix[64];
        snprintf(prefix, sizeof prefix, "%s.%d", name, i);
        SQ_TRY(sq__carry_add(spec->layout, prefix, "state", 1, &r->stack.state, &r->slots[i], error));
    }
    return SQ_OK;
}

static void destroy(sq_backbone *backbone)
{
    recurrent *r = (recurrent *)backbone;
    sq__recurrent_stack_clear(&r->stack);
    sq__free(r->slots);
    sq__free(r);
}

static void add_penalty(const recurrent *r, sq_tape *tape, sq_var **auxiliary)
{
    if (!auxiliary || r->penalty == 0) return;
    sq_var *own = sq__scale(tape, sq__recurrent_stack_penalty(&r->stack, tape), r->penalty);
    *auxiliary = *auxiliary ? sq__add(tape, *auxiliary, own) : own;
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const recurrent *r = (const recurrent *)backbone;
    const int layers = r->stack.config.layers;
    add_penalty(r, tape, call->auxiliary);
    if (!call->carry || !r->slots) return sq__recurrent_stack_run(&r->stack, tape, call->x, call->lengths, NULL, NULL);
    const size_t bytes = (size_t)layers * sizeof(sq_var *);
    sq_var **initial = sq__tape_memory(tape, bytes), **last = sq__tape_memory(tape, bytes);
    if (!initial || !last) return NULL;
    for (int i = 0; i < layers; i++) initial[i] = sq__carry_var(call->carry, r->slots[i], tape);
    sq_var *rows = sq__recurrent_stack_run(&r->stack, tape, call->x, call->lengths, initial, last);
    for (int i = 0; rows && i < layers; i++) sq__carry_put(call->carry, r->slots[i], last[i]);
    return rows;
}

enum { CAN = SQ_MODEL_STREAMS | SQ_MODEL_LAST };
static const char *const starts[] = { "uniform", "orthogonal", "identity", NULL };   /* sq_recurrent_start */

#define HIDDEN(S) SQ_INT(S, hidden, "0", 0, 1 << 20, "units of a layer; 0: width")
#define BIDIRECTIONAL(S) SQ_BOOL(S, bidirectional, "false", "a second stack from the end on; then it neither streams nor is causal")
#define REMEMBERED(S) SQ_INT(S, remembered, "0", 0, 1 << 24, "gates start so as to remember up to that many events (arXiv:1804.11188); 0: no")

/* ---- rnn ---- */

typedef struct rnn_options { int64_t hidden; int nonlinearity, start; bool bidirectional; } rnn_options;
static const char *const nonlinearities[] = { "tanh", "relu", NULL };   /* from SQ_CELL_RNN_TANH on */
static const sq_field rnn_fields[] = {
    HIDDEN(rnn_options),
    SQ_CHOICE(rnn_options, nonlinearity, "tanh", nonlinearities, "what a pre-activation goes through"),
    SQ_CHOICE(rnn_options, start, "uniform", starts, "recurrent weight at first; identity with relu is arXiv:1504.00941"),
    BIDIRECTIONAL(rnn_options),
    SQ_FIELDS_END,
};

static sq_status create_rnn(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const rnn_options *o = config;
    const sq_recurrent_config of = { .cell = SQ_CELL_RNN_TANH + (sq_cell)o->nonlinearity, .hidden = o->hidden, .start = (sq_recurrent_start)o->start,
                                     .both_directions = o->bidirectional };
    return make(backbone, spec, "rnn", of, 0, error);
}

const sq_backbone_kind sq__backbone_rnn = {
    .name = "rnn", .title = "Elman recurrent network", .paper = "Elman 1990", .cost = "O(n H^2) time, O(H) state", .can = CAN,
    .config_size = sizeof(rnn_options), .fields = rnn_fields, .create = create_rnn, .destroy = destroy, .run = run,
};

/* ---- gru ---- */

typedef struct gru_options { int64_t hidden, remembered; int reset, start; bool bidirectional; } gru_options;
static const char *const resets[] = { "after", "before", NULL };   /* from SQ_CELL_GRU on */
static const sq_field gru_fields[] = {
    HIDDEN(gru_options),
    SQ_CHOICE(gru_options, reset, "after", resets, "where the reset gate multiplies: after the recurrent product (torch.nn), or before it (the paper)"),
    SQ_CHOICE(gru_options, start, "uniform", starts, "recurrent weights at first"),
    REMEMBERED(gru_options),
    BIDIRECTIONAL(gru_options),
    SQ_FIELDS_END,
};

static sq_status create_gru(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const gru_options *o = config;
    const sq_recurrent_config of = { .cell = SQ_CELL_GRU + (sq_cell)o->reset, .hidden = o->hidden, .start = (sq_recurrent_start)o->start, .memory = o->remembered,
                                     .both_directions = o->bidirectional };
    return make(backbone, spec, "gru", of, 0, error);
}

const sq_backbone_kind sq__backbone_gru = {
    .name = "gru", .title = "Gated recurrent network", .paper = "arXiv:1406.1078", .cost = "O(n H^2) time, O(H) state", .can = CAN,
    .config_size = sizeof(gru_options), .fields = gru_fields, .create = create_gru, .destroy = destroy, .run = run,
};

/* ---- lstm ---- */

typedef struct lstm_options { int64_t hidden, projection, remembered; double forget_bias; int start; bool bidirectional; } lstm_options;
static const sq_field lstm_fields[] = {
    HIDDEN(lstm_options),
    SQ_INT(lstm_options, projection, "0", 0, 1 << 20, "numbers of a row, projected from the units (arXiv:1402.1128); 0: the units themselves"),
    SQ_FLOAT(lstm_options, forget_bias, "1", -100, 100, "added to the forget gate's bias at first"),
    SQ_CHOICE(lstm_options, start, "uniform", starts, "recurrent weights at first"),
    REMEMBERED(lstm_options),
    BIDIRECTIONAL(lstm_options),
    SQ_FIELDS_END,
};

static sq_status create_lstm(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const lstm_options *o = config;
    const sq_recurrent_config of = { .cell = SQ_CELL_LSTM, .hidden = o->hidden, .output = o->projection, .forget = (float)o->forget_bias,
                                     .start = (sq_recurrent_start)o->start, .memory = o->remembered, .both_directions = o->bidirectional };
    return make(backbone, spec, "lstm", of, 0, error);
}

const sq_backbone_kind sq__backbone_lstm = {
    .name = "lstm", .title = "Long short-term memory", .paper = "Hochreiter 1997", .cost = "O(n H^2) time, O(H) state", .can = CAN,
    .config_size = sizeof(lstm_options), .fields = lstm_fields, .create = create_lstm, .destroy = destroy, .run = run,
};

/* ---- low-rank-rnn ---- */

typedef struct low_rank_options { int64_t hidden, rank, input_rank, remembered; int cell; bool bidirectional; } low_rank_options;
static const char *const low_rank_cells[] = { "fastgrnn", "fastrnn", "gru", "lstm", "ugrnn", "rnn", NULL };
static const sq_cell low_rank_kinds[] = { SQ_CELL_FASTGRNN, SQ_CELL_FASTRNN, SQ_CELL_GRU_BEFORE, SQ_CELL_LSTM, SQ_CELL_UGRNN, SQ_CELL_RNN_TANH };
static const sq_field low_rank_fields[] = {
    HIDDEN(low_rank_options),
    SQ_INT(low_rank_options, rank, "16", 1, 1 << 20, "of the recurrent matrices: weight = right left, left shared by the gates"),
    SQ_INT(low_rank_options, input_rank, "0", 0, 1 << 20, "of the input's matrices; 0: full"),
    SQ_CHOICE(low_rank_options, cell, "fastgrnn", low_rank_cells, "gates and states"),
    REMEMBERED(low_rank_options),
    BIDIRECTIONAL(low_rank_options),
    SQ_FIELDS_END,
};

static sq_status create_low_rank(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const low_rank_options *o = config;
    const sq_recurrent_config of = { .cell = low_rank_kinds[o->cell], .map = SQ_MAP_LOW_RANK, .hidden = o->hidden, .rank = o->rank, .input_rank = o->input_rank,
                                     .memory = o->remembered, .both_directions = o->bidirectional };
    return make(backbone, spec, "low-rank-rnn", of, 0, error);
}

const sq_backbone_kind sq__backbone_low_rank_rnn = {
    .name = "low-rank-rnn", .title = "Recurrent network of low rank: FastGRNN and others", .paper = "arXiv:1901.02358", .cost = "O(n H r) time, O(H) state",
    .can = CAN, .config_size = sizeof(low_rank_options), .fields = low_rank_fields, .create = create_low_rank, .destroy = destroy, .run = run,
};

/* ---- kronecker ---- */

typedef struct kronecker_options { int64_t hidden, factor, remembered; double penalty; int cell; bool bidirectional; } kronecker_options;
static const char *const kronecker_cells[] = { "complex_modrelu", "complex_tanh", "modrelu", "rnn", "lstm", "gru", NULL };
static const sq_cell kronecker_kinds[] = { SQ_CELL_COMPLEX_MODRELU, SQ_CELL_COMPLEX_TANH, SQ_CELL_MODRELU, SQ_CELL_RNN_TANH, SQ_CELL_LSTM, SQ_CELL_GRU };
static const sq_field kronecker_fields[] = {
    SQ_INT(kronecker_options, hidden, "0", 0, 1 << 20, "numbers of the state; complex cells: both parts; 0: width"),
    SQ_INT(kronecker_options, factor, "2", 2, 4096, "size of the Kronecker factors; what it does not divide becomes prime factors"),
    SQ_FLOAT(kronecker_options, penalty, "0.001", 0, 1e6, "weight of the penalty that keeps the factors near unitary"),
    SQ_CHOICE(kronecker_options, cell, "complex_modrelu", kronecker_cells, "gates and states"),
    REMEMBERED(kronecker_options),
    BIDIRECTIONAL(kronecker_options),
    SQ_FIELDS_END,
};

static sq_status create_kronecker(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const kronecker_options *o = config;
    const sq_recurrent_config of = { .cell = kronecker_kinds[o->cell], .map = SQ_MAP_KRONECKER, .hidden = o->hidden, .factor = o->factor, .memory = o->remembered,
                                     .both_directions = o->bidirectional };
    return make(backbone, spec, "kronecker", of, o->penalty, error);
}

const sq_backbone_kind sq__backbone_kronecker = {
    .name = "kronecker", .title = "Kronecker recurrent units", .paper = "arXiv:1705.10142", .cost = "O(n H log H) time, O(H) state, O(log H) weights", .can = CAN,
    .config_size = sizeof(kronecker_options), .fields = kronecker_fields, .create = create_kronecker, .destroy = destroy, .run = run,
};
