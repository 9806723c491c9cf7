/* Double-precision references: every mechanism again, naive, straight from its equation, sharing no code with src/.
 * Conformance walks the registry and this table together. To add a mechanism: tests/reference/<name>.c with its function and
 * its variants, and its row in reference.c. Departures that src/ documents (masks, lengths, empty rows) hold here, too.
 */
#ifndef SQ_TESTS_REFERENCE_H
#define SQ_TESTS_REFERENCE_H

#include "subquad/attention.h"

/* One problem. Everything is contiguous. Keys j >= lengths[b] or with key_keep 0 do not exist; rows i >= query_lengths[b] and
 * rows that see no key give zeros. */
typedef struct reference_case {
    int64_t B, H, Hk, T, N, D, M;         /* query head h reads key head h / (H/Hk) */
    int64_t max_length;
    bool causal, training;
    double scale;                         /* resolved, never 0 */
    const sq_option *options;
    int option_count;
    const char *mechanism;
    const int32_t *lengths, *query_lengths;       /* [B] or NULL */
    const uint8_t *key_keep, *pair_keep;          /* [B,N], [T,N] or NULL */
    const double *q, *k, *v;              /* [B,T,H,D] [B,N,Hk,D] [B,N,Hk,M] */
    double *const *tensors;               /* of the mechanism, in its order */
    double *const *inputs;                /* its further inputs, in order: [B, N or T, H, width] */
    const uint8_t *global_tokens;         /* [B,N] or NULL */
    sq_bias_kind bias;                    /* a reference of a mechanism that can adds reference_bias to the scaled score */
    int64_t bias_distance;                /* resolved */
    const double *bias_table;             /* [H, 2 bias_distance + 1] or NULL */
    int layer;
    uint64_t seed, step;
    double *out;                          /* [B,T,H,M]; zeros on entry */
    double *auxiliary;                    /* the regulariser; never NULL, 0 on entry */
    /* Where src/ documents that a quantity is held constant in the gradient (a stabiliser, a sampled location), compute it from
     * `frozen`: the unperturbed case (itself in a plain run), so that a finite difference of this function is the documented gradient. */
    const struct reference_case *frozen;
} reference_case;

typedef void (*reference_fn)(const reference_case *at);

/* The value of an option, given or the registry's default, as text and as numbers. */
const char *reference_option(const reference_case *at, const char *name);
double reference_number(const reference_case *at, const char *name);
bool reference_is(const reference_case *at, const char *name, const char *value);   /* also for BOOL: "true" */

/* Rows and keys of batch entry b that count, and whether query i may look at key j (lengths, masks, causal order). */
int64_t reference_rows(const reference_case *at, int64_t b);
int64_t reference_keys(const reference_case *at, int64_t b);
bool reference_sees(const reference_case *at, int64_t b, int64_t i, int64_t j);
bool reference_is_global(const reference_case *at, int64_t b, int64_t i);   /* a global token that exists */
double reference_bias(const reference_case *at, int64_t i, int64_t j, int64_t h);
/* Row of a further input, of `rows` rows and `width` numbers. */
const double *reference_input(const reference_case *at, int index, int64_t b, int64_t rows, int64_t i, int64_t h, int64_t width);
/* Rows of one head: q at(b, i, h) and so on; k and v take the query head. */
const double *reference_q(const reference_case *at, int64_t b, int64_t i, int64_t h);
const double *reference_k(const reference_case *at, int64_t b, int64_t j, int64_t h);
const double *reference_v(const reference_case *at, int64_t b, int64_t j, int64_t h);
double *reference_out(const reference_case *at, int64_t b, int64_t i, int64_t h);

/* One option set that conformance tries on every size and feature. */
typedef struct reference_variant {
    const char *options;                  /* "kernel=hyperbolic features=32"; "" for the defaults */
    int64_t largest;                      /* do not try sizes above (double references are slow); 0: 1000 */
    double error, gradient_error;         /* bounds where the measured float32 error needs others than test_conformance's; 0: those */
    double size;                          /* standard deviation of the inputs; 0: 1 */
    unsigned skip;                        /* SQ_CAN_* that this option set is documented to refuse */
    bool sees_all;                        /* documented: a quantity over all keys, also later ones, moves every row a little */
    bool reads_masked;                    /* documented: masked keys have a part, too, or their own rows in the output */
    bool square;                          /* documented: values must be as wide as keys */
} reference_variant;

typedef struct reference_row {
    const char *mechanism;
    reference_fn run;
    const reference_variant *variants;    /* ends with options NULL; the first is the defaults */
} reference_row;

const reference_row *reference_find(const char *mechanism);   /* NULL: no reference, which conformance reports as a failure */

/* Rows, one per file of this folder; only reference.c uses them. */
extern const reference_row reference_clustered, reference_improved_clustered, reference_probsparse, reference_hyper;
extern const reference_row reference_sinkhorn;
extern const reference_row reference_routing;
extern const reference_row reference_softmax_row, reference_linformer, reference_performer, reference_infinite_former, reference_reformer;
extern const reference_row reference_sliding_window, reference_sparse_transformer, reference_bigbird, reference_longformer;
extern const reference_row reference_aft, reference_synthesizer, reference_set_transformer, reference_long_short;
extern const reference_row reference_linear, reference_rfa, reference_cosformer, reference_nystromformer;
extern const reference_row reference_space_time, reference_axial, reference_local_2d, reference_longnet;
extern const reference_row reference_fastformer, reference_memory_compressed;
extern const reference_row reference_retention, reference_gated_linear, reference_delta_rule, reference_gated_delta_rule, reference_ssd, reference_wkv;

#endif
