/* A mechanism of the registry that is one gated linear recurrence: the mechanism says its rule, which of its inputs and tensors are the gate, the
 * strength, the rate, the bias and the skip; saved memory, workspace and streams are here. Such a mechanism is SQ_CAUSAL_ONLY. Depends on engine/gated.h. */
#ifndef SQ_ATTENTION_ENGINE_GATED_HEADS_H
#define SQ_ATTENTION_ENGINE_GATED_HEADS_H

#include "attention/engine/gated.h"

typedef struct sq_gated_mechanism {
    sq_gated_rule (*rule)(const void *config, const sq_problem *problem);
    int gate, strength;                /* numbers of inputs; -1: none */
    int rate, bias, skip;              /* numbers of tensors; -1: none */
    void (*fixed)(const sq_problem *problem, float *log_decay);   /* [H] kept in the plan; NULL: none */
} sq_gated_mechanism;

void sq__gated_heads_sizes(const sq_gated_mechanism *mechanism, const void *config, const sq_problem *problem, sq_sizes *sizes);
sq_status sq__gated_heads_prepare(const sq_gated_mechanism *mechanism, const sq_problem *problem, void *constants);
double sq__gated_heads_flops(const sq_gated_mechanism *mechanism, const void *config, const sq_problem *problem, sq_pass pass);
void sq__gated_heads_forward(const sq_gated_mechanism *mechanism, const sq_run *run);
void sq__gated_heads_backward(const sq_gated_mechanism *mechanism, const sq_run *run);

/* A stream's state is S of every batch entry and head [B,H,D,M]. */
size_t sq__gated_heads_state_bytes(const sq_problem *problem);
void sq__gated_heads_state_reset(const sq_problem *problem, void *state);
void sq__gated_heads_step(const sq_gated_mechanism *mechanism, const sq_run *run, void *state);

/* The entries of the mechanism's row in the registry. */
#define SQ_GATED_ENTRIES(mechanism)                                                                                                             \
    static void sizes(const void *config, const sq_problem *p, sq_sizes *out) { sq__gated_heads_sizes(&mechanism, config, p, out); }             \
    static double flops(const void *config, const sq_problem *p, sq_pass pass) { return sq__gated_heads_flops(&mechanism, config, p, pass); }    \
    static void forward(const sq_run *run) { sq__gated_heads_forward(&mechanism, run); }                                                        \
    static void backward(const sq_run *run) { sq__gated_heads_backward(&mechanism, run); }                                                      \
    static size_t state_bytes(const void *config, const sq_problem *p) { return (void)config, sq__gated_heads_state_bytes(p); }                 \
    static void state_reset(const void *config, const sq_problem *p, void *state) { (void)config, sq__gated_heads_state_reset(p, state); }      \
    static void step(const sq_run *run, void *state) { sq__gated_heads_step(&mechanism, run, state); }

/* Initial values of rate and bias of a softplus gate (arXiv:2405.21060, 2412.06464): exp(rate) uniform in [1, 16], softplus(bias) from 1e-3 to
 * 1e-1, its logarithm uniform. */
void sq__gated_draw_rate(int64_t heads, uint64_t seed, uint64_t draw, float *rate);
void sq__gated_draw_bias(int64_t heads, uint64_t seed, uint64_t draw, float *bias);

#endif
