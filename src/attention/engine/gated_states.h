/* What forward keeps for backward, and where: for gated_*.c alone. */
#ifndef SQ_ATTENTION_ENGINE_GATED_STATES_H
#define SQ_ATTENTION_ENGINE_GATED_STATES_H

#include "attention/engine/gated_chunk.h"

typedef struct sq_gated_kept {
    float *states;                     /* [B,H,chunks + 1,D,M] before each chunk, and at last */
    float *writes;                     /* [B,H,N,M] U; with delta rule */
} sq_gated_kept;

static inline void sq__gated_cut_kept(sq_gated_kept *kept, const sq_gated *g, sq_cut *cut)
{
    kept->states = sq__cut_floats(cut, g->B * g->H * (sq__gated_chunks(g) + 1) * g->rule.D * g->rule.M);
    kept->writes = sq__cut_floats(cut, g->rule.delta ? g->B * g->H * g->N * g->rule.M : 0);
}

/* Decays of a token: 0, 1 or D; and of a chunk's total. */
static inline int64_t sq__gated_width(const sq_gated_rule *rule)
{
    return rule->gate == SQ_GATE_NONE ? 0 : rule->gate == SQ_GATE_SIGMOID ? rule->width : 1;
}

static inline int64_t sq__gated_decays(const sq_gated *g)
{
    const int64_t width = sq__gated_width(&g->rule);
    return width ? width : 1;
}

static inline int64_t sq__gated_totals(const sq_gated *g)
{
    return g->rule.delta ? 0 : g->B * g->H * sq__gated_chunks(g) * sq__gated_decays(g);
}

size_t sq__gated_backward_bytes(const sq_gated *gated);

#endif
