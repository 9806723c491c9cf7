/* What the files of Reformer share: options, and the pattern of one head. Depends on engine/rotation.h, engine/sparse.h. */
#ifndef SQ_ATTENTION_REFORMER_H
#define SQ_ATTENTION_REFORMER_H

#include "attention/engine/rotation.h"
#include "attention/engine/sparse.h"

enum { SQ_REFORMER_PAPER, SQ_REFORMER_HUGGINGFACE, SQ_REFORMER_LUCIDRAINS };   /* convention */
enum { SQ_REFORMER_ROUNDS = 64 };

typedef struct sq_reformer_config {
    int64_t rounds, block, buckets, buckets2, before, after;
    int convention;
    bool across_buckets, duplicates, per_head;
} sq_reformer_config;

/* Chunks of `block` slots in the order of the buckets, round after round. A slot is a place in the orders of all rounds together. */
typedef struct sq_reformer_chunks {
    const sq_reformer_config *config;
    int64_t n, rounds, chunks;         /* rows; chunks of a round, the last may be short */
    bool causal;
    sq_rotation hash;
    int64_t buckets;                   /* of a round */
    int32_t *bucket, *order, *start;   /* [rounds, n] twice; [rounds, buckets + 1] slots of the round */
    int32_t *chunk;                    /* [rounds, n] by row; NULL unless duplicates are corrected */
    float log_count[2 * SQ_REFORMER_ROUNDS + 1];
} sq_reformer_chunks;

int64_t sq__reformer_columns(const sq_reformer_config *config, int64_t max_length);   /* of the rotations, a round */
sq_reformer_chunks sq__reformer_chunks(const sq_reformer_config *config, const sq_problem *problem, int64_t n);
/* Cut the arrays of up to problem->T rows. */
void sq__reformer_cut(sq_reformer_chunks *chunks, const sq_problem *problem, sq_cut *cut);
size_t sq__reformer_hash_workspace(const sq_reformer_config *config, const sq_problem *problem);
/* Hash and sort. key_keep [n]: 0 where a key is seen by nobody; NULL: all are seen. */
void sq__reformer_sort(sq_reformer_chunks *chunks, const float *rotations, const float *x, int64_t x_row, const uint8_t *key_keep, void *workspace);
sq_sparse_pattern sq__reformer_pattern(const sq_reformer_chunks *chunks);

#endif
