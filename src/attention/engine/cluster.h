/* Clusters of rows by Lloyd's iterations in Hamming space (arXiv:2007.04825, section 3.2): codes by random hyperplanes, packed in 64 bits.
 * An iteration gives every row to the nearest centroid (the lowest of several) and, but for the last, sets a bit of a centroid where more
 * than half of its members have it. A centroid without members keeps its code. One head; depends on hash.h, gather.h. */
#ifndef SQ_ATTENTION_ENGINE_CLUSTER_H
#define SQ_ATTENTION_ENGINE_CLUSTER_H

#include "attention/engine/gather.h"
#include "attention/engine/hash.h"
#include "base/memory.h"

typedef struct sq_cluster {
    int64_t clusters, iterations, bits, D;
    const float *planes;               /* [bits, D + 1]: directions and thresholds */
    const float *initial;              /* [clusters] the rows whose codes are the first centroids; beyond the last: their remainders */
} sq_cluster;

/* cluster [rows] gets each row's. With fewer rows than clusters only the first `rows` clusters are used. */
void sq__cluster_assign(const sq_cluster *c, const float *x, int64_t x_row, int64_t rows, int32_t *cluster, const sq_kernels *kernels, void *workspace);
size_t sq__cluster_workspace(int64_t rows, int64_t clusters, int64_t bits);   /* bytes, a multiple of 64 */

/* mean [clusters, width] of the members, 0 without any; count [clusters]. */
void sq__cluster_means(float *mean, int32_t *count, int64_t clusters, const float *x, int64_t x_row, int64_t rows, int64_t width, const int32_t *cluster,
                       const sq_kernels *kernels);

#endif
