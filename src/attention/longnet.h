/* What longnet.c and longnet_run.c share. */
#ifndef SQ_ATTENTION_LONGNET_H
#define SQ_ATTENTION_LONGNET_H

#include "attention/grid_parts.h"

enum { SQ_LONGNET_BY_HEAD, SQ_LONGNET_BY_GROUP };
enum { SQ_LONGNET_TRAINED, SQ_LONGNET_CONSTANT };

typedef struct sq_longnet_config {
    char segments[SQ_TEXT_FIELD_SIZE], dilations[SQ_TEXT_FIELD_SIZE];
    int offsets, mixture;
    bool padding;
} sq_longnet_config;

/* The pairs of segment and dilation as parts of one axis. */
void sq__longnet_parts(const sq_pattern_at *at, sq_grid_parts *parts);

void sq__longnet_sizes(const void *config, const sq_problem *problem, sq_sizes *sizes);
double sq__longnet_flops(const void *config, const sq_problem *problem, sq_pass pass);
void sq__longnet_forward(const sq_run *run);
void sq__longnet_backward(const sq_run *run);

#endif
