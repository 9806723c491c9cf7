/* What forward and backward of the dense engine share, and the sparse engine with them: tile sizes, packing, products, masks.
 * Only the engines' own files include this.
 *
 * Scores are held transposed, S' [keys, queries]: a column per query. Then the running maximum and sum of 64 queries are
 * four vectors and need no reduction across lanes, K and V multiply in their natural layout, and only the 64 queries of a
 * tile are transposed. Scores are in units of log 2 (the factor goes into the queries when they are packed).
 */
#ifndef SQ_ATTENTION_ENGINE_DENSE_TILE_H
#define SQ_ATTENTION_ENGINE_DENSE_TILE_H

#include "attention/engine/dense.h"
#include "base/integers.h"

enum {
    TILE_T = 64,        /* queries in a tile: four 16-lane vectors, the block products' best shape */
    TILE_N = 256,       /* keys in a tile */
    TILE_STEP = 16,     /* keys of the last tile are padded to a multiple of this: few shapes of generated code */
    SPAN_TILES = 4,     /* key tiles packed at once and met by every query tile before the next span */
    SPAN_N = SPAN_TILES * TILE_N,
};

/* Queries in a tile: 64, fewer when T is small. */
static inline int64_t dense_tile_t(int64_t T) { return T >= TILE_T ? TILE_T : sq__round_up(T > 0 ? T : 1, TILE_STEP); }
static inline int64_t dense_span(int64_t N) { return sq__least(SPAN_N, sq__round_up(N, TILE_STEP)); }
static inline int64_t dense_tile_n(int64_t N) { return sq__least(TILE_N, sq__round_up(N, TILE_STEP)); }

/* Copy rows [from, from+count) of x to y [padded, width], zeros after the last and in rows that key_keep (of row 0; NULL)
 * hides: what no query sees may hold anything, NaN included. */
void sq__dense_pack(float *y, const float *x, int64_t x_row, int64_t from, int64_t count, int64_t padded, int64_t width, const uint8_t *key_keep);
/* y[width, tile] = factor * (rows [from, from+count) of x)', zeros after the last. */
void sq__dense_pack_transposed(float *y, const float *x, int64_t x_row, int64_t from, int64_t count, int64_t tile, int64_t width, float factor,
                               const sq_kernels *kernels);
size_t sq__dense_forward_workspace(int64_t T, int64_t N, int64_t D, int64_t M);
size_t sq__dense_backward_workspace(int64_t T, int64_t N, int64_t D, int64_t M);

/* The products of a tile of keys and queries, looked up again only when its shape changes. */
typedef struct tile_products {
    int64_t padded, tile;
    sq_block scores;                              /* S' = K q' */
    sq_block first_values, values;                /* forward: acc = V' P', acc += V' P' */
    sq_block dprobability, dvalues, dkeys, dqueries;   /* backward: dP' = V dout', dV (+)= P' dout, dK (+)= dS' q, dq' += K' dS' */
} tile_products;
void sq__tile_forward_products(tile_products *products, int64_t padded, int64_t tile, int64_t D, int64_t M);
/* add: dV and dK are added to. */
void sq__tile_backward_products(tile_products *products, int64_t padded, int64_t tile, int64_t D, int64_t M, bool add);

#define DENSE_LOG2_E 1.44269504088896340736
#define DENSE_LN_2 0.693147180559945309417

/* causal: the first query that sees key j; may be negative. */
static inline int64_t dense_first_query(const sq_dense *dense, int64_t j)
{
    return (dense->stride ? dense->stride : 1) * j - dense->ahead;
}

/* Keys that queries [i0, i0+count) can see end here (causal or not). */
static inline int64_t dense_visible_end(const sq_dense *dense, int64_t i0, int64_t count)
{
    const int64_t reach = i0 + count - 1 + dense->ahead, stride = dense->stride ? dense->stride : 1;
    if (!dense->causal) return dense->N;
    return reach < 0 ? 0 : sq__least(dense->N, reach / stride + 1);
}
/* -inf into S' [padded, tile] (keys from j0, queries from i0) wherever a query does not see a key; rows beyond keys too. */
void sq__dense_mask(const sq_dense *dense, float *s, int64_t i0, int64_t queries, int64_t tile, int64_t j0, int64_t keys, int64_t padded);

#endif
