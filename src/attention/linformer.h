/* What the files of Linformer share: options, and what a call looks like. Depends on engine/compress.h, engine/dense.h. */
#ifndef SQ_ATTENTION_LINFORMER_H
#define SQ_ATTENTION_LINFORMER_H

#include "attention/engine/compress.h"
#include "attention/engine/dense.h"

enum { SQ_LINFORMER_LEARNABLE, SQ_LINFORMER_FIXED, SQ_LINFORMER_MEAN_POOL, SQ_LINFORMER_CONVOLUTION };   /* method */
enum { SQ_LINFORMER_NONE, SQ_LINFORMER_HEADWISE, SQ_LINFORMER_KEY_VALUE, SQ_LINFORMER_LAYERWISE };       /* sharing */
enum { SQ_LINFORMER_KEYS, SQ_LINFORMER_VALUES };                                                         /* sides */

typedef struct sq_linformer_config {
    int64_t rank;
    int sharing, method;
    bool bias, pseudo_causal;
} sq_linformer_config;

typedef struct sq_linformer_shape {
    sq_compress_method method;
    int64_t rows, window;              /* most compressed rows; window of pooling and convolution */
    int64_t projections;               /* leading axis of E and F */
    bool weights, joint, bias;         /* E exists; F is E; there are biases */
    int64_t state;                     /* floats of one head's compressed keys and values */
    int64_t queries;                   /* rows attended at once: all heads of them before the next */
} sq_linformer_shape;

sq_linformer_shape sq__linformer_shape(const sq_linformer_config *config, const sq_problem *problem);
int64_t sq__linformer_rows(const sq_linformer_shape *shape, int64_t n);   /* compressed rows of an entry of n keys */

/* Place among the tensors (E, F, E_bias, F_bias; F and F_bias only where they are not E's), floats of one projection. */
int sq__linformer_weight(const sq_linformer_shape *shape, int side);
int sq__linformer_bias(const sq_linformer_shape *shape, int side);
int64_t sq__linformer_weight_floats(const sq_linformer_shape *shape, const sq_problem *problem, int side);
int64_t sq__linformer_bias_floats(const sq_linformer_shape *shape, const sq_problem *problem, int side);

size_t sq__linformer_thread_bytes(const sq_linformer_shape *shape, const sq_problem *problem, sq_pass pass);
float *sq__linformer_cut_lse(const sq_problem *problem, sq_cut *cut);                                      /* [B,H,T] */
float *sq__linformer_cut_states(const sq_problem *problem, const sq_linformer_shape *shape, sq_cut *cut);  /* [B,Hk,state] */

void sq__linformer_forward(const sq_run *run);
void sq__linformer_backward(const sq_run *run);

#endif
