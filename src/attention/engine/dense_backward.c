/* Backward of the dense engine, arXiv:2205.14135 appendix B.2, in the order of the forward: with p recomputed from lse,
 *   delta_i = dout_i . out_i - dlse_i     dv_j = sum_i p_ij dout_i     dp_ij = dout_i . v_j
 *   ds_ij = scale p_ij (dp_ij - delta_i)     dq_i = sum_j ds_ij k_j     dk_j = sum_i ds_ij q_i     dbias_(j-i) += ds_ij / scale
 * dk, dv of a span gather in the workspace; dq gathers in place from span to span. */
#include <math.h>
#include <string.h>

#include "attention/engine/dense_tile.h"
#include "base/integers.h"

typedef struct backward {
    const sq_dense *dense;
    const sq_dense_gradients *gradients;
    const sq_kernels *kernels;
    int64_t tile;                       /* queries in a tile: the last is as narrow as its queries allow */
    float *k, *v, *dk, *dv;             /* [span, D] [span, M] [span, D] [span, M] */
    float *q, *q_t, *dout, *dout_t;     /* [tile, D] [D, tile] (in units of log 2) [tile, M] [M, tile] */
    float *p, *ds, *dq_t;               /* [TILE_N, tile] twice, [D, tile] */
    float *lse, *delta;                 /* [T rounded up]; lse in units of log 2 */
    tile_products products;
} backward;

static size_t cut(backward *b, int64_t T, int64_t N, int64_t D, int64_t M, void *workspace)
{
    sq_cut piece = { workspace, 0 };
    const int64_t span = dense_span(N), tile = dense_tile_t(T), rows = sq__round_up(T, TILE_STEP);
    b->k = sq__cut_floats(&piece, span * D);
    b->v = sq__cut_floats(&piece, span * M);
    b->dk = sq__cut_floats(&piece, span * D);
    b->dv = sq__cut_floats(&piece, span * M);
    b->q = sq__cut_floats(&piece, tile * D);
    b->q_t = sq__cut_floats(&piece, D * tile);
    b->dout = sq__cut_floats(&piece, tile * M);
    b->dout_t = sq__cut_floats(&piece, M * tile);
    b->p = sq__cut_floats(&piece, dense_tile_n(N) * tile);
    b->ds = sq__cut_floats(&piece, dense_tile_n(N) * tile);
    b->dq_t = sq__cut_floats(&piece, D * tile);
    b->lse = sq__cut_floats(&piece, rows);
    b->delta = sq__cut_floats(&piece, rows);
    return piece.used;
}

size_t sq__dense_backward_workspace(int64_t T, int64_t N, int64_t D, int64_t M)
{
    backward b;
    return cut(&b, T, N, D, M, NULL);
}

static void prepare_rows(backward *b)
{
    const sq_dense *dense = b->dense;
    const sq_dense_gradients *g = b->gradients;
    const int64_t rows = sq__round_up(dense->T, TILE_STEP);
    for (int64_t i = 0; i < dense->T; i++) {
        b->lse[i] = dense->lse[i] == -INFINITY ? INFINITY : (float)(dense->lse[i] * DENSE_LOG2_E);
        b->delta[i] = b->kernels->dot(g->dout + i * g->dout_row, dense->out + i * dense->out_row, dense->M) - (dense->dlse ? dense->dlse[i] : 0);
    }
    for (int64_t i = dense->T; i < rows; i++) {   /* rows that fill up the last tile: probability 0 */
        b->lse[i] = INFINITY;
        b->delta[i] = 0;
    }
}

static void key_tile(backward *b, int64_t i0, int64_t queries, int64_t at, int64_t j0, int64_t keys)
{
    const sq_dense *dense = b->dense;
    const int64_t padded = sq__round_up(keys, TILE_STEP);
    const sq_places rows = { queries, NULL, i0, 1 }, columns = { keys, NULL, j0, 1 };

    sq__tile_backward_products(&b->products, padded, b->tile, dense->D, dense->M, true);
    sq__block_run(&b->products.scores, b->k + at * dense->D, b->q_t, b->p);
    if (dense->bias) sq__bias_add(dense->bias, b->p, b->tile, &rows, &columns);
    if (dense->scores) dense->scores->add(dense->scores->context, b->p, b->tile, i0, queries, j0, keys);
    sq__dense_mask(dense, b->p, i0, queries, b->tile, j0, keys, padded);
    sq__block_run(&b->products.dprobability, b->v + at * dense->M, b->dout_t, b->ds);
    b->kernels->softmax_tile_backward(b->p, b->ds, padded, b->tile, b->lse + i0, NULL, b->delta + i0, dense->scale);
    if (dense->bias) sq__bias_gradient(dense->bias, b->ds, b->tile, 1 / dense->scale, &rows, &columns);
    if (dense->scores) dense->scores->gradient(dense->scores->context, b->ds, b->tile, 1 / dense->scale, i0, queries, j0, keys);
    sq__block_run(&b->products.dvalues, b->p, b->dout, b->dv + at * dense->M);
    sq__block_run(&b->products.dkeys, b->ds, b->q, b->dk + at * dense->D);
    sq__block_run(&b->products.dqueries, b->k + at * dense->D, b->ds, b->dq_t);
}

static void query_tile(backward *b, int64_t i0, int64_t span0, int64_t span_end)
{
    const sq_dense *dense = b->dense;
    const sq_dense_gradients *g = b->gradients;
    const int64_t D = dense->D, M = dense->M, queries = sq__least(TILE_T, dense->T - i0);
    const int64_t stop = sq__least(span_end, dense_visible_end(dense, i0, queries));

    if (span0 > 0 && span0 >= stop) return;
    b->tile = dense_tile_t(queries);
    sq__dense_pack(b->q, dense->q, dense->q_row, i0, queries, b->tile, D, NULL);
    sq__dense_pack_transposed(b->q_t, b->q, D, 0, b->tile, b->tile, D, (float)(dense->scale * DENSE_LOG2_E), b->kernels);
    sq__dense_pack(b->dout, g->dout, g->dout_row, i0, queries, b->tile, M, NULL);
    sq__dense_pack_transposed(b->dout_t, b->dout, M, 0, b->tile, b->tile, M, 1, b->kernels);
    memset(b->dq_t, 0, (size_t)(D * b->tile) * sizeof(float));
    for (int64_t j0 = span0; j0 < stop; j0 += TILE_N) key_tile(b, i0, queries, j0 - span0, j0, sq__least(TILE_N, stop - j0));
    if (span0 == 0) {
        b->kernels->transpose(g->dq + i0 * g->dq_row, g->dq_row, b->dq_t, b->tile, D, queries);
        return;
    }
    b->kernels->transpose(b->q, D, b->dq_t, b->tile, D, queries);
    for (int64_t i = 0; i < queries; i++) b->kernels->axpy(g->dq + (i0 + i) * g->dq_row, 1, b->q + i * D, D);
}

static void store(float *to, int64_t row, const float *from, int64_t count, int64_t width, bool accumulate, const sq_kernels *kernels)
{
    for (int64_t i = 0; i < count; i++) {
        if (accumulate) kernels->axpy(to + i * row, 1, from + i * width, width);
        else memcpy(to + i * row, from + i * width, (size_t)width * sizeof *to);
    }
}

void sq__dense_backward(const sq_dense *dense, const sq_dense_gradients *g, const sq_kernels *kernels, void *workspace)
{
    backward b = { .dense = dense, .gradients = g, .kernels = kernels };
    cut(&b, dense->T, dense->N, dense->D, dense->M, workspace);
    prepare_rows(&b);
    for (int64_t span0 = 0; span0 == 0 || span0 < dense->N; span0 += SPAN_N) {
        const int64_t count = sq__least(SPAN_N, dense->N - span0), padded = sq__round_up(count, TILE_STEP);
        sq__dense_pack(b.k, dense->k, dense->k_row, span0, count, padded, dense->D, dense->key_keep);
        sq__dense_pack(b.v, dense->v, dense->v_row, span0, count, padded, dense->M, dense->key_keep);
        memset(b.dk, 0, (size_t)(padded * dense->D) * sizeof(float));
        memset(b.dv, 0, (size_t)(padded * dense->M) * sizeof(float));
        for (int64_t i0 = 0; i0 < dense->T; i0 += TILE_T) query_tile(&b, i0, span0, span0 + count);
        store(g->dk + span0 * g->dk_row, g->dk_row, b.dk, count, dense->D, g->accumulate_kv, kernels);
        store(g->dv + span0 * g->dv_row, g->dv_row, b.dv, count, dense->M, g->accumulate_kv, kernels);
    }
}
