/* Which rows meet which queries: 64 queries in order a tile; a run of compressed rows and a run of keys. */
#include "attention/long_short.h"
#include "base/integers.h"

typedef struct scratch {
    sq_sparse_run runs[2];
    int32_t low[2][SQ_SPARSE_QUERIES], high[2][SQ_SPARSE_QUERIES];
} scratch;

/* Compressed rows [0, end) and keys [*from, *to) of query i. */
static int64_t visible(const sq_long_short_pattern *p, int64_t i, int64_t *from, int64_t *to)
{
    const sq_long_short_shape *s = &p->s;
    const int64_t block = i / s->window * s->window;
    *from = p->causal ? i - s->window + 1 : block - s->reach;
    *to = p->causal ? i + 1 : block + s->window + s->reach;
    if (*from < 0) *from = 0;
    *to = sq__least(*to, p->N);
    *from = sq__least(*from, *to);
    return p->causal ? sq__least((i + 1) / s->segment, s->segments) * s->landmarks : s->compressed;
}

static void give_tile(const void *context, int64_t index, void *memory, sq_sparse_tile *tile)
{
    const sq_long_short_pattern *p = context;
    scratch *at = memory;
    const int64_t first = index * SQ_SPARSE_QUERIES, count = sq__least(SQ_SPARSE_QUERIES, p->T - first), base = p->s.compressed;
    int64_t most = 0, start = 0, end = 0;
    bool same = true;
    for (int64_t c = 0; c < count; c++) {
        int64_t from, to;
        const int64_t rows = visible(p, first + c, &from, &to);
        at->low[0][c] = 0;
        at->high[0][c] = (int32_t)rows;
        at->low[1][c] = (int32_t)(base + from);
        at->high[1][c] = (int32_t)(base + to);
        same = same && at->low[1][c] == at->low[1][0] && at->high[1][c] == at->high[1][0] && at->high[0][c] == at->high[0][0];
        if (c == 0) start = from;
        start = sq__least(start, from);
        end = to > end ? to : end;
        most = rows > most ? rows : most;
    }
    at->runs[0] = (sq_sparse_run){ .keys = { .count = most, .step = 1 }, .low = same ? NULL : at->low[0], .high = same ? NULL : at->high[0] };
    at->runs[1] = (sq_sparse_run){ .keys = { .count = end > start ? end - start : 0, .first = base + start, .step = 1 },
                                   .low = same ? NULL : at->low[1], .high = same ? NULL : at->high[1] };
    *tile = (sq_sparse_tile){ .queries = { .count = count, .first = first, .step = 1 }, .run_count = 2, .runs = at->runs };
}

sq_sparse_pattern sq__long_short_tiles(const sq_long_short_pattern *p)
{
    const int64_t near = p->causal ? p->s.window + SQ_SPARSE_QUERIES : 2 * p->s.reach + 2 * p->s.window + SQ_SPARSE_QUERIES;
    return (sq_sparse_pattern){ .context = p, .tiles = (p->T + SQ_SPARSE_QUERIES - 1) / SQ_SPARSE_QUERIES, .tile = give_tile,
                                .scratch_bytes = sq__align_up(sizeof(scratch)), .most_keys = p->s.compressed + sq__least(near, p->N), .once = true };
}
