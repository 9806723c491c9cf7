/* Space-time attention over frames, SSTVOS arXiv:2101.08833: positions are cells of a T x H x W grid, row by row, frame by frame.
 *   out[i] = sum_j p_ij v_j over the cells j that cell i is connected with; p_ij softmax of scale q_i . k_j
 * q [n,D]; k [n,D]; v [n,M]; out [n,M]. Positions past the end of the sequence are absent keys.
 *
 * grid     the cells that share two of the three coordinates: a row, a column, a pixel through time; T + H + W - 2 keys, the cell itself
 *          once, one softmax over all. O(n (T+H+W)) time. Two hops reach a plane, three everything.
 * strided  two sets: the cells nearer than `stride` along every axis, and the cells a multiple of `stride` away along every axis. Two hops
 *          reach everything. O(n (8 s^3 + n/s^3)) time, which a stride near n^(1/6) makes O(n^1.5); stride 0 takes that.
 *          combine joint: one softmax over both sets, the cell itself once; heads: even heads the first set, odd heads the second;
 *          layers: even layers the first set, odd layers the second.
 * Memory grows with T only.
 *
 * Departs from the paper: scale is 1/sqrt(D) unless the caller sets it (the published kernels have none: scale 1). The paper's strided code
 * is unpublished and its text leaves the sets' extents open: here they are the strided sets of arXiv:1904.10509 along three axes. */
#include <math.h>

#include "attention/grid_parts.h"
#include "attention/registry.h"

enum { PATTERN_GRID, PATTERN_STRIDED };
enum { COMBINE_JOINT, COMBINE_HEADS, COMBINE_LAYERS };

typedef struct space_time_config { char shape[SQ_TEXT_FIELD_SIZE]; int pattern, combine; int64_t stride; } space_time_config;

static const char *const patterns[] = { "grid", "strided", NULL }, *const combines[] = { "joint", "heads", "layers", NULL };

static const sq_field fields[] = {
    SQ_TEXT(space_time_config, shape, "", "frames x rows x columns, such as 4x8x8; empty: a cube that holds the longest sequence"),
    SQ_CHOICE(space_time_config, pattern, "grid", patterns, "cells that see each other"),
    SQ_INT(space_time_config, stride, "0", 0, 1 << 20, "strided: distance of the cells of the second set; 0: what balances the sets"),
    SQ_CHOICE(space_time_config, combine, "joint", combines, "strided: one softmax over both sets, or one set for each head or each layer"),
    SQ_FIELDS_END
};

static const sq_grid_rule rule = { "space-time", 3, 3, 3 };

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const space_time_config *config = options;
    sq_grid grid;
    return sq__grid_parse(&grid, &rule, config->shape, sq__grid_rows(p), error);
}

static void grid_parts(sq_grid_parts *parts)
{
    parts->count = parts->grid.axes;
    for (int i = 0; i < parts->count; i++) {
        parts->part[i] = sq__grid_part();
        sq__grid_whole_axis(parts, &parts->part[i], parts->count - 1 - i);
        parts->part[i].not_self = i > 0;
    }
}

/* About n^(1/6): then a cube of the first set holds as many cells as there are in the second. */
static int64_t stride_of(const space_time_config *config, const sq_problem *p)
{
    const double balanced = round(pow((double)sq__grid_rows(p), 1.0 / 6) / sqrt(2));
    return config->stride ? config->stride : balanced < 2 ? 2 : (int64_t)balanced;
}

static void strided_parts(const space_time_config *config, const sq_problem *p, int64_t h, sq_grid_parts *parts)
{
    const bool joint = config->combine == COMBINE_JOINT;
    const int64_t turn = (config->combine == COMBINE_HEADS ? h : p->layer) % 2;
    sq_grid_part near = sq__grid_part(), far = near;
    for (int axis = 0; axis < parts->grid.axes; axis++) {
        sq__grid_whole_axis(parts, &near, axis);
        sq__grid_whole_axis(parts, &far, axis);
        far.cut[axis].step = stride_of(config, p);
    }
    near.distance = stride_of(config, p);
    far.not_self = joint;
    parts->count = 0;
    if (joint || turn == 0) parts->part[parts->count++] = near;
    if (joint || turn == 1) parts->part[parts->count++] = far;
}

static void parts_of(const sq_pattern_at *at, sq_grid_parts *parts)
{
    const space_time_config *config = at->config;
    const sq_problem *p = at->problem;
    sq_error none;
    sq__grid_parse(&parts->grid, &rule, config->shape, sq__grid_rows(p), &none);   /* validate has read it */
    if (config->pattern == PATTERN_GRID) grid_parts(parts);
    else strided_parts(config, p, at->h, parts);
}

static size_t make(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    return sq__grid_pattern(parts_of, at, memory, pattern);
}

SQ_PATTERN_ALONE(make)

const sq_attention_kind sq__attention_space_time = {
    .name = "space-time", .title = "attention over frames, rows and columns", .paper = "arXiv:2101.08833", .cost = "O(n^(4/3)) time (strided O(n^1.5)), O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_BIAS | SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(space_time_config), .validate = validate, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward, .by_layer = true,
};
