/* What the files of the attention-free transformer share: options, the bias of a pair of positions, one block of rows and keys.
 * Depends on kind.h. */
#ifndef SQ_ATTENTION_AFT_H
#define SQ_ATTENTION_AFT_H

#include "attention/kind.h"

enum { SQ_AFT_FULL, SQ_AFT_SIMPLE, SQ_AFT_LOCAL, SQ_AFT_CONV };   /* variant */
enum { SQ_AFT_ROWS = 32, SQ_AFT_KEYS = 64 };                      /* of a tile; of a block */

typedef struct sq_aft_config { int variant; int64_t window, rank; } sq_aft_config;

/* ---- biases (aft_bias.c) ---- */

typedef enum sq_aft_form {
    SQ_AFT_NONE,
    SQ_AFT_MATRIX,                     /* w[t,s] = w [L,L] */
    SQ_AFT_FACTORS,                    /* w[t,s] = u_t . v_s, u and v [L,rank] */
    SQ_AFT_BAND,                       /* w[t,s] = w[t, s - t + reach], w [L,taps] */
    SQ_AFT_FILTER,                     /* w[t,s] = w[s - t + reach], w [taps] of each head */
} sq_aft_form;

typedef struct sq_aft_bias {
    sq_aft_form form;
    int64_t reach;                     /* keys further away have bias 0; -1: no limit */
    int64_t width;                     /* of a row of w, u, v */
    const float *w, *u, *v;
} sq_aft_bias;

typedef struct sq_aft_bias_gradient {
    float *dw, *du, *dv;               /* as w, u, v; dv begins at row first_key */
    int64_t first_key;
} sq_aft_bias_gradient;

sq_aft_bias sq__aft_bias(const sq_aft_config *config, const sq_problem *problem);   /* form, reach, width; no data */
/* tile [rows, keys] = w[t0.., s0..] */
void sq__aft_bias_tile(const sq_aft_bias *bias, int64_t t0, int64_t rows, int64_t s0, int64_t keys, float *tile);
/* Adds; dtile is overwritten beyond the reach. */
void sq__aft_bias_backward(const sq_aft_bias *bias, int64_t t0, int64_t rows, int64_t s0, int64_t keys, float *dtile, const sq_aft_bias_gradient *to);
/* y = gain (x - mean x) / sqrt(var x + 1e-6) + shift over taps; and its gradient, ADDED to. */
void sq__aft_filter(float *y, const float *x, float gain, float shift, int64_t taps);
void sq__aft_filter_backward(const float *dy, const float *x, float gain, int64_t taps, float *dx, float *dgain, float *dshift);

/* ---- sums of exp(key) and exp(key) value (aft_block.c) ---- */

/* Per feature: log of a scale, and sums divided by exp of it. [D] each. */
typedef struct sq_aft_sums { float *top, *num, *den; } sq_aft_sums;

typedef struct sq_aft_block {
    const sq_kernels *kernels;
    const sq_head *head;
    int64_t D;
    int64_t origin;                    /* position of the head's first key row: 0 but in streams */
    float tied;                        /* not 0: one key for all features, tied * the sum of k's */
    int64_t t0, rows, s0, keys;        /* what is loaded */
    float *x, *top;                    /* [keys, 2 D]: exp(k - top) v | exp(k - top), zeros for hidden keys; top [D] */
    float *e, *row_top;                /* [rows, keys]: exp(w - row_top), zeros for hidden keys; [rows], -inf: sees none */
    float *product, *sums, *de, *a, *b;   /* [rows, 2 D] [keys, 2 D] [rows, keys] [D] [D] */
} sq_aft_block;

void sq__aft_block_cut(sq_aft_block *block, int64_t D, sq_cut *cut);
void sq__aft_sums_cut(sq_aft_sums *sums, int64_t D, sq_cut *cut);
void sq__aft_sums_clear(const sq_aft_sums *sums, int64_t D);
/* sums += (num, den) exp(top + shift) */
void sq__aft_sums_add(const sq_aft_block *block, const sq_aft_sums *sums, const float *top, float shift, const float *num, const float *den);
/* Keys [s0, s0+keys) into x and top; false: all of them are hidden. */
bool sq__aft_load_keys(sq_aft_block *block, int64_t s0, int64_t keys);
void sq__aft_absorb_keys(sq_aft_block *block, int64_t from, int64_t to, const sq_aft_sums *sums);
/* Keys and biases of rows [t0, t0+rows); false: nothing is visible. */
bool sq__aft_load(sq_aft_block *block, const sq_aft_bias *bias, int64_t t0, int64_t rows, int64_t s0, int64_t keys);
/* What the keys of the block add to sums of its rows. */
void sq__aft_forward_block(sq_aft_block *block, const sq_aft_sums *sums);

/* Rows of a tile in backward: g = dout sigmoid(q), h = -dout out, log_den (+inf: an empty row). [rows, D] each. */
typedef struct sq_aft_rows { float *g, *h; const float *log_den; } sq_aft_rows;

/* dk, dv of the block's keys, added. rows: of row t0 on. */
void sq__aft_backward_block(sq_aft_block *block, const sq_aft_rows *rows);
/* The gradient of the block's biases, in block->de. */
void sq__aft_backward_bias(sq_aft_block *block, const sq_aft_rows *rows);
/* Rows that see keys with bias 0: absorbed into sums, whose part of the gradient of keys [from, to) is then added. */
void sq__aft_absorb_rows(sq_aft_block *block, const sq_aft_rows *rows, int64_t count, const sq_aft_sums *sums);
void sq__aft_apply_rows(sq_aft_block *block, const sq_aft_sums *sums, int64_t from, int64_t to);

/* ---- execution (aft_run.c, aft_run_bias.c, aft_step.c; what they share: aft_tiles.h) ---- */

size_t sq__aft_workspace(const sq_aft_config *config, const sq_problem *problem, sq_pass pass);
void sq__aft_forward(const sq_run *run);
void sq__aft_backward(const sq_run *run);

size_t sq__aft_state_bytes(const void *config, const sq_problem *problem);
void sq__aft_state_reset(const void *config, const sq_problem *problem, void *state);
void sq__aft_step(const sq_run *run, void *state);

#endif
