/* Clusters of the queries of a head, from the frozen case: constants of the gradient. */
#ifndef SQ_TESTS_REFERENCE_CLUSTERS_H
#define SQ_TESTS_REFERENCE_CLUSTERS_H

#include "reference/reference.h"

enum { REFERENCE_CLUSTERS = 128 };

/* cluster [T]; returns how many clusters there may be. */
int reference_clusters(const reference_case *at, int64_t b, int64_t h, int *cluster);
/* mean [D] of the members of cluster c; their number. */
int64_t reference_centroid(const reference_case *at, int64_t b, int64_t h, const int *cluster, int c, double *mean);

#endif
