/* Packing and masks of the dense engine. */
#include <math.h>
#include <string.h>

#include "attention/engine/dense_tile.h"
#include "base/integers.h"

void sq__dense_pack(float *y, const float *x, int64_t x_row, int64_t from, int64_t count, int64_t padded, int64_t width, const uint8_t *key_keep)
{
    for (int64_t i = 0; i < count; i++) {
        if (key_keep && !key_keep[from + i]) memset(y + i * width, 0, (size_t)width * sizeof *y);
        else memcpy(y + i * width, x + (from + i) * x_row, (size_t)width * sizeof *y);
    }
    memset(y + count * width, 0, (size_t)((padded - count) * width) * sizeof *y);
}

void sq__dense_pack_transposed(float *y, const float *x, int64_t x_row, int64_t from, int64_t count, int64_t tile, int64_t width, float factor,
                               const sq_kernels *kernels)
{
    if (count < tile) memset(y, 0, (size_t)(width * tile) * sizeof *y);
    kernels->transpose(y, tile, x + from * x_row, x_row, count, width);
    if (factor != 1) kernels->scale(y, factor, width * tile);
}

void sq__tile_forward_products(tile_products *products, int64_t padded, int64_t tile, int64_t D, int64_t M)
{
    if (padded == products->padded && tile == products->tile) return;
    products->padded = padded;
    products->tile = tile;
    products->scores = sq__block(false, padded, tile, D, D, tile, tile, false);
    products->first_values = sq__block(true, M, tile, padded, M, tile, tile, false);
    products->values = sq__block(true, M, tile, padded, M, tile, tile, true);
}

void sq__tile_backward_products(tile_products *products, int64_t padded, int64_t tile, int64_t D, int64_t M, bool add)
{
    if (padded == products->padded && tile == products->tile) return;
    products->padded = padded;
    products->tile = tile;
    products->scores = sq__block(false, padded, tile, D, D, tile, tile, false);
    products->dprobability = sq__block(false, padded, tile, M, M, tile, tile, false);
    products->dvalues = sq__block(false, padded, M, tile, tile, M, M, add);
    products->dkeys = sq__block(false, padded, D, tile, tile, D, D, add);
    products->dqueries = sq__block(true, D, tile, padded, D, tile, tile, true);
}

static void hide_rows(float *s, int64_t tile, int64_t from, int64_t to)
{
    for (int64_t i = from * tile; i < to * tile; i++) s[i] = -INFINITY;
}

void sq__dense_mask(const sq_dense *dense, float *s, int64_t i0, int64_t queries, int64_t tile, int64_t j0, int64_t keys, int64_t padded)
{
    hide_rows(s, tile, keys, padded);
    for (int64_t j = keys; dense->causal && j-- > 0;) {
        const int64_t hidden = dense_first_query(dense, j0 + j) - i0;       /* so many queries of the tile come before what they may see */
        if (hidden <= 0) break;
        for (int64_t i = 0; i < sq__least(tile, hidden); i++) s[j * tile + i] = -INFINITY;
    }
    if (dense->key_keep)
        for (int64_t j = 0; j < keys; j++)
            if (!dense->key_keep[j0 + j]) hide_rows(s, tile, j, j + 1);
    if (dense->pair_keep)
        for (int64_t i = 0; i < queries; i++) {
            const uint8_t *keep = dense->pair_keep + (i0 + i) * dense->pair_row + j0;
            for (int64_t j = 0; j < keys; j++)
                if (!keep[j]) s[j * tile + i] = -INFINITY;
        }
}

size_t sq__dense_workspace(int64_t T, int64_t N, int64_t D, int64_t M, sq_pass pass)
{
    return pass == SQ_FORWARD ? sq__dense_forward_workspace(T, N, D, M) : sq__dense_backward_workspace(T, N, D, M);
}
