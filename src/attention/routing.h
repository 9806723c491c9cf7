/* What the files of routing share: options, sizes, and what each head chose. Depends on engine/sparse.h. */
#ifndef SQ_ATTENTION_ROUTING_H
#define SQ_ATTENTION_ROUTING_H

#include "attention/engine/normalise.h"
#include "attention/engine/sparse.h"

enum { SQ_ROUTING_PAPER, SQ_ROUTING_LUCIDRAINS };   /* convention */
enum { SQ_ROUTING_MEANS, SQ_ROUTING_MEMORY_KEY, SQ_ROUTING_MEMORY_VALUE };   /* tensors */

typedef struct sq_routing_config {
    int64_t clusters, window, memory;
    bool shared;
    double decay, commitment;
    int convention;
} sq_routing_config;

typedef struct sq_routing_shape {
    int64_t clusters, memory;          /* keys of their own that each cluster has: only causal and not shared */
    int64_t queries, keys;             /* most rows of a cluster */
    bool shared, lucidrains;
} sq_routing_shape;

/* Rows by cluster, in the order of their positions; where hidden rows take part (lucidrains) after the visible ones. */
typedef struct sq_routing_lists {
    int32_t *queries, *keys;           /* [clusters, most] */
    int32_t *query_count, *key_count;  /* [clusters] */
    int32_t *visible_queries, *visible_keys;
    int32_t *query_cluster, *key_cluster;   /* [T], [N] the nearest mean; -1: the row moves none */
} sq_routing_lists;

sq_routing_shape sq__routing_shape(const sq_routing_config *config, const sq_problem *problem);
int64_t sq__routing_window(const sq_routing_config *config, int64_t clusters, int64_t n);
void sq__routing_cut_lists(const sq_routing_shape *shape, const sq_problem *problem, sq_cut *cut, sq_routing_lists *lists);
sq_normalise sq__routing_form(const sq_routing_shape *shape, int64_t D);

/* Choose rows for every cluster of one head. q [T,D], k [N,D] normalised (k NULL: shared); keep [N] visible keys or NULL. */
typedef struct sq_routing_choice {
    const sq_routing_config *config;
    const sq_routing_shape *shape;
    const float *means;                /* [clusters, D] */
    int64_t T, N, D;
    const float *q, *k;
    const uint8_t *keep;
    bool hides_queries;                /* keep hides queries, too */
} sq_routing_choice;
size_t sq__routing_choose_workspace(const sq_routing_shape *shape, const sq_problem *problem);
void sq__routing_choose(const sq_routing_choice *choice, sq_routing_lists *lists, void *workspace);
/* The lists of a head: where a backward follows in saved, else in the workspace's part for all heads. */
sq_routing_lists sq__routing_lists_of(const sq_run *run, const sq_routing_shape *shape, int64_t index);
size_t sq__routing_lists_bytes(const sq_routing_shape *shape, const sq_problem *problem);   /* of a head */
size_t sq__routing_saved_bytes(const sq_routing_shape *shape, const sq_problem *problem);   /* of a head */
size_t sq__routing_thread_bytes(const sq_routing_shape *shape, const sq_problem *problem, sq_pass pass);

/* Sum of |x - mean|^2 over rows x [n,D] with a cluster; and its gradient, weight times 2 (x - mean), through the normalisation of `from`. */
double sq__routing_distance(const float *x, const int32_t *cluster, const float *means, int64_t n, int64_t D);
void sq__routing_distance_backward(const sq_normalise *form, const float *from, int64_t from_row, const int32_t *cluster, const float *means, int64_t n,
                                   float weight, float *dx, int64_t dx_row, float *scratch, const sq_kernels *kernels);
/* The means as the forward pass had them: they may have moved since. Kept in saved where the loss needs them. */
float *sq__routing_kept_means(const sq_run *run, const sq_routing_shape *shape);
void sq__routing_move_means(const sq_run *run);   /* into call->moved */

void sq__routing_forward(const sq_run *run);
void sq__routing_backward(const sq_run *run);

#endif
