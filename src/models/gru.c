/* Gated recurrent layers (nn/gru.h): gru.I.{weight_ih,weight_hh,bias_ih,bias_hh}. Carried: each layer's last state, gru.I.state [H]. */
#include "models/backbone.h"
#include "nn/gru.h"

typedef struct gru { sq_backbone base; sq_gru_stack stack; int *slots; } gru;

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    (void)config;
    const sq_model_config *c = spec->model;
    gru *g = sq__alloc_zero(sizeof *g);
    if (!g) return sq__no_memory(error);
    *backbone = &g->base;
    g->base.row_width = c->width;
    g->slots = sq__alloc_array((size_t)c->layers, sizeof *g->slots);
    if (!g->slots) return sq__no_memory(error);
    for (int i = 0; i < c->layers; i++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "gru.%d", i);
        SQ_TRY(sq__carry_add(spec->layout, prefix, "state", 1, (const int64_t[]){ c->width }, &g->slots[i], error));
    }
    const sq_gru_config of = { .layers = (int)c->layers, .input = c->width, .hidden = c->width, .dropout = (float)c->dropout };
    return sq__gru_create(&g->stack, spec->set, "gru", &of, error);
}

static void destroy(sq_backbone *backbone)
{
    gru *g = (gru *)backbone;
    sq__gru_clear(&g->stack);
    sq__free(g->slots);
    sq__free(g);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const gru *g = (const gru *)backbone;
    if (!call->carry) return sq__gru_run(&g->stack, tape, call->x, call->lengths, NULL, NULL);
    const size_t bytes = (size_t)g->stack.layers * sizeof(sq_var *);
    sq_var **initial = sq__tape_memory(tape, bytes), **last = sq__tape_memory(tape, bytes);
    if (!initial || !last) return NULL;
    for (int i = 0; i < g->stack.layers; i++) initial[i] = sq__carry_var(call->carry, g->slots[i], tape);
    sq_var *rows = sq__gru_run(&g->stack, tape, call->x, call->lengths, initial, last);
    for (int i = 0; rows && i < g->stack.layers; i++) sq__carry_put(call->carry, g->slots[i], last[i]);
    return rows;
}

const sq_backbone_kind sq__backbone_gru = {
    .name = "gru", .title = "Gated recurrent network", .paper = "arXiv:1406.1078", .cost = "O(n H^2) time, O(H) state", .can = SQ_MODEL_STREAMS | SQ_MODEL_LAST,
    .create = create, .destroy = destroy, .run = run,
};
