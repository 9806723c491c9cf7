/* Fourier features of positions in a grid of one or more axes (Perceiver, arXiv:2103.03206 section 3.2).
 * An axis of n places: p = n points equally spaced on [-1, 1], s_1 .. s_K equally spaced from 1 to max_frequency / 2;
 *   sin(pi p s_1) .. sin(pi p s_K), cos(pi p s_1) .. cos(pi p s_K), p
 * The axes' features follow one another; places are in row-major order. A table of numbers, no parameter. Depends on autograd/tape.h. */
#ifndef SQ_NN_FOURIER_POSITIONS_H
#define SQ_NN_FOURIER_POSITIONS_H

#include "autograd/tape.h"

typedef struct sq_fourier_positions { int64_t rows, width; float *table; } sq_fourier_positions;   /* [rows, width]; width axes (2 K + 1) */

sq_status sq__fourier_positions_create(sq_fourier_positions *positions, int axes, const int64_t *shape, int64_t bands, double max_frequency, sq_error *error);
void sq__fourier_positions_clear(sq_fourier_positions *positions);
/* x [B,T,C], T <= rows: row t with the features of place t behind it, [B,T,C+width] */
sq_var *sq__fourier_positions_append(const sq_fourier_positions *positions, sq_tape *tape, sq_var *x);

#endif
