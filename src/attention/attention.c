/* Plans: everything is checked and sized here, once; execution hands the call to the mechanism. */
#include <math.h>
#include <string.h>

#include "attention/kind.h"

struct sq_attention {
    const sq_attention_kind *kind;
    sq_problem problem;
    sq_sizes sizes;
    void *config, *constants;
    int tensor_count;
    sq_attention_tensor tensors[SQ_KIND_TENSORS];
};

static const struct { unsigned bit; const char *name, *help; } abilities[] = {
#define ABILITY(code, bit, name, help) { code, name, help },
    SQ_CAN_TABLE(ABILITY)
#undef ABILITY
};

/* "performer cannot do mask (arbitrary ...); softmax can" */
static sq_status refuse(const sq_attention_kind *kind, unsigned bit, sq_error *error)
{
    const char *name = "", *help = "", *other = NULL;
    for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++)
        if (abilities[i].bit == bit) {
            name = abilities[i].name;
            help = abilities[i].help;
        }
    for (const sq_attention_kind *const *at = sq__attention_kinds(); *at && !other; at++)
        if ((*at)->can & bit) other = (*at)->name;
    return sq__fail(error, SQ_UNSUPPORTED, "%s cannot do '%s' (%s)%s%s", kind->name, name, help, other ? "; a mechanism that can: " : "",
                    other ? other : "");
}

static sq_status check_sizes(const sq_attention_desc *desc, sq_error *error)
{
    const struct { const char *name; int64_t value; } sizes[] = { { "B", desc->B }, { "H", desc->H }, { "T", desc->T }, { "N", desc->N },
                                                                  { "D", desc->D }, { "M", desc->M } };
    for (int i = 0; i < 6; i++)
        if (sizes[i].value < 1 || sizes[i].value > INT32_MAX)
            return sq__fail(error, SQ_INVALID, "attention: %s is %lld; expected 1 to 2147483647", sizes[i].name, (long long)sizes[i].value);
    int64_t rows = desc->T > desc->N ? desc->T : desc->N, width = desc->D > desc->M ? desc->D : desc->M, floats;
    if (__builtin_mul_overflow(desc->B * desc->H, rows, &floats) || __builtin_mul_overflow(floats, width, &floats) || floats > INT64_MAX / 64)
        return sq__fail(error, SQ_INVALID, "attention: B x H x rows x head size overflows");
    if (desc->key_heads < 0 || desc->key_heads > desc->H || (desc->key_heads > 0 && desc->H % desc->key_heads))
        return sq__fail(error, SQ_INVALID, "attention: key_heads is %lld; expected a divisor of H = %lld", (long long)desc->key_heads, (long long)desc->H);
    if (desc->max_length != 0 && desc->max_length < desc->N)
        return sq__fail(error, SQ_INVALID, "attention: N is %lld; expected at most max_length = %lld", (long long)desc->N, (long long)desc->max_length);
    if (!isfinite(desc->scale) || desc->threads < 0) return sq__fail(error, SQ_INVALID, "attention: scale must be finite and threads not negative");
    return SQ_OK;
}

static sq_status check_abilities(const sq_attention_kind *kind, const sq_attention_desc *desc, sq_error *error)
{
    if (desc->causal && !(kind->can & SQ_CAN_CAUSAL)) return refuse(kind, SQ_CAN_CAUSAL, error);
    if (desc->T != desc->N && !(kind->can & SQ_CAN_CROSS)) return refuse(kind, SQ_CAN_CROSS, error);
    if (desc->lengths && !(kind->can & SQ_CAN_LENGTHS)) return refuse(kind, SQ_CAN_LENGTHS, error);
    if (desc->mask && !(kind->can & SQ_CAN_MASK)) return refuse(kind, SQ_CAN_MASK, error);
    if (desc->key_mask && !(kind->can & (SQ_CAN_KEY_MASK | SQ_CAN_MASK))) return refuse(kind, SQ_CAN_KEY_MASK, error);
    if (desc->key_heads && desc->key_heads != desc->H && !(kind->can & SQ_CAN_GROUPED)) return refuse(kind, SQ_CAN_GROUPED, error);
    return SQ_OK;
}

static sq_status unknown_mechanism(const char *name, sq_error *error)
{
    const char *names[256];
    char near[128];
    int count = sq_mechanism_count();
    for (int i = 0; i < count && i < 256; i++) names[i] = sq__attention_kinds()[i]->name;
    return sq__fail(error, SQ_NOT_FOUND, "no attention mechanism '%s'%s", name, sq__did_you_mean(name, names, count, near, sizeof near));
}

static sq_status fill(sq_attention *plan, const sq_attention_desc *desc, sq_error *error)
{
    const sq_attention_kind *kind = plan->kind;
    plan->config = sq__alloc_zero(kind->config_size ? kind->config_size : 1);
    if (!plan->config) return sq__no_memory(error);
    sq__fields_defaults(kind->fields, plan->config);
    for (int i = 0; i < desc->option_count; i++)
        SQ_TRY(sq__fields_set(kind->fields, plan->config, kind->name, desc->options[i].key, desc->options[i].value, error));
    if (kind->validate) SQ_TRY(kind->validate(plan->config, &plan->problem, error));
    if (kind->tensors) plan->tensor_count = kind->tensors(plan->config, &plan->problem, plan->tensors);
    kind->sizes(plan->config, &plan->problem, &plan->sizes);
    if (!plan->sizes.constants) return SQ_OK;
    plan->constants = sq__alloc_zero(plan->sizes.constants);
    if (!plan->constants) return sq__no_memory(error);
    return kind->prepare(plan->config, &plan->problem, plan->constants, error);
}

sq_status sq_attention_create(sq_attention **plan, const sq_attention_desc *desc, sq_error *error)
{
    *plan = NULL;
    if (!desc->mechanism) return sq__fail(error, SQ_INVALID, "attention: no mechanism named");
    const sq_attention_kind *kind = sq__attention_kind(desc->mechanism);
    if (!kind) return unknown_mechanism(desc->mechanism, error);
    SQ_TRY(check_sizes(desc, error));
    SQ_TRY(check_abilities(kind, desc, error));
    sq_attention *made = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    made->kind = kind;
    made->problem = (sq_problem){
        .B = desc->B, .H = desc->H, .Hk = desc->key_heads ? desc->key_heads : desc->H, .T = desc->T, .N = desc->N, .D = desc->D, .M = desc->M,
        .max_length = desc->max_length ? desc->max_length : desc->N, .causal = desc->causal, .lengths = desc->lengths, .mask = desc->mask,
        .scale = desc->scale != 0 ? desc->scale : (float)(1.0 / sqrt((double)desc->D)), .threads = desc->threads ? desc->threads : 1, .seed = desc->seed,
    };
    sq_status status = fill(made, desc, error);
    if (status != SQ_OK) sq_attention_destroy(&made);
    *plan = made;
    return status;
}

void sq_attention_destroy(sq_attention **plan)
{
    if (!plan || !*plan) return;
    sq__free((*plan)->config);
    sq__free((*plan)->constants);
    sq__free(*plan);
    *plan = NULL;
}

size_t sq_attention_workspace_bytes(const sq_attention *plan, sq_pass pass)
{
    return sq__align_up(pass == SQ_FORWARD ? plan->sizes.forward_workspace : plan->sizes.backward_workspace);
}

size_t sq_attention_saved_bytes(const sq_attention *plan)
{
    return sq__align_up(plan->sizes.saved);
}

const sq_problem *sq__attention_problem(const sq_attention *plan)
{
    return &plan->problem;
}

double sq_attention_flops(const sq_attention *plan, sq_pass pass)
{
    return plan->kind->flops(plan->config, &plan->problem, pass);
}

int sq_attention_tensor_count(const sq_attention *plan)
{
    return plan->tensor_count;
}

sq_status sq_attention_tensor_get(const sq_attention *plan, int index, sq_attention_tensor *info)
{
    if (index < 0 || index >= plan->tensor_count) return SQ_NOT_FOUND;
    *info = plan->tensors[index];
    return SQ_OK;
}

sq_status sq_attention_tensor_init(const sq_attention *plan, int index, uint64_t seed, uint64_t draw, float *data)
{
    if (index < 0 || index >= plan->tensor_count) return SQ_NOT_FOUND;
    return plan->kind->tensor_init(plan->config, &plan->problem, index, seed, draw, data);
}

void sq_attention_forward(const sq_attention *plan, const sq_attention_call *call)
{
    sq_run run = { &plan->problem, plan->config, plan->constants, sq__kernels(), call, NULL };
    plan->kind->forward(&run);
}

void sq_attention_backward(const sq_attention *plan, const sq_attention_call *call, const sq_attention_gradients *gradients)
{
    sq_run run = { &plan->problem, plan->config, plan->constants, sq__kernels(), call, gradients };
    plan->kind->backward(&run);
}

sq_view sq_view_bthd(const float *data, int64_t T, int64_t H, int64_t D)
{
    return (sq_view){ (float *)(uintptr_t)data, T * H * D, H * D, D };
}

sq_view sq_view_bhtd(const float *data, int64_t T, int64_t H, int64_t D)
{
    return (sq_view){ (float *)(uintptr_t)data, H * T * D, D, T * D };
}
