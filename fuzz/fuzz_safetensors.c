#define _GNU_SOURCE
#include "input.h"

#include "base/memory.h"
#include "io/safetensors.h"

static void read_tensor(const sq_st_tensor *tensor)
{
    sq_error error;
    float *floats = sq__alloc_array((size_t)tensor->count, sizeof *floats);
    int32_t *ints = sq__alloc_array((size_t)tensor->count, sizeof *ints);
    if (floats) (void)sq__safetensors_floats(tensor, floats, &error);
    if (ints) (void)sq__safetensors_ints(tensor, ints, &error);
    sq__free(floats);
    sq__free(ints);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sq_error error = { .message = "" };
    sq_safetensors *file = NULL;
    sq_status status = sq__safetensors_parse(&file, "input", data, size, &error);
    for (int i = 0; status == SQ_OK && i < sq__safetensors_count(file); i++) read_tensor(sq__safetensors_at(file, i));
    for (int i = 0; status == SQ_OK && i < sq__safetensors_metadata_count(file); i++) {
        const char *key, *value;
        sq__safetensors_metadata_at(file, i, &key, &value);
        if (!key || !value) abort();
    }
    sq__safetensors_close(&file);
    check_outcome(status, &error);
    return 0;
}
