#include "train/weights.h"

#include <math.h>
#include <string.h>

sq_st_tensor sq__weights_tensor(const char *name, const sq_parameter *parameter, const float *values)
{
    sq_st_tensor tensor = { .name = name, .dtype = SQ_ST_F32, .rank = parameter->rank, .count = parameter->count, .data = values };
    for (int i = 0; i < parameter->rank; i++) tensor.shape[i] = parameter->shape[i];
    return tensor;
}

static const char *shape_text(int rank, const int64_t *shape, char *buffer, size_t size)
{
    size_t used = (size_t)snprintf(buffer, size, "[");
    for (int i = 0; i < rank && used < size; i++) used += (size_t)snprintf(buffer + used, size - used, "%s%lld", i ? ", " : "", (long long)shape[i]);
    if (used < size) snprintf(buffer + used, size - used, "]");
    return buffer;
}

sq_status sq__weights_read(const sq_safetensors *file, const char *where, const char *name, const sq_parameter *parameter, float *values,
                           sq_error *error)
{
    char is[128], expected[128];
    const sq_st_tensor *tensor = sq__safetensors_find(file, name);
    if (!tensor) return sq__fail(error, SQ_FORMAT, "%s: has no tensor '%s': made by another model or configuration", where, name);
    if (tensor->rank != parameter->rank || memcmp(tensor->shape, parameter->shape, (size_t)tensor->rank * sizeof(int64_t)) != 0)
        return sq__fail(error, SQ_FORMAT, "%s: tensor '%s' has shape %s; expected %s: made by another model or configuration", where, name,
                        shape_text(tensor->rank, tensor->shape, is, sizeof is),
                        shape_text(parameter->rank, parameter->shape, expected, sizeof expected));
    return sq__safetensors_floats(tensor, values, error);
}

sq_status sq__weights_read_all(const sq_safetensors *file, const char *where, sq_parameter *parameters, int count, sq_error *error)
{
    for (int i = 0; i < count; i++) {
        sq_parameter *parameter = &parameters[i];
        SQ_TRY(sq__weights_read(file, where, parameter->name, parameter, parameter->value, error));
        for (int64_t k = 0; k < parameter->count; k++)
            if (!isfinite(parameter->value[k]))
                return sq__fail(error, SQ_FORMAT, "%s: tensor '%s' holds a value that is not finite", where, parameter->name);
    }
    if (sq__safetensors_count(file) != count)
        return sq__fail(error, SQ_FORMAT, "%s: holds %d tensors; expected %d: made by another model or configuration", where,
                        sq__safetensors_count(file), count);
    return SQ_OK;
}
