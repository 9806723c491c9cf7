/* Decoder of an encoder-decoder Transformer (arXiv:1706.03762): tokens and their positions, layers of causal self attention, of attention to
 * the rows of a source and of a feed-forward part (nn/transformer.h), a last norm when these are pre-norm.
 *   x = embedding[token] + position[t]    layers    rows [B,T,width], of which row t tells what token t + 1 is
 * All at once where the tokens are known, O(T^2 + T N) time; or token after token over kept keys and values (nn/decoding.h).
 * Departs from the paper: embeddings are not multiplied by sqrt(width) and not shared with what reads the rows.
 *
 * Parameters below PREFIX: tokens.weight [words, width], positions.weight [longest, width] (frozen where they are sinusoidal), I.* of layer I,
 * norm.*. Depends on transformer.h. */
#ifndef SQ_NN_DECODER_H
#define SQ_NN_DECODER_H

#include "nn/transformer.h"

typedef struct sq_decoder_config {
    int64_t words, longest;            /* tokens that can come; most in a sequence */
    int64_t longest_source;
    int64_t width, memory_width;       /* memory_width: of the source's rows; 0: width */
    int64_t heads, feed_forward;
    int layers;
    bool learned_positions, pre_norm;  /* else sinusoidal, post-norm */
    sq_activation activation;
    float dropout, embedding_dropout, eps;
    int threads;
} sq_decoder_config;

typedef struct sq_decoder {
    sq_decoder_config config;
    sq_embedding tokens, positions;
    int count;                         /* of layers that were begun */
    sq_transformer_layer *layers;
    sq_norm norm;
} sq_decoder;

sq_status sq__decoder_create(sq_decoder *decoder, sq_parameters *set, const char *prefix, const sq_decoder_config *config, sq_error *error);
void sq__decoder_clear(sq_decoder *decoder);   /* of whole and of half-made ones */

typedef struct sq_decoder_inputs {
    int64_t B, T;
    const int32_t *tokens;             /* [B,T]; below 0: none */
    const int32_t *lengths;            /* [B] of the tokens; NULL: T. Borrowed until reset, as are the others */
    sq_var *memory;                    /* [B,N,memory_width]: rows of the source */
    const int32_t *memory_lengths;     /* [B] or NULL */
} sq_decoder_inputs;
sq_var *sq__decoder_run(const sq_decoder *decoder, sq_tape *tape, const sq_decoder_inputs *inputs);   /* [B,T,width] */

/* Embedded tokens [B,T,width], the first at position `from`. */
sq_var *sq__decoder_embed(const sq_decoder *decoder, sq_tape *tape, const int32_t *tokens, int64_t B, int64_t T, int64_t from);

#endif
