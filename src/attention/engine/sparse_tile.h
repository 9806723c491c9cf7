/* What forward and backward of the sparse engine share: the tile under work, its keys cut into chunks, gathering and hiding.
 * Scores are held as in dense_tile.h: S' [keys, queries] in units of log 2. Only sparse*.c include this. */
#ifndef SQ_ATTENTION_ENGINE_SPARSE_TILE_H
#define SQ_ATTENTION_ENGINE_SPARSE_TILE_H

#include <string.h>

#include "attention/engine/dense_tile.h"
#include "attention/engine/sparse.h"

enum { SELF_SLOTS = 256 };

/* Where a chunk begins in a tile's list of runs. */
typedef struct sparse_cursor { int run; int64_t at; } sparse_cursor;

typedef struct sparse_work {
    const sq_sparse *sparse;
    const sq_kernels *kernels;
    sq_sparse_tile tile;
    void *scratch;                      /* of the pattern */
    int32_t *query, *key;               /* [64] rows of the tile; [chunk] rows of the chunk */
    int64_t queries, width;             /* width: rounded up */
    int64_t chunk;                      /* keys of a chunk at most */
    int64_t keys, padded;               /* keys of this chunk */
    sparse_cursor from, next;
    uint8_t slot[SELF_SLOTS], chain[SQ_SPARSE_QUERIES];   /* which query has a row: 1 + index, by row modulo SELF_SLOTS; only with has_self_score */
    tile_products products;
} sparse_work;

void sq__sparse_work_cut(sparse_work *w, sq_cut *piece, const sq_sparse_pattern *pattern);
size_t sq__sparse_forward_workspace(int64_t T, int64_t D, int64_t M, const sq_sparse_pattern *pattern, sq_sparse_mode mode);
/* The largest width of a tile: 64, less where T is small. */
static inline int64_t sq__sparse_width(int64_t T) { return dense_tile_t(T); }
/* Fetch tile `index` and stand before its first chunk. False: it has no queries. */
bool sq__sparse_begin(sparse_work *w, int64_t index);
/* The next chunk: its keys, or false after the last. */
bool sq__sparse_next(sparse_work *w);
/* y [padded, columns]: rows of x, zeros after the last and where keep (NULL allowed) hides. */
void sq__sparse_gather(float *y, const float *x, int64_t x_row, const int32_t *rows, int64_t count, int64_t padded, int64_t columns, const uint8_t *keep);
/* A row into its place: added where that holds something already. */
static inline void sq__sparse_put(float *to, const float *from, int64_t columns, bool add, const sq_kernels *kernels)
{
    if (add) kernels->axpy(to, 1, from, columns);
    else memcpy(to, from, (size_t)columns * sizeof *to);
}
/* Zeros into the rows that were not met. */
void sq__sparse_zero_others(float *data, int64_t row, int64_t rows, int64_t columns, const uint8_t *met);
/* The chunk's raw scores become what the softmax sees: additions, self scores, -inf for pairs that do not exist. */
void sq__sparse_rules(const sparse_work *w, float *s);
/* Every visible pair of a row with itself in the chunk is set to value. */
void sq__sparse_set_self(const sparse_work *w, float *s, float value);

/* Statistics of the tile: maxima [64 or T] and log-sums behind them. */
typedef struct sparse_stats { float *max, *log_sum; } sparse_stats;
sparse_stats sq__sparse_stats(const sq_sparse *sparse, int64_t index);

#endif
