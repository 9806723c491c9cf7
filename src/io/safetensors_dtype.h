/* Element types of safetensors: names, sizes. Depends on io/safetensors.h. */
#ifndef SQ_IO_SAFETENSORS_DTYPE_H
#define SQ_IO_SAFETENSORS_DTYPE_H

#include "io/safetensors.h"

size_t sq__st_dtype_size(sq_st_dtype dtype);
const char *sq__st_dtype_name(sq_st_dtype dtype);
bool sq__st_dtype_find(const char *name, sq_st_dtype *dtype);
const char *sq__st_dtype_list(void);   /* "F32, F64, ..." */

#endif
