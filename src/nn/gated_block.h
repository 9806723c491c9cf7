/* Layers of gated linear recurrences (autograd/gated.h), as their papers build them out of the same parts:
 *   h = norm(x);  [q | k | v] = project(h), [convolved over `taps` steps and SiLU], [q and k turned by their positions]
 *   o = scan(q, k, v, gate(h), strength(h)) by heads;  o = norm(o) of each head;  o = o SiLU(output_gate(h))
 *   (norm_gated: the norm comes last, over the whole row);  x = x + drop(output(o))
 *   x = x + drop(feed_forward(norm(x))):  GELU, gated SiLU, or none
 *
 * Parameters below PREFIX: mixer_norm.*, query_key_value.weight, [convolution.weight [features, taps], .bias], [gate.* | gate.in.weight and
 * gate.out.*], [strength.weight], [rate, step_bias, skip [heads]], head_norm.*, [output_gate.weight], output.weight, and, with a feed-forward
 * part, feed_forward_norm.*, feed_forward.*.
 * Carried: PREFIX.state [heads, D, M] and, with taps, PREFIX.rows [taps - 1, features]. What is turned counts positions from the segment's
 * beginning, and the state is turned back by its length: only distances matter, and no angle grows with the stream. Depends on layers.h, carry.h. */
#ifndef SQ_NN_GATED_BLOCK_H
#define SQ_NN_GATED_BLOCK_H

#include "autograd/gated.h"
#include "nn/carry.h"
#include "nn/feed_forward.h"

typedef enum sq_gated_feed { SQ_FEED_NONE, SQ_FEED_GELU, SQ_FEED_SILU } sq_gated_feed;

typedef struct sq_gated_block_config {
    int64_t width, heads, groups;      /* heads / groups heads share q and k */
    sq_gated_rule rule;
    int64_t taps;                      /* of the convolution; below 2: none */
    int64_t gate_rank;                 /* the gate's projection has this rank; 0: whole */
    bool rotary;
    bool rms;                          /* norms divide by the root of the mean square; false: layer norms */
    bool output_gate, norm_gated;
    sq_gated_feed feed;
    int64_t feed_forward;
    float dropout, eps;
    const float *fixed;                /* [heads] logarithms of decays; outlives the block */
} sq_gated_block_config;

typedef struct sq_gated_block {
    sq_gated_block_config config;
    sq_parameters *set;
    sq_norm mixer_norm, head_norm, feed_norm;
    sq_linear packed, gate_in, gate, strength, output_gate, output;
    int taps, taps_bias, rate, bias, skip;   /* parameters, -1 */
    sq_feed_forward feed;
    int state, rows;                   /* slots, -1 */
} sq_gated_block;

sq_status sq__gated_block_create(sq_gated_block *block, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_gated_block_config *config,
                                 sq_error *error);
/* x [B,T,width] -> [B,T,width]; carry NULL: sequences begin afresh. */
sq_var *sq__gated_block_run(const sq_gated_block *block, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry);

#endif
