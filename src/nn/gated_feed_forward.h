/* residual + dropout(out(a act(b))), [a | b] = in(x): a gated feed-forward part, arXiv:2002.05202 (GEGLU with SQ_GELU).
 * PREFIX.in.weight [2 hidden, width], PREFIX.in.bias, PREFIX.out.weight [width, hidden], PREFIX.out.bias. Depends on feed_forward.h. */
#ifndef SQ_NN_GATED_FEED_FORWARD_H
#define SQ_NN_GATED_FEED_FORWARD_H

#include "nn/feed_forward.h"

sq_status sq__gated_feed_forward_create(sq_feed_forward *layer, sq_parameters *set, const char *prefix, int64_t width, int64_t hidden,
                                        sq_activation activation, sq_error *error);
sq_var *sq__gated_feed_forward_run(const sq_feed_forward *layer, sq_tape *tape, sq_var *x, float dropout, sq_var *residual);

#endif
