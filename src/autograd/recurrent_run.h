/* One call of the recurrent operation: what is kept per row and step, and the walks there and back. Depends on recurrent_cells.h,
 * recurrent_maps.h, recurrent_walk.h. */
#ifndef SQ_AUTOGRAD_RECURRENT_RUN_H
#define SQ_AUTOGRAD_RECURRENT_RUN_H

#include "autograd/recurrent_cells.h"
#include "autograd/recurrent_maps.h"
#include "autograd/recurrent_walk.h"

/* Uses of maps: of the state, behind a gate, of the cell's result (output projection). */
enum { SQ_MAP_STATE, SQ_MAP_WITHIN, SQ_MAP_OUTPUT, SQ_MAP_USES };

/* What a row of a step leaves for backward. */
enum { SQ_ROW_GATES, SQ_ROW_STATE, SQ_ROW_KEPT, SQ_ROW_MADE, SQ_ROW_RESULT, SQ_ROW_MIDDLE, SQ_ROW_PARTS = SQ_ROW_MIDDLE + SQ_MAP_USES };
/* What backward makes beside it: gradients of middles, and of h where an output projection made it. */
enum { SQ_BACK_MIDDLE, SQ_BACK_OUTPUT = SQ_MAP_USES, SQ_BACK_PARTS };

typedef struct sq_rows { int64_t count, width[SQ_ROW_PARTS]; float *at; } sq_rows;   /* parts after each other, each [count, width] */

typedef struct sq_recurrent_run {
    sq_walk walk;
    const sq_cell_kind *cell;
    int64_t H, P, state, gates;        /* numbers of a block, of h, of the state, of all blocks */
    sq_map_use uses[SQ_MAP_USES];
    const float *projection, *bias, *parameters, *initial;
    float *out, *last;
    sq_rows rows, back;                /* rows.at NULL: nothing is kept, a step's rows live in scratch */
    const float *dout, *dlast;
    float *dprojection, *dinitial;
    float *scratch;
    int64_t thread_scratch;
} sq_recurrent_run;

static inline float *sq__rows_at(const sq_rows *rows, int part, int64_t row)
{
    int64_t before = 0;
    for (int i = 0; i < part; i++) before += rows->width[i];
    return rows->at + before * rows->count + row * rows->width[part];
}

static inline int64_t sq__rows_floats(const sq_rows *rows)
{
    int64_t all = 0;
    for (int i = 0; i < SQ_ROW_PARTS; i++) all += rows->width[i];
    return all * rows->count;
}

int64_t sq__recurrent_scratch(const sq_recurrent_run *run, bool back);         /* floats of a thread */
void sq__recurrent_forward_slice(void *run, int64_t slice, int thread);
void sq__recurrent_backward_slice(void *run, int64_t slice, int thread);

#endif
