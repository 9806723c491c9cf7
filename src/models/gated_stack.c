#include "models/gated_stack.h"

#include <string.h>

typedef struct stack {
    sq_backbone base;
    int count;
    float *fixed;
    sq_gated_block *blocks;
    sq_norm norm;
} stack;

int64_t sq__gated_head_size(const sq_model_config *model, int64_t numerator, int64_t denominator)
{
    const int64_t size = model->width * numerator / (denominator * model->heads);
    return model->head_size ? model->head_size : size ? size : 1;
}

sq_status sq__gated_stack_create(sq_backbone **backbone, const sq_backbone_spec *spec, const char *kind, const sq_gated_block_config *block, const float *fixed,
                                 sq_error *error)
{
    const sq_model_config *c = spec->model;
    sq_gated_block_config of = *block;
    char name[96];
    stack *s = sq__alloc_zero(sizeof *s);
    if (!s) return sq__no_memory(error);
    *backbone = &s->base;
    s->base.row_width = c->width;
    s->blocks = sq__alloc_array((size_t)c->layers, sizeof *s->blocks);
    s->fixed = fixed ? sq__alloc((size_t)block->heads * sizeof *fixed) : NULL;
    if (!s->blocks || (fixed && !s->fixed)) return sq__no_memory(error);
    if (fixed) memcpy(s->fixed, fixed, (size_t)block->heads * sizeof *fixed);
    of.width = c->width, of.dropout = (float)c->dropout, of.eps = 1e-5f, of.fixed = s->fixed;
    for (s->count = 0; s->count < c->layers; s->count++) {
        snprintf(name, sizeof name, "%.60s.%d", kind, s->count);
        SQ_TRY(sq__gated_block_create(&s->blocks[s->count], spec->set, spec->layout, name, &of, error));
    }
    snprintf(name, sizeof name, "%.60s.norm", kind);
    return (of.rms ? sq__rms_create : sq__norm_create)(&s->norm, spec->set, name, c->width, of.eps, error);
}

void sq__gated_stack_destroy(sq_backbone *backbone)
{
    stack *s = (stack *)backbone;
    sq__free(s->blocks);
    sq__free(s->fixed);
    sq__free(s);
}

sq_var *sq__gated_stack_run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const stack *s = (const stack *)backbone;
    sq_var *x = call->x;
    for (int i = 0; i < s->count; i++) {
        x = sq__gated_block_run(&s->blocks[i], tape, x, call->lengths, call->carry);
        sq__scope_end(tape, call->scope, x, NULL);
    }
    return sq__norm_run(&s->norm, tape, x);
}
