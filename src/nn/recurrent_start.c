#include "nn/recurrent_start.h"

#include <math.h>
#include <string.h>

/* Gram-Schmidt, each row twice against the rows before it; w [rows][columns] complex where im is not NULL. */
static void orthonormal(float *re, float *im, int64_t rows, int64_t columns)
{
    for (int64_t r = 0; r < rows; r++) {
        const int64_t first = r - r % columns;   /* of its group */
        float *x = re + r * columns, *y = im ? im + r * columns : NULL;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t q = first; q < r; q++) {
                const float *a = re + q * columns, *b = im ? im + q * columns : NULL;
                double along = 0, across = 0;   /* <row q, row r> = sum conj(q) r */
                for (int64_t i = 0; i < columns; i++) {
                    along += (double)a[i] * x[i] + (im ? (double)b[i] * y[i] : 0);
                    across += im ? (double)a[i] * y[i] - (double)b[i] * x[i] : 0;
                }
                for (int64_t i = 0; i < columns; i++) {
                    x[i] -= (float)(along * a[i] - (im ? across * b[i] : 0));
                    if (im) y[i] -= (float)(along * b[i] + across * a[i]);
                }
            }
        double square = 0;
        for (int64_t i = 0; i < columns; i++) square += (double)x[i] * x[i] + (im ? (double)y[i] * y[i] : 0);
        const float factor = square > 0 ? (float)(1 / sqrt(square)) : 0;
        for (int64_t i = 0; i < columns; i++) {
            x[i] *= factor;
            if (im) y[i] *= factor;
        }
    }
}

void sq__start_orthonormal(float *w, int64_t rows, int64_t columns) { orthonormal(w, NULL, rows, columns); }

void sq__start_unitary(float *w, int64_t blocks, const sq_kronecker *k)
{
    for (int64_t block = 0; block < blocks; block++)
        for (int f = 0; f < k->count; f++) {
            const int64_t size = k->rows[f] * k->columns[f];
            orthonormal(w, k->complex ? w + size : NULL, k->rows[f], k->columns[f]);
            w += (k->complex ? 2 : 1) * size;
        }
}

void sq__start_identity(float *w, int64_t n)
{
    memset(w, 0, (size_t)(n * n) * sizeof *w);
    for (int64_t i = 0; i < n; i++) w[i * n + i] = 1;
}

void sq__start_memory(float *remember, float *forget, int64_t n, int64_t steps)
{
    for (int64_t i = 0; i < n; i++) {
        remember[i] = logf(1 + remember[i] * (float)(steps > 2 ? steps - 2 : 0));
        if (forget) forget[i] = -remember[i];
    }
}
