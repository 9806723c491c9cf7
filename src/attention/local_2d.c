/* Local attention on a rows x columns grid, in the forms that images are read with.
 *   out[i] = sum_j p_ij v_j over the cells j near i; p_ij softmax of scale q_i . k_j
 * q [T,D]; k [N,D]; v [N,M]; out [T,M]; position = row * columns + column. Positions past the end of the sequence are absent keys.
 * Memory grows with T only.
 *
 * ball     the cells nearer than `distance`, a norm of the difference of coordinates (xformers local_2d_pattern); with a dilation, of the
 *          cells whose rows and columns differ by its multiples (arXiv:2209.15001). O(n distance^2 (D+M)) time
 * dilated  all cells whose rows and columns differ by multiples of `dilation` (xformers dilated_2d_pattern). O(n^2/dilation^2); dilation 0:
 *          the fourth root of the cells, O(n^1.5)
 * window   the cells of the same square of side `window` (Swin, arXiv:2103.14030). `shift` moves the squares up and left, and the border
 *          cuts them (Swin's cyclic shift with its mask is the same); shift -1: half a window in every second layer. O(n window^2)
 * block    query blocks of side `block`; a block sees itself and `margin` cells on each side (2D local attention of the Image Transformer,
 *          arXiv:1802.05751, which is causal: then nothing lies below). O(n (block + 2 margin)^2). With shape 1xn the paper's 1D form
 *
 * Departs from the papers: no relative position bias inside windows; without causal order the margin of a block lies on all sides. */
#include <math.h>

#include "attention/grid_parts.h"
#include "attention/registry.h"

enum { PATTERN_BALL, PATTERN_DILATED, PATTERN_WINDOW, PATTERN_BLOCK };

typedef struct local_2d_config { char shape[SQ_TEXT_FIELD_SIZE]; int pattern, norm; int64_t distance, dilation, window, shift, block, margin; } local_2d_config;

static const char *const patterns[] = { "ball", "dilated", "window", "block", NULL }, *const norms[] = { "maximum", "euclidean", "manhattan", NULL };

static const sq_field fields[] = {
    SQ_TEXT(local_2d_config, shape, "", "rows x columns, such as 32x48; empty: a square that holds the longest sequence"),
    SQ_CHOICE(local_2d_config, pattern, "ball", patterns, "cells that a query sees"),
    SQ_INT(local_2d_config, distance, "4", 1, 1 << 20, "ball: cells nearer than this"),
    SQ_CHOICE(local_2d_config, norm, "maximum", norms, "ball: what near means"),
    SQ_INT(local_2d_config, dilation, "0", 0, 1 << 20, "ball, dilated: step between the cells seen; 0: 1, and dilated: the fourth root of the cells"),
    SQ_INT(local_2d_config, window, "8", 1, 1 << 20, "window: side of the squares"),
    SQ_INT(local_2d_config, shift, "-1", -1, 1 << 20, "window: how far the squares are moved; -1: half a window in every second layer"),
    SQ_INT(local_2d_config, block, "8", 1, 1 << 20, "block: side of the query blocks"),
    SQ_INT(local_2d_config, margin, "4", 0, 1 << 20, "block: cells around a block that it sees, too"),
    SQ_FIELDS_END
};

static const sq_grid_rule rule = { "local-2d", 2, 2, 2 };

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const local_2d_config *config = options;
    sq_grid grid;
    return sq__grid_parse(&grid, &rule, config->shape, sq__grid_rows(p), error);
}

static int64_t dilation_of(const local_2d_config *config, const sq_problem *p)
{
    if (config->dilation > 0 || config->pattern == PATTERN_BALL) return config->dilation > 0 ? config->dilation : 1;
    const int64_t root = (int64_t)ceil(pow((double)sq__grid_rows(p), 0.25));
    return root < 2 ? 2 : root;
}

static sq_grid_cut cut_of(const local_2d_config *config, const sq_problem *p, int64_t size)
{
    sq_grid_cut cut = { .block = size, .step = 1, .residue = SQ_EVERY_RESIDUE };
    switch (config->pattern) {
    case PATTERN_WINDOW:
        cut.block = config->window;
        cut.shift = config->shift < 0 ? p->layer % 2 * (config->window / 2) : config->shift;
        cut.shift = (config->window - cut.shift % config->window) % config->window;   /* what the first square lacks */
        break;
    case PATTERN_BLOCK:
        cut.block = config->block;
        cut.before = cut.after = config->margin;
        break;
    default: cut.step = dilation_of(config, p);
    }
    return cut;
}

static void parts_of(const sq_pattern_at *at, sq_grid_parts *parts)
{
    const local_2d_config *config = at->config;
    const sq_problem *p = at->problem;
    sq_error none;
    sq__grid_parse(&parts->grid, &rule, config->shape, sq__grid_rows(p), &none);   /* validate has read it */
    parts->count = 1;
    parts->part[0] = sq__grid_part();
    for (int axis = 0; axis < 2; axis++) parts->part[0].cut[axis] = cut_of(config, p, parts->grid.size[axis]);
    parts->part[0].distance = config->pattern == PATTERN_BALL ? config->distance : 0;
    parts->part[0].norm = (sq_grid_norm)config->norm;
}

static size_t make(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    return sq__grid_pattern(parts_of, at, memory, pattern);
}

SQ_PATTERN_ALONE(make)

const sq_attention_kind sq__attention_local_2d = {
    .name = "local-2d", .title = "local attention on an image", .paper = "arXiv:1802.05751", .cost = "O(n distance^2) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_BIAS | SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(local_2d_config), .validate = validate, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward, .by_layer = true,
};
