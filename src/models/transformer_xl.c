/* Transformer-XL and the Compressive Transformer: layers with relative positions that see what they keep of the past (nn/recurrence.h says
 * what that is, and why it does not depend on how a stream is cut). Parameters: transformer-xl.I.*, compressive-transformer.I.*. */
#include "models/backbone.h"
#include "nn/recurrence.h"

typedef struct config { int64_t memory, segment, compressed, compression_rate; int compression; double reconstruction; } config;
typedef struct transformer_xl { sq_backbone base; sq_recurrence stack; } transformer_xl;

static const char *const compressions[] = { "conv", "mean", "max", NULL };   /* sq_compression_kind */

#define MEMORY SQ_INT(config, memory, "256", 1, 1 << 20, "rows of the past that each layer keeps")
#define SEGMENT(help) SQ_INT(config, segment, "256", 1, 1 << 20, help)

static const sq_field xl_fields[] = { MEMORY, SEGMENT("events that a layer takes at once; no gradient goes from one segment to the one before"), SQ_FIELDS_END };

static const sq_field compressive_fields[] = {
    MEMORY,
    SEGMENT("events that a layer takes at once; at its end memory is compressed, and no gradient goes from one segment to the one before"),
    SQ_INT(config, compressed, "128", 1, 1 << 20, "rows of compressed memory that each layer keeps"),
    SQ_INT(config, compression_rate, "4", 1, 1 << 16, "rows of memory that become one; divides memory and segment"),
    SQ_CHOICE(config, compression, "conv", compressions, "how: a learned convolution, the mean or the largest"),
    SQ_FLOAT(config, reconstruction, "1", 0, 1e6, "weight of the loss that teaches the convolution: what attention reads is to stay the same"),
    SQ_FIELDS_END
};

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const config *own, const char *prefix, sq_error *error)
{
    const sq_model_config *c = spec->model;
    transformer_xl *t = sq__alloc_zero(sizeof *t);
    if (!t) return sq__no_memory(error);
    *backbone = &t->base;
    t->base.row_width = c->width;
    const sq_recurrence_config of = {
        .layer = { .width = c->width, .heads = c->heads, .head_size = c->head_size, .feed_forward = c->feed_forward ? c->feed_forward : 4 * c->width,
                   .activation = c->activation == 0 ? SQ_GELU : SQ_RELU, .pre_norm = c->norm == SQ_NORM_PRE, .dropout = (float)c->dropout, .eps = 1e-5f },
        .layers = c->layers, .memory = own->memory, .segment = own->segment, .compressed = own->compressed, .rate = own->compression_rate,
        .compression = (sq_compression_kind)own->compression, .reconstruction = (float)own->reconstruction,
    };
    return sq__recurrence_create(&t->stack, spec->set, spec->layout, prefix, &of, error);
}

static sq_status create_xl(sq_backbone **backbone, const sq_backbone_spec *spec, const void *own, sq_error *error)
{
    return create(backbone, spec, own, "transformer-xl", error);
}

static sq_status create_compressive(sq_backbone **backbone, const sq_backbone_spec *spec, const void *own, sq_error *error)
{
    return create(backbone, spec, own, "compressive-transformer", error);
}

static void destroy(sq_backbone *backbone)
{
    transformer_xl *t = (transformer_xl *)backbone;
    sq__recurrence_clear(&t->stack);
    sq__free(t);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const transformer_xl *t = (const transformer_xl *)backbone;
    return sq__recurrence_run(&t->stack, tape, call->x, call->lengths, call->carry, call->auxiliary);
}

const sq_backbone_kind sq__backbone_transformer_xl = {
    .name = "transformer-xl", .title = "Transformer-XL", .paper = "arXiv:1901.02860", .cost = "O(n memory) time, O(memory) state", .can = SQ_MODEL_STREAMS,
    .config_size = sizeof(config), .fields = xl_fields, .create = create_xl, .destroy = destroy, .run = run,
};

const sq_backbone_kind sq__backbone_compressive_transformer = {
    .name = "compressive-transformer", .title = "Compressive Transformer", .paper = "arXiv:1911.05507", .cost = "O(n (memory + compressed)) time, O(memory) state",
    .can = SQ_MODEL_STREAMS, .config_size = sizeof(config), .fields = compressive_fields, .create = create_compressive, .destroy = destroy, .run = run,
};
