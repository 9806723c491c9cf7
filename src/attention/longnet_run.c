/* Running LongNet's pairs: one merged softmax; the reference's conventions around it.
 *   padding: keys and values are copied with a row of zeros behind them, which every key beyond the sequence is
 *   constant mixture: with a_p constant, dout a_p goes through the softmax of each pair: the engine's separate mode, whose statistics are
 *   computed again in backward; a_p = Z_p / Z from them and the merged ones that forward saved */
#include "attention/longnet.h"

#include <math.h>
#include <string.h>

static size_t make(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    return sq__grid_pattern(sq__longnet_parts, at, memory, pattern);
}

typedef struct longnet_work {
    void *plain;                       /* what a head needs without conventions: the pattern's memory and the engine's */
    void *engine;
    float *k, *v, *dk, *dv;            /* padding: [N+1, D] [N+1, M] twice */
    uint8_t *keep;                     /* padding: [N+1] */
    float *stats, *weights, *rows;     /* constant: of the separate softmaxes; [tiles, 64]; [T, M] */
} longnet_work;

static bool padded(const sq_longnet_config *config, const sq_problem *p) { return config->padding && !p->causal; }

static size_t most(size_t a, size_t b) { return a > b ? a : b; }

static size_t engine_bytes(const sq_problem *p, const sq_sparse_pattern *bounds, bool constant, sq_pass pass)
{
    const int64_t keys = p->N + 1;
    const size_t bytes = sq__sparse_workspace(p->T, keys, p->D, p->M, bounds, SQ_SPARSE_MERGE, pass);
    if (!constant) return bytes;
    return most(bytes, most(sq__sparse_workspace(p->T, keys, p->D, p->M, bounds, SQ_SPARSE_SEPARATE, SQ_FORWARD),
                            sq__sparse_workspace(p->T, keys, p->D, p->M, bounds, SQ_SPARSE_SEPARATE, SQ_BACKWARD)));
}

/* Heads differ in the first position they keep: bounds over all. */
static sq_sparse_pattern bounds_of(const sq_longnet_config *config, const sq_problem *p)
{
    sq_sparse_pattern bounds = { .tiles = 0 };
    for (int64_t h = 0; h < p->H; h++) {
        sq_sparse_pattern one;
        make(&(sq_pattern_at){ .config = config, .problem = p, .h = h, .T = p->T, .N = p->N }, NULL, &one);
        if (one.tiles > bounds.tiles) bounds.tiles = one.tiles;
        if (one.most_keys > bounds.most_keys) bounds.most_keys = one.most_keys;
        if (one.scratch_bytes > bounds.scratch_bytes) bounds.scratch_bytes = one.scratch_bytes;
    }
    return bounds;
}

static size_t cut(const sq_longnet_config *config, const sq_problem *p, sq_pass pass, void *base, longnet_work *w)
{
    sq_cut piece = { base, 0 };
    const sq_sparse_pattern bounds = bounds_of(config, p);
    const bool constant = config->mixture == SQ_LONGNET_CONSTANT && pass == SQ_BACKWARD, padding = padded(config, p);
    const int64_t keys = padding ? p->N + 1 : 0, gradients = pass == SQ_BACKWARD ? keys : 0;
    w->plain = sq__cut(&piece, sq__pattern_workspace(make, config, p, pass));
    w->engine = sq__cut(&piece, constant || padding ? engine_bytes(p, &bounds, constant, pass) : 0);
    w->k = sq__cut_floats(&piece, keys * p->D);
    w->v = sq__cut_floats(&piece, keys * p->M);
    w->dk = sq__cut_floats(&piece, gradients * p->D);
    w->dv = sq__cut_floats(&piece, gradients * p->M);
    w->keep = sq__cut(&piece, (size_t)keys);
    w->stats = sq__cut_floats(&piece, constant ? (int64_t)sq__sparse_stats_floats(p->T, &bounds, SQ_SPARSE_SEPARATE) : 0);
    w->weights = sq__cut_floats(&piece, constant ? bounds.tiles * SQ_SPARSE_QUERIES : 0);
    w->rows = sq__cut_floats(&piece, constant ? p->T * p->M : 0);
    return piece.used;
}

static size_t thread_bytes(const void *config, const sq_problem *p, sq_pass pass)
{
    longnet_work w;
    return cut(config, p, pass, NULL, &w);
}

void sq__longnet_sizes(const void *config, const sq_problem *p, sq_sizes *sizes)
{
    sq__pattern_sizes(make, config, p, sizes);
    sizes->forward_workspace = thread_bytes(config, p, SQ_FORWARD) * (size_t)p->threads;
    sizes->backward_workspace = thread_bytes(config, p, SQ_BACKWARD) * (size_t)p->threads;
}

double sq__longnet_flops(const void *config, const sq_problem *p, sq_pass pass)
{
    return sq__pattern_flops(make, config, p, pass);
}

/* ---- padding ---- */

static void copy_rows(float *to, const float *from, int64_t row, int64_t rows, int64_t width)
{
    for (int64_t i = 0; i < rows; i++) memcpy(to + i * width, from + i * row, (size_t)width * sizeof *to);
    memset(to + rows * width, 0, (size_t)width * sizeof *to);
}

static void pad(const longnet_work *w, sq_sparse *sparse)
{
    const int64_t N = sparse->N;
    copy_rows(w->k, sparse->k, sparse->k_row, N, sparse->D);
    copy_rows(w->v, sparse->v, sparse->v_row, N, sparse->M);
    sparse->k = w->k, sparse->k_row = sparse->D;
    sparse->v = w->v, sparse->v_row = sparse->M;
    sparse->N = N + 1;
    if (!sparse->key_keep) return;
    memcpy(w->keep, sparse->key_keep, (size_t)N);
    w->keep[N] = 1;
    sparse->key_keep = w->keep;
}

static void give_rows(const sq_run *run, float *to, int64_t row, const float *from, int64_t rows, int64_t width, bool accumulate)
{
    for (int64_t i = 0; i < rows; i++) {
        if (accumulate) run->kernels->axpy(to + i * row, 1, from + i * width, width);
        else memcpy(to + i * row, from + i * width, (size_t)width * sizeof *to);
    }
}

/* ---- constant mixture ---- */

typedef struct weighted { const sq_sparse_pattern *pattern; const float *weights; } weighted;

static void weighted_tile(const void *context, int64_t index, void *scratch, sq_sparse_tile *tile)
{
    const weighted *all = context;
    all->pattern->tile(all->pattern->context, index, scratch, tile);
    tile->weight = all->weights + index * SQ_SPARSE_QUERIES;
}

/* Statistics are maximum and log-sum in units of log 2; a row that saw nothing has an infinite maximum. */
static void fill_weights(const sq_sparse *merged, const sq_sparse *separate, const longnet_work *w)
{
    const sq_sparse_pattern *pattern = merged->pattern;
    const float *all_max = merged->stats, *all_log_sum = merged->stats + merged->T;
    for (int64_t index = 0; index < pattern->tiles; index++) {
        const float *max = separate->stats + index * 2 * SQ_SPARSE_QUERIES, *log_sum = max + SQ_SPARSE_QUERIES;
        float *weights = w->weights + index * SQ_SPARSE_QUERIES;
        sq_sparse_tile tile = { .run_count = 0 };
        pattern->tile(pattern->context, index, w->engine, &tile);
        for (int64_t c = 0; c < tile.queries.count; c++) {
            const int64_t row = tile.queries.rows ? tile.queries.rows[c] : tile.queries.first + c * tile.queries.step;
            weights[c] = isinf(max[c]) ? 0 : exp2f(max[c] - all_max[row] + (log_sum[c] - all_log_sum[row]));
        }
    }
}

static void constant_backward(const sq_run *run, const sq_sparse *merged, const sq_dense_gradients *gradients, const longnet_work *w)
{
    sq_sparse separate = *merged;
    separate.mode = SQ_SPARSE_SEPARATE;
    separate.stats = w->stats;
    separate.out = w->rows;
    separate.out_row = merged->M;
    sq__sparse_forward(&separate, run->kernels, w->engine);
    fill_weights(merged, &separate, w);
    const weighted context = { merged->pattern, w->weights };
    sq_sparse_pattern pattern = *merged->pattern;
    pattern.context = &context;
    pattern.tile = weighted_tile;
    separate.pattern = &pattern;
    sq__sparse_backward(&separate, gradients, run->kernels, w->engine);
}

/* ---- one head ---- */

static void forward_head(const sq_run *run, const sq_head *head)
{
    longnet_work w;
    sq_pattern_head ready;
    cut(run->config, run->problem, SQ_FORWARD, head->workspace, &w);
    sq__pattern_open(&ready, make, run, head);
    if (padded(run->config, run->problem)) {
        pad(&w, &ready.sparse);
        ready.workspace = w.engine;
    }
    sq__pattern_forward(&ready, run);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    const sq_longnet_config *config = run->config;
    const sq_problem *p = run->problem;
    const bool padding = padded(config, p), constant = config->mixture == SQ_LONGNET_CONSTANT;
    longnet_work w;
    sq_pattern_head ready;
    cut(config, p, SQ_BACKWARD, head->workspace, &w);
    sq__pattern_open(&ready, make, run, head);
    if (!padding && !constant) {
        sq__pattern_backward(&ready, run, head);
        return;
    }
    sq_dense_gradients gradients = { head->dout, head->dout_row, head->dq, head->dk, head->dv, head->dq_row, head->dk_row, head->dv_row, head->accumulate };
    if (padding) {
        pad(&w, &ready.sparse);
        gradients.dk = w.dk, gradients.dk_row = p->D;
        gradients.dv = w.dv, gradients.dv_row = p->M;
        gradients.accumulate_kv = false;
    }
    if (constant) constant_backward(run, &ready.sparse, &gradients, &w);
    else sq__sparse_backward(&ready.sparse, &gradients, run->kernels, w.engine);
    if (!padding) return;
    give_rows(run, head->dk, head->dk_row, w.dk, head->N, p->D, head->accumulate);
    give_rows(run, head->dv, head->dv_row, w.dv, head->N, p->M, head->accumulate);
}

void sq__longnet_forward(const sq_run *run)
{
    sq__for_heads(run, thread_bytes(run->config, run->problem, SQ_FORWARD), forward_head);
}

void sq__longnet_backward(const sq_run *run)
{
    sq__for_heads(run, thread_bytes(run->config, run->problem, SQ_BACKWARD), backward_head);
}
