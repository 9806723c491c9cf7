#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "io/safetensors_dtype.h"

/* Data go widest type first, so that every tensor is aligned to its element without holes. */
static void place(const sq_st_tensor *tensors, int count, uint64_t *begin)
{
    uint64_t at = 0;
    for (size_t width = 8; width > 0; width /= 2)
        for (int i = 0; i < count; i++)
            if (sq__st_dtype_size(tensors[i].dtype) == width) {
                begin[i] = at;
                at += (uint64_t)tensors[i].count * width;
            }
}

static json_t *entry(const sq_st_tensor *tensor, uint64_t begin)
{
    json_t *shape = json_array();
    for (int i = 0; i < tensor->rank; i++) json_array_append_new(shape, json_integer(tensor->shape[i]));
    uint64_t end = begin + (uint64_t)tensor->count * sq__st_dtype_size(tensor->dtype);
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype", sq__st_dtype_name(tensor->dtype), "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)end);
}

static sq_status make_header(char **text, const sq_st_tensor *tensors, const uint64_t *begin, int count, const char *const *keys,
                             const char *const *values, int metadata_count, sq_error *error)
{
    json_t *header = json_object(), *metadata = json_object();
    const char *bad = NULL;
    for (int i = 0; i < metadata_count && !bad; i++)
        if (json_object_set_new(metadata, keys[i], json_string(values[i])) != 0) bad = keys[i];
    if (metadata_count > 0) json_object_set(header, "__metadata__", metadata);
    json_decref(metadata);
    for (int i = 0; i < count && !bad; i++)
        if (json_object_get(header, tensors[i].name) || json_object_set_new(header, tensors[i].name, entry(&tensors[i], begin[i])) != 0)
            bad = tensors[i].name;
    *text = bad ? NULL : json_dumps(header, JSON_COMPACT);
    json_decref(header);
    if (bad) return sq__fail(error, SQ_INVALID, "cannot write '%.200s': a name twice, or text that is not UTF-8", bad);
    return *text ? SQ_OK : sq__no_memory(error);
}

static sq_status write_to(sq_output **output, const char *header, const sq_st_tensor *tensors, int count, sq_error *error)
{
    FILE *stream = sq__output_stream(*output);
    size_t length = strlen(header), padded = (length + 7) & ~(size_t)7;
    unsigned char first[8];
    for (int i = 0; i < 8; i++) first[i] = (unsigned char)((uint64_t)padded >> (8 * i));
    fwrite(first, 1, sizeof first, stream);
    fwrite(header, 1, length, stream);
    fwrite("       ", 1, padded - length, stream);
    for (size_t width = 8; width > 0; width /= 2)
        for (int i = 0; i < count; i++)
            if (tensors[i].count > 0 && sq__st_dtype_size(tensors[i].dtype) == width) fwrite(tensors[i].data, width, (size_t)tensors[i].count, stream);
    return sq__output_commit(output, error);   /* sees any failed write by the stream's error mark */
}

sq_status sq__safetensors_write(const char *path, const sq_st_tensor *tensors, int count, const char *const *metadata_keys,
                                const char *const *metadata_values, int metadata_count, sq_error *error)
{
    uint64_t *begin = sq__alloc_array((size_t)count, sizeof *begin);
    if (!begin) return sq__no_memory(error);
    place(tensors, count, begin);
    char *header = NULL;
    sq_output *output = NULL;
    sq_status status = make_header(&header, tensors, begin, count, metadata_keys, metadata_values, metadata_count, error);
    if (status == SQ_OK) status = sq__output_open(&output, path, error);
    if (status == SQ_OK) status = write_to(&output, header, tensors, count, error);
    free(header);
    sq__free(begin);
    return status;
}
