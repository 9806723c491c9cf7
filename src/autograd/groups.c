#include "autograd/groups.h"

enum { MOST_GROUPS = 16, LEAST_BLOCKS = 4, MOST_PARTIAL = 1 << 23 };   /* MOST_PARTIAL floats: 32 MiB of partial sums */

typedef struct groups {
    const sq_row_work *work;
    int64_t block, blocks, count, partial;   /* rows of a block; blocks; groups; floats of one group's partial sums */
    float *partials, *scratch;
} groups;

static void run_group(void *context, int64_t group, int thread)
{
    const groups *g = context;
    const sq_row_work *work = g->work;
    float *sums[SQ_GROUP_SUMS], *at = g->partials ? g->partials + group * g->partial : NULL;
    for (int i = 0; i < SQ_GROUP_SUMS; i++) {
        sums[i] = work->sums[i];
        if (!work->sums[i] || !at) continue;
        sums[i] = at;
        memset(at, 0, (size_t)work->lengths[i] * sizeof(float));
        at += work->lengths[i];
    }
    for (int64_t block = g->blocks * group / g->count; block < g->blocks * (group + 1) / g->count; block++)
        work->run(work->context, block * g->block, sq__least(work->rows, (block + 1) * g->block), sums,
                  g->scratch ? g->scratch + thread * work->scratch : NULL);
}

static void add_partials(void *context, int64_t from, int64_t to)   /* of the concatenated sums */
{
    const groups *g = context;
    int64_t start = 0;
    for (int i = 0; i < SQ_GROUP_SUMS; i++) {
        if (!g->work->sums[i]) continue;
        int64_t first = from > start ? from : start, end = sq__least(to, start + g->work->lengths[i]);
        for (int64_t group = 0; first < end && group < g->count; group++)
            sq__kernels()->axpy(g->work->sums[i] + (first - start), 1.0f, g->partials + group * g->partial + first, end - first);
        start += g->work->lengths[i];
    }
}

void sq__run_rows(sq_tape *tape, const sq_row_work *work)
{
    groups g = { .work = work, .block = work->block ? work->block : SQ_ROWS };
    g.blocks = (work->rows + g.block - 1) / g.block;
    sq_buffer *partials = NULL, *scratch = NULL;
    for (int i = 0; i < SQ_GROUP_SUMS; i++) g.partial += work->sums[i] ? work->lengths[i] : 0;
    g.count = g.blocks;
    if (g.partial) {
        g.count = sq__least(sq__least(MOST_GROUPS, g.blocks / LEAST_BLOCKS), MOST_PARTIAL / g.partial);
        if (g.count < 1) g.count = 1;
    }
    if (g.partial && g.count > 1) {
        partials = sq__scratch(tape, (size_t)(g.count * g.partial) * sizeof(float));
        if (!partials) return;
        g.partials = sq__floats(partials);
    }
    if (work->scratch) {
        scratch = sq__scratch(tape, (size_t)(sq__threads() * work->scratch) * sizeof(float));
        if (scratch) g.scratch = sq__floats(scratch);
    }
    if (!work->scratch || scratch) {
        sq__parallel(sq__threads(), g.count, run_group, &g);
        if (partials) sq__for_range(g.partial, SQ_ELEMENTS, add_partials, &g);
    }
    sq__pool_release(tape->pool, scratch);
    sq__pool_release(tape->pool, partials);
}

void sq__add_product(float *d, int64_t m, int64_t n, int64_t rows, const float *y, int64_t ldy, const float *x, int64_t ldx)
{
    enum { PIECE = 512 };              /* rows that stay in the cache while d is passed over */
    for (int64_t at = 0; at < rows; at += PIECE)
        sq__gemm_parallel(sq__threads(), true, false, m, n, sq__least(PIECE, rows - at), 1, y + at * ldy, ldy, x + at * ldx, ldx, 1, d, n);
}
