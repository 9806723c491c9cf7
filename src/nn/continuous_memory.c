#include "nn/continuous_memory.h"

#include <math.h>
#include <string.h>

#include "kernels/kernels.h"

sq_status sq__continuous_maps(const sq_continuous_config *config, void **memory, sq_memory_update *maps, sq_error *error)
{
    sq_cut cut = { NULL, 0 };
    if (!config->basis.rectangular && config->basis.N % 2)
        return sq__fail(error, SQ_INVALID, "basis is %lld; expected an even number (each centre has two widths)", (long long)config->basis.N);
    sq__memory_update_cut(&config->basis, &config->rule, &cut);
    *memory = sq__alloc(cut.used);
    if (!*memory) return sq__no_memory(error);
    cut = (sq_cut){ *memory, 0 };
    *maps = sq__memory_update_cut(&config->basis, &config->rule, &cut);
    return sq__memory_update_fill(&config->basis, &config->rule, maps, error);
}

static sq_status create_maps_of_scores(sq_continuous_memory *m, const char *prefix, sq_error *error)
{
    const int64_t N = m->config.basis.N;
    const struct { const char *weight, *bias; int *w, *b; } maps[] = { { "mean.weight", "mean.bias", &m->w_mu, &m->b_mu },
                                                                      { "variance.weight", "variance.bias", &m->w_sigma, &m->b_sigma } };
    for (int i = 0; i < 2; i++) {
        const sq_parameter_spec weight = { .prefix = prefix, .name = maps[i].weight, .rank = 1, .shape = { N }, .initial = SQ_INITIAL_UNIFORM,
                                           .scale = (float)(1 / sqrt((double)N)), .decay = true };
        const sq_parameter_spec bias = { .prefix = prefix, .name = maps[i].bias, .rank = 1, .shape = { 1 } };
        SQ_TRY(sq__parameters_add(m->set, &weight, maps[i].w, error));
        SQ_TRY(sq__parameters_add(m->set, &bias, maps[i].b, error));
    }
    return SQ_OK;
}

sq_status sq__continuous_memory_create(sq_continuous_memory *m, sq_parameters *set, sq_carry_layout *layout, const char *prefix,
                                       const sq_continuous_config *config, const sq_memory_update *maps, int64_t width, int64_t heads, int64_t head_size,
                                       sq_error *error)
{
    const int64_t E = heads * (head_size ? head_size : width / heads), bins = SQ_MEMORY_BINS;
    char name[96];
    *m = (sq_continuous_memory){ .config = *config, .maps = *maps, .set = set, .heads = heads, .width = width, .received = -1,
                                 .key = sq__hash_bytes(prefix, strlen(prefix), config->seed) };
    snprintf(name, sizeof name, "%.70s.key_value", prefix);
    SQ_TRY(sq__linear_create(&m->key_value, set, name, width, 2 * E, false, error));
    snprintf(name, sizeof name, "%.70s.output", prefix);
    SQ_TRY(sq__linear_create(&m->output, set, name, E, width, false, error));
    SQ_TRY(create_maps_of_scores(m, prefix, error));
    SQ_TRY(sq__carry_add(layout, prefix, "coefficients", 2, (const int64_t[]){ config->basis.N, width }, &m->coefficients, error));
    return config->rule.sticky ? sq__carry_add(layout, prefix, "received", 1, &bins, &m->received, error) : SQ_OK;
}

sq_var *sq__continuous_memory_read(const sq_continuous_memory *m, sq_tape *tape, const sq_continuous_reading *r)
{
    const sq_continuous_inputs inputs = {
        .q = r->q, .kv = sq__linear_run(&m->key_value, tape, r->coefficients), .w_mu = sq__parameters_var(m->set, m->w_mu, tape),
        .w_sigma = sq__parameters_var(m->set, m->w_sigma, tape), .b_mu = sq__parameters_var(m->set, m->b_mu, tape),
        .b_sigma = sq__parameters_var(m->set, m->b_sigma, tape), .heads = m->heads, .basis = m->config.basis, .density = m->config.density,
        .sigma_min = m->config.sigma_min, .prior = m->config.prior, .counts = r->counts, .received = r->received, .kl = r->kl,
    };
    return sq__linear_run_residual(&m->output, tape, sq__continuous_read(tape, &inputs), r->dropout, r->residual);
}

int64_t sq__continuous_memory_scratch(const sq_continuous_memory *m)
{
    const int64_t N = m->config.basis.N;
    return N * m->width + (m->config.rule.sticky ? N * N + SQ_MEMORY_BINS * N : 0);
}

/* The matrix that takes the old coefficients to their part of the new ones, where places are drawn. */
static const float *drawn_past(const sq_continuous_memory *m, int64_t segment, float *received, float *scratch)
{
    const int64_t N = m->config.basis.N;
    const sq_random random = sq__random_stream(m->key, "continuous-memory.sticky", (uint64_t)segment);
    double p[SQ_MEMORY_BINS];
    int32_t counts[SQ_MEMORY_BINS];
    for (int i = 0; i < SQ_MEMORY_BINS; i++) p[i] = (double)received[i];
    sq__memory_histogram_normalise(p);
    sq__memory_draw(p, &random, m->config.rule.M, counts);
    sq__memory_sticky_past(counts, m->maps.samples, m->maps.psi, N, scratch, scratch + N * N);
    return scratch;
}

void sq__continuous_memory_write(const sq_continuous_memory *m, const float *rows, int64_t segment, float *received, float *coefficients, float *scratch)
{
    const int64_t N = m->config.basis.N, E = m->width;
    float *new = scratch;
    sq__gemm(true, false, N, E, m->config.rule.L, 1, segment ? m->maps.fresh : m->maps.first, N, rows, E, 0, new, E);
    if (segment) {
        const float *past = m->config.rule.sticky ? drawn_past(m, segment, received, scratch + N * E) : m->maps.past;
        sq__gemm(false, false, N, E, N, 1, past, N, coefficients, E, 1, new, E);
    }
    if (received) memset(received, 0, SQ_MEMORY_BINS * sizeof *received);
    memcpy(coefficients, new, (size_t)(N * E) * sizeof *new);
}
