/* Plans: everything is checked and sized here, once; execution hands the call to the mechanism. */
#include <math.h>
#include <string.h>

#include "attention/kind.h"

struct sq_attention {
    const sq_attention_kind *kind;
    sq_problem problem;
    sq_sizes sizes;
    void *config, *constants;
    int tensor_count;                  /* with the bias, which stands last */
    sq_attention_tensor tensors[SQ_PLAN_TENSORS];
    int input_count;
    sq_attention_input inputs[SQ_KIND_INPUTS];
    unsigned ignores;
};

static const struct { unsigned bit; const char *name, *help; } abilities[] = {
#define ABILITY(code, bit, name, help) { code, name, help },
    SQ_CAN_TABLE(ABILITY)
#undef ABILITY
};

/* All abilities that desc asks for. */
static unsigned wanted(const sq_attention_desc *desc)
{
    const struct { bool asked; unsigned bit; } parts[] = {
        { desc->causal, SQ_CAN_CAUSAL }, { desc->T != desc->N, SQ_CAN_CROSS }, { desc->lengths, SQ_CAN_LENGTHS }, { desc->mask, SQ_CAN_MASK },
        { desc->key_mask, SQ_CAN_KEY_MASK }, { desc->key_heads && desc->key_heads != desc->H, SQ_CAN_GROUPED },
        { desc->global_tokens, SQ_CAN_GLOBAL }, { desc->bias != SQ_BIAS_NONE, SQ_CAN_BIAS }, { desc->rotary, SQ_CAN_ROTARY },
    };
    unsigned bits = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) bits |= parts[i].asked ? parts[i].bit : 0;
    return bits;
}

/* Arbitrary masks hide keys, too. */
static unsigned abilities_of(const sq_attention_kind *kind)
{
    return kind->can | (kind->can & SQ_CAN_MASK ? SQ_CAN_KEY_MASK : 0u);
}

/* Can all that is asked for and differs least in what else it can; NULL: none. */
static const char *nearest(const sq_attention_kind *kind, unsigned asked)
{
    const char *name = NULL;
    int least = 0;
    for (const sq_attention_kind *const *at = sq__attention_kinds(); *at; at++) {
        const int differing = __builtin_popcount(abilities_of(*at) ^ abilities_of(kind));
        if ((abilities_of(*at) & asked) != asked || ((*at)->can & SQ_CAUSAL_ONLY && !(asked & SQ_CAN_CAUSAL)) || (name && differing >= least)) continue;
        name = (*at)->name;
        least = differing;
    }
    return name;
}

/* "performer cannot do 'mask' (arbitrary ...); a mechanism that can: softmax" */
static sq_status refuse(const sq_attention_kind *kind, unsigned bit, unsigned asked, sq_error *error)
{
    const char *name = "", *help = "", *all = nearest(kind, asked), *other = all ? all : nearest(kind, bit);
    for (size_t i = 0; i < sizeof abilities / sizeof abilities[0]; i++)
        if (abilities[i].bit == bit) {
            name = abilities[i].name;
            help = abilities[i].help;
        }
    return sq__fail(error, SQ_UNSUPPORTED, "%s cannot do '%s' (%s)%s%s%s", kind->name, name, help,
                    all ? "; a mechanism that can: " : other ? "; " : "", other ? other : "", all || !other ? "" : " can, but not all that is asked for");
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
    if (desc->bias == SQ_BIAS_RELATIVE && __builtin_mul_overflow(desc->B * desc->H, (int64_t)(2 << 24), &floats))
        return sq__fail(error, SQ_INVALID, "attention: B x H x distances of the bias overflows");
    if ((int)desc->bias < SQ_BIAS_NONE || (int)desc->bias > SQ_BIAS_RELATIVE)
        return sq__fail(error, SQ_INVALID, "attention: bias is %d; expected a sq_bias_kind", (int)desc->bias);
    if (desc->bias_distance < 0 || desc->bias_distance > 1 << 24 || desc->layer < 0)
        return sq__fail(error, SQ_INVALID, "attention: bias_distance must be 0 to 16777216 and layer not negative");
    if (!isfinite(desc->scale) || desc->threads < 0) return sq__fail(error, SQ_INVALID, "attention: scale must be finite and threads not negative");
    return SQ_OK;
}

static sq_status check_abilities(const sq_attention_kind *kind, const sq_attention_desc *desc, sq_error *error)
{
    const unsigned asked = wanted(desc), lacking = asked & ~abilities_of(kind);
    if (lacking) return refuse(kind, lacking & -lacking, asked, error);
    if (!(kind->can & SQ_CAUSAL_ONLY) || desc->causal) return SQ_OK;
    const char *other = nearest(kind, asked);
    return sq__fail(error, SQ_UNSUPPORTED, "%s is a recurrence over earlier tokens and has causal plans alone%s%s", kind->name,
                    other ? "; a mechanism that can: " : "", other ? other : "");
}

static sq_status unknown_mechanism(const char *name, sq_error *error)
{
    const char *names[256];
    char near[128];
    int count = sq_mechanism_count();
    for (int i = 0; i < count && i < 256; i++) names[i] = sq__attention_kinds()[i]->name;
    return sq__fail(error, SQ_NOT_FOUND, "no attention mechanism '%s'%s", name, sq__did_you_mean(name, names, count, near, sizeof near));
}

/* The plan's own tensor after the mechanism's, and room for its gradient at the end of the backward workspace. */
static size_t bias_bytes(const sq_problem *p)
{
    return p->bias == SQ_BIAS_RELATIVE ? (size_t)(p->B * p->H * (2 * p->bias_distance + 1)) * sizeof(double) : 0;
}

static void add_bias(sq_attention *plan)
{
    const sq_problem *p = &plan->problem;
    if (p->bias != SQ_BIAS_RELATIVE) return;
    plan->tensors[plan->tensor_count++] = (sq_attention_tensor){ "bias", 2, { p->H, 2 * p->bias_distance + 1 }, true };
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
    add_bias(plan);
    if (kind->inputs) plan->input_count = kind->inputs(plan->config, &plan->problem, plan->inputs);
    if (kind->ignores) plan->ignores = kind->ignores(plan->config);
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
        .global_tokens = desc->global_tokens, .bias = desc->bias, .bias_distance = desc->bias_distance ? desc->bias_distance : 128, .layer = desc->layer,
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
    if (pass == SQ_FORWARD) return sq__align_up(plan->sizes.forward_workspace);
    return sq__align_up(plan->sizes.backward_workspace) + sq__align_up(bias_bytes(&plan->problem));
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
    const sq_problem *p = &plan->problem;
    if (p->bias != SQ_BIAS_RELATIVE || index < plan->tensor_count - 1)
        return plan->kind->tensor_init(plan->config, p, index, seed, draw, data);
    memset(data, 0, (size_t)(p->H * (2 * p->bias_distance + 1)) * sizeof(float));
    return SQ_OK;
}

int sq_attention_input_count(const sq_attention *plan)
{
    return plan->input_count;
}

sq_status sq_attention_input_get(const sq_attention *plan, int index, sq_attention_input *info)
{
    if (index < 0 || index >= plan->input_count) return SQ_NOT_FOUND;
    *info = plan->inputs[index];
    return SQ_OK;
}

bool sq_attention_moves(const sq_attention *plan, int index)
{
    return index >= 0 && index < SQ_KIND_TENSORS && (plan->kind->moves >> index & 1);
}

unsigned sq_attention_ignores(const sq_attention *plan)
{
    return plan->ignores;
}

static sq_run run_of(const sq_attention *plan, const sq_attention_call *call)
{
    return (sq_run){ .problem = &plan->problem, .config = plan->config, .constants = plan->constants, .kernels = sq__kernels(), .call = call,
                     .input_count = plan->input_count, .inputs = plan->inputs, .bias_tensor = plan->tensor_count - 1 };
}

void sq_attention_forward(const sq_attention *plan, const sq_attention_call *call)
{
    const sq_run run = run_of(plan, call);
    plan->kind->forward(&run);
}

/* Over the batch in order, whatever the number of threads. */
static void sum_bias(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const int64_t count = p->H * (2 * p->bias_distance + 1);
    float *dbias = run->gradients->dtensors[run->bias_tensor];
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t b = 0; b < p->B; b++) sum += run->bias_sums[b * count + i];
        dbias[i] += (float)sum;
    }
}

static void zero_ignored(const sq_view *view, int64_t rows, int64_t heads, const sq_problem *p)
{
    for (int64_t i = 0; view->data && i < p->B * heads; i++)
        sq__zero_rows(view->data + i / heads * view->batch + i % heads * view->head, view->row, 0, rows, p->D);
}

void sq_attention_backward(const sq_attention *plan, const sq_attention_call *call, const sq_attention_gradients *gradients)
{
    const sq_problem *p = &plan->problem;
    sq_run run = run_of(plan, call);
    run.gradients = gradients;
    if (plan->ignores & SQ_READS_QUERY) zero_ignored(&gradients->dq, p->T, p->H, p);
    if (plan->ignores & SQ_READS_KEY) zero_ignored(&gradients->dk, p->N, p->Hk, p);
    if (p->bias == SQ_BIAS_RELATIVE) {
        run.bias_sums = (void *)((char *)call->workspace + sq__align_up(plan->sizes.backward_workspace));
        memset(run.bias_sums, 0, bias_bytes(p));
    }
    plan->kind->backward(&run);
    if (p->bias == SQ_BIAS_RELATIVE) sum_bias(&run);
}

size_t sq_attention_state_bytes(const sq_attention *plan)
{
    const sq_attention_kind *kind = plan->kind;
    return kind->state_bytes && plan->problem.causal ? kind->state_bytes(plan->config, &plan->problem) : 0;
}

void sq_attention_state_reset(const sq_attention *plan, void *state)
{
    plan->kind->state_reset(plan->config, &plan->problem, state);
}

void sq_attention_step(const sq_attention *plan, const sq_attention_call *call, void *state)
{
    const sq_run run = run_of(plan, call);
    plan->kind->step(&run, state);
}

sq_view sq_view_bthd(const float *data, int64_t T, int64_t H, int64_t D)
{
    return (sq_view){ (float *)(uintptr_t)data, T * H * D, H * D, D };
}

sq_view sq_view_bhtd(const float *data, int64_t T, int64_t H, int64_t D)
{
    return (sq_view){ (float *)(uintptr_t)data, H * T * D, D, T * D };
}
