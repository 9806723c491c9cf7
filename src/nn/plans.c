#include "nn/plans.h"

#include "base/memory.h"
#include "base/status.h"

static sq_status copy_texts(sq_plans *plans, const sq_attention_desc *desc, sq_error *error)
{
    plans->mechanism = sq__strdup(desc->mechanism);
    plans->options = sq__alloc_array((size_t)desc->option_count + 1, sizeof *plans->options);
    if (!plans->mechanism || !plans->options) return sq__no_memory(error);
    for (int i = 0; i < desc->option_count; i++) {
        plans->options[i] = (sq_option){ sq__strdup(desc->options[i].key), sq__strdup(desc->options[i].value) };
        if (!plans->options[i].key || !plans->options[i].value) return sq__no_memory(error);
    }
    plans->desc.mechanism = plans->mechanism;
    plans->desc.options = plans->options;
    return SQ_OK;
}

sq_status sq__plans_create(sq_plans *plans, const sq_attention_desc *desc, sq_error *error)
{
    const sq_attention *first;
    *plans = (sq_plans){ .desc = *desc };
    if (!desc->mechanism) return sq__fail(error, SQ_INVALID, "no attention mechanism named");
    sq_status status = copy_texts(plans, desc, error);
    if (status == SQ_OK) status = sq__plans_get(plans, desc->B, desc->T, desc->N, &first, error);
    if (status != SQ_OK) sq__plans_clear(plans);
    return status;
}

void sq__plans_clear(sq_plans *plans)
{
    for (int i = 0; i < SQ_PLANS; i++) sq_attention_destroy(&plans->slots[i].plan);
    for (int i = 0; plans->options && i < plans->desc.option_count; i++) {
        sq__free((char *)(uintptr_t)plans->options[i].key);
        sq__free((char *)(uintptr_t)plans->options[i].value);
    }
    sq__free(plans->options);
    sq__free(plans->mechanism);
    *plans = (sq_plans){ .clock = 0 };
}

sq_status sq__plans_get(sq_plans *plans, int64_t B, int64_t T, int64_t N, const sq_attention **plan, sq_error *error)
{
    struct sq_plan_slot *oldest = &plans->slots[0];
    for (struct sq_plan_slot *slot = plans->slots; slot < plans->slots + SQ_PLANS; slot++) {
        if (slot->plan && slot->B == B && slot->T == T && slot->N == N) {
            slot->used = ++plans->clock;
            *plan = slot->plan;
            return SQ_OK;
        }
        if (slot->used < oldest->used) oldest = slot;
    }
    sq_attention_desc desc = plans->desc;
    sq_attention *fresh;
    desc.B = B;
    desc.T = T;
    desc.N = N;
    SQ_TRY(sq_attention_create(&fresh, &desc, error));
    sq_attention_destroy(&oldest->plan);
    *oldest = (struct sq_plan_slot){ B, T, N, fresh, ++plans->clock };
    *plan = fresh;
    return SQ_OK;
}
