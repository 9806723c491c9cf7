/* What may multiply, behind sq__gemm. Depends on kernels.h. */
#ifndef SQ_KERNELS_GEMM_GEMM_H
#define SQ_KERNELS_GEMM_GEMM_H

#include "kernels/kernels.h"

typedef void (*sq_gemm_fn)(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                           const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

/* m, n, k >= 1 in all of these; beta 0 never reads C. */
void sq__gemm_ref(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void sq__gemm_cblas(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
void sq__gemm_blocks(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                     const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
/* C (+)= A' B with A stored [k,m], for sizes where packing both pays. */
bool sq__gemm_columns_pays(int64_t m, int64_t n, int64_t k);
void sq__gemm_columns(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, bool accumulate, float *c, int64_t ldc);
/* Whether code for blocks can be generated here. */
bool sq__block_generated(void);
/* What multiplies where it cannot. */
sq_gemm_fn sq__gemm_plain(void);

#endif
