/* Perceiver: events, with Fourier features of their places behind them, are looked at by latents, which are the rows. Perceiver IO: then
 * every event asks the latents, and the answers are the rows. See nn/perceiver.h.
 * Parameters: perceiver.latents, perceiver.I.cross.*, perceiver.I.J.*, perceiver.norm.*; perceiver-io also perceiver.query.*, perceiver.decoder.*.
 * Layers of the model are those between two looks; heads are theirs. */
#include "models/backbone.h"
#include "nn/fourier_positions.h"
#include "nn/perceiver.h"

typedef struct options {
    int64_t latents, latent_width, cross_heads, blocks;
    bool share, gated;
    int64_t bands;
    double max_frequency;
} options;

static const sq_field fields[] = {
    SQ_INT(options, latents, "64", 1, 1 << 16, "rows that look at the events"),
    SQ_INT(options, latent_width, "0", 0, 65536, "numbers per latent; 0: width"),
    SQ_INT(options, cross_heads, "1", 1, 1024, "heads of the attention to the events"),
    SQ_INT(options, blocks, "2", 1, 1000, "looks at the events, each followed by all layers"),
    SQ_BOOL(options, share, "true", "blocks after the first have one set of weights"),
    SQ_BOOL(options, gated, "false", "feed-forward parts with a gate (GEGLU)"),
    SQ_INT(options, bands, "16", 0, 4096, "frequencies of the place features"),
    SQ_FLOAT(options, max_frequency, "0", 0, 1e9, "place features go up to half of it; 0: the longest length, which tells neighbours apart"),
    SQ_FIELDS_END
};

typedef struct perceiver {
    sq_backbone base;
    bool asks;                         /* Perceiver IO */
    sq_parameters *set;
    sq_fourier_positions positions;
    sq_perceiver tower;
    sq_norm norm;
    sq_linear query;
    sq_perceiver_step decoder;
} perceiver;

static sq_status check(const sq_perceiver_config *c, sq_error *error)
{
    if (c->width % c->cross_heads == 0 && c->width % c->heads == 0) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "latent_width is %lld; expected a multiple of the %lld heads and of the %lld cross_heads", (long long)c->width,
                    (long long)c->heads, (long long)c->cross_heads);
}

static sq_status create_decoder(perceiver *p, const sq_backbone_spec *spec, const sq_perceiver_config *tower, sq_error *error)
{
    sq_perceiver_config c = *tower;
    c.feed_forward = spec->model->feed_forward;
    SQ_TRY(sq__linear_create(&p->query, spec->set, "perceiver.query", tower->input_width, spec->model->width, true, error));
    if (spec->model->width % c.cross_heads)
        return sq__fail(error, SQ_INVALID, "width is %lld; expected a multiple of the %lld cross_heads", (long long)spec->model->width, (long long)c.cross_heads);
    return sq__perceiver_decoder_create(&p->decoder, spec->set, "perceiver.decoder", &c, spec->model->width, spec->max_length, true, true, error);
}

static sq_status create_parts(perceiver *p, const sq_backbone_spec *spec, const options *o, sq_error *error)
{
    const sq_model_config *m = spec->model;
    const double frequency = o->max_frequency > 0 ? o->max_frequency : (double)spec->max_length;
    SQ_TRY(sq__fourier_positions_create(&p->positions, 1, &spec->max_length, o->bands, frequency, error));
    const sq_perceiver_config c = {
        .input_width = m->width + p->positions.width, .latents = o->latents, .width = o->latent_width ? o->latent_width : m->width, .blocks = o->blocks,
        .depth = m->layers, .cross_heads = o->cross_heads, .heads = m->heads, .feed_forward = m->feed_forward,
        .activation = m->activation == 0 ? SQ_GELU : SQ_RELU, .shared = o->share, .gated = o->gated, .bias = true, .max_length = spec->max_length,
        .dropout = (float)m->dropout, .threads = spec->threads,
    };
    SQ_TRY(check(&c, error));
    SQ_TRY(sq__perceiver_create(&p->tower, spec->set, "perceiver", &c, error));
    p->base.row_width = p->asks ? m->width : c.width;
    if (p->asks) SQ_TRY(create_decoder(p, spec, &c, error));
    return sq__norm_create(&p->norm, spec->set, "perceiver.norm", p->base.row_width, 1e-5f, error);
}

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, bool asks, sq_error *error)
{
    perceiver *p = sq__alloc_zero(sizeof *p);
    if (!p) return sq__no_memory(error);
    *backbone = &p->base;
    if (spec->model->causal) return sq__fail(error, SQ_UNSUPPORTED, "latents see all events; a Perceiver cannot be causal");
    p->asks = asks;
    p->set = spec->set;
    return create_parts(p, spec, config, error);
}

static sq_status create_latents(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    return create(backbone, spec, config, false, error);
}

static sq_status create_io(sq_backbone **backbone, const sq_backbone_spec *spec, const void *config, sq_error *error)
{
    return create(backbone, spec, config, true, error);
}

static void destroy(sq_backbone *backbone)
{
    perceiver *p = (perceiver *)backbone;
    sq__perceiver_clear(&p->tower);
    sq__perceiver_step_clear(&p->decoder);
    sq__fourier_positions_clear(&p->positions);
    sq__free(p);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const perceiver *p = (const perceiver *)backbone;
    sq_var *events = sq__fourier_positions_append(&p->positions, tape, call->x);
    sq_var *rows = sq__perceiver_run(&p->tower, tape, events, call->lengths, NULL);
    if (p->asks && rows) rows = sq__perceiver_step_run(&p->decoder, tape, sq__linear_run(&p->query, tape, events), rows, NULL, NULL);
    return sq__norm_run(&p->norm, tape, rows);
}

const sq_backbone_kind sq__backbone_perceiver = {
    .name = "perceiver", .title = "Latents look at the events", .paper = "arXiv:2103.03206", .cost = "O(n latents) time, O(n) memory",
    .can = SQ_MODEL_UNALIGNED, .config_size = sizeof(options), .fields = fields, .create = create_latents, .destroy = destroy, .run = run,
};

const sq_backbone_kind sq__backbone_perceiver_io = {
    .name = "perceiver-io", .title = "Latents look at the events, which then ask them", .paper = "arXiv:2107.14795",
    .cost = "O(n latents) time, O(n) memory", .config_size = sizeof(options), .fields = fields, .create = create_io, .destroy = destroy, .run = run,
};
