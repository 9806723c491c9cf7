/* Forward of the sparse engine: tile by tile, the keys of a tile in chunks. Where rows come back in later tiles (MERGE without
 * `once`) their unnormalised output waits in `out`, maximum and sum in the workspace. */
#include <math.h>
#include <string.h>

#include "attention/engine/sparse_tile.h"

typedef struct forward {
    sparse_work work;
    float *k, *v, *q, *s, *acc, *rows;  /* [chunk, D] [chunk, M] [D, width] [chunk, width] [M, width] [width, max(D, M)] */
    float *max, *sum, *factor;          /* [width] */
    float *row_max, *row_sum;           /* [T] where rows come back */
    uint8_t *met;                       /* [T] whether out of a row holds something yet: no pass that writes zeros first */
    bool waits;
} forward;

static size_t cut(forward *f, int64_t T, int64_t D, int64_t M, const sq_sparse_pattern *pattern, sq_sparse_mode mode, void *workspace)
{
    sq_cut piece = { workspace, 0 };
    const int64_t width = sq__sparse_width(T);
    sq__sparse_work_cut(&f->work, &piece, pattern);
    f->k = sq__cut_floats(&piece, f->work.chunk * D);
    f->v = sq__cut_floats(&piece, f->work.chunk * M);
    f->q = sq__cut_floats(&piece, D * width);
    f->s = sq__cut_floats(&piece, f->work.chunk * width);
    f->acc = sq__cut_floats(&piece, M * width);
    f->rows = sq__cut_floats(&piece, (D > M ? D : M) * width);
    f->max = sq__cut_floats(&piece, width);
    f->sum = sq__cut_floats(&piece, width);
    f->factor = sq__cut_floats(&piece, width);
    f->waits = mode == SQ_SPARSE_MERGE && !pattern->once;
    f->met = sq__cut(&piece, (size_t)T);
    f->row_max = sq__cut_floats(&piece, f->waits ? T : 0);
    f->row_sum = sq__cut_floats(&piece, f->waits ? T : 0);
    return piece.used;
}

size_t sq__sparse_forward_workspace(int64_t T, int64_t D, int64_t M, const sq_sparse_pattern *pattern, sq_sparse_mode mode)
{
    forward f;
    return cut(&f, T, D, M, pattern, mode, NULL);
}

static void chunk(forward *f, bool fresh)
{
    sparse_work *w = &f->work;
    const sq_sparse *sparse = w->sparse;
    sq__tile_forward_products(&w->products, w->padded, w->width, sparse->D, sparse->M);
    sq__sparse_gather(f->k, sparse->k, sparse->k_row, w->key, w->keys, w->padded, sparse->D, sparse->key_keep);
    sq__block_run(&w->products.scores, f->k, f->q, f->s);
    sq__sparse_rules(w, f->s);
    if (w->kernels->softmax_tile(f->s, w->padded, w->width, f->max, f->sum, f->factor) && !fresh)
        w->kernels->scale_columns(f->acc, f->factor, sparse->M, w->width);
    sq__sparse_gather(f->v, sparse->v, sparse->v_row, w->key, w->keys, w->padded, sparse->M, sparse->key_keep);
    sq__block_run(fresh ? &w->products.first_values : &w->products.values, f->v, f->s, f->acc);
}

/* The tile's rows as far as earlier tiles took them. */
static void take_up(forward *f)
{
    sparse_work *w = &f->work;
    const sq_sparse *sparse = w->sparse;
    for (int64_t c = 0; c < w->width; c++) {
        const bool known = f->waits && c < w->queries;
        f->max[c] = known ? f->row_max[w->query[c]] : -INFINITY;
        f->sum[c] = known ? f->row_sum[w->query[c]] : 0;
    }
    if (!f->waits) return;
    sq__sparse_gather(f->rows, sparse->out, sparse->out_row, w->query, w->queries, w->width, sparse->M, NULL);
    sq__dense_pack_transposed(f->acc, f->rows, sparse->M, 0, w->width, w->width, sparse->M, 1, w->kernels);
}

static float inverse(float sum) { return sum > 0 ? 1 / sum : sum; }   /* 0 for a row that saw nothing; NaN goes on */

static void keep_stats(const sparse_stats *stats, int64_t at, float max, float sum)
{
    if (!stats->max) return;
    stats->max[at] = sum == 0 ? INFINITY : max;      /* probabilities of 0 for a row that saw nothing */
    stats->log_sum[at] = sum == 0 ? 0 : log2f(sum);
}

static void put_down(forward *f, int64_t index)
{
    sparse_work *w = &f->work;
    const sq_sparse *sparse = w->sparse;
    const bool merge = sparse->mode == SQ_SPARSE_MERGE;
    const sparse_stats stats = sq__sparse_stats(sparse, index);

    for (int64_t c = 0; c < w->width; c++) {
        f->factor[c] = f->waits ? 1 : inverse(f->sum[c]);
        if (c >= w->queries) continue;
        if (f->waits) {
            f->row_max[w->query[c]] = f->max[c];
            f->row_sum[w->query[c]] = f->sum[c];
        } else {
            keep_stats(&stats, merge ? w->query[c] : c, f->max[c], f->sum[c]);
        }
        if (!merge && w->tile.weight) f->factor[c] *= w->tile.weight[c];
    }
    if (!f->waits) w->kernels->scale_columns(f->acc, f->factor, sparse->M, w->width);
    w->kernels->transpose(f->rows, sparse->M, f->acc, w->width, sparse->M, w->width);
    for (int64_t c = 0; c < w->queries; c++) {
        float *out = sparse->out + w->query[c] * sparse->out_row;
        sq__sparse_put(out, f->rows + c * sparse->M, sparse->M, !merge && f->met[w->query[c]], w->kernels);
        f->met[w->query[c]] = 1;
    }
}

static void tile(forward *f, int64_t index)
{
    sparse_work *w = &f->work;
    const sq_sparse *sparse = w->sparse;
    if (!sq__sparse_begin(w, index)) return;
    bool fresh = !f->waits;
    take_up(f);
    sq__sparse_gather(f->rows, sparse->q, sparse->q_row, w->query, w->queries, w->width, sparse->D, NULL);
    sq__dense_pack_transposed(f->q, f->rows, sparse->D, 0, w->width, w->width, sparse->D, (float)(sparse->scale * DENSE_LOG2_E), w->kernels);
    while (sq__sparse_next(w)) {
        chunk(f, fresh);
        fresh = false;
    }
    if (fresh) memset(f->acc, 0, (size_t)(sparse->M * w->width) * sizeof(float));
    put_down(f, index);
}

static void start_rows(forward *f)
{
    const sq_sparse *sparse = f->work.sparse;
    memset(f->met, 0, (size_t)sparse->T);
    if (!f->waits) return;
    sq__zero_rows(sparse->out, sparse->out_row, 0, sparse->T, sparse->M);
    for (int64_t i = 0; i < sparse->T; i++) f->row_max[i] = -INFINITY, f->row_sum[i] = 0;
}

static void finish_rows(forward *f)
{
    const sq_sparse *sparse = f->work.sparse;
    const sparse_stats stats = sq__sparse_stats(sparse, 0);
    for (int64_t i = 0; f->waits && i < sparse->T; i++) {
        f->work.kernels->scale(sparse->out + i * sparse->out_row, inverse(f->row_sum[i]), sparse->M);
        keep_stats(&stats, i, f->row_max[i], f->row_sum[i]);
    }
    if (f->waits || sparse->keep_out) return;
    sq__sparse_zero_others(sparse->out, sparse->out_row, sparse->T, sparse->M, f->met);
    for (int64_t i = 0; i < sparse->T && sparse->mode == SQ_SPARSE_MERGE; i++)
        if (!f->met[i]) keep_stats(&stats, i, 0, 0);
}

void sq__sparse_forward(const sq_sparse *sparse, const sq_kernels *kernels, void *workspace)
{
    forward f = { .work = { .sparse = sparse, .kernels = kernels } };
    cut(&f, sparse->T, sparse->D, sparse->M, sparse->pattern, sparse->mode, workspace);
    start_rows(&f);
    for (int64_t index = 0; index < sparse->pattern->tiles; index++) tile(&f, index);
    finish_rows(&f);
}
