/* Encoder layers one upon the other, and what training keeps of them.
 *   kept        every value that backward reads
 *   recomputed  the rows between layers; a layer's own values are computed again on the way back (arXiv:1604.06174): one more forward pass
 *   reversible  the last rows alone (arXiv:2001.04451 after arXiv:1707.04585): two streams, both x at first,
 *                 y1 = x1 + drop(attention(norm(x2)))   y2 = x2 + drop(feed_forward(norm(y1)))
 *               rows are [y1, y2], twice as wide; one more forward pass. Layers are pre-norm.
 * Parameters below PREFIX: I.* of layer I (nn/transformer.h), 0.* alone where layers share them (arXiv:1909.11942), and, where layers are
 * pre-norm, norm.*. Depends on transformer.h, autograd/recompute.h. */
#ifndef SQ_NN_STACK_H
#define SQ_NN_STACK_H

#include "nn/transformer.h"

typedef enum sq_stack_keeps { SQ_STACK_KEPT, SQ_STACK_RECOMPUTED, SQ_STACK_REVERSIBLE } sq_stack_keeps;

typedef struct sq_stack_config {
    sq_transformer_config layer;
    int layers;
    sq_stack_keeps keeps;
    bool share;                        /* one layer's parameters for all */
    bool share_tensors;                /* the mechanism's tensors alone */
} sq_stack_config;

typedef struct sq_stack {
    sq_stack_config config;
    int count;                         /* of layers that were begun */
    sq_transformer_layer *layers;
    sq_norm norm;
} sq_stack;

sq_status sq__stack_create(sq_stack *stack, sq_parameters *set, const char *prefix, const sq_stack_config *config, sq_error *error);
void sq__stack_clear(sq_stack *stack);                                             /* of whole and of half-made ones */
sq_status sq__stack_redraw(sq_stack *stack, uint64_t draw, sq_error *error);       /* as sq__attention_block_redraw */
int64_t sq__stack_width(const sq_stack_config *config);                            /* of its rows */

/* Rows [B,T,width] of inputs->x [B,T,layer width]; memory and memory_* are not read. What inputs points to must live until the tape is
 * reset. scope: rows before a layer go when it is done. */
sq_var *sq__stack_run(const sq_stack *stack, sq_tape *tape, const sq_transformer_inputs *inputs, sq_scope scope);

#endif
