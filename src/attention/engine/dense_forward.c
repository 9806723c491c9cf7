/* Forward of the dense engine: spans of keys outside, query tiles inside, key tiles of the span innermost. Between spans a
 * query tile's unnormalised output waits in `out`, its maximum and sum in the workspace. */
#include <math.h>
#include <string.h>

#include "attention/engine/dense_tile.h"
#include "base/integers.h"

typedef struct forward {
    const sq_dense *dense;
    const sq_kernels *kernels;
    int64_t tile;                       /* queries in a tile: the last is as narrow as its queries allow */
    float *k, *v;                       /* [span, D] [span, M] */
    float *q, *s, *acc;                 /* [D, tile] [TILE_N, tile] [M, tile] */
    float *max, *sum, *factor;          /* [T rounded up] twice, [tile] */
    tile_products products;
} forward;

static size_t cut(forward *f, int64_t T, int64_t N, int64_t D, int64_t M, void *workspace)
{
    sq_cut piece = { workspace, 0 };
    const int64_t span = dense_span(N), tile = dense_tile_t(T), rows = sq__round_up(T, TILE_STEP);
    f->k = sq__cut_floats(&piece, span * D);
    f->v = sq__cut_floats(&piece, span * M);
    f->q = sq__cut_floats(&piece, D * tile);
    f->s = sq__cut_floats(&piece, dense_tile_n(N) * tile);
    f->acc = sq__cut_floats(&piece, M * tile);
    f->max = sq__cut_floats(&piece, rows);
    f->sum = sq__cut_floats(&piece, rows);
    f->factor = sq__cut_floats(&piece, tile);
    return piece.used;
}

size_t sq__dense_forward_workspace(int64_t T, int64_t N, int64_t D, int64_t M)
{
    forward f;
    return cut(&f, T, N, D, M, NULL);
}

static void rescale(forward *f)
{
    f->kernels->scale_columns(f->acc, f->factor, f->dense->M, f->tile);
}

static void key_tile(forward *f, int64_t i0, int64_t queries, int64_t span0, int64_t j0, int64_t keys)
{
    const sq_dense *dense = f->dense;
    const int64_t padded = sq__round_up(keys, TILE_STEP);
    const float *k = f->k + (j0 - span0) * dense->D, *v = f->v + (j0 - span0) * dense->M;

    sq__tile_forward_products(&f->products, padded, f->tile, dense->D, dense->M);
    sq__block_run(&f->products.scores, k, f->q, f->s);
    if (dense->bias) sq__bias_add(dense->bias, f->s, f->tile, &(sq_places){ queries, NULL, i0, 1 }, &(sq_places){ keys, NULL, j0, 1 });
    if (dense->scores) dense->scores->add(dense->scores->context, f->s, f->tile, i0, queries, j0, keys);
    sq__dense_mask(dense, f->s, i0, queries, f->tile, j0, keys, padded);
    if (f->kernels->softmax_tile(f->s, padded, f->tile, f->max + i0, f->sum + i0, f->factor)) rescale(f);
    sq__block_run(&f->products.values, v, f->s, f->acc);
}

/* out = (acc / sum)'; lse = ln 2 (max + log2 sum) */
static void finish(forward *f, int64_t i0, int64_t queries)
{
    const sq_dense *dense = f->dense;
    for (int64_t c = 0; c < f->tile; c++) f->factor[c] = f->sum[i0 + c] > 0 ? 1 / f->sum[i0 + c] : f->sum[i0 + c];
    rescale(f);
    for (int64_t c = 0; dense->lse && c < queries; c++)
        dense->lse[i0 + c] = f->sum[i0 + c] == 0 ? -INFINITY : (float)((f->max[i0 + c] + log2(f->sum[i0 + c])) * DENSE_LN_2);
}

static void query_tile(forward *f, int64_t i0, int64_t span0, int64_t span_end)
{
    const sq_dense *dense = f->dense;
    const int64_t queries = sq__least(TILE_T, dense->T - i0), end = dense_visible_end(dense, i0, queries);

    if (span0 > 0 && span0 >= end) return;     /* finished in an earlier span */
    f->tile = dense_tile_t(queries);
    if (span0 == 0) {
        memset(f->acc, 0, (size_t)(dense->M * f->tile) * sizeof(float));
        memset(f->sum + i0, 0, (size_t)f->tile * sizeof(float));
        for (int64_t c = 0; c < f->tile; c++) f->max[i0 + c] = -INFINITY;
    } else {
        sq__dense_pack_transposed(f->acc, dense->out, dense->out_row, i0, queries, f->tile, dense->M, 1, f->kernels);
    }
    sq__dense_pack_transposed(f->q, dense->q, dense->q_row, i0, queries, f->tile, dense->D, (float)(dense->scale * DENSE_LOG2_E), f->kernels);
    const int64_t stop = sq__least(span_end, end);
    for (int64_t j0 = span0; j0 < stop; j0 += TILE_N) key_tile(f, i0, queries, span0, j0, sq__least(TILE_N, stop - j0));
    if (span_end >= end) finish(f, i0, queries);
    f->kernels->transpose(dense->out + i0 * dense->out_row, dense->out_row, f->acc, f->tile, dense->M, queries);
}

void sq__dense_forward(const sq_dense *dense, const sq_kernels *kernels, void *workspace)
{
    forward f = { .dense = dense, .kernels = kernels };
    cut(&f, dense->T, dense->N, dense->D, dense->M, workspace);
    for (int64_t span0 = 0; span0 == 0 || span0 < dense->N; span0 += SPAN_N) {
        const int64_t count = sq__least(SPAN_N, dense->N - span0), padded = sq__round_up(count, TILE_STEP);
        sq__dense_pack(f.k, dense->k, dense->k_row, span0, count, padded, dense->D, dense->key_keep);
        sq__dense_pack(f.v, dense->v, dense->v_row, span0, count, padded, dense->M, dense->key_keep);
        for (int64_t i0 = 0; i0 < dense->T; i0 += TILE_T) query_tile(&f, i0, span0, span0 + count);
    }
}
