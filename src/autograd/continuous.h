/* Operations on a continuous memory (infinity-former, arXiv:2109.00301): a signal held as coefficients of basis functions
 * (attention/engine/memory.h). Depends on tape.h, attention/engine/memory.h. */
#ifndef SQ_AUTOGRAD_CONTINUOUS_H
#define SQ_AUTOGRAD_CONTINUOUS_H

#include "attention/engine/memory.h"
#include "autograd/tape.h"

/* Reading: out_i = sum_j r_j(i) v_j, r(i) the expectation of the basis functions under the density of query i, whose mean and variance come
 * from the scores q_i . k_j / sqrt(D). Queries from counts[b] on give zeros. O(T N D) time. */
typedef struct sq_continuous_inputs {
    sq_var *q, *kv;                    /* [B,T,H*D]; [B,N,2*H*D]: keys, then values, of every basis function */
    sq_var *w_mu, *w_sigma, *b_mu, *b_sigma;   /* [N] twice, [1] twice (NULL: none): from scores to mean and variance */
    int64_t heads;
    sq_memory_basis basis;
    sq_memory_density density;
    double sigma_min;
    sq_memory_prior prior;
    const int64_t *counts;             /* [B], borrowed until reset */
    double *received;                  /* [B,SQ_MEMORY_BINS]: the mass that each bin received is ADDED at once; NULL: not wanted */
    sq_var **kl;                       /* [1]: sum of KL(density || prior) over heads and queries; NULL: not wanted */
} sq_continuous_inputs;
sq_var *sq__continuous_read(sq_tape *tape, const sq_continuous_inputs *inputs);

/* Writing: coefficients [B,N,E], a constant that was made before, whose dependence on x [B,L,E] is maps[b]' x (maps[b] [L,N]; NULL: none). */
sq_var *sq__continuous_written(sq_tape *tape, sq_var *x, const float *coefficients, int64_t N, const float *const *maps);

#endif
