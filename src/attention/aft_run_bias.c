/* Gradients of the attention-free transformer's biases. Biases belong to all entries and heads: fixed groups of tiles are summed apart, each
 * over entries and heads in order, and gathered in order, so bits do not depend on threads. */
#include <string.h>

#include "attention/aft_tiles.h"
#include "base/integers.h"
#include "base/parallel.h"

enum { ROWS = SQ_AFT_ROWS };

static int64_t group_count(const sq_problem *p) { return sq__least(SQ_AFT_GROUPS, sq__aft_tile_count(p)); }

/* The first tile of group g, and the first (or end) of the keys that tiles see. */
static int64_t group_tile(const sq_problem *p, int64_t g)
{
    return g * sq__aft_tile_count(p) / group_count(p);
}

static int64_t group_key(const sq_aft_bias *bias, const sq_problem *p, int64_t tile, bool end)
{
    if (bias->reach < 0) return end ? p->N : 0;
    const int64_t at = tile * ROWS + (end ? bias->reach : -bias->reach);
    return at < 0 ? 0 : sq__least(at, p->N);
}

/* Floats that a group sums apart: the keys' factors, or all filters. */
static int64_t group_floats(const sq_aft_bias *bias, const sq_problem *p, int64_t g)
{
    if (bias->form == SQ_AFT_FILTER) return p->H * bias->width;
    if (bias->form != SQ_AFT_FACTORS) return 0;
    return (group_key(bias, p, group_tile(p, g + 1), true) - group_key(bias, p, group_tile(p, g), false)) * bias->width;
}

size_t sq__aft_group_bytes(const sq_aft_config *config, const sq_problem *p)
{
    const sq_aft_bias bias = sq__aft_bias(config, p);
    sq_cut cut = { NULL, 0 };
    for (int64_t g = 0; g < group_count(p); g++) sq__cut_floats(&cut, group_floats(&bias, p, g));
    return cut.used;
}

static float *group_sums(const sq_run *run, int64_t group)
{
    const sq_aft_bias bias = sq__aft_bias(run->config, run->problem);
    sq_cut cut = { (char *)sq__aft_behind_filters(run), 0 };
    for (int64_t g = 0; g < group; g++) sq__cut_floats(&cut, group_floats(&bias, run->problem, g));
    return sq__cut(&cut, 0);
}

typedef struct biases { const sq_run *run; size_t per_thread; } biases;

static sq_aft_bias_gradient target_of(const sq_aft_tiles *e)
{
    float *const *to = e->run->gradients->dtensors;
    if (e->bias.form == SQ_AFT_FACTORS)
        return (sq_aft_bias_gradient){ .du = to[0], .dv = group_sums(e->run, e->group), .first_key = group_key(&e->bias, e->p, group_tile(e->p, e->group), false) };
    if (e->bias.form == SQ_AFT_FILTER) return (sq_aft_bias_gradient){ .dw = group_sums(e->run, e->group) + e->head->h * e->bias.width };
    return (sq_aft_bias_gradient){ .dw = to[0] };
}

static void bias_block(sq_aft_tiles *e, int64_t first_row)
{
    const sq_aft_rows rows = sq__aft_rows_at(e, first_row);
    const sq_aft_bias_gradient to = target_of(e);
    sq__aft_backward_bias(&e->block, &rows);
    sq__aft_bias_backward(&e->bias, e->block.t0, e->block.rows, e->block.s0, e->block.keys, e->block.de, &to);
}

/* All entries and heads of one group of tiles, in order. */
static void bias_group(void *context, int64_t group, int thread)
{
    const biases *all = context;
    const sq_problem *p = all->run->problem;
    const sq_aft_bias bias = sq__aft_bias(all->run->config, p);
    const int64_t floats = group_floats(&bias, p, group);
    if (floats) memset(group_sums(all->run, group), 0, (size_t)floats * sizeof(float));
    for (int64_t item = 0; item < p->B * p->H; item++) {
        const sq_head head = sq__head(all->run, item / p->H, item % p->H);
        sq_aft_tiles e = sq__aft_begin(all->run, &head, SQ_BACKWARD, (char *)all->run->call->workspace + (size_t)thread * all->per_thread);
        e.group = group;
        for (int64_t i = group_tile(p, group); i < group_tile(p, group + 1) && i * ROWS < head.T; i++) {
            sq__aft_load_rows(&e, i, false);
            sq__aft_each_block(&e, i, bias_block);
        }
    }
}

/* The groups' sums, in order, into the tensors. */
static void gather_groups(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const sq_aft_bias bias = sq__aft_bias(run->config, p);
    const int64_t groups = group_count(p);
    float *const *to = run->gradients->dtensors, *const *tensors = run->call->tensors, *first = group_sums(run, 0);
    for (int64_t g = 0; bias.form == SQ_AFT_FACTORS && g < groups; g++)
        run->kernels->axpy(to[1] + group_key(&bias, p, group_tile(p, g), false) * bias.width, 1, group_sums(run, g), group_floats(&bias, p, g));
    if (bias.form != SQ_AFT_FILTER) return;
    for (int64_t g = 1; g < groups; g++) run->kernels->axpy(first, 1, group_sums(run, g), p->H * bias.width);
    for (int64_t h = 0; h < p->H; h++)
        sq__aft_filter_backward(first + h * bias.width, tensors[0] + h * bias.width, tensors[1][h], bias.width, to[0] + h * bias.width, to[1] + h, to[2] + h);
}

void sq__aft_bias_gradients(const sq_run *run)
{
    if (sq__aft_bias(run->config, run->problem).form == SQ_AFT_NONE) return;
    sq__parallel(run->problem->threads, group_count(run->problem), bias_group, &(biases){ run, sq__aft_per_thread(run->config, run->problem, SQ_BACKWARD) });
    gather_groups(run);
}
