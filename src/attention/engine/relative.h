/* Relative positions for the dense engine (Transformer-XL, arXiv:1901.02860): scores by distance with a projected table of distances, and a
 * window over the past, tile by tile.
 *   s_ij = scale (q_i . k_j + p_i . r_d),  d = origin + i - j, visible where 0 <= d < window
 * The table holds distances in falling order, so the products of 64 queries with the rows that a tile of keys needs are, read along a
 * diagonal (one column less from row to row), the tile itself: the relative shift costs one transposition. Depends on dense.h. */
#ifndef SQ_ATTENTION_ENGINE_RELATIVE_H
#define SQ_ATTENTION_ENGINE_RELATIVE_H

#include "attention/engine/dense.h"

typedef struct sq_relative {           /* queries of one head against one list of keys */
    int64_t D, origin, window;
    float scale;
    const float *p;                    /* [T,D] what meets the table */
    int64_t p_row;
    const float *r;                    /* [places,D]: row places-1-d is distance d; NULL: distances only hide */
    int64_t r_row, places;             /* no visible distance reaches places */
    float *dp, *dr;                    /* backward, both ADDED to; rows as p, r */
    int64_t dp_row, dr_row;
    const sq_kernels *kernels;
    float *scratch;                    /* sq__relative_scratch() floats */
} sq_relative;

int64_t sq__relative_scratch(void);
/* For sq_dense.scores; borrows relative. */
sq_dense_scores sq__relative_scores(sq_relative *relative);

#endif
