/* Perceiver, arXiv:2103.03206, and Perceiver IO, arXiv:2107.14795: a few latents look at many inputs, think, and are asked.
 *   cross(x, c) = x + attend(norm(x), norm'(c))        self(x) = x + attend(norm(x), norm(x))       each followed by x + ff(norm(x))
 *   blocks times: latents = cross(latents, inputs), then depth times latents = self(latents)
 *   decoder: y = [queries +] attend(norm(queries), norm'(latents)), then y + ff(norm(y))
 * O(blocks (N L + depth L^2) width) time for N inputs and L latents. shared: blocks after the first have one set of weights. Public
 * implementations' further choices are options: gated (GEGLU), inverted (latents compete for inputs; autograd/inverted_attention.h),
 * bias of query, key and value projections, residual of the decoder.
 *
 * Parameters below PREFIX: latents [L, width], I.cross.* and I.J.* (block I, of `sets` that differ; layer J), each with norm, [input_norm],
 * attention.{query,key,value | query_key_value,output}, feed_forward_norm, feed_forward.{in,out}. Depends on attention_block.h. */
#ifndef SQ_NN_PERCEIVER_H
#define SQ_NN_PERCEIVER_H

#include "nn/attention_block.h"
#include "nn/feed_forward.h"

typedef struct sq_perceiver_config {
    int64_t input_width, latents, width;         /* of the inputs' rows; of the latents */
    int64_t blocks, depth;
    int64_t cross_heads, cross_head_size;        /* size 0: width / heads */
    int64_t heads, head_size;                    /* among the latents */
    int64_t feed_forward;                        /* hidden width; 0: 4 width */
    sq_activation activation;
    bool shared, gated, inverted, bias, mask;    /* mask: runs may give keep */
    int64_t max_length;                          /* of inputs */
    float dropout;
    int threads;
} sq_perceiver_config;

/* Attention and feed-forward of one step, either with its norm before it. */
typedef struct sq_perceiver_step {
    bool cross, residual, inverted, gated, feeds;
    float dropout;
    sq_attention_block attention;
    sq_norm norm, input_norm, feed_forward_norm;
    sq_feed_forward feed_forward;
} sq_perceiver_step;

typedef struct sq_perceiver {
    sq_perceiver_config config;
    sq_parameters *set;
    int latents;
    int64_t sets, steps;               /* blocks that differ; steps of all, each block's cross first */
    sq_perceiver_step *step;
} sq_perceiver;

sq_status sq__perceiver_create(sq_perceiver *perceiver, sq_parameters *set, const char *prefix, const sq_perceiver_config *config, sq_error *error);
void sq__perceiver_clear(sq_perceiver *perceiver);
/* inputs [B,N,input_width] -> latents [B,L,width]; lengths [B] and keep [B,N] (1: seen) may be NULL. */
sq_var *sq__perceiver_run(const sq_perceiver *perceiver, sq_tape *tape, sq_var *inputs, const int32_t *lengths, const uint8_t *keep);

/* The step that asks: config as above (of the latents, width), queries of their own width; max_queries: most rows that will ask. */
sq_status sq__perceiver_decoder_create(sq_perceiver_step *decoder, sq_parameters *set, const char *prefix, const sq_perceiver_config *config,
                                       int64_t query_width, int64_t max_queries, bool residual, bool feeds, sq_error *error);
/* queries [B,T,query_width], latents [B,L,width] -> [B,T,query_width] */
sq_var *sq__perceiver_step_run(const sq_perceiver_step *step, sq_tape *tape, sq_var *x, sq_var *inputs, const int32_t *lengths, const uint8_t *keep);
void sq__perceiver_step_clear(sq_perceiver_step *step);

#endif
