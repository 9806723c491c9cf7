/* Sparse Transformer: options, and the patterns of its two pairs of sets (sparse_transformer_sets.c). */
#ifndef SQ_ATTENTION_SPARSE_TRANSFORMER_H
#define SQ_ATTENTION_SPARSE_TRANSFORMER_H

#include "attention/engine/window.h"

enum { SQ_FACTOR_STRIDED, SQ_FACTOR_FIXED };
enum { SQ_FACTOR_MERGED, SQ_FACTOR_SPLIT, SQ_FACTOR_LAYERS };
enum { SQ_FACTOR_PAPER, SQ_FACTOR_OPENAI, SQ_FACTOR_FAIRSEQ };

typedef struct sq_factor_config {
    int pattern;
    int64_t stride, summary, spread;
    int heads, convention;
} sq_factor_config;

/* The sets that one head sees. */
typedef struct sq_factors {
    int64_t T, N, stride;
    bool causal, near, far;            /* near: A1, far: A2 */
    sq_window window, classes;         /* strided: A1 and A2 as windows, the second dilated */
    int64_t from, to;                  /* fixed: A2 are the positions from <= j mod stride < to */
    bool fairseq;                      /* fixed */
} sq_factors;

/* As sq_pattern_fn: fill the pattern, copy the factors to memory unless that is NULL, return their bytes. */
size_t sq__strided_pattern(const sq_factors *factors, void *memory, sq_sparse_pattern *pattern);
size_t sq__fixed_pattern(const sq_factors *factors, void *memory, sq_sparse_pattern *pattern);

#endif
