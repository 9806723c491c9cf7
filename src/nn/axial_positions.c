#include "nn/axial_positions.h"

#include <math.h>

#include "base/status.h"

sq_status sq__axial_positions_create(sq_axial_positions *layer, sq_parameters *set, const char *prefix, int64_t length, int64_t width, sq_error *error)
{
    if (width < 2) return sq__fail(error, SQ_INVALID, "axial positions need a width of at least 2, not %lld", (long long)width);
    int64_t side = (int64_t)sqrt((double)length);
    while (side * side < length) side++;
    const float scale = (float)(1 / sqrt((double)width));       /* a row as long as a learned position's */
    layer->set = set;
    SQ_TRY(sq__parameters_add(set,
                              &(sq_parameter_spec){ .prefix = prefix, .name = "rows", .rank = 2, .shape = { (length + side - 1) / side, width / 2 },
                                                    .initial = SQ_INITIAL_NORMAL, .scale = scale },
                              &layer->rows, error));
    return sq__parameters_add(set,
                              &(sq_parameter_spec){ .prefix = prefix, .name = "columns", .rank = 2, .shape = { side, width - width / 2 },
                                                    .initial = SQ_INITIAL_NORMAL, .scale = scale },
                              &layer->columns, error);
}

sq_var *sq__axial_positions_look_up(sq_tape *tape, sq_var *rows, sq_var *columns, const int32_t *positions, int rank, const int64_t *shape)
{
    int64_t count = 1;
    for (int i = 0; i < rank; i++) count *= shape[i];
    int32_t *row = sq__tape_memory(tape, (size_t)count * sizeof *row), *column = sq__tape_memory(tape, (size_t)count * sizeof *column);
    if (!row || !column || !rows || !columns) return NULL;
    const int32_t side = (int32_t)columns->shape[0];
    for (int64_t i = 0; i < count; i++) {
        row[i] = positions[i] < 0 ? -1 : positions[i] / side;
        column[i] = positions[i] < 0 ? -1 : positions[i] % side;
    }
    sq_var *const parts[] = { sq__embedding(tape, rows, row, rank, shape), sq__embedding(tape, columns, column, rank, shape) };
    return sq__concatenate(tape, parts, 2);
}

sq_var *sq__axial_positions_run(const sq_axial_positions *layer, sq_tape *tape, const int32_t *positions, int rank, const int64_t *shape)
{
    return sq__axial_positions_look_up(tape, sq__parameters_var(layer->set, layer->rows, tape), sq__parameters_var(layer->set, layer->columns, tape), positions,
                                       rank, shape);
}
