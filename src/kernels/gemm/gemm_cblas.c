/* Matrix product by the system's BLAS. */
#include <cblas.h>
#include <pthread.h>

#include "kernels/gemm/gemm.h"

/* The library shares its work out itself: a BLAS with threads of its own would fight it for the cores, and could make
 * the summation order depend on how many there are. */
static void one_thread(void) { openblas_set_num_threads(1); }

void sq__blas_single_thread(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, one_thread);
}

void sq__gemm_cblas(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    sq__blas_single_thread();
    cblas_sgemm(CblasRowMajor, trans_a ? CblasTrans : CblasNoTrans, trans_b ? CblasTrans : CblasNoTrans, (blasint)m, (blasint)n,
                (blasint)k, alpha, a, (blasint)lda, b, (blasint)ldb, beta, c, (blasint)ldc);
}
