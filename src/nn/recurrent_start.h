/* First values of recurrent weights that a draw alone does not give. Each works on a parameter drawn from the standard normal
 * distribution (orthonormal, unitary) or on any (identity, memory). Depends on autograd/kronecker.h. */
#ifndef SQ_NN_RECURRENT_START_H
#define SQ_NN_RECURRENT_START_H

#include "autograd/kronecker.h"

/* w [rows, columns]: rows become orthonormal; more rows than columns: in groups of that many. */
void sq__start_orthonormal(float *w, int64_t rows, int64_t columns);
/* Factors [blocks, floats] become unitary (orthogonal where real). */
void sq__start_unitary(float *w, int64_t blocks, const sq_kronecker *k);
void sq__start_identity(float *w, int64_t n);
/* Biases of gates such that memory times are spread over 1 to `steps` (Tallec and Ollivier, arXiv:1804.11188): remember[i] = log u,
 * forget[i] (NULL: none) = -log u, u uniform in [1, steps - 1], drawn from the numbers in (0, 1) at remember. */
void sq__start_memory(float *remember, float *forget, int64_t n, int64_t steps);

#endif
