#include <string.h>

#include "models/backbone.h"

/* X(symbol): sq__backbone_symbol, defined in its kind's file */
#define SQ_BACKBONES(X)        \
    X(rnn)                     \
    X(gru)                     \
    X(lstm)                    \
    X(low_rank_rnn)            \
    X(kronecker)               \
    X(ntm)                     \
    X(memory_network)          \
    X(transformer_xl)          \
    X(compressive_transformer) \
    X(infinite_memory)         \
    X(perceiver)               \
    X(perceiver_io)            \
    X(luna)                    \
    X(luna_causal)             \
    X(memorizing_transformer)  \
    X(retnet)                  \
    X(gla)                     \
    X(deltanet)                \
    X(gated_deltanet)          \
    X(mamba_2)                 \
    X(rwkv)                    \
    X(encoder_decoder)

#define DECLARE(symbol) extern const sq_backbone_kind sq__backbone_##symbol;
SQ_BACKBONES(DECLARE)
#undef DECLARE

#define ENTRY(symbol) &sq__backbone_##symbol,
static const sq_backbone_kind *const kinds[] = { SQ_BACKBONES(ENTRY) NULL };
#undef ENTRY

const sq_backbone_kind *const *sq__backbone_kinds(void) { return kinds; }

const sq_backbone_kind *sq__backbone_kind(const char *name)
{
    for (const sq_backbone_kind *const *kind = kinds; *kind; kind++)
        if (strcmp((*kind)->name, name) == 0) return *kind;
    return NULL;
}
