/* Generated block products. LIBXSMM is column-major: a row-major C = A B is its C' = B' A', so its "transposed B" is our
 * transposed A, and the long side of its registers runs along our columns. */
#include "base/cpu.h"
#include "kernels/kernels.h"

#ifdef SQ_HAVE_LIBXSMM
#include <libxsmm.h>
#include <pthread.h>

static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start(void)
{
    libxsmm_init();
    if (sq__cpu_isa() == SQ_ISA_AVX2) libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
}

static sq_block_fn generate(bool trans_a, int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool accumulate)
{
    const libxsmm_blasint xlda = (libxsmm_blasint)ldb, xldb = (libxsmm_blasint)lda, xldc = (libxsmm_blasint)ldc;
    const float alpha = 1, beta = accumulate ? 1 : 0;
    const int flags = trans_a ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE, prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
    if (sq__cpu_isa() == SQ_ISA_REFERENCE) return NULL;
    pthread_once(&once, start);
    return (sq_block_fn)libxsmm_smmdispatch((libxsmm_blasint)n, (libxsmm_blasint)m, (libxsmm_blasint)k, &xlda, &xldb, &xldc, &alpha, &beta,
                                            &flags, &prefetch);
}
#else
static sq_block_fn generate(bool trans_a, int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool accumulate)
{
    (void)trans_a, (void)m, (void)n, (void)k, (void)lda, (void)ldb, (void)ldc, (void)accumulate;
    return NULL;
}
#endif

sq_block sq__block(bool trans_a, int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool accumulate)
{
    return (sq_block){ generate(trans_a, m, n, k, lda, ldb, ldc, accumulate), trans_a, accumulate, m, n, k, lda, ldb, ldc };
}
