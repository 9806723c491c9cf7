/* Matrix product out of generated block products. B is packed into panels of NB columns where it is transposed or read often
 * enough (a panel of KB rows fits the first-level cache, and its rows no longer fall on few cache sets); A is read where it
 * lies. Tails are cut into a multiple of 16 and a rest, so that the number of shapes generated stays small whatever lengths
 * come along. */
#include <string.h>

#include "base/integers.h"
#include "kernels/gemm/gemm.h"

enum {
    MB = 64, NB = 64, KB = 128,
    PANELS = 4,            /* packed at once: ROWS rows of A meet all of them while these rows are in cache */
    ROWS = 4 * MB,
    PACK_ROWS = 128,       /* fewer rows of A than this read B in place */
    FEW_ROWS = 4,          /* with B transposed: so few that dot products beat packing */
};

/* The next piece of what is left of a dimension. */
static int64_t piece(int64_t left, int64_t block)
{
    if (left >= block) return block;
    return left >= 16 ? left - left % 16 : left;
}

/* y [kb, nb] = factor op(B)[p.., j..], rows ldy apart */
static void pack(float *y, int64_t ldy, bool trans, const float *b, int64_t ldb, int64_t kb, int64_t nb, float factor)
{
    const sq_kernels *kernels = sq__kernels();
    if (trans) kernels->transpose(y, ldy, b, ldb, nb, kb);
    for (int64_t p = 0; p < kb; p++) {
        if (!trans) memcpy(y + p * ldy, b + p * ldb, (size_t)nb * sizeof *y);
        if (factor != 1) kernels->scale(y + p * ldy, factor, nb);
    }
}

typedef struct product {
    bool trans_a;
    int64_t m, lda, ldc;
    const float *a;
    float *c;
} product;

/* C[:, j..j+nb] (+)= op(A)[:, ..kb] b. A whole block is summed by itself and then added: generated code would go on from C with one rounding
 * for each of k terms, which costs long sums that cancel two digits. */
static void columns(const product *g, int64_t kb, int64_t j, int64_t nb, const float *b, int64_t ldb, bool accumulate)
{
    float sum[MB * NB] __attribute__((aligned(64)));
    const bool apart = accumulate && kb == KB;
    sq_block block = { .m = 0 };
    for (int64_t i = 0, mb; i < g->m; i += mb) {
        float *c = g->c + i * g->ldc + j;
        mb = piece(g->m - i, MB);
        if (mb != block.m) block = sq__block(g->trans_a, mb, nb, kb, g->lda, ldb, apart ? NB : g->ldc, accumulate && !apart);
        sq__block_run(&block, g->trans_a ? g->a + i : g->a + i * g->lda, b, apart ? sum : c);
        for (int64_t r = 0; apart && r < mb; r++) sq__kernels()->axpy(c + r * g->ldc, 1, sum + r * NB, nb);
    }
}

/* The same for up to PANELS packed panels. */
static void panels(const product *g, int64_t kb, int64_t j, int64_t count, const float *b, bool accumulate)
{
    for (int64_t i = 0; i < g->m; i += ROWS) {
        const product rows = { g->trans_a, sq__least(g->m - i, ROWS), g->lda, g->ldc, g->trans_a ? g->a + i : g->a + i * g->lda, g->c + i * g->ldc };
        for (int64_t x = 0; x < count; x += NB) columns(&rows, kb, j + x, NB, b + x * KB, NB, accumulate);
    }
}

static void scale_output(int64_t m, int64_t n, float beta, float *c, int64_t ldc)
{
    for (int64_t i = 0; i < m; i++) sq__kernels()->scale(c + i * ldc, beta, n);
}

static void few_rows(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                     int64_t ldc)
{
    const sq_kernels *kernels = sq__kernels();
    for (int64_t j = 0; j < n; j++)
        for (int64_t i = 0; i < m; i++) {
            float *at = c + i * ldc + j;
            const float value = alpha * kernels->dot(a + i * lda, b + j * ldb, k);
            *at = beta == 0 ? value : beta * *at + value;
        }
}

void sq__gemm_blocks(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                     const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    float packed[PANELS * KB * NB] __attribute__((aligned(64)));
    const bool must_pack = trans_b || alpha != 1, in_place = !must_pack && (trans_a || m < PACK_ROWS);

    if (trans_b && !trans_a && m <= FEW_ROWS) {
        few_rows(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
        return;
    }
    if (beta != 0 && beta != 1) scale_output(m, n, beta, c, ldc);
    if (trans_a && !must_pack && sq__gemm_columns_pays(m, n, k)) {
        sq__gemm_columns(m, n, k, a, lda, b, ldb, beta != 0, c, ldc);
        return;
    }
    for (int64_t p = 0, kb; p < k; p += kb) {
        const product g = { trans_a, m, lda, ldc, trans_a ? a + p * lda : a + p, c };
        const bool accumulate = p > 0 || beta != 0;
        kb = piece(k - p, KB);
        for (int64_t j = 0, nb; j < n; j += nb) {
            const float *from = trans_b ? b + j * ldb + p : b + p * ldb + j;
            nb = sq__least((n - j) / NB, PANELS) * NB;      /* whole panels, then the tail */
            if (nb == 0) nb = piece(n - j, NB);
            if (in_place) {
                nb = sq__least(nb, NB);
                columns(&g, kb, j, nb, from, ldb, accumulate);
            } else if (nb < NB) {
                pack(packed, nb, trans_b, from, ldb, kb, nb, alpha);
                columns(&g, kb, j, nb, packed, nb, accumulate);
            } else {
                for (int64_t x = 0; x < nb; x += NB)
                    pack(packed + x * KB, NB, trans_b, trans_b ? from + x * ldb : from + x, ldb, kb, NB, alpha);
                panels(&g, kb, j, nb, packed, accumulate);
            }
        }
    }
}
