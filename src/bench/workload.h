/* One attention case in memory: plan, inputs, outputs, workspace, ready to run any number of times. Depends on attention. */
#ifndef SQ_BENCH_WORKLOAD_H
#define SQ_BENCH_WORKLOAD_H

#include "base/status.h"
#include "subquad/attention.h"

enum { SQ_WORKLOAD_TENSORS = 17, SQ_WORKLOAD_INPUTS = 8, SQ_WORKLOAD_BLOCKS = 10 + 2 * SQ_WORKLOAD_TENSORS + 2 * SQ_WORKLOAD_INPUTS };

typedef struct sq_workload {
    sq_attention_desc desc;
    sq_pass pass;
    sq_attention *plan;
    sq_attention_call call;            /* all tensors [B,T,H,D], contiguous */
    sq_attention_gradients gradients;  /* in use with SQ_BACKWARD */
    float *tensors[SQ_WORKLOAD_TENSORS], *dtensors[SQ_WORKLOAD_TENSORS];
    sq_view inputs[SQ_WORKLOAD_INPUTS], dinputs[SQ_WORKLOAD_INPUTS];
    size_t input_floats[SQ_WORKLOAD_INPUTS];
    int tensor_count, input_count;     /* further inputs */
    size_t tensor_bytes[SQ_WORKLOAD_TENSORS];
    size_t out_floats, dq_floats, dk_floats, dv_floats, workspace_bytes;
    size_t input_bytes;                /* held by q, k, v, further inputs and dout */
    int block_count;
    void *blocks[SQ_WORKLOAD_BLOCKS];
} sq_workload;

/* q, k, v, dout are standard normal draws. Everything that a run writes is filled with NaN first. */
sq_status sq__workload_create(sq_workload *work, const sq_attention_desc *desc, sq_pass pass, sq_error *error);
void sq__workload_clear(sq_workload *work);
/* Forward; with SQ_BACKWARD the forward that saves, then backward. Returns the seconds it took. */
double sq__workload_run(sq_workload *work);

#endif
