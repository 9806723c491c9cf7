/* Luna: attention packed into a few rows that go along through the layers, arXiv:2106.01540.
 *   P' = attend(P; X)    Y = attend(X; P') Wo' + bo    by heads, projections with biases
 *   post: X = norm(X + Y), P = norm'(P + P')     pre: X = X + Y, P = P + P' of normed X and P     then X alone goes through a feed-forward part
 * tied: keys are values, as in the authors' default. P' has no output projection. O(T L width) time for L packed rows.
 *
 * Causal (section 3.4): P stays as it is. With w_tl = softplus(p_l . x_t), softplus(z) = ln(1 + 2^z) / ln 2, and means over what has been seen,
 *   a_t = softmax_l(q_t . mean_{s<=t}(w_sl k_s))    y_t = sum_l a_tl mean_{s<=t}(w_sl v_s)
 * two scans with states of [D,L] and [L,D] numbers for each head (autograd/mean_scan.h): it streams.
 *
 * Parameters below PREFIX: attention.{pack_query, pack | pack_key,pack_value, query, context | key,value, output}.{weight,bias} (causal: one `pack`),
 * attention_norm, packed_norm (not causal), feed_forward.*, feed_forward_norm. Carried, causal: PREFIX.attention.keys [H,D,L] and .values [H,L,D].
 * Depends on layers.h, plans.h, feed_forward.h, carry.h. */
#ifndef SQ_NN_LUNA_H
#define SQ_NN_LUNA_H

#include "nn/carry.h"
#include "nn/feed_forward.h"
#include "nn/plans.h"

typedef struct sq_luna_config {
    int64_t width, heads, pack_heads;  /* pack_heads 0: heads */
    int64_t latents, feed_forward;     /* rows of P; hidden width */
    sq_activation activation;
    bool causal, tied, pre_norm;
    int64_t max_length;
    float dropout;
    int threads;
} sq_luna_config;

typedef struct sq_luna_attention {
    sq_luna_config config;
    sq_linear pack_query, pack_key, pack_value, query, key, value, output;   /* tied: keys alone */
    sq_plans *pack_plans, *plans;      /* not causal */
    int keys, values;                  /* slots; causal */
} sq_luna_attention;

/* layout: causal; may be NULL where nothing will be carried. */
sq_status sq__luna_attention_create(sq_luna_attention *attention, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_luna_config *config,
                                    sq_error *error);
void sq__luna_attention_clear(sq_luna_attention *attention);
/* x [B,T,width], *packed [B,L,width], which becomes P' unless causal. residual, dropout as in sq__linear_run_residual. */
sq_var *sq__luna_attention_run(const sq_luna_attention *attention, sq_tape *tape, sq_var *x, sq_var **packed, const int32_t *lengths, sq_carry *carry,
                               float dropout, sq_var *residual);

typedef struct sq_luna_layer {
    sq_luna_attention attention;
    sq_norm attention_norm, packed_norm, feed_forward_norm;
    sq_feed_forward feed_forward;
} sq_luna_layer;

sq_status sq__luna_layer_create(sq_luna_layer *layer, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_luna_config *config,
                                sq_error *error);
void sq__luna_layer_clear(sq_luna_layer *layer);
sq_var *sq__luna_layer_run(const sq_luna_layer *layer, sq_tape *tape, sq_var *x, sq_var **packed, const int32_t *lengths, sq_carry *carry);   /* carry may be NULL */

#endif
