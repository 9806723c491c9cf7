/* The clusters of a head's queries, and the tensors that they come from. */
#include "attention/clustered.h"

int sq__clustered_tensors(const void *data, const sq_problem *p, sq_attention_tensor *infos)
{
    const sq_clustered_config *config = data;
    if (infos) {
        infos[0] = (sq_attention_tensor){ "planes", 2, { config->bits, p->D + 1 }, false };
        infos[1] = (sq_attention_tensor){ "initial", 1, { config->clusters }, false };
    }
    return 2;
}

static void draw_planes(const sq_clustered_config *config, int64_t D, uint64_t seed, uint64_t draw, float *planes)
{
    const sq_random normal = sq__random_stream(seed, "clustered.planes", draw);
    sq__random_normal_fill(&normal, planes, config->bits * (D + 1), 1);
    for (int64_t b = 0; !config->hash_bias && b < config->bits; b++) planes[b * (D + 1) + D] = 0;
}

/* Distinct rows of a sequence of the greatest length; shorter ones take the remainder. */
static sq_status draw_initial(const sq_clustered_config *config, int64_t longest, uint64_t seed, uint64_t draw, float *initial)
{
    const sq_random random = sq__random_stream(seed, "clustered.initial", draw);
    const int64_t count = config->clusters < longest ? config->clusters : longest;
    int32_t *rows = sq__alloc_array((size_t)longest, sizeof *rows);
    if (!rows) return SQ_NO_MEMORY;
    for (int64_t i = 0; i < longest; i++) rows[i] = (int32_t)i;
    sq__draw_distinct(&random, rows, longest, count);
    for (int64_t c = 0; c < config->clusters; c++) initial[c] = (float)rows[c % count];
    sq__free(rows);
    return SQ_OK;
}

sq_status sq__clustered_tensor_init(const void *data, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *out)
{
    const sq_clustered_config *config = data;
    if (index == 1) return draw_initial(config, p->max_length > p->T ? p->max_length : p->T, seed, draw, out);
    draw_planes(config, p->D, seed, draw, out);
    return SQ_OK;
}

int64_t sq__clustered_count(const sq_clustered_config *config, const sq_problem *p)
{
    return config->clusters < p->T ? config->clusters : p->T;
}

size_t sq__clustered_workspace(const sq_clustered_config *config, const sq_problem *p)
{
    return sq__cluster_workspace(p->T, sq__clustered_count(config, p), config->bits);
}

void sq__clustered_assign(const sq_run *run, const sq_head *head, int32_t *cluster, void *workspace)
{
    const sq_clustered_config *config = run->config;
    const sq_cluster c = { sq__clustered_count(config, run->problem), config->iterations, config->bits, run->problem->D,
                           run->call->tensors[0], run->call->tensors[1] };
    sq__cluster_assign(&c, head->q, head->q_row, head->T, cluster, run->kernels, workspace);
}
