/* Tiles of windows: what sliding windows, Longformer and the Sparse Transformer share. Depends on the sparse engine. */
#ifndef SQ_ATTENTION_ENGINE_WINDOW_H
#define SQ_ATTENTION_ENGINE_WINDOW_H

#include "attention/engine/sparse.h"

/* Query i sees the keys i + dilation t, -before <= t <= after, that exist. before, after >= 0. */
typedef struct sq_window { int64_t T, N, before, after, dilation; } sq_window;

/* Rows of equal residue modulo the dilation, 64 to a tile; each query is in one tile. */
int64_t sq__window_tiles(const sq_window *window);
int64_t sq__window_most_keys(const sq_window *window);

typedef struct sq_window_part {
    sq_sparse_rows queries, keys;      /* keys: what one of the queries sees, in order */
    int32_t low[SQ_SPARSE_QUERIES], high[SQ_SPARSE_QUERIES];   /* query c sees the keys low[c] <= j < high[c] among them */
} sq_window_part;
void sq__window_part(const sq_window *window, int64_t index, sq_window_part *part);

/* Dilations as an option: one number for all heads, or one per head, with commas between. */
int64_t sq__dilation(const char *text, int64_t head);
/* Refuses what is not 1 or `heads` whole numbers from 1; owner names the mechanism. */
sq_status sq__dilation_check(const char *text, int64_t heads, const char *owner, sq_error *error);

#endif
