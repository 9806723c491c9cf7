/* Locality-sensitive hashing by random hyperplanes (Charikar 2002): bit b of a row's code is 1 where x . plane_b > threshold_b.
 * Rows at a small angle agree in most bits; popcount of the exclusive or counts where they differ. Depends on kernels. */
#ifndef SQ_ATTENTION_ENGINE_HASH_H
#define SQ_ATTENTION_ENGINE_HASH_H

#include "kernels/kernels.h"

enum { SQ_HASH_BITS = 64 };            /* most bits of a code */

/* planes [bits, plane_row]: a direction of D numbers each; with `threshold`, column D holds what the product must exceed, else 0. */
void sq__hash_signs(uint64_t *codes, const float *x, int64_t x_row, int64_t count, int64_t D, const float *planes, int64_t bits, int64_t plane_row,
                    bool threshold, float *workspace);
size_t sq__hash_workspace(int64_t bits);   /* bytes */

/* Position of a code in the order of Gray: neighbours there differ in one bit. */
uint64_t sq__hash_gray_rank(uint64_t code);

#endif
