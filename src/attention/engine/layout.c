#include "attention/engine/layout.h"
#include "base/integers.h"

typedef struct scratch { int32_t low[SQ_SPARSE_QUERIES], high[SQ_SPARSE_QUERIES]; sq_sparse_run runs[]; } scratch;

static int64_t tiles_per_block(const sq_layout *l) { return sq__divide_up(sq__least(l->block, l->T), SQ_SPARSE_QUERIES); }

/* Neighbouring blocks are one run. */
static void fill_tile(const void *context, int64_t index, void *room, sq_sparse_tile *tile)
{
    const sq_layout *l = context;
    scratch *s = room;
    const int64_t query = index / tiles_per_block(l), blocks = sq__divide_up(l->N, l->block), end = sq__least(l->T, (query + 1) * l->block);
    const int64_t first = query * l->block + index % tiles_per_block(l) * SQ_SPARSE_QUERIES;
    const uint8_t *seen = l->seen + query * blocks;
    *tile = (sq_sparse_tile){ .queries = { .count = first < end ? sq__least(SQ_SPARSE_QUERIES, end - first) : 0, .first = first, .step = 1 }, .runs = s->runs };
    for (int64_t x = 0; x < tile->queries.count; x++) s->low[x] = 0, s->high[x] = (int32_t)(first + x + 1);
    for (int64_t from = 0, to; from < blocks; from = to + 1) {
        for (to = from; to < blocks && seen[to]; to++) {}
        const sq_sparse_rows keys = { .count = sq__least(l->N, to * l->block) - from * l->block, .first = from * l->block, .step = 1 };
        if (to > from) s->runs[tile->run_count++] = (sq_sparse_run){ .keys = keys, .low = l->causal ? s->low : NULL, .high = l->causal ? s->high : NULL };
    }
}

sq_sparse_pattern sq__layout_pattern(const sq_layout *l)
{
    return (sq_sparse_pattern){
        .context = l, .tiles = sq__divide_up(l->T, l->block) * tiles_per_block(l), .tile = fill_tile, .most_keys = l->N, .once = true,
        .scratch_bytes = sizeof(scratch) + (size_t)(sq__divide_up(l->N, l->block) / 2 + 1) * sizeof(sq_sparse_run),
    };
}
