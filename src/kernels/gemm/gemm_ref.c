/* Matrix product in plain C: blocks of A and B are packed, so that the inner loop always runs along full rows, whatever is
 * transposed, and the compiler can make vectors of it. The fallback where nothing faster may run. */
#include <string.h>

#include "base/integers.h"
#include "kernels/gemm/gemm.h"

enum { BLOCK_M = 32, BLOCK_N = 64, BLOCK_K = 128, STRIP = 16 };

/* to [rows, ld] = factor op(from), zeros up to a whole strip of columns */
static void pack(float *to, int64_t rows, int64_t columns, int64_t ld, bool trans, const float *from, int64_t from_ld, float factor)
{
    for (int64_t i = 0; i < rows; i++) {
        for (int64_t j = 0; j < columns; j++) to[i * ld + j] = factor * (trans ? from[j * from_ld + i] : from[i * from_ld + j]);
        for (int64_t j = columns; j % STRIP; j++) to[i * ld + j] = 0;
    }
}

/* Four floats, in a vector register where the target has them. */
typedef float quad __attribute__((vector_size(16), may_alias));

/* c [count] += a [kb] b [kb, BLOCK_N], a strip of one row of C */
static void strip(float *c, int64_t count, const float *a, const float *b, int64_t kb)
{
    quad s0 = { 0 }, s1 = s0, s2 = s0, s3 = s0;
    float sum[STRIP];
    for (int64_t p = 0; p < kb; p++, b += BLOCK_N) {
        const quad *row = (const quad *)b;
        s0 += a[p] * row[0];
        s1 += a[p] * row[1];
        s2 += a[p] * row[2];
        s3 += a[p] * row[3];
    }
    memcpy(sum, (quad[]){ s0, s1, s2, s3 }, sizeof sum);
    for (int64_t j = 0; j < count; j++) c[j] += sum[j];
}

void sq__gemm_ref(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    float pa[BLOCK_M * BLOCK_K];
    float pb[BLOCK_K * BLOCK_N] __attribute__((aligned(16)));

    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
    for (int64_t p0 = 0; p0 < k; p0 += BLOCK_K)
        for (int64_t j0 = 0; j0 < n; j0 += BLOCK_N) {
            const int64_t kb = sq__least(BLOCK_K, k - p0), nb = sq__least(BLOCK_N, n - j0);
            pack(pb, kb, nb, BLOCK_N, trans_b, trans_b ? b + j0 * ldb + p0 : b + p0 * ldb + j0, ldb, 1);
            for (int64_t i0 = 0; i0 < m; i0 += BLOCK_M) {
                const int64_t mb = sq__least(BLOCK_M, m - i0);
                pack(pa, mb, kb, BLOCK_K, trans_a, trans_a ? a + p0 * lda + i0 : a + i0 * lda + p0, lda, alpha);
                for (int64_t i = 0; i < mb; i++)
                    for (int64_t j = 0; j < nb; j += STRIP)
                        strip(c + (i0 + i) * ldc + j0 + j, sq__least(STRIP, nb - j), pa + i * BLOCK_K, pb + j, kb);
            }
        }
}
