#include <math.h>

#include "base/memory.h"
#include "base/status.h"
#include "inspect/spectrum.h"
#include "subquad/inspect.h"

/* Weights of one row by size, added up: entropy of the row, and mass by distance. False: the row sees nothing. */
static bool add_row(const float *row, int64_t i, int64_t N, sq_matrix_statistics *s, double *sums)
{
    double total = 0, entropy = 0, distance = 0;
    for (int64_t j = 0; j < N; j++) total += fabs(row[j]);
    if (!(total > 0)) return false;
    for (int64_t j = 0; j < N; j++) {
        const double p = fabs(row[j]) / total;
        const int64_t away = i < j ? j - i : i - j;
        if (p > 0) entropy -= p * log2(p);
        distance += p * (double)away;
        for (int w = 0; w < s->window_count; w++)
            if (away <= s->windows[w]) s->inside[w] += p;
    }
    sums[0] += entropy;
    sums[1] += distance;
    return true;
}

sq_status sq_matrix_measure(sq_matrix_statistics *s, const float *matrix, int64_t T, int64_t N, sq_error *error)
{
    sq_spectrum spectrum;
    double sums[2] = { 0, 0 }, rows = 0, all = 0, held = 0;
    *s = (sq_matrix_statistics){ .rows = T, .columns = N };
    for (int64_t window = 1; s->window_count < SQ_MATRIX_WINDOWS && window < 2 * N; window *= 2) s->windows[s->window_count++] = window;
    SQ_TRY(sq__spectrum_create(&spectrum, matrix, T, N, false, error));
    s->energy = sq__alloc_array((size_t)spectrum.count, sizeof *s->energy);
    if (s->energy) {
        for (int64_t i = 0; i < T; i++) rows += add_row(matrix + i * N, i, N, s, sums);
        for (int w = 0; w < s->window_count; w++) s->inside[w] = rows > 0 ? s->inside[w] / rows : 0;
        s->entropy = rows > 0 ? sums[0] / rows : 0;
        s->distance = rows > 0 ? sums[1] / rows : 0;
        s->rank90 = sq__spectrum_rank(&spectrum, 0.9);
        s->rank99 = sq__spectrum_rank(&spectrum, 0.99);
        for (int64_t i = 0; i < spectrum.count; i++) all += spectrum.values[i] * spectrum.values[i];
        for (int64_t i = 0; i < spectrum.count; i++) s->energy[i] = all > 0 ? (held += spectrum.values[i] * spectrum.values[i]) / all : 1;
    }
    sq__spectrum_clear(&spectrum);
    return s->energy ? SQ_OK : sq__no_memory(error);
}

void sq_matrix_statistics_clear(sq_matrix_statistics *s)
{
    sq__free(s->energy);
    *s = (sq_matrix_statistics){ .energy = NULL };
}
