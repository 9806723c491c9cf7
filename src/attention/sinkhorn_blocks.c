/* Rows in blocks, and the sorted blocks behind them: mixtures or weighted copies, which the sparse engine takes as further keys. */
#include <math.h>
#include <string.h>

#include "attention/sinkhorn.h"

enum { QUERIES = SQ_SPARSE_QUERIES };

static int64_t sorted_blocks(const sq_sinkhorn_head *h) { return h->groups * (h->s.picks ? h->s.picks : 1); }

/* lucidrains' program puts the sorted keys in the place of the sorted values where it neither is causal nor cuts short. */
static bool keys_as_values(const sq_sinkhorn_head *h)
{
    const sq_sinkhorn_config *config = h->run->config;
    return config->convention == SQ_SINKHORN_LUCIDRAINS && !h->s.causal && !h->s.sortcut;
}

void sq__sinkhorn_pack(sq_sinkhorn_head *h)
{
    const int64_t D = h->run->problem->D, M = h->run->problem->M;
    for (int64_t r = 0; r < h->blocks * h->s.block; r++) {
        const int64_t row = r < h->n ? sq__sinkhorn_row(h, r) : h->n;
        h->keep[r] = r < h->n && sq__sinkhorn_has_key(h, row);
        if (h->keep[r]) memcpy(h->k + r * D, h->head->k + row * h->head->k_row, (size_t)D * sizeof(float));
        else memset(h->k + r * D, 0, (size_t)D * sizeof(float));
        if (h->keep[r]) memcpy(h->v + r * M, h->head->v + row * h->head->v_row, (size_t)M * sizeof(float));
        else memset(h->v + r * M, 0, (size_t)M * sizeof(float));
    }
}

void sq__sinkhorn_unpack(sq_sinkhorn_head *h)
{
    const int64_t D = h->run->problem->D, M = h->run->problem->M;
    for (int64_t r = 0; r < h->n; r++) {
        const int64_t row = sq__sinkhorn_row(h, r);
        if (!h->keep[r]) continue;
        h->run->kernels->axpy(h->head->dk + row * h->head->dk_row, 1, h->dk + r * D, D);
        h->run->kernels->axpy(h->head->dv + row * h->head->dv_row, 1, h->dv + r * M, M);
    }
}

/* ---- placing ---- */

static void place_mixtures(sq_sinkhorn_head *h)
{
    const int64_t b = h->s.block, first = h->blocks * b, D = b * h->run->problem->D, M = b * h->run->problem->M;
    for (int64_t i = 0; i < h->groups * h->blocks; i++) h->dscore[i] = expf(h->mix[i]);   /* free until the scores' gradient */
    sq__gemm(false, false, h->groups, D, h->blocks, 1, h->dscore, h->blocks, h->k, D, 0, h->k + h->blocks * D, D);
    sq__gemm(false, false, h->groups, M, h->blocks, 1, h->dscore, h->blocks, h->v, M, 0, h->v + h->blocks * M, M);
    for (int64_t r = 0; r < b; r++) {          /* a mixture's row exists where some block has it */
        bool any = false;
        for (int64_t v = 0; v < h->blocks; v++) any |= h->keep[v * b + r];
        for (int64_t u = 0; u < h->groups; u++) h->keep[first + u * b + r] = any;
    }
}

/* The row that sorted block s has at r: of k and v (rows of width `width` behind own), or NULL where it has none. */
static const float *source(const sq_sinkhorn_head *h, int64_t s, int64_t r, const float *rows, int tensor, int64_t width)
{
    const int32_t block = h->pick[s];
    if (block == SQ_SINKHORN_NULL) return h->run->call->tensors[tensor] + h->head->h * width;
    return block == SQ_SINKHORN_NO_BLOCK || !h->keep[block * h->s.block + r] ? NULL : rows + (block * h->s.block + r) * width;
}

static void copy(float *to, const float *from, float weight, int64_t width)
{
    for (int64_t d = 0; d < width; d++) to[d] = from ? weight * from[d] : 0;
}

static void place_picks(sq_sinkhorn_head *h)
{
    const int64_t b = h->s.block, D = h->run->problem->D, M = h->run->problem->M;
    bool any = false;
    for (int64_t v = 0; v < h->blocks; v++) any |= h->k_count[v] > 0;   /* without a key nothing is seen, nulls neither */
    for (int64_t s = 0; s < sorted_blocks(h); s++)
        for (int64_t r = 0; r < b; r++) {
            const int64_t to = (h->blocks + s) * b + r;
            const float *k = source(h, s, r, h->k, 0, D), *v = source(h, s, r, h->v, 1, M);
            h->keep[to] = k && any;
            copy(h->k + to * D, k, h->weight[s], D);
            copy(h->v + to * M, v, h->weight[s], M);
        }
}

void sq__sinkhorn_place(sq_sinkhorn_head *h)
{
    const int64_t D = h->run->problem->D, first = h->blocks * h->s.block * D, count = sorted_blocks(h) * h->s.block * D;
    if (h->s.picks) place_picks(h);
    else place_mixtures(h);
    if (keys_as_values(h)) memcpy(h->v + first, h->k + first, (size_t)count * sizeof(float));
}

/* ---- and back ---- */

static void mixtures_backward(sq_sinkhorn_head *h, bool values)
{
    const int64_t b = h->s.block, D = b * h->run->problem->D, M = b * h->run->problem->M;
    const float *dk = h->dk + h->blocks * D, *dv = h->dv + h->blocks * M;
    sq__gemm(false, true, h->groups, h->blocks, D, 1, dk, D, h->k, D, 0, h->dmix, h->blocks);
    sq__gemm(true, false, h->blocks, D, h->groups, 1, h->dscore, h->blocks, dk, D, 1, h->dk, D);
    if (!values) return;
    sq__gemm(false, true, h->groups, h->blocks, M, 1, dv, M, h->v, M, 1, h->dmix, h->blocks);
    sq__gemm(true, false, h->blocks, M, h->groups, 1, h->dscore, h->blocks, dv, M, 1, h->dv, M);
}

/* Of one side: what the copy's row gives to its weight and to the row that was copied (a null's: to dnull). */
static float row_backward(const sq_sinkhorn_head *h, int64_t s, int64_t r, const float *rows, float *drows, float *dnull, int tensor, int64_t width)
{
    const float *from = source(h, s, r, rows, tensor, width), *d = drows + ((h->blocks + s) * h->s.block + r) * width;
    if (!from) return 0;
    float *to = h->pick[s] == SQ_SINKHORN_NULL ? dnull : drows + (h->pick[s] * h->s.block + r) * width;
    h->run->kernels->axpy(to, h->weight[s], d, width);
    return h->run->kernels->dot(from, d, width);
}

static void picks_backward(sq_sinkhorn_head *h, bool values)
{
    const int64_t D = h->run->problem->D, M = h->run->problem->M;
    for (int64_t s = 0; s < sorted_blocks(h); s++) {
        double d = 0;
        for (int64_t r = 0; r < h->s.block; r++) {
            d += row_backward(h, s, r, h->k, h->dk, h->dnull, 0, D);
            if (values) d += row_backward(h, s, r, h->v, h->dv, h->dnull + D, 1, M);
        }
        h->dweight[s] = (float)d;
    }
}

void sq__sinkhorn_place_backward(sq_sinkhorn_head *h)
{
    const int64_t D = h->run->problem->D, M = h->run->problem->M, first = h->blocks * h->s.block * D, count = sorted_blocks(h) * h->s.block * D;
    const bool values = !keys_as_values(h);
    memset(h->dnull, 0, (size_t)(D + M) * sizeof *h->dnull);
    if (!values) h->run->kernels->axpy(h->dk + first, 1, h->dv + first, count);
    if (h->s.picks) picks_backward(h, values);
    else mixtures_backward(h, values);
}

/* ---- tiles ---- */

typedef struct tile_scratch {
    sq_sparse_run runs[2];
    int32_t rows[QUERIES], low[QUERIES], high[QUERIES], none[QUERIES], sorted[QUERIES];
} tile_scratch;

/* Rows that the turn has brought from the beginning to the end see none but each other: all else is later than they, or earlier
 * blocks would be. */
static void tile(const void *context, int64_t index, void *scratch, sq_sparse_tile *to)
{
    const sq_sinkhorn_head *h = context;
    tile_scratch *t = scratch;
    const int64_t b = h->s.block, parts = (b + QUERIES - 1) / QUERIES, u = index / parts, from = u * b + index % parts * QUERIES;
    const int64_t end = (u + 1) * b < h->n ? (u + 1) * b : h->n, turned = h->n - h->shift, per_group = h->s.picks ? h->s.picks : 1;
    int64_t count = 0;
    for (int64_t r = from; r < end && r < from + QUERIES; r++) {
        const int64_t row = sq__sinkhorn_row(h, r);
        if (!sq__sinkhorn_has_query(h, row)) continue;
        t->rows[count] = (int32_t)row;
        t->low[count] = r >= turned ? (int32_t)turned : 0;
        t->high[count] = (int32_t)r + 1;
        t->none[count] = 0;
        t->sorted[count++] = r >= turned ? 0 : INT32_MAX;
    }
    const int64_t group = h->groups == 1 ? 0 : u;
    t->runs[0] = (sq_sparse_run){ .keys = { .count = per_group * b, .first = (h->blocks + group * per_group) * b, .step = 1 } };
    t->runs[1] = (sq_sparse_run){ .keys = { .count = end - u * b, .first = u * b, .step = 1 } };
    if (h->s.causal) t->runs[1].low = t->low, t->runs[1].high = t->high;
    if (h->s.causal && end > turned) t->runs[0].low = t->none, t->runs[0].high = t->sorted;
    *to = (sq_sparse_tile){ .queries = { .count = count, .rows = t->rows }, .run_count = 2, .runs = t->runs };
}

sq_sparse_pattern sq__sinkhorn_pattern(const sq_sinkhorn_head *h)
{
    return (sq_sparse_pattern){ .context = h, .tiles = h->blocks * ((h->s.block + QUERIES - 1) / QUERIES), .tile = tile,
                                .scratch_bytes = sizeof(tile_scratch), .most_keys = ((h->s.picks ? h->s.picks : 1) + 1) * h->s.block, .once = true };
}
