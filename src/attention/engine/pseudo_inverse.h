/* Iterative pseudo-inverse of a matrix A [m,m] of third order (Razavi et al. 2014), by products alone:
 *   Z_0 = A' / c,   Z_k+1 = Z_k (13 I - P (15 I - P (7 I - P))) / 4,   P = A Z_k
 * It converges where |A A+ - A Z_0| < 1: for rows that are probabilities with c = the largest column sum. Backward goes through the iterations and gives
 * the gradient of c, too. O(iterations m^3). Depends on kind.h. */
#ifndef SQ_ATTENTION_ENGINE_PSEUDO_INVERSE_H
#define SQ_ATTENTION_ENGINE_PSEUDO_INVERSE_H

#include "attention/kind.h"

size_t sq__pseudo_inverse_workspace(int64_t m, int64_t iterations, sq_pass pass);   /* bytes */
void sq__pseudo_inverse(int64_t m, int64_t iterations, const float *A, float c, float *Z, void *workspace);
/* dA is ADDED to; returns dc. */
double sq__pseudo_inverse_backward(int64_t m, int64_t iterations, const float *A, float c, const float *dZ, float *dA, void *workspace);

#endif
