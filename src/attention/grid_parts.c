/* Tiles of groups: a group larger than a tile is cut into chunks of queries, small groups share a tile. Cells of a box come in
 * ascending order of rows, so rows that do not exist are the last ones and causal order is a prefix. */
#include <math.h>
#include <string.h>

#include "attention/grid_parts.h"
#include "base/integers.h"

enum { QUERIES = SQ_SPARSE_QUERIES };

typedef struct tile_memory {
    int32_t query[QUERIES], low[QUERIES], high[QUERIES], place[QUERIES], self[QUERIES];   /* self: number of the key that is the query's row, -1: none */
    sq_sparse_run runs[3];
    float *add;                        /* [64, 64] */
    int32_t *key;                      /* [most keys] */
} tile_memory;

sq_grid_part sq__grid_part(void)
{
    sq_grid_part part = { .not_self = false };
    for (int axis = 0; axis < SQ_GRID_AXES; axis++) part.cut[axis] = (sq_grid_cut){ .block = 1, .step = 1, .residue = SQ_EVERY_RESIDUE };
    return part;
}

void sq__grid_whole_axis(const sq_grid_parts *parts, sq_grid_part *part, int axis)
{
    part->cut[axis].block = parts->grid.size[axis];
}

/* ---- groups ---- */

/* A step beyond the block leaves each cell by itself: the residues behind its end hold none. */
static int64_t residues(const sq_grid_cut *cut) { return cut->residue == SQ_EVERY_RESIDUE ? sq__least(cut->step, cut->block) : 1; }

static int64_t groups_along(const sq_grid_parts *parts, const sq_grid_part *part, int axis)
{
    const sq_grid_cut *cut = &part->cut[axis];
    return sq__divide_up(parts->grid.size[axis] + cut->shift, cut->block) * residues(cut);
}

/* Multiples of step from first on, cut to [from, to). */
static void span(sq_grid_box *box, int axis, int64_t first, int64_t step, int64_t from, int64_t to)
{
    if (first < from) first += sq__divide_up(from - first, step) * step;
    box->first[axis] = first;
    box->step[axis] = step;
    box->count[axis] = first < to ? sq__divide_up(to - first, step) : 0;
}

sq_grid_box sq__grid_group(const sq_grid_parts *parts, const sq_grid_part *part, int64_t group, bool keys)
{
    sq_grid_box box = sq__grid_whole(&parts->grid);
    for (int axis = parts->grid.axes - 1; axis >= 0; axis--) {
        const sq_grid_cut *cut = &part->cut[axis];
        const int64_t along = groups_along(parts, part, axis), at = group % along, block = at / residues(cut);
        const int64_t residue = cut->residue == SQ_EVERY_RESIDUE ? at % residues(cut) : cut->residue;
        const int64_t from = block * cut->block - cut->shift, to = from + cut->block, size = parts->grid.size[axis];
        const int64_t before = keys ? cut->before : 0, after = keys ? cut->after : 0;
        span(&box, axis, from + residue - sq__divide_up(before, cut->step) * cut->step, cut->step, from - before > 0 ? from - before : 0, sq__least(to + after, size));
        group /= along;
    }
    return box;
}

/* ---- a part completed ---- */

/* Rows beyond the last that comes need no groups. */
static void clip(sq_grid_parts *parts)
{
    int64_t rows = parts->most_rows;
    for (int i = 0; i < parts->count; i++) rows = sq__most(rows, parts->part[i].keys_to);
    for (int axis = 0; axis < parts->grid.axes; axis++) {
        const int64_t used = sq__divide_up(rows, sq__grid_stride(&parts->grid, axis));
        parts->grid.size[axis] = sq__least(parts->grid.size[axis], used);
        if (parts->grid.size[axis] > 1) break;
    }
}

static void complete(const sq_grid_parts *parts, sq_grid_part *part)
{
    bool margins = false;
    part->groups = part->cells = part->keys = 1;
    for (int axis = 0; axis < parts->grid.axes; axis++) {
        const sq_grid_cut *cut = &part->cut[axis];
        const int64_t most = sq__divide_up(parts->grid.size[axis], cut->step);
        part->groups *= groups_along(parts, part, axis);
        part->cells *= sq__least(sq__divide_up(cut->block, cut->step), most);
        part->keys *= sq__least(sq__divide_up(cut->block + cut->before + cut->after, cut->step), most);
        margins = margins || cut->before || cut->after;
    }
    part->pack = !margins && part->cells <= QUERIES / 2 ? QUERIES / part->cells : 1;
    part->chunks = sq__divide_up(part->cells, QUERIES);
    if (part->distance > 0) sq__grid_ball_bounds(parts, part);
    else if (part->not_self && part->cells == 1) part->groups = 0;
}

static int64_t part_tiles(const sq_grid_part *part)
{
    return part->pack > 1 ? sq__divide_up(part->groups, part->pack) : part->groups * part->chunks;
}

/* ---- keys ---- */

static int64_t keys_end(const sq_grid_parts *parts, const sq_grid_part *part) { return sq__most(parts->N, part->keys_to); }

static int64_t list_keys(const sq_grid_parts *parts, const sq_grid_part *part, const sq_grid_box *box, int64_t limit, int32_t *key)
{
    const int64_t count = sq__grid_list(&parts->grid, box, 0, part->keys, limit, key);
    for (int64_t j = count; part->keys_to && j > 0 && key[j - 1] > parts->N; j--) key[j - 1] = (int32_t)parts->N;
    return count;
}

/* add: 0, and -inf where a query meets its own row. */
static const float *hide_self(tile_memory *m, int64_t keys, int64_t queries)
{
    memset(m->add, 0, (size_t)(keys * QUERIES) * sizeof *m->add);
    for (int64_t c = 0; c < queries; c++)
        if (m->self[c] >= 0) m->add[m->self[c] * QUERIES + c] = -INFINITY;
    return m->add;
}

static int64_t count_below(const int32_t *rows, int64_t count, int64_t limit)
{
    int64_t from = 0, to = count;
    while (from < to) {
        const int64_t middle = (from + to) / 2;
        if (rows[middle] < limit) from = middle + 1;
        else to = middle;
    }
    return from;
}

static void add_run(tile_memory *m, sq_sparse_tile *tile, int64_t from, int64_t to, bool ranges, const float *add)
{
    if (from >= to) return;
    sq_sparse_run run = { .keys = { .count = to - from, .rows = m->key + from }, .add = add };
    if (ranges) run.low = m->low, run.high = m->high;
    m->runs[tile->run_count++] = run;
    tile->runs = m->runs;
}

static void chunk_of_group(const sq_grid_parts *parts, const sq_grid_part *part, int64_t index, tile_memory *m, sq_sparse_tile *tile)
{
    const sq_grid_box cells = sq__grid_group(parts, part, index / part->chunks, false), around = sq__grid_group(parts, part, index / part->chunks, true);
    const int64_t queries = sq__grid_list(&parts->grid, &cells, index % part->chunks * QUERIES, QUERIES, parts->T, m->query);
    *tile = (sq_sparse_tile){ .queries = { .count = queries, .rows = m->query } };
    if (queries <= 0) return;
    const int64_t first = m->query[0], last = m->query[queries - 1], limit = parts->causal ? sq__least(parts->N, last + 1) : keys_end(parts, part);
    const int64_t keys = list_keys(parts, part, &around, limit, m->key);
    const int64_t earlier = count_below(m->key, keys, first + (part->not_self ? 0 : 1)), upto = count_below(m->key, keys, last + 1);
    if (parts->causal) {
        for (int64_t c = 0; c < queries; c++) m->low[c] = 0, m->high[c] = m->query[c] + (part->not_self ? 0 : 1);
        add_run(m, tile, 0, earlier, false, NULL);
        add_run(m, tile, earlier, keys, true, NULL);
    } else if (part->not_self) {
        add_run(m, tile, 0, earlier, false, NULL);
        for (int64_t c = 0; c < queries; c++) m->self[c] = c < upto - earlier ? (int32_t)c : -1;   /* the same cells, as far as keys exist */
        add_run(m, tile, earlier, upto, false, hide_self(m, upto - earlier, queries));
        add_run(m, tile, upto, keys, false, NULL);
    } else {
        add_run(m, tile, 0, keys, false, NULL);
    }
}

static void packed_groups(const sq_grid_parts *parts, const sq_grid_part *part, int64_t index, tile_memory *m, sq_sparse_tile *tile)
{
    int64_t queries = 0, keys = 0;
    for (int64_t group = index * part->pack; group < sq__least((index + 1) * part->pack, part->groups); group++) {
        const sq_grid_box cells = sq__grid_group(parts, part, group, false);
        const int64_t more = sq__grid_list(&parts->grid, &cells, 0, part->cells, parts->T, m->query + queries);
        const int64_t seen = list_keys(parts, part, &cells, keys_end(parts, part), m->key + keys);
        for (int64_t c = 0; c < more; c++) {
            m->low[queries + c] = (int32_t)keys;
            m->high[queries + c] = (int32_t)(keys + (parts->causal ? sq__least(seen, c + (part->not_self ? 0 : 1)) : seen));
            m->self[queries + c] = c < seen ? (int32_t)(keys + c) : -1;
        }
        queries += more;
        keys += seen;
    }
    for (int64_t j = 0; j < keys; j++) m->place[j] = (int32_t)j;
    *tile = (sq_sparse_tile){ .queries = { .count = queries, .rows = m->query } };
    add_run(m, tile, 0, keys, true, part->not_self && !parts->causal ? hide_self(m, keys, queries) : NULL);
    if (tile->run_count) m->runs[0].place = m->place;
}

/* ---- the pattern ---- */

static size_t memory_bytes(const sq_grid_parts *parts, int64_t most_keys, sq_cut *piece, tile_memory **memory)
{
    bool adds = false;
    for (int i = 0; i < parts->count; i++) adds = adds || (parts->part[i].not_self && !parts->causal);
    tile_memory *m = sq__cut(piece, sizeof *m);
    float *add = sq__cut_floats(piece, adds ? QUERIES * QUERIES : 0);
    int32_t *key = sq__cut(piece, (size_t)most_keys * sizeof(int32_t));
    if (memory) m->add = add, m->key = key, *memory = m;
    return piece->used;
}

static int64_t most_keys_of(const sq_grid_parts *parts)
{
    int64_t keys = QUERIES;
    for (int i = 0; i < parts->count; i++) keys = sq__most(keys, parts->part[i].keys);
    return keys;
}

static void fill_tile(const void *context, int64_t index, void *scratch, sq_sparse_tile *tile)
{
    const sq_grid_parts *parts = context;
    const sq_grid_part *part = parts->part;
    for (; index >= part_tiles(part); part++) index -= part_tiles(part);
    if (part->distance > 0) {
        sq__grid_ball_tile(parts, part, index, scratch, tile);
        return;
    }
    sq_cut piece = { scratch, 0 };
    tile_memory *m;
    memory_bytes(parts, most_keys_of(parts), &piece, &m);
    if (part->pack > 1) packed_groups(parts, part, index, m, tile);
    else chunk_of_group(parts, part, index, m, tile);
}

size_t sq__grid_pattern(sq_grid_fn fill, const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    const sq_problem *p = at->problem;
    sq_grid_parts parts = { .T = at->T, .N = at->N, .most_rows = sq__most(p->T, p->N), .causal = p->causal };
    size_t ball = 0;
    fill(at, &parts);
    clip(&parts);
    *pattern = (sq_sparse_pattern){ .context = memory, .tile = fill_tile, .once = parts.count == 1 };
    for (int i = 0; i < parts.count; i++) {
        sq_grid_part *part = &parts.part[i];
        complete(&parts, part);
        pattern->tiles += part_tiles(part);
        if (part->distance > 0 && sq__grid_ball_bytes(&parts, part) > ball) ball = sq__grid_ball_bytes(&parts, part);
    }
    sq_cut piece = { NULL, 0 };
    pattern->most_keys = most_keys_of(&parts);
    pattern->scratch_bytes = memory_bytes(&parts, pattern->most_keys, &piece, NULL);
    if (ball > pattern->scratch_bytes) pattern->scratch_bytes = ball;
    if (memory) memcpy(memory, &parts, sizeof parts);
    return sizeof parts;
}
