/* Parameters to and from safetensors, by name, checked against their shapes. Depends on autograd, io. */
#ifndef SQ_TRAIN_WEIGHTS_H
#define SQ_TRAIN_WEIGHTS_H

#include "autograd/tape.h"
#include "io/safetensors.h"

/* One entry of a file to be written, for values [parameter->count] that have the parameter's shape. */
sq_st_tensor sq__weights_tensor(const char *name, const sq_parameter *parameter, const float *values);
/* Read the tensor `name` of the parameter's shape into values. where: the file, for messages. */
sq_status sq__weights_read(const sq_safetensors *file, const char *where, const char *name, const sq_parameter *parameter, float *values,
                           sq_error *error);
/* All parameters of a model from a file that holds exactly them, all finite. */
sq_status sq__weights_read_all(const sq_safetensors *file, const char *where, sq_parameter *parameters, int count, sq_error *error);

#endif
