#include "attention/orthogonal.h"

#include <lapacke.h>
#include <math.h>

#include "base/memory.h"
#include "kernels/kernels.h"

enum { WORK_PER_COLUMN = 64 };     /* at least LAPACK's block size, so that it runs blocked */

static void write_block(const double *q, const float *norms, int64_t rows, int64_t D, float *out)
{
    for (int64_t i = 0; i < rows; i++) {
        double square = 0;
        for (int64_t d = 0; norms && d < D; d++) square += (double)norms[i * D + d] * norms[i * D + d];
        const double length = sqrt(norms ? square : (double)D);
        for (int64_t d = 0; d < D; d++) out[i * D + d] = (float)(length * q[i * D + d]);   /* a column of Q is contiguous for LAPACK */
    }
}

sq_status sq__orthogonal_directions(const float *blocks, const float *norms, int64_t m, int64_t D, float *out)
{
    double *a = sq__alloc_array((size_t)D, (size_t)D * sizeof *a);
    double *work = sq__alloc_array((size_t)D + 1, (WORK_PER_COLUMN + 1) * sizeof *work);
    sq_status status = a && work ? SQ_OK : SQ_NO_MEMORY;
    sq__blas_single_thread();
    for (int64_t first = 0; status == SQ_OK && first < m; first += D) {
        const float *block = blocks + first * D;
        const lapack_int n = (lapack_int)D, space = WORK_PER_COLUMN * n;
        double *tau = work + space;
        for (int64_t i = 0; i < D; i++)
            for (int64_t j = 0; j < D; j++) a[j * D + i] = block[i * D + j];
        if (LAPACKE_dgeqrf_work(LAPACK_COL_MAJOR, n, n, a, n, tau, work, space) ||
            LAPACKE_dorgqr_work(LAPACK_COL_MAJOR, n, n, n, a, n, tau, work, space))
            status = SQ_INTERNAL;
        else
            write_block(a, norms ? norms + first * D : NULL, m - first < D ? m - first : D, D, out + first * D);
    }
    sq__free(a);
    sq__free(work);
    return status;
}
