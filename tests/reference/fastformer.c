/* Fastformer: one global query, one global key, each a softmax-weighted sum; products by entries. */
#include "reference/reference.h"

#include <math.h>
#include <stdlib.h>

static bool kept(const reference_case *at, int64_t b, int64_t i)
{
    return i < reference_keys(at, b) && !(at->key_keep && !at->key_keep[b * at->N + i]);
}

/* sum [D] = sum_i softmax_i(scale w . row_i) row_i over the rows that exist; false: none does. */
static bool weighted_sum(const reference_case *at, const double *w, double *const *rows, int64_t count, double *sum)
{
    double most = -INFINITY, total = 0;
    for (int64_t c = 0; c < at->D; c++) sum[c] = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < count; i++) {
            double score = 0;
            if (!rows[i]) continue;
            for (int64_t c = 0; c < at->D; c++) score += at->scale * w[c] * rows[i][c];
            if (pass == 0) {
                most = fmax(most, score);
                continue;
            }
            total += exp(score - most);
            for (int64_t c = 0; c < at->D; c++) sum[c] += exp(score - most) * rows[i][c];
        }
    for (int64_t c = 0; total > 0 && c < at->D; c++) sum[c] /= total;
    return total > 0;
}

static void head(const reference_case *at, int64_t b, int64_t h, double *query, double *key, double *products, double **rows)
{
    const int64_t D = at->D;
    const double *transform = at->tensors[2] + h * D * D;
    for (int64_t i = 0; i < at->N; i++) rows[i] = kept(at, b, i) && i < reference_rows(at, b) ? (double *)(uintptr_t)reference_q(at, b, i, h) : NULL;
    weighted_sum(at, at->tensors[0] + h * D, rows, at->N, query);
    for (int64_t j = 0; j < at->N; j++) {
        rows[j] = kept(at, b, j) ? products + j * D : NULL;
        for (int64_t c = 0; c < D; c++) products[j * D + c] = query[c] * reference_k(at, b, j, h)[c];
    }
    if (!weighted_sum(at, at->tensors[1] + h * D, rows, at->N, key)) return;
    for (int64_t i = 0; i < reference_rows(at, b); i++)
        for (int64_t c = 0; c < D; c++) {
            double *out = &reference_out(at, b, i, h)[c];
            *out = reference_q(at, b, i, h)[c];
            for (int64_t r = 0; kept(at, b, i) && r < D; r++) *out += key[r] * reference_v(at, b, i, h)[r] * transform[r * D + c];
        }
}

static void run(const reference_case *at)
{
    double *work = calloc((size_t)((at->N + 2) * at->D), sizeof *work), **rows = calloc((size_t)at->N, sizeof *rows);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) head(at, b, h, work, work + at->D, work + 2 * at->D, rows);
    free(work);
    free(rows);
}

static const reference_variant variants[] = {
    { .options = "", .square = true },
    { .options = "", .largest = 200, .size = 2, .square = true },
    { .options = NULL },
};

const reference_row reference_fastformer = { "fastformer", run, variants };
