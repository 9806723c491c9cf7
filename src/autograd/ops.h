/* Every operation's row, by family; ops.c lists them. Depends on node.h. */
#ifndef SQ_AUTOGRAD_OPS_H
#define SQ_AUTOGRAD_OPS_H

#include "autograd/node.h"

/* X(symbol): sq__op_symbol, defined in its family's file */
#define SQ_OPS_TABLE(X)                                                                            \
    X(add) X(subtract) X(multiply) X(scale) X(activate) X(glu) X(dropout)  /* elementwise.c */     \
    X(linear) X(matmul)                                                    /* linear.c */          \
    X(feed_forward)                                                        /* feed_forward.c */    \
    X(softmax) X(log_softmax)                                              /* softmax.c */         \
    X(layer_norm) X(rms_norm) X(group_norm)                                /* norm.c */            \
    X(embedding)                                                           /* embedding.c */       \
    X(concatenate) X(slice) X(reshape) X(transpose) X(prepend)             /* shape.c */           \
    X(sum) X(pool) X(pool_max)                                             /* pooling.c */         \
    X(attention)                                                           /* attention.c */       \
    X(rotary)                                                              /* rotary.c */          \
    X(inverted_attention)                                                  /* inverted_attention.c */ \
    X(mean_scan) X(head_scores)                                            /* mean_scan.c, head_scores.c */ \
    X(retrieved)                                                           /* retrieved.c */       \
    X(relative_attention) X(prepend_rows)                                  /* relative.c, prepend_rows.c */ \
    X(continuous_read) X(continuous_written)                               /* continuous.c */      \
    X(ntm)                                                                 /* ntm.c */             \
    X(gated_scan) X(wkv) X(short_convolution)                              /* gated.c, wkv.c, short_convolution.c */ \
    X(recompute) X(reversible)                                             /* recompute.c, reversible.c */ \
    X(recurrent)                                                           /* recurrent.c */       \
    X(kronecker) X(unitary_penalty)                                        /* kronecker.c */       \
    X(cross_entropy) X(smoothed_divergence) X(regression)                  /* loss.c */

#define SQ_OP_DECLARE(symbol) extern const sq_op sq__op_##symbol;
SQ_OPS_TABLE(SQ_OP_DECLARE)
#undef SQ_OP_DECLARE

/* Shape rule of operations whose output is like the first input. */
static inline sq_status sq__same_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    (void)error;
    shapes->rank = node->inputs[0]->rank;
    memcpy(shapes->at, node->inputs[0]->shape, sizeof shapes->at);
    return SQ_OK;
}

#endif
