/* What clustered and improved clustered attention share: options, tensors, the clusters of a head. Depends on engine/cluster.h, kind.h. */
#ifndef SQ_ATTENTION_CLUSTERED_H
#define SQ_ATTENTION_CLUSTERED_H

#include "attention/engine/cluster.h"
#include "attention/kind.h"

typedef struct sq_clustered_config {
    int64_t clusters, iterations, bits;
    bool hash_bias;
    int64_t topk;                      /* from here on: improved-clustered alone */
    int convention;
    bool pseudo_causal;
} sq_clustered_config;

#define SQ_CLUSTERED_FIELDS                                                                                                 \
    SQ_INT(sq_clustered_config, clusters, "100", 1, 65536, "groups of queries that share a centroid"),                      \
    SQ_INT(sq_clustered_config, iterations, "10", 1, 1000, "assignments of queries to centroids, the centroids moved between"), \
    SQ_INT(sq_clustered_config, bits, "63", 1, SQ_HASH_BITS, "hyperplanes that hash a query"),                              \
    SQ_BOOL(sq_clustered_config, hash_bias, "false", "draw a threshold for each hyperplane; false: through the origin")

/* planes [bits, D + 1], the last column the thresholds; initial [clusters], rows whose codes are the first centroids. Not trained. */
int sq__clustered_tensors(const void *config, const sq_problem *problem, sq_attention_tensor *infos);
sq_status sq__clustered_tensor_init(const void *config, const sq_problem *problem, int index, uint64_t seed, uint64_t draw, float *data);

int64_t sq__clustered_count(const sq_clustered_config *config, const sq_problem *problem);   /* clusters, at most one per query */
size_t sq__clustered_workspace(const sq_clustered_config *config, const sq_problem *problem);
void sq__clustered_assign(const sq_run *run, const sq_head *head, int32_t *cluster, void *workspace);

#endif
