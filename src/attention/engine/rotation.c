#include "attention/engine/rotation.h"

#include "base/memory.h"
#include "kernels/kernels.h"

enum { ROTATED_ROWS = 256 };   /* rows projected at once: their projections stay in cache */

size_t sq__rotation_workspace(const sq_rotation *hash)
{
    return sq__align_up((size_t)(ROTATED_ROWS * sq__rotation_columns(hash)) * sizeof(float));
}

/* Of [r, -r], r [half]: place of the largest. */
static int32_t largest(const float *r, int64_t half)
{
    float most = r[0], least = r[0];
    int32_t high = 0, low = 0;
    for (int32_t i = 1; i < half; i++) {
        if (r[i] > most) most = r[i], high = i;
        if (r[i] < least) least = r[i], low = i;
    }
    return -least > most ? (int32_t)half + low : high;
}

void sq__rotation_rows(const sq_rotation *hash, const float *rotations, const float *x, int64_t x_row, int64_t n, int32_t *buckets, void *workspace)
{
    const int64_t used = sq__rotation_columns(hash), half = hash->factor[0] / 2, stride = hash->rounds * hash->columns;
    float *r = workspace;
    for (int64_t i0 = 0; i0 < n; i0 += ROTATED_ROWS) {
        const int64_t rows = n - i0 < ROTATED_ROWS ? n - i0 : ROTATED_ROWS;
        for (int64_t t = 0; t < hash->rounds; t++) {
            sq__gemm(false, false, rows, used, hash->D, 1, x + i0 * x_row, x_row, rotations + t * hash->columns, stride, 0, r, used);
            for (int64_t i = 0; i < rows; i++) {
                int32_t bucket = largest(r + i * used, half);
                if (hash->factor[1]) bucket += (int32_t)hash->factor[0] * largest(r + i * used + half, hash->factor[1] / 2);
                buckets[t * n + i0 + i] = bucket;
            }
        }
    }
}
