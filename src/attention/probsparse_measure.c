#include "attention/probsparse.h"

#include <math.h>

/* The halves of a number drawn serve as two draws: bias below n / 2^32. */
static int64_t sample(const sq_probsparse_measure *m, int64_t i, int64_t t)
{
    if (m->table) return sq__tensor_index(m->table[i % m->rows * m->columns + t], m->N);
    const uint64_t index = (uint64_t)(i * m->samples + t), pair = sq__random_u64(&m->random, index / 2);
    return (int64_t)(((index % 2 ? pair >> 32 : pair & 0xffffffffu) * (uint64_t)m->N) >> 32);
}

static float measure_row(const sq_probsparse_measure *m, const sq_kernels *kernels, int64_t i)
{
    float most = -INFINITY, sum = 0;
    int64_t seen = 0;
    for (int64_t t = 0; t < m->samples; t++) {
        const int64_t j = sample(m, i, t);
        if (m->key_keep && !m->key_keep[j]) continue;
        const float score = m->scale * kernels->dot(m->q + i * m->q_row, m->k + j * m->k_row, m->D);
        most = score > most ? score : most;
        sum += score;
        seen++;
    }
    return seen ? most - sum / (float)(m->convention == SQ_PROBSPARSE_INFORMER ? m->N : seen) : -INFINITY;
}

void sq__probsparse_measure(const sq_probsparse_measure *m, const sq_kernels *kernels, float *measure)
{
    for (int64_t i = 0; i < m->T; i++) measure[i] = m->N > 0 ? measure_row(m, kernels, i) : -INFINITY;
}
