/* RWKV-4, arXiv:2305.13048: layers of time and channel mixing (nn/rwkv.h) between a norm of the embedded events and a last norm.
 * Parameters: rwkv.embedding_norm.*, rwkv.I.*, rwkv.norm.*. Carried: rwkv.I.{time.row,channel.row,state}. */
#include "models/backbone.h"
#include "nn/rwkv.h"

typedef struct rwkv { sq_backbone base; int count; sq_rwkv *layers; sq_norm first, last; } rwkv;

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    (void)config;
    const sq_model_config *c = spec->model;
    const float eps = 1e-5f;
    rwkv *m = sq__alloc_zero(sizeof *m);
    if (!m) return sq__no_memory(error);
    *backbone = &m->base;
    m->base.row_width = c->width;
    m->layers = sq__alloc_array((size_t)c->layers, sizeof *m->layers);
    if (!m->layers) return sq__no_memory(error);
    SQ_TRY(sq__norm_create(&m->first, spec->set, "rwkv.embedding_norm", c->width, eps, error));
    for (; m->count < c->layers; m->count++) {
        const sq_rwkv_config layer = { .width = c->width, .feed_forward = c->feed_forward ? c->feed_forward : 4 * c->width, .layer = m->count,
                                       .layers = (int)c->layers, .dropout = (float)c->dropout, .eps = eps };
        char prefix[32];
        snprintf(prefix, sizeof prefix, "rwkv.%d", m->count);
        SQ_TRY(sq__rwkv_create(&m->layers[m->count], spec->set, spec->layout, prefix, &layer, error));
    }
    return sq__norm_create(&m->last, spec->set, "rwkv.norm", c->width, eps, error);
}

static void destroy(sq_backbone *backbone)
{
    rwkv *m = (rwkv *)backbone;
    sq__free(m->layers);
    sq__free(m);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const rwkv *m = (const rwkv *)backbone;
    sq_var *x = sq__norm_run(&m->first, tape, call->x);
    for (int i = 0; i < m->count; i++) {
        x = sq__rwkv_run(&m->layers[i], tape, x, call->lengths, call->carry);
        sq__scope_end(tape, call->scope, x, NULL);
    }
    return sq__norm_run(&m->last, tape, x);
}

const sq_backbone_kind sq__backbone_rwkv = {
    .name = "rwkv", .title = "RWKV-4", .paper = "arXiv:2305.13048", .cost = "O(n D^2) time, O(D) state", .can = SQ_MODEL_STREAMS,
    .create = create, .destroy = destroy, .run = run,
};
