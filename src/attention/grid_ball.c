/* Tiles of balls: a tile is a small box of query cells of one group; its keys are the lines along the last axis that the box, grown by
 * the distance, meets. On a line each query sees an interval. */
#include <math.h>

#include "attention/grid_parts.h"
#include "base/integers.h"

enum { QUERIES = SQ_SPARSE_QUERIES };

typedef struct ball_run { int32_t low[QUERIES], high[QUERIES]; } ball_run;

/* Cells of a group along an axis, at most. */
static int64_t length(const sq_grid_parts *parts, const sq_grid_part *part, int axis)
{
    return sq__least(sq__divide_up(parts->grid.size[axis], part->cut[axis].step), sq__divide_up(part->cut[axis].block, part->cut[axis].step));
}

static int64_t grown(const sq_grid_parts *parts, const sq_grid_part *part, int axis)
{
    return sq__least(part->side[axis] + 2 * (part->distance - 1), length(parts, part, axis));
}

void sq__grid_ball_bounds(const sq_grid_parts *parts, sq_grid_part *part)
{
    int64_t cells = 1;
    for (int axis = 0; axis < parts->grid.axes; axis++) part->side[axis] = 1;
    for (int widest = 0; widest >= 0 && cells <= QUERIES / 2;) {
        widest = -1;
        for (int axis = parts->grid.axes - 1; axis >= 0; axis--)
            if (part->side[axis] < length(parts, part, axis) && (widest < 0 || part->side[axis] < part->side[widest])) widest = axis;
        if (widest >= 0) part->side[widest] *= 2, cells *= 2;
    }
    part->pack = part->chunks = part->keys = 1;
    for (int axis = 0; axis < parts->grid.axes; axis++) {
        part->chunks *= sq__divide_up(length(parts, part, axis), part->side[axis]);
        part->keys *= grown(parts, part, axis);
    }
}

static int64_t lines(const sq_grid_parts *parts, const sq_grid_part *part)
{
    int64_t count = 1;
    for (int axis = 0; axis < parts->grid.axes - 1; axis++) count *= grown(parts, part, axis);
    return count;
}

typedef struct ball_memory {
    int32_t query[QUERIES];
    int32_t cell[SQ_GRID_AXES][QUERIES];   /* coordinates of the queries in their group */
    sq_sparse_run *runs;
    ball_run *ranges;
} ball_memory;

static ball_memory *cut(const sq_grid_parts *parts, const sq_grid_part *part, sq_cut *piece)
{
    ball_memory *m = sq__cut(piece, sizeof *m);
    sq_sparse_run *runs = sq__cut(piece, (size_t)lines(parts, part) * sizeof *runs);
    ball_run *ranges = sq__cut(piece, (size_t)lines(parts, part) * sizeof *ranges);
    if (m) m->runs = runs, m->ranges = ranges;
    return m;
}

size_t sq__grid_ball_bytes(const sq_grid_parts *parts, const sq_grid_part *part)
{
    sq_cut piece = { NULL, 0 };
    cut(parts, part, &piece);
    return piece.used;
}

/* The tile's cells as a box of the group's, in numbers of cells of the group. */
static sq_grid_box tile_box(const sq_grid_parts *parts, const sq_grid_part *part, const sq_grid_box *group, int64_t chunk)
{
    sq_grid_box box = sq__grid_whole(&parts->grid);
    for (int axis = parts->grid.axes - 1; axis >= 0; axis--) {
        const int64_t along = sq__divide_up(length(parts, part, axis), part->side[axis]);
        box.first[axis] = chunk % along * part->side[axis];
        box.count[axis] = sq__most(0, sq__least(part->side[axis], group->count[axis] - box.first[axis]));
        chunk /= along;
    }
    return box;
}

/* Rows and coordinates of the tile's queries, as far as they exist. */
static int64_t list_queries(const sq_grid_parts *parts, const sq_grid_box *group, const sq_grid_box *box, ball_memory *m)
{
    sq_grid_box cells = *box;
    for (int axis = 0; axis < parts->grid.axes; axis++) {
        cells.first[axis] = group->first[axis] + box->first[axis] * group->step[axis];
        cells.step[axis] = group->step[axis];
    }
    const int64_t count = sq__grid_list(&parts->grid, &cells, 0, QUERIES, parts->T, m->query);
    for (int64_t c = 0; c < count; c++) {
        int64_t rest = c;
        for (int axis = parts->grid.axes - 1; axis >= 0; axis--) {
            m->cell[axis][c] = (int32_t)(box->first[axis] + rest % box->count[axis]);
            rest /= box->count[axis];
        }
    }
    return count;
}

/* Cells beside the query that a line at these distances along the other axes still gives; -1: none. */
static int64_t half_width(const sq_grid_part *part, int64_t largest, int64_t sum, int64_t squares)
{
    const int64_t distance = part->distance;
    if (part->norm == SQ_NORM_MAXIMUM) return largest < distance ? distance - 1 : -1;
    if (part->norm == SQ_NORM_MANHATTAN) return distance - 1 - sum;
    const int64_t left = distance * distance - squares;
    if (left <= 0) return -1;
    int64_t half = (int64_t)sqrt((double)left);
    while (half * half >= left) half--;
    return half;
}

/* What each query sees of the line through `at` (coordinates in the group; the last is free): key rows from low to high. */
static bool see_line(const sq_grid_parts *parts, const sq_grid_part *part, const int64_t *at, int64_t row, int64_t step, int64_t queries, ball_memory *m,
                     ball_run *range)
{
    const int last = parts->grid.axes - 1;
    bool any = false;
    for (int64_t c = 0; c < queries; c++) {
        int64_t largest = 0, sum = 0, squares = 0;
        for (int axis = 0; axis < last; axis++) {
            const int64_t apart = at[axis] > m->cell[axis][c] ? at[axis] - m->cell[axis][c] : m->cell[axis][c] - at[axis];
            largest = sq__most(largest, apart);
            sum += apart;
            squares += apart * apart;
        }
        const int64_t half = half_width(part, largest, sum, squares), x = m->cell[last][c];
        int64_t low = row + (x - half) * step, high = row + (x + half) * step + 1;
        if (parts->causal) high = sq__least(high, m->query[c] + 1);
        range->low[c] = (int32_t)(half < 0 ? 0 : sq__most(low, 0));
        range->high[c] = (int32_t)(half < 0 ? 0 : sq__most(sq__least(high, INT32_MAX), 0));
        any = any || range->low[c] < range->high[c];
    }
    return any;
}

void sq__grid_ball_tile(const sq_grid_parts *parts, const sq_grid_part *part, int64_t index, void *scratch, sq_sparse_tile *tile)
{
    sq_cut piece = { scratch, 0 };
    ball_memory *m = cut(parts, part, &piece);
    const sq_grid *grid = &parts->grid;
    const int last = grid->axes - 1;
    const sq_grid_box group = sq__grid_group(parts, part, index / part->chunks, false);
    const sq_grid_box box = tile_box(parts, part, &group, index % part->chunks);
    const int64_t queries = sq__grid_cells(grid, &box) > 0 ? list_queries(parts, &group, &box, m) : 0;
    *tile = (sq_sparse_tile){ .queries = { .count = queries, .rows = m->query }, .runs = m->runs };
    if (queries <= 0) return;
    int64_t from[SQ_GRID_AXES], to[SQ_GRID_AXES], at[SQ_GRID_AXES], count = 1;
    for (int axis = 0; axis < grid->axes; axis++) {
        at[axis] = from[axis] = sq__most(0, box.first[axis] - (part->distance - 1));
        to[axis] = sq__least(group.count[axis], box.first[axis] + box.count[axis] + part->distance - 1);
        if (axis < last) count *= to[axis] - from[axis];
    }
    for (int64_t line = 0; line < count; line++) {
        int64_t row = group.first[last], rest = line;
        for (int axis = last - 1; axis >= 0; axis--) {
            at[axis] = from[axis] + rest % (to[axis] - from[axis]);
            rest /= to[axis] - from[axis];
            row += (group.first[axis] + at[axis] * group.step[axis]) * sq__grid_stride(grid, axis);
        }
        const int64_t step = group.step[last], first = row + from[last] * step, limit = sq__least(parts->N, row + to[last] * step);
        ball_run *range = &m->ranges[tile->run_count];
        if (first >= limit || !see_line(parts, part, at, row, step, queries, m, range)) continue;
        m->runs[tile->run_count++] = (sq_sparse_run){ .keys = { .count = sq__divide_up(limit - first, step), .first = first, .step = step },
                                                      .low = range->low, .high = range->high };
    }
}
