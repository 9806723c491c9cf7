/* out_i = softmax_j(scale mean_c(i) . k_j) v_j; hyperplane codes, then Lloyd's iterations bit by bit. */
#include "reference/clusters.h"

#include <math.h>
#include <stdlib.h>

int reference_clusters(const reference_case *at, int64_t b, int64_t h, int *cluster)
{
    const reference_case *from = at->frozen;
    const int64_t rows = reference_rows(at, b), D = at->D;
    const int bits = (int)reference_number(at, "bits"), iterations = (int)reference_number(at, "iterations");
    int C = (int)reference_number(at, "clusters");
    if (C > rows) C = (int)rows;
    uint64_t *code = calloc((size_t)rows + 1, sizeof *code), *centroid = calloc((size_t)C + 1, sizeof *centroid);
    for (int64_t i = 0; i < rows; i++)
        for (int bit = 0; bit < bits; bit++) {
            const double *plane = from->tensors[0] + bit * (D + 1), *q = reference_q(from, b, i, h);
            double product = 0;
            for (int64_t d = 0; d < D; d++) product += plane[d] * q[d];
            if (product > plane[D]) code[i] |= 1ull << bit;
        }
    for (int c = 0; c < C; c++) centroid[c] = code[llround(from->tensors[1][c]) % rows];
    for (int left = iterations; left > 0 && rows > 0; left--) {
        for (int64_t i = 0; i < rows; i++) {
            int least = bits + 1;
            for (int c = 0; c < C; c++) {
                const int distance = __builtin_popcountll(code[i] ^ centroid[c]);
                if (distance >= least) continue;
                least = distance;
                cluster[i] = c;
            }
        }
        for (int c = 0; c < C && left > 1; c++) {
            int ones[64] = { 0 }, members = 0;
            for (int64_t i = 0; i < rows; i++) {
                if (cluster[i] != c) continue;
                members++;
                for (int bit = 0; bit < bits; bit++) ones[bit] += code[i] >> bit & 1;
            }
            for (int bit = 0; bit < bits && members; bit++)
                centroid[c] = (centroid[c] & ~(1ull << bit)) | (uint64_t)(2 * ones[bit] > members) << bit;
        }
    }
    free(code);
    free(centroid);
    return C;
}

int64_t reference_centroid(const reference_case *at, int64_t b, int64_t h, const int *cluster, int c, double *mean)
{
    int64_t members = 0;
    for (int64_t d = 0; d < at->D; d++) mean[d] = 0;
    for (int64_t i = 0; i < reference_rows(at, b); i++) {
        if (cluster[i] != c) continue;
        for (int64_t d = 0; d < at->D; d++) mean[d] += reference_q(at, b, i, h)[d];
        members++;
    }
    for (int64_t d = 0; d < at->D && members; d++) mean[d] /= (double)members;
    return members;
}

static bool exists(const reference_case *at, int64_t b, int64_t j)
{
    return j < reference_keys(at, b) && (!at->key_keep || at->key_keep[b * at->N + j]);
}

static void head(const reference_case *at, int64_t b, int64_t h)
{
    int *cluster = malloc((size_t)(at->T + 1) * sizeof *cluster);
    double *mean = malloc((size_t)at->D * sizeof *mean), *p = malloc((size_t)at->N * sizeof *p);
    const int C = reference_clusters(at, b, h, cluster);
    for (int c = 0; c < C; c++) {
        double most = -INFINITY, sum = 0;
        if (!reference_centroid(at, b, h, cluster, c, mean)) continue;
        for (int64_t j = 0; j < at->N; j++) {
            p[j] = -INFINITY;
            if (!exists(at, b, j)) continue;
            p[j] = 0;
            for (int64_t d = 0; d < at->D; d++) p[j] += at->scale * mean[d] * reference_k(at, b, j, h)[d];
            most = fmax(most, p[j]);
        }
        if (most == -INFINITY) continue;
        for (int64_t j = 0; j < at->N; j++) sum += p[j] = exp(p[j] - most);
        for (int64_t i = 0; i < reference_rows(at, b); i++)
            for (int64_t j = 0; j < at->N && cluster[i] == c; j++)
                for (int64_t m = 0; m < at->M && p[j] > 0; m++) reference_out(at, b, i, h)[m] += p[j] / sum * reference_v(at, b, j, h)[m];
    }
    free(cluster);
    free(mean);
    free(p);
}

static void clustered(const reference_case *at)
{
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) head(at, b, h);
}

static const reference_variant variants[] = {
    { .options = "", .largest = 200 },
    { .options = "clusters=5 iterations=4 bits=24 hash_bias=true", .largest = 200 },
    { .options = "clusters=1 iterations=1 bits=1", .largest = 65 },
    { .options = "clusters=20 bits=64", .largest = 1000 },
    { 0 },
};

const reference_row reference_clustered = { "clustered", clustered, variants };
