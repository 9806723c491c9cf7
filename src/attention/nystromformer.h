/* What the files of Nystroemformer share. Depends on engine/dense.h, segments.h, pseudo_inverse.h, depthwise.h. */
#ifndef SQ_ATTENTION_NYSTROMFORMER_H
#define SQ_ATTENTION_NYSTROMFORMER_H

#include "attention/engine/dense.h"
#include "attention/engine/segments.h"

enum { SQ_NYSTROM_EXACT, SQ_NYSTROM_ORIGINAL };                                                   /* init */
enum { SQ_NYSTROM_PAPER, SQ_NYSTROM_MLPEN, SQ_NYSTROM_LUCIDRAINS, SQ_NYSTROM_XFORMERS };          /* convention */

typedef struct sq_nystrom_config {
    int64_t landmarks, iterations, convolution;
    int init, convention;
} sq_nystrom_config;

/* Of one head, from forward to backward; the factors are A1 [T,m] = softmax(q kl'), A2 [m,m] = softmax(ql kl'), A3 [m,N] = softmax(ql k'). */
typedef struct sq_nystrom_state {
    float *ql, *kl, *A2, *Z;           /* landmarks [m,D], A2, its pseudo-inverse */
    float *W, *lse3;                   /* A3 v [m,M], of A3's rows */
    float *q_shares, *k_shares;        /* [m] segments.h */
    float *largest;                    /* [1] largest column sum of A2; negative: few rows, exact attention */
    float *lse1;                       /* [T] of A1's rows, or of exact attention's; NULL when nothing is saved */
} sq_nystrom_state;

/* Of one head in backward, from the first pass over the heads to the second. */
typedef struct sq_nystrom_change {
    float *dql, *dkl, *dA2;
    double *dc;                        /* [1] gradient of the divisor of the first iterate */
    double *dw;                        /* [convolution] */
} sq_nystrom_change;

typedef struct sq_nystrom_scratch {    /* of a thread */
    float *q;                          /* [T,D] queries with masked rows 0 (not convention paper) */
    float *out, *dout;                 /* [T,M] backward: out without the convolution; dout without masked rows (lucidrains) */
    float *Y, *dY, *dW, *dZ;           /* Y = Z W [m,M]; gradients [m,M] [m,M] [m,m] */
    uint8_t *keep;                     /* [m] landmarks that have a row (lucidrains) */
    void *engine;
} sq_nystrom_scratch;

/* A pass over all heads, as a head's function receives it. */
typedef struct sq_nystrom_run {
    sq_run run;
    float largest;                     /* of all heads; forward */
    double dc;                         /* of all heads that share one divisor */
    int64_t source;                    /* head (b H + h) whose column gave it */
} sq_nystrom_run;

size_t sq__nystrom_thread_bytes(const sq_nystrom_config *config, const sq_problem *problem, sq_pass pass);
sq_nystrom_scratch sq__nystrom_scratch(const sq_nystrom_config *config, const sq_problem *problem, sq_pass pass, void *memory);
size_t sq__nystrom_state_bytes(const sq_nystrom_config *config, const sq_problem *problem, bool saved);
sq_nystrom_state sq__nystrom_state(const sq_run *run, int64_t b, int64_t h);     /* saved, or after the threads' workspace */
size_t sq__nystrom_change_bytes(const sq_nystrom_config *config, const sq_problem *problem);
sq_nystrom_change sq__nystrom_change(const sq_run *run, int64_t b, int64_t h);

/* How a head's rows become landmarks; the masks that its convention applies. */
typedef struct sq_nystrom_rows {
    sq_segments q, k;
    const uint8_t *query_keep;         /* rows of q that are zeros (not paper); NULL */
    const uint8_t *conv_keep;          /* rows of v that the convolution sees */
    bool exact;                        /* no more rows than landmarks, or nothing to see */
    bool empty;                        /* no key can be seen */
    bool hides;                        /* lucidrains with a mask: empty landmarks and masked rows are hidden, their own rows uniform */
} sq_nystrom_rows;
sq_nystrom_rows sq__nystrom_rows(const sq_run *run, const sq_head *head);

/* Dense runs of a head: A1 over landmarks (or exact attention over the keys), and A3. */
sq_dense sq__nystrom_outer(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_state *state, const sq_nystrom_scratch *s,
                           float *out, int64_t out_row);
sq_dense sq__nystrom_inner(const sq_run *run, const sq_head *head, const sq_nystrom_state *state);
void sq__nystrom_queries(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_state *state, const sq_nystrom_scratch *s);

void sq__nystrom_kernel(const sq_problem *problem, const sq_kernels *kernels, int64_t m, const float *ql, const float *kl, const float *q_shares,
                        const float *k_shares, bool hides, float *A2);
float sq__nystrom_largest(int64_t m, const float *A2, int64_t *column);   /* column sum; column may be NULL */
float sq__nystrom_divisor(const sq_nystrom_run *all, const sq_nystrom_state *state);

void sq__nystrom_forward(const sq_run *run);
void sq__nystrom_backward(const sq_run *run);

#endif
