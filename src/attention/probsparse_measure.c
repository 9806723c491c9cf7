/* The keys drawn lie anywhere: read one by one from a long sequence each waits for memory. So the head's keys are packed, and a tile of queries
 * meets them by blocks that stay in cache, each query all of its draws in a block at once. */
#include "attention/probsparse.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"

enum { BLOCK_KEYS = 16384, TILE_DRAWS = 1 << 19 };   /* 4 MiB of keys of 64 numbers, 2 MiB of draws */

typedef struct space {
    float *keys;                       /* [N,D] */
    int32_t *draws;                    /* [queries, samples] visible keys that each query drew, by block */
    int32_t *starts;                   /* [queries, blocks + 1] where each block begins in a query's draws */
    int32_t *drawn;                    /* [samples] of one query, as drawn */
    float *scores, *sum;               /* [samples] [queries] */
    int64_t queries, blocks;
} space;

static size_t cut(space *s, void *workspace, int64_t T, int64_t N, int64_t D, int64_t samples)
{
    sq_cut piece = { workspace, 0 };
    const int64_t queries = samples < TILE_DRAWS ? TILE_DRAWS / (samples > 0 ? samples : 1) : 1;
    s->queries = queries < T ? queries : T;
    s->blocks = (N + BLOCK_KEYS - 1) / BLOCK_KEYS;
    s->keys = sq__cut_floats(&piece, N * D);
    s->draws = sq__cut(&piece, (size_t)(s->queries * samples) * sizeof(int32_t));
    s->starts = sq__cut(&piece, (size_t)(s->queries * (s->blocks + 1)) * sizeof(int32_t));
    s->drawn = sq__cut(&piece, (size_t)samples * sizeof(int32_t));
    s->scores = sq__cut_floats(&piece, samples);
    s->sum = sq__cut_floats(&piece, s->queries);
    return piece.used;
}

size_t sq__probsparse_workspace(int64_t T, int64_t N, int64_t D, int64_t samples)
{
    space s;
    return cut(&s, NULL, T, N, D, samples);
}

/* Visible keys that query i drew. */
static int64_t draw(const sq_probsparse_measure *m, int64_t i, int32_t *drawn)
{
    int64_t count = 0;
    uint64_t pair = 0;
    for (int64_t t = 0; t < m->samples; t++) {
        const uint64_t index = (uint64_t)(i * m->samples + t);
        if (!m->table && (t == 0 || index % 2 == 0)) pair = sq__random_u64(&m->random, index / 2);   /* its halves serve as two draws: bias below N / 2^32 */
        const int64_t j = m->table ? sq__tensor_index(m->table[i % m->rows * m->columns + t], m->N)
                                   : (int64_t)(((index % 2 ? pair >> 32 : pair & 0xffffffffu) * (uint64_t)m->N) >> 32);
        drawn[count] = (int32_t)j;
        count += !m->key_keep || m->key_keep[j];
    }
    return count;
}

/* Brings them into the order of their blocks. */
static void sort(int32_t *draws, int32_t *starts, int64_t blocks, const int32_t *drawn, int64_t count)
{
    memset(starts, 0, (size_t)(blocks + 1) * sizeof *starts);
    for (int64_t t = 0; t < count; t++) starts[drawn[t] / BLOCK_KEYS + 1]++;
    for (int64_t block = 0; block < blocks; block++) starts[block + 1] += starts[block];
    for (int64_t t = 0; t < count; t++) draws[starts[drawn[t] / BLOCK_KEYS]++] = drawn[t];
    memmove(starts + 1, starts, (size_t)blocks * sizeof *starts);   /* each start has moved to the next one's */
    starts[0] = 0;
}

static void meet(const sq_probsparse_measure *m, const sq_kernels *kernels, const space *s, int64_t i, const int32_t *draws, int64_t count, float *most, float *sum)
{
    float largest = *most, total = *sum;
    kernels->dot_rows(s->scores, m->q + i * m->q_row, s->keys, m->D, draws, count, m->D);
    for (int64_t t = 0; t < count; t++) {
        const float score = m->scale * s->scores[t];
        largest = score > largest ? score : largest;
        total += score;
    }
    *most = largest;
    *sum = total;
}

static void measure_tile(const sq_probsparse_measure *m, const sq_kernels *kernels, const space *s, int64_t first, int64_t queries, float *measure)
{
    for (int64_t c = 0; c < queries; c++) {
        sort(s->draws + c * m->samples, s->starts + c * (s->blocks + 1), s->blocks, s->drawn, draw(m, first + c, s->drawn));
        measure[c] = -INFINITY;
        s->sum[c] = 0;
    }
    for (int64_t block = 0; block < s->blocks; block++)
        for (int64_t c = 0; c < queries; c++) {
            const int32_t *starts = s->starts + c * (s->blocks + 1);
            meet(m, kernels, s, first + c, s->draws + c * m->samples + starts[block], starts[block + 1] - starts[block], &measure[c], &s->sum[c]);
        }
    for (int64_t c = 0; c < queries; c++) {
        const int64_t seen = s->starts[c * (s->blocks + 1) + s->blocks];
        if (seen) measure[c] -= s->sum[c] / (float)(m->convention == SQ_PROBSPARSE_INFORMER ? m->N : seen);
    }
}

void sq__probsparse_measure(const sq_probsparse_measure *m, const sq_kernels *kernels, float *measure, void *workspace)
{
    space s;
    cut(&s, workspace, m->T, m->N, m->D, m->samples);
    for (int64_t j = 0; j < m->N; j++) memcpy(s.keys + j * m->D, m->k + j * m->k_row, (size_t)m->D * sizeof *s.keys);
    for (int64_t first = 0; first < m->T; first += s.queries)
        measure_tile(m, kernels, &s, first, s.queries < m->T - first ? s.queries : m->T - first, measure + first);
}
