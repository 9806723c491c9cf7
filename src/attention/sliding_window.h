/* Sliding window: options, and the streaming step (sliding_window_step.c). */
#ifndef SQ_ATTENTION_SLIDING_WINDOW_H
#define SQ_ATTENTION_SLIDING_WINDOW_H

#include "attention/engine/sparse.h"

typedef struct sq_window_config {
    int64_t window, ahead, block;
    bool circular;
    double self_score;
    char dilation[SQ_TEXT_FIELD_SIZE];
} sq_window_config;

size_t sq__window_state_bytes(const void *config, const sq_problem *problem);
void sq__window_state_reset(const void *config, const sq_problem *problem, void *state);
void sq__window_step(const sq_run *run, void *state);
/* Of one thread. */
size_t sq__window_step_workspace(const sq_window_config *config, const sq_problem *problem);

#endif
