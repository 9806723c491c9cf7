/* Matrix product in plain C: blocks of A and B are packed (so that transposes cost nothing in the inner loop, which runs
 * along a row of C). The fallback where nothing faster may run, and the tests' second opinion. */
#include "kernels/gemm/gemm.h"

enum { BLOCK_M = 32, BLOCK_N = 128, BLOCK_K = 64 };

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static void pack(float *to, int64_t rows, int64_t columns, int64_t ld, bool trans, const float *from, int64_t from_ld, float factor)
{
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) to[i * ld + j] = factor * (trans ? from[j * from_ld + i] : from[i * from_ld + j]);
}

void sq__gemm_ref(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    float pa[BLOCK_M * BLOCK_K], pb[BLOCK_K * BLOCK_N];

    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
    for (int64_t p0 = 0; p0 < k; p0 += BLOCK_K)
        for (int64_t j0 = 0; j0 < n; j0 += BLOCK_N) {
            const int64_t kb = least(BLOCK_K, k - p0), nb = least(BLOCK_N, n - j0);
            pack(pb, kb, nb, BLOCK_N, trans_b, trans_b ? b + j0 * ldb + p0 : b + p0 * ldb + j0, ldb, 1);
            for (int64_t i0 = 0; i0 < m; i0 += BLOCK_M) {
                const int64_t mb = least(BLOCK_M, m - i0);
                pack(pa, mb, kb, BLOCK_K, trans_a, trans_a ? a + p0 * lda + i0 : a + i0 * lda + p0, lda, alpha);
                for (int64_t i = 0; i < mb; i++)
                    for (int64_t p = 0; p < kb; p++) {
                        const float factor = pa[i * BLOCK_K + p], *row = pb + p * BLOCK_N;
                        float *out = c + (i0 + i) * ldc + j0;
                        for (int64_t j = 0; j < nb; j++) out[j] += factor * row[j];
                    }
            }
        }
}
