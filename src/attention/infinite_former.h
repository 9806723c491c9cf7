/* What the files of the infinity-former share: options, constants, and how a call is cut. Depends on engine/memory.h, engine/dense.h. */
#ifndef SQ_ATTENTION_INFINITE_FORMER_H
#define SQ_ATTENTION_INFINITE_FORMER_H

#include "attention/engine/dense.h"
#include "attention/engine/memory.h"

typedef struct sq_infinite_config {
    int64_t segment, basis, samples;
    double tau, ridge, sigma_min, width_narrow, width_wide;
    int functions, density;            /* gaussian or rectangular; sq_memory_density */
    bool sticky, bias, detach;
    double kl_weight, kl_sigma, kl_mu;
    bool kl_mean;
} sq_infinite_config;

enum { SQ_INFINITE_W_MU, SQ_INFINITE_W_SIGMA, SQ_INFINITE_B_MU, SQ_INFINITE_B_SIGMA };   /* tensors; the last two only with bias */

/* Kept in the plan when there is more than one segment. */
typedef sq_memory_update sq_infinite_constants;

/* Memory m is made of segments 0 .. m-1, m = 1 .. segments-1. It is its keys [N,D], then its values [N,M]. */
typedef struct sq_infinite_shape {
    int64_t L, segments, rows;         /* rows of a full segment; their number; most rows of one (at most T) */
    int64_t N, state;                  /* basis functions; floats of one memory */
    int64_t groups, group;             /* workers per batch entry, and the most heads that one carries together */
} sq_infinite_shape;

typedef struct sq_infinite_saved {
    float *lse;                        /* [B,H,T] of the attention inside segments */
    float *memories;                   /* [B,H,segments-1,state] */
    int32_t *counts;                   /* [B,segments,SQ_MEMORY_BINS] draws of the update after each segment; with sticky */
} sq_infinite_saved;

/* What one worker needs to read the memory for the rows of one segment. */
typedef struct sq_infinite_scratch {
    double *mu, *sigma_sq, *dmu, *dsigma_sq;   /* [rows] */
    double *locate;
    float *r, *dr;                     /* [rows,N] */
} sq_infinite_scratch;

/* Forward with sticky carries all heads of a batch entry together, because the places are drawn from all of them. */
sq_infinite_shape sq__infinite_shape(const sq_infinite_config *config, const sq_problem *problem, sq_pass pass);
sq_infinite_constants sq__infinite_constants(const sq_infinite_config *config, sq_cut *cut);
sq_infinite_saved sq__infinite_saved(const sq_infinite_config *config, const sq_problem *problem, sq_cut *cut);
sq_infinite_scratch sq__infinite_scratch(const sq_problem *problem, const sq_infinite_shape *shape, sq_pass pass, sq_cut *cut);
size_t sq__infinite_forward_workspace(const sq_infinite_config *config, const sq_problem *problem);
size_t sq__infinite_backward_workspace(const sq_infinite_config *config, const sq_problem *problem);

/* Rows (or keys) of segment s among the first `count`. */
int64_t sq__infinite_rows(const sq_infinite_shape *shape, int64_t count, int64_t s);
/* The memory that segment s reads: of the full segments before it. */
int64_t sq__infinite_memory_of(const sq_infinite_shape *shape, const sq_head *head, int64_t s);
/* Pairs of head and query that read a memory: what the regulariser is the mean over. */
double sq__infinite_readers(const sq_run *run, const sq_infinite_shape *shape);
/* Exact attention inside segment s. */
sq_dense sq__infinite_local(const sq_run *run, const sq_infinite_shape *shape, const sq_head *head, int64_t s);
/* Reading `memory` for the rows of segment s, and the density's place in between: r of all its rows. */
sq_memory_read sq__infinite_read(const sq_run *run, const sq_infinite_shape *shape, const sq_head *head, int64_t s, const float *memory);
sq_memory_basis sq__infinite_basis(const sq_infinite_config *config);
sq_memory_rule sq__infinite_rule(const sq_infinite_config *config);
sq_memory_prior sq__infinite_prior(const sq_infinite_config *config);

void sq__infinite_forward(const sq_run *run);
void sq__infinite_backward(const sq_run *run);

#endif
