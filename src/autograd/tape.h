/* Reverse-mode differentiation: a tape of variables over one table of operations (shape rule, forward, vector-Jacobian product).
 * Depends on attention, kernels, base.
 *
 * Operations run at once and append to the tape. Values and gradients live in the tape's pool and die with sq__tape_reset;
 * parameters live outside and are entered with sq__tape_parameter. The first failure (out of memory, shape) is kept in the tape and
 * later operations return NULL quietly: check sq__tape_status once after building. Float32, contiguous, row-major.
 *
 * Memory: sq__scope_end lets go of values that no vector-Jacobian product will read; sq__tape_backward lets go of the rest of them,
 * and of gradients, as soon as they are used. So after backward gradients remain on inputs and parameters only, and a tape runs
 * backward once. One tape per thread; operations share their work out over sq__threads().
 */
#ifndef SQ_AUTOGRAD_TAPE_H
#define SQ_AUTOGRAD_TAPE_H

#include "base/memory.h"
#include "base/status.h"
#include "subquad/attention.h"

#define SQ_MAX_RANK 5

typedef struct sq_tape sq_tape;

typedef struct sq_var {
    int rank;
    int64_t shape[SQ_MAX_RANK];
    int64_t count;                     /* product of shape */
    float *value;
    float *gradient;                   /* after backward: of inputs that need one; parameters: caller's buffer, ADDED to */
    bool needs_gradient;
} sq_var;

/* A named tensor of a model: value and gradient buffers owned by the model. */
typedef struct sq_parameter {
    char name[96];                     /* "encoder.0.attention.query.weight" */
    int rank;
    int64_t shape[4];
    int64_t count;
    float *value, *gradient;           /* gradient NULL when not trainable */
    bool trainable;
    bool decay;                        /* weight decay applies (matrices yes; biases, norms, embeddings no) */
} sq_parameter;

sq_tape *sq__tape_create(bool record);               /* record false: inference, nothing kept for backward */
void sq__tape_destroy(sq_tape *tape);                /* NULL allowed */
void sq__tape_reset(sq_tape *tape);                  /* drops all variables */
sq_status sq__tape_status(const sq_tape *tape, sq_error *error);
void sq__tape_fail(sq_tape *tape, const sq_error *error);   /* for what is built on operations; the first failure is kept */
void sq__tape_mode(sq_tape *tape, bool training, uint64_t seed, uint64_t step);   /* dropout and draws are keyed by (seed, step, place on the tape) */
bool sq__tape_training(const sq_tape *tape);

sq_var *sq__tape_input(sq_tape *tape, int rank, const int64_t *shape, const float *value, bool needs_gradient);  /* borrows value */
sq_var *sq__tape_parameter(sq_tape *tape, sq_parameter *parameter);
/* Values made between begin and end are let go at end (value becomes NULL), except those of result and second (NULL allowed) and
 * those that backward will read. Scopes nest. */
typedef struct sq_scope { void *mark; } sq_scope;
sq_scope sq__scope_begin(sq_tape *tape);
void sq__scope_end(sq_tape *tape, sq_scope scope, const sq_var *result, const sq_var *second);

/* Memory that lives until reset, for what operations borrow (ids, lengths). NULL: failure, kept in the tape. */
void *sq__tape_memory(sq_tape *tape, size_t bytes);

/* Gradient of sum(var * seed) for every variable; seed NULL: ones (for a scalar loss). */
sq_status sq__tape_backward(sq_tape *tape, sq_var *var, const float *seed, sq_error *error);

/* ---- operations (ops.c has the table; each has a gradient check in tests/autograd) ---- */

sq_var *sq__linear(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias);        /* [...,in] [out,in] [out]|NULL -> [...,out] */
/* residual + dropout(x weight' + bias): one pass over the rows. bias and residual may be NULL. */
sq_var *sq__linear_residual(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias, float dropout, sq_var *residual);
sq_var *sq__matmul(sq_tape *tape, sq_var *a, sq_var *b);                           /* [m,k] [k,n] -> [m,n] */
sq_var *sq__add(sq_tape *tape, sq_var *a, sq_var *b);                              /* b may lack leading dimensions of a (broadcast) */
sq_var *sq__subtract(sq_tape *tape, sq_var *a, sq_var *b);
sq_var *sq__multiply(sq_tape *tape, sq_var *a, sq_var *b);                         /* same broadcast rule as add */
sq_var *sq__scale(sq_tape *tape, sq_var *x, float factor);
typedef enum sq_activation { SQ_IDENTITY, SQ_RELU, SQ_GELU, SQ_GELU_TANH, SQ_QUICK_GELU, SQ_SIGMOID, SQ_TANH, SQ_SILU, SQ_ELU,
                             SQ_SOFTPLUS, SQ_LEAKY_RELU, SQ_ELU_PLUS_ONE, SQ_MISH, SQ_SOFTSIGN, SQ_HARDSWISH, SQ_ACTIVATION_COUNT } sq_activation;
const char *sq__activation_name(sq_activation activation);                         /* "gelu" (erf form), "gelu_tanh", "quick_gelu", ... */
sq_var *sq__activate(sq_tape *tape, sq_var *x, sq_activation activation);
/* residual + dropout(act(x w1' + b1) w2' + b2), the hidden rows never leaving the cache in inference. residual may be NULL. chunk: hidden
 * rows are not kept for the way back but computed again there, at most so many at a time for each thread; 0: kept. */
typedef struct sq_feed_forward_inputs { sq_var *x, *w1, *b1, *w2, *b2, *residual; int64_t chunk; } sq_feed_forward_inputs;
sq_var *sq__feed_forward(sq_tape *tape, const sq_feed_forward_inputs *inputs, sq_activation activation, float dropout);
sq_var *sq__softmax(sq_tape *tape, sq_var *x);                                     /* last axis */
sq_var *sq__log_softmax(sq_tape *tape, sq_var *x);
sq_var *sq__glu(sq_tape *tape, sq_var *x);                                         /* [...,2n] -> [...,n]: a sigmoid(b) */
sq_var *sq__layer_norm(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias, float eps);
sq_var *sq__rms_norm(sq_tape *tape, sq_var *x, sq_var *weight, float eps);
sq_var *sq__group_norm(sq_tape *tape, sq_var *x, sq_var *weight, sq_var *bias, int groups, float eps);  /* [B,C,L...] */
sq_var *sq__dropout(sq_tape *tape, sq_var *x, float p);                            /* identity unless training */
/* [V,E] -> [shape...,E]; borrows ids; id < 0: zeros */
sq_var *sq__embedding(sq_tape *tape, sq_var *table, const int32_t *ids, int rank, const int64_t *shape);
/* Sum of count such lookups, each with its own table [V_c,E] and ids [shape...]: one pass. */
sq_var *sq__embedding_sum(sq_tape *tape, sq_var *const *tables, const int32_t *const *ids, int count, int rank, const int64_t *shape);
sq_var *sq__concatenate(sq_tape *tape, sq_var *const *parts, int count);           /* last axis */
sq_var *sq__slice(sq_tape *tape, sq_var *x, int64_t start, int64_t length);        /* last axis */
sq_var *sq__reshape(sq_tape *tape, sq_var *x, int rank, const int64_t *shape);     /* shares memory */
sq_var *sq__transpose(sq_tape *tape, sq_var *x);                                   /* first two axes: [A,B,...] -> [B,A,...] */
sq_var *sq__prepend(sq_tape *tape, sq_var *token, sq_var *x);                      /* [E] before [B,T,E] -> [B,T+1,E] */
sq_var *sq__sum(sq_tape *tape, sq_var *x);                                         /* -> scalar [1] */

/* Pooling of [B,T,E] over the valid rows -> [B,E]. */
typedef enum sq_pooling { SQ_POOL_MEAN, SQ_POOL_LAST, SQ_POOL_CLASS, SQ_POOL_MAX } sq_pooling;   /* class: row 0 */
sq_var *sq__pool(sq_tape *tape, sq_var *x, const int32_t *lengths, sq_pooling pooling);

/* The first `heads` pieces of D numbers in each row of x [B,T,W] turned by their position t (arXiv:2104.09864). */
sq_var *sq__rotary(sq_tape *tape, sq_var *x, int64_t heads, int64_t D);

/* Attention by a plan. q [B,T,H*D], k [B,N,Hk*D], v [B,N,Hk*M] -> [B,T,H*M]; q or k NULL where the mechanism ignores it. tensors: one
 * variable per mechanism tensor; inputs: one per further input, [B, T or N, H*width].
 * auxiliary (may be NULL) receives a scalar variable: the mechanism's regulariser. Borrows plan and lengths until reset. */
typedef struct sq_attention_inputs {
    sq_var *q, *k, *v;
    sq_var *packed;                    /* instead of q, k, v: [B,T,(H*D)+(Hk*D)+(Hk*M)] of one projection, without what is ignored (self
                                        * attention, no copy) */
    sq_var *const *inputs, *const *tensors;
    const int32_t *lengths, *query_lengths;
    const uint8_t *key_keep, *pair_keep, *global_tokens;
    sq_var **auxiliary;
} sq_attention_inputs;
/* Called with every attention that runs on the tape, before it runs: for looking at what layers see. NULL: nobody looks. */
typedef void (*sq_attention_observer)(void *context, const sq_attention *plan, const sq_attention_call *call);
void sq__tape_observe(sq_tape *tape, sq_attention_observer observer, void *context);
sq_var *sq__attention(sq_tape *tape, const sq_attention *plan, const sq_attention_inputs *inputs);

/* Losses -> scalar [1]. */
typedef struct sq_cross_entropy {
    float label_smoothing;
    const float *class_weights;        /* [V] or NULL */
    int32_t ignore;                    /* target that is skipped; -100 as usual */
    bool sum;                          /* false: mean over kept rows (weighted by w_y) */
} sq_cross_entropy;
sq_var *sq__cross_entropy(sq_tape *tape, sq_var *logits, const int32_t *targets, const sq_cross_entropy *options);  /* [R,V] */
/* KL(target || softmax(logits)), summed: the target has 1 - smoothing on its class, smoothing/(V-2) on the others, 0 on class
 * `padding`; rows whose target is padding give 0 (annotated-transformer). */
sq_var *sq__smoothed_divergence(sq_tape *tape, sq_var *logits, const int32_t *targets, float smoothing, int32_t padding);
/* Element losses against constant targets of the same count, borrowed until reset; a target that is NaN is not asked: no loss, not
 * counted in the mean. parameter: beta of SMOOTH_L1, delta of HUBER. */
typedef enum sq_regression { SQ_MSE, SQ_L1, SQ_SMOOTH_L1, SQ_HUBER, SQ_BCE_WITH_LOGITS } sq_regression;
sq_var *sq__regression(sq_tape *tape, sq_var *x, const float *targets, sq_regression kind, float parameter, bool sum);

#endif
