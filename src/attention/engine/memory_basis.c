/* Basis functions, where samples lie, and the ridge regression onto them, all in float64. */
#include <lapacke.h>
#include <math.h>
#include <string.h>

#include "attention/engine/memory.h"
#include "base/status.h"

#define NEGLIGIBLE 12   /* widths from the centre, where psi is 5e-32 of its height: zeros are skipped below */

static const double inv_sqrt_2pi = 0.39894228040143267794;

double sq__memory_centre(const sq_memory_basis *basis, int64_t j)
{
    return basis->N > 2 ? (double)(j / 2) / (double)(basis->N / 2 - 1) : 0.0;
}

double sq__memory_width(const sq_memory_basis *basis, int64_t j)
{
    return j % 2 ? basis->wide : basis->narrow;
}

void sq__memory_psi(const sq_memory_basis *basis, const double *t, int64_t count, double *psi)
{
    if (basis->rectangular) {
        sq__memory_rectangle_psi(basis->N, t, count, psi);
        return;
    }
    for (int64_t i = 0; i < count; i++)
        for (int64_t j = 0; j < basis->N; j++) {
            double s = sq__memory_width(basis, j), u = (t[i] - sq__memory_centre(basis, j)) / s;
            psi[i * basis->N + j] = fabs(u) < NEGLIGIBLE ? inv_sqrt_2pi * exp(-0.5 * u * u) / s : 0;
        }
}

/* Point i of `count` equally spaced from low to high. */
static double spaced(double low, double high, int64_t count, int64_t i)
{
    return count > 1 ? low + (high - low) * (double)i / (double)(count - 1) : low;
}

int64_t sq__memory_places_first(int64_t L, sq_memory_places *places)
{
    const bool even = L % 2 == 0;
    const int64_t count = even ? 2 * L : 2 * L - 1;
    const double inset = 1.0 / (double)(even ? 2 * L : L);
    places->first = even ? L / 2 : (L - 1) / 2;
    places->kept = L;
    for (int64_t i = 0; places->t && i < count; i++) places->t[i] = spaced(-0.5 + inset, 1.5 - inset, count, i);
    return count;
}

int64_t sq__memory_places_update(int64_t L, int64_t M, double tau, sq_memory_places *places)
{
    const int64_t grid = 2 * (M + L);
    const double inset = 1.0 / (double)(2 * L + M);   /* as the authors' code has it; 2 (L + M) would fit the number of points */
    int64_t count = 0;
    for (int64_t i = 0; i < grid; i++) {
        double t = spaced(-0.5 + inset, 1.5 - inset, grid, i);
        if (t >= 0) break;
        if (places->t) places->t[count] = t;
        count++;
    }
    places->first = count;
    places->kept = M + L;
    for (int64_t m = 1; places->t && m <= M; m++) places->t[count + m - 1] = tau * (double)m / (double)M;
    for (int64_t i = 1; places->t && i <= L; i++) places->t[count + M + i - 1] = tau + (1 - tau) * (double)i / (double)L;
    count += M + L;
    for (int64_t i = 0; i < grid; i++) {
        double t = spaced(-0.5 + inset, 1.5 - inset, grid, i);
        if (t <= 1) continue;
        if (places->t) places->t[count] = t;
        count++;
    }
    return count;
}

/* (F F' + ridge I) X = F for the kept columns, G = X'. Row-major psi is F column by column, as LAPACK wants it, and the upper triangle of a
 * row-major matrix is its lower one. */
static sq_status regress(const double *psi, double *gram, int64_t N, int64_t count, const sq_memory_places *places, double ridge, double *G,
                         sq_error *error)
{
    for (int64_t i = 0; i < N; i++) gram[i * N + i] = ridge;
    for (int64_t p = 0; p < count; p++)
        for (int64_t i = 0; i < N; i++) {
            const double *row = psi + p * N;
            if (row[i] == 0) continue;   /* most are: the functions are narrow */
            for (int64_t j = i; j < N; j++) gram[i * N + j] += row[i] * row[j];
        }
    memcpy(G, psi + places->first * N, (size_t)(places->kept * N) * sizeof(double));
    lapack_int failed = LAPACKE_dposv_work(LAPACK_COL_MAJOR, 'L', (lapack_int)N, (lapack_int)places->kept, gram, (lapack_int)N, G, (lapack_int)N);
    if (failed)
        return sq__fail(error, SQ_INVALID, "infinite-former: the regression onto %lld basis functions is singular; expected a ridge above %g",
                        (long long)N, ridge);
    return SQ_OK;
}

static sq_status regression(const sq_memory_basis *basis, int64_t L, int64_t M, double tau, double ridge, double *G, sq_error *error)
{
    sq_memory_places places = { NULL, 0, 0 };
    const int64_t N = basis->N, count = M ? sq__memory_places_update(L, M, tau, &places) : sq__memory_places_first(L, &places);
    double *psi = sq__alloc_array((size_t)count, (size_t)N * sizeof(double)), *gram = sq__alloc_array((size_t)N, (size_t)N * sizeof(double));
    places.t = sq__alloc_array((size_t)count, sizeof(double));
    sq_status status = SQ_NO_MEMORY;
    if (psi && gram && places.t) {
        sq__blas_single_thread();
        if (M) sq__memory_places_update(L, M, tau, &places);
        else sq__memory_places_first(L, &places);
        sq__memory_psi(basis, places.t, count, psi);
        status = regress(psi, gram, N, count, &places, ridge, G, error);
    } else {
        status = sq__no_memory(error);
    }
    sq__free(psi);
    sq__free(gram);
    sq__free(places.t);
    return status;
}

sq_status sq__memory_regression_first(const sq_memory_basis *basis, int64_t L, double ridge, double *G, sq_error *error)
{
    return regression(basis, L, 0, 0, ridge, G, error);
}

sq_status sq__memory_regression_update(const sq_memory_basis *basis, int64_t L, int64_t M, double tau, double ridge, double *G, sq_error *error)
{
    return regression(basis, L, M, tau, ridge, G, error);
}
