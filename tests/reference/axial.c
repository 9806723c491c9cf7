/* Axial attention, naive: every pair of positions, by their coordinates. */
#include <stdlib.h>

#include "reference/listed.h"

typedef struct along { reference_grid grid; int axis; } along;   /* axis -1: any */

static int on_line(const void *context, int64_t i, int64_t j)
{
    const along *a = context;
    int64_t x[REFERENCE_AXES], y[REFERENCE_AXES];
    int differing = 0, last = -1;
    reference_coordinates(&a->grid, i, x);
    reference_coordinates(&a->grid, j, y);
    for (int axis = 0; axis < a->grid.axes; axis++)
        if (x[axis] != y[axis]) differing++, last = axis;
    return differing == 0 || (differing == 1 && (a->axis < 0 || a->axis == last));
}

static void run_row(const reference_case *at, const reference_grid *grid, int64_t b, int64_t i, int64_t h)
{
    const int64_t axis = (int64_t)reference_number(at, "axis");
    const bool sum = axis < 0 && reference_is(at, "combine", "sum"), joint = axis < 0 && reference_is(at, "combine", "joint");
    double *out = malloc((size_t)at->M * sizeof *out);
    for (int a = 0; a < (sum ? grid->axes : 1); a++) {
        along line = { *grid, sum ? a : joint ? -1 : axis >= 0 ? (int)axis : (int)((reference_is(at, "combine", "heads") ? h : at->layer) % grid->axes) };
        reference_attend(at, b, i, h, on_line, &line, 0, out);
        for (int64_t c = 0; c < at->M; c++) reference_out(at, b, i, h)[c] += out[c];
    }
    free(out);
}

static void run(const reference_case *at)
{
    const reference_grid grid = reference_shape(at, 2);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t i = 0; i < reference_rows(at, b); i++)
            for (int64_t h = 0; h < at->H; h++) run_row(at, &grid, b, i, h);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "combine=heads" },
    { .options = "combine=sum shape=3x400" },
    { .options = "combine=joint shape=9x3x40" },
    { .options = "combine=sum shape=2x6x5x20", .largest = 300 },
    { .options = "axis=1 shape=12x90" },
    { .options = NULL },
};

const reference_row reference_axial = { "axial", run, variants };
