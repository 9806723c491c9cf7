/* Small layers: linear, layer norm, embedding table, positions. Each holds indexes into a set of parameters that outlives it.
 * Depends on parameters.h. */
#ifndef SQ_NN_LAYERS_H
#define SQ_NN_LAYERS_H

#include "nn/parameters.h"

/* PREFIX.weight [out, in] (Glorot uniform, decays), PREFIX.bias [out] (zero) */
typedef struct sq_linear { sq_parameters *set; int weight, bias; } sq_linear;
sq_status sq__linear_create(sq_linear *layer, sq_parameters *set, const char *prefix, int64_t in, int64_t out, bool bias, sq_error *error);
sq_var *sq__linear_run(const sq_linear *layer, sq_tape *tape, sq_var *x);
sq_var *sq__linear_run_residual(const sq_linear *layer, sq_tape *tape, sq_var *x, float dropout, sq_var *residual);

/* PREFIX.weight (ones), PREFIX.bias (zeros) */
typedef struct sq_norm { sq_parameters *set; int weight, bias; float eps; } sq_norm;
sq_status sq__norm_create(sq_norm *layer, sq_parameters *set, const char *prefix, int64_t width, float eps, sq_error *error);
sq_status sq__rms_create(sq_norm *layer, sq_parameters *set, const char *prefix, int64_t width, float eps, sq_error *error);   /* root of the mean square; no bias */
sq_var *sq__norm_run(const sq_norm *layer, sq_tape *tape, sq_var *x);

/* PREFIX.weight [words, width], normal of standard deviation 1/sqrt(width) */
typedef struct sq_embedding { sq_parameters *set; int weight; } sq_embedding;
sq_status sq__embedding_create(sq_embedding *layer, sq_parameters *set, const char *prefix, int64_t words, int64_t width, sq_error *error);

/* The rows of a parameter [..., width], the same for each of B entries: [B, rows, width]. */
sq_var *sq__repeat_rows(const sq_parameters *set, int index, sq_tape *tape, int64_t B);

/* PREFIX.weight [length, width], to be looked up by position: learned (as an embedding) or sinusoidal (arXiv:1706.03762, 3.5; frozen). */
sq_status sq__positions_create(sq_embedding *layer, sq_parameters *set, const char *prefix, bool learned, int64_t length, int64_t width,
                               sq_error *error);

#endif
