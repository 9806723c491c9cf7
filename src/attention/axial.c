/* Axial attention, arXiv:1912.12180: a query attends along one axis of a grid at a time.
 *   out[i] = sum_j p_ij v_j over the positions j that differ from i along the axis only; p_ij softmax of scale q_i . k_j
 * q [T,D]; k [N,D]; v [N,M]; out [T,M]; position = raster order of `shape`, the first axis the slowest. An axis of length L costs
 * O(n L (D+M)) time; memory grows with T only. Positions past the end of the sequence are absent keys.
 *
 * combine: layers   layer l attends along axis l modulo the number of axes (the paper, whose layers alternate)
 *          heads    head h attends along axis h modulo the number of axes
 *          sum      the sum of the attentions along each axis (lucidrains/axial-attention with sum_axial_out, where each axis has its own
 *                   projections: then one plan per axis, and the caller sums)
 *          joint    one softmax over all axes' positions, the query's own counted once (xformers axial_2d_pattern, CCNet arXiv:1811.11721)
 * Departs from the paper: causal means keys up to the query's position; the paper shifts and masks inside its own model. */
#include "attention/grid_parts.h"
#include "attention/registry.h"

typedef enum combine { COMBINE_LAYERS, COMBINE_HEADS, COMBINE_SUM, COMBINE_JOINT } combine;

typedef struct axial_config { char shape[SQ_TEXT_FIELD_SIZE]; int combine; int64_t axis; } axial_config;

static const char *const combines[] = { "layers", "heads", "sum", "joint", NULL };

static const sq_field fields[] = {
    SQ_TEXT(axial_config, shape, "", "sizes of the grid's axes, such as 64x64; empty: a square that holds the longest sequence"),
    SQ_CHOICE(axial_config, combine, "layers", combines, "what the axes are shared among; joint: one softmax over all"),
    SQ_INT(axial_config, axis, "-1", -1, SQ_GRID_AXES - 1, "attend along this axis alone; -1: as combine says"),
    SQ_FIELDS_END
};

static const sq_grid_rule rule = { "axial", 1, SQ_GRID_AXES, 2 };

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const axial_config *config = options;
    sq_grid grid;
    SQ_TRY(sq__grid_parse(&grid, &rule, config->shape, sq__grid_rows(p), error));
    if (config->axis >= grid.axes)
        return sq__fail(error, SQ_INVALID, "axial: axis is %lld; expected -1 to %d", (long long)config->axis, grid.axes - 1);
    return SQ_OK;
}

static void parts_of(const sq_pattern_at *at, sq_grid_parts *parts)
{
    const axial_config *config = at->config;
    const sq_problem *p = at->problem;
    sq_error none;
    sq__grid_parse(&parts->grid, &rule, config->shape, sq__grid_rows(p), &none);   /* validate has read it */
    const bool several = config->axis < 0 && config->combine >= COMBINE_SUM;
    int axis = (int)((config->combine == COMBINE_HEADS ? at->h : p->layer) % parts->grid.axes);
    if (config->axis >= 0) axis = (int)config->axis;
    parts->count = several ? parts->grid.axes : 1;
    for (int i = 0; i < parts->count; i++) {
        parts->part[i] = sq__grid_part();
        sq__grid_whole_axis(parts, &parts->part[i], several ? i : axis);
        parts->part[i].not_self = i > 0 && config->combine == COMBINE_JOINT;
    }
}

static size_t make(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    const axial_config *config = at->config;
    const size_t bytes = sq__grid_pattern(parts_of, at, memory, pattern);
    pattern->mode = config->axis < 0 && config->combine == COMBINE_SUM ? SQ_SPARSE_SEPARATE : SQ_SPARSE_MERGE;
    return bytes;
}

SQ_PATTERN_ALONE(make)

const sq_attention_kind sq__attention_axial = {
    .name = "axial", .title = "attention along the axes of a grid", .paper = "arXiv:1912.12180", .cost = "O(n sum of axes) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_BIAS | SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(axial_config), .validate = validate, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward, .by_layer = true,
};
