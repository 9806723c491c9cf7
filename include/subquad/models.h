/* Models beside attention in a Transformer encoder: recurrent networks, models with a memory, with latents, linear recurrences.
 * Each is named in a task's `models` section and by `compare.models` as a mechanism is in `attention` and `compare.mechanisms`. */
#ifndef SUBQUAD_MODELS_H
#define SUBQUAD_MODELS_H

#include "subquad/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

/* can: SQ_CAN_CAUSAL and SQ_CAN_STREAM of those that predict after every event from a state of fixed size; SQ_CAN_LENGTHS of all. */
SQ_API int sq_model_count(void);
SQ_API sq_status sq_model_get(int index, sq_mechanism_info *info);
SQ_API int sq_model_find(const char *name);                       /* index, or -1 */
SQ_API sq_status sq_model_option(int index, int option, sq_option_info *info);

#ifdef __cplusplus
}
#endif
#endif
