/* Multi-head attention with relative positions (Transformer-XL, arXiv:1901.02860, 3.3) from rows of now to rows of the past and of now.
 *   (x Wq + u) . (rows Wk) + (x Wq + v) . (R Wr),  R_d = [sin(d f_0), sin(d f_1), ..., cos(d f_0), ...], f_i = 10000^(-2i/width)
 * Parameters below PREFIX: query.weight [H*D,width], key_value.weight [2*H*D,width], position.weight [H*D,width], output.weight [width,H*D],
 * none with a bias; content_bias (u) and position_bias (v) [H,D], of the first layer for all (as the authors' code has it).
 * Depends on layers.h, autograd/relative.h. */
#ifndef SQ_NN_RELATIVE_ATTENTION_H
#define SQ_NN_RELATIVE_ATTENTION_H

#include "autograd/relative.h"
#include "nn/layers.h"

typedef struct sq_relative_attention_block {
    sq_parameters *set;
    int64_t heads;
    sq_linear query, key_value, position, output;
    int u, v;
} sq_relative_attention_block;

/* like: the layer whose u and v are used; NULL: its own. head_size 0: width / heads. */
sq_status sq__relative_attention_create(sq_relative_attention_block *block, sq_parameters *set, const char *prefix, int64_t width, int64_t heads,
                                        int64_t head_size, const sq_relative_attention_block *like, sq_error *error);

/* R [places,width], row places-1-d for distance d; distances beyond `clamp` count as clamp (0: none do). */
void sq__relative_waves(float *waves, int64_t places, int64_t width, int64_t clamp);
/* [places, H*D]: the last `places` rows of R (borrowed until reset), projected. */
sq_var *sq__relative_positions(const sq_relative_attention_block *block, sq_tape *tape, const float *waves, int64_t places, int64_t width);

typedef struct sq_relative_attention_inputs {
    sq_var *x, *rows;                  /* [B,T,width] queries' rows; [B,N,width] keys' */
    sq_var *positions;                 /* from sq__relative_positions */
    int64_t window, span_count;
    const sq_relative_span *spans;
    float dropout;                     /* of the output, before residual is added */
    sq_var *residual;                  /* or NULL */
    sq_var **query;                    /* NULL, or receives what x was projected to [B,T,H*D] */
    /* NULL, or what else the queries read: gives residual with that added to it. */
    sq_var *(*beside)(void *context, sq_tape *tape, sq_var *query, sq_var *residual);
    void *context;
} sq_relative_attention_inputs;
sq_var *sq__relative_attention_run(const sq_relative_attention_block *block, sq_tape *tape, const sq_relative_attention_inputs *inputs);

#endif
