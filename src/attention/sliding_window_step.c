/* Streaming of the causal sliding window: the state is a ring of the keys and values that later queries can still see.
 *   state: rows seen of each batch entry (int64) [B], whether each row of the ring may be seen [B, ring], keys [B, Hk, ring, D],
 *   values [B, Hk, ring, M]; row p of an entry is row p mod ring
 * The ring holds 64 rows more than a window reaches back, so that 64 new rows are taken in before they are answered. A window that reaches
 * back more than 1,048,576 rows is not streamed: it stands for all earlier keys, and no state of a size worth naming holds these. */
#include <string.h>

#include "attention/engine/window.h"
#include "attention/sliding_window.h"
#include "base/integers.h"
#include "base/parallel.h"

enum { PIECE = SQ_SPARSE_QUERIES, LONGEST = 1 << 20 };

typedef struct ring { int64_t rows; uint8_t *keep; float *k, *v; int64_t *seen; } ring;

/* Rows that the furthest key lies before its query. */
static int64_t reach(const sq_window_config *config, const sq_problem *p)
{
    int64_t most = 1;
    if (config->block) return ((config->window + config->block - 1) / config->block + 1) * config->block - 1;
    for (int64_t h = 0; h < p->H; h++) {
        const int64_t dilation = sq__dilation(config->dilation, h);
        most = dilation > most ? dilation : most;
    }
    return config->window * most;
}

static size_t cut(ring *r, const sq_window_config *config, const sq_problem *p, void *state)
{
    sq_cut piece = { state, 0 };
    r->rows = reach(config, p) + PIECE;
    r->seen = sq__cut(&piece, (size_t)p->B * sizeof *r->seen);
    r->keep = sq__cut(&piece, (size_t)(p->B * r->rows));
    r->k = sq__cut_floats(&piece, p->B * p->Hk * r->rows * p->D);
    r->v = sq__cut_floats(&piece, p->B * p->Hk * r->rows * p->M);
    return piece.used;
}

/* A self score and a bias go by rows of q and k, which a ring does not keep; a mask by pairs has no meaning for a piece. */
size_t sq__window_state_bytes(const void *config, const sq_problem *p)
{
    ring r;
    const sq_window_config *c = config;
    return !p->causal || c->self_score != 0 || p->mask || p->bias != SQ_BIAS_NONE || reach(c, p) > LONGEST ? 0 : cut(&r, c, p, NULL);
}

void sq__window_state_reset(const void *config, const sq_problem *p, void *state)
{
    ring r;
    memset(state, 0, cut(&r, config, p, NULL));   /* also what is not yet seen: equal states have equal bytes */
}

/* ---- the pattern of a piece ---- */

typedef struct piece {
    const sq_run *run;
    const sq_window_config *config;
    ring ring;
    int64_t first, count;              /* rows first .. of the call */
} piece;

/* count: rows to answer, the from-th and later of the entry, whose keys end before the end-th. */
typedef struct head_context { const piece *piece; int64_t dilation, count, from, end; } head_context;

enum { TURNS = 2 };                    /* a window lies in two turns of the ring at most */
typedef struct piece_scratch { sq_sparse_run runs[TURNS]; int32_t low[TURNS][PIECE], high[TURNS][PIECE]; } piece_scratch;

/* First position that the query at `position` sees. */
static int64_t window_start(const head_context *c, int64_t position)
{
    const sq_window_config *config = c->piece->config;
    if (!config->block) return sq__most(0, position - config->window * c->dilation);
    const int64_t before = (config->window + config->block - 1) / config->block;
    return sq__most(0, (position / config->block - before) * config->block);
}

/* Positions low, low + step, ... up to high that lie in turn `turn` of the ring, as its rows. */
static sq_sparse_rows rows_of_turn(int64_t low, int64_t high, int64_t step, int64_t turn, int64_t rows)
{
    const int64_t begin = turn * rows, end = sq__least(high, begin + rows - 1);
    if (low < begin) low += (begin - low + step - 1) / step * step;
    return (sq_sparse_rows){ .count = end < low ? 0 : (end - low) / step + 1, .first = low - begin, .step = step };
}

/* Tile `residue`: the new rows residue, residue + dilation, ... and what they see. */
static void tile(const void *context, int64_t residue, void *scratch, sq_sparse_tile *out)
{
    const head_context *c = context;
    const piece *p = c->piece;
    piece_scratch *s = scratch;
    const int64_t step = c->dilation, queries = (c->count - residue + step - 1) / step, last = c->from + residue + (queries - 1) * step;
    int64_t low = window_start(c, c->from + residue);
    if (!p->config->block) low = c->from + residue - (c->from + residue - low) / step * step;
    for (int t = 0; t < TURNS; t++) {
        const int64_t turn = low / p->ring.rows + t, begin = turn * p->ring.rows;
        s->runs[t] = (sq_sparse_run){ .keys = rows_of_turn(low, last, step, turn, p->ring.rows), .low = s->low[t], .high = s->high[t] };
        for (int64_t x = 0; x < queries; x++) {
            const int64_t position = c->from + residue + x * step;
            s->low[t][x] = (int32_t)sq__most(0, window_start(c, position) - begin);
            s->high[t][x] = (int32_t)sq__most(0, sq__least(p->ring.rows, sq__least(position + 1, c->end) - begin));
        }
    }
    *out = (sq_sparse_tile){ .queries = { .count = queries, .first = residue, .step = step }, .run_count = TURNS, .runs = s->runs };
}

static sq_sparse_pattern pattern_of(const head_context *context, int64_t rows)
{
    return (sq_sparse_pattern){ .context = context, .tiles = sq__least(context->count, context->dilation), .tile = tile, .scratch_bytes = sizeof(piece_scratch),
                                .most_keys = rows, .once = true };
}

size_t sq__window_step_workspace(const sq_window_config *config, const sq_problem *p)
{
    const head_context context = { .dilation = 1, .count = PIECE };
    const sq_sparse_pattern pattern = pattern_of(&context, reach(config, p) + PIECE);
    return sq__sparse_workspace(sq__least(p->T, PIECE), 0, p->D, p->M, &pattern, SQ_SPARSE_MERGE, SQ_FORWARD);
}

/* ---- a step ---- */

/* Rows of the piece that an entry has: one shorter than the call goes on where it ended. */
static int64_t existing(const piece *p, const sq_head *head)
{
    return sq__most(0, sq__least(p->count, head->N - p->first));
}

/* The new rows of one key head into the ring. */
static void take_in(void *context, int64_t item, int thread)
{
    const piece *p = context;
    const sq_problem *problem = p->run->problem;
    const int64_t b = item / problem->Hk, D = problem->D, M = problem->M, rows = p->ring.rows;
    const sq_head head = sq__head(p->run, b, item % problem->Hk * (problem->H / problem->Hk));
    (void)thread;
    for (int64_t x = 0; x < existing(p, &head); x++) {
        const int64_t j = p->first + x, to = (p->ring.seen[b] + x) % rows;
        const bool keep = !(head.key_keep && !head.key_keep[j]);
        if (item % problem->Hk == 0) p->ring.keep[b * rows + to] = keep;
        if (!keep) continue;
        memcpy(p->ring.k + (item * rows + to) * D, head.k + j * head.k_row, (size_t)D * sizeof(float));
        memcpy(p->ring.v + (item * rows + to) * M, head.v + j * head.v_row, (size_t)M * sizeof(float));
    }
}

static void answer(void *context, int64_t item, int thread)
{
    const piece *p = context;
    const sq_problem *problem = p->run->problem;
    const int64_t b = item / problem->H, h = item % problem->H, rows = p->ring.rows, key_head = b * problem->Hk + h / (problem->H / problem->Hk);
    const sq_head head = sq__head(p->run, b, h);
    const int64_t count = sq__most(0, sq__least(p->count, head.T - p->first));      /* rows beyond the query length are 0 */
    const int64_t from = p->ring.seen[b];
    const head_context seen = { p, sq__dilation(p->config->dilation, h), count, from, from + existing(p, &head) };
    const sq_sparse_pattern pattern = pattern_of(&seen, rows);
    const sq_sparse sparse = {
        .T = count, .N = rows, .D = problem->D, .M = problem->M, .scale = problem->scale, .mode = SQ_SPARSE_MERGE, .pattern = &pattern,
        .q = head.q + p->first * head.q_row, .q_row = head.q_row, .k = p->ring.k + key_head * rows * problem->D, .k_row = problem->D,
        .v = p->ring.v + key_head * rows * problem->M, .v_row = problem->M, .key_keep = p->ring.keep + b * rows,
        .out = head.out + p->first * head.out_row, .out_row = head.out_row,
    };
    sq__sparse_forward(&sparse, p->run->kernels, (char *)p->run->call->workspace + (size_t)thread * sq__window_step_workspace(p->config, problem));
    sq__zero_rows(sparse.out, sparse.out_row, count, p->count, problem->M);
}

void sq__window_step(const sq_run *run, void *state)
{
    const sq_problem *problem = run->problem;
    piece p = { .run = run, .config = run->config };
    cut(&p.ring, p.config, problem, state);
    for (p.first = 0; p.first < problem->T; p.first += PIECE) {
        p.count = sq__least(PIECE, problem->T - p.first);
        sq__parallel(problem->threads, problem->B * problem->Hk, take_in, &p);
        sq__parallel(problem->threads, problem->B * problem->H, answer, &p);
        for (int64_t b = 0; b < problem->B; b++) {
            const sq_head head = sq__head(run, b, 0);
            p.ring.seen[b] += existing(&p, &head);
        }
    }
}
