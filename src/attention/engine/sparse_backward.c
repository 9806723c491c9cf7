/* Backward of the sparse engine, tile by tile as the forward: the equations of dense_backward.c with
 *   p_ij = exp2(s_ij - max_i - log2 sum_i),  delta_i = dout_i . out_i = sum_j p_ij dp_ij
 * SEPARATE has one delta per tile and row and no saved output of it: there the sum comes from a first walk through the chunks. */
#include <math.h>
#include <string.h>

#include "attention/engine/sparse_tile.h"

typedef struct backward {
    sparse_work work;
    const sq_dense_gradients *gradients;
    float *k, *v, *dk, *dv;             /* [chunk, D] [chunk, M] twice */
    float *q, *q_t, *dout, *dout_t;     /* [width, D] [D, width] (in units of log 2) [width, M] [M, width] */
    float *p, *ds, *dq_t;               /* [chunk, width] twice, [D, width] */
    float *max, *log_sum, *delta;       /* [width] */
    uint8_t *met_keys, *met_queries;    /* [N] [T] whether dk, dv and dq of a row hold something yet: no pass that writes zeros first */
} backward;

static size_t cut(backward *b, int64_t T, int64_t N, int64_t D, int64_t M, const sq_sparse_pattern *pattern, void *workspace)
{
    sq_cut piece = { workspace, 0 };
    const int64_t width = sq__sparse_width(T);
    sq__sparse_work_cut(&b->work, &piece, pattern);
    b->k = sq__cut_floats(&piece, b->work.chunk * D);
    b->v = sq__cut_floats(&piece, b->work.chunk * M);
    b->dk = sq__cut_floats(&piece, b->work.chunk * D);
    b->dv = sq__cut_floats(&piece, b->work.chunk * M);
    b->q = sq__cut_floats(&piece, width * D);
    b->q_t = sq__cut_floats(&piece, D * width);
    b->dout = sq__cut_floats(&piece, width * M);
    b->dout_t = sq__cut_floats(&piece, M * width);
    b->p = sq__cut_floats(&piece, b->work.chunk * width);
    b->ds = sq__cut_floats(&piece, b->work.chunk * width);
    b->dq_t = sq__cut_floats(&piece, D * width);
    b->max = sq__cut_floats(&piece, width);
    b->log_sum = sq__cut_floats(&piece, width);
    b->delta = sq__cut_floats(&piece, width);
    b->met_keys = sq__cut(&piece, (size_t)N);
    b->met_queries = sq__cut(&piece, (size_t)T);
    return piece.used;
}

static size_t backward_workspace(int64_t T, int64_t N, int64_t D, int64_t M, const sq_sparse_pattern *pattern)
{
    backward b;
    return cut(&b, T, N, D, M, pattern, NULL);
}

static void prepare(backward *b, int64_t index)
{
    sparse_work *w = &b->work;
    const sq_sparse *sparse = w->sparse;
    const bool merge = sparse->mode == SQ_SPARSE_MERGE;
    const sparse_stats stats = sq__sparse_stats(sparse, index);
    const int64_t D = sparse->D, M = sparse->M;

    sq__sparse_gather(b->q, sparse->q, sparse->q_row, w->query, w->queries, w->width, D, NULL);
    sq__dense_pack_transposed(b->q_t, b->q, D, 0, w->width, w->width, D, (float)(sparse->scale * DENSE_LOG2_E), w->kernels);
    sq__sparse_gather(b->dout, b->gradients->dout, b->gradients->dout_row, w->query, w->queries, w->width, M, NULL);
    for (int64_t c = 0; c < w->width; c++) {
        const int64_t row = c < w->queries ? w->query[c] : 0, at = merge ? row : c;
        b->max[c] = c < w->queries ? stats.max[at] : INFINITY;    /* columns that fill up the tile: probability 0 */
        b->log_sum[c] = c < w->queries ? stats.log_sum[at] : 0;
        b->delta[c] = 0;
        if (c >= w->queries) continue;
        if (merge) b->delta[c] = w->kernels->dot(b->dout + c * M, sparse->out + row * sparse->out_row, M);
        else if (w->tile.weight) w->kernels->scale(b->dout + c * M, w->tile.weight[c], M);
    }
    sq__dense_pack_transposed(b->dout_t, b->dout, M, 0, w->width, w->width, M, 1, w->kernels);
}

/* The chunk's scores in p, dp in ds. */
static void recompute(backward *b)
{
    sparse_work *w = &b->work;
    const sq_sparse *sparse = w->sparse;
    sq__tile_backward_products(&w->products, w->padded, w->width, sparse->D, sparse->M, false);
    sq__sparse_gather(b->k, sparse->k, sparse->k_row, w->key, w->keys, w->padded, sparse->D, sparse->key_keep);
    sq__sparse_gather(b->v, sparse->v, sparse->v_row, w->key, w->keys, w->padded, sparse->M, sparse->key_keep);
    sq__block_run(&w->products.scores, b->k, b->q_t, b->p);
    sq__sparse_rules(w, b->p);
    sq__block_run(&w->products.dprobability, b->v, b->dout_t, b->ds);
}

static void scatter_keys(const backward *b)
{
    const sparse_work *w = &b->work;
    const int64_t D = w->sparse->D, M = w->sparse->M;
    const sq_dense_gradients *g = b->gradients;
    for (int64_t j = 0; j < w->keys; j++) {
        const int64_t key = w->key[j];
        sq__sparse_put(g->dk + key * g->dk_row, b->dk + j * D, D, b->met_keys[key], w->kernels);
        sq__sparse_put(g->dv + key * g->dv_row, b->dv + j * M, M, b->met_keys[key], w->kernels);
        b->met_keys[key] = 1;
    }
}

static void chunk(backward *b)
{
    sparse_work *w = &b->work;
    const sq_sparse *sparse = w->sparse;
    w->kernels->softmax_tile_backward(b->p, b->ds, w->padded, w->width, b->max, b->log_sum, b->delta, sparse->scale);
    if (sparse->has_self_score) sq__sparse_set_self(w, b->ds, 0);
    if (sparse->bias)
        sq__bias_gradient(sparse->bias, b->ds, w->width, 1 / sparse->scale, &(sq_places){ w->queries, w->query, 0, 0 },
                          &(sq_places){ w->keys, w->key, 0, 0 });
    sq__block_run(&w->products.dvalues, b->p, b->dout, b->dv);
    sq__block_run(&w->products.dkeys, b->ds, b->q, b->dk);
    sq__block_run(&w->products.dqueries, b->k, b->ds, b->dq_t);
    scatter_keys(b);
}

/* delta of a tile; true if its only chunk still lies in p and ds. */
static bool sum_delta(backward *b)
{
    sparse_work *w = &b->work;
    int chunks = 0;
    for (; sq__sparse_next(w); chunks++) {
        recompute(b);
        w->kernels->softmax_tile_delta(b->p, b->ds, w->padded, w->width, b->max, b->log_sum, b->delta);
    }
    w->next = (sparse_cursor){ 0, 0 };
    return chunks == 1;
}

static void tile(backward *b, int64_t index)
{
    sparse_work *w = &b->work;
    const sq_sparse *sparse = w->sparse;
    const sq_dense_gradients *g = b->gradients;

    if (!sq__sparse_begin(w, index)) return;
    prepare(b, index);
    memset(b->dq_t, 0, (size_t)(sparse->D * w->width) * sizeof(float));
    bool computed = sparse->mode == SQ_SPARSE_SEPARATE && sum_delta(b);
    while (sq__sparse_next(w)) {
        if (!computed) recompute(b);
        computed = false;
        chunk(b);
    }
    w->kernels->transpose(b->q, sparse->D, b->dq_t, w->width, sparse->D, w->width);
    for (int64_t c = 0; c < w->queries; c++) {
        const int64_t row = w->query[c];
        sq__sparse_put(g->dq + row * g->dq_row, b->q + c * sparse->D, sparse->D, b->met_queries[row], w->kernels);
        b->met_queries[row] = 1;
    }
}

void sq__sparse_backward(const sq_sparse *sparse, const sq_dense_gradients *g, const sq_kernels *kernels, void *workspace)
{
    backward b = { .work = { .sparse = sparse, .kernels = kernels }, .gradients = g };
    cut(&b, sparse->T, sparse->N, sparse->D, sparse->M, sparse->pattern, workspace);
    memset(b.met_queries, 0, (size_t)sparse->T);
    memset(b.met_keys, g->accumulate_kv, (size_t)sparse->N);
    for (int64_t index = 0; index < sparse->pattern->tiles; index++) tile(&b, index);
    sq__sparse_zero_others(g->dq, g->dq_row, sparse->T, sparse->D, b.met_queries);
    sq__sparse_zero_others(g->dk, g->dk_row, sparse->N, sparse->D, b.met_keys);
    sq__sparse_zero_others(g->dv, g->dv_row, sparse->N, sparse->M, b.met_keys);
}

size_t sq__sparse_workspace(int64_t T, int64_t N, int64_t D, int64_t M, const sq_sparse_pattern *pattern, sq_sparse_mode mode, sq_pass pass)
{
    return pass == SQ_FORWARD ? sq__sparse_forward_workspace(T, D, M, pattern, mode) : backward_workspace(T, N, D, M, pattern);
}
