/* Execution of the attention-free transformer: tiles of rows. The keys of a tile are near (with biases, block by block) or far (bias 0:
 * two sums, of the keys before and after). In causal order the near keys before the tile come in blocks that all of its rows see, those
 * inside it row by row, so that no row's bits know of a later key. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "attention/aft_tiles.h"
#include "base/integers.h"

enum { ROWS = SQ_AFT_ROWS, KEYS = SQ_AFT_KEYS };

static bool far_after(const sq_aft_bias *bias, const sq_problem *p)
{
    return bias->reach >= 0 && !p->causal;
}

/* The near keys of tile i: [near_from, near_to). */
static int64_t near_from(const sq_aft_tiles *e, int64_t i)
{
    const int64_t t0 = i * ROWS;
    if (e->bias.form == SQ_AFT_NONE) return e->p->causal ? sq__least(t0, e->head->N) : e->head->N;
    if (e->bias.reach < 0 || t0 < e->bias.reach) return 0;
    return sq__least(t0 - e->bias.reach, e->head->N);
}

static int64_t near_to(const sq_aft_tiles *e, int64_t i)
{
    const int64_t end = sq__least((i + 1) * ROWS, e->head->T);
    if (e->p->causal) return sq__least(end, e->head->N);
    return e->bias.reach < 0 ? e->head->N : sq__least(end + e->bias.reach, e->head->N);
}

/* ---- memory ---- */

static size_t cut(sq_aft_tiles *e, const sq_problem *p, sq_pass pass, void *workspace)
{
    sq_cut cut = { workspace, 0 };
    sq__aft_block_cut(&e->block, p->D, &cut);
    sq__aft_sums_cut(&e->before, p->D, &cut);
    sq__aft_sums_cut(&e->rows, ROWS * p->D, &cut);
    e->g = sq__cut_floats(&cut, ROWS * p->D);
    e->h = sq__cut_floats(&cut, ROWS * p->D);
    e->sigmoid = sq__cut_floats(&cut, p->D);
    if (pass == SQ_FORWARD && far_after(&e->bias, p)) e->after = sq__cut_floats(&cut, sq__aft_tile_count(p) * 3 * p->D);
    return cut.used;
}

size_t sq__aft_per_thread(const sq_aft_config *config, const sq_problem *p, sq_pass pass)
{
    sq_aft_tiles e = { .bias = sq__aft_bias(config, p) };
    return cut(&e, p, pass, NULL);
}

/* What lies behind the threads' workspace: filters as they are used, then the groups' sums. */
static float *filters(const sq_aft_config *config, const sq_problem *p, sq_pass pass, sq_cut *cut)
{
    const sq_aft_bias bias = sq__aft_bias(config, p);
    sq__cut(cut, sq__aft_per_thread(config, p, pass) * (size_t)p->threads);
    return sq__cut_floats(cut, bias.form == SQ_AFT_FILTER ? p->H * bias.width : 0);
}

static float *filters_of(const sq_run *run, sq_pass pass)
{
    sq_cut cut = { run->call->workspace, 0 };
    return filters(run->config, run->problem, pass, &cut);
}

float *sq__aft_behind_filters(const sq_run *run)
{
    sq_cut cut = { run->call->workspace, 0 };
    filters(run->config, run->problem, SQ_BACKWARD, &cut);
    return sq__cut(&cut, 0);
}

size_t sq__aft_workspace(const sq_aft_config *config, const sq_problem *p, sq_pass pass)
{
    sq_cut cut = { NULL, 0 };
    filters(config, p, pass, &cut);
    return cut.used + (pass == SQ_BACKWARD ? sq__aft_group_bytes(config, p) : 0);
}

sq_aft_tiles sq__aft_begin(const sq_run *run, const sq_head *head, sq_pass pass, void *workspace)
{
    const sq_problem *p = run->problem;
    const sq_aft_config *config = run->config;
    sq_aft_tiles e = { .run = run, .p = p, .head = head, .bias = sq__aft_bias(config, p) };
    cut(&e, p, pass, workspace);
    e.block.kernels = run->kernels;
    e.block.head = head;
    e.block.tied = config->variant == SQ_AFT_CONV ? p->scale : 0;
    if (e.bias.form == SQ_AFT_FACTORS) e.bias.u = run->call->tensors[0], e.bias.v = run->call->tensors[1];
    else if (e.bias.form == SQ_AFT_FILTER) e.bias.w = filters_of(run, pass) + head->h * e.bias.width;
    else if (e.bias.form != SQ_AFT_NONE) e.bias.w = run->call->tensors[0];
    return e;
}

void sq__aft_make_filters(const sq_run *run, sq_pass pass)
{
    const sq_aft_bias bias = sq__aft_bias(run->config, run->problem);
    float *const *tensors = run->call->tensors;
    for (int64_t h = 0; bias.form == SQ_AFT_FILTER && h < run->problem->H; h++)
        sq__aft_filter(filters_of(run, pass) + h * bias.width, tensors[0] + h * bias.width, tensors[1][h], tensors[2][h], bias.width);
}

float *sq__aft_log_den(const sq_aft_tiles *e, int64_t t)
{
    return (float *)e->run->call->saved + ((e->head->b * e->p->H + e->head->h) * e->p->T + t) * e->p->D;
}

void sq__aft_each_block(sq_aft_tiles *e, int64_t i, sq_aft_block_fn fn)
{
    const int64_t t0 = i * ROWS, end = sq__least(t0 + ROWS, e->head->T), from = near_from(e, i), to = near_to(e, i);
    const int64_t common = e->p->causal ? sq__least(t0, to) : to;   /* keys that all rows see */
    for (int64_t s0 = from; s0 < common; s0 += KEYS)
        if (sq__aft_load(&e->block, &e->bias, t0, end - t0, s0, sq__least(KEYS, common - s0))) fn(e, 0);
    for (int64_t t = t0; common < to && t < end; t++)
        if (sq__aft_load(&e->block, &e->bias, t, 1, common, sq__least(t + 1, to) - common)) fn(e, t - t0);
}

/* ---- forward ---- */

static sq_aft_sums sums_at(const sq_aft_sums *sums, int64_t row, int64_t D)
{
    return (sq_aft_sums){ sums->top + row * D, sums->num + row * D, sums->den + row * D };
}

static sq_aft_sums after_tile(const sq_aft_tiles *e, int64_t i)
{
    float *at = e->after + i * 3 * e->p->D;
    return (sq_aft_sums){ at, at + e->p->D, at + 2 * e->p->D };
}

/* The far keys after every tile, from the last tile to the first. */
static void sum_after(sq_aft_tiles *e)
{
    const int64_t tiles = (e->head->T + ROWS - 1) / ROWS, D = e->p->D;
    for (int64_t i = tiles - 1; i >= 0; i--) {
        const sq_aft_sums sums = after_tile(e, i);
        if (i == tiles - 1) sq__aft_sums_clear(&sums, D);
        else memcpy(sums.top, after_tile(e, i + 1).top, (size_t)(3 * D) * sizeof(float));
        sq__aft_absorb_keys(&e->block, near_to(e, i), i == tiles - 1 ? e->head->N : near_to(e, i + 1), &sums);
    }
}

static void forward_block(sq_aft_tiles *e, int64_t first_row)
{
    const sq_aft_sums rows = sums_at(&e->rows, first_row, e->p->D);
    sq__aft_forward_block(&e->block, &rows);
}

static void add_far(const sq_aft_tiles *e, const sq_aft_sums *row, const sq_aft_sums *far)
{
    if (far->top[0] > -INFINITY) sq__aft_sums_add(&e->block, row, far->top, 0, far->num, far->den);
}

void sq__aft_finish_row(const sq_aft_tiles *e, int64_t t, const sq_aft_sums *row)
{
    const sq_head *head = e->head;
    const int64_t D = e->p->D;
    float *out = head->out + t * head->out_row, *saved = e->run->call->saved ? sq__aft_log_den(e, t) : NULL;
    const bool empty = !(row->top[0] > -INFINITY);
    if (!empty) e->run->kernels->sigmoid(e->sigmoid, head->q + t * head->q_row, D);
    for (int64_t c = 0; c < D; c++) {
        out[c] = row->den[c] > 0 ? e->sigmoid[c] * (row->num[c] / row->den[c]) : 0;
        if (saved) saved[c] = empty ? INFINITY : row->den[c] > 0 ? row->top[c] + logf(row->den[c]) : FLT_MAX;
    }
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    sq_aft_tiles e = sq__aft_begin(run, head, SQ_FORWARD, head->workspace);
    const int64_t D = e.p->D;
    sq__aft_sums_clear(&e.before, D);
    if (e.after) sum_after(&e);
    for (int64_t i = 0; i * ROWS < head->T; i++) {
        const int64_t count = sq__least(ROWS, head->T - i * ROWS);
        sq__aft_absorb_keys(&e.block, i ? near_from(&e, i - 1) : 0, near_from(&e, i), &e.before);
        sq__aft_sums_clear(&e.rows, count * D);
        sq__aft_each_block(&e, i, forward_block);
        for (int64_t r = 0; r < count; r++) {
            const sq_aft_sums row = sums_at(&e.rows, r, D);
            add_far(&e, &row, &e.before);
            if (e.after) {
                const sq_aft_sums after = after_tile(&e, i);
                add_far(&e, &row, &after);
            }
            sq__aft_finish_row(&e, i * ROWS + r, &row);
        }
    }
}

void sq__aft_forward(const sq_run *run)
{
    sq__aft_make_filters(run, SQ_FORWARD);
    sq__for_heads(run, sq__aft_per_thread(run->config, run->problem, SQ_FORWARD), forward_head);
}

/* ---- backward ---- */

/* dq = dout out (1 - sigmoid) */
int64_t sq__aft_load_rows(sq_aft_tiles *e, int64_t i, bool queries)
{
    const sq_head *head = e->head;
    const int64_t D = e->p->D, t0 = i * ROWS, count = sq__least(ROWS, head->T - t0);
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

sq_aft_rows sq__aft_rows_at(const sq_aft_tiles *e, int64_t row)
{
    const int64_t D = e->p->D;
    return (sq_aft_rows){ e->g + row * D, e->h + row * D, sq__aft_log_den(e, e->block.t0) };
}

static void backward_block(sq_aft_tiles *e, int64_t first_row)
{
    const sq_aft_rows rows = sq__aft_rows_at(e, first_row);
    sq__aft_backward_block(&e->block, &rows);
}

/* Rows of tile i, for far keys. */
static void absorb_tile(sq_aft_tiles *e, int64_t i, int64_t count)
{
    const sq_aft_rows rows = { e->g, e->h, sq__aft_log_den(e, i * ROWS) };
    sq__aft_absorb_rows(&e->block, &rows, count, &e->before);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    sq_aft_tiles e = sq__aft_begin(run, head, SQ_BACKWARD, head->workspace);
    const int64_t tiles = (head->T + ROWS - 1) / ROWS, D = e.p->D;
    if (!head->accumulate) {
        sq__zero_rows(head->dk, head->dk_row, 0, head->N, D);
        sq__zero_rows(head->dv, head->dv_row, 0, head->N, D);
    }
    sq__aft_sums_clear(&e.before, D);
    for (int64_t i = tiles - 1; i >= 0; i--) {      /* far keys before later tiles */
        if (i < tiles - 1) sq__aft_apply_rows(&e.block, &e.before, near_from(&e, i), near_from(&e, i + 1));
        const int64_t count = sq__aft_load_rows(&e, i, true);
        sq__aft_each_block(&e, i, backward_block);
        absorb_tile(&e, i, count);
    }
    if (tiles) sq__aft_apply_rows(&e.block, &e.before, 0, near_from(&e, 0));
    if (!far_after(&e.bias, e.p)) return;
    sq__aft_sums_clear(&e.before, D);
    for (int64_t i = 0; i < tiles; i++) {           /* far keys after earlier tiles */
        if (i) sq__aft_apply_rows(&e.block, &e.before, near_to(&e, i - 1), near_to(&e, i));
        absorb_tile(&e, i, sq__aft_load_rows(&e, i, false));
    }
    if (tiles) sq__aft_apply_rows(&e.block, &e.before, near_to(&e, tiles - 1), head->N);
}

void sq__aft_backward(const sq_run *run)
{
    sq__aft_make_filters(run, SQ_BACKWARD);
    sq__for_heads(run, sq__aft_per_thread(run->config, run->problem, SQ_BACKWARD), backward_head);
    if (run->gradients->dtensors) sq__aft_bias_gradients(run);
}
