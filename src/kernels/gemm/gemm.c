/* Choice of what multiplies, and the split over threads. */
#include <pthread.h>

#include "base/cpu.h"
#include "base/parallel.h"
#include "kernels/gemm/gemm.h"

static struct { const char *name; sq_gemm_fn run, plain; } backend;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void choose(void)
{
    const bool reference = sq__cpu_plain(), generated = sq__block_generated();
    backend.plain = reference ? sq__gemm_ref : sq__gemm_cblas;
    backend.run = generated ? sq__gemm_blocks : backend.plain;
    backend.name = generated ? "libxsmm" : reference ? "reference" : "cblas";
}

sq_gemm_fn sq__gemm_plain(void)
{
    pthread_once(&once, choose);
    return backend.plain;
}

const char *sq__gemm_backend(void)
{
    pthread_once(&once, choose);
    return backend.name;
}

void sq__gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
              const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    if (m <= 0 || n <= 0) return;
    if (k <= 0 || alpha == 0) {
        for (int64_t i = 0; i < m; i++)
            for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
        return;
    }
    pthread_once(&once, choose);
    backend.run(trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

typedef struct product {
    bool trans_a, trans_b;
    int64_t m, n, k, lda, ldb, ldc, block_m, block_n, columns;
    float alpha, beta;
    const float *a, *b;
    float *c;
} product;

static void run_block(void *context, int64_t item, int thread)
{
    const product *p = context;
    const int64_t i = item / p->columns * p->block_m, j = item % p->columns * p->block_n;
    const int64_t m = p->m - i < p->block_m ? p->m - i : p->block_m, n = p->n - j < p->block_n ? p->n - j : p->block_n;
    (void)thread;
    sq__gemm(p->trans_a, p->trans_b, m, n, p->k, p->alpha, p->trans_a ? p->a + i : p->a + i * p->lda, p->lda,
             p->trans_b ? p->b + j * p->ldb : p->b + j, p->ldb, p->beta, p->c + i * p->ldc + j, p->ldc);
}

void sq__gemm_parallel(int threads, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                       int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    /* Blocks depend on the shape alone. Tall products are cut by rows, so that each block reads B once; small ones (weight
     * gradients) into smaller blocks, so that there are enough of them. */
    const int64_t block_m = m >= 2048 ? 512 : trans_a && m >= 512 ? 128 : 64, block_n = m >= 2048 ? n : 256;
    product p = { trans_a, trans_b, m, n, k, lda, ldb, ldc, block_m, block_n, 0, alpha, beta, a, b, c };
    if (m <= 0 || n <= 0) return;
    p.columns = (n + block_n - 1) / block_n;
    sq__parallel(threads, (m + block_m - 1) / block_m * p.columns, run_block, &p);
}
