/* infinite-former: one file's long-term memory, segment by segment, out of the pieces of attention/engine/memory.h. */
#ifndef SQ_VERIFY_INFINITE_CASE_H
#define SQ_VERIFY_INFINITE_CASE_H

#include "attention/engine/memory.h"
#include "verify/golden.h"

typedef struct sq_infinite_segment {   /* kept from forward to backward */
    const float *memory, *q, *g;       /* [B,L,e] [B,h,Q,d] [B,Q,e] */
    float *states, *coefficients, *k, *v, *r, *context;   /* [B,L,e] gated; [B,N,e] three times; [B,h,Q,N]; [B,Q,e] */
    double *mu, *sigma_sq;             /* [B,h,Q] */
} sq_infinite_segment;

typedef struct sq_infinite_case {
    sq_golden *golden;
    const sq_kernels *kernels;
    int64_t B, L, N, heads, D, e, M, Q, segment_count;
    bool sticky, mask, kl;
    double tau, ridge, sigma_min, kl_weight;
    sq_memory_basis basis;
    sq_memory_density density;
    sq_memory_prior prior;
    const float *key, *value, *output, *w_mu, *w_sigma, *gate_weight, *gate_bias;
    float *first, *update, *psi;       /* [L,N] [M+L,N] [M,N] */
    sq_infinite_segment *segments;
    double loss;
} sq_infinite_case;

void sq__infinite_case_forward(sq_infinite_case *c);
void sq__infinite_case_backward(sq_infinite_case *c);
/* The reading of head h of entry b in a segment. */
sq_memory_read sq__infinite_case_read(const sq_infinite_case *c, const sq_infinite_segment *s, int64_t b, int64_t h);

#endif
