#include "attention/engine/relative.h"

#include <math.h>
#include <string.h>

#include "attention/engine/dense_tile.h"
#include "base/integers.h"

enum { LD = TILE_T + TILE_N };         /* columns of a strip: the distances that a tile can meet, one to spare */

int64_t sq__relative_scratch(void) { return TILE_T * LD + TILE_T * TILE_N; }

/* Rows of the table that a tile meets: column 0 of its strip is row `first` (may lie before the table), rows low to high exist. */
typedef struct strip { int64_t first, low, high; } strip;

static strip strip_of(const sq_relative *r, int64_t i0, int64_t queries, int64_t j0, int64_t keys)
{
    const int64_t row = r->places - 1 - (r->origin + i0 - j0), first = row - (queries - 1);   /* row: of query i0 and key j0 */
    return (strip){ first, first > 0 ? first : 0, sq__least(r->places, row + keys) };
}

static void hide(const sq_relative *r, float *s, int64_t row, int64_t origin, int64_t queries, int64_t keys)
{
    if (keys - 1 <= origin && origin + queries - 1 < r->window) return;
    for (int64_t j = 0; j < keys; j++) {
        const int64_t low = j - origin, high = r->window + low;   /* queries low <= c < high see key j */
        for (int64_t c = 0; c < queries; c++)
            if (c < low || c >= high) s[j * row + c] = -INFINITY;
    }
}

static void add(void *context, float *s, int64_t row, int64_t i0, int64_t queries, int64_t j0, int64_t keys)
{
    const sq_relative *r = context;
    if (r->r) {
        const strip of = strip_of(r, i0, queries, j0, keys);
        float *products = r->scratch, *turned = products + TILE_T * LD;
        if (of.low < of.high)
            sq__gemm(false, true, queries, of.high - of.low, r->D, (float)(r->scale * DENSE_LOG2_E), r->p + i0 * r->p_row, r->p_row,
                     r->r + of.low * r->r_row, r->r_row, 0, products + of.low - of.first, LD);
        r->kernels->transpose(turned, TILE_T, products + queries - 1, LD - 1, queries, keys);
        for (int64_t j = 0; j < keys; j++) r->kernels->axpy(s + j * row, 1, turned + j * TILE_T, queries);
    }
    hide(r, s, row, r->origin + i0 - j0, queries, keys);   /* whatever a strip holds beside the table goes here */
}

static void gradient(void *context, const float *ds, int64_t row, float factor, int64_t i0, int64_t queries, int64_t j0, int64_t keys)
{
    const sq_relative *r = context;
    (void)factor;                      /* ds has the scale in it, as p and r want it */
    if (!r->r) return;
    const strip of = strip_of(r, i0, queries, j0, keys);
    const int64_t count = of.high - of.low;
    float *products = r->scratch, *from = products + of.low - of.first;
    if (count <= 0) return;
    memset(products, 0, (size_t)(queries * LD) * sizeof *products);
    r->kernels->transpose(products + queries - 1, LD - 1, ds, row, keys, queries);
    sq__gemm(false, false, queries, r->D, count, 1, from, LD, r->r + of.low * r->r_row, r->r_row, 1, r->dp + i0 * r->dp_row, r->dp_row);
    sq__gemm(true, false, count, r->D, queries, 1, from, LD, r->p + i0 * r->p_row, r->p_row, 1, r->dr + of.low * r->dr_row, r->dr_row);
}

sq_dense_scores sq__relative_scores(sq_relative *relative) { return (sq_dense_scores){ relative, add, gradient }; }
