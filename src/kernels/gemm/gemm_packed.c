/* Products with a matrix that was packed once: for few rows at a time, many times over (rows of a layer, steps of a recurrent one).
 * Panels of NB columns, KB rows each: a piece leaves room for A in the first-level cache. A chunk of CHUNK rows is summed by itself and
 * then added (gemm_blocks.c says why). */
#include <string.h>

#include "base/integers.h"
#include "kernels/gemm/gemm.h"

enum { MB = 64, NB = 32, KB = 128, CHUNK = 4 * KB };

sq_packed sq__pack(float *room, bool trans, int64_t k, int64_t n, const float *b, int64_t ldb)
{
    float *y = room;
    for (int64_t j = 0, nb; j < n; j += nb) {
        nb = sq__least(n - j, NB);
        for (int64_t p = 0, kb; p < k; p += kb, y += kb * nb) {
            kb = sq__least(k - p, KB);
            if (trans) sq__kernels()->transpose(y, nb, b + j * ldb + p, ldb, nb, kb);
            for (int64_t i = 0; !trans && i < kb; i++) memcpy(y + i * nb, b + (p + i) * ldb + j, (size_t)nb * sizeof *y);
        }
    }
    return (sq_packed){ trans, k, n, ldb, b, room };
}

/* One panel: C[mb,nb] (+)= A y */
static void panel(int64_t mb, int64_t nb, int64_t k, const float *a, int64_t lda, const float *y, bool accumulate, float *c, int64_t ldc)
{
    float sum[MB * NB] __attribute__((aligned(64)));
    sq_block block = { .m = 0 };
    for (int64_t p = 0, kb; p < k; p += kb, y += kb * nb) {
        const bool apart = p >= CHUNK, goes_on = p % CHUNK || (accumulate && !apart);
        kb = sq__least(k - p, KB);
        if (block.k != kb || block.accumulate != goes_on || block.ldc != (apart ? NB : ldc))
            block = sq__block(false, mb, nb, kb, lda, nb, apart ? NB : ldc, goes_on);
        sq__block_run(&block, a + p, y, apart ? sum : c);
        for (int64_t r = 0; apart && r < mb && (p + kb == k || (p + kb) % CHUNK == 0); r++) sq__kernels()->axpy(c + r * ldc, 1, sum + r * NB, nb);
    }
}

void sq__gemm_packed(int64_t m, const sq_packed *b, const float *a, int64_t lda, bool accumulate, float *c, int64_t ldc)
{
    if (!b->panels) {
        sq__gemm(false, b->trans, m, b->n, b->k, 1, a, lda, b->b, b->ldb, accumulate ? 1 : 0, c, ldc);
        return;
    }
    for (int64_t i = 0, mb; i < m; i += mb) {
        const float *y = b->panels;
        mb = sq__least(m - i, MB);
        for (int64_t j = 0, nb; j < b->n; j += nb, y += b->k * nb) {
            nb = sq__least(b->n - j, NB);
            panel(mb, nb, b->k, a + i * lda, lda, y, accumulate, c + i * ldc + j, ldc);
        }
    }
}
