/* HyperAttention's pairs of one head: what its two files share. Depends on engine/gather.h, engine/pattern.h. */
#ifndef SQ_ATTENTION_HYPER_H
#define SQ_ATTENTION_HYPER_H

#include "attention/engine/gather.h"
#include "attention/engine/pattern.h"

typedef struct sq_hyper_config { int64_t bits, block, samples; bool resample; } sq_hyper_config;

/* Queries that meet one block of a node's sorted keys, and the node's sampled keys outside of it; or, with node -1, rows in order that meet
 * the rows from key_first to their own. */
typedef struct sq_hyper_tile { int32_t query_first, query_count, key_first, key_count, node; } sq_hyper_tile;
typedef struct sq_hyper_node { int32_t sample_first, sample_count; float weight; } sq_hyper_node;   /* weight: log(keys / samples) */

typedef struct sq_hyper_pairs {
    const sq_hyper_config *config;
    int64_t T, N, D;
    bool causal;
    int32_t *queries, *keys, *samples; /* rows, by block in a node; rows, by bucket in a node; places in keys */
    sq_hyper_tile *tiles;
    sq_hyper_node *nodes;
    int64_t query_count, key_count, tile_count, node_count, sample_count;   /* as cut: the most there can be; then what there is */
    int32_t *query_bucket, *key_bucket;           /* [T] [N] place of a row's code in the order of Gray */
    int32_t *list, *bucket, *order, *starts, *block_starts;   /* of the node that is being built */
    uint64_t *codes;
    float *hash;
} sq_hyper_pairs;

sq_hyper_pairs sq__hyper_cut(sq_cut *piece, const sq_hyper_config *config, int64_t T, int64_t N, int64_t D, bool causal);
void sq__hyper_build(sq_hyper_pairs *pairs, const sq_run *run, const sq_head *head);

#endif
