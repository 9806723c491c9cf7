/* Compression along the sequence: n rows x [n,D] become `rows` rows y [rows,D].
 *
 *   linear       y_r = sum_j W[r,j] x_j + b_r               W [rows, >= n], the first n columns; b_r goes to every feature
 *   mean         y_r = mean of x_j, j in window r           windows of `window` rows, the last may be shorter; hidden rows do not count
 *   convolution  y_r[o] = b_o + sum_{t,i} W[o,i,t] x_{r window + t}[i]    kernel = stride = window, W [D,D,window]; zeros after the end,
 *                                                                  and `lead` of them before the beginning: x_{r window + t - lead}
 *
 * Rows that keep hides are zeros (they may hold anything). Single-threaded pieces over ranges of rows: in [B,T,H,D] the rows of one head lie
 * far apart, so a caller that takes all heads of a range before the next range reads memory in order.
 * O(rows n D), O(n D), O(n D^2) time; workspace does not grow with n. Depends on kind.h.
 */
#ifndef SQ_ATTENTION_ENGINE_COMPRESS_H
#define SQ_ATTENTION_ENGINE_COMPRESS_H

#include "attention/kind.h"

typedef enum sq_compress_method { SQ_COMPRESS_LINEAR, SQ_COMPRESS_MEAN, SQ_COMPRESS_CONVOLUTION } sq_compress_method;

typedef struct sq_compress {
    sq_compress_method method;
    int64_t n, D, rows, window;        /* rows >= ceil((n + lead)/window) unless linear; n may be 0 */
    int64_t lead;                      /* convolution: less than window */
    const float *x;                    /* [n,D] */
    int64_t x_row;
    const uint8_t *keep;               /* [n] or NULL */
    const float *weight, *bias;        /* mean: NULL; bias NULL: none */
    int64_t weight_row;                /* linear: floats between rows of W */
    float *workspace;
} sq_compress;

size_t sq__compress_workspace(sq_compress_method method, int64_t D);   /* bytes, a multiple of 64 */
/* Rows of a range: n rows are taken in ranges that start at multiples of this, in order. A convolution is not cut: n. */
int64_t sq__compress_range(sq_compress_method method, int64_t n);
void sq__compress_begin(const sq_compress *compress, float *y);                                      /* y of no rows: the bias */
void sq__compress_forward(const sq_compress *compress, const sq_kernels *kernels, int64_t from, float *y);   /* adds the range from `from` */
/* dx of the range, overwritten. Ranges are independent. */
void sq__compress_backward_input(const sq_compress *compress, const sq_kernels *kernels, const float *dy, int64_t from, float *dx, int64_t dx_row);

/* Gradients of W and b are ADDED to. W is cut into parts that may be done at the same time; rows beyond n get nothing. */
int64_t sq__compress_parts(sq_compress_method method, int64_t n, int64_t window);
void sq__compress_backward_weight(const sq_compress *compress, const float *dy, int64_t part, float *dweight);
void sq__compress_backward_bias(const sq_compress *compress, const float *dy, float *dbias);

#endif
