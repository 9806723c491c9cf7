/* Mechanisms that are a pattern of pairs and nothing else: sizes, running one head over the sparse engine, flops. The mechanism gives
 * one function that makes the pattern of a head. Depends on the sparse engine. */
#ifndef SQ_ATTENTION_ENGINE_PATTERN_H
#define SQ_ATTENTION_ENGINE_PATTERN_H

#include "attention/engine/bias.h"
#include "attention/engine/sparse.h"

/* What a pattern may depend on. While sizes are asked T and N are the problem's and there is no run. */
typedef struct sq_pattern_at {
    const void *config;
    const sq_problem *problem;
    int64_t b, h, T, N;
    const sq_run *run;                 /* NULL while sizes are asked */
} sq_pattern_at;

/* Fills the pattern: bounds always, what the tiles need into `memory` when that is not NULL. Returns the bytes it needs there; these,
 * the number of tiles and the other bounds do not grow when T and N shrink. */
typedef size_t (*sq_pattern_fn)(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern);

/* Workspace bytes of one thread; saved bytes of the whole call. */
size_t sq__pattern_workspace(sq_pattern_fn make, const void *config, const sq_problem *problem, sq_pass pass);
void sq__pattern_sizes(sq_pattern_fn make, const void *config, const sq_problem *problem, sq_sizes *sizes);
/* Of the products over the pairs whose score is computed; 0 when there is no memory to count them. */
double sq__pattern_flops(sq_pattern_fn make, const void *config, const sq_problem *problem, sq_pass pass);

/* One head made ready: a mechanism may change `sparse` (a self score) before it runs. Points into itself: not to be copied. */
typedef struct sq_pattern_head {
    sq_sparse sparse;
    sq_sparse_pattern pattern;
    sq_bias bias;
    void *workspace;
} sq_pattern_head;
void sq__pattern_open(sq_pattern_head *ready, sq_pattern_fn make, const sq_run *run, const sq_head *head);
void sq__pattern_forward(const sq_pattern_head *ready, const sq_run *run);
void sq__pattern_backward(const sq_pattern_head *ready, const sq_run *run, const sq_head *head);

/* The whole call, head by head, where a head needs nothing but its pattern. */
void sq__pattern_forward_heads(sq_pattern_fn make, const sq_run *run);
void sq__pattern_backward_heads(sq_pattern_fn make, const sq_run *run);

/* sizes, flops, forward and backward of a mechanism whose heads need nothing but the pattern that `make` makes. */
#define SQ_PATTERN_ALONE(make)                                                                                                             \
    static void sizes(const void *config, const sq_problem *p, sq_sizes *out) { sq__pattern_sizes(make, config, p, out); }                  \
    static double flops(const void *config, const sq_problem *p, sq_pass pass) { return sq__pattern_flops(make, config, p, pass); }         \
    static void forward(const sq_run *run) { sq__pattern_forward_heads(make, run); }                                                       \
    static void backward(const sq_run *run) { sq__pattern_backward_heads(make, run); }

#endif
