/* How states meet weights inside of the recurrent operation. A use of a map is some of its blocks: the state's blocks, those behind
 * a gate, an output projection. Depends on node.h, kronecker_map.h. */
#ifndef SQ_AUTOGRAD_RECURRENT_MAPS_H
#define SQ_AUTOGRAD_RECURRENT_MAPS_H

#include "autograd/kronecker_map.h"
#include "autograd/node.h"

typedef struct sq_map_use {
    const struct sq_map_part *part;    /* NULL: not used */
    int64_t in, out;                   /* numbers of a row that goes in and comes out */
    int64_t middle;                    /* numbers of a row that forward leaves for the gradient, and backward as much */
    int64_t blocks;                    /* Kronecker: of these */
    const float *weight, *left;        /* first of its blocks */
    const sq_kronecker *sizes;
    sq_packed ahead[2], back[2];       /* weight and left */
    sq_kronecker_map kronecker;
} sq_map_use;

typedef struct sq_map_part {
    int64_t (*room)(const sq_map_use *use);                      /* floats that pack needs */
    int64_t (*scratch)(const sq_map_use *use, int64_t rows);     /* floats of a thread for so many rows; NULL: none */
    void (*pack)(sq_map_use *use, float *room);                  /* room NULL: the weights are read where they lie */
    void (*forward)(const sq_map_use *use, int64_t rows, const float *x, int64_t ldx, float *y, int64_t ldy, float *middle, float *scratch);
    /* dx is added to; dmiddle is written */
    void (*backward)(const sq_map_use *use, int64_t rows, const float *dy, int64_t ldy, float *dx, int64_t ldx, float *dmiddle, float *scratch);
    /* of all rows at once; dweight and dleft (NULL: not wanted) are added to */
    void (*gradient)(sq_tape *tape, const sq_map_use *use, int64_t rows, const float *x, int64_t ldx, const float *dy, int64_t ldy,
                     const float *middle, const float *dmiddle, float *dweight, float *dleft);
    bool packs_always;                 /* pack must have room */
} sq_map_part;

extern const sq_map_part sq__map_dense, sq__map_low_rank, sq__map_kronecker;

#endif
