/* Multi-head modules of public implementations over any mechanism: projections and output on the tape, the mechanism by a plan. */
#ifndef SQ_VERIFY_HEADS_H
#define SQ_VERIFY_HEADS_H

#include "verify/core.h"
#include "verify/module.h"

typedef struct sq_heads {
    sq_module module;
    sq_attention *plan;
    sq_attention_desc desc;            /* mechanism, max_length, key_mask, ... by the family; sizes by sq__heads_read */
    sq_option options[SQ_CORE_TENSORS];
    int option_count, tensor_count;
    sq_var *x, *context, *q, *k, *v;   /* [B,T,*] [B,N,*] [B,T,H*D] [B,N,Hk*D] [B,N,Hk*M] */
    sq_var *tensors[SQ_CORE_TENSORS];  /* the mechanism's */
    sq_var *inputs[8];                 /* its further inputs, [B, T or N, H*width] */
    const uint8_t *key_keep, *global_tokens;
} sq_heads;

bool sq__heads_open(sq_heads *heads, sq_golden *golden, const char *mechanism);
void sq__heads_close(sq_heads *heads);
void sq__heads_option(sq_heads *heads, const char *key, const char *value);
/* x, context or xk (or x), q = x wq' + bq, k = context wk' (+ bk), v = context wv' (+ bv); no wv: v is k. Weights are wq, wk, wv of the file;
 * biases where with_bias. One key head if wk has the rows of one head. */
bool sq__heads_read(sq_heads *heads, bool query_bias, bool key_value_bias);
/* Rows where keep [B,rows] is 0 become zeros. */
sq_var *sq__heads_mask(sq_heads *heads, sq_var *rows, const uint8_t *keep);
/* Attention over q, k, v; [B,T,H*M]. */
sq_var *sq__heads_attend(sq_heads *heads);
/* y wo' + bo (y itself where the file has no wo) against "out", then backward. */
void sq__heads_finish(sq_heads *heads, sq_var *y);

#endif
