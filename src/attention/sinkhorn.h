/* What the files of Sinkhorn attention share: options, sizes, and one head at work. Depends on engine/sparse.h. */
#ifndef SQ_ATTENTION_SINKHORN_H
#define SQ_ATTENTION_SINKHORN_H

#include "attention/engine/sparse.h"

enum { SQ_SINKHORN_BALANCE, SQ_SINKHORN_TOPK, SQ_SINKHORN_SORTCUT };        /* sorting */
enum { SQ_SINKHORN_NO_NOISE, SQ_SINKHORN_TRAINING, SQ_SINKHORN_FIXED };     /* noise */
enum { SQ_SINKHORN_PAPER, SQ_SINKHORN_LUCIDRAINS };                         /* convention */
enum { SQ_SINKHORN_NO_BLOCK = -1, SQ_SINKHORN_NULL = -2 };                  /* picks that are no block of keys */

typedef struct sq_sinkhorn_config {
    int64_t block, topk, iterations;
    double temperature;
    int sorting, noise, convention;
} sq_sinkhorn_config;

typedef struct sq_sinkhorn_shape {
    int64_t block, blocks;             /* rows of a block; most blocks of a sequence */
    int64_t picks;                     /* blocks picked by a group of queries; 0: every block is a mixture of all (balanced) */
    int64_t sorted;                    /* most sorted blocks of a head */
    bool causal, sortcut, gumbel;      /* gumbel: the noise is a tensor */
} sq_sinkhorn_shape;

/* One head. Rows are held in blocks in the order that a turn by `shift` gives: place r is row (r + shift) % n. Behind the
 * keys' own blocks lie the sorted ones. */
typedef struct sq_sinkhorn_head {
    const sq_run *run;
    const sq_head *head;
    sq_sinkhorn_shape s;
    int64_t n, blocks, groups, shift;  /* groups of queries that sort together: a block each, or one */
    float *k, *v, *dk, *dv;            /* [(blocks + sorted) block, D or M] */
    uint8_t *keep;
    float *q_mean, *k_mean, *dq_mean, *dk_mean;   /* [groups, D], [blocks, D] */
    int32_t *q_count, *k_count;        /* rows behind each */
    float *score, *dscore;             /* [groups, blocks] */
    float *mix, *dmix, *lse;           /* [groups, blocks] twice, [2 iterations, blocks]: balanced */
    float *candidate;                  /* [picks + blocks] */
    int32_t *pick;                     /* [sorted] */
    float *weight, *dweight;
    float *dnull;                      /* [D + M] */
    double *sum, *exact;               /* [D]; [groups + blocks, D] means (not causal) */
    void *engine;
    sq_sparse_pattern pattern;
} sq_sinkhorn_head;

sq_sinkhorn_shape sq__sinkhorn_shape(const sq_sinkhorn_config *config, const sq_problem *problem);

static inline int64_t sq__sinkhorn_row(const sq_sinkhorn_head *h, int64_t place) { return (place + h->shift) % h->n; }
static inline bool sq__sinkhorn_has_query(const sq_sinkhorn_head *h, int64_t row) { return row < h->head->T; }
static inline bool sq__sinkhorn_has_key(const sq_sinkhorn_head *h, int64_t row)
{
    return row < h->head->N && (!h->head->key_keep || h->head->key_keep[row]);
}

/* sinkhorn_sort.c: which blocks each group of queries gets, from means; the gradient of that choice's weights. */
void sq__sinkhorn_sort(sq_sinkhorn_head *h);
void sq__sinkhorn_sort_backward(sq_sinkhorn_head *h);
/* sinkhorn_blocks.c: rows into blocks and sorted blocks; their gradients back. */
void sq__sinkhorn_pack(sq_sinkhorn_head *h);
void sq__sinkhorn_place(sq_sinkhorn_head *h);
void sq__sinkhorn_place_backward(sq_sinkhorn_head *h);
void sq__sinkhorn_unpack(sq_sinkhorn_head *h);
sq_sparse_pattern sq__sinkhorn_pattern(const sq_sinkhorn_head *h);
/* The weights of head (b, h) as a matrix [sorted blocks, nulls + blocks]; forward workspace of one thread. */
void sq__sinkhorn_matrix(const sq_run *run, int64_t b, int64_t h, float *matrix);

#endif
