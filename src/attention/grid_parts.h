/* Sparse patterns over a grid. A part lists, for every query cell, some key cells: of its group (a box of cells: a line, a window, a
 * segment, a residue class, a block with a margin), or of a ball around it. A pattern is one part or a union of several; the sparse
 * engine does the rest. Every tile costs what its keys cost. */
#ifndef SQ_ATTENTION_GRID_PARTS_H
#define SQ_ATTENTION_GRID_PARTS_H

#include "attention/engine/pattern.h"
#include "attention/grid.h"

enum { SQ_GRID_PARTS = 16 };
enum { SQ_EVERY_RESIDUE = -1 };

/* An axis in blocks, the first cut short by shift; of a block, the cells of a residue modulo step. Keys: the same cells, and `before`
 * and `after` cells beyond the block. */
typedef struct sq_grid_cut { int64_t block, shift, step, residue, before, after; } sq_grid_cut;

typedef enum sq_grid_norm { SQ_NORM_MAXIMUM, SQ_NORM_EUCLIDEAN, SQ_NORM_MANHATTAN } sq_grid_norm;

typedef struct sq_grid_part {
    sq_grid_cut cut[SQ_GRID_AXES];
    int64_t keys_to;                   /* > N: this part also lists keys N .. keys_to - 1, all of them as key row N; else 0 */
    bool not_self;                     /* a cell does not see itself here: another part of the union lists that pair */
    int64_t distance;                  /* > 0: of the group, the cells nearer than this many steps; 0: all */
    sq_grid_norm norm;
    /* filled by sq__grid_pattern */
    int64_t groups, cells, keys;       /* groups; cells and keys of one at most */
    int64_t pack, chunks;              /* groups in a tile; tiles of a group */
    int64_t side[SQ_GRID_AXES];        /* distance: cells of a tile along each axis */
} sq_grid_part;

typedef struct sq_grid_parts {
    sq_grid grid;
    int count;
    sq_grid_part part[SQ_GRID_PARTS];
    int64_t T, N;                      /* rows and keys that exist */
    int64_t most_rows;                 /* the largest T or N that comes: tiles are laid out for it, so that no length needs more memory than this one */
    bool causal;                       /* keys up to the query's own position */
} sq_grid_parts;

/* Every cell is its own block: the start of a part. */
sq_grid_part sq__grid_part(void);
void sq__grid_whole_axis(const sq_grid_parts *parts, sq_grid_part *part, int axis);   /* one block along this axis */

/* What a mechanism gives: grid and parts of query head at->h. The pattern is what engine/pattern.h asks for. */
typedef void (*sq_grid_fn)(const sq_pattern_at *at, sq_grid_parts *parts);
size_t sq__grid_pattern(sq_grid_fn fill, const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern);

/* For grid_parts.c and grid_ball.c. */
sq_grid_box sq__grid_group(const sq_grid_parts *parts, const sq_grid_part *part, int64_t group, bool keys);
void sq__grid_ball_bounds(const sq_grid_parts *parts, sq_grid_part *part);
size_t sq__grid_ball_bytes(const sq_grid_parts *parts, const sq_grid_part *part);
void sq__grid_ball_tile(const sq_grid_parts *parts, const sq_grid_part *part, int64_t index, void *scratch, sq_sparse_tile *tile);

#endif
