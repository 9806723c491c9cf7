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

/* A block product of one fixed shape, looked up once and run many times: C[m,n] (+)= op(A)[m,k] B[k,n].
 * Meant for m, n, k up to a few hundred whose operands stay in cache; columns in multiples of 16 run best. */
typedef void (*sq_block_fn)(const float *b, const float *a, float *c);
typedef struct sq_block {
    sq_block_fn run;               /* generated code (column-major, so B comes first); NULL where none can be generated */
    bool trans_a, accumulate;
    int64_t m, n, k, lda, ldb, ldc;
} sq_block;
sq_block sq__block(bool trans_a, int64_t m, int64_t n, int64_t k, int64_t lda, int64_t ldb, int64_t ldc, bool accumulate);
void sq__block_run_plain(const sq_block *block, const float *a, const float *b, float *c);
static inline void sq__block_run(const sq_block *block, const float *a, const float *b, float *c)
{
    if (block->run) block->run(b, a, c);
    else sq__block_run_plain(block, a, b, c);
}

/* op(B)[k,n] packed once for products of few rows that are repeated many times. panels NULL: B is read where it lies. */
typedef struct sq_packed {
    bool trans;                        /* B is stored [n,k] */
    int64_t k, n, ldb;
    const float *b, *panels;
} sq_packed;
sq_packed sq__pack(float *room, bool trans, int64_t k, int64_t n, const float *b, int64_t ldb);   /* room [k*n]; borrows both */
/* C[m,n] (+)= A[m,k] op(B); single-threaded. */
void sq__gemm_packed(int64_t m, const sq_packed *b, const float *a, int64_t lda, bool accumulate, float *c, int64_t ldc);

/* ---- vector kernels: one slot each; table frozen at first use ---- */

typedef struct sq_kernels {
    const char *isa;
    float (*dot)(const float *x, const float *y, int64_t n);
    /* y[i] = x . from[rows[i]], rows of n floats, row apart: many products at once, wherever the rows lie */
    void (*dot_rows)(float *y, const float *x, const float *from, int64_t row, const int32_t *rows, int64_t count, int64_t n);
    void (*axpy)(float *y, float a, const float *x, int64_t n);                 /* y += a x */
    void (*scale)(float *x, float a, int64_t n);
    void (*scale_columns)(float *x, const float *factor, int64_t rows, int64_t columns); /* x[r,c] *= factor[c], contiguous */
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
    void (*sine_cosine)(float *sine, float *cosine, const float *x, int64_t n); /* |error| <= 1.2e-7; either may be x */
    /* One tile of a running softmax; s [rows, columns] contiguous, a column per query, in units of log 2; columns % 16 == 0.
     * max, sum [columns] go from their values before the tile (-inf, 0 at the start) to those after it; s becomes
     * exp2(s - max), factor exp2(old max - max). A column whose max stays -inf gets zeros. True if some factor is not 1. */
    bool (*softmax_tile)(float *s, int64_t rows, int64_t columns, float *max, float *sum, float *factor);
    /* Its backward: s becomes p = exp2(s - max - log_sum), dp becomes scale p (dp - delta); max (+inf: zeros), log_sum, delta [columns].
     * log_sum NULL: max already holds their sum. Apart they are exact where the log-sum would vanish beside a huge maximum. */
    void (*softmax_tile_backward)(float *s, float *dp, int64_t rows, int64_t columns, const float *max, const float *log_sum, const float *delta, float scale);
    /* delta[c] += sum_r exp2(s - max - log_sum) dp: what the backward subtracts, where no output was kept to take it from. */
    void (*softmax_tile_delta)(const float *s, const float *dp, int64_t rows, int64_t columns, const float *max, const float *log_sum, float *delta);
    /* One row of a tile: -inf in the columns that do not have low[c] <= place < high[c]. */
    void (*hide_outside)(float *s, int32_t place, const int32_t *low, const int32_t *high, int64_t columns);
    void (*add_or_hide)(float *s, const float *add, float factor, int64_t n);   /* s += factor add; -inf where add is -inf, whatever s holds */
    /* nearest[i] = index of the centroid that differs from codes[i] in the fewest bits, the lowest of several */
    void (*hamming_nearest)(int32_t *nearest, const uint64_t *codes, int64_t count, const uint64_t *centroids, int64_t clusters);
} sq_kernels;

const sq_kernels *sq__kernels(void);                    /* for this processor, capped by SUBQUAD_ISA */
const sq_kernels *sq__kernels_for(int isa);             /* sq_isa; NULL when compiler or processor lacks it: tests compare each with the reference */

#endif
