/* A layer of RWKV-4, arXiv:2305.13048. With shift_m(h)_t = m h_t + (1 - m) h_t-1 (token shift, m trained for each feature):
 *   h = norm(x);  r, k, v = three linear maps of shift(h), each with its own m;  x = x + drop(output(wkv(r, k, v)))      time mixing
 *   h = norm(x);  x = x + drop(sigmoid(receptance(shift(h))) (value(relu(key(shift(h)))^2)))                              channel mixing
 * Parameters below PREFIX: time.norm.*, time.{receptance,key,value}.weight, time.{receptance,key,value}_mix [width, 1], time.rate, time.bonus [width],
 * time.output.weight; channel.norm.*, channel.{receptance,key,value}.weight, channel.{receptance,key}_mix.
 * Carried: PREFIX.time.row, PREFIX.channel.row [1, width], PREFIX.state [SQ_WKV_STATE, width].
 * Initial values by depth as the paper's appendix has them (the authors' code takes the root of the receptance's mix where the paper halves it).
 * Depends on layers.h, carry.h. */
#ifndef SQ_NN_RWKV_H
#define SQ_NN_RWKV_H

#include "nn/carry.h"
#include "nn/layers.h"

typedef struct sq_rwkv_config {
    int64_t width, feed_forward;
    int layer, layers;                 /* which of how many */
    float dropout, eps;
} sq_rwkv_config;

enum { SQ_RWKV_RECEPTANCE, SQ_RWKV_KEY, SQ_RWKV_VALUE, SQ_RWKV_PARTS };

typedef struct sq_rwkv {
    sq_rwkv_config config;
    sq_parameters *set;
    sq_norm time_norm, channel_norm;
    sq_linear time[SQ_RWKV_PARTS], channel[SQ_RWKV_PARTS], output;
    int time_mix[SQ_RWKV_PARTS], channel_mix[SQ_RWKV_PARTS], rate, bonus;   /* parameters */
    int time_row, channel_row, state;  /* slots */
} sq_rwkv;

sq_status sq__rwkv_create(sq_rwkv *layer, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_rwkv_config *config, sq_error *error);
sq_var *sq__rwkv_run(const sq_rwkv *layer, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry);   /* [B,T,width] */

#endif
