/* Kronecker products W_0 x W_1 x ... of small factors as linear maps (arXiv:1705.10142): n log n numbers of work, log n of memory.
 * Depends on tape.h. */
#ifndef SQ_AUTOGRAD_KRONECKER_H
#define SQ_AUTOGRAD_KRONECKER_H

#include "autograd/tape.h"

enum { SQ_KRONECKER_FACTORS = 20 };

/* Factor k is [rows, columns], row-major; factor 0 belongs to the most significant part of the index. In memory factors follow each
 * other; a complex factor is its real part, then its imaginary part, and vectors are [real parts | imaginary parts]. */
typedef struct sq_kronecker {
    int count;
    bool complex;
    int64_t rows[SQ_KRONECKER_FACTORS], columns[SQ_KRONECKER_FACTORS];
} sq_kronecker;

int64_t sq__kronecker_in(const sq_kronecker *k);       /* floats of a vector that goes in (complex: both parts) */
int64_t sq__kronecker_out(const sq_kronecker *k);
int64_t sq__kronecker_floats(const sq_kronecker *k);   /* of all factors */
sq_status sq__kronecker_check(const sq_kronecker *k, sq_error *error);

/* x [..., in], factors [blocks, floats] -> [..., blocks*out]: each block is (W_0 x W_1 x ...) x with factors of its own. */
sq_var *sq__kronecker(sq_tape *tape, sq_var *x, sq_var *factors, const sq_kronecker *k);

/* Sum over blocks and factors of ||W^H W - I||^2 (Frobenius) -> scalar: keeps factors near unitary. */
sq_var *sq__unitary_penalty(sq_tape *tape, sq_var *factors, const sq_kronecker *k);

#endif
