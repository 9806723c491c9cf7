/* The linear maps of an update: new rows into coefficients, and old coefficients into their part of the new ones. */
#include <string.h>

#include "attention/engine/memory.h"
#include "base/status.h"

/* past = G' psi(m/M): reading the old signal at the places and regressing what was read are one linear map. */
static sq_status fill_past(const sq_memory_basis *basis, int64_t M, bool sticky, const double *G, const sq_memory_update *to)
{
    const int64_t N = basis->N, count = sticky ? SQ_MEMORY_BINS : M;
    double *t = sq__alloc_array((size_t)count, sizeof(double)), *psi = sq__alloc_array((size_t)count, (size_t)N * sizeof(double));
    double *row = sq__alloc_array((size_t)N, sizeof(double));
    const bool ready = t && psi && row;
    if (ready) {
        for (int64_t m = 0; m < count; m++) t[m] = sticky ? (double)m / SQ_MEMORY_BINS : (double)(m + 1) / (double)M;
        sq__memory_psi(basis, t, count, psi);
    }
    for (int64_t i = 0; ready && sticky && i < count * N; i++) to->psi[i] = (float)psi[i];
    for (int64_t i = 0; ready && sticky && i < M * N; i++) to->samples[i] = (float)G[i];
    for (int64_t i = 0; ready && !sticky && i < N; i++) {
        memset(row, 0, (size_t)N * sizeof(double));
        for (int64_t m = 0; m < M; m++)
            for (int64_t j = 0; j < N; j++) row[j] += G[m * N + i] * psi[m * N + j];
        for (int64_t j = 0; j < N; j++) to->past[i * N + j] = (float)row[j];
    }
    sq__free(t);
    sq__free(psi);
    sq__free(row);
    return ready ? SQ_OK : SQ_NO_MEMORY;
}

sq_memory_update sq__memory_update_cut(const sq_memory_basis *basis, const sq_memory_rule *rule, sq_cut *cut)
{
    const int64_t N = basis->N;
    sq_memory_update u = { .first = sq__cut_floats(cut, rule->L * N), .fresh = sq__cut_floats(cut, rule->L * N) };
    if (rule->sticky) {
        u.samples = sq__cut_floats(cut, rule->M * N);
        u.psi = sq__cut_floats(cut, SQ_MEMORY_BINS * N);
    } else {
        u.past = sq__cut_floats(cut, N * N);
    }
    return u;
}

sq_status sq__memory_update_fill(const sq_memory_basis *basis, const sq_memory_rule *rule, const sq_memory_update *to, sq_error *error)
{
    const int64_t L = rule->L, M = rule->M, N = basis->N;
    double *G = sq__alloc_array((size_t)(M + L), (size_t)N * sizeof(double));
    if (!G) return sq__no_memory(error);
    sq_status status = sq__memory_regression_first(basis, L, rule->ridge, G, error);
    for (int64_t i = 0; status == SQ_OK && i < L * N; i++) to->first[i] = (float)G[i];
    if (status == SQ_OK) status = sq__memory_regression_update(basis, L, M, rule->tau, rule->ridge, G, error);
    for (int64_t i = 0; status == SQ_OK && i < L * N; i++) to->fresh[i] = (float)G[M * N + i];
    if (status == SQ_OK && fill_past(basis, M, rule->sticky, G, to) != SQ_OK) status = sq__no_memory(error);
    sq__free(G);
    return status;
}
