/* Singular values of an attention matrix, and what its best approximations of a rank lose (the argument of Linformer, arXiv:2006.04768,
 * theorem 1, and of the low-rank bottleneck, arXiv:2002.07028): by LAPACK in double precision, O(T N min(T,N)) time, memory for the matrix
 * several times over. A diagnostic for matrices of a few thousand rows. Depends on base, kernels. */
#ifndef SQ_INSPECT_SPECTRUM_H
#define SQ_INSPECT_SPECTRUM_H

#include <stdint.h>

#include "subquad/status.h"

typedef struct sq_spectrum {
    int64_t rows, columns, count;      /* count: the smaller of the two */
    double *values;                    /* [count] singular values, the largest first */
    double *left, *right;              /* [count, rows] and [count, columns]: a vector a row; NULL where not asked for */
} sq_spectrum;

/* Of matrix [rows, columns]. vectors: also the singular vectors. SQ_INVALID for a matrix with numbers that are not finite. */
sq_status sq__spectrum_create(sq_spectrum *spectrum, const float *matrix, int64_t rows, int64_t columns, bool vectors, sq_error *error);
void sq__spectrum_clear(sq_spectrum *spectrum);

/* Part of the squared Frobenius norm in the first `rank` singular values: 1 from the matrix's own rank on. A matrix of zeros: 1. */
double sq__spectrum_energy(const sq_spectrum *spectrum, int64_t rank);
/* |A - A_rank| / |A| of the best approximation of that rank, in the Frobenius norm and in the spectral norm; 0 for zeros. */
double sq__spectrum_error(const sq_spectrum *spectrum, int64_t rank);
double sq__spectrum_error_spectral(const sq_spectrum *spectrum, int64_t rank);
/* The smallest rank that holds at least this part of the energy. */
int64_t sq__spectrum_rank(const sq_spectrum *spectrum, double energy);
/* The best approximation [rows, columns] itself; vectors were asked for. */
void sq__spectrum_truncate(const sq_spectrum *spectrum, int64_t rank, float *out);

#endif
