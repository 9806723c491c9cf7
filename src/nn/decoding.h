/* A decoder that goes token after token: keys and values of what it has said and of its sources are kept, so that a token costs
 * O(t + N) and not the whole sequence again. For B sources with `beam` hypotheses each, rows [B*beam]; the hypotheses of a source share its
 * keys and values. Inference alone. Depends on decoder.h. */
#ifndef SQ_NN_DECODING_H
#define SQ_NN_DECODING_H

#include "nn/decoder.h"

typedef struct sq_decoding sq_decoding;

typedef struct sq_decoding_spec {
    const sq_decoder *decoder;         /* borrowed, as are the lengths */
    int64_t B, N, beam, longest;       /* longest: tokens at most, begin with them; to the decoder's */
    const float *memory;               /* [B,N,memory_width]; read while it is made */
    const int32_t *memory_lengths;     /* [B] or NULL */
} sq_decoding_spec;

sq_status sq__decoding_create(sq_decoding **decoding, const sq_decoding_spec *spec, sq_error *error);
void sq__decoding_destroy(sq_decoding **decoding);   /* NULL allowed */
/* Rows [B*beam, 1, width] behind tokens [B*beam], on the decoding's own tape, which the next step resets. parents: the row that each goes on
 * from, among those of its source; NULL: itself. NULL: failure, kept in the tape. */
sq_var *sq__decoding_step(sq_decoding *decoding, const int32_t *tokens, const int32_t *parents);
sq_tape *sq__decoding_tape(sq_decoding *decoding);

#endif
