#include "autograd/recurrent_cells.h"

const sq_cell_kind *const sq__cell_kinds[SQ_CELL_COUNT] = {
    [SQ_CELL_RNN_TANH] = &sq__cell_rnn_tanh,   [SQ_CELL_RNN_RELU] = &sq__cell_rnn_relu,
    [SQ_CELL_LSTM] = &sq__cell_lstm,           [SQ_CELL_GRU] = &sq__cell_gru,
    [SQ_CELL_GRU_BEFORE] = &sq__cell_gru_before, [SQ_CELL_UGRNN] = &sq__cell_ugrnn,
    [SQ_CELL_FASTRNN] = &sq__cell_fastrnn,     [SQ_CELL_FASTGRNN] = &sq__cell_fastgrnn,
    [SQ_CELL_MODRELU] = &sq__cell_modrelu,     [SQ_CELL_COMPLEX_TANH] = &sq__cell_complex_tanh,
    [SQ_CELL_COMPLEX_MODRELU] = &sq__cell_complex_modrelu,
};

const char *sq__cell_name(sq_cell cell) { return sq__cell_kinds[cell]->name; }
int sq__cell_blocks(sq_cell cell) { return sq__cell_kinds[cell]->blocks; }
bool sq__cell_has_c(sq_cell cell) { return sq__cell_kinds[cell]->has_c; }
bool sq__cell_complex(sq_cell cell) { return sq__cell_kinds[cell]->is_complex; }

int64_t sq__cell_parameters(sq_cell cell, int64_t H) { return sq__cell_kinds[cell]->parameters ? sq__cell_kinds[cell]->parameters(H) : 0; }
