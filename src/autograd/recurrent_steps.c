/* The walks: step by step through a slice of the batch, there and back. */
#include <math.h>

#include "autograd/recurrent_run.h"
#include "base/subnormal.h"

static int64_t map_scratch(const sq_recurrent_run *run)
{
    int64_t most = 0;
    for (int i = 0; i < SQ_MAP_USES; i++) {
        const sq_map_use *use = &run->uses[i];
        int64_t needed = use->part && use->part->scratch ? use->part->scratch(use, run->walk.size) : 0;
        most = needed > most ? needed : most;
    }
    return most;
}

int64_t sq__recurrent_scratch(const sq_recurrent_run *run, bool back)
{
    const sq_rows step = { .count = run->walk.size, .width = { 0 } };
    sq_rows rows = run->rows;
    rows.count = step.count;
    int64_t own = back ? run->walk.size * (run->state + 2 * run->H) : run->walk.size * run->state + (run->rows.at ? 0 : sq__rows_floats(&rows));
    return own + map_scratch(run) + 16;
}

static void forward_map(const sq_recurrent_run *run, int which, int64_t count, const float *x, int64_t ldx, float *y, int64_t ldy, const sq_rows *rows,
                        int64_t row, float *scratch)
{
    const sq_map_use *use = &run->uses[which];
    use->part->forward(use, count, x, ldx, y, ldy, sq__rows_at(rows, SQ_ROW_MIDDLE + which, row), scratch);
}

static void add_bias(const sq_recurrent_run *run, float *gates, int64_t from, int64_t to)   /* blocks */
{
    if (run->bias) sq__kernels()->axpy(gates + from * run->H, 1.0f, run->bias + from * run->H, (to - from) * run->H);
}

static sq_cell_row row_of(const sq_recurrent_run *run, const sq_rows *rows, int64_t row)
{
    return (sq_cell_row){ .H = run->H,
                          .parameters = run->parameters,
                          .gates = sq__rows_at(rows, SQ_ROW_GATES, row),
                          .kept = sq__rows_at(rows, SQ_ROW_KEPT, row),
                          .made = sq__rows_at(rows, SQ_ROW_MADE, row) };
}

typedef struct slice { int64_t count, steps; const int64_t *order; int64_t row; } slice;   /* row: the first */

static slice slice_of(const sq_walk *w, int64_t i)
{
    const int64_t *order = w->order + i * w->size;
    return (slice){ sq__least(w->size, w->B - i * w->size), sq__walk_length(w, order[0]), order, w->base[i] };
}

/* One step of the first `going` sequences; rows: where theirs lie, from `row` on. */
static void forward_step(const sq_recurrent_run *run, const slice *s, int64_t step, int64_t going, const sq_rows *rows, int64_t row, float *state,
                         float *scratch)
{
    const sq_cell_kind *cell = run->cell;
    const int64_t H = run->H, W = run->state;
    float *gates = sq__rows_at(rows, SQ_ROW_GATES, row);
    if (run->rows.at) memcpy(sq__rows_at(rows, SQ_ROW_STATE, row), state, (size_t)(going * W) * sizeof *state);
    forward_map(run, SQ_MAP_STATE, going, state, W, gates, run->gates, rows, row, scratch);
    for (int pass = cell->open ? 0 : 1; pass < 2; pass++) {
        for (int64_t i = 0; i < going; i++) {
            sq_cell_row r = row_of(run, rows, row + i);
            r.input = run->projection + sq__walk_row(&run->walk, s->order[i], step) * run->gates;
            r.h = state + i * W;
            r.c = r.h + run->P;
            r.result = run->uses[SQ_MAP_OUTPUT].part ? sq__rows_at(rows, SQ_ROW_RESULT, row + i) : r.h;
            add_bias(run, r.gates, pass && cell->open ? cell->within : 0, pass ? cell->blocks : cell->within);
            if (pass) cell->forward(&r);
            else cell->open(&r);
        }
        if (pass == 0)
            forward_map(run, SQ_MAP_WITHIN, going, sq__rows_at(rows, SQ_ROW_MADE, row), H, gates + cell->within * H, run->gates, rows, row, scratch);
    }
    if (run->uses[SQ_MAP_OUTPUT].part)
        forward_map(run, SQ_MAP_OUTPUT, going, sq__rows_at(rows, SQ_ROW_RESULT, row), H, state, W, rows, row, scratch);
    for (int64_t i = 0; i < going; i++)
        memcpy(run->out + sq__walk_row(&run->walk, s->order[i], step) * run->P, state + i * W, (size_t)run->P * sizeof *state);
}

/* Rows of x [B,T,width] beyond the length of sequence b. */
static void clear_past(const sq_walk *w, int64_t b, float *x, int64_t width)
{
    const int64_t length = sq__walk_length(w, b);
    memset(x + (b * w->T + length) * width, 0, (size_t)((w->T - length) * width) * sizeof *x);
}

void sq__recurrent_forward_slice(void *context, int64_t item, int thread)
{
    const sq_recurrent_run *run = context;
    const int64_t W = run->state;
    slice s = slice_of(&run->walk, item);
    float *state = run->scratch + thread * run->thread_scratch, *scratch = state + run->walk.size * W;
    sq_rows rows = run->rows;
    if (!rows.at) {
        rows.count = run->walk.size;
        rows.at = scratch;
        scratch += sq__rows_floats(&rows);
    }
    const unsigned before = sq__subnormals_off();   /* states may fade for ever */
    for (int64_t i = 0; i < s.count; i++) {
        if (run->initial) memcpy(state + i * W, run->initial + s.order[i] * W, (size_t)W * sizeof *state);
        else memset(state + i * W, 0, (size_t)W * sizeof *state);
        clear_past(&run->walk, s.order[i], run->out, run->P);
    }
    int64_t going = s.count, row = s.row;
    for (int64_t step = 0; step < s.steps; step++) {
        while (sq__walk_length(&run->walk, s.order[going - 1]) <= step) going--;
        forward_step(run, &s, step, going, &rows, run->rows.at ? row : 0, state, scratch);
        row += going;
    }
    sq__subnormals_restore(before);
    for (int64_t i = 0; i < s.count; i++) memcpy(run->last + s.order[i] * W, state + i * W, (size_t)W * sizeof *state);
}

/* Gradients fade along a sequence; once so small they are nothing, and arithmetic on subnormal numbers is a hundred times slower:
 * products of what is left stay above them. */
#define FADED 1e-30f

static void fade(float *x, int64_t n)
{
#pragma omp simd
    for (int64_t i = 0; i < n; i++) x[i] = fabsf(x[i]) < FADED ? 0 : x[i];
}

static bool any(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (x[i] != 0) return true;   /* NaN counts as something */
    return false;
}

static void backward_map(const sq_recurrent_run *run, int which, int64_t count, const float *dy, int64_t ldy, float *dx, int64_t ldx, int64_t row,
                         float *scratch)
{
    const sq_map_use *use = &run->uses[which];
    use->part->backward(use, count, dy, ldy, dx, ldx, sq__rows_at(&run->back, SQ_BACK_MIDDLE + which, row), scratch);
}

static void backward_step(const sq_recurrent_run *run, const slice *s, int64_t step, int64_t going, int64_t row, float *dstate, float *dresult,
                          float *dmade, float *scratch)
{
    const sq_cell_kind *cell = run->cell;
    const sq_rows *rows = &run->rows;
    const int64_t H = run->H, W = run->state;
    const bool projected = run->uses[SQ_MAP_OUTPUT].part != NULL;
    float *gates = sq__rows_at(rows, SQ_ROW_GATES, row);
    for (int64_t i = 0; i < going; i++) {
        float *dh = dstate + i * W;
        if (run->dout) sq__kernels()->axpy(dh, 1.0f, run->dout + sq__walk_row(&run->walk, s->order[i], step) * run->P, run->P);
        fade(dh, W);
        if (!projected) continue;
        memcpy(sq__rows_at(&run->back, SQ_BACK_OUTPUT, row + i), dh, (size_t)run->P * sizeof *dh);
        memset(dh, 0, (size_t)run->P * sizeof *dh);
    }
    if (projected) {
        memset(dresult, 0, (size_t)(going * H) * sizeof *dresult);
        backward_map(run, SQ_MAP_OUTPUT, going, sq__rows_at(&run->back, SQ_BACK_OUTPUT, row), run->P, dresult, H, row, scratch);
    }
    bool left = false;
    for (int pass = 1; pass >= (cell->open ? 0 : 1); pass--) {
        if (pass == 0) {
            memset(dmade, 0, (size_t)(going * H) * sizeof *dmade);
            backward_map(run, SQ_MAP_WITHIN, going, gates + cell->within * H, run->gates, dmade, H, row, scratch);
        }
        for (int64_t i = 0; i < going; i++) {
            sq_cell_row r = row_of(run, rows, row + i);
            r.h_before = sq__rows_at(rows, SQ_ROW_STATE, row + i);
            r.c_before = r.h_before + run->P;
            r.dh = dstate + i * W;
            r.dc = r.dh + run->P;
            r.dresult = projected ? dresult + i * H : r.dh;
            r.dmade = dmade + i * H;
            r.dinput = run->dprojection + sq__walk_row(&run->walk, s->order[i], step) * run->gates;
            if (pass == 0) cell->open_backward(&r);
            else {
                cell->backward(&r);
                if (!cell->passes) memset(r.dh, 0, (size_t)run->P * sizeof *r.dh);
            }
            if (pass == 1 && cell->open) continue;
            if (!cell->apart) memcpy(r.dinput, r.gates, (size_t)run->gates * sizeof *r.gates);
            left = left || any(r.gates, run->gates);
        }
    }
    if (left || run->uses[SQ_MAP_STATE].middle) backward_map(run, SQ_MAP_STATE, going, gates, run->gates, dstate, W, row, scratch);
}

void sq__recurrent_backward_slice(void *context, int64_t item, int thread)
{
    const sq_recurrent_run *run = context;
    const sq_walk *w = &run->walk;
    const int64_t W = run->state;
    slice s = slice_of(w, item);
    float *dstate = run->scratch + thread * run->thread_scratch, *dresult = dstate + w->size * W, *dmade = dresult + w->size * run->H,
          *scratch = dmade + w->size * run->H;
    for (int64_t i = 0; i < s.count; i++) {
        if (run->dlast) memcpy(dstate + i * W, run->dlast + s.order[i] * W, (size_t)W * sizeof *dstate);
        else memset(dstate + i * W, 0, (size_t)W * sizeof *dstate);
        clear_past(w, s.order[i], run->dprojection, run->gates);
    }
    int64_t going = 0, row = w->base[item + 1];
    for (int64_t step = s.steps; step-- > 0;) {
        while (going < s.count && sq__walk_length(w, s.order[going]) > step) going++;
        row -= going;
        backward_step(run, &s, step, going, row, dstate, dresult, dmade, scratch);
    }
    for (int64_t i = 0; run->dinitial && i < s.count; i++) sq__kernels()->axpy(run->dinitial + s.order[i] * W, 1.0f, dstate + i * W, W);
}
