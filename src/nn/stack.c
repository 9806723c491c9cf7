#include "nn/stack.h"

#include "autograd/recompute.h"

/* ---- creation ---- */

int64_t sq__stack_width(const sq_stack_config *config)
{
    return (config->keeps == SQ_STACK_REVERSIBLE ? 2 : 1) * config->layer.attention.width;
}

static sq_status create_layers(sq_stack *stack, sq_parameters *set, const char *prefix, sq_error *error)
{
    sq_stack_config *c = &stack->config;
    for (int i = 0; i < c->layers; i++) {
        char full[80];
        snprintf(full, sizeof full, "%s.%d", prefix, c->share ? 0 : i);
        c->layer.attention.layer = i;
        stack->count = i + 1;
        set->sharing = c->share && i;
        sq_status status = sq__transformer_layer_create(&stack->layers[i], set, full, &c->layer, i ? &stack->layers[0] : NULL, c->share_tensors, error);
        set->sharing = false;
        SQ_TRY(status);
    }
    return SQ_OK;
}

sq_status sq__stack_create(sq_stack *stack, sq_parameters *set, const char *prefix, const sq_stack_config *config, sq_error *error)
{
    char full[80];
    *stack = (sq_stack){ .config = *config };
    if (config->keeps == SQ_STACK_REVERSIBLE && !config->layer.pre_norm)
        return sq__fail(error, SQ_UNSUPPORTED, "reversible layers normalise before each part: norm must be pre");
    stack->layers = sq__alloc_array((size_t)config->layers, sizeof *stack->layers);
    if (!stack->layers) return sq__no_memory(error);
    SQ_TRY(create_layers(stack, set, prefix, error));
    stack->config.layer.attention.options = NULL;   /* not kept: plans own their copies */
    if (!config->layer.pre_norm) return SQ_OK;
    snprintf(full, sizeof full, "%s.norm", prefix);
    return sq__norm_create(&stack->norm, set, full, sq__stack_width(config), config->layer.eps, error);
}

void sq__stack_clear(sq_stack *stack)
{
    for (int i = stack->count; i-- > 0;) sq__transformer_layer_clear(&stack->layers[i]);   /* the first owns plans of others */
    sq__free(stack->layers);
    stack->layers = NULL;
    stack->count = 0;
}

sq_status sq__stack_redraw(sq_stack *stack, uint64_t draw, sq_error *error)
{
    for (int i = 0; i < (stack->config.share ? 1 : stack->count); i++)
        SQ_TRY(sq__attention_block_redraw(&stack->layers[i].attention, draw, error));
    return SQ_OK;
}

/* ---- running ---- */

/* What a part reads beside its rows; lives on the tape. */
typedef struct part { const sq_transformer_layer *layer; sq_transformer_inputs inputs; } part;

static sq_var *run_layer(const void *context, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    const part *p = context;
    sq_transformer_inputs inputs = p->inputs;
    inputs.x = x;
    inputs.auxiliary = auxiliary;
    return sq__transformer_layer_run(p->layer, tape, &inputs);
}

static sq_var *attend(const void *context, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    const part *p = context;
    const sq_transformer_layer *layer = p->layer;
    sq_scope scope = sq__scope_begin(tape);
    sq_var *y = sq__attention_block_run(&layer->attention, tape, &(sq_attention_block_inputs){
        .x = sq__norm_run(&layer->attention_norm, tape, x), .lengths = p->inputs.lengths, .query_lengths = p->inputs.lengths,
        .key_keep = p->inputs.key_keep, .pair_keep = p->inputs.pair_keep, .dropout = layer->config.dropout, .auxiliary = auxiliary });
    sq__scope_end(tape, scope, y, auxiliary ? *auxiliary : NULL);
    return y;
}

static sq_var *feed(const void *context, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    const part *p = context;
    const sq_transformer_layer *layer = p->layer;
    sq_scope scope = sq__scope_begin(tape);
    sq_var *y = sq__feed_forward_run(&layer->feed_forward, tape, sq__norm_run(&layer->feed_forward_norm, tape, x), layer->config.dropout, NULL);
    sq__scope_end(tape, scope, y, auxiliary ? *auxiliary : NULL);
    return y;
}

sq_var *sq__stack_run(const sq_stack *stack, sq_tape *tape, const sq_transformer_inputs *inputs, sq_scope scope)
{
    const bool reversible = stack->config.keeps == SQ_STACK_REVERSIBLE;
    part *own = sq__tape_memory(tape, (size_t)stack->count * sizeof *own);
    sq_part *parts = sq__tape_memory(tape, 2 * (size_t)stack->count * sizeof *parts);
    sq_var *x = inputs->x;
    if (!own || !parts) return NULL;
    for (int i = 0; i < stack->count; i++) {
        own[i] = (part){ &stack->layers[i], *inputs };
        parts[2 * i] = (sq_part){ attend, &own[i] };
        parts[2 * i + 1] = (sq_part){ feed, &own[i] };
        if (reversible) continue;
        x = stack->config.keeps == SQ_STACK_KEPT ? run_layer(&own[i], tape, x, inputs->auxiliary)
                                                 : sq__recompute(tape, &(sq_part){ run_layer, &own[i] }, x, inputs->auxiliary);
        sq__scope_end(tape, scope, x, inputs->auxiliary ? *inputs->auxiliary : NULL);
    }
    if (reversible) {
        x = sq__reversible(tape, parts, stack->count, x, x, inputs->auxiliary);
        sq__scope_end(tape, scope, x, inputs->auxiliary ? *inputs->auxiliary : NULL);
    }
    return stack->config.layer.pre_norm ? sq__norm_run(&stack->norm, tape, x) : x;
}
