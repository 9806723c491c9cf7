/* Sequences that are grids: position = ((t * height) + y) * width + x. Shapes come as text ("4x8x8", the first axis the slowest).
 * Positions past the end of the sequence are absent, so a sequence may be shorter than its grid. */
#ifndef SQ_ATTENTION_GRID_H
#define SQ_ATTENTION_GRID_H

#include "attention/kind.h"

enum { SQ_GRID_AXES = 4 };

typedef struct sq_grid { int axes; int64_t size[SQ_GRID_AXES]; } sq_grid;

/* "" : `usual` axes of about the same size that hold `rows`; else least to most axes. Refuses a text that is no shape and one with fewer
 * cells than rows; owner names the mechanism in messages. */
typedef struct sq_grid_rule { const char *owner; int least, most, usual; } sq_grid_rule;
sq_status sq__grid_parse(sq_grid *grid, const sq_grid_rule *rule, const char *text, int64_t rows, sq_error *error);
/* The rows that a grid must hold so that one shape serves every length of a model. */
int64_t sq__grid_rows(const sq_problem *problem);

/* Distance in positions between neighbours along an axis. */
int64_t sq__grid_stride(const sq_grid *grid, int axis);

/* Cells first + i step, 0 <= i < count, along each axis. */
typedef struct sq_grid_box { int64_t first[SQ_GRID_AXES], step[SQ_GRID_AXES], count[SQ_GRID_AXES]; } sq_grid_box;

sq_grid_box sq__grid_whole(const sq_grid *grid);
int64_t sq__grid_cells(const sq_grid *grid, const sq_grid_box *box);
/* Rows of the cells from number `from` on (the last axis fastest, hence ascending), at most `most`, while they are below `limit`. */
int64_t sq__grid_list(const sq_grid *grid, const sq_grid_box *box, int64_t from, int64_t most, int64_t limit, int32_t *rows);

#endif
