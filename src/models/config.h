/* The `model` section of a task file: what models of every kind share. Depends on base/fields.h. */
#ifndef SQ_MODELS_CONFIG_H
#define SQ_MODELS_CONFIG_H

#include "base/fields.h"

enum { SQ_NORM_PRE, SQ_NORM_POST };
enum { SQ_BY_AUTO, SQ_BY_MEAN, SQ_BY_LAST, SQ_BY_CLASS, SQ_BY_ATTENTION };

typedef struct sq_model_config {
    int64_t layers, width, heads;
    int64_t head_size;                 /* 0: width / heads */
    int64_t feed_forward;              /* 0: 4 width */
    int norm;                          /* "pre", "post" */
    int activation;                    /* "gelu", "relu" */
    int positions;                     /* "learned", "sinusoidal", "none", "rotary", "axial" */
    int position_bias;                 /* sq_bias_kind: "none", "alibi", "relative" */
    int64_t bias_distance;
    bool reversible, recompute;        /* nn/stack.h */
    bool share_layers;
    int64_t feed_forward_chunk;        /* 0: all rows at once */
    int pooling;                       /* "auto", "mean", "last", "class", "attention" */
    bool causal;
    double dropout;
    double embedding_dropout;
} sq_model_config;

extern const sq_field sq__model_fields[];

#endif
