/* Inside of sq_golden, for golden*.c alone. */
#ifndef SQ_VERIFY_GOLDEN_STATE_H
#define SQ_VERIFY_GOLDEN_STATE_H

#include <jansson.h>

#include "verify/golden.h"

typedef struct sq_golden_block { struct sq_golden_block *next; } sq_golden_block;

struct sq_golden {
    sq_safetensors *file;
    sq_verify_result *result;
    sq_golden_rule rule;
    bool settled;                      /* a skip, a failure or a status has been kept */
    sq_status status;
    sq_error error;
    sq_golden_block *memory;
    uint8_t *used;                     /* [tensors of the file] */
    int room;                          /* of result->tensors */
    json_t *recorded, *zeros;          /* f32_error, zero_in_exact_arithmetic; NULL if absent */
};

/* Marks the tensor as read; NULL and a failure when it is not there. */
const sq_st_tensor *sq__golden_use(sq_golden *golden, const char *name);
bool sq__golden_is_gradient(const sq_golden *golden, const char *name);
void sq__golden_tolerances(sq_golden *golden);   /* of everything compared, once all is */

#endif
