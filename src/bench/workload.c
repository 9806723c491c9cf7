#include "bench/workload.h"

#include <stdio.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/random.h"

static void *block(sq_workload *work, size_t count, size_t size)
{
    size_t bytes;
    if (__builtin_mul_overflow(count, size, &bytes) || work->block_count == SQ_WORKLOAD_BLOCKS) return NULL;
    void *memory = sq__alloc(bytes);
    if (memory) {
        memset(memory, 0xff, bytes);   /* NaN in every float, and every page is touched before the clock runs */
        work->blocks[work->block_count++] = memory;
    }
    return memory;
}

static float *normal(sq_workload *work, const char *purpose, size_t floats)
{
    float *values = block(work, floats, sizeof(float));
    const sq_random random = sq__random_stream(work->desc.seed, purpose, 0);
    if (values) {
        sq__random_normal_fill(&random, values, (int64_t)floats, 1.0f);
        work->input_bytes += floats * sizeof(float);
    }
    return values;
}

static sq_status make_tensors(sq_workload *work, sq_error *error)
{
    work->tensor_count = sq_attention_tensor_count(work->plan);
    if (work->tensor_count > SQ_WORKLOAD_TENSORS) return sq__fail(error, SQ_INTERNAL, "bench: %s has too many tensors", work->desc.mechanism);
    for (int i = 0; i < work->tensor_count; i++) {
        sq_attention_tensor info;
        size_t floats = 1;
        SQ_TRY(sq_attention_tensor_get(work->plan, i, &info));
        for (int r = 0; r < info.rank; r++)
            if (__builtin_mul_overflow(floats, (size_t)info.shape[r], &floats)) return sq__no_memory(error);
        work->tensors[i] = block(work, floats, sizeof(float));
        if (!work->tensors[i]) return sq__no_memory(error);
        SQ_TRY(sq_attention_tensor_init(work->plan, i, work->desc.seed, 0, work->tensors[i]));
        work->tensor_bytes[i] = floats * sizeof(float);
        if (work->pass == SQ_FORWARD || !info.trainable) continue;
        work->dtensors[i] = block(work, floats, sizeof(float));
        if (!work->dtensors[i]) return sq__no_memory(error);
    }
    return SQ_OK;
}

static sq_status make_inputs(sq_workload *work, sq_error *error)
{
    const sq_attention_desc *d = &work->desc;
    work->input_count = sq_attention_input_count(work->plan);
    if (work->input_count > SQ_WORKLOAD_INPUTS) return sq__fail(error, SQ_INTERNAL, "bench: %s has too many inputs", d->mechanism);
    for (int i = 0; i < work->input_count; i++) {
        sq_attention_input info;
        char purpose[64];
        SQ_TRY(sq_attention_input_get(work->plan, i, &info));
        const int64_t rows = info.of_keys ? d->N : d->T;
        work->input_floats[i] = (size_t)(d->B * rows * d->H * info.width);
        snprintf(purpose, sizeof purpose, "bench.%s", info.name);
        work->inputs[i] = sq_view_bthd(normal(work, purpose, work->input_floats[i]), rows, d->H, info.width);
        if (!work->inputs[i].data) return sq__no_memory(error);
        if (work->pass == SQ_FORWARD) continue;
        work->dinputs[i] = sq_view_bthd(block(work, work->input_floats[i], sizeof(float)), rows, d->H, info.width);
        if (!work->dinputs[i].data) return sq__no_memory(error);
    }
    return SQ_OK;
}

static sq_status make(sq_workload *work, sq_error *error)
{
    const sq_attention_desc *d = &work->desc;
    const int64_t Hk = d->key_heads ? d->key_heads : d->H;
    sq_attention_call *call = &work->call;
    sq_attention_gradients *g = &work->gradients;
    SQ_TRY(sq_attention_create(&work->plan, d, error));   /* checks the sizes that are multiplied below */
    work->out_floats = (size_t)(d->B * d->T * d->H * d->M);
    work->dq_floats = (size_t)(d->B * d->T * d->H * d->D);
    work->dk_floats = (size_t)(d->B * d->N * Hk * d->D);
    work->dv_floats = (size_t)(d->B * d->N * Hk * d->M);
    call->q = sq_view_bthd(normal(work, "bench.q", work->dq_floats), d->T, d->H, d->D);
    call->k = sq_view_bthd(normal(work, "bench.k", work->dk_floats), d->N, Hk, d->D);
    call->v = sq_view_bthd(normal(work, "bench.v", work->dv_floats), d->N, Hk, d->M);
    call->out = sq_view_bthd(block(work, work->out_floats, sizeof(float)), d->T, d->H, d->M);
    if (!call->q.data || !call->k.data || !call->v.data || !call->out.data) return sq__no_memory(error);
    SQ_TRY(make_inputs(work, error));
    SQ_TRY(make_tensors(work, error));
    call->inputs = work->inputs;
    g->dinputs = work->dinputs;
    call->tensors = work->tensors;
    work->workspace_bytes = sq_attention_workspace_bytes(work->plan, SQ_FORWARD);
    if (work->pass == SQ_BACKWARD) {
        const size_t backward = sq_attention_workspace_bytes(work->plan, SQ_BACKWARD);
        if (backward > work->workspace_bytes) work->workspace_bytes = backward;
        call->training = true;
        call->saved = block(work, sq_attention_saved_bytes(work->plan), 1);
        g->dout = sq_view_bthd(normal(work, "bench.dout", work->out_floats), d->T, d->H, d->M);
        g->dq = sq_view_bthd(block(work, work->dq_floats, sizeof(float)), d->T, d->H, d->D);
        g->dk = sq_view_bthd(block(work, work->dk_floats, sizeof(float)), d->N, Hk, d->D);
        g->dv = sq_view_bthd(block(work, work->dv_floats, sizeof(float)), d->N, Hk, d->M);
        g->dtensors = work->dtensors;
        if (!call->saved || !g->dout.data || !g->dq.data || !g->dk.data || !g->dv.data) return sq__no_memory(error);
    }
    call->workspace = block(work, work->workspace_bytes, 1);
    return call->workspace ? SQ_OK : sq__no_memory(error);
}

sq_status sq__workload_create(sq_workload *work, const sq_attention_desc *desc, sq_pass pass, sq_error *error)
{
    *work = (sq_workload){ .desc = *desc, .pass = pass };
    const sq_status status = make(work, error);
    if (status != SQ_OK) sq__workload_clear(work);
    return status;
}

void sq__workload_clear(sq_workload *work)
{
    sq_attention_destroy(&work->plan);
    for (int i = 0; i < work->block_count; i++) sq__free(work->blocks[i]);
    *work = (sq_workload){ 0 };
}

double sq__workload_run(sq_workload *work)
{
    if (work->pass == SQ_BACKWARD)
        for (int i = 0; i < work->tensor_count; i++)
            if (work->dtensors[i]) memset(work->dtensors[i], 0, work->tensor_bytes[i]);
    const double start = sq__clock();
    sq_attention_forward(work->plan, &work->call);
    if (work->pass == SQ_BACKWARD) sq_attention_backward(work->plan, &work->call, &work->gradients);
    return sq__clock() - start;
}
