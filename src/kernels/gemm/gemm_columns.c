/* Products whose A lies by columns, C += A' B with A stored [k,m]: gradients of weights, sums over many rows. Both are packed, A turned:
 * rows of thousands of bytes fall on few cache sets, and generated code reads A along k. A chunk is summed by itself and then added
 * (gemm_blocks.c says why). */
#include <string.h>

#include "base/integers.h"
#include "kernels/gemm/gemm.h"

enum { MB = 64, NB = 32, KB = 128, HALVES = 2, COLUMNS = 256 };   /* a chunk of k: HALVES blocks; COLUMNS of B at once */

bool sq__gemm_columns_pays(int64_t m, int64_t n, int64_t k) { return m >= 128 && n >= 128 && k >= 32; }

typedef struct chunk { int64_t size[HALVES]; int count; } chunk;   /* of k */

static chunk chunk_of(int64_t left)
{
    chunk c = { .count = 0 };
    for (; c.count < HALVES && left > 0; left -= c.size[c.count++]) c.size[c.count] = sq__least(left, KB);
    return c;
}

/* B[.., j..j+n] of a chunk into panels of NB columns, half after half. */
static void pack_columns(const chunk *c, int64_t n, const float *b, int64_t ldb, float *y)
{
    for (int64_t j = 0, nb; j < n; j += nb) {
        nb = sq__least(n - j, NB);
        const float *from = b + j;
        for (int h = 0; h < c->count; from += c->size[h++] * ldb)
            for (int64_t p = 0; p < c->size[h]; p++, y += nb) memcpy(y, from + p * ldb, (size_t)nb * sizeof *y);
    }
}

static void rows_of(const chunk *c, int64_t mb, int64_t n, const float *a, const float *b, float *to, int64_t ldc, bool accumulate)
{
    float sum[MB * NB] __attribute__((aligned(64)));
    sq_block block = { .m = 0 };
    for (int64_t j = 0, nb; j < n; j += nb) {
        nb = sq__least(n - j, NB);
        float *at = accumulate ? sum : to + j;
        const int64_t ld = accumulate ? NB : ldc;
        const float *half = a;
        for (int h = 0; h < c->count; h++) {
            const int64_t kb = c->size[h];
            if (block.n != nb || block.k != kb || block.accumulate != (h > 0)) block = sq__block(false, mb, nb, kb, kb, nb, ld, h > 0);
            sq__block_run(&block, half, b, at);
            half += mb * kb;
            b += kb * nb;
        }
        for (int64_t r = 0; accumulate && r < mb; r++) sq__kernels()->axpy(to + r * ldc + j, 1, sum + r * NB, nb);
    }
}

void sq__gemm_columns(int64_t m, int64_t n, int64_t k, const float *a, int64_t lda, const float *b, int64_t ldb, bool accumulate, float *c, int64_t ldc)
{
    float columns[COLUMNS * KB * HALVES] __attribute__((aligned(64))), turned[MB * KB * HALVES] __attribute__((aligned(64)));
    for (int64_t j = 0, width; j < n; j += width) {
        width = sq__least(n - j, COLUMNS);
        for (int64_t p = 0; p < k; p += KB * HALVES) {
            const chunk part = chunk_of(k - p);
            pack_columns(&part, width, b + p * ldb + j, ldb, columns);
            for (int64_t i = 0, mb; i < m; i += mb) {
                mb = sq__least(m - i, MB);
                int64_t at = 0;
                for (int h = 0; h < part.count; at += part.size[h++])
                    sq__kernels()->transpose(turned + at * mb, part.size[h], a + (p + at) * lda + i, lda, part.size[h], mb);
                rows_of(&part, mb, width, turned, columns, c + i * ldc + j, ldc, accumulate || p > 0);
            }
        }
    }
}
