/* Tiles of rows of the attention-free transformer: what its execution files share. Only aft_*.c include this. */
#ifndef SQ_ATTENTION_AFT_TILES_H
#define SQ_ATTENTION_AFT_TILES_H

#include "attention/aft.h"

enum { SQ_AFT_GROUPS = 8 };            /* groups of tiles that sum gradients of biases apart, whatever the threads */

typedef struct sq_aft_tiles {          /* one head, one thread */
    const sq_run *run;
    const sq_problem *p;
    const sq_head *head;
    sq_aft_block block;
    sq_aft_bias bias;
    sq_aft_sums before, rows;          /* far keys before the tile (their gradient: rows after it); [ROWS, D] each */
    float *after;                      /* [tiles, 3, D] sums of the far keys after each tile */
    float *g, *h, *sigmoid;            /* [ROWS, D] twice, [D] */
    int64_t group;                     /* of tiles, where gradients of biases are summed */
} sq_aft_tiles;

static inline int64_t sq__aft_tile_count(const sq_problem *p) { return (p->T + SQ_AFT_ROWS - 1) / SQ_AFT_ROWS; }

size_t sq__aft_per_thread(const sq_aft_config *config, const sq_problem *problem, sq_pass pass);
sq_aft_tiles sq__aft_begin(const sq_run *run, const sq_head *head, sq_pass pass, void *workspace);
void sq__aft_make_filters(const sq_run *run, sq_pass pass);   /* before begin */
float *sq__aft_log_den(const sq_aft_tiles *tiles, int64_t t);

/* fn for every block of near keys of tile i, which is loaded; first_row: of the block, within the tile. */
typedef void (*sq_aft_block_fn)(sq_aft_tiles *tiles, int64_t first_row);
void sq__aft_each_block(sq_aft_tiles *tiles, int64_t i, sq_aft_block_fn fn);
/* out = sigmoid(q) num / den of row t; the logarithm of den is saved where wanted. */
void sq__aft_finish_row(const sq_aft_tiles *tiles, int64_t t, const sq_aft_sums *row);
/* g and h of tile i; dq too where wanted. Returns its rows. */
int64_t sq__aft_load_rows(sq_aft_tiles *tiles, int64_t i, bool queries);
sq_aft_rows sq__aft_rows_at(const sq_aft_tiles *tiles, int64_t row);   /* those of the loaded block, whose first is `row` of the tile */

/* ---- gradients of biases (aft_run_bias.c) ---- */

/* Bytes behind the threads' workspace, after the filters, for the groups' sums. */
size_t sq__aft_group_bytes(const sq_aft_config *config, const sq_problem *problem);
float *sq__aft_behind_filters(const sq_run *run);   /* where they begin */
void sq__aft_bias_gradients(const sq_run *run);

#endif
