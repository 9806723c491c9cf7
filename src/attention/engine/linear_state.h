/* The state of the linear engine and the scratch of a scan; for linear_*.c alone. */
#ifndef SQ_ATTENTION_ENGINE_LINEAR_STATE_H
#define SQ_ATTENTION_ENGINE_LINEAR_STATE_H

#include "attention/engine/linear.h"

size_t sq__linear_forward_scratch(int64_t F, int64_t M, bool causal);   /* bytes */

void sq__linear_reset(sq_linear_state *state, int64_t F, int64_t M, float start);   /* S = 0, z = start, reference = -inf */

/* x [rows,F] holds exponents of rows about to be absorbed, in scan order from the first (forward) or the last (backward).
 * Sets the reference where it is not set yet and turns leading rows into exp(x - reference): those that do not exceed the
 * reference by more than exp(40). Returns how many (at least 1) and in *top the largest x - reference among them. */
int64_t sq__linear_settle(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, float *x, int64_t rows,
                          bool backward, float *top);
/* Decay inside a chunk of keys from `first`: L_i = sum of log g over the chunk's rows up to i; beyond the keys it stays. In double, since
 * only differences count. */
void sq__linear_load_decay(const sq_linear *linear, int64_t first, int64_t rows, double *L);
/* a_ij *= exp(L_i - L_j) for j <= i; temporary [columns]. */
void sq__linear_decay_pairs(const sq_kernels *kernels, const double *L, int64_t rows, int64_t columns, float *a, int64_t row, float *temporary);
/* Row i of x [rows,F] times exp(L_i): from the start of the chunk; or times exp(end - L_i): to where L is `end`. */
void sq__linear_decay_from_start(const sq_kernels *kernels, const double *L, int64_t rows, int64_t F, float *x);
void sq__linear_decay_to(const sq_kernels *kernels, const double *L, double end, int64_t rows, int64_t F, float *x);
void sq__linear_decay_state(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, double log_factor);   /* S and z times exp() */

/* S += x' payload, z += x' weight (NULL: ones), x [rows,F] from settle (or values), payload [rows,M]. */
void sq__linear_absorb(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, const float *x, int64_t rows,
                       const float *payload, int64_t payload_row, const float *weight);
/* After absorbing rows whose top is well above 0: the reference follows, so that the room above it is not used up. */
void sq__linear_follow(sq_linear_state *state, const sq_kernels *kernels, int64_t F, int64_t M, float *x, int64_t rows, float top);

/* a_ij = 0 for j > i. */
void sq__linear_lower(float *a, int64_t rows, int64_t columns, int64_t row);
void sq__linear_multiply(float *y, const float *x, int64_t n);   /* y *= x */

/* Features of the visible keys: masked rows are -inf (exponents) or 0 (values). */
void sq__linear_keys(const sq_linear *linear, int64_t first, int64_t rows, float *x);
/* Rows of v; where keys may be masked, a copy in which theirs are 0, since they may hold anything. */
typedef struct sq_linear_values { const float *v; int64_t row; } sq_linear_values;
sq_linear_values sq__linear_values(const sq_linear *linear, int64_t first, int64_t rows, float *copy);

#endif
