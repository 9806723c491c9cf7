/* The sets of the Sparse Transformer as tiles. Strided: tiles of neighbours for A1, tiles of equal residue for A2; a row is in one of
 * each. Fixed: 64 rows in order with the blocks they lie in and the summary positions outside of these. A key in both sets counts once. */
#include <string.h>

#include "attention/sparse_transformer.h"
#include "base/integers.h"

static size_t keep(const sq_factors *f, void *memory, sq_sparse_pattern *pattern)
{
    if (memory) memcpy(memory, f, sizeof *f);
    pattern->context = memory;
    return sizeof *f;
}

/* ---- strided ---- */

typedef struct strided_scratch {
    sq_sparse_run runs[2];
    sq_window_part part;
    int32_t before[SQ_SPARSE_QUERIES], behind[SQ_SPARSE_QUERIES];   /* where A1 begins and ends */
} strided_scratch;

/* The keys of a residue before the window and those behind it, each with its bound; near the tile's own rows they overlap. */
static void outside_window(const sq_factors *f, strided_scratch *s, sq_sparse_tile *tile)
{
    const sq_sparse_rows *queries = &s->part.queries, *keys = &s->part.keys;
    const int64_t first = queries->first, last = first + (queries->count - 1) * queries->step;
    for (int64_t c = 0; c < queries->count; c++) {
        const int64_t i = first + c * queries->step;
        s->before[c] = (int32_t)(i - f->window.before);
        s->behind[c] = (int32_t)(i + f->window.after + 1);
    }
    const int64_t seen = sq__most(0, last - f->window.before - keys->first), skipped = sq__most(0, first + f->window.after + 1 - keys->first);
    s->runs[0] = (sq_sparse_run){ .keys = *keys, .low = s->part.low, .high = s->before };
    s->runs[0].keys.count = sq__least(keys->count, (seen + keys->step - 1) / keys->step);
    tile->run_count = 1;
    if (f->causal) return;
    const int64_t left_out = sq__least(keys->count, (skipped + keys->step - 1) / keys->step);
    s->runs[1] = (sq_sparse_run){ .keys = *keys, .low = s->behind, .high = s->part.high };
    s->runs[1].keys.first += left_out * keys->step;
    s->runs[1].keys.count -= left_out;
    tile->run_count = 2;
}

static void strided_tile(const void *context, int64_t index, void *scratch, sq_sparse_tile *tile)
{
    const sq_factors *f = context;
    strided_scratch *s = scratch;
    const int64_t near_tiles = f->near ? sq__window_tiles(&f->window) : 0;
    const bool far = index >= near_tiles;
    sq__window_part(far ? &f->classes : &f->window, far ? index - near_tiles : index, &s->part);
    s->runs[0] = (sq_sparse_run){ .keys = s->part.keys, .low = s->part.low, .high = s->part.high };
    *tile = (sq_sparse_tile){ .queries = s->part.queries, .run_count = 1, .runs = s->runs };
    if (far && f->near) outside_window(f, s, tile);
}

size_t sq__strided_pattern(const sq_factors *f, void *memory, sq_sparse_pattern *pattern)
{
    const int64_t near = sq__window_most_keys(&f->window), far = sq__window_most_keys(&f->classes);
    *pattern = (sq_sparse_pattern){ .tile = strided_tile, .scratch_bytes = sizeof(strided_scratch), .once = !(f->near && f->far) };
    pattern->tiles = (f->near ? sq__window_tiles(&f->window) : 0) + (f->far ? sq__window_tiles(&f->classes) : 0);
    pattern->most_keys = sq__most(near, 2 * far);
    return keep(f, memory, pattern);
}

/* ---- fixed ---- */

typedef struct fixed_scratch {
    sq_sparse_run runs[3];
    int32_t start[SQ_SPARSE_QUERIES], end[SQ_SPARSE_QUERIES], bound[SQ_SPARSE_QUERIES], all[SQ_SPARSE_QUERIES], none[SQ_SPARSE_QUERIES];
} fixed_scratch;

/* The first summary position from j on. */
static int64_t next_summary(const sq_factors *f, int64_t j)
{
    if (f->fairseq) {
        const int64_t blocks = (j + f->stride - 1) / f->stride, start = sq__most(1, blocks) * f->stride - (f->to - f->from);
        return sq__most(j, start);
    }
    const int64_t offset = j % f->stride;
    return offset < f->to ? j - offset + sq__most(offset, f->from) : j - offset + f->stride + f->from;
}

/* Summary positions of [from, to), in order. */
static sq_sparse_rows list_summaries(const sq_factors *f, int64_t from, int64_t to, int32_t *rows)
{
    sq_sparse_rows list = { .rows = rows };
    for (int64_t j = next_summary(f, sq__most(0, from)); j < to; j = next_summary(f, j + 1)) rows[list.count++] = (int32_t)j;
    return list;
}

/* A1 of query i: [start, end) */
static void own_block(const sq_factors *f, int64_t i, int32_t *start, int32_t *end)
{
    int64_t block = i / f->stride * f->stride;
    if (f->fairseq && i > 0 && i == block) block -= f->stride;
    *start = (int32_t)block;
    *end = (int32_t)sq__least(f->causal ? i + 1 : f->N, block + f->stride + f->fairseq);
    *end = (int32_t)sq__least(*end, f->N);
}

static void fixed_tile(const void *context, int64_t index, void *scratch, sq_sparse_tile *tile)
{
    const sq_factors *f = context;
    fixed_scratch *s = scratch;
    int32_t *list = (int32_t *)(s + 1);
    const int64_t first = index * SQ_SPARSE_QUERIES, count = sq__least(SQ_SPARSE_QUERIES, f->T - first);
    for (int64_t c = 0; c < count; c++) {
        own_block(f, first + c, &s->start[c], &s->end[c]);
        s->bound[c] = (int32_t)(f->causal ? sq__least(f->N, first + c + 1) : f->N);
        s->none[c] = 0;
    }
    const int64_t from = s->start[0], to = s->end[count - 1];
    *tile = (sq_sparse_tile){ .queries = { .count = count, .first = first, .step = 1 }, .runs = s->runs };
    if (f->near) s->runs[tile->run_count++] = (sq_sparse_run){ .keys = { .count = sq__most(0, to - from), .first = from, .step = 1 }, .low = s->start, .high = s->end };
    if (!f->far) return;
    const int64_t seen_to = f->causal ? s->bound[count - 1] : f->N;
    if (!f->near) {
        s->runs[tile->run_count++] = (sq_sparse_run){ .keys = list_summaries(f, 0, seen_to, list), .low = s->none, .high = s->bound };
        return;
    }
    const sq_sparse_rows before = list_summaries(f, 0, sq__least(s->start[count - 1], f->N), list);
    s->runs[tile->run_count++] = (sq_sparse_run){ .keys = before, .low = s->none, .high = s->start };
    if (f->causal) return;
    const sq_sparse_rows behind = list_summaries(f, s->end[0], f->N, list + before.count);
    s->runs[tile->run_count++] = (sq_sparse_run){ .keys = behind, .low = s->end, .high = s->bound };
}

/* Summary positions among N, at most. */
static int64_t summaries(const sq_factors *f)
{
    const int64_t blocks = (f->N + f->stride - 1) / f->stride + f->fairseq, each = f->to - f->from + f->fairseq;
    return sq__least(f->N, blocks * each);
}

size_t sq__fixed_pattern(const sq_factors *f, void *memory, sq_sparse_pattern *pattern)
{
    const int64_t list = 2 * summaries(f);
    *pattern = (sq_sparse_pattern){ .tiles = (f->T + SQ_SPARSE_QUERIES - 1) / SQ_SPARSE_QUERIES, .tile = fixed_tile, .once = true,
                                    .scratch_bytes = sizeof(fixed_scratch) + (size_t)list * sizeof(int32_t) };
    pattern->most_keys = (f->near ? sq__least(f->N, SQ_SPARSE_QUERIES + 2 * f->stride + 1) : 0) + (f->far ? list : 0);
    return keep(f, memory, pattern);
}
