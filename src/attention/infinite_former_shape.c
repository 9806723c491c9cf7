/* How a call is cut into segments, and memory into pieces. */
#include "attention/engine/groups.h"
#include "attention/infinite_former.h"

sq_infinite_shape sq__infinite_shape(const sq_infinite_config *config, const sq_problem *p, sq_pass pass)
{
    const int64_t L = config->segment, groups = config->sticky && pass == SQ_FORWARD ? 1 : sq__head_groups(p->threads, p->B, p->H);
    return (sq_infinite_shape){
        .L = L, .segments = (p->T + L - 1) / L, .rows = L < p->T ? L : p->T, .N = config->basis, .state = config->basis * (p->D + p->M),
        .groups = groups, .group = (p->H + groups - 1) / groups,
    };
}

sq_infinite_constants sq__infinite_constants(const sq_infinite_config *config, sq_cut *cut)
{
    const sq_memory_basis basis = sq__infinite_basis(config);
    const sq_memory_rule rule = sq__infinite_rule(config);
    return sq__memory_update_cut(&basis, &rule, cut);
}

sq_infinite_saved sq__infinite_saved(const sq_infinite_config *config, const sq_problem *p, sq_cut *cut)
{
    const sq_infinite_shape shape = sq__infinite_shape(config, p, SQ_FORWARD);
    sq_infinite_saved saved = { .lse = sq__cut_floats(cut, p->B * p->H * p->T) };
    saved.memories = sq__cut_floats(cut, p->B * p->H * (shape.segments - 1) * shape.state);
    if (config->sticky) saved.counts = sq__cut(cut, (size_t)(p->B * shape.segments * SQ_MEMORY_BINS) * sizeof(int32_t));
    return saved;
}

sq_infinite_scratch sq__infinite_scratch(const sq_problem *p, const sq_infinite_shape *shape, sq_pass pass, sq_cut *cut)
{
    const size_t rows = (size_t)shape->rows * sizeof(double);
    sq_infinite_scratch scratch = { .mu = sq__cut(cut, rows), .sigma_sq = sq__cut(cut, rows) };
    scratch.locate = sq__cut(cut, SQ_MEMORY_LOCATE_SCRATCH(p->D));
    scratch.r = sq__cut_floats(cut, shape->rows * shape->N);
    if (pass == SQ_BACKWARD) {
        scratch.dmu = sq__cut(cut, rows);
        scratch.dsigma_sq = sq__cut(cut, rows);
        scratch.dr = sq__cut_floats(cut, shape->rows * shape->N);
    }
    return scratch;
}

int64_t sq__infinite_rows(const sq_infinite_shape *shape, int64_t count, int64_t s)
{
    const int64_t left = count - s * shape->L;
    return left < 0 ? 0 : left < shape->L ? left : shape->L;
}

int64_t sq__infinite_memory_of(const sq_infinite_shape *shape, const sq_head *head, int64_t s)
{
    const int64_t full = head->N / shape->L;
    return s < full ? s : full;
}

double sq__infinite_readers(const sq_run *run, const sq_infinite_shape *shape)
{
    double readers = 0;
    for (int64_t b = 0; b < run->problem->B; b++) {
        const sq_head head = sq__head(run, b, 0);
        if (head.N >= shape->L && head.T > shape->L) readers += (double)((head.T - shape->L) * run->problem->H);
    }
    return readers;
}

sq_dense sq__infinite_local(const sq_run *run, const sq_infinite_shape *shape, const sq_head *head, int64_t s)
{
    const sq_problem *p = run->problem;
    const int64_t at = s * shape->L;
    sq_cut cut = { run->call->saved, 0 };
    return (sq_dense){
        .T = sq__infinite_rows(shape, head->T, s), .N = sq__infinite_rows(shape, head->N, s), .D = p->D, .M = p->M, .scale = p->scale,
        .causal = p->causal, .q = head->q + at * head->q_row, .k = head->k + at * head->k_row, .v = head->v + at * head->v_row,
        .q_row = head->q_row, .k_row = head->k_row, .v_row = head->v_row, .out = head->out + at * head->out_row, .out_row = head->out_row,
        .lse = run->call->saved ? sq__infinite_saved(run->config, p, &cut).lse + (head->b * p->H + head->h) * p->T + at : NULL,
    };
}

sq_memory_read sq__infinite_read(const sq_run *run, const sq_infinite_shape *shape, const sq_head *head, int64_t s, const float *memory)
{
    const sq_infinite_config *config = run->config;
    float *const *tensors = run->call->tensors;
    return (sq_memory_read){
        .T = sq__infinite_rows(shape, head->T, s), .N = shape->N, .D = run->problem->D, .scale = run->problem->scale, .sigma_min = config->sigma_min,
        .q = head->q + s * shape->L * head->q_row, .k = memory, .q_row = head->q_row, .k_row = run->problem->D,
        .w_mu = tensors[SQ_INFINITE_W_MU], .w_sigma = tensors[SQ_INFINITE_W_SIGMA],
        .b_mu = config->bias ? (double)tensors[SQ_INFINITE_B_MU][0] : 0, .b_sigma = config->bias ? (double)tensors[SQ_INFINITE_B_SIGMA][0] : 0,
    };
}

sq_memory_basis sq__infinite_basis(const sq_infinite_config *config)
{
    return (sq_memory_basis){ config->basis, config->width_narrow, config->width_wide, config->functions == 1 };
}

sq_memory_rule sq__infinite_rule(const sq_infinite_config *config)
{
    return (sq_memory_rule){ config->segment, config->samples, config->tau, config->ridge, config->sticky };
}

sq_memory_prior sq__infinite_prior(const sq_infinite_config *config)
{
    return (sq_memory_prior){ config->kl_sigma, config->kl_mu, config->kl_mean };
}
