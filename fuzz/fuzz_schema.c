#define _GNU_SOURCE
#include "input.h"

#include "data/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    sq_error error = { .message = "" };
    sq_schema *schema;
    sq_status status = sq__schema_load(&schema, input_path(data, size), &error);
    if (status == SQ_OK) (void)sq__schema_fingerprint(schema);
    sq__schema_destroy(schema);
    check_outcome(status, &error);
    return 0;
}
