#include "attention/engine/segments.h"

#include <string.h>

int64_t sq__segments_kept(const uint8_t *keep, int64_t n)
{
    int64_t count = keep ? 0 : n;
    for (int64_t j = 0; keep && j < n; j++) count += keep[j] != 0;
    return count;
}

typedef struct cut { int64_t shorter, length; } cut;   /* segments of `length` rows, before those of one more */

static cut cut_of(const sq_segments *s)
{
    const int64_t rows = s->share == SQ_SEGMENT_KEPT ? sq__segments_kept(s->keep, s->n) : s->n + s->front;
    return (cut){ s->m - rows % s->m, rows / s->m };
}

static int64_t segment_of(const cut *c, int64_t number)
{
    const int64_t first = c->shorter * c->length;
    return number < first ? number / c->length : c->shorter + (number - first) / (c->length + 1);
}

/* The kept rows in order, with their segments. */
typedef struct walk { const sq_segments *s; cut cut; int64_t row, number, segment; } walk;   /* number: of the next kept row */

static walk start(const sq_segments *s)
{
    return (walk){ s, cut_of(s), -1, 0, 0 };
}

static bool step(walk *w)
{
    const sq_segments *s = w->s;
    do w->row++;
    while (w->row < s->n && s->keep && !s->keep[w->row]);
    if (w->row >= s->n) return false;
    w->segment = segment_of(&w->cut, s->share == SQ_SEGMENT_KEPT ? w->number++ : w->row + s->front);
    return true;
}

void sq__segments_shares(const sq_segments *s, float *shares)
{
    walk w = start(s);
    memset(shares, 0, (size_t)s->m * sizeof *shares);
    if (s->share == SQ_SEGMENT_COUNT) {
        while (step(&w)) shares[w.segment] += 1;
        for (int64_t r = 0; r < s->m; r++) shares[r] = shares[r] > 0 ? (float)(1 / ((double)shares[r] + 1e-8)) : 0;
        return;
    }
    for (int64_t r = 0; r < s->m; r++) shares[r] = 1 / (float)(w.cut.length + (r >= w.cut.shorter));
}

void sq__segments_forward(const sq_segments *s, const sq_kernels *kernels, const float *shares, const float *x, int64_t x_row, float *y)
{
    memset(y, 0, (size_t)(s->m * s->D) * sizeof *y);
    for (walk w = start(s); step(&w);) kernels->axpy(y + w.segment * s->D, shares[w.segment], x + w.row * x_row, s->D);
}

void sq__segments_backward(const sq_segments *s, const sq_kernels *kernels, const float *shares, const float *dy, float *dx, int64_t dx_row)
{
    for (walk w = start(s); step(&w);) kernels->axpy(dx + w.row * dx_row, shares[w.segment], dy + w.segment * s->D, s->D);
}
