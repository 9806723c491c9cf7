/* Exact attention of one head in double precision, straight from the equation, with its gradients. All arrays contiguous. */
#ifndef SQ_TESTS_REFERENCE_SOFTMAX_H
#define SQ_TESTS_REFERENCE_SOFTMAX_H

#include <stdbool.h>
#include <stdint.h>

typedef struct reference_softmax {
    int64_t T, N, D, M;
    double scale;
    bool causal;
    const float *q, *k, *v;                  /* [T,D] [N,D] [N,M] */
    const uint8_t *key_keep, *pair_keep;     /* [N] [T,N]; NULL: all */
    double *out, *lse;                       /* [T,M] [T] */
    const float *dout;                       /* [T,M]; NULL: no gradients */
    double *dq, *dk, *dv;                    /* dk and dv are added to */
} reference_softmax;

/* False when memory ran out. */
bool reference_softmax_run(const reference_softmax *head);

#endif
