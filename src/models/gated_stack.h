/* A backbone of gated blocks (nn/gated_block.h): what the kinds retnet, gla, deltanet, gated-deltanet and mamba-2 share.
 * Parameters: KIND.I.* of the blocks, KIND.norm.*. Carried: KIND.I.state, KIND.I.rows. Depends on backbone.h. */
#ifndef SQ_MODELS_GATED_STACK_H
#define SQ_MODELS_GATED_STACK_H

#include "models/backbone.h"
#include "nn/gated_block.h"

/* fixed: [heads] logarithms of decays that the blocks keep to (SQ_GATE_FIXED), copied; NULL: none. */
sq_status sq__gated_stack_create(sq_backbone **backbone, const sq_backbone_spec *spec, const char *kind, const sq_gated_block_config *block, const float *fixed,
                                 sq_error *error);
void sq__gated_stack_destroy(sq_backbone *backbone);
sq_var *sq__gated_stack_run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call);
/* model.head_size, or `numerator` / `denominator` of the width shared out over the heads, at least 1. */
int64_t sq__gated_head_size(const sq_model_config *model, int64_t numerator, int64_t denominator);

#endif
