/* Leaf kernels over raw pointers. The reference in C fills every slot; ISA files overlay it (BLIS). Depends on base.
 * All matrices are row-major; ld* is the distance between rows in floats. No kernel allocates or fails. */
#ifndef SQ_KERNELS_KERNELS_H
#define SQ_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* ---- matrix product: LIBXSMM where it runs, else CBLAS, else C. Single-threaded; the summation order depends only on shape. ---- */

/* C[m,n] = alpha op(A)[m,k] op(B)[k,n] + beta C. trans_a: A is stored [k,m]; trans_b: B is stored [n,k]. */
void sq__gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
              const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
/* The same, cut into fixed blocks of C shared out over threads: the bits do not depend on threads. */
void sq__gemm_parallel(int threads, bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                       int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);
/* Name of what multiplies ("libxsmm", "cblas", "reference"). */
const char *sq__gemm_backend(void);
/* This core's measured peak of float32 block products in GFLOP/s (about 50 ms of measuring at first call, then cached). */
double sq__gemm_peak_gflops(void);
/* Keeps the system's BLAS and LAPACK to the calling thread. Call before the first LAPACKE or CBLAS call of one's own; cheap. */
void sq__blas_single_thread(void);

/* ---- vector kernels: one slot each; table frozen at first use ---- */

typedef struct sq_kernels {
    const char *isa;
    float (*dot)(const float *x, const float *y, int64_t n);
    void (*axpy)(float *y, float a, const float *x, int64_t n);                 /* y += a x */
    void (*scale)(float *x, float a, int64_t n);
    float (*max)(const float *x, int64_t n);                                    /* -inf when n = 0 */
    float (*sum)(const float *x, int64_t n);
    void (*exp)(float *y, const float *x, int64_t n);                           /* |relative error| <= 2e-7; exp(-inf) = 0; y may be x */
    float (*exp_sum)(float *y, const float *x, float scale, float shift, int64_t n); /* y = exp(scale x - shift); returns sum y; y may be x */
    void (*transpose)(float *y, int64_t ldy, const float *x, int64_t ldx, int64_t rows, int64_t columns); /* y[columns,rows] */
    /* y = (x - mean)/sqrt(var + eps) * weight + bias over the last axis; statistics in two passes; mean and rstd [rows] kept */
    void (*layer_norm)(float *y, float *mean, float *rstd, const float *x, const float *weight, const float *bias, float eps, int64_t rows, int64_t n);
    /* dx of layer_norm for rows; dweight, dbias ADDED to */
    void (*layer_norm_backward)(float *dx, float *dweight, float *dbias, const float *dy, const float *x, const float *mean,
                                const float *rstd, const float *weight, int64_t rows, int64_t n);
    void (*gelu)(float *y, const float *x, int64_t n);                          /* x Phi(x), erf form */
    void (*gelu_backward)(float *dx, const float *dy, const float *x, int64_t n);
    void (*tanh)(float *y, const float *x, int64_t n);
    void (*sigmoid)(float *y, const float *x, int64_t n);
} sq_kernels;

const sq_kernels *sq__kernels(void);                    /* for this processor, capped by SUBQUAD_ISA */
const sq_kernels *sq__kernels_for(int isa);             /* sq_isa; NULL when compiler or processor lacks it: tests compare each with the reference */

#endif
