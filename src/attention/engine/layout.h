/* The sparse engine over a layout of blocks: which blocks of keys each block of queries sees, as block-sparse libraries hand it out.
 * Depends on the sparse engine. */
#ifndef SQ_ATTENTION_ENGINE_LAYOUT_H
#define SQ_ATTENTION_ENGINE_LAYOUT_H

#include "attention/engine/sparse.h"

typedef struct sq_layout {
    int64_t T, N, block;
    const uint8_t *seen;               /* [ceil(T/block), ceil(N/block)] 1: every pair of the two blocks */
    bool causal;                       /* of these, keys up to the query only */
} sq_layout;

/* `layout` must live as long as the pattern. */
sq_sparse_pattern sq__layout_pattern(const sq_layout *layout);

#endif
