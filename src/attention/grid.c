#include "attention/grid.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

int64_t sq__grid_rows(const sq_problem *p)
{
    return p->T > p->max_length ? p->T : p->max_length;
}

/* Sizes from the last axis on: the smallest whole number whose power holds what is left. */
static void even(sq_grid *grid, int64_t rows)
{
    for (int axis = grid->axes - 1; axis >= 0; axis--) {
        int64_t side = (int64_t)pow((double)rows, 1.0 / (axis + 1));
        if (side < 1) side = 1;
        while (pow((double)side, axis + 1) < (double)rows) side++;
        grid->size[axis] = side;
        rows = (rows + side - 1) / side;
    }
}

/* False: no whole numbers from 1 with 'x' between them. */
static bool read_sizes(sq_grid *grid, const char *text)
{
    for (grid->axes = 0; grid->axes < SQ_GRID_AXES; text++) {
        char *end;
        if (!isdigit((unsigned char)*text)) return false;
        const long long size = strtoll(text, &end, 10);
        if (size < 1 || size > INT32_MAX) return false;
        grid->size[grid->axes++] = size;
        text = end;
        if (!*text) return true;
        if (*text != 'x') return false;
    }
    return false;
}

sq_status sq__grid_parse(sq_grid *grid, const sq_grid_rule *rule, const char *text, int64_t rows, sq_error *error)
{
    *grid = (sq_grid){ .axes = rule->usual };
    if (!*text) {
        even(grid, rows);
        return SQ_OK;
    }
    if (!read_sizes(grid, text) || grid->axes < rule->least || grid->axes > rule->most) {
        char sizes[32];
        snprintf(sizes, sizeof sizes, rule->least == rule->most ? "%d" : "%d to %d", rule->least, rule->most);
        return sq__fail(error, SQ_INVALID, "%s: shape is '%.40s'; expected %s sizes with x between them", rule->owner, text, sizes);
    }
    double cells = 1;
    for (int axis = 0; axis < grid->axes; axis++) cells *= (double)grid->size[axis];
    if (cells < (double)rows)
        return sq__fail(error, SQ_INVALID, "%s: shape %.40s has %.0f cells; expected at least the longest sequence, %lld", rule->owner, text, cells,
                        (long long)rows);
    if (cells > INT32_MAX) return sq__fail(error, SQ_INVALID, "%s: shape %.40s has more than 2147483647 cells", rule->owner, text);
    return SQ_OK;
}

int64_t sq__grid_stride(const sq_grid *grid, int axis)
{
    int64_t stride = 1;
    for (int a = axis + 1; a < grid->axes; a++) stride *= grid->size[a];
    return stride;
}

sq_grid_box sq__grid_whole(const sq_grid *grid)
{
    sq_grid_box box;
    for (int axis = 0; axis < SQ_GRID_AXES; axis++)
        box.first[axis] = 0, box.step[axis] = 1, box.count[axis] = axis < grid->axes ? grid->size[axis] : 1;
    return box;
}

int64_t sq__grid_cells(const sq_grid *grid, const sq_grid_box *box)
{
    int64_t cells = 1;
    for (int axis = 0; axis < grid->axes; axis++) cells *= box->count[axis];
    return cells;
}

int64_t sq__grid_list(const sq_grid *grid, const sq_grid_box *box, int64_t from, int64_t most, int64_t limit, int32_t *rows)
{
    const int64_t cells = sq__grid_cells(grid, box), end = cells - from < most ? cells : from + most;
    int64_t at[SQ_GRID_AXES], stride[SQ_GRID_AXES], row = 0, count = 0;
    int64_t rest = from;
    if (from >= end) return 0;
    for (int axis = grid->axes - 1; axis >= 0; axis--) {
        at[axis] = rest % box->count[axis];
        rest /= box->count[axis];
        stride[axis] = sq__grid_stride(grid, axis);
        row += (box->first[axis] + at[axis] * box->step[axis]) * stride[axis];
    }
    for (int64_t cell = from; cell < end && row < limit; cell++) {
        rows[count++] = (int32_t)row;
        for (int axis = grid->axes - 1; axis >= 0; axis--) {
            row += box->step[axis] * stride[axis];
            if (++at[axis] < box->count[axis]) break;
            row -= box->count[axis] * box->step[axis] * stride[axis];
            at[axis] = 0;
        }
    }
    return count;
}
