/* The encoder of a specification: for kinds that have one inside. Depends on nn/stack.h, backbone.h. */
#ifndef SQ_MODELS_ENCODER_H
#define SQ_MODELS_ENCODER_H

#include "models/backbone.h"
#include "nn/stack.h"

sq_stack_config sq__encoder_stack(const sq_backbone_spec *spec);

#endif
