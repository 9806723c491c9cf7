#include "attention/engine/hash.h"

enum { ROWS = 64 };                    /* hashed by one product */

size_t sq__hash_workspace(int64_t bits)
{
    return (size_t)(ROWS * bits) * sizeof(float);
}

void sq__hash_signs(uint64_t *codes, const float *x, int64_t x_row, int64_t count, int64_t D, const float *planes, int64_t bits, int64_t plane_row,
                    bool threshold, float *workspace)
{
    for (int64_t i0 = 0; i0 < count; i0 += ROWS) {
        const int64_t rows = count - i0 < ROWS ? count - i0 : ROWS;
        sq__gemm(false, true, rows, bits, D, 1, x + i0 * x_row, x_row, planes, plane_row, 0, workspace, bits);
        for (int64_t i = 0; i < rows; i++) {
            uint64_t code = 0;
            for (int64_t b = 0; b < bits; b++)
                code |= (uint64_t)(workspace[i * bits + b] > (threshold ? planes[b * plane_row + D] : 0)) << b;
            codes[i0 + i] = code;
        }
    }
}

uint64_t sq__hash_gray_rank(uint64_t code)
{
    for (int shift = 1; shift < 64; shift *= 2) code ^= code >> shift;
    return code;
}
