/* Luna (nn/luna.h): layers that pack the events into a few rows, which go along. Two kinds: luna sees all events; luna-causal what came
 * before, from a state. Parameters: luna.packed, luna.I.*, luna.norm.* (pre-norm), or luna-causal.* likewise. */
#include "models/backbone.h"
#include "nn/luna.h"

typedef struct options { int64_t latents; bool tied; } options;

static const sq_field fields[] = {
    SQ_INT(options, latents, "32", 1, 1 << 16, "rows that events are packed into"),
    SQ_BOOL(options, tied, "true", "keys are values"),
    SQ_FIELDS_END
};

typedef struct luna {
    sq_backbone base;
    bool pre_norm;
    sq_parameters *set;
    int packed, count;                 /* count: of layers that were begun */
    sq_luna_layer *layers;
    sq_norm norm;
} luna;

static sq_status create_layers(luna *l, const sq_backbone_spec *spec, const options *o, const char *name, bool causal, sq_error *error)
{
    const sq_model_config *c = spec->model;
    const sq_luna_config of = {
        .width = c->width, .heads = c->heads, .latents = o->latents, .feed_forward = c->feed_forward ? c->feed_forward : 4 * c->width,
        .activation = c->activation == 0 ? SQ_GELU : SQ_RELU, .causal = causal, .tied = o->tied, .pre_norm = c->norm == SQ_NORM_PRE,
        .max_length = spec->max_length, .dropout = (float)c->dropout, .threads = spec->threads,
    };
    char prefix[32];
    SQ_TRY(sq__parameters_add(spec->set, &(sq_parameter_spec){ .prefix = name, .name = "packed", .rank = 2, .shape = { o->latents, c->width },
                                                               .initial = SQ_INITIAL_UNIFORM, .scale = sq__glorot(o->latents, c->width) }, &l->packed, error));
    l->layers = sq__alloc_array((size_t)c->layers, sizeof *l->layers);
    if (!l->layers) return sq__no_memory(error);
    for (int i = 0; i < c->layers; i++) {
        snprintf(prefix, sizeof prefix, "%s.%d", name, i);
        l->count = i + 1;
        SQ_TRY(sq__luna_layer_create(&l->layers[i], spec->set, spec->layout, prefix, &of, error));
    }
    snprintf(prefix, sizeof prefix, "%s.norm", name);
    return l->pre_norm ? sq__norm_create(&l->norm, spec->set, prefix, c->width, 1e-5f, error) : SQ_OK;
}

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, bool causal, sq_error *error)
{
    luna *l = sq__alloc_zero(sizeof *l);
    if (!l) return sq__no_memory(error);
    *backbone = &l->base;
    l->base.row_width = spec->model->width;
    l->pre_norm = spec->model->norm == SQ_NORM_PRE;
    l->set = spec->set;
    return create_layers(l, spec, config, causal ? "luna-causal" : "luna", causal, error);
}

static sq_status create_luna(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    if (spec->model->causal) return sq__fail(error, SQ_UNSUPPORTED, "luna sees all events; luna-causal sees earlier ones only");
    return create(backbone, spec, config, false, error);
}

static sq_status create_causal(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    return create(backbone, spec, config, true, error);
}

static void destroy(sq_backbone *backbone)
{
    luna *l = (luna *)backbone;
    for (int i = 0; i < l->count; i++) sq__luna_layer_clear(&l->layers[i]);
    sq__free(l->layers);
    sq__free(l);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const luna *l = (const luna *)backbone;
    sq_var *x = call->x, *packed = x ? sq__repeat_rows(l->set, l->packed, tape, x->shape[0]) : NULL;
    for (int i = 0; packed && i < l->count; i++) {
        x = sq__luna_layer_run(&l->layers[i], tape, x, &packed, call->lengths, call->carry);
        sq__scope_end(tape, call->scope, x, packed);
    }
    return l->pre_norm ? sq__norm_run(&l->norm, tape, x) : x;
}

const sq_backbone_kind sq__backbone_luna = {
    .name = "luna", .title = "Attention packed into a few rows", .paper = "arXiv:2106.01540", .cost = "O(n latents) time, O(n) memory", .can = SQ_MODEL_POSITIONS,
    .config_size = sizeof(options), .fields = fields, .create = create_luna, .destroy = destroy, .run = run,
};

const sq_backbone_kind sq__backbone_luna_causal = {
    .name = "luna-causal", .title = "Attention packed into a few running means", .paper = "arXiv:2106.01540", .cost = "O(n latents) time, O(latents) state",
    .can = SQ_MODEL_STREAMS, .config_size = sizeof(options), .fields = fields, .create = create_causal, .destroy = destroy, .run = run,
};
