/* Rows to random features and back: y = x / (|x| + e), x^ = sigma o y / temperature, u = W x^, f = w [sin u, cos u] or w relu(u); with a gate, features
 * of key j times 1 - g_j. */
#include <math.h>
#include <string.h>

#include "attention/rfa.h"

static sq_rfa_map *place(sq_cut *cut, int64_t D)
{
    sq_rfa_map *map = sq__cut(cut, sizeof *map);
    float *scaled = sq__cut_floats(cut, SQ_LINEAR_CHUNK * D), *dscaled = sq__cut_floats(cut, SQ_LINEAR_CHUNK * D);
    if (cut->base) *map = (sq_rfa_map){ .scaled = scaled, .dscaled = dscaled };
    return map;
}

size_t sq__rfa_map_bytes(int64_t D)
{
    sq_cut cut = { NULL, 0 };
    place(&cut, D);
    return cut.used;
}

sq_rfa_map *sq__rfa_map_place(void *memory, int64_t D)
{
    sq_cut cut = { memory, 0 };
    return place(&cut, D);
}

static float weight(const sq_rfa_map *map)
{
    return map->config->convention == SQ_RFA_NOAHS_ARK ? 0.1f : (float)(1 / sqrt((double)map->m));
}

static float norm(const sq_rfa_map *map, const float *x)
{
    return sqrtf(map->kernels->dot(x, x, map->D));
}

/* 1 / (|x| + e); 0 for a zero vector of the paper's. */
static float inverse(const sq_rfa_map *map, float n)
{
    const float size = n + (map->config->convention == SQ_RFA_NOAHS_ARK ? 1e-3f : 0);
    return size > 0 ? 1 / size : 0;
}

static void scale_rows(const sq_rfa_map *map, const sq_linear_rows *side, int64_t first, int64_t rows)
{
    const float cold = (float)(1 / map->config->temperature);
    for (int64_t i = 0; i < rows; i++) {
        const float *x = side->x + (first + i) * side->x_row, factor = inverse(map, norm(map, x)) * cold;
        float *y = map->scaled + i * map->D;
        for (int64_t d = 0; d < map->D; d++) y[d] = x[d] * factor * (map->sigma ? map->sigma[d] : 1);
    }
}

static float sigmoid(float x)
{
    return 1 / (1 + expf(-x));
}

static void features(void *context, sq_linear_side which, int64_t first, int64_t rows, float *f)
{
    const sq_rfa_map *map = context;
    const int64_t m = map->m, F = map->config->kernel == SQ_RFA_GAUSSIAN ? 2 * m : m;
    scale_rows(map, &map->rows[which], first, rows);
    sq__gemm(false, true, rows, m, map->D, 1, map->scaled, map->D, map->W, map->D, 0, f, F);
    for (int64_t i = 0; i < rows; i++) {
        float *row = f + i * F, size = weight(map);
        if (map->gate && which == SQ_LINEAR_KEYS) size *= sigmoid(-map->gate[(first + i) * map->gate_row]);
        if (F == m) {
            for (int64_t r = 0; r < m; r++) row[r] = row[r] > 0 ? row[r] : 0;
        } else {
            map->kernels->sine_cosine(row, row + m, row, m);
        }
        map->kernels->scale(row, size, F);
    }
}

/* df becomes du in its first m columns. Sines and cosines in f carry their factor; relu's slope needs it. */
static void through_features(const sq_rfa_map *map, sq_linear_side which, int64_t i, const float *f, float *df)
{
    const int64_t m = map->m;
    if (map->config->kernel == SQ_RFA_GAUSSIAN) {
#pragma omp simd
        for (int64_t r = 0; r < m; r++) df[r] = f[m + r] * df[r] - f[r] * df[m + r];
        return;
    }
    float slope = weight(map);
    if (map->gate && which == SQ_LINEAR_KEYS) slope *= sigmoid(-map->gate[i * map->gate_row]);
#pragma omp simd
    for (int64_t r = 0; r < m; r++) df[r] = f[r] > 0 ? slope * df[r] : 0;
}

/* dx = (dy - y y.dy (|x| + e)/|x|) / (|x| + e), y = x / (|x| + e) */
static void through_norm(const sq_rfa_map *map, const sq_linear_rows *side, int64_t i, const float *dscaled)
{
    const float *x = side->x + i * side->x_row, n = norm(map, x), factor = inverse(map, n), cold = (float)(1 / map->config->temperature);
    float *dx = side->dx + i * side->dx_row, along = 0;
    for (int64_t d = 0; d < map->D; d++) {
        const float y = x[d] * factor, dy = dscaled[d] * cold;
        if (map->dsigma) map->dsigma[d] += (double)(dy * y);
        along += y * dy * (map->sigma ? map->sigma[d] : 1);
    }
    along = n > 0 ? along / n : 0;
    for (int64_t d = 0; d < map->D; d++) {
        const float dy = dscaled[d] * cold * (map->sigma ? map->sigma[d] : 1), value = dy * factor - x[d] * factor * along;
        dx[d] = side->accumulate ? dx[d] + value : value;
    }
}

static bool hidden(const sq_rfa_map *map, sq_linear_side which, int64_t j)
{
    return which == SQ_LINEAR_KEYS && map->key_keep && !map->key_keep[j];
}

/* A gate's part of the gradient that comes through its key's factor: d(1 - g) is df.f / (1 - g), and 1 - g has the slope -g (1 - g). */
static void through_gate(const sq_rfa_map *map, int64_t j, const float *f, const float *df)
{
    const int64_t F = map->config->kernel == SQ_RFA_GAUSSIAN ? 2 * map->m : map->m;
    map->dgate[j * map->dgate_row] =
        hidden(map, SQ_LINEAR_KEYS, j) ? 0 : -sigmoid(map->gate[j * map->gate_row]) * map->kernels->dot(f, df, F);
}

static void backward(void *context, sq_linear_side which, int64_t first, int64_t rows, const float *f, float *df)
{
    sq_rfa_map *map = context;
    const int64_t D = map->D, F = map->config->kernel == SQ_RFA_GAUSSIAN ? 2 * map->m : map->m;
    for (int64_t i = 0; i < rows; i++) {
        if (map->gate && which == SQ_LINEAR_KEYS) through_gate(map, first + i, f + i * F, df + i * F);
        through_features(map, which, first + i, f + i * F, df + i * F);
    }
    sq__gemm(false, false, rows, D, map->m, 1, df, F, map->W, D, 0, map->dscaled, D);
    for (int64_t i = 0; i < rows; i++)
        if (!hidden(map, which, first + i)) through_norm(map, &map->rows[which], first + i, map->dscaled + i * D);
}

sq_linear_map sq__rfa_linear_map(sq_rfa_map *map)
{
    return (sq_linear_map){ map, features, backward };
}

/* log g = -log(1 + exp(-x)) */
void sq__rfa_decay(const void *context, float *log_decay)
{
    const sq_rfa_map *map = context;
    for (int64_t j = 0; j < map->N; j++) {
        const float x = map->gate[j * map->gate_row];
        log_decay[j] = (x < 0 ? x : 0) - log1pf(expf(-fabsf(x)));
    }
}

void sq__rfa_decay_backward(void *context, const float *dlog_decay)
{
    sq_rfa_map *map = context;
    for (int64_t j = 0; j < map->N; j++)
        if (!hidden(map, SQ_LINEAR_KEYS, j)) map->dgate[j * map->dgate_row] += dlog_decay[j] * sigmoid(-map->gate[j * map->gate_row]);
}
