/* safetensors files: 8-byte little-endian header length, JSON header, raw little-endian data. Files are hostile until checked:
 * sizes are checked before they are multiplied, offsets before they are used. Depends on base. */
#ifndef SQ_IO_SAFETENSORS_H
#define SQ_IO_SAFETENSORS_H

#include "base/status.h"

typedef enum sq_st_dtype { SQ_ST_F32, SQ_ST_F64, SQ_ST_F16, SQ_ST_BF16, SQ_ST_I8, SQ_ST_U8, SQ_ST_I16, SQ_ST_I32, SQ_ST_I64, SQ_ST_BOOL } sq_st_dtype;
#define SQ_ST_MAX_RANK 8

typedef struct sq_st_tensor {
    const char *name;
    sq_st_dtype dtype;
    int rank;
    int64_t shape[SQ_ST_MAX_RANK];
    int64_t count;
    const void *data;                  /* into the file's memory; aligned to its element */
} sq_st_tensor;

typedef struct sq_safetensors sq_safetensors;

sq_status sq__safetensors_open(sq_safetensors **file, const char *path, sq_error *error);
sq_status sq__safetensors_parse(sq_safetensors **file, const char *name, const void *bytes, size_t size, sq_error *error); /* copies; for fuzzing */
void sq__safetensors_close(sq_safetensors **file);
int sq__safetensors_count(const sq_safetensors *file);
const sq_st_tensor *sq__safetensors_at(const sq_safetensors *file, int index);
const sq_st_tensor *sq__safetensors_find(const sq_safetensors *file, const char *name);   /* NULL if absent */
const char *sq__safetensors_metadata(const sq_safetensors *file, const char *key);        /* NULL if absent */
int sq__safetensors_metadata_count(const sq_safetensors *file);
void sq__safetensors_metadata_at(const sq_safetensors *file, int index, const char **key, const char **value);
/* Values as floats (F32, F64, F16, BF16) or as 32-bit integers into out[count]. */
sq_status sq__safetensors_floats(const sq_st_tensor *tensor, float *out, sq_error *error);
sq_status sq__safetensors_ints(const sq_st_tensor *tensor, int32_t *out, sq_error *error);

/* Written to a temporary name beside path, synced, renamed: path never holds half a file. */
sq_status sq__safetensors_write(const char *path, const sq_st_tensor *tensors, int count, const char *const *metadata_keys,
                                const char *const *metadata_values, int metadata_count, sq_error *error);

#endif
