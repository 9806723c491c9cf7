/* Continuous memory (infinity-former, arXiv:2109.00301): a signal over [0,1] held as N coefficients of Gaussian basis functions.
 *
 *   psi_j(t) = phi((t - mu_j)/s_j)/s_j        N/2 equally spaced centres, each with a narrow and then a wide function; or
 *              N on [j/N, (j+1)/N)            rectangles (memory_rectangle.c)
 *   B = G' x                                  ridge regression of rows x placed at given positions; B [N,e]
 *   x(t) = B' psi(t)                          reading the signal at a place
 *   out = sum_j r_j v_j,  r_j = E_p[psi_j(t)] reading it under a density p with mean mu and variance sigma^2
 *   mu = sigmoid(s . w_mu + b_mu)   sigma^2 = max(softplus(s . w_sigma + b_sigma), smallest)   s_j = scale q . k_j
 *
 * The scores s enter through two linear functionals only, so they are never formed: s . w = scale q . (k' w).
 * Everything about positions is float64 (the basis is narrow: float32 positions cost 1e-3 after the regression); the rest float32.
 * The pieces stand alone, so that a mechanism, or a check against another implementation, composes them. Depends on kind.h.
 */
#ifndef SQ_ATTENTION_ENGINE_MEMORY_H
#define SQ_ATTENTION_ENGINE_MEMORY_H

#include "attention/kind.h"
#include "base/random.h"

/* ---- basis and regression (memory_basis.c) ---- */

typedef struct sq_memory_basis { int64_t N; double narrow, wide; bool rectangular; } sq_memory_basis;   /* N even, unless rectangular; then without widths */

double sq__memory_centre(const sq_memory_basis *basis, int64_t j);
double sq__memory_width(const sq_memory_basis *basis, int64_t j);
void sq__memory_psi(const sq_memory_basis *basis, const double *t, int64_t count, double *psi);   /* [count,N] */

/* Places of a regression: the signal counts as zero outside [0,1], so half a window of padding lies on either side.
 * Rows first .. first+kept-1 are the signal's own; t is NULL to count only. Returns the number of places. */
typedef struct sq_memory_places { double *t; int64_t first, kept; } sq_memory_places;
int64_t sq__memory_places_first(int64_t L, sq_memory_places *places);
/* M samples of the past at tau m/M, then L new rows at tau + (1-tau) i/L; m and i count from 1. */
int64_t sq__memory_places_update(int64_t L, int64_t M, double tau, sq_memory_places *places);

/* G = F' (F F' + ridge I)^-1 of F = psi(places)', rows of the signal only: [kept,N]. First: kept = L. Update: kept = M+L, past first. */
sq_status sq__memory_regression_first(const sq_memory_basis *basis, int64_t L, double ridge, double *G, sq_error *error);
sq_status sq__memory_regression_update(const sq_memory_basis *basis, int64_t L, int64_t M, double tau, double ridge, double *G, sq_error *error);

/* ---- updates (memory_update.c): B_1 = first' x of the first L rows, then B_new = past B_old + fresh' x of every L rows more ---- */

typedef struct sq_memory_rule { int64_t L, M; double tau, ridge; bool sticky; } sq_memory_rule;   /* rows of a segment; samples of the past */
typedef struct sq_memory_update {
    float *first, *fresh;              /* [L,N] */
    float *past;                       /* [N,N], without sticky */
    float *samples, *psi;              /* [M,N] regression of the sampled past, [SQ_MEMORY_BINS,N]; with sticky (sq__memory_sticky_past) */
} sq_memory_update;
sq_memory_update sq__memory_update_cut(const sq_memory_basis *basis, const sq_memory_rule *rule, sq_cut *cut);
sq_status sq__memory_update_fill(const sq_memory_basis *basis, const sq_memory_rule *rule, const sq_memory_update *to, sq_error *error);

/* ---- reading under a density (memory_density.c, memory_read.c) ---- */

typedef enum sq_memory_density { SQ_MEMORY_GAUSSIAN, SQ_MEMORY_SPARSEMAX } sq_memory_density;

/* r[T,N] from mu and sigma^2 [T]; and what dr asks of them (overwritten). */
void sq__memory_expect(const sq_memory_basis *basis, sq_memory_density density, const double *mu, const double *sigma_sq, int64_t T, float *r,
                       const sq_kernels *kernels);
void sq__memory_expect_backward(const sq_memory_basis *basis, sq_memory_density density, const double *mu, const double *sigma_sq, int64_t T,
                                const float *r, const float *dr, double *dmu, double *dsigma_sq);

void sq__memory_rectangle_psi(int64_t N, const double *t, int64_t count, double *psi);
void sq__memory_rectangle_expect(int64_t N, sq_memory_density density, const double *mu, const double *sigma_sq, int64_t T, float *r);
void sq__memory_rectangle_expect_backward(int64_t N, sq_memory_density density, const double *mu, const double *sigma_sq, int64_t T, const float *dr,
                                          double *dmu, double *dsigma_sq);

typedef struct sq_memory_read {        /* one head */
    int64_t T, N, D;
    float scale;
    double sigma_min;                  /* smallest sigma^2 */
    const float *q, *k;                /* [T,D] [N,D] */
    int64_t q_row, k_row;
    const float *w_mu, *w_sigma;       /* [N] */
    double b_mu, b_sigma;
} sq_memory_read;

typedef struct sq_memory_read_gradients {   /* all ADDED to */
    float *dq, *dk;
    int64_t dq_row, dk_row;
    double *dw_mu, *dw_sigma;          /* [N] */
    double *db_mu, *db_sigma;          /* [1] */
} sq_memory_read_gradients;

#define SQ_MEMORY_LOCATE_SCRATCH(D) ((size_t)(4 * (D)) * sizeof(double))
void sq__memory_locate(const sq_memory_read *read, double *mu, double *sigma_sq, double *scratch);
void sq__memory_locate_backward(const sq_memory_read *read, const double *mu, const double *sigma_sq, const double *dmu, const double *dsigma_sq,
                                const sq_memory_read_gradients *gradients, double *scratch, const sq_kernels *kernels);

/* KL(N(mu, sigma^2) || N(mu0, sigma0^2)); without `mean` mu0 is taken as mu, so that only the variance is drawn to sigma0^2. */
typedef struct sq_memory_prior { double sigma0, mu0; bool mean; } sq_memory_prior;
double sq__memory_kl(const sq_memory_prior *prior, double mu, double sigma_sq);
void sq__memory_kl_backward(const sq_memory_prior *prior, double mu, double sigma_sq, double weight, double *dmu, double *dsigma_sq);   /* ADDED to */

/* ---- sticky memories (memory_sticky.c): the past is sampled where attention went ---- */

#define SQ_MEMORY_BINS 128
/* Mass that T densities N(mu, sigma^2) put into equal bins of [0,1], ADDED to p[SQ_MEMORY_BINS]. */
void sq__memory_histogram(const double *mu, const double *sigma_sq, int64_t T, double *p);
void sq__memory_histogram_normalise(double *p);   /* sum 1; uniform if nothing was added */
/* How often each bin is among M draws with replacement; draw m uses index m of the stream. The location of bin b is b/SQ_MEMORY_BINS. */
void sq__memory_draw(const double *p, const sq_random *random, int64_t M, int32_t *counts);
/* past[N,N] = sum_m G[m]' psi(location of draw m), draws in ascending order; psi [BINS,N], G [M,N], scratch [BINS,N].
 * Then B_new = past B_old + G_new' x. */
void sq__memory_sticky_past(const int32_t *counts, const float *G, const float *psi, int64_t N, float *past, float *scratch);

/* ---- the gate on new states that the authors' code has (memory_gate.c) ---- */

/* y = x sigmoid(conv(x)): kernel 3, zero padding, e to e channels. x, y [L,e]; weight [e,e,3] (out, in, tap), bias [e].
 * Backward recomputes the gate; dx overwritten, dweight and dbias ADDED to. */
size_t sq__memory_gate_scratch(int64_t L, int64_t e);   /* floats */
void sq__memory_gate(int64_t L, int64_t e, const float *x, const float *weight, const float *bias, float *y, float *scratch,
                     const sq_kernels *kernels);
void sq__memory_gate_backward(int64_t L, int64_t e, const float *x, const float *weight, const float *bias, const float *dy, float *dx,
                              float *dweight, float *dbias, float *scratch, const sq_kernels *kernels);

#endif
