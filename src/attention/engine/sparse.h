/* Sparse engine: exact attention of one head over the query-key pairs that a pattern lists, by tiles.
 *   out[i] = sum_j p_ij v_j,  p_ij = exp(s_ij) / sum_j' exp(s_ij'),  s_ij = scale q_i . k_j + bias + add  over the listed pairs
 * A pattern lists tiles; a tile is up to 64 query rows with the keys they meet. The engine gathers the keys, multiplies, hides,
 * keeps the running softmax and has the backward. O(pairs (D+M)) time, no T x N memory.
 * A query row in no tile, or that sees no key, gives zeros and zero gradient. Hidden keys may hold anything, NaN included. */
#ifndef SQ_ATTENTION_ENGINE_SPARSE_H
#define SQ_ATTENTION_ENGINE_SPARSE_H

#include "attention/engine/dense.h"


enum { SQ_SPARSE_QUERIES = 64 };

/* rows[count], or with NULL: first, first + step, ... */
typedef struct sq_sparse_rows { int64_t count; const int32_t *rows; int64_t first, step; } sq_sparse_rows;

/* Keys of a tile under one rule; any count, 0 included. Split keys that every query sees from those that some do not: what has
 * neither low nor add costs no mask. */
typedef struct sq_sparse_run {
    sq_sparse_rows keys;
    /* low, high [queries], both or neither NULL: query c sees the keys with low[c] <= place < high[c]; place [count], NULL: the key rows themselves */
    const int32_t *place, *low, *high;
    const float *add;                   /* [count, 64] (a row of 64 queries per key) added to the scaled scores, natural log units, -inf hides; NULL: none */
} sq_sparse_run;

typedef struct sq_sparse_tile {
    sq_sparse_rows queries;             /* at most SQ_SPARSE_QUERIES, each row once */
    int run_count;
    const sq_sparse_run *runs;
    const float *weight;                /* SEPARATE: [queries]; NULL: all 1 */
} sq_sparse_tile;

typedef enum sq_sparse_mode {
    SQ_SPARSE_MERGE,                    /* one softmax per query row over all keys of all tiles that hold the row; a key listed twice counts twice */
    SQ_SPARSE_SEPARATE,                 /* each (tile, row) is its own softmax; out row += weight * result; weights are constants */
} sq_sparse_mode;

typedef struct sq_sparse_pattern {
    const void *context;
    int64_t tiles;
    /* Fill tile `index`; pointers may lie in scratch (scratch_bytes, 64-byte aligned) or in the context, valid until the next call. */
    void (*tile)(const void *context, int64_t index, void *scratch, sq_sparse_tile *tile);
    size_t scratch_bytes;
    int64_t most_keys;                  /* upper bound of keys in one tile */
    bool once;                          /* every query row is in at most one tile: nothing is kept between tiles */
    sq_sparse_mode mode;                /* how engine/pattern.h runs it */
} sq_sparse_pattern;

typedef struct sq_sparse {
    int64_t T, N, D, M;
    float scale;
    sq_sparse_mode mode;
    const sq_sparse_pattern *pattern;
    const float *q, *k, *v;             /* [T,D] [N,D] [N,M] */
    int64_t q_row, k_row, v_row;
    const uint8_t *key_keep;            /* [N] or NULL */
    const uint8_t *pair_keep;           /* [T, pair_row] by query row and key row, or NULL */
    int64_t pair_row;
    bool has_self_score;                /* a pair whose query row is its key row gets self_score (scaled, natural log units) unless another rule hides it; no gradient passes */
    float self_score;
    const sq_bias *bias;                /* by key row - query row; NULL: none */
    bool keep_out;                      /* forward leaves out and statistics of rows that are in no tile as they are; only with MERGE and `once` */
    float *out;                         /* [T,M] */
    int64_t out_row;
    float *stats;                       /* sq__sparse_stats_floats, kept for backward; NULL in a forward nobody differentiates */
} sq_sparse;

/* Workspace bytes for one head (a multiple of 64) from the largest T and the pattern's bounds: tiles, scratch_bytes, most_keys, once. */
size_t sq__sparse_workspace(int64_t T, int64_t N, int64_t D, int64_t M, const sq_sparse_pattern *pattern, sq_sparse_mode mode, sq_pass pass);
/* Maximum and log-sum, kept apart (a sum of them would lose the log-sum beside a huge maximum): per row (MERGE) or per tile and row (SEPARATE). */
size_t sq__sparse_stats_floats(int64_t T, const sq_sparse_pattern *pattern, sq_sparse_mode mode);
void sq__sparse_forward(const sq_sparse *sparse, const sq_kernels *kernels, void *workspace);
/* dq overwritten; dk and dv too, unless accumulate_kv. All T and N rows are written. */
void sq__sparse_backward(const sq_sparse *sparse, const sq_dense_gradients *gradients, const sq_kernels *kernels, void *workspace);
/* Query-key pairs whose score is computed, for flops; scratch of scratch_bytes. */
int64_t sq__sparse_pairs(const sq_sparse_pattern *pattern, void *scratch);

#endif
