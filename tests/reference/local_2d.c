/* Local attention on an image, naive: every pair of cells, by their coordinates. */
#include <math.h>
#include <string.h>

#include "reference/listed.h"

typedef struct rule { reference_grid grid; const char *pattern, *norm; int64_t distance, dilation, window, shift, block, margin; } rule;

static bool ball(const rule *r, const double *apart)
{
    const double y = fabs(apart[0]) / (double)r->dilation, x = fabs(apart[1]) / (double)r->dilation;
    const double length = strcmp(r->norm, "maximum") == 0 ? fmax(x, y) : strcmp(r->norm, "manhattan") == 0 ? x + y : sqrt(x * x + y * y);
    return length < (double)r->distance - 1e-9;
}

static int sees(const void *context, int64_t i, int64_t j)
{
    const rule *r = context;
    int64_t x[REFERENCE_AXES], y[REFERENCE_AXES];
    double apart[2];
    reference_coordinates(&r->grid, i, x);
    reference_coordinates(&r->grid, j, y);
    bool multiples = true, window = true, block = true;
    for (int axis = 0; axis < 2; axis++) {
        const int64_t first = x[axis] / r->block * r->block, moved = r->window - r->shift % r->window;
        apart[axis] = (double)(x[axis] - y[axis]);
        multiples = multiples && (x[axis] - y[axis]) % r->dilation == 0;
        window = window && (x[axis] + moved) / r->window == (y[axis] + moved) / r->window;
        block = block && y[axis] >= first - r->margin && y[axis] < first + r->block + r->margin;
    }
    if (strcmp(r->pattern, "window") == 0) return window;
    if (strcmp(r->pattern, "block") == 0) return block;
    return multiples && (strcmp(r->pattern, "dilated") == 0 || ball(r, apart));
}

static void run(const reference_case *at)
{
    const double rows = (double)(at->T > at->max_length ? at->T : at->max_length);
    rule r = { reference_shape(at, 2), reference_option(at, "pattern"), reference_option(at, "norm"), (int64_t)reference_number(at, "distance"),
               (int64_t)reference_number(at, "dilation"), (int64_t)reference_number(at, "window"), (int64_t)reference_number(at, "shift"),
               (int64_t)reference_number(at, "block"), (int64_t)reference_number(at, "margin") };
    if (r.dilation == 0) r.dilation = strcmp(r.pattern, "ball") == 0 ? 1 : (int64_t)fmax(2, ceil(sqrt(sqrt(rows))));
    if (r.shift < 0) r.shift = at->layer % 2 * (r.window / 2);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t i = 0; i < reference_rows(at, b); i++)
            for (int64_t h = 0; h < at->H; h++) reference_attend(at, b, i, h, sees, &r, 0, reference_out(at, b, i, h));
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "norm=euclidean distance=3 shape=20x55" },
    { .options = "norm=manhattan distance=5 dilation=2", .largest = 300 },
    { .options = "pattern=dilated" },
    { .options = "pattern=dilated dilation=1000000", .largest = 300 },
    { .options = "pattern=window window=7 shift=3 shape=26x40" },
    { .options = "pattern=window window=3 shift=1", .largest = 300 },
    { .options = "pattern=block block=5 margin=2 shape=25x44" },
    { .options = "pattern=block block=9 margin=30 shape=1x1100", .largest = 300 },
    { .options = NULL },
};

const reference_row reference_local_2d = { "local-2d", run, variants };
