/* Dense engine: exact attention of one head by tiles with a running maximum and sum; never a T x N matrix.
 *   out[i] = sum_j p_ij v_j,  p_ij = exp(s_ij - lse_i),  s_ij = scale q_i . k_j + bias_(j-i) + scores_ij over visible j
 * causal: j <= i; more generally, query i sees keys up to floor((i + ahead) / stride): ahead keys stand before the queries, or a key stands for
 * stride positions. A row without a visible key gives zeros, lse = -inf, and zero gradient. Backward recomputes tiles from lse.
 * O(T N (D+M)) time; the workspace holds two floats per query and, packed, 1024 keys at most. Used by softmax, Linformer, Synthesizer, Set Transformer and others.
 */
#ifndef SQ_ATTENTION_ENGINE_DENSE_H
#define SQ_ATTENTION_ENGINE_DENSE_H

#include "attention/engine/bias.h"
#include "attention/kind.h"

/* Scores of the caller's own, added tile by tile: s and ds [keys, row], a column per query, of queries i0.. and keys j0... */
typedef struct sq_dense_scores {
    void *context;
    void (*add)(void *context, float *s, int64_t row, int64_t i0, int64_t queries, int64_t j0, int64_t keys);   /* s in units of log 2 */
    /* factor * ds is the gradient of the scores in natural units. */
    void (*gradient)(void *context, const float *ds, int64_t row, float factor, int64_t i0, int64_t queries, int64_t j0, int64_t keys);
} sq_dense_scores;

typedef struct sq_dense {
    int64_t T, N, D, M;
    float scale;
    bool causal;
    int64_t ahead, stride;             /* causal: key j is seen by queries from stride j - ahead on; stride 0: 1 */
    const float *q, *k, *v;            /* [T,D] [N,D] [N,M] */
    int64_t q_row, k_row, v_row;
    const uint8_t *key_keep;           /* [N] or NULL */
    const uint8_t *pair_keep;          /* [T, pair_row] or NULL */
    int64_t pair_row;
    const sq_bias *bias;               /* by key row - query row; NULL: none */
    const sq_dense_scores *scores;     /* NULL: none */
    float *out;                        /* [T,M] */
    int64_t out_row;
    float *lse;                        /* [T] natural log of the sum of exp(s_ij); NULL in a forward nobody differentiates */
    const float *dlse;                 /* [T] in backward: gradient of the loss with respect to lse, where lse has a use of its own; NULL: none */
} sq_dense;

typedef struct sq_dense_gradients {
    const float *dout;                 /* [T,M] */
    int64_t dout_row;
    float *dq, *dk, *dv;               /* [T,D] [N,D] [N,M] */
    int64_t dq_row, dk_row, dv_row;
    bool accumulate_kv;                /* dk, dv are added to (grouped heads); else overwritten. dq is always overwritten */
} sq_dense_gradients;

/* Workspace bytes for one head (multiples of 64), from the largest T and N that will be run. */
size_t sq__dense_workspace(int64_t T, int64_t N, int64_t D, int64_t M, sq_pass pass);
void sq__dense_forward(const sq_dense *dense, const sq_kernels *kernels, void *workspace);
void sq__dense_backward(const sq_dense *dense, const sq_dense_gradients *gradients, const sq_kernels *kernels, void *workspace);

#endif
