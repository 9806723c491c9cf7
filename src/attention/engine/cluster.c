#include "attention/engine/cluster.h"

#include <string.h>

typedef struct space {
    uint64_t *codes, *centroids;       /* [rows] [clusters] */
    int32_t *ones, *count;             /* [clusters, bits] [clusters] */
    float *hash;
} space;

static space cut(sq_cut *piece, int64_t rows, int64_t clusters, int64_t bits)
{
    space s;
    s.codes = sq__cut(piece, (size_t)rows * sizeof *s.codes);
    s.centroids = sq__cut(piece, (size_t)clusters * sizeof *s.centroids);
    s.ones = sq__cut(piece, (size_t)(clusters * bits) * sizeof *s.ones);
    s.count = sq__cut(piece, (size_t)clusters * sizeof *s.count);
    s.hash = sq__cut(piece, sq__hash_workspace(bits));
    return s;
}

size_t sq__cluster_workspace(int64_t rows, int64_t clusters, int64_t bits)
{
    sq_cut piece = { NULL, 0 };
    cut(&piece, rows, clusters, bits);
    return piece.used;
}

static void move_centroids(const space *s, int64_t rows, int64_t clusters, int64_t bits, const int32_t *cluster)
{
    memset(s->ones, 0, (size_t)(clusters * bits) * sizeof *s->ones);
    memset(s->count, 0, (size_t)clusters * sizeof *s->count);
    for (int64_t i = 0; i < rows; i++) {
        int32_t *ones = s->ones + cluster[i] * bits;
        for (int64_t b = 0; b < bits; b++) ones[b] += (int32_t)(s->codes[i] >> b & 1);
        s->count[cluster[i]]++;
    }
    for (int64_t c = 0; c < clusters; c++) {
        if (s->count[c] == 0) continue;
        s->centroids[c] = 0;
        for (int64_t b = 0; b < bits; b++) s->centroids[c] |= (uint64_t)(2 * (int64_t)s->ones[c * bits + b] > s->count[c]) << b;
    }
}

void sq__cluster_assign(const sq_cluster *c, const float *x, int64_t x_row, int64_t rows, int32_t *cluster, const sq_kernels *kernels, void *workspace)
{
    sq_cut piece = { workspace, 0 };
    const space s = cut(&piece, rows, c->clusters, c->bits);
    const int64_t used = c->clusters < rows ? c->clusters : rows;
    sq__hash_signs(s.codes, x, x_row, rows, c->D, c->planes, c->bits, c->D + 1, true, s.hash);
    for (int64_t i = 0; i < used; i++) s.centroids[i] = s.codes[sq__tensor_index(c->initial[i], rows)];
    for (int64_t left = rows > 0 ? c->iterations : 0; left > 0; left--) {
        kernels->hamming_nearest(cluster, s.codes, rows, s.centroids, used);
        if (left > 1) move_centroids(&s, rows, used, c->bits, cluster);
    }
}

void sq__cluster_means(float *mean, int32_t *count, int64_t clusters, const float *x, int64_t x_row, int64_t rows, int64_t width, const int32_t *cluster,
                       const sq_kernels *kernels)
{
    memset(mean, 0, (size_t)(clusters * width) * sizeof *mean);
    memset(count, 0, (size_t)clusters * sizeof *count);
    for (int64_t i = 0; i < rows; i++) {
        kernels->axpy(mean + cluster[i] * width, 1, x + i * x_row, width);
        count[cluster[i]]++;
    }
    for (int64_t c = 0; c < clusters; c++)
        if (count[c] > 1) kernels->scale(mean + c * width, 1 / (float)count[c], width);
}
