/* Blocks of the attention-free transformer: exp(k + w) = exp(k - top) exp(w - row_top) exp(top + row_top), a product of matrices with
 * one maximum per feature and one per row. Sums over several blocks carry their own scale per row and feature, so nothing overflows and
 * a sum vanishes only where keys or biases of one block spread over more than 80. */
#include "attention/aft.h"

#include <math.h>
#include <string.h>

static const float most_exponent = 80;   /* exp of more comes to inf, and the weight that it belongs to is 0 anyway */

void sq__aft_block_cut(sq_aft_block *block, int64_t D, sq_cut *cut)
{
    block->D = D;
    block->x = sq__cut_floats(cut, SQ_AFT_KEYS * 2 * D);
    block->product = sq__cut_floats(cut, SQ_AFT_ROWS * 2 * D);
    block->sums = sq__cut_floats(cut, SQ_AFT_KEYS * 2 * D);
    block->top = sq__cut_floats(cut, D);
    block->e = sq__cut_floats(cut, SQ_AFT_ROWS * SQ_AFT_KEYS);
    block->de = sq__cut_floats(cut, SQ_AFT_ROWS * SQ_AFT_KEYS);
    block->row_top = sq__cut_floats(cut, SQ_AFT_ROWS);
    block->a = sq__cut_floats(cut, D);
    block->b = sq__cut_floats(cut, D);
}

void sq__aft_sums_cut(sq_aft_sums *sums, int64_t D, sq_cut *cut)
{
    sums->top = sq__cut_floats(cut, D);
    sums->num = sq__cut_floats(cut, D);
    sums->den = sq__cut_floats(cut, D);
}

void sq__aft_sums_clear(const sq_aft_sums *sums, int64_t D)
{
    for (int64_t c = 0; c < D; c++) {
        sums->top[c] = -INFINITY;
        sums->num[c] = sums->den[c] = 0;
    }
}

void sq__aft_sums_add(const sq_aft_block *block, const sq_aft_sums *sums, const float *top, float shift, const float *num, const float *den)
{
    const int64_t D = block->D;
    for (int64_t c = 0; c < D; c++) {
        const float other = top[c] + shift, most = other > sums->top[c] ? other : sums->top[c];
        block->a[c] = sums->top[c] - most;
        block->b[c] = other - most;
        sums->top[c] = most;
    }
    block->kernels->exp(block->a, block->a, D);
    block->kernels->exp(block->b, block->b, D);
    for (int64_t c = 0; c < D; c++) {
        sums->num[c] = sums->num[c] * block->a[c] + num[c] * block->b[c];
        sums->den[c] = sums->den[c] * block->a[c] + den[c] * block->b[c];
    }
}

/* ---- loading ---- */

static bool key_visible(const sq_aft_block *block, int64_t s)
{
    return !block->head->key_keep || block->head->key_keep[s - block->origin];
}

static void read_key(const sq_aft_block *block, int64_t s, float *to)
{
    const float *k = block->head->k + (s - block->origin) * block->head->k_row;
    if (block->tied == 0) {
        memcpy(to, k, (size_t)block->D * sizeof *to);
        return;
    }
    const float key = block->tied * block->kernels->sum(k, block->D);
    for (int64_t c = 0; c < block->D; c++) to[c] = key;
}

bool sq__aft_load_keys(sq_aft_block *block, int64_t s0, int64_t keys)
{
    const int64_t D = block->D;
    bool any = false;
    block->s0 = s0;
    block->keys = keys;
    for (int64_t c = 0; c < D; c++) block->top[c] = -INFINITY;
    for (int64_t j = 0; j < keys; j++) {
        float *key = block->x + j * 2 * D + D;
        if (!key_visible(block, s0 + j)) continue;
        any = true;
        read_key(block, s0 + j, key);
        for (int64_t c = 0; c < D; c++) block->top[c] = key[c] > block->top[c] ? key[c] : block->top[c];
    }
    for (int64_t j = 0; any && j < keys; j++) {
        float *weighted = block->x + j * 2 * D, *key = weighted + D;
        const float *v = block->head->v + (s0 + j - block->origin) * block->head->v_row;
        if (!key_visible(block, s0 + j)) {
            memset(weighted, 0, (size_t)(2 * D) * sizeof *weighted);
            continue;
        }
        for (int64_t c = 0; c < D; c++) key[c] -= block->top[c];
        block->kernels->exp(key, key, D);
        for (int64_t c = 0; c < D; c++) weighted[c] = key[c] * v[c];
    }
    return any;
}

void sq__aft_absorb_keys(sq_aft_block *block, int64_t from, int64_t to, const sq_aft_sums *sums)
{
    const int64_t D = block->D;
    for (int64_t s0 = from; s0 < to; s0 += SQ_AFT_KEYS) {
        if (!sq__aft_load_keys(block, s0, to - s0 < SQ_AFT_KEYS ? to - s0 : SQ_AFT_KEYS)) continue;
        for (int64_t j = 1; j < block->keys; j++) block->kernels->axpy(block->x, 1, block->x + j * 2 * D, 2 * D);
        sq__aft_sums_add(block, sums, block->top, 0, block->x, block->x + D);
    }
}

bool sq__aft_load(sq_aft_block *block, const sq_aft_bias *bias, int64_t t0, int64_t rows, int64_t s0, int64_t keys)
{
    bool any = false;
    if (!sq__aft_load_keys(block, s0, keys)) return false;
    block->t0 = t0;
    block->rows = rows;
    sq__aft_bias_tile(bias, t0, rows, s0, keys, block->e);
    for (int64_t i = 0; i < rows; i++) {
        float *e = block->e + i * keys;
        for (int64_t j = 0; j < keys; j++)
            if (!key_visible(block, s0 + j)) e[j] = -INFINITY;
        const float top = block->kernels->max(e, keys);
        block->row_top[i] = top;
        any = any || top > -INFINITY;
        if (top > -INFINITY) block->kernels->exp_sum(e, e, 1, top, keys);
        else memset(e, 0, (size_t)keys * sizeof *e);
    }
    return any;
}

/* ---- forward ---- */

void sq__aft_forward_block(sq_aft_block *block, const sq_aft_sums *sums)
{
    const int64_t D = block->D;
    sq__gemm(false, false, block->rows, 2 * D, block->keys, 1, block->e, block->keys, block->x, 2 * D, 0, block->product, 2 * D);
    for (int64_t i = 0; i < block->rows; i++) {
        const sq_aft_sums row = { sums->top + i * D, sums->num + i * D, sums->den + i * D };
        const float *product = block->product + i * 2 * D;
        if (block->row_top[i] > -INFINITY) sq__aft_sums_add(block, &row, block->top, block->row_top[i], product, product + D);
    }
}

/* ---- backward ----
 * p[t,s] = exp(k_s + w_ts) / den_t per feature;  dv_s = sum_t p g_t;  dk_s = sum_t p (g_t v_s + h_t);  dw_ts = sum over features of the same.
 * With the weights of a block: p = x e exp(top + row_top - log den). */

/* Rows of the product: g f | h f with f = exp(top + row_top - log_den). */
static void weigh_rows(sq_aft_block *block, const sq_aft_rows *rows)
{
    const int64_t D = block->D;
    for (int64_t i = 0; i < block->rows; i++) {
        float *to = block->product + i * 2 * D;
        const float *log_den = rows->log_den + i * D;
        if (!(block->row_top[i] > -INFINITY) || !(log_den[0] < INFINITY)) {
            memset(to, 0, (size_t)(2 * D) * sizeof *to);
            continue;
        }
        for (int64_t c = 0; c < D; c++) {
            const float exponent = block->top[c] + block->row_top[i] - log_den[c];
            block->a[c] = exponent < most_exponent ? exponent : most_exponent;
        }
        block->kernels->exp(block->a, block->a, D);
        for (int64_t c = 0; c < D; c++) {
            to[c] = rows->g[i * D + c] * block->a[c];
            to[D + c] = rows->h[i * D + c] * block->a[c];
        }
    }
}

/* x of a key, and the sums over rows of g and h as it is scaled, into its gradients. */
static void add_to_key(const sq_aft_block *block, int64_t s, const float *x, const float *g, const float *h)
{
    const int64_t D = block->D;
    const sq_head *head = block->head;
    float *dk = head->dk + s * head->dk_row, *dv = head->dv + s * head->dv_row, all = 0;
    for (int64_t c = 0; c < D; c++) dv[c] += x[D + c] * g[c];
    if (block->tied == 0) {
        for (int64_t c = 0; c < D; c++) dk[c] += x[c] * g[c] + x[D + c] * h[c];
        return;
    }
    for (int64_t c = 0; c < D; c++) all += x[c] * g[c] + x[D + c] * h[c];
    for (int64_t c = 0; c < D; c++) dk[c] += block->tied * all;
}

void sq__aft_backward_block(sq_aft_block *block, const sq_aft_rows *rows)
{
    const int64_t D = block->D;
    weigh_rows(block, rows);
    sq__gemm(true, false, block->keys, 2 * D, block->rows, 1, block->e, block->keys, block->product, 2 * D, 0, block->sums, 2 * D);
    for (int64_t j = 0; j < block->keys; j++) {
        const float *sums = block->sums + j * 2 * D;
        if (key_visible(block, block->s0 + j)) add_to_key(block, block->s0 + j, block->x + j * 2 * D, sums, sums + D);
    }
}

void sq__aft_backward_bias(sq_aft_block *block, const sq_aft_rows *rows)
{
    weigh_rows(block, rows);
    sq__gemm(false, true, block->rows, block->keys, 2 * block->D, 1, block->product, 2 * block->D, block->x, 2 * block->D, 0, block->de, block->keys);
    for (int64_t i = 0; i < block->rows * block->keys; i++) block->de[i] *= block->e[i];
}

void sq__aft_absorb_rows(sq_aft_block *block, const sq_aft_rows *rows, int64_t count, const sq_aft_sums *sums)
{
    const int64_t D = block->D;
    float *negative = block->x;
    for (int64_t i = 0; i < count; i++) {
        if (!(rows->log_den[i * D] < INFINITY)) continue;
        for (int64_t c = 0; c < D; c++) negative[c] = -rows->log_den[i * D + c];
        sq__aft_sums_add(block, sums, negative, 0, rows->g + i * D, rows->h + i * D);
    }
}

void sq__aft_apply_rows(sq_aft_block *block, const sq_aft_sums *sums, int64_t from, int64_t to)
{
    const int64_t D = block->D;
    if (!(sums->top[0] > -INFINITY)) return;
    for (int64_t s = from; s < to; s++) {
        float *weighted = block->x, *key = weighted + D;
        const float *v = block->head->v + s * block->head->v_row;
        if (!key_visible(block, s)) continue;
        read_key(block, s, key);
        for (int64_t c = 0; c < D; c++) key[c] += sums->top[c];
        block->kernels->exp(key, key, D);
        for (int64_t c = 0; c < D; c++) weighted[c] = key[c] * v[c];
        add_to_key(block, s, block->x, sums->num, sums->den);
    }
}
