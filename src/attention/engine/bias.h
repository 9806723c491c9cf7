/* A bias by distance on the scores of one head, in the engines' tiles: S' [keys, queries], a column per query, units of log 2.
 *   ALiBi, arXiv:2108.12409        s_ij -= slope |i - j|,   slope = 2^(-8 (h+1) / H)
 *   relative, arXiv:1803.02155     s_ij += table[clip(j - i)],   clip to -distance .. distance   (a number, where the paper has a vector)
 * Linear in the pairs of a tile. The gradient of the table is summed in double precision apart for each batch entry and head, so
 * its bits do not depend on threads. Depends on kind.h.
 */
#ifndef SQ_ATTENTION_ENGINE_BIAS_H
#define SQ_ATTENTION_ENGINE_BIAS_H

#include "attention/kind.h"

typedef struct sq_bias {
    float slope;                       /* ALiBi; 0: none */
    const float *table;                /* [2 distance + 1] or NULL */
    double *dtable;                    /* its gradient, added to; NULL in forward */
    int64_t distance;
} sq_bias;

/* Places of queries or keys in their sequence: rows[count], or, when rows is NULL, first, first + step, ... */
typedef struct sq_places { int64_t count; const int32_t *rows; int64_t first, step; } sq_places;

/* The bias of a head; false: the plan has none. */
bool sq__head_bias(const sq_run *run, const sq_head *head, sq_bias *bias);
/* s [keys.count, row] += bias in units of log 2; the first queries.count columns of each row. */
void sq__bias_add(const sq_bias *bias, float *s, int64_t row, const sq_places *queries, const sq_places *keys);
/* dtable += factor * ds, ds [keys.count, row] the gradient of the scores (in natural units; factor undoes what it was scaled by). */
void sq__bias_gradient(const sq_bias *bias, const float *ds, int64_t row, float factor, const sq_places *queries, const sq_places *keys);

#endif
