/* Generated block products. LIBXSMM is column-major: a row-major C = A B is its C' = B' A', so its "transposed B" is our
 * transposed A, and the long side of its registers runs along our columns. */
#include <pthread.h>
#include <stdlib.h>

#include "base/cpu.h"
#include "kernels/gemm/gemm.h"

#ifdef SQ_HAVE_LIBXSMM
#include <libxsmm.h>

static sq_block_fn generate(bool trans_a, int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool accumulate)
{
    const libxsmm_blasint xlda = (libxsmm_blasint)ldb, xldb = (libxsmm_blasint)lda, xldc = (libxsmm_blasint)ldc;
    const float alpha = 1, beta = accumulate ? 1 : 0;
    const int flags = trans_a ? LIBXSMM_GEMM_FLAG_TRANS_B : LIBXSMM_GEMM_FLAG_NONE, prefetch = LIBXSMM_GEMM_PREFETCH_NONE;
    return (sq_block_fn)libxsmm_smmdispatch((libxsmm_blasint)n, (libxsmm_blasint)m, (libxsmm_blasint)k, &xlda, &xldb, &xldc, &alpha, &beta,
                                            &flags, &prefetch);
}

/* The cap on the ISA holds for generated code, too. Plain x86-64 gets none. */
static bool start(void)
{
    if (sq__cpu_isa() == SQ_ISA_REFERENCE) return false;
    libxsmm_init();
    if (!getenv("LIBXSMM_VERBOSE")) libxsmm_set_verbosity(0);   /* a library does not print unless asked */
    if (sq__cpu_isa() == SQ_ISA_AVX2) libxsmm_set_target_archid(LIBXSMM_X86_AVX2);
    return generate(false, 16, 16, 16, 16, 16, 16, false) != NULL;   /* NULL where the system forbids new code */
}
#else
static sq_block_fn generate(bool trans_a, int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool accumulate)
{
    (void)trans_a, (void)m, (void)n, (void)k, (void)lda, (void)ldb, (void)ldc, (void)accumulate;
    return NULL;
}

static bool start(void) { return false; }
#endif

static bool generated;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void start_once(void) { generated = start(); }

bool sq__block_generated(void)
{
    pthread_once(&once, start_once);
    return generated;
}

sq_block sq__block(bool trans_a, int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool accumulate)
{
    sq_block block = { NULL, trans_a, accumulate, m, n, k, lda, ldb, ldc };
    if (sq__block_generated()) block.run = generate(trans_a, m, n, k, lda, ldb, ldc, accumulate);
    return block;
}

void sq__block_run_plain(const sq_block *block, const float *a, const float *b, float *c)
{
    sq__gemm_plain()(block->trans_a, false, block->m, block->n, block->k, 1, a, block->lda, b, block->ldb, block->accumulate ? 1 : 0, c, block->ldc);
}
