/* Sums over rows (gradients of weights) in a fixed order on any number of threads: rows are cut into blocks of SQ_ROWS, blocks into
 * groups; a group takes its blocks in order and adds into partial sums of its own; these are then added in the order of groups.
 * How many groups there are depends on sizes only. Depends on node.h. */
#ifndef SQ_AUTOGRAD_GROUPS_H
#define SQ_AUTOGRAD_GROUPS_H

#include "autograd/node.h"

#define SQ_GROUP_SUMS 4

/* Rows [from, to), at most SQ_ROWS of them. sums: where this group adds, NULL where nothing is wanted; scratch: of this thread. */
typedef void (*sq_rows_fn)(void *context, int64_t from, int64_t to, float *const *sums, float *scratch);

typedef struct sq_row_work {
    int64_t rows, scratch;             /* scratch: floats per thread */
    int64_t block;                     /* rows of a block; 0: SQ_ROWS */
    sq_rows_fn run;
    void *context;
    float *sums[SQ_GROUP_SUMS];        /* added to; NULL: not wanted */
    int64_t lengths[SQ_GROUP_SUMS];    /* floats of each */
} sq_row_work;

void sq__run_rows(sq_tape *tape, const sq_row_work *work);   /* failure is kept in the tape */

/* d[m,n] += y' x over all rows, without partial sums: for weights so large that sums of a few rows cost more to add than to make. */
void sq__add_product(float *d, int64_t m, int64_t n, int64_t rows, const float *y, int64_t ldy, const float *x, int64_t ldx);

#endif
