/* Multi-head attention with its projections, over any mechanism: self attention by one packed product, cross attention by three.
 *
 * Parameters below PREFIX:
 *   query_key_value.weight/.bias   [2 heads*head_size + heads*value_size, width]   self attention: rows of query, key, value; what the
 *                                                                                  mechanism ignores is neither in it nor in its name
 *   query. key. value.weight/.bias                                               cross attention
 *   NAME.weight/.bias              [heads*input width, width]   each further input of the mechanism, by its own name
 *   output.weight/.bias            [width, heads*value_size]
 *   mechanism.NAME                 the mechanism's tensors; shared by layers: below the prefix of the first of them
 * Depends on layers.h, plans.h. */
#ifndef SQ_NN_ATTENTION_BLOCK_H
#define SQ_NN_ATTENTION_BLOCK_H

#include "nn/layers.h"
#include "nn/plans.h"

#define SQ_BLOCK_TENSORS 17
#define SQ_BLOCK_INPUTS 8

typedef struct sq_attention_block_config {
    const char *mechanism;
    const sq_option *options;
    int option_count;
    int64_t width, heads;
    int64_t head_size, value_size;     /* 0: width / heads; 0: head_size */
    int64_t key_width, value_width;    /* cross attention: widths of what keys and values are made from; 0: width */
    int64_t max_length;                /* longest sequence that will come */
    bool cross, causal, lengths, mask, global_tokens;
    bool bias;                         /* of the projections */
    bool output_bias;                  /* without bias: of the output alone */
    float scale;                       /* of the scores; 0: 1/sqrt(head_size) */
    sq_bias_kind distance_bias;        /* of the scores */
    int64_t bias_distance;
    bool rotary;                       /* queries and keys are turned by their positions; not for cross attention */
    int layer;                         /* 0-based */
    int threads;
    uint64_t seed;                     /* of the mechanism's draws while it runs */
} sq_attention_block_config;

typedef struct sq_attention_block {
    sq_attention_block_config config;
    sq_linear packed, query, key, value, output;
    sq_plans *plans;                   /* owned by the block that made them, shared by others */
    bool owns_plans, owns_tensors;
    int input_count;
    bool of_keys[SQ_BLOCK_INPUTS], turned[SQ_BLOCK_INPUTS];
    sq_linear inputs[SQ_BLOCK_INPUTS]; /* projections of the mechanism's further inputs */
    int tensor_count, tensors[SQ_BLOCK_TENSORS];
    sq_parameters *set;
} sq_attention_block;

/* like (NULL allowed): a block of the same configuration (but for its layer) whose plans are used, too, unless plans differ by layer; share_tensors: its mechanism's tensors as well. */
sq_status sq__attention_block_create(sq_attention_block *block, sq_parameters *set, const char *prefix, const sq_attention_block_config *config,
                                     const sq_attention_block *like, bool share_tensors, sq_error *error);
void sq__attention_block_clear(sq_attention_block *block);
/* New values of the tensors that are drawn, not trained. draw 0 is the first. */
sq_status sq__attention_block_redraw(sq_attention_block *block, uint64_t draw, sq_error *error);

typedef struct sq_attention_block_inputs {
    sq_var *x;                         /* [B,T,width] */
    sq_var *keys, *values;             /* cross: [B,N,key_width], [B,N,value_width]; values NULL: keys */
    const int32_t *lengths, *query_lengths;
    const uint8_t *key_keep, *pair_keep, *global_tokens;
    float dropout;                     /* of the output, before residual is added */
    sq_var *residual;                  /* or NULL */
    sq_var **auxiliary;                /* if not NULL: the mechanism's regulariser is added to *auxiliary (NULL: becomes it) */
} sq_attention_block_inputs;
sq_var *sq__attention_block_run(const sq_attention_block *block, sq_tape *tape, const sq_attention_block_inputs *inputs);   /* [B,T,width] */

#endif
