/* Looking at attention: the matrix that a mechanism implies, what it reaches through several layers, figures of it, and how near
 * mechanisms come to exact attention for their cost. For matrices of a few thousand rows at most. */
#ifndef SUBQUAD_INSPECT_H
#define SUBQUAD_INSPECT_H

#include "subquad/attention.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- queries, keys and values of sequences ---- */

/* One layer of one sequence. */
typedef struct sq_qkv {
    char name[64];                /* "q", or what stood before ".q" in the file: the layer */
    int64_t H, T, N, D, M;
    const float *q, *k, *v;       /* [T,H,D] [N,H,D] [N,H,M] */
} sq_qkv;

typedef struct sq_qkv_set {
    int count;
    sq_qkv *items;                /* freed by sq_qkv_set_clear */
    bool causal;                  /* metadata "causal" of the file */
    float **memory;               /* [count] */
} sq_qkv_set;

/* Tensors q, k, v [B,H,T,D] of a safetensors file, or PREFIX.q, PREFIX.k, PREFIX.v for each layer; lengths [B] (optional) cuts each
 * sequence. At most `most` sequences of each layer, `longest` rows of each (0: all). */
SQ_API sq_status sq_qkv_load(sq_qkv_set *set, const char *path, int64_t most, int64_t longest, sq_error *error);
/* What the attention layers of a trained model (the folder of a training run) see in the first clients of its test split. */
SQ_API sq_status sq_qkv_capture(sq_qkv_set *set, const char *run_folder, int64_t most, int64_t longest, int threads, sq_stop_flag *stop, sq_error *error);
/* A random sequence of `topics` topics that come in runs: queries and keys of one topic resemble each other. Free as the others. */
SQ_API sq_status sq_qkv_draw(sq_qkv_set *set, int64_t H, int64_t N, int64_t D, int64_t topics, uint64_t seed, sq_error *error);
SQ_API sq_status sq_qkv_save(const sq_qkv_set *set, const char *path, sq_error *error);   /* as sq_qkv_load reads it */
SQ_API void sq_qkv_set_clear(sq_qkv_set *set);

/* ---- the implied matrix ---- */

typedef struct sq_matrix_info {
    double linearity;             /* |f(v) - A v| / |f(v)| for random values: 0 but for rounding where attention is linear in its values */
    bool by_channel;              /* weights differ from channel to channel (AFT): the matrix is their mean */
} sq_matrix_info;

/* matrix [H,T,N]: what mechanism, options, causal, ... of desc do to the values, found by giving them columns of the identity, so that
 * it works for every mechanism; where they are not linear in the values, their derivative at random values. Sizes come from qkv; the mechanism's own tensors are drawn from desc->seed, or given. globals [N]
 * or NULL: global tokens. */
SQ_API sq_status sq_attention_matrix(const sq_attention_desc *desc, const sq_qkv *qkv, float *const *tensors, const uint8_t *globals, float *matrix,
                                     sq_matrix_info *info, sq_error *error);
/* reach [layers,T,T]: 1 where row i of layer l+1 depends on row j of the input, by any head or the residual connection; T = N. */
SQ_API sq_status sq_attention_reach(const sq_attention_desc *desc, const sq_qkv *qkv, const uint8_t *globals, int layers, uint8_t *reach, sq_error *error);

/* ---- figures of a matrix ---- */

enum { SQ_MATRIX_WINDOWS = 12 };
typedef struct sq_matrix_statistics {
    int64_t rows, columns;
    double entropy;               /* bits, mean of the rows that see anything */
    double distance;              /* mean of |i - j| by weight */
    int window_count;
    int64_t windows[SQ_MATRIX_WINDOWS];     /* 1, 2, 4, ... : mass with |i - j| <= window */
    double inside[SQ_MATRIX_WINDOWS];
    int64_t rank90, rank99;       /* singular values that hold 90 % and 99 % of the energy (their squares) */
    double *energy;               /* [min(rows, columns)] cumulative, rising to 1; freed by sq_matrix_statistics_clear */
} sq_matrix_statistics;
/* matrix [T,N] of one head; negative weights count by their size. */
SQ_API sq_status sq_matrix_measure(sq_matrix_statistics *statistics, const float *matrix, int64_t T, int64_t N, sq_error *error);
SQ_API void sq_matrix_statistics_clear(sq_matrix_statistics *statistics);

/* ---- approximation ---- */

typedef struct sq_approximation {
    char mechanism[64], option[96];   /* "rank=32", or "" where nothing was varied */
    double flops;                     /* forward, of one sequence, mean */
    double error;                     /* |out - exact| / |exact|, root mean square over the sequences */
    bool drawn;                       /* has trained tensors, here as they are before training */
    char refusal[256];                /* not "": why there is no figure */
} sq_approximation;
/* Every mechanism with several values of the option that sets its budget, against `to`. rows: freed by sq_approximations_clear. */
SQ_API sq_status sq_approximate(const sq_qkv_set *set, const char *to, uint64_t seed, int threads, sq_stop_flag *stop, sq_approximation **rows, int *count,
                                sq_error *error);
SQ_API void sq_approximations_clear(sq_approximation **rows);

/* ---- pictures: by gnuplot, into FILE.svg or FILE.png; its script and data stay beside as .gp and .tsv ---- */

typedef struct sq_picture { const char *title; int64_t rows, columns; const float *matrix; } sq_picture;   /* shades: root of the share of the row's largest; negative: another colour */
SQ_API sq_status sq_draw_matrices(const char *path, const char *title, const sq_picture *pictures, int count, sq_error *error);
typedef struct sq_line { const char *name; int count; const double *x, *y; } sq_line;
typedef struct sq_chart { const char *title, *x_label, *y_label; bool log_x, log_y, points; double y_low, y_high; /* both 0: by the data */ } sq_chart;
SQ_API sq_status sq_draw_lines(const char *path, const sq_chart *chart, const sq_line *lines, int count, sq_error *error);

#ifdef __cplusplus
}
#endif
#endif
