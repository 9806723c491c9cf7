#include "attention/engine/pattern.h"

#include "base/memory.h"

/* Bytes for the pattern's own memory, then for the engine. */
static size_t head_bytes(const sq_pattern_at *at, sq_pattern_fn make, sq_pass pass)
{
    const sq_problem *p = at->problem;
    sq_sparse_pattern pattern = { .tiles = 0 };
    const size_t memory = sq__align_up(make(at, NULL, &pattern));
    return memory + sq__sparse_workspace(p->T, p->N, p->D, p->M, &pattern, pattern.mode, pass);
}

static sq_pattern_at whole(const void *config, const sq_problem *p, int64_t h)
{
    return (sq_pattern_at){ .config = config, .problem = p, .h = h, .T = p->T, .N = p->N };
}

size_t sq__pattern_workspace(sq_pattern_fn make, const void *config, const sq_problem *p, sq_pass pass)
{
    size_t most = 0;
    for (int64_t h = 0; h < p->H; h++) {
        const sq_pattern_at at = whole(config, p, h);
        const size_t bytes = head_bytes(&at, make, pass);
        most = bytes > most ? bytes : most;
    }
    return most;
}

/* Statistics of one head, room for the largest. */
static size_t stats_floats(sq_pattern_fn make, const void *config, const sq_problem *p)
{
    size_t most = 0;
    for (int64_t h = 0; h < p->H; h++) {
        const sq_pattern_at at = whole(config, p, h);
        sq_sparse_pattern pattern = { .tiles = 0 };
        make(&at, NULL, &pattern);
        const size_t floats = sq__sparse_stats_floats(p->T, &pattern, pattern.mode);
        most = floats > most ? floats : most;
    }
    return most;
}

void sq__pattern_sizes(sq_pattern_fn make, const void *config, const sq_problem *p, sq_sizes *sizes)
{
    sizes->forward_workspace = sq__pattern_workspace(make, config, p, SQ_FORWARD) * (size_t)p->threads;
    sizes->backward_workspace = sq__pattern_workspace(make, config, p, SQ_BACKWARD) * (size_t)p->threads;
    sizes->saved = (size_t)(p->B * p->H) * stats_floats(make, config, p) * sizeof(float);
}

static double head_pairs(const sq_pattern_at *at, sq_pattern_fn make)
{
    sq_sparse_pattern pattern = { .tiles = 0 };
    const size_t memory = sq__align_up(make(at, NULL, &pattern));
    char *block = sq__alloc(memory + pattern.scratch_bytes);
    if (!block) return 0;
    make(at, block, &pattern);
    const double pairs = (double)sq__sparse_pairs(&pattern, block + memory);
    sq__free(block);
    return pairs;
}

double sq__pattern_flops(sq_pattern_fn make, const void *config, const sq_problem *p, sq_pass pass)
{
    double pairs = 0;
    for (int64_t h = 0; h < p->H; h++) {
        const sq_pattern_at at = whole(config, p, h);
        pairs += head_pairs(&at, make);
    }
    return 2 * (double)p->B * pairs * (double)(pass == SQ_FORWARD ? p->D + p->M : 3 * p->D + 2 * p->M);
}

void sq__pattern_open(sq_pattern_head *ready, sq_pattern_fn make, const sq_run *run, const sq_head *head)
{
    const sq_problem *p = run->problem;
    const sq_pattern_at at = { .config = run->config, .problem = p, .b = head->b, .h = head->h, .T = head->T, .N = head->N, .run = run };
    ready->pattern = (sq_sparse_pattern){ .tiles = 0 };
    const size_t memory = sq__align_up(make(&at, head->workspace, &ready->pattern));
    ready->workspace = (char *)head->workspace + memory;
    ready->sparse = (sq_sparse){
        .T = head->T, .N = head->N, .D = p->D, .M = p->M, .scale = p->scale, .mode = ready->pattern.mode, .pattern = &ready->pattern,
        .q = head->q, .k = head->k, .v = head->v, .q_row = head->q_row, .k_row = head->k_row, .v_row = head->v_row,
        .key_keep = head->key_keep, .pair_keep = head->pair_keep, .pair_row = p->N, .out = head->out, .out_row = head->out_row,
    };
    if (sq__head_bias(run, head, &ready->bias)) ready->sparse.bias = &ready->bias;
    if (run->call->saved)
        ready->sparse.stats = (float *)run->call->saved + (head->b * p->H + head->h) * (int64_t)stats_floats(make, run->config, p);
}

void sq__pattern_forward(const sq_pattern_head *ready, const sq_run *run)
{
    sq__sparse_forward(&ready->sparse, run->kernels, ready->workspace);
}

void sq__pattern_backward(const sq_pattern_head *ready, const sq_run *run, const sq_head *head)
{
    const sq_dense_gradients gradients = { head->dout, head->dout_row, head->dq, head->dk, head->dv, head->dq_row, head->dk_row, head->dv_row, head->accumulate };
    sq__sparse_backward(&ready->sparse, &gradients, run->kernels, ready->workspace);
}

/* A run that also says what makes the patterns: heads are handed the run alone. */
typedef struct pattern_run { sq_run run; sq_pattern_fn make; } pattern_run;

static void forward_head(const sq_run *run, const sq_head *head)
{
    sq_pattern_head ready;
    sq__pattern_open(&ready, ((const pattern_run *)run)->make, run, head);
    sq__pattern_forward(&ready, run);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    sq_pattern_head ready;
    sq__pattern_open(&ready, ((const pattern_run *)run)->make, run, head);
    sq__pattern_backward(&ready, run, head);
}

void sq__pattern_forward_heads(sq_pattern_fn make, const sq_run *run)
{
    const pattern_run all = { *run, make };
    sq__for_heads(&all.run, sq__pattern_workspace(make, run->config, run->problem, SQ_FORWARD), forward_head);
}

void sq__pattern_backward_heads(sq_pattern_fn make, const sq_run *run)
{
    const pattern_run all = { *run, make };
    sq__for_heads(&all.run, sq__pattern_workspace(make, run->config, run->problem, SQ_BACKWARD), backward_head);
}
