/* Inverted attention of the Perceiver's public implementation (and of slot attention, arXiv:2006.15055): latents compete for inputs.
 *   p_nl = softmax_l(scale q_l . k_n)    out_l = sum_n p_nl v_n / max(1e-8, sum_n p_nl)    by heads
 * Inputs that keep [B,N] hides (NULL: none) or that lie beyond their length have no part. O(L N (D+M)) time, O(L + M) memory per head beside
 * q, k, v: tiles of p are computed anew on the way back. Depends on tape.h. */
#ifndef SQ_AUTOGRAD_INVERTED_ATTENTION_H
#define SQ_AUTOGRAD_INVERTED_ATTENTION_H

#include "autograd/tape.h"

/* q [B,L,H*D], k [B,N,H*D], v [B,N,H*M] -> [B,L,H*M]. Borrows lengths and keep until reset. scale 0: 1/sqrt(D) */
sq_var *sq__inverted_attention(sq_tape *tape, sq_var *q, sq_var *k, sq_var *v, int64_t heads, float scale, const int32_t *lengths, const uint8_t *keep);

#endif
