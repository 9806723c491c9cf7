/* Causal products of three rows of each head, as means over what has been seen (Luna's causal attention, arXiv:2106.01540 section 3.4), and
 * the scores of rows against a few others. Depends on tape.h. */
#ifndef SQ_AUTOGRAD_MEAN_SCAN_H
#define SQ_AUTOGRAD_MEAN_SCAN_H

#include "autograd/tape.h"

/* out_t = scale / n_t sum_{s <= t} (q_t . k_s) v_s,   n_t = seen + t + 1
 * q, k [B,T,H*D], v [B,T,H*M] -> [B,T,H*M], in chunks with the state sum_s k_s v_s' [D,M] of each head between (attention/engine/gated.h):
 * O(T D M) time, a state every 64 rows kept for the way back. Rows beyond lengths [B] (NULL: all) are 0.
 * state [B,H,D,M] and seen [B], both or neither: what came before, without gradient; the state is overwritten at once by the one that is left. */
typedef struct sq_mean_scan { int64_t heads; float scale; const int32_t *lengths; float *state; const int64_t *seen; } sq_mean_scan;
sq_var *sq__mean_scan(sq_tape *tape, sq_var *q, sq_var *k, sq_var *v, const sq_mean_scan *scan);

/* scale x_t . y_l by heads: x [B,T,H*D], y [B,L,H*D] -> [B,T,H*L] */
sq_var *sq__head_scores(sq_tape *tape, sq_var *x, sq_var *y, int64_t heads, float scale);

#endif
