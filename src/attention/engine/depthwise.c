#include "attention/engine/depthwise.h"

/* Rows of y that a row of x reaches: from .. to-1, row i by tap last - i. */
typedef struct span { int64_t from, to, last; } span;

static span span_of(const sq_depthwise *d, int64_t j)
{
    const int64_t last = j + d->K / 2, first = last - d->K + 1;   /* row j of x meets row j - t + K/2 of y */
    return (span){ first < 0 ? 0 : first, last + 1 < d->rows ? last + 1 : d->rows, last };
}

void sq__depthwise_forward(const sq_depthwise *d, const sq_kernels *kernels, float *y, int64_t y_row)
{
    for (int64_t j = 0; j < d->n; j++) {
        if (d->keep && !d->keep[j]) continue;
        const span s = span_of(d, j);
        for (int64_t i = s.from; i < s.to; i++) kernels->axpy(y + i * y_row, d->w[s.last - i], d->x + j * d->x_row, d->M);
    }
}

void sq__depthwise_backward(const sq_depthwise *d, const sq_kernels *kernels, const float *dy, int64_t dy_row, float *dx, int64_t dx_row, double *dw)
{
    for (int64_t j = 0; j < d->n; j++) {
        if (d->keep && !d->keep[j]) continue;
        const span s = span_of(d, j);
        for (int64_t i = s.from; i < s.to; i++) {
            kernels->axpy(dx + j * dx_row, d->w[s.last - i], dy + i * dy_row, d->M);
            dw[s.last - i] += (double)kernels->dot(dy + i * dy_row, d->x + j * d->x_row, d->M);
        }
    }
}
