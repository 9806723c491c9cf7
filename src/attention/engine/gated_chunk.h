/* One chunk of one head, for gated_*.c alone: its operands as the recurrence wants them, decays, and products of pairs. */
#ifndef SQ_ATTENTION_ENGINE_GATED_CHUNK_H
#define SQ_ATTENTION_ENGINE_GATED_CHUNK_H

#include <math.h>
#include <string.h>

#include "attention/engine/gated.h"

enum { SQ_GATED_BLOCK = 16 };          /* rows whose pairs are taken one by one, or solved row by row */

typedef struct sq_gated_chunk {
    const sq_gated *all;
    const sq_kernels *kernels;
    int64_t b, h, first;
    int64_t rows, keys, size;          /* queries and keys of the chunk that exist, the larger of both */
    int64_t W;                         /* decays of a token: 0, 1 or D */
    double *L;                         /* [C,W] */
    float *E;                          /* [C,C] exp(L_i - L_j), 0 for j > i; of W <= 1 */
    float *q, *k, *v;                  /* [C,D] [C,D] [C,M]; zeros where nothing exists or is hidden */
    float *q_size, *k_size;            /* [C] lengths of the rows as given (unit) */
    float *step, *b_, *open;           /* [C] s of a gate, b, and 1 - sigmoid of b */
    float *x, *y, *factor;             /* [C,D] each: of pairs of products */
} sq_gated_chunk;

/* What follows each other in a thread's memory; returns nothing when it only measures. */
void sq__gated_cut(sq_gated_chunk *chunk, const sq_gated *gated, sq_cut *cut);
int64_t sq__gated_chunks(const sq_gated *gated);
void sq__gated_open(sq_gated_chunk *chunk, int64_t b, int64_t h, int64_t index);
void sq__gated_load_decay(sq_gated_chunk *chunk);   /* before the others: keys may be weighed by their step */
void sq__gated_load_q(sq_gated_chunk *chunk);
void sq__gated_load_k(sq_gated_chunk *chunk);
void sq__gated_load_v(sq_gated_chunk *chunk);
void sq__gated_load_strength(sq_gated_chunk *chunk);
bool sq__gated_exists(const sq_gated_chunk *chunk, int64_t j);   /* key j of the chunk: not hidden, not beyond its length */

/* y_i = x_i exp(L_i); y_j = x_j exp(L_end - L_j); rows `size`. y may be x. */
void sq__gated_from_start(const sq_gated_chunk *chunk, const float *x, float *y);
void sq__gated_to_end(const sq_gated_chunk *chunk, const float *x, float *y);
/* total [max(W, 1)] = exp(L_end); y += or = total S over [D,M] */
void sq__gated_total(const sq_gated_chunk *chunk, float *total);
void sq__gated_decay_state(const sq_kernels *kernels, const sq_gated_rule *rule, int64_t W, const float *total, const float *S, float *y);

/* a [C,C] = sum_d x_id y_jd exp(L_id - L_jd) for j <= i, or j < i, else 0 */
void sq__gated_pairs(const sq_gated_chunk *chunk, const float *x, const float *y, bool strict, float *a);
/* dx, dy += its gradients; da is overwritten */
void sq__gated_pairs_backward(const sq_gated_chunk *chunk, const float *x, const float *y, bool strict, float *da, float *dx, float *dy);

/* w [size,M] becomes u: u_i = b_i (w_i - sum_{j<i} a_ij u_j). And of its gradient: du becomes dw, dw_j = b_j (du_j - sum_{i>j} a_ij dw_i). */
void sq__gated_solve(const sq_gated_chunk *chunk, const float *a, float *w);
void sq__gated_solve_backward(const sq_gated_chunk *chunk, const float *a, float *du);

/* Gradients of what was loaded, handed to what the caller gave. dL [C,W]; dw, u: of the delta rule; sums [3]: of rate, bias, skip, added. */
typedef struct sq_gated_found { float *dq, *dk, *dv; double *dL; const float *dw, *u; double *sums; } sq_gated_found;
void sq__gated_give(const sq_gated_chunk *chunk, const sq_gated_gradients *to, const sq_gated_found *found);

#endif
