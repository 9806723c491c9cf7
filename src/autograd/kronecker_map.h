/* Inside of Kronecker maps: blocks of factors prepared once, applied to rows. A stage contracts one factor; rows lie side by side in
 * the innermost axis, so every stage is a product with long rows. Depends on kronecker.h. */
#ifndef SQ_AUTOGRAD_KRONECKER_MAP_H
#define SQ_AUTOGRAD_KRONECKER_MAP_H

#include "autograd/kronecker.h"

typedef struct sq_kronecker_map {
    sq_kronecker sizes, turned;        /* turned: of the adjoint */
    int64_t blocks;
    const float *factors, *adjoint;    /* prepared, [blocks][sq__kronecker_prepared] */
} sq_kronecker_map;

int64_t sq__kronecker_prepared(const sq_kronecker *k); /* floats of one block's prepared factors */
/* room [2 * blocks * prepared] */
sq_kronecker_map sq__kronecker_prepare(const sq_kronecker *k, int64_t blocks, const float *factors, float *room);
int64_t sq__kronecker_scratch(const sq_kronecker *k, int64_t rows);   /* floats for any call with at most that many rows */

void sq__kronecker_forward(const sq_kronecker_map *map, int64_t rows, const float *x, int64_t ldx, float *y, int64_t ldy, float *scratch);
/* dx is added to */
void sq__kronecker_backward(const sq_kronecker_map *map, int64_t rows, const float *dy, int64_t ldy, float *dx, int64_t ldx, float *scratch);
/* dfactors [blocks, floats] is added to */
void sq__kronecker_gradient(const sq_kronecker_map *map, int64_t rows, const float *x, int64_t ldx, const float *dy, int64_t ldy, float *dfactors,
                            float *scratch);

#endif
