#include "io/safetensors_dtype.h"

#include <string.h>

#define DTYPES(X)                                                                                    \
    X(SQ_ST_F32, "F32", 4) X(SQ_ST_F64, "F64", 8) X(SQ_ST_F16, "F16", 2) X(SQ_ST_BF16, "BF16", 2)    \
    X(SQ_ST_I8, "I8", 1) X(SQ_ST_U8, "U8", 1) X(SQ_ST_I16, "I16", 2) X(SQ_ST_I32, "I32", 4)          \
    X(SQ_ST_I64, "I64", 8) X(SQ_ST_BOOL, "BOOL", 1)

static const struct { const char *name; size_t size; } dtypes[] = {
#define DTYPE_ENTRY(code, name, size) [code] = { name, size },
    DTYPES(DTYPE_ENTRY)
#undef DTYPE_ENTRY
};

size_t sq__st_dtype_size(sq_st_dtype dtype) { return dtypes[dtype].size; }
const char *sq__st_dtype_name(sq_st_dtype dtype) { return dtypes[dtype].name; }
const char *sq__st_dtype_list(void) { return "F32, F64, F16, BF16, I8, U8, I16, I32, I64, BOOL"; }

bool sq__st_dtype_find(const char *name, sq_st_dtype *dtype)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (strcmp(dtypes[i].name, name) == 0) {
            *dtype = (sq_st_dtype)i;
            return true;
        }
    return false;
}

/* ---- values ---- */

/* IEEE binary16 -> binary32: exact. */
static float half_to_float(uint16_t half)
{
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 31u, fraction = half & 0x3ffu, bits;
    float value;
    if (exponent == 0) {
        value = (float)fraction * 0x1p-24f;   /* zero or subnormal */
        return sign ? -value : value;
    }
    bits = sign | (exponent == 31 ? 0x7f800000u : (exponent + 112) << 23) | fraction << 13;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float brain_to_float(uint16_t brain)
{
    uint32_t bits = (uint32_t)brain << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

sq_status sq__safetensors_floats(const sq_st_tensor *tensor, float *out, sq_error *error)
{
    const uint16_t *halves = tensor->data;
    switch (tensor->dtype) {
    case SQ_ST_F32: memcpy(out, tensor->data, (size_t)tensor->count * sizeof *out); return SQ_OK;
    case SQ_ST_F64:
        for (int64_t i = 0; i < tensor->count; i++) out[i] = (float)((const double *)tensor->data)[i];
        return SQ_OK;
    case SQ_ST_F16:
        for (int64_t i = 0; i < tensor->count; i++) out[i] = half_to_float(halves[i]);
        return SQ_OK;
    case SQ_ST_BF16:
        for (int64_t i = 0; i < tensor->count; i++) out[i] = brain_to_float(halves[i]);
        return SQ_OK;
    default:
        return sq__fail(error, SQ_FORMAT, "tensor '%.200s' is %s; expected F32, F64, F16 or BF16", tensor->name, sq__st_dtype_name(tensor->dtype));
    }
}

static int64_t whole(const sq_st_tensor *tensor, int64_t i)
{
    switch (tensor->dtype) {
    case SQ_ST_I8: return ((const int8_t *)tensor->data)[i];
    case SQ_ST_I16: return ((const int16_t *)tensor->data)[i];
    case SQ_ST_I32: return ((const int32_t *)tensor->data)[i];
    case SQ_ST_I64: return ((const int64_t *)tensor->data)[i];
    default: return ((const uint8_t *)tensor->data)[i];
    }
}

sq_status sq__safetensors_ints(const sq_st_tensor *tensor, int32_t *out, sq_error *error)
{
    if (tensor->dtype <= SQ_ST_BF16)
        return sq__fail(error, SQ_FORMAT, "tensor '%.200s' is %s; expected a whole-number type", tensor->name, sq__st_dtype_name(tensor->dtype));
    for (int64_t i = 0; i < tensor->count; i++) {
        int64_t value = whole(tensor, i);
        if (value < INT32_MIN || value > INT32_MAX)
            return sq__fail(error, SQ_FORMAT, "tensor '%.200s' holds %lld, which does not fit 32 bits", tensor->name, (long long)value);
        out[i] = (int32_t)value;
    }
    return SQ_OK;
}
