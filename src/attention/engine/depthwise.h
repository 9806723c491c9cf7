/* Convolution along the sequence, one filter of K taps for all columns of a head:
 *   y_n += sum_t w_t x_(n + t - K/2), zeros outside; K/2 rounded down
 * Rows that keep hides are zeros (they may hold anything). O(n K M). Depends on kind.h. */
#ifndef SQ_ATTENTION_ENGINE_DEPTHWISE_H
#define SQ_ATTENTION_ENGINE_DEPTHWISE_H

#include "attention/kind.h"

typedef struct sq_depthwise {
    int64_t rows, n, M, K;             /* of y and of x */
    const float *w, *x;                /* [K] [n,M] */
    int64_t x_row;
    const uint8_t *keep;               /* [n] or NULL */
} sq_depthwise;

void sq__depthwise_forward(const sq_depthwise *d, const sq_kernels *kernels, float *y, int64_t y_row);
/* dx and dw are ADDED to. */
void sq__depthwise_backward(const sq_depthwise *d, const sq_kernels *kernels, const float *dy, int64_t dy_row, float *dx, int64_t dx_row, double *dw);

#endif
