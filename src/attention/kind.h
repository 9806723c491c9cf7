/* The interface every attention mechanism implements. A mechanism is one file in a fixed order: header comment (equation,
 * shapes, cost, paper, departures) - option table - validate - tensors - sizes - forward - backward - the one exported row.
 * Depends on base, kernels and the public attention header.
 *
 * A mechanism sees the whole call and shares its work out by sq__for_heads (or sq__parallel over another independent axis):
 * gradients of tensors shared by heads are summed in a fixed order, so bits do not depend on threads.
 */
#ifndef SQ_ATTENTION_KIND_H
#define SQ_ATTENTION_KIND_H

#include "base/fields.h"
#include "base/memory.h"
#include "kernels/kernels.h"
#include "subquad/attention.h"

/* Everything fixed at creation, checked. */
typedef struct sq_problem {
    int64_t B, H, Hk, T, N, D, M;      /* Hk key heads, H % Hk == 0 */
    int64_t max_length;                /* >= N */
    bool causal, lengths, mask;
    float scale;                       /* resolved, never 0 */
    int threads;                       /* >= 1 */
    uint64_t seed;
    bool global_tokens;
    sq_bias_kind bias;
    int64_t bias_distance;             /* resolved */
    int layer;
} sq_problem;

typedef struct sq_sizes {              /* bytes */
    size_t forward_workspace, backward_workspace;   /* for the whole call: multiply what each thread needs by problem->threads */
    size_t saved;
    size_t constants;                  /* kept in the plan, filled by prepare */
} sq_sizes;

typedef struct sq_run {                /* what forward and backward receive */
    const sq_problem *problem;
    const void *config;                /* the mechanism's option struct */
    const void *constants;
    const sq_kernels *kernels;
    const sq_attention_call *call;
    const sq_attention_gradients *gradients;   /* NULL in forward */
    int input_count;                   /* and the widths of the further inputs */
    const sq_attention_input *inputs;
    int bias_tensor;                   /* number of the plan's tensor "bias"; meaningful with SQ_BIAS_RELATIVE */
    double *bias_sums;                 /* its gradient apart for each (b, h): [B, H, 2 bias_distance + 1]; NULL in forward */
} sq_run;

typedef struct sq_attention_kind {
    const char *name, *title, *paper, *cost;
    unsigned can;                      /* SQ_CAN_* */
    const sq_field *fields;            /* options; NULL-able */
    size_t config_size;
    /* Refuse with a reason (sq__fail SQ_UNSUPPORTED / SQ_INVALID). Ranges and SQ_CAN_* are already checked. May be NULL. */
    sq_status (*validate)(const void *config, const sq_problem *problem, sq_error *error);
    /* Tensors of the mechanism: fills infos (when not NULL) and returns their number. Shapes depend on max_length, never on N or T. May be NULL. */
    int (*tensors)(const void *config, const sq_problem *problem, sq_attention_tensor *infos);
    /* May allocate; fails only for lack of memory. */
    sq_status (*tensor_init)(const void *config, const sq_problem *problem, int index, uint64_t seed, uint64_t draw, float *data);
    void (*sizes)(const void *config, const sq_problem *problem, sq_sizes *sizes);
    /* Fill constants once, at creation; may allocate. May be NULL. */
    sq_status (*prepare)(const void *config, const sq_problem *problem, void *constants, sq_error *error);
    double (*flops)(const void *config, const sq_problem *problem, sq_pass pass);
    void (*forward)(const sq_run *run);
    void (*backward)(const sq_run *run);
    /* Further inputs: fills infos (when not NULL) and returns their number. backward overwrites their gradients. May be NULL. */
    int (*inputs)(const void *config, const sq_problem *problem, sq_attention_input *infos);
    unsigned (*ignores)(const void *config);   /* SQ_READS_* of what is not read; NULL: all is */
    unsigned moves;                    /* 1 << index of tensors that forward moves: it fills call->moved where that is given */
    bool by_layer;                     /* plans differ by problem->layer */
    /* Streaming, all three or none: causal plans only. state_bytes 0: this option set cannot. step is forward from a state. */
    size_t (*state_bytes)(const void *config, const sq_problem *problem);
    void (*state_reset)(const void *config, const sq_problem *problem, void *state);
    void (*step)(const sq_run *run, void *state);
} sq_attention_kind;

/* At most this many tensors per mechanism; one more per plan, for the bias. And further inputs. */
enum { SQ_KIND_TENSORS = 16, SQ_PLAN_TENSORS = SQ_KIND_TENSORS + 1, SQ_KIND_INPUTS = 8 };

/* One head of one batch entry: contiguous last dimension, rows `*_row` floats apart. */
typedef struct sq_head {
    int64_t b, h;
    int64_t T, N;                      /* rows to compute (query length) and keys that exist (length); both may be 0 */
    const float *q, *k, *v, *dout;
    float *out, *dq, *dk, *dv;         /* gradients: NULL in forward. dk, dv: of key head h/(H/Hk) */
    int64_t q_row, k_row, v_row, out_row, dout_row, dq_row, dk_row, dv_row;
    const uint8_t *key_keep, *pair_keep;   /* row of key_keep for b; pair_keep [T, problem N]; NULL */
    const uint8_t *global_tokens;      /* row for b; NULL */
    bool accumulate;                   /* grouped backward: dk and dv already hold an earlier query head's; add */
    void *workspace;                   /* this thread's share */
} sq_head;

typedef void (*sq_head_fn)(const sq_run *run, const sq_head *head);
/* Run fn for every (b, h), over threads; thread i's workspace starts at call->workspace + i * per_thread_bytes (a multiple of 64).
 * Rows of out (dq) beyond the query length are set to 0 here; in backward rows of dk, dv and dinputs beyond the length too.
 * In backward one thread runs the query heads of a key head in order: with Hk < H fn must obey head->accumulate. */
void sq__for_heads(const sq_run *run, size_t per_thread_bytes, sq_head_fn fn);
void sq__zero_rows(float *data, int64_t row, int64_t from, int64_t to, int64_t width);   /* rows from .. to-1; data NULL allowed */
sq_head sq__head(const sq_run *run, int64_t b, int64_t h);   /* the same view, without workspace */
/* Rows of a further input, and of its gradient, for one head; sq__for_heads zeroes those of dinput beyond the lengths. */
const float *sq__head_input(const sq_run *run, int index, int64_t b, int64_t h, int64_t *row);
float *sq__head_dinput(const sq_run *run, int index, int64_t b, int64_t h, int64_t *row);

/* What a plan was made for: the layers above take sizes from it. */
const sq_problem *sq__attention_problem(const sq_attention *plan);

/* registry.c */
const sq_attention_kind *const *sq__attention_kinds(void);   /* NULL-terminated */
const sq_attention_kind *sq__attention_kind(const char *name);

#endif
