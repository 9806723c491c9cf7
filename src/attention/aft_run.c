/* Execution of the attention-free transformer: tiles of rows. The keys of a tile are near (with biases, block by block) or far (bias 0:
 * two sums, of the keys before and after). In causal order the near keys before the tile come in blocks that all of its rows see, those
 * inside it row by row, so that no row's bits know of a later key. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "attention/aft.h"
#include "base/parallel.h"

enum { ROWS = SQ_AFT_ROWS, KEYS = SQ_AFT_KEYS, GROUPS = 8 };   /* groups of tiles that sum gradients of biases apart, whatever the threads */

typedef struct execution {
    const sq_run *run;
    const sq_problem *p;
    const sq_head *head;
    sq_aft_block block;
    sq_aft_bias bias;
    sq_aft_sums before, rows;          /* far keys before the tile (their gradient: rows after it); [ROWS, D] each */
    float *after;                      /* [tiles, 3, D] sums of the far keys after each tile */
    float *g, *h, *sigmoid;            /* [ROWS, D] twice, [D] */
    int64_t group;                     /* of tiles, where gradients of biases are summed */
} execution;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t tile_count(const sq_problem *p) { return (p->T + ROWS - 1) / ROWS; }

static bool far_after(const sq_aft_bias *bias, const sq_problem *p)
{
    return bias->reach >= 0 && !p->causal;
}

/* The near keys of tile i: [near_from, near_to). */
static int64_t near_from(const execution *e, int64_t i)
{
    const int64_t t0 = i * ROWS;
    if (e->bias.form == SQ_AFT_NONE) return e->p->causal ? least(t0, e->head->N) : e->head->N;
    if (e->bias.reach < 0 || t0 < e->bias.reach) return 0;
    return least(t0 - e->bias.reach, e->head->N);
}

static int64_t near_to(const execution *e, int64_t i)
{
    const int64_t end = least((i + 1) * ROWS, e->head->T);
    if (e->p->causal) return least(end, e->head->N);
    return e->bias.reach < 0 ? e->head->N : least(end + e->bias.reach, e->head->N);
}

/* ---- memory ---- */

static size_t cut(execution *e, const sq_problem *p, sq_pass pass, void *workspace)
{
    sq_cut cut = { workspace, 0 };
    sq__aft_block_cut(&e->block, p->D, &cut);
    sq__aft_sums_cut(&e->before, p->D, &cut);
    sq__aft_sums_cut(&e->rows, ROWS * p->D, &cut);
    e->g = sq__cut_floats(&cut, ROWS * p->D);
    e->h = sq__cut_floats(&cut, ROWS * p->D);
    e->sigmoid = sq__cut_floats(&cut, p->D);
    if (pass == SQ_FORWARD && far_after(&e->bias, p)) e->after = sq__cut_floats(&cut, tile_count(p) * 3 * p->D);
    return cut.used;
}

static size_t per_thread(const sq_aft_config *config, const sq_problem *p, sq_pass pass)
{
    execution e = { .bias = sq__aft_bias(config, p) };
    return cut(&e, p, pass, NULL);
}

/* Rows of tiles that group `g` of them has, and the keys that they see. */
static int64_t group_tile(const sq_problem *p, int64_t g)
{
    const int64_t tiles = tile_count(p), groups = least(GROUPS, tiles);
    return g * tiles / groups;
}

static int64_t group_key(const sq_aft_bias *bias, const sq_problem *p, int64_t tile, bool end)
{
    if (bias->reach < 0) return end ? p->N : 0;
    const int64_t at = tile * ROWS + (end ? bias->reach : -bias->reach);
    return at < 0 ? 0 : least(at, p->N);
}

/* Floats that a group sums apart: the keys' factors, or all filters. */
static int64_t group_floats(const sq_aft_bias *bias, const sq_problem *p, int64_t g)
{
    if (bias->form == SQ_AFT_FILTER) return p->H * bias->width;
    if (bias->form != SQ_AFT_FACTORS) return 0;
    return (group_key(bias, p, group_tile(p, g + 1), true) - group_key(bias, p, group_tile(p, g), false)) * bias->width;
}

/* What lies behind the threads' workspace: filters as they are used, then the groups' sums. */
static float *shared_memory(const sq_aft_config *config, const sq_problem *p, sq_pass pass, int64_t group, sq_cut *cut)
{
    const sq_aft_bias bias = sq__aft_bias(config, p);
    sq__cut(cut, per_thread(config, p, pass) * (size_t)p->threads);
    float *at = sq__cut_floats(cut, bias.form == SQ_AFT_FILTER ? p->H * bias.width : 0);
    for (int64_t g = 0; pass == SQ_BACKWARD && g <= group && g < least(GROUPS, tile_count(p)); g++)
        at = sq__cut_floats(cut, group_floats(&bias, p, g));
    return at;
}

static float *filters_of(const sq_run *run, sq_pass pass)
{
    sq_cut cut = { run->call->workspace, 0 };
    return shared_memory(run->config, run->problem, pass, -1, &cut);
}

static float *group_sums(const sq_run *run, int64_t group)
{
    sq_cut cut = { run->call->workspace, 0 };
    return shared_memory(run->config, run->problem, SQ_BACKWARD, group, &cut);
}

size_t sq__aft_workspace(const sq_aft_config *config, const sq_problem *p, sq_pass pass)
{
    sq_cut cut = { NULL, 0 };
    shared_memory(config, p, pass, GROUPS, &cut);
    return cut.used;
}

static execution begin(const sq_run *run, const sq_head *head, sq_pass pass, void *workspace)
{
    const sq_problem *p = run->problem;
    const sq_aft_config *config = run->config;
    execution e = { .run = run, .p = p, .head = head, .bias = sq__aft_bias(config, p) };
    cut(&e, p, pass, workspace);
    e.block.kernels = run->kernels;
    e.block.head = head;
    e.block.tied = config->variant == SQ_AFT_CONV ? p->scale : 0;
    if (e.bias.form == SQ_AFT_FACTORS) e.bias.u = run->call->tensors[0], e.bias.v = run->call->tensors[1];
    else if (e.bias.form == SQ_AFT_FILTER) e.bias.w = filters_of(run, pass) + head->h * e.bias.width;
    else if (e.bias.form != SQ_AFT_NONE) e.bias.w = run->call->tensors[0];
    return e;
}

static void make_filters(const sq_run *run, sq_pass pass)
{
    const sq_aft_bias bias = sq__aft_bias(run->config, run->problem);
    float *const *tensors = run->call->tensors;
    for (int64_t h = 0; bias.form == SQ_AFT_FILTER && h < run->problem->H; h++)
        sq__aft_filter(filters_of(run, pass) + h * bias.width, tensors[0] + h * bias.width, tensors[1][h], tensors[2][h], bias.width);
}

static float *log_den(const execution *e, int64_t t)
{
    return (float *)e->run->call->saved + ((e->head->b * e->p->H + e->head->h) * e->p->T + t) * e->p->D;
}

/* fn for every block of near keys of tile i; what it needs is loaded. */
typedef void (*block_fn)(execution *e, int64_t first_row);
static void each_block(execution *e, int64_t i, block_fn fn)
{
    const int64_t t0 = i * ROWS, end = least(t0 + ROWS, e->head->T), from = near_from(e, i), to = near_to(e, i);
    const int64_t common = e->p->causal ? least(t0, to) : to;   /* keys that all rows see */
    for (int64_t s0 = from; s0 < common; s0 += KEYS)
        if (sq__aft_load(&e->block, &e->bias, t0, end - t0, s0, least(KEYS, common - s0))) fn(e, 0);
    for (int64_t t = t0; common < to && t < end; t++)
        if (sq__aft_load(&e->block, &e->bias, t, 1, common, least(t + 1, to) - common)) fn(e, t - t0);
}

/* ---- forward ---- */

static sq_aft_sums sums_at(const sq_aft_sums *sums, int64_t row, int64_t D)
{
    return (sq_aft_sums){ sums->top + row * D, sums->num + row * D, sums->den + row * D };
}

static sq_aft_sums after_tile(const execution *e, int64_t i)
{
    float *at = e->after + i * 3 * e->p->D;
    return (sq_aft_sums){ at, at + e->p->D, at + 2 * e->p->D };
}

/* The far keys after every tile, from the last tile to the first. */
static void sum_after(execution *e)
{
    const int64_t tiles = (e->head->T + ROWS - 1) / ROWS, D = e->p->D;
    for (int64_t i = tiles - 1; i >= 0; i--) {
        const sq_aft_sums sums = after_tile(e, i);
        if (i == tiles - 1) sq__aft_sums_clear(&sums, D);
        else memcpy(sums.top, after_tile(e, i + 1).top, (size_t)(3 * D) * sizeof(float));
        sq__aft_absorb_keys(&e->block, near_to(e, i), i == tiles - 1 ? e->head->N : near_to(e, i + 1), &sums);
    }
}

static void forward_block(execution *e, int64_t first_row)
{
    const sq_aft_sums rows = sums_at(&e->rows, first_row, e->p->D);
    sq__aft_forward_block(&e->block, &rows);
}

static void add_far(const execution *e, const sq_aft_sums *row, const sq_aft_sums *far)
{
    if (far->top[0] > -INFINITY) sq__aft_sums_add(&e->block, row, far->top, 0, far->num, far->den);
}

/* out = sigmoid(q) num / den */
static void finish_row(const execution *e, int64_t t, const sq_aft_sums *row)
{
    const sq_head *head = e->head;
    const int64_t D = e->p->D;
    float *out = head->out + t * head->out_row, *saved = e->run->call->saved ? log_den(e, t) : NULL;
    const bool empty = !(row->top[0] > -INFINITY);
    if (!empty) e->run->kernels->sigmoid(e->sigmoid, head->q + t * head->q_row, D);
    for (int64_t c = 0; c < D; c++) {
        out[c] = row->den[c] > 0 ? e->sigmoid[c] * (row->num[c] / row->den[c]) : 0;
        if (saved) saved[c] = empty ? INFINITY : row->den[c] > 0 ? row->top[c] + logf(row->den[c]) : FLT_MAX;
    }
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    execution e = begin(run, head, SQ_FORWARD, head->workspace);
    const int64_t D = e.p->D;
    sq__aft_sums_clear(&e.before, D);
    if (e.after) sum_after(&e);
    for (int64_t i = 0; i * ROWS < head->T; i++) {
        const int64_t count = least(ROWS, head->T - i * ROWS);
        sq__aft_absorb_keys(&e.block, i ? near_from(&e, i - 1) : 0, near_from(&e, i), &e.before);
        sq__aft_sums_clear(&e.rows, count * D);
        each_block(&e, i, forward_block);
        for (int64_t r = 0; r < count; r++) {
            const sq_aft_sums row = sums_at(&e.rows, r, D);
            add_far(&e, &row, &e.before);
            if (e.after) {
                const sq_aft_sums after = after_tile(&e, i);
                add_far(&e, &row, &after);
            }
            finish_row(&e, i * ROWS + r, &row);
        }
    }
}

void sq__aft_forward(const sq_run *run)
{
    make_filters(run, SQ_FORWARD);
    sq__for_heads(run, per_thread(run->config, run->problem, SQ_FORWARD), forward_head);
}

/* ---- backward ---- */

/* g and h of tile i. dq where wanted: dout out (1 - sigmoid). */
static int64_t load_rows(execution *e, int64_t i, bool queries)
{
    const sq_head *head = e->head;
    const int64_t D = e->p->D, t0 = i * ROWS, count = least(ROWS, head->T - t0);
    for (int64_t r = 0; r < count; r++) {
        const float *dout = head->dout + (t0 + r) * head->dout_row, *out = head->out + (t0 + r) * head->out_row;
        float *g = e->g + r * D, *h = e->h + r * D, *dq = head->dq + (t0 + r) * head->dq_row;
        e->run->kernels->sigmoid(e->sigmoid, head->q + (t0 + r) * head->q_row, D);
        for (int64_t c = 0; c < D; c++) {
            g[c] = dout[c] * e->sigmoid[c];
            h[c] = -dout[c] * out[c];
            if (queries) dq[c] = -h[c] * (1 - e->sigmoid[c]);
        }
    }
    return count;
}

static sq_aft_rows rows_at(const execution *e, int64_t row)
{
    const int64_t D = e->p->D;
    return (sq_aft_rows){ e->g + row * D, e->h + row * D, log_den(e, e->block.t0) };
}

static void backward_block(execution *e, int64_t first_row)
{
    const sq_aft_rows rows = rows_at(e, first_row);
    sq__aft_backward_block(&e->block, &rows);
}

/* Rows of tile i, for far keys. */
static void absorb_tile(execution *e, int64_t i, int64_t count)
{
    const sq_aft_rows rows = { e->g, e->h, log_den(e, i * ROWS) };
    sq__aft_absorb_rows(&e->block, &rows, count, &e->before);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    execution e = begin(run, head, SQ_BACKWARD, head->workspace);
    const int64_t tiles = (head->T + ROWS - 1) / ROWS, D = e.p->D;
    if (!head->accumulate) {
        sq__zero_rows(head->dk, head->dk_row, 0, head->N, D);
        sq__zero_rows(head->dv, head->dv_row, 0, head->N, D);
    }
    sq__aft_sums_clear(&e.before, D);
    for (int64_t i = tiles - 1; i >= 0; i--) {      /* far keys before later tiles */
        if (i < tiles - 1) sq__aft_apply_rows(&e.block, &e.before, near_from(&e, i), near_from(&e, i + 1));
        const int64_t count = load_rows(&e, i, true);
        each_block(&e, i, backward_block);
        absorb_tile(&e, i, count);
    }
    if (tiles) sq__aft_apply_rows(&e.block, &e.before, 0, near_from(&e, 0));
    if (!far_after(&e.bias, e.p)) return;
    sq__aft_sums_clear(&e.before, D);
    for (int64_t i = 0; i < tiles; i++) {           /* far keys after earlier tiles */
        if (i) sq__aft_apply_rows(&e.block, &e.before, near_to(&e, i - 1), near_to(&e, i));
        absorb_tile(&e, i, load_rows(&e, i, false));
    }
    if (tiles) sq__aft_apply_rows(&e.block, &e.before, near_to(&e, tiles - 1), head->N);
}

/* ---- gradients of the biases ---- */

typedef struct biases { const sq_run *run; size_t per_thread; } biases;

static sq_aft_bias_gradient target_of(const execution *e)
{
    float *const *to = e->run->gradients->dtensors;
    if (e->bias.form == SQ_AFT_FACTORS)
        return (sq_aft_bias_gradient){ .du = to[0], .dv = group_sums(e->run, e->group), .first_key = group_key(&e->bias, e->p, group_tile(e->p, e->group), false) };
    if (e->bias.form == SQ_AFT_FILTER) return (sq_aft_bias_gradient){ .dw = group_sums(e->run, e->group) + e->head->h * e->bias.width };
    return (sq_aft_bias_gradient){ .dw = to[0] };
}

static void bias_block(execution *e, int64_t first_row)
{
    const sq_aft_rows rows = rows_at(e, first_row);
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
        execution e = begin(all->run, &head, SQ_BACKWARD, (char *)all->run->call->workspace + (size_t)thread * all->per_thread);
        e.group = group;
        for (int64_t i = group_tile(p, group); i < group_tile(p, group + 1) && i * ROWS < head.T; i++) {
            load_rows(&e, i, false);
            each_block(&e, i, bias_block);
        }
    }
}

/* The groups' sums, in order, into the tensors. */
static void gather_groups(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const sq_aft_bias bias = sq__aft_bias(run->config, p);
    const int64_t groups = least(GROUPS, tile_count(p));
    float *const *to = run->gradients->dtensors, *const *tensors = run->call->tensors, *first = group_sums(run, 0);
    for (int64_t g = 0; bias.form == SQ_AFT_FACTORS && g < groups; g++)
        run->kernels->axpy(to[1] + group_key(&bias, p, group_tile(p, g), false) * bias.width, 1, group_sums(run, g), group_floats(&bias, p, g));
    if (bias.form != SQ_AFT_FILTER) return;
    for (int64_t g = 1; g < groups; g++) run->kernels->axpy(first, 1, group_sums(run, g), p->H * bias.width);
    for (int64_t h = 0; h < p->H; h++)
        sq__aft_filter_backward(first + h * bias.width, tensors[0] + h * bias.width, tensors[1][h], bias.width, to[0] + h * bias.width, to[1] + h, to[2] + h);
}

void sq__aft_backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const size_t each = per_thread(run->config, p, SQ_BACKWARD);
    make_filters(run, SQ_BACKWARD);
    sq__for_heads(run, each, backward_head);
    if (sq__aft_bias(run->config, p).form == SQ_AFT_NONE || !run->gradients->dtensors) return;
    sq__parallel(p->threads, least(GROUPS, tile_count(p)), bias_group, &(biases){ run, each });
    gather_groups(run);
}
