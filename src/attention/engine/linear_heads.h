/* A mechanism whose every head is one run of the linear engine: the mechanism says what the features are; workspace, saved memory, heads and
 * streaming are here. Saved: a denominator for each row and, not causal, each head's final state. Depends on engine/linear.h. */
#ifndef SQ_ATTENTION_ENGINE_LINEAR_HEADS_H
#define SQ_ATTENTION_ENGINE_LINEAR_HEADS_H

#include "attention/engine/linear.h"

typedef struct sq_linear_rule {        /* of a plan; the names are sq_linear's */
    int64_t F;
    size_t context_bytes;              /* what a map needs of a head, and its scratch */
    bool exponents, normalised;
    float gain;
    int64_t bucket;
    sq_linear_denominator denominator;
    bool streams;                      /* a row depends on earlier rows alone, so that a causal plan can be continued */
    bool masked_count;                 /* masked keys have a part in the features of others (a stabiliser) and a gradient by it */
} sq_linear_rule;

typedef struct sq_linear_mechanism {
    sq_linear_rule (*rule)(const void *config, const sq_problem *problem);
    /* Fill the context of one head, whose first row is number `position` of its sequence. scratch [SQ_LINEAR_CHUNK,F]. */
    sq_linear_map (*map)(const sq_run *run, const sq_head *head, int64_t position, void *context, float *scratch);
    void (*finish)(const sq_run *run, const sq_head *head, void *context);   /* after the backward of a head; NULL: nothing to do */
    /* log g of keys [N], and what comes back; both or neither. decays: whether this plan has any. */
    bool (*decays)(const void *config, const sq_problem *problem);
    void (*decay)(const void *context, float *log_decay);
    void (*decay_backward)(void *context, const float *dlog_decay);
} sq_linear_mechanism;

/* Rows that a map reads and the gradients it writes, of one side of a head. */
typedef struct sq_linear_rows {
    const float *x;                    /* q [T,D] or k [N,D] */
    float *dx;                         /* NULL in forward */
    int64_t x_row, dx_row;
    bool accumulate;                   /* dx is added to */
} sq_linear_rows;
void sq__linear_rows(const sq_head *head, sq_linear_rows rows[2]);   /* by sq_linear_side */

/* Bytes for each thread; the mechanism's own workspace may follow threads times these. */
size_t sq__linear_heads_workspace(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *problem, sq_pass pass);
void sq__linear_heads_sizes(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *problem, sq_sizes *sizes);
double sq__linear_heads_flops(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *problem, sq_pass pass);   /* without the maps */
void sq__linear_heads_forward(const sq_linear_mechanism *mechanism, const sq_run *run);
void sq__linear_heads_backward(const sq_linear_mechanism *mechanism, const sq_run *run);

/* Each head's state is where it stands in its sequence, and sq_linear_state. */
size_t sq__linear_heads_state_bytes(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *problem);
void sq__linear_heads_state_reset(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *problem, void *state);
void sq__linear_heads_step(const sq_linear_mechanism *mechanism, const sq_run *run, void *state);

#endif
