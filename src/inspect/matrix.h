/* One sequence through a plan with any values: what the implied matrix and the errors of approximation are made of. Depends on attention. */
#ifndef SQ_INSPECT_MATRIX_H
#define SQ_INSPECT_MATRIX_H

#include "attention/kind.h"
#include "subquad/inspect.h"

typedef struct sq_probe {
    const sq_qkv *qkv;
    const uint8_t *globals;
    sq_attention *plan;
    int tensor_count, input_count;
    float *tensors[SQ_PLAN_TENSORS];
    float *inputs[SQ_KIND_INPUTS];     /* NULL: the values themselves */
    float *v, *out;                    /* [N,H,M] [T,H,M] */
    void *workspace;
    bool own_tensors, trainable;       /* some tensor is trained */
} sq_probe;

/* Queries and keys of qkv, values of width M. Tensors NULL: drawn from desc->seed. Further inputs named after queries, keys or values
 * are these; others (gates) are drawn. */
sq_status sq__probe_open(sq_probe *probe, const sq_attention_desc *desc, const sq_qkv *qkv, int64_t M, float *const *tensors, const uint8_t *globals,
                         sq_error *error);
void sq__probe_run(sq_probe *probe, const float *v);   /* out; v [N,H,M] */
void sq__probe_close(sq_probe *probe);

#endif
