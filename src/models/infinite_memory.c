/* Infinity-former as a stack of layers: short-term memory of the last rows, exactly; long-term memory of everything before, as a continuous
 * signal of fixed size (nn/recurrence.h, nn/continuous_memory.h). Parameters: infinite-memory.I.*. */
#include "models/backbone.h"
#include "nn/recurrence.h"

typedef struct config {
    int64_t memory, segment, basis, samples;
    int functions, density;
    bool sticky, kl_mean;
    double tau, ridge, sigma_min, width_narrow, width_wide, kl_weight, kl_sigma, kl_mu;
} config;
typedef struct infinite_memory { sq_backbone base; sq_recurrence stack; } infinite_memory;

static const char *const densities[] = { "gaussian", "sparsemax", NULL };   /* sq_memory_density */
static const char *const functions[] = { "gaussian", "rectangular", NULL };

static const sq_field fields[] = {
    SQ_INT(config, memory, "256", 1, 1 << 20, "rows of the past that each layer keeps as they are"),
    SQ_INT(config, segment, "256", 2, 1 << 20, "events that a layer takes at once; at its end they go into long-term memory"),
    SQ_INT(config, basis, "64", 4, 4096, "basis functions of the long-term memory; gaussian ones: even"),
    SQ_CHOICE(config, functions, "gaussian", functions, "basis functions: bells of two widths, or boxes side by side"),
    SQ_INT(config, samples, "512", 1, 1 << 20, "places where the past is sampled at an update"),
    SQ_FLOAT(config, tau, "0.75", 0.01, 0.99, "part of the memory that the past keeps at an update"),
    SQ_FLOAT(config, ridge, "1", 1e-9, 1e9, "ridge of the regression"),
    SQ_FLOAT(config, sigma_min, "1e-6", 1e-12, 1, "smallest variance of a density"),
    SQ_FLOAT(config, width_narrow, "0.01", 1e-5, 10, "width of the narrow basis functions"),
    SQ_FLOAT(config, width_wide, "0.05", 1e-5, 10, "width of the wide basis functions"),
    SQ_CHOICE(config, density, "gaussian", densities, "density of the attention over the memory"),
    SQ_BOOL(config, sticky, "false", "sample the past where attention went, not evenly"),
    SQ_FLOAT(config, kl_weight, "1e-6", 0, 1e6, "weight of the regulariser that keeps densities narrow"),
    SQ_FLOAT(config, kl_sigma, "0.05", 1e-6, 1e3, "standard deviation that the regulariser draws to"),
    SQ_BOOL(config, kl_mean, "false", "the regulariser draws the mean, too"),
    SQ_FLOAT(config, kl_mu, "0.5", -10, 10, "mean that the regulariser draws to, with kl_mean"),
    SQ_FIELDS_END
};

static sq_status create(sq_backbone **backbone, const sq_backbone_spec *spec, const void *options, sq_error *error)
{
    const sq_model_config *c = spec->model;
    const config *own = options;
    infinite_memory *m = sq__alloc_zero(sizeof *m);
    if (!m) return sq__no_memory(error);
    *backbone = &m->base;
    m->base.row_width = c->width;
    const sq_continuous_config long_term = {
        .basis = { own->basis, own->width_narrow, own->width_wide, own->functions == 1 },
        .rule = { own->segment, own->samples, own->tau, own->ridge, own->sticky }, .density = (sq_memory_density)own->density, .sigma_min = own->sigma_min,
        .kl_weight = own->kl_weight, .prior = { own->kl_sigma, own->kl_mu, own->kl_mean }, .seed = spec->seed,
    };
    const sq_recurrence_config of = {
        .layer = { .width = c->width, .heads = c->heads, .head_size = c->head_size, .feed_forward = c->feed_forward ? c->feed_forward : 4 * c->width,
                   .activation = c->activation == 0 ? SQ_GELU : SQ_RELU, .pre_norm = c->norm == SQ_NORM_PRE, .dropout = (float)c->dropout, .eps = 1e-5f },
        .layers = c->layers, .memory = own->memory, .segment = own->segment, .continuous = &long_term,
    };
    return sq__recurrence_create(&m->stack, spec->set, spec->layout, "infinite-memory", &of, error);
}

static void destroy(sq_backbone *backbone)
{
    infinite_memory *m = (infinite_memory *)backbone;
    sq__recurrence_clear(&m->stack);
    sq__free(m);
}

static sq_var *run(const sq_backbone *backbone, sq_tape *tape, sq_backbone_call *call)
{
    const infinite_memory *m = (const infinite_memory *)backbone;
    return sq__recurrence_run(&m->stack, tape, call->x, call->lengths, call->carry, call->auxiliary);
}

const sq_backbone_kind sq__backbone_infinite_memory = {
    .name = "infinite-memory", .title = "Infinity-former: short-term and continuous long-term memory", .paper = "arXiv:2109.00301",
    .cost = "O(n (memory + N)) time, O(memory + N) state", .can = SQ_MODEL_STREAMS,
    .config_size = sizeof(config), .fields = fields, .create = create, .destroy = destroy, .run = run,
};
