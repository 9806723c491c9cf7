/* A mechanism on given q, k, v through the public attention interface: forward, and backward where the file has a cotangent. */
#ifndef SQ_VERIFY_CORE_H
#define SQ_VERIFY_CORE_H

#include "subquad/attention.h"
#include "verify/golden.h"

#define SQ_CORE_TENSORS 16

typedef struct sq_core_tensor {
    const float *value;
    int64_t count;
    const char *gradient;              /* tensor that holds the reference gradient; NULL: none is compared */
} sq_core_tensor;

typedef struct sq_core {
    sq_attention_desc desc;            /* sizes come from q, k, v; options from below; masks and lengths from what is given */
    sq_option options[SQ_CORE_TENSORS];
    int option_count, tensor_count;
    sq_core_tensor tensors[SQ_CORE_TENSORS];   /* the mechanism's, in its order */
    const char *key_keep, *pair_keep, *lengths;   /* names of tensors: [B,N], [T,N], [B]; NULL: none. Lengths become a key mask */
    const char *qk;                    /* one tensor that is queries and keys; its gradient is dq + dk. NULL: q and k */
    const char *auxiliary, *moved;     /* tensors: the regulariser; the first tensor's next value. NULL: not compared */
    bool shared;                       /* q and k are one, given twice: the file's dq + dk is ours */
    bool only_moved;                   /* compare nothing else */
    bool unit_keys;                    /* with qk: the keys are its rows over their length */
    int64_t padded;                    /* the reference computes on this many rows, zeros after the file's; 0: on the file's */
    const int32_t *query_lengths, *key_lengths;   /* [B] or NULL */
    const char *derivative;            /* compares dq<derivative>, dk<derivative> and, if there, dv<derivative> alone; NULL: out and all gradients */
    bool fold;                         /* every entry's heads as heads of one entry */
    bool entries;                      /* tensors without the axis B: their first is B, and H is 1 */
} sq_core;

void sq__core_option(sq_core *core, const char *key, const char *value);
/* Reads q [B,H,T,D] and k [B,Hk,N,D] (where the mechanism reads them), v [B,Hk,N,M] and, if there, g; compares out, dq, dk, dv and the
 * tensors' gradients. Without the axis B, its size is 1, or with `entries` that of H. */
void sq__core_run(sq_golden *golden, sq_core *core);

/* "1/sqrt(D)" and the like: 0, the default; a number: itself. Anything else skips. */
float sq__golden_scale(sq_golden *golden);

#endif
