#include "inspect/spectrum.h"

#include <lapacke.h>
#include <math.h>
#include <string.h>

#include "base/integers.h"
#include "base/memory.h"
#include "base/status.h"
#include "kernels/kernels.h"

/* The row-major matrix is LAPACK's transpose: with M' = U S W', the columns of U are right vectors of M, the rows of W' left ones. */
typedef struct decomposition {
    double *matrix, *u, *w, *work;
    lapack_int *integers;
    lapack_int work_size;
} decomposition;

static void clear(decomposition *d)
{
    sq__free(d->matrix);
    sq__free(d->u);
    sq__free(d->w);
    sq__free(d->work);
    sq__free(d->integers);
}

static lapack_int run(const sq_spectrum *s, const decomposition *d, bool vectors, double *work, lapack_int work_size)
{
    const lapack_int m = (lapack_int)s->columns, n = (lapack_int)s->rows, count = (lapack_int)s->count;
    return LAPACKE_dgesdd_work(LAPACK_COL_MAJOR, vectors ? 'S' : 'N', m, n, d->matrix, m, s->values, d->u, m, d->w, count, work, work_size, d->integers);
}

static sq_status prepare(const sq_spectrum *s, decomposition *d, const float *matrix, bool vectors, sq_error *error)
{
    const size_t floats = (size_t)(s->rows * s->columns);
    double wanted = 0;
    d->matrix = sq__alloc_array(floats, sizeof *d->matrix);
    d->u = sq__alloc_array(vectors ? (size_t)(s->columns * s->count) : 1, sizeof *d->u);
    d->w = sq__alloc_array(vectors ? (size_t)(s->count * s->rows) : 1, sizeof *d->w);
    d->integers = sq__alloc_array((size_t)s->count * 8, sizeof *d->integers);
    if (!d->matrix || !d->u || !d->w || !d->integers) return sq__no_memory(error);
    for (size_t i = 0; i < floats; i++) {
        if (!isfinite(matrix[i]))
            return sq__fail(error, SQ_INVALID, "the matrix holds %g at row %zu, column %zu", (double)matrix[i], i / (size_t)s->columns, i % (size_t)s->columns);
        d->matrix[i] = matrix[i];
    }
    if (run(s, d, vectors, &wanted, -1)) return sq__fail(error, SQ_INTERNAL, "no workspace for the singular values");
    d->work_size = (lapack_int)wanted;
    d->work = sq__alloc_array((size_t)d->work_size, sizeof *d->work);
    return d->work ? SQ_OK : sq__no_memory(error);
}

/* Vectors a row: w holds rows of W' by column, u columns of U by column. */
static sq_status keep_vectors(sq_spectrum *s, decomposition *d, sq_error *error)
{
    s->left = sq__alloc_array((size_t)(s->count * s->rows), sizeof *s->left);
    if (!s->left) return sq__no_memory(error);
    for (int64_t r = 0; r < s->count; r++)
        for (int64_t i = 0; i < s->rows; i++) s->left[r * s->rows + i] = d->w[i * s->count + r];
    s->right = d->u;
    d->u = NULL;
    return SQ_OK;
}

sq_status sq__spectrum_create(sq_spectrum *spectrum, const float *matrix, int64_t rows, int64_t columns, bool vectors, sq_error *error)
{
    decomposition d = { .matrix = NULL };
    *spectrum = (sq_spectrum){ .rows = rows, .columns = columns, .count = sq__least(rows, columns) };
    if (rows < 1 || columns < 1 || rows > INT32_MAX / 8 || columns > INT32_MAX / 8)
        return sq__fail(error, SQ_INVALID, "the matrix has %lld rows and %lld columns; expected 1 to %d", (long long)rows, (long long)columns, INT32_MAX / 8);
    spectrum->values = sq__alloc_array((size_t)spectrum->count, sizeof *spectrum->values);
    sq__blas_single_thread();
    sq_status status = spectrum->values ? prepare(spectrum, &d, matrix, vectors, error) : sq__no_memory(error);
    if (status == SQ_OK && run(spectrum, &d, vectors, d.work, d.work_size))
        status = sq__fail(error, SQ_INTERNAL, "the singular values of a %lld x %lld matrix do not converge", (long long)rows, (long long)columns);
    if (status == SQ_OK && vectors) status = keep_vectors(spectrum, &d, error);
    clear(&d);
    if (status != SQ_OK) sq__spectrum_clear(spectrum);
    return status;
}

void sq__spectrum_clear(sq_spectrum *spectrum)
{
    sq__free(spectrum->values);
    sq__free(spectrum->left);
    sq__free(spectrum->right);
    *spectrum = (sq_spectrum){ .values = NULL };
}

/* Sum of the squares from `rank` on, the small ones first. */
static double tail(const sq_spectrum *s, int64_t rank)
{
    double sum = 0;
    for (int64_t i = s->count; i-- > (rank > 0 ? rank : 0);) sum += s->values[i] * s->values[i];
    return sum;
}

double sq__spectrum_energy(const sq_spectrum *s, int64_t rank)
{
    const double all = tail(s, 0);
    return all > 0 ? 1 - tail(s, rank) / all : 1;
}

double sq__spectrum_error(const sq_spectrum *s, int64_t rank)
{
    const double all = tail(s, 0);
    return all > 0 ? sqrt(tail(s, rank) / all) : 0;
}

double sq__spectrum_error_spectral(const sq_spectrum *s, int64_t rank)
{
    if (rank < 0) rank = 0;
    return rank < s->count && s->values[0] > 0 ? s->values[rank] / s->values[0] : 0;
}

int64_t sq__spectrum_rank(const sq_spectrum *s, double energy)
{
    const double all = tail(s, 0);
    double left = 0;
    int64_t rank = s->count;
    while (rank > 0 && left + s->values[rank - 1] * s->values[rank - 1] <= (1 - energy) * all) {
        rank--;
        left += s->values[rank] * s->values[rank];
    }
    return rank;
}

void sq__spectrum_truncate(const sq_spectrum *s, int64_t rank, float *out)
{
    for (int64_t i = 0; i < s->rows; i++)
        for (int64_t j = 0; j < s->columns; j++) {
            double sum = 0;
            for (int64_t r = 0; r < sq__least(rank, s->count); r++) sum += s->values[r] * s->left[r * s->rows + i] * s->right[r * s->columns + j];
            out[i * s->columns + j] = (float)sum;
        }
}
