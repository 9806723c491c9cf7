/* Long-Short Transformer, naive: rows normalised, summarised and normalised again, then one softmax per query. */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

typedef struct rows {
    const reference_case *at;
    int64_t b, width, window, r, segment, segments;
    double *local[2], *compressed[2];     /* [N,H,D] [segments,r,H,D] of keys and values */
    bool *exists;                         /* [segments] */
} rows;

static bool kept(const reference_case *at, int64_t b, int64_t j)
{
    return j < reference_keys(at, b) && !(at->key_keep && !at->key_keep[b * at->N + j]);
}

static void normalise(const reference_case *at, const double *x, double *y, int64_t width, int tensor)
{
    double mean = 0, variance = 0;
    for (int64_t i = 0; i < width; i++) mean += x[i] / (double)width;
    for (int64_t i = 0; i < width; i++) variance += (x[i] - mean) * (x[i] - mean) / (double)width;
    for (int64_t i = 0; i < width; i++) y[i] = (x[i] - mean) / sqrt(variance + 1e-5) * at->tensors[tensor][i] + at->tensors[tensor + 1][i];
}

static const double *row(const reference_case *at, int side, int64_t b, int64_t j, int64_t h)
{
    return side ? reference_v(at, b, j, h) : reference_k(at, b, j, h);
}

/* One landmark of one head over one segment, of raw or normalised rows. */
static void summarise(const rows *w, int side, int64_t segment, int64_t m, int64_t h, double *to)
{
    const reference_case *at = w->at;
    const int64_t from = segment * w->segment, end = from + w->segment < at->N ? from + w->segment : at->N;
    const bool raw = reference_is(at, "convention", "paper");
    double most = -INFINITY, total = 0;
    for (int64_t j = from; j < end; j++)
        if (kept(at, w->b, j)) most = fmax(most, reference_input(at, 0, w->b, at->N, j, h, w->r)[m]);
    for (int64_t c = 0; c < at->D; c++) to[c] = 0;
    for (int64_t j = from; j < end; j++) {
        if (!kept(at, w->b, j)) continue;
        const double weight = exp(reference_input(at, 0, w->b, at->N, j, h, w->r)[m] - most);
        const double *x = raw ? row(at, side, w->b, j, h) : w->local[side] + j * w->width + h * at->D;
        total += weight;
        for (int64_t c = 0; c < at->D; c++) to[c] += weight * x[c];
    }
    for (int64_t c = 0; c < at->D; c++) to[c] /= total;
}

static void make_rows(rows *w)
{
    const reference_case *at = w->at;
    double *x = calloc((size_t)w->width, sizeof *x);
    for (int side = 0; side < 2; side++)
        for (int64_t j = 0; j < at->N; j++) {
            if (!kept(at, w->b, j)) continue;
            for (int64_t i = 0; i < w->width; i++) x[i] = row(at, side, w->b, j, i / at->D)[i % at->D];
            normalise(at, x, w->local[side] + j * w->width, w->width, 0);
        }
    for (int64_t s = 0; s < w->segments; s++) {
        w->exists[s] = false;
        for (int64_t j = s * w->segment; j < (s + 1) * w->segment && j < at->N; j++) w->exists[s] = w->exists[s] || kept(at, w->b, j);
        for (int side = 0; w->exists[s] && side < 2; side++)
            for (int64_t m = 0; m < w->r; m++) {
                for (int64_t h = 0; h < at->H; h++) summarise(w, side, s, m, h, x + h * at->D);
                normalise(at, x, w->compressed[side] + (s * w->r + m) * w->width, w->width, 2);
            }
    }
    free(x);
}

/* Adds a row to the softmax of query i: twice, for the maximum and for the sums. */
typedef struct sums { double most, total; double *out; bool counting; } sums;

static void meet(const rows *w, sums *s, const double *q, const double *k, const double *v)
{
    double score = 0;
    for (int64_t c = 0; c < w->at->D; c++) score += w->at->scale * q[c] * k[c];
    if (!s->counting) {
        s->most = fmax(s->most, score);
        return;
    }
    const double p = exp(score - s->most);
    s->total += p;
    for (int64_t c = 0; c < w->at->D; c++) s->out[c] += p * v[c];
}

static void meet_all(const rows *w, sums *s, int64_t i, int64_t h)
{
    const reference_case *at = w->at;
    const double *q = reference_q(at, w->b, i, h);
    const int64_t reach = w->window > 1 ? w->window / 2 : 1, block = i / w->window * w->window, done = at->causal ? (i + 1) / w->segment : 1;
    for (int64_t x = 0; x < w->segments && x < done; x++)
        for (int64_t m = 0; w->exists[x] && m < w->r; m++) {
            const int64_t place = (x * w->r + m) * w->width + h * at->D;
            meet(w, s, q, w->compressed[0] + place, w->compressed[1] + place);
        }
    for (int64_t j = 0; j < at->N; j++) {
        const bool near = at->causal ? j <= i && j > i - w->window : j >= block - reach && j < block + w->window + reach;
        const int64_t place = j * w->width + h * at->D;
        if (near && kept(at, w->b, j)) meet(w, s, q, w->local[0] + place, w->local[1] + place);
    }
}

static void run(const reference_case *at)
{
    rows w = { .at = at, .width = at->H * at->D, .window = (int64_t)reference_number(at, "window"), .r = (int64_t)reference_number(at, "landmarks"),
               .segment = at->N, .segments = 1 };
    if (at->causal) {
        w.segment = (int64_t)reference_number(at, "segment");
        if (w.segment == 0) w.segment = 16 * w.r;
        w.segments = at->N / w.segment;
    }
    w.exists = calloc((size_t)w.segments + 1, sizeof *w.exists);
    for (int side = 0; side < 2; side++) {
        w.local[side] = calloc((size_t)(at->N * w.width), sizeof(double));
        w.compressed[side] = calloc((size_t)(w.segments * w.r * w.width + 1), sizeof(double));
    }
    for (w.b = 0; w.b < at->B; w.b++) {
        make_rows(&w);
        for (int64_t i = 0; i < reference_rows(at, w.b); i++)
            for (int64_t h = 0; h < at->H; h++) {
                sums s = { -INFINITY, 0, reference_out(at, w.b, i, h), false };
                meet_all(&w, &s, i, h);
                s.counting = true;
                meet_all(&w, &s, i, h);
                for (int64_t c = 0; s.total > 0 && c < at->D; c++) s.out[c] /= s.total;
            }
    }
    free(w.exists);
    for (int side = 0; side < 2; side++) {
        free(w.local[side]);
        free(w.compressed[side]);
    }
}

static const reference_variant variants[] = {
    { .options = "", .square = true },
    { .options = "window=4 landmarks=3 segment=5", .square = true },
    { .options = "window=9 landmarks=4 segment=16 convention=reference", .largest = 200, .square = true },
    { .options = "window=1 landmarks=1", .largest = 200, .square = true },
    { .options = "window=130 landmarks=2 segment=1", .largest = 65, .square = true },
    { .options = NULL },
};

const reference_row reference_long_short = { "long-short", run, variants };
