/* Operations of gated linear recurrences: the scan itself, RWKV-4's averages, short convolutions along time. Each goes on from a state that a
 * segment left. Steps beyond a length are neither read nor written: rows are 0 there, states are those at the length. Depends on tape.h. */
#ifndef SQ_AUTOGRAD_GATED_H
#define SQ_AUTOGRAD_GATED_H

#include "attention/engine/gated.h"
#include "autograd/tape.h"

/* attention/engine/gated.h by heads: packed [B,T,(groups*D)+(groups*D)+(H*M)] of q, k and v, where H/groups heads share q and k; gate
 * [B,T,H*width]; strength [B,T,H]; rate, bias, skip [H]; absent where the rule reads none. initial, *last [B,H,D,M]. -> [B,T,H*M] */
typedef struct sq_gated_inputs {
    sq_var *packed, *gate, *strength, *rate, *bias, *skip;
    sq_var *initial;                   /* NULL: zeros */
    const float *fixed;                /* [H] logarithms of decays, of SQ_GATE_FIXED; borrowed until reset */
    const int32_t *lengths;            /* [B] or NULL, borrowed */
} sq_gated_inputs;
sq_var *sq__gated_scan(sq_tape *tape, const sq_gated_inputs *inputs, const sq_gated_rule *rule, int64_t heads, int64_t groups, sq_var **last);

/* attention/engine/wkv.h over all features: r, k, v [B,T,C]; rate, bonus [C]; initial (NULL: nothing seen), *last [B,SQ_WKV_STATE,C]. -> [B,T,C].
 * No gradient flows through the states. */
sq_var *sq__wkv(sq_tape *tape, sq_var *r, sq_var *k, sq_var *v, sq_var *rate, sq_var *bonus, sq_var *initial, const int32_t *lengths, sq_var **last);

/* y[t,c] = bias[c] + sum_j weight[c,j] x[t - K + 1 + j, c]: causal, feature by feature. x [B,T,C]; weight [C,K]; bias [C] or NULL; initial (NULL:
 * zeros), *last [B,K-1,C] the rows before and the last ones. No gradient flows through these. */
sq_var *sq__short_convolution(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias, sq_var *initial, const int32_t *lengths, sq_var **last);

#endif
