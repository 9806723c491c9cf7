/* Axial position embedding (Reformer, arXiv:2001.04451): positions lie on a grid, and two small tables stand for one large.
 *   y[p] = concat(rows[p div n2], columns[p mod n2])      rows [n1, E1], columns [n2, E2], n1 n2 >= length, E1 + E2 = E
 * O(sqrt(length) E) numbers. Parameters below PREFIX: rows, columns. Depends on parameters.h. */
#ifndef SQ_NN_AXIAL_POSITIONS_H
#define SQ_NN_AXIAL_POSITIONS_H

#include "nn/parameters.h"

typedef struct sq_axial_positions { sq_parameters *set; int rows, columns; } sq_axial_positions;

/* n2 = ceil(sqrt(length)); E1 is half of width, rounded down. width >= 2. */
sq_status sq__axial_positions_create(sq_axial_positions *layer, sq_parameters *set, const char *prefix, int64_t length, int64_t width, sq_error *error);
sq_var *sq__axial_positions_run(const sq_axial_positions *layer, sq_tape *tape, const int32_t *positions, int rank, const int64_t *shape);
/* The same over given tables. [shape..., E]; borrows nothing; a position below 0 gives zeros. */
sq_var *sq__axial_positions_look_up(sq_tape *tape, sq_var *rows, sq_var *columns, const int32_t *positions, int rank, const int64_t *shape);

#endif
