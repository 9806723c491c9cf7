/* Space-time attention, naive: every pair of cells, by their coordinates. */
#include <math.h>
#include <stdlib.h>

#include "reference/listed.h"

typedef struct cells { reference_grid grid; bool grid_pattern, near, far; int64_t stride; } cells;

static int connected(const void *context, int64_t i, int64_t j)
{
    const cells *a = context;
    int64_t x[REFERENCE_AXES], y[REFERENCE_AXES];
    int shared = 0, near = 0, far = 0;
    reference_coordinates(&a->grid, i, x);
    reference_coordinates(&a->grid, j, y);
    for (int axis = 0; axis < 3; axis++) {
        shared += x[axis] == y[axis];
        near += llabs(x[axis] - y[axis]) < a->stride;
        far += (x[axis] - y[axis]) % a->stride == 0;
    }
    return a->grid_pattern ? shared >= 2 : (a->near && near == 3) || (a->far && far == 3);
}

static void run(const reference_case *at)
{
    const double rows = (double)(at->T > at->max_length ? at->T : at->max_length);
    cells a = { .grid = reference_shape(at, 3), .grid_pattern = reference_is(at, "pattern", "grid"), .stride = (int64_t)reference_number(at, "stride") };
    if (a.stride == 0) a.stride = (int64_t)fmax(2, round(pow(rows / 8, 1.0 / 6)));
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t i = 0; i < reference_rows(at, b); i++)
            for (int64_t h = 0; h < at->H; h++) {
                const bool joint = reference_is(at, "combine", "joint"), second = (reference_is(at, "combine", "heads") ? h : at->layer) % 2 == 1;
                a.near = joint || !second;
                a.far = joint || second;
                reference_attend(at, b, i, h, connected, &a, 0, reference_out(at, b, i, h));
            }
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "shape=2x20x26" },
    { .options = "pattern=strided", .largest = 300 },
    { .options = "pattern=strided stride=3 combine=heads shape=9x6x20" },
    { .options = "pattern=strided stride=2 combine=layers shape=5x5x50", .largest = 300 },
    { .options = "pattern=strided stride=1000000", .largest = 300 },
    { .options = NULL },
};

const reference_row reference_space_time = { "space-time", run, variants };
