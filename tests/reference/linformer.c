/* Linformer, naive: one compressed row after the other, each from its definition. */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

typedef struct side {
    const reference_case *at;
    int64_t width, rows, window;          /* of k or v; compressed rows; rows per window */
    const double *(*row)(const reference_case *, int64_t, int64_t, int64_t);
    const double *weight, *bias;          /* of this head; NULL */
} side;

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static bool kept(const reference_case *at, int64_t b, int64_t j)
{
    return j < reference_keys(at, b) && !(at->key_keep && !at->key_keep[b * at->N + j]);
}

static int64_t rank_of(const reference_case *at)
{
    return least((int64_t)reference_number(at, "rank"), at->max_length);
}

/* Compressed row r of entry b, head h, into y. */
static void compress_row(const side *s, int64_t b, int64_t h, int64_t r, double *y)
{
    const reference_case *at = s->at;
    const bool mean = reference_is(at, "method", "mean-pool"), convolution = reference_is(at, "method", "convolution");
    double count = 0;
    for (int64_t o = 0; o < s->width; o++) y[o] = s->bias ? s->bias[convolution ? o : r] : 0;
    for (int64_t j = 0; j < at->N; j++) {
        if (!kept(at, b, j) || ((mean || convolution) && j / s->window != r)) continue;
        const double *x = s->row(at, b, j, h);
        count++;
        for (int64_t o = 0; o < s->width; o++) {
            if (!convolution) {
                y[o] += mean ? x[o] : s->weight[r * at->max_length + j] * x[o];
                continue;
            }
            for (int64_t i = 0; i < s->width; i++) y[o] += s->weight[(o * s->width + i) * s->window + j % s->window] * x[i];
        }
    }
    for (int64_t o = 0; mean && count > 0 && o < s->width; o++) y[o] /= count;
}

static side side_of(const reference_case *at, int64_t h, bool values)
{
    const bool convolution = reference_is(at, "method", "convolution"), mean = reference_is(at, "method", "mean-pool");
    const bool joint = reference_is(at, "sharing", "key-value") || reference_is(at, "sharing", "layerwise");
    const bool bias = reference_is(at, "bias", "true") && !mean && !reference_is(at, "method", "fixed");
    const int64_t rank = rank_of(at), projection = reference_is(at, "sharing", "none") ? h / (at->H / at->Hk) : 0;
    side s = { .at = at, .width = values ? at->M : at->D, .rows = rank, .window = (at->max_length + rank - 1) / rank, .row = values ? reference_v : reference_k };
    if (mean) return s;
    s.weight = at->tensors[joint ? 0 : values] + projection * (convolution ? s.width * s.width * s.window : rank * at->max_length);
    if (bias) s.bias = at->tensors[joint ? 1 : 2 + values] + projection * (convolution ? s.width : rank);
    return s;
}

static void attend(const reference_case *at, int64_t b, int64_t i, int64_t h, const double *keys, const double *values, int64_t rows)
{
    double largest = -INFINITY, sum = 0, *out = reference_out(at, b, i, h), *p = calloc((size_t)rows + 1, sizeof *p);
    const int64_t seen = reference_is(at, "pseudo_causal", "true") ? least(rows, i + 1) : rows;
    for (int64_t r = 0; r < seen; r++) {
        for (int64_t d = 0; d < at->D; d++) p[r] += at->scale * reference_q(at, b, i, h)[d] * keys[r * at->D + d];
        largest = fmax(largest, p[r]);
    }
    for (int64_t r = 0; r < seen; r++) sum += p[r] = exp(p[r] - largest);
    for (int64_t r = 0; r < seen; r++)
        for (int64_t c = 0; c < at->M; c++) out[c] += p[r] / sum * values[r * at->M + c];
    free(p);
}

static void run_head(const reference_case *at, int64_t b, int64_t h)
{
    const side k = side_of(at, h, false), v = side_of(at, h, true);
    const bool windows = reference_is(at, "method", "mean-pool") || reference_is(at, "method", "convolution");
    const int64_t rows = windows ? (reference_keys(at, b) + k.window - 1) / k.window : k.rows;
    double *keys = calloc((size_t)(rows * at->D) + 1, sizeof *keys), *values = calloc((size_t)(rows * at->M) + 1, sizeof *values);
    bool any = false;
    for (int64_t j = 0; j < at->N; j++) any = any || kept(at, b, j);
    for (int64_t r = 0; r < rows; r++) {
        compress_row(&k, b, h, r, keys + r * at->D);
        compress_row(&v, b, h, r, values + r * at->M);
    }
    for (int64_t i = 0; any && i < reference_rows(at, b); i++) attend(at, b, i, h, keys, values, rows);
    free(keys);
    free(values);
}

static void run(const reference_case *at)
{
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) run_head(at, b, h);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "rank=7 sharing=none bias=true" },
    { .options = "rank=16 sharing=key-value" },
    { .options = "rank=9 sharing=layerwise bias=true pseudo_causal=true" },
    { .options = "rank=12 method=fixed" },
    { .options = "rank=12 method=mean-pool" },
    { .options = "rank=12 method=convolution sharing=none bias=true", .largest = 300 },
    { .options = NULL },
};

const reference_row reference_linformer = { "linformer", run, variants };
