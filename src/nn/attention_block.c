#include "nn/attention_block.h"

#include "attention/kind.h"
#include "base/random.h"

/* ---- tensors of the mechanism ---- */

/* Drawn from the parameter's name, so that layers differ. */
static uint64_t tensor_seed(const sq_parameters *set, const sq_parameter *parameter)
{
    return sq__hash_bytes(&set->seed, sizeof set->seed, sq__hash_text(parameter->name));
}

static sq_status longest_plan(const sq_attention_block *block, const sq_attention **plan, sq_error *error)
{
    return sq__plans_get(block->plans, 1, block->config.max_length, block->config.max_length, plan, error);
}

static sq_status draw_tensor(sq_attention_block *block, const sq_attention *plan, int i, uint64_t draw, sq_error *error)
{
    sq_parameter *parameter = &block->set->items[block->tensors[i]];
    sq_status status = sq_attention_tensor_init(plan, i, tensor_seed(block->set, parameter), draw, parameter->value);
    return status == SQ_OK ? SQ_OK : sq__fail(error, status, "%s: no initial value (%s)", parameter->name, sq_status_name(status));
}

static sq_status create_tensors(sq_attention_block *block, const char *prefix, sq_error *error)
{
    const sq_attention *plan;
    SQ_TRY(longest_plan(block, &plan, error));
    block->tensor_count = sq_attention_tensor_count(plan);
    if (block->tensor_count > SQ_BLOCK_TENSORS)
        return sq__fail(error, SQ_INTERNAL, "%s has more than %d tensors", block->config.mechanism, SQ_BLOCK_TENSORS);
    for (int i = 0; i < block->tensor_count; i++) {
        sq_attention_tensor info;
        char name[96];
        SQ_TRY(sq_attention_tensor_get(plan, i, &info));
        snprintf(name, sizeof name, "mechanism.%.80s", info.name);
        sq_parameter_spec spec = {
            .prefix = prefix, .name = name, .rank = info.rank, .frozen = !info.trainable, .decay = info.trainable && info.rank > 1
        };
        for (int axis = 0; axis < info.rank; axis++) spec.shape[axis] = info.shape[axis];
        SQ_TRY(sq__parameters_add(block->set, &spec, &block->tensors[i], error));
        SQ_TRY(draw_tensor(block, plan, i, 0, error));
    }
    return SQ_OK;
}

sq_status sq__attention_block_redraw(sq_attention_block *block, uint64_t draw, sq_error *error)
{
    const sq_attention *plan;
    bool any = false;
    for (int i = 0; block->owns_tensors && i < block->tensor_count; i++) any |= !block->set->items[block->tensors[i]].trainable;
    if (!any) return SQ_OK;
    SQ_TRY(longest_plan(block, &plan, error));
    for (int i = 0; i < block->tensor_count; i++)
        if (!block->set->items[block->tensors[i]].trainable && !sq_attention_moves(plan, i)) SQ_TRY(draw_tensor(block, plan, i, draw, error));
    return SQ_OK;
}

/* ---- projections ---- */

/* One weight for all that is read; each part starts as it would alone: the bound of a weight [part, in]. */
static sq_status create_packed(sq_attention_block *block, const char *prefix, unsigned ignores, int64_t out, sq_error *error)
{
    static const char *const names[] = { [0] = "query_key_value", [SQ_READS_QUERY] = "key_value", [SQ_READS_KEY] = "query_value",
                                         [SQ_READS_QUERY | SQ_READS_KEY] = "value" };
    const sq_attention_block_config *c = &block->config;
    char weight[32], bias[32];
    snprintf(weight, sizeof weight, "%s.weight", names[ignores]);
    snprintf(bias, sizeof bias, "%s.bias", names[ignores]);
    block->packed = (sq_linear){ block->set, -1, -1 };
    SQ_TRY(sq__parameters_add(block->set,
                              &(sq_parameter_spec){ .prefix = prefix,
                                                    .name = weight,
                                                    .rank = 2,
                                                    .shape = { out, c->width },
                                                    .initial = SQ_INITIAL_UNIFORM,
                                                    .scale = sq__glorot(c->width, c->heads * c->head_size),
                                                    .decay = true },
                              &block->packed.weight, error));
    if (!c->bias) return SQ_OK;
    return sq__parameters_add(block->set, &(sq_parameter_spec){ .prefix = prefix, .name = bias, .rank = 1, .shape = { out } },
                              &block->packed.bias, error);
}

static sq_status create_linear(sq_attention_block *block, sq_linear *layer, const char *prefix, const char *name, int64_t in, int64_t out, bool bias,
                               sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    return sq__linear_create(layer, block->set, full, in, out, bias, error);
}

static sq_status create_part(sq_attention_block *block, sq_linear *layer, const char *prefix, const char *name, int64_t in, int64_t out,
                             sq_error *error)
{
    return create_linear(block, layer, prefix, name, in, out, block->config.bias, error);
}

static sq_status create_inputs(sq_attention_block *block, const char *prefix, const sq_attention *plan, sq_error *error)
{
    const sq_attention_block_config *c = &block->config;
    block->input_count = sq_attention_input_count(plan);
    if (block->input_count > SQ_BLOCK_INPUTS)
        return sq__fail(error, SQ_INTERNAL, "%s has more than %d further inputs", c->mechanism, SQ_BLOCK_INPUTS);
    for (int i = 0; i < block->input_count; i++) {
        sq_attention_input info;
        SQ_TRY(sq_attention_input_get(plan, i, &info));
        block->of_keys[i] = info.of_keys;
        block->turned[i] = info.turned && c->rotary;
        SQ_TRY(create_part(block, &block->inputs[i], prefix, info.name, info.of_keys && c->cross ? c->key_width : c->width, c->heads * info.width, error));
    }
    return SQ_OK;
}

static sq_status create_projections(sq_attention_block *block, const char *prefix, sq_error *error)
{
    const sq_attention_block_config *c = &block->config;
    const sq_attention *plan;
    SQ_TRY(longest_plan(block, &plan, error));
    const unsigned ignores = sq_attention_ignores(plan);
    const int64_t size = c->heads * c->head_size, values = c->heads * c->value_size;
    const int64_t queries = ignores & SQ_READS_QUERY ? 0 : size, keys = ignores & SQ_READS_KEY ? 0 : size;
    if (c->cross) {
        if (queries) SQ_TRY(create_part(block, &block->query, prefix, "query", c->width, queries, error));
        if (keys) SQ_TRY(create_part(block, &block->key, prefix, "key", c->key_width, keys, error));
        SQ_TRY(create_part(block, &block->value, prefix, "value", c->value_width, values, error));
    } else {
        SQ_TRY(create_packed(block, prefix, ignores, queries + keys + values, error));
    }
    SQ_TRY(create_inputs(block, prefix, plan, error));
    return create_linear(block, &block->output, prefix, "output", values, c->width, c->bias || c->output_bias, error);
}

/* ---- creation ---- */

static sq_status check(sq_attention_block_config *c, sq_error *error)
{
    if (c->width < 1 || c->heads < 1 || c->max_length < 1)
        return sq__fail(error, SQ_INVALID, "attention: width %lld, heads %lld, longest sequence %lld; expected at least 1 of each",
                        (long long)c->width, (long long)c->heads, (long long)c->max_length);
    if (!c->head_size && c->width % c->heads)
        return sq__fail(error, SQ_INVALID, "width is %lld; expected a multiple of the %lld heads (or give head_size)", (long long)c->width,
                        (long long)c->heads);
    if (c->rotary && c->cross) return sq__fail(error, SQ_UNSUPPORTED, "rotary positions mean nothing between two sequences");
    if (!c->head_size) c->head_size = c->width / c->heads;
    if (!c->value_size) c->value_size = c->head_size;
    if (!c->key_width) c->key_width = c->width;
    if (!c->value_width) c->value_width = c->key_width;
    return SQ_OK;
}

static sq_status create_plans(sq_attention_block *block, sq_error *error)
{
    const sq_attention_block_config *c = &block->config;
    block->plans = sq__alloc_zero(sizeof *block->plans);
    if (!block->plans) return sq__no_memory(error);
    block->owns_plans = true;
    return sq__plans_create(block->plans,
                            &(sq_attention_desc){ .mechanism = c->mechanism,
                                                  .options = c->options,
                                                  .option_count = c->option_count,
                                                  .B = 1,
                                                  .H = c->heads,
                                                  .T = c->max_length,
                                                  .N = c->max_length,
                                                  .D = c->head_size,
                                                  .M = c->value_size,
                                                  .max_length = c->max_length,
                                                  .causal = c->causal,
                                                  .scale = c->scale,
                                                  .lengths = c->lengths,
                                                  .mask = c->mask,
                                                  .global_tokens = c->global_tokens,
                                                  .bias = c->distance_bias,
                                                  .bias_distance = c->bias_distance,
                                                  .rotary = c->rotary,
                                                  .layer = c->layer,
                                                  .threads = c->threads,
                                                  .seed = c->seed },
                            error);
}

sq_status sq__attention_block_create(sq_attention_block *block, sq_parameters *set, const char *prefix, const sq_attention_block_config *config,
                                     const sq_attention_block *like, bool share_tensors, sq_error *error)
{
    *block = (sq_attention_block){ .config = *config, .set = set };
    SQ_TRY(check(&block->config, error));
    if (like && !sq__attention_kind(block->config.mechanism)->by_layer) block->plans = like->plans;
    else SQ_TRY(create_plans(block, error));
    block->config.options = NULL;   /* not kept: plans own their copies */
    SQ_TRY(create_projections(block, prefix, error));
    if (like && share_tensors) {
        block->tensor_count = like->tensor_count;
        for (int i = 0; i < like->tensor_count; i++) block->tensors[i] = like->tensors[i];
        return SQ_OK;
    }
    block->owns_tensors = true;
    return create_tensors(block, prefix, error);
}

void sq__attention_block_clear(sq_attention_block *block)
{
    if (block->owns_plans && block->plans) {
        sq__plans_clear(block->plans);
        sq__free(block->plans);
    }
    *block = (sq_attention_block){ .set = NULL };
}

/* ---- running ---- */

static void add_auxiliary(sq_tape *tape, sq_var **total, sq_var *term)
{
    if (total && term) *total = *total ? sq__add(tape, *total, term) : term;
}

/* NULL: failure, kept in the tape. */
static const sq_attention *plan_for(const sq_attention_block *block, sq_tape *tape, const sq_var *x, const sq_var *keys)
{
    const sq_attention *plan = NULL;
    sq_error error;
    if (sq__tape_status(tape, NULL) != SQ_OK) return NULL;
    sq_status status = !x || x->rank != 3 || !keys || keys->rank != 3
                           ? sq__fail(&error, SQ_INVALID, "attention: the inputs must be [batch, time, width]")
                           : sq__plans_get(block->plans, x->shape[0], x->shape[1], keys->shape[1], &plan, &error);
    if (status != SQ_OK) sq__tape_fail(tape, &error);
    return plan;
}

/* Heads of queries and of keys, which stand first in a packed row. */
static int64_t turned_heads(const sq_attention_block *block, const sq_attention *plan)
{
    const unsigned ignores = sq_attention_ignores(plan);
    return block->config.heads * (!(ignores & SQ_READS_QUERY) + !(ignores & SQ_READS_KEY));
}

sq_var *sq__attention_block_run(const sq_attention_block *block, sq_tape *tape, const sq_attention_block_inputs *inputs)
{
    sq_var *tensors[SQ_BLOCK_TENSORS], *further[SQ_BLOCK_INPUTS], *auxiliary = NULL;
    sq_attention_inputs in = { .tensors = tensors, .inputs = further, .global_tokens = inputs->global_tokens, .lengths = inputs->lengths, .query_lengths = inputs->query_lengths, .key_keep = inputs->key_keep,
                               .pair_keep = inputs->pair_keep, .auxiliary = inputs->auxiliary ? &auxiliary : NULL };
    const sq_attention *plan = plan_for(block, tape, inputs->x, block->config.cross ? inputs->keys : inputs->x);
    if (!plan) return NULL;
    sq_scope scope = sq__scope_begin(tape);
    if (block->config.cross) {
        if (block->query.set) in.q = sq__linear_run(&block->query, tape, inputs->x);
        if (block->key.set) in.k = sq__linear_run(&block->key, tape, inputs->keys);
        in.v = sq__linear_run(&block->value, tape, inputs->values ? inputs->values : inputs->keys);
    } else {
        in.packed = sq__linear_run(&block->packed, tape, inputs->x);
        if (block->config.rotary) in.packed = sq__rotary(tape, in.packed, turned_heads(block, plan), block->config.head_size);
    }
    for (int i = 0; i < block->input_count; i++) {
        further[i] = sq__linear_run(&block->inputs[i], tape, block->config.cross && block->of_keys[i] ? inputs->keys : inputs->x);
        if (block->turned[i]) further[i] = sq__rotary(tape, further[i], block->config.heads, block->config.head_size);
    }
    for (int i = 0; i < block->tensor_count; i++) tensors[i] = sq__parameters_var(block->set, block->tensors[i], tape);
    if (sq__tape_status(tape, NULL) != SQ_OK) return NULL;
    sq_var *mixed = sq__attention(tape, plan, &in);
    sq_var *out = sq__linear_run_residual(&block->output, tape, mixed, inputs->dropout, inputs->residual);
    add_auxiliary(tape, inputs->auxiliary, auxiliary);
    sq__scope_end(tape, scope, out, inputs->auxiliary ? *inputs->auxiliary : NULL);
    return out;
}
