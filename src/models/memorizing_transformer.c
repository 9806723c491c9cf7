/* Memorizing Transformer (nn/memorizing.h): parameters memorizing-transformer.I.*, memorizing-transformer.norm.* (pre-norm). */
#include "models/backbone.h"
#include "nn/memorizing.h"

typedef struct options { int64_t window, memory, topk; } options;

static const sq_field fields[] = {
    SQ_INT(options, window, "64", 2, 1 << 20, "events that every layer sees: itself and those just before"),
    SQ_INT(options, memory, "1024", 1, 1 << 24, "events before these that one layer can find"),
    SQ_INT(options, topk, "32", 1, 4096, "rows of memory that a query and head find; at most memory"),
    SQ_FIELDS_END
};

typedef struct memorizing { sq_backbone base; sq_memorizing stack; } memorizing;

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    const sq_model_config *c = spec->model;
    const options *o = config;
    memorizing *m = sq__alloc_zero(sizeof *m);
    if (!m) return sq__no_memory(error);
    *backbone = &m->base;
    m->base.row_width = c->width;
    const sq_memorizing_config of = {
        .layer = { .width = c->width, .heads = c->heads, .head_size = c->head_size, .feed_forward = c->feed_forward ? c->feed_forward : 4 * c->width,
                   .activation = c->activation == 0 ? SQ_GELU : SQ_RELU, .pre_norm = c->norm == SQ_NORM_PRE, .dropout = (float)c->dropout, .eps = 1e-5f },
        .layers = c->layers, .window = o->window, .memory = o->memory, .topk = o->topk,
    };
    return sq__memorizing_create(&m->stack, spec->set, spec->layout, "memorizing-transformer", &of, error);
}

static void destroy(sq_backbone *backbone)
{
    memorizing *m = (memorizing *)backbone;
    sq__memorizing_clear(&m->stack);
    sq__free(m);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    return sq__memorizing_run(&((const memorizing *)backbone)->stack, tape, call->x, call->lengths, call->carry);
}

const sq_backbone_kind sq__backbone_memorizing_transformer = {
    .name = "memorizing-transformer", .title = "Window and a searched memory", .paper = "arXiv:2203.08913", .cost = "O(n (window + memory)) time, O(memory) state",
    .can = SQ_MODEL_STREAMS, .config_size = sizeof(options), .fields = fields, .create = create, .destroy = destroy, .run = run,
};
