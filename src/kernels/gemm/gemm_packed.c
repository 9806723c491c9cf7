/* Products with a matrix that was packed once: for few rows at a time, many times over (the steps of a recurrent layer). The layout
 * is that of gemm_blocks.c: panels of NB columns, KB rows each, so that a piece fits the first-level cache. */
#include "base/integers.h"
#include "kernels/gemm/gemm.h"

enum { MB = 64, NB = 64, KB = 128 };

sq_packed sq__pack(float *room, bool trans, int64_t k, int64_t n, const float *b, int64_t ldb)
{
    float *y = room;
    for (int64_t j = 0, nb; j < n; j += nb) {
        nb = sq__least(n - j, NB);
        for (int64_t p = 0, kb; p < k; p += kb, y += kb * nb) {
            kb = sq__least(k - p, KB);
            if (trans) sq__kernels()->transpose(y, nb, b + j * ldb + p, ldb, nb, kb);
            for (int64_t i = 0; !trans && i < kb; i++)
                for (int64_t x = 0; x < nb; x++) y[i * nb + x] = b[(p + i) * ldb + j + x];
        }
    }
    return (sq_packed){ trans, k, n, ldb, b, room };
}

void sq__gemm_packed(int64_t m, const sq_packed *b, const float *a, int64_t lda, bool accumulate, float *c, int64_t ldc)
{
    if (!b->panels) {
        sq__gemm(false, b->trans, m, b->n, b->k, 1, a, lda, b->b, b->ldb, accumulate ? 1 : 0, c, ldc);
        return;
    }
    sq_block first = { .m = 0 }, next = { .m = 0 };   /* of the shape that came last; first: overwrites C */
    for (int64_t i = 0, mb; i < m; i += mb) {
        const float *y = b->panels;
        mb = sq__least(m - i, MB);
        for (int64_t j = 0, nb; j < b->n; j += nb) {
            nb = sq__least(b->n - j, NB);
            for (int64_t p = 0, kb; p < b->k; p += kb, y += kb * nb) {
                kb = sq__least(b->k - p, KB);
                sq_block *block = p > 0 || accumulate ? &next : &first;
                if (block->m != mb || block->n != nb || block->k != kb) *block = sq__block(false, mb, nb, kb, lda, nb, ldc, block == &next);
                sq__block_run(block, a + i * lda + p, y, c + i * ldc + j);
            }
        }
    }
}
