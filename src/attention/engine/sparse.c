/* Tiles, chunks and rules of the sparse engine. */
#include <math.h>
#include <string.h>

#include "attention/engine/sparse_tile.h"
#include "base/integers.h"

void sq__sparse_work_cut(sparse_work *w, sq_cut *piece, const sq_sparse_pattern *pattern)
{
    w->chunk = dense_tile_n(pattern->most_keys > 0 ? pattern->most_keys : 1);
    w->scratch = sq__cut(piece, pattern->scratch_bytes);
    w->query = sq__cut(piece, SQ_SPARSE_QUERIES * sizeof(int32_t));
    w->key = sq__cut(piece, (size_t)w->chunk * sizeof(int32_t));
}

static int32_t row_at(const sq_sparse_rows *rows, int64_t i)
{
    return rows->rows ? rows->rows[i] : (int32_t)(rows->first + i * rows->step);
}

static void expand(int32_t *to, const sq_sparse_rows *rows, int64_t from, int64_t count)
{
    if (rows->rows) memcpy(to, rows->rows + from, (size_t)count * sizeof *to);
    else for (int64_t i = 0; i < count; i++) to[i] = row_at(rows, from + i);
}

static void remember_queries(sparse_work *w)
{
    memset(w->slot, 0, sizeof w->slot);
    for (int64_t c = 0; c < w->queries; c++) {
        uint8_t *slot = &w->slot[(uint32_t)w->query[c] % SELF_SLOTS];
        w->chain[c] = *slot;
        *slot = (uint8_t)(c + 1);
    }
}

bool sq__sparse_begin(sparse_work *w, int64_t index)
{
    const sq_sparse_pattern *pattern = w->sparse->pattern;
    w->tile = (sq_sparse_tile){ .run_count = 0 };
    pattern->tile(pattern->context, index, w->scratch, &w->tile);
    w->queries = w->tile.queries.count;
    w->width = dense_tile_t(w->queries);
    w->next = (sparse_cursor){ 0, 0 };
    if (w->queries <= 0) return false;
    expand(w->query, &w->tile.queries, 0, w->queries);
    if (w->sparse->has_self_score) remember_queries(w);
    return true;
}

/* Keys that the run at the cursor still gives to a chunk with room for `room`. */
static int64_t piece_at(const sparse_work *w, const sparse_cursor *cursor, int64_t room)
{
    return sq__least(room, w->tile.runs[cursor->run].keys.count - cursor->at);
}

static void step_on(const sparse_work *w, sparse_cursor *cursor, int64_t taken)
{
    cursor->at += taken;
    if (cursor->at < w->tile.runs[cursor->run].keys.count) return;
    cursor->run++;
    cursor->at = 0;
}

bool sq__sparse_next(sparse_work *w)
{
    w->from = w->next;
    w->keys = 0;
    while (w->next.run < w->tile.run_count && w->keys < w->chunk) {
        const int64_t taken = piece_at(w, &w->next, w->chunk - w->keys);
        if (taken > 0) expand(w->key + w->keys, &w->tile.runs[w->next.run].keys, w->next.at, taken);
        w->keys += taken;
        step_on(w, &w->next, taken);
    }
    w->padded = sq__round_up(w->keys, TILE_STEP);
    return w->keys > 0;
}

enum { AHEAD = 8, LINE = 16 };         /* rows that are asked for early; floats in a cache line */

/* Rows lie far apart, where no processor looks ahead by itself. */
static inline void fetch(const float *row, int64_t columns)
{
    for (int64_t c = 0; c < columns; c += LINE) __builtin_prefetch(row + c);
}

void sq__sparse_gather(float *y, const float *x, int64_t x_row, const int32_t *rows, int64_t count, int64_t padded, int64_t columns, const uint8_t *keep)
{
    for (int64_t i = 0; i < count; i++, y += columns) {
        if (i + AHEAD < count) fetch(x + rows[i + AHEAD] * x_row, columns);
        if (keep && !keep[rows[i]]) memset(y, 0, (size_t)columns * sizeof *y);
        else memcpy(y, x + rows[i] * x_row, (size_t)columns * sizeof *y);
    }
    memset(y, 0, (size_t)((padded - count) * columns) * sizeof *y);
}

void sq__sparse_zero_others(float *data, int64_t row, int64_t rows, int64_t columns, const uint8_t *met)
{
    for (int64_t i = 0; i < rows; i++)
        if (!met[i]) sq__zero_rows(data, row, i, i + 1, columns);
}

typedef struct bounds { int32_t every_from, every_to; } bounds;   /* places that every query sees */

static bounds common(const sparse_work *w, const sq_sparse_run *run)
{
    bounds b = { INT32_MIN, INT32_MAX };
    for (int64_t c = 0; c < w->queries; c++) {
        b.every_from = run->low[c] > b.every_from ? run->low[c] : b.every_from;
        b.every_to = run->high[c] < b.every_to ? run->high[c] : b.every_to;
    }
    return b;
}

static void hide_ranges(const sparse_work *w, const sq_sparse_run *run, int64_t at, int64_t first, int64_t count, float *s)
{
    const bounds seen = common(w, run);
    for (int64_t j = first; j < first + count; j++) {
        const int32_t place = run->place ? run->place[at + j - first] : w->key[j];
        if (place >= seen.every_from && place < seen.every_to) continue;
        w->kernels->hide_outside(s + j * w->width, place, run->low, run->high, w->queries);
    }
}

typedef void (*piece_fn)(const sparse_work *w, const sq_sparse_run *run, int64_t at, int64_t first, int64_t count, float *s);

static void add_scores(const sparse_work *w, const sq_sparse_run *run, int64_t at, int64_t first, int64_t count, float *s)
{
    for (int64_t j = 0; j < count; j++)
        w->kernels->add_or_hide(s + (first + j) * w->width, run->add + (at + j) * SQ_SPARSE_QUERIES, (float)DENSE_LOG2_E, w->queries);
}

/* The pieces of the chunk: keys [first, first+count) of it are [at, at+count) of a run. */
static void for_pieces(const sparse_work *w, float *s, bool ranges)
{
    sparse_cursor cursor = w->from;
    for (int64_t first = 0; first < w->keys;) {
        const sq_sparse_run *run = &w->tile.runs[cursor.run];
        const int64_t count = piece_at(w, &cursor, w->keys - first);
        if (count > 0 && ranges && run->low) hide_ranges(w, run, cursor.at, first, count, s);
        if (count > 0 && !ranges && run->add) add_scores(w, run, cursor.at, first, count, s);
        first += count;
        step_on(w, &cursor, count);
    }
}

void sq__sparse_set_self(const sparse_work *w, float *s, float value)
{
    for (int64_t j = 0; j < w->keys; j++)
        for (int c = w->slot[(uint32_t)w->key[j] % SELF_SLOTS]; c; c = w->chain[c - 1]) {
            float *at = s + j * w->width + c - 1;
            if (w->query[c - 1] == w->key[j] && *at != -INFINITY) *at = value;
        }
}

static void hide_row(const sparse_work *w, float *s, int64_t j)
{
    for (int64_t c = 0; c < w->width; c++) s[j * w->width + c] = -INFINITY;
}

static void hide_kept_out(const sparse_work *w, float *s)
{
    const sq_sparse *sparse = w->sparse;
    for (int64_t j = 0; sparse->key_keep && j < w->keys; j++)
        if (!sparse->key_keep[w->key[j]]) hide_row(w, s, j);
    for (int64_t c = 0; sparse->pair_keep && c < w->queries; c++) {
        const uint8_t *keep = sparse->pair_keep + w->query[c] * sparse->pair_row;
        for (int64_t j = 0; j < w->keys; j++)
            if (!keep[w->key[j]]) s[j * w->width + c] = -INFINITY;
    }
    for (int64_t j = w->keys; j < w->padded; j++) hide_row(w, s, j);
}

void sq__sparse_rules(const sparse_work *w, float *s)
{
    if (w->sparse->bias)
        sq__bias_add(w->sparse->bias, s, w->width, &(sq_places){ w->queries, w->query, 0, 0 }, &(sq_places){ w->keys, w->key, 0, 0 });
    for_pieces(w, s, false);
    if (w->sparse->has_self_score) sq__sparse_set_self(w, s, (float)(w->sparse->self_score * DENSE_LOG2_E));
    for_pieces(w, s, true);
    hide_kept_out(w, s);
}

size_t sq__sparse_stats_floats(int64_t T, const sq_sparse_pattern *pattern, sq_sparse_mode mode)
{
    return 2 * (size_t)(mode == SQ_SPARSE_MERGE ? T : pattern->tiles * SQ_SPARSE_QUERIES);
}

sparse_stats sq__sparse_stats(const sq_sparse *sparse, int64_t index)
{
    float *at = sparse->stats;
    if (!at) return (sparse_stats){ NULL, NULL };
    if (sparse->mode == SQ_SPARSE_MERGE) return (sparse_stats){ at, at + sparse->T };
    at += index * 2 * SQ_SPARSE_QUERIES;
    return (sparse_stats){ at, at + SQ_SPARSE_QUERIES };
}

int64_t sq__sparse_pairs(const sq_sparse_pattern *pattern, void *scratch)
{
    int64_t pairs = 0;
    for (int64_t index = 0; index < pattern->tiles; index++) {
        sq_sparse_tile tile = { .run_count = 0 };
        pattern->tile(pattern->context, index, scratch, &tile);
        for (int r = 0; r < tile.run_count; r++) pairs += tile.queries.count * tile.runs[r].keys.count;
    }
    return pairs;
}
