/* What the files of the Long-Short Transformer share: options, sizes, and the rows that its queries meet. Depends on engine/sparse.h. */
#ifndef SQ_ATTENTION_LONG_SHORT_H
#define SQ_ATTENTION_LONG_SHORT_H

#include "attention/engine/sparse.h"
#include "attention/kind.h"

enum { SQ_LONG_SHORT_PAPER, SQ_LONG_SHORT_REFERENCE };   /* convention */
enum { SQ_LONG_SHORT_CHUNK = 128, SQ_LONG_SHORT_PARTS = 8 };   /* rows compressed at once; parts that sum gradients of the norms apart */
/* Tensors. */
enum { SQ_LONG_SHORT_LOCAL, SQ_LONG_SHORT_LOCAL_BIAS, SQ_LONG_SHORT_COMPRESSED, SQ_LONG_SHORT_COMPRESSED_BIAS, SQ_LONG_SHORT_TENSORS };

typedef struct sq_long_short_config { int64_t window, landmarks, segment; int convention; } sq_long_short_config;

/* Rows of keys (and of values) of one entry: first the compressed ones, `landmarks` of each segment, then all N, every head side by side. */
typedef struct sq_long_short_shape {
    int64_t window, reach, landmarks, segment, segments;
    int64_t compressed, rows, width;   /* segments * landmarks; compressed + N; H D */
} sq_long_short_shape;

typedef struct sq_long_short_norm { float *mean, *rstd; } sq_long_short_norm;

/* A side: keys or values. [B, ...] each. */
typedef struct sq_long_short_side {
    float *rows, *drows;               /* [rows, width] normalised, and their gradient (backward) */
    float *raw;                        /* [compressed, width] before their norm */
    sq_long_short_norm local, compressed;   /* [N] [compressed] */
} sq_long_short_side;

typedef struct sq_long_short_memory {
    sq_long_short_side sides[2];
    float *lse;                        /* [B, H, compressed] logarithm of each landmark's sum of weights; -inf: its segment has no key */
    uint8_t *keep;                     /* [B, rows] */
    float *partial;                    /* [B * PARTS, TENSORS, width] */
    char *threads;                     /* per_thread bytes for each */
    size_t per_thread, bytes;
} sq_long_short_memory;

typedef struct sq_long_short_call {
    const sq_run *run;
    const sq_problem *p;
    const sq_long_short_config *config;
    sq_long_short_shape s;
    sq_long_short_memory memory;
} sq_long_short_call;

sq_long_short_shape sq__long_short_shape(const sq_long_short_config *config, const sq_problem *problem);
sq_long_short_memory sq__long_short_memory(const sq_long_short_shape *shape, const sq_problem *problem, sq_pass pass, void *workspace);

/* ---- the pattern (long_short_pattern.c) ---- */

typedef struct sq_long_short_pattern { sq_long_short_shape s; int64_t T, N; bool causal; } sq_long_short_pattern;   /* of one entry */
sq_sparse_pattern sq__long_short_tiles(const sq_long_short_pattern *pattern);

/* ---- the rows (long_short_rows.c) ---- */

void sq__long_short_make_rows(sq_long_short_call *call);
/* From drows to dk, dv, the gradients of the landmarks' weights and of the norms. */
void sq__long_short_rows_backward(sq_long_short_call *call);

#endif
