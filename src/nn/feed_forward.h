/* residual + dropout(out(act(in(x)))): PREFIX.in.weight [hidden, width], PREFIX.in.bias, PREFIX.out.weight [width, hidden],
 * PREFIX.out.bias. chunk: hidden rows at a time, not kept for the way back (autograd/tape.h); 0: kept. Depends on layers.h. */
#ifndef SQ_NN_FEED_FORWARD_H
#define SQ_NN_FEED_FORWARD_H

#include "nn/layers.h"

typedef struct sq_feed_forward { sq_linear in, out; sq_activation activation; int64_t chunk; } sq_feed_forward;   /* chunk: 0 when made */

sq_status sq__feed_forward_create(sq_feed_forward *layer, sq_parameters *set, const char *prefix, int64_t width, int64_t hidden,
                                  sq_activation activation, sq_error *error);
sq_var *sq__feed_forward_run(const sq_feed_forward *layer, sq_tape *tape, sq_var *x, float dropout, sq_var *residual);

#endif
