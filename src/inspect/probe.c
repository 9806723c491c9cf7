#include <string.h>

#include "base/random.h"
#include "base/status.h"
#include "inspect/matrix.h"

static sq_status make_tensors(sq_probe *probe, uint64_t seed, float *const *given, sq_error *error)
{
    probe->tensor_count = sq_attention_tensor_count(probe->plan);
    probe->own_tensors = !given;
    for (int i = 0; i < probe->tensor_count; i++) {
        sq_attention_tensor info;
        int64_t count = 1;
        SQ_TRY(sq_attention_tensor_get(probe->plan, i, &info));
        for (int axis = 0; axis < info.rank; axis++) count *= info.shape[axis];
        probe->trainable = probe->trainable || info.trainable;
        probe->tensors[i] = given ? given[i] : sq__alloc_array((size_t)count, sizeof(float));
        if (!probe->tensors[i]) return sq__no_memory(error);
        if (!given) SQ_TRY(sq_attention_tensor_init(probe->plan, i, seed, 0, probe->tensors[i]));
    }
    return SQ_OK;
}

/* Longformer's global projections stand for the ordinary ones; gates and the like are drawn. */
static sq_status make_inputs(sq_probe *probe, uint64_t seed, sq_error *error)
{
    const sq_problem *p = sq__attention_problem(probe->plan);
    probe->input_count = sq_attention_input_count(probe->plan);
    for (int i = 0; i < probe->input_count; i++) {
        sq_attention_input info;
        SQ_TRY(sq_attention_input_get(probe->plan, i, &info));
        if (strstr(info.name, "value") && info.of_keys && info.width == p->M) continue;
        const int64_t rows = info.of_keys ? p->N : p->T;
        const float *like = strstr(info.name, "query") && !info.of_keys ? probe->qkv->q : strstr(info.name, "key") && info.of_keys ? probe->qkv->k : NULL;
        const size_t count = (size_t)(rows * p->H * info.width);
        const sq_random random = sq__random_stream(seed, info.name, 0);
        probe->inputs[i] = sq__alloc_array(count, sizeof(float));
        if (!probe->inputs[i]) return sq__no_memory(error);
        if (like && info.width == p->D) memcpy(probe->inputs[i], like, count * sizeof(float));
        else sq__random_normal_fill(&random, probe->inputs[i], (int64_t)count, 1);
    }
    return SQ_OK;
}

static sq_status open(sq_probe *probe, const sq_attention_desc *desc, float *const *tensors, sq_error *error)
{
    SQ_TRY(sq_attention_create(&probe->plan, desc, error));
    SQ_TRY(make_tensors(probe, desc->seed, tensors, error));
    SQ_TRY(make_inputs(probe, desc->seed, error));
    probe->v = sq__alloc_zero((size_t)(desc->N * desc->H * desc->M) * sizeof(float));
    probe->out = sq__alloc_zero((size_t)(desc->T * desc->H * desc->M) * sizeof(float));
    probe->workspace = sq__alloc(sq_attention_workspace_bytes(probe->plan, SQ_FORWARD) + 1);
    return probe->v && probe->out && probe->workspace ? SQ_OK : sq__no_memory(error);
}

sq_status sq__probe_open(sq_probe *probe, const sq_attention_desc *desc, const sq_qkv *qkv, int64_t M, float *const *tensors, const uint8_t *globals,
                         sq_error *error)
{
    sq_attention_desc d = *desc;
    *probe = (sq_probe){ .qkv = qkv, .globals = globals };
    d.B = 1, d.H = qkv->H, d.T = qkv->T, d.N = qkv->N, d.D = qkv->D, d.M = M, d.key_heads = 0;
    d.global_tokens = globals != NULL;
    const sq_status status = open(probe, &d, tensors, error);
    if (status != SQ_OK) sq__probe_close(probe);
    return status;
}

void sq__probe_run(sq_probe *probe, const float *v)
{
    const sq_problem *p = sq__attention_problem(probe->plan);
    sq_view inputs[SQ_KIND_INPUTS];
    for (int i = 0; i < probe->input_count; i++) {
        sq_attention_input info = { .width = 0 };
        sq_attention_input_get(probe->plan, i, &info);
        inputs[i] = sq_view_bthd(probe->inputs[i] ? probe->inputs[i] : v, info.of_keys ? p->N : p->T, p->H, info.width);
    }
    sq_attention_forward(probe->plan, &(sq_attention_call){
        .q = sq_view_bthd(probe->qkv->q, p->T, p->H, p->D), .k = sq_view_bthd(probe->qkv->k, p->N, p->H, p->D), .v = sq_view_bthd(v, p->N, p->H, p->M),
        .out = sq_view_bthd(probe->out, p->T, p->H, p->M), .tensors = probe->tensors, .workspace = probe->workspace, .inputs = inputs,
        .global_tokens = probe->globals });
}

void sq__probe_close(sq_probe *probe)
{
    for (int i = 0; probe->own_tensors && i < probe->tensor_count; i++) sq__free(probe->tensors[i]);
    for (int i = 0; i < probe->input_count; i++) sq__free(probe->inputs[i]);
    sq__free(probe->v);
    sq__free(probe->out);
    sq__free(probe->workspace);
    sq_attention_destroy(&probe->plan);
    *probe = (sq_probe){ .qkv = NULL };
}
