/* Performer's parts, for performer*.c and those that check them. */
#ifndef SQ_ATTENTION_PERFORMER_H
#define SQ_ATTENTION_PERFORMER_H

#include "attention/engine/linear_heads.h"

typedef enum sq_performer_kernel { SQ_PERFORMER_SOFTMAX, SQ_PERFORMER_HYPERBOLIC, SQ_PERFORMER_TRIGONOMETRIC, SQ_PERFORMER_GAUSSIAN,
                                   SQ_PERFORMER_RELU } sq_performer_kernel;
typedef enum sq_performer_convention { SQ_PERFORMER_PAPER, SQ_PERFORMER_LUCIDRAINS, SQ_PERFORMER_GOOGLE, SQ_PERFORMER_IDIAP,
                                       SQ_PERFORMER_HKU } sq_performer_convention;

typedef struct sq_performer_config {
    int64_t features;
    int kernel, convention, scaling;
    bool orthogonal, project, per_head, stabilize;
} sq_performer_config;

/* What is subtracted in the exponent of a map of values. LARGEST: of a query its largest u, of keys the largest u of the head.
 * NORM: weight times the head's largest n, of queries and keys apart. */
typedef enum sq_performer_stabiliser { SQ_STABILISER_NONE, SQ_STABILISER_LARGEST, SQ_STABILISER_NORM } sq_performer_stabiliser;

/* How one convention writes one kernel. */
typedef struct sq_performer_rule {
    sq_performer_convention convention;
    sq_performer_kernel kernel;
    bool projected;                    /* false: the rule of project: false */
    bool exponents;                    /* the engine's stabilised form; nothing below applies */
    bool weighted;                     /* features times m^-1/2, hyperbolic ones times (2m)^-1/2 */
    bool scaled;                       /* x~ = sqrt(scale) x, else x */
    double inside, outside;            /* added to the feature before and after the weight */
    sq_performer_stabiliser stabiliser;
    double norm_weight;
    bool differentiated;               /* the gradient flows through the stabiliser */
    sq_linear_denominator denominator;
    double causal_per_feature;         /* denominator.per_feature when causal */
} sq_performer_rule;

/* NULL: this convention does not have this kernel. */
const sq_performer_rule *sq__performer_rule(int convention, int kernel, bool projected);
int64_t sq__performer_directions(const sq_performer_config *config, int64_t D);   /* m: rows of the projection */
int64_t sq__performer_features(const sq_performer_config *config, int64_t D);     /* F */

/* The feature map of one head: rows of q and k to features, and back. */
typedef struct sq_performer_map {
    const sq_performer_rule *rule;
    const sq_kernels *kernels;
    sq_performer_kernel kernel;
    bool exponents;                    /* rows become log-features, for an engine of exponents */
    bool project, stabilize;
    bool accumulate;                   /* dk is added to */
    int64_t D, m, F;
    float root;                        /* x~ = root x */
    const float *W;                    /* [m,D]; NULL when not projected */
    struct sq_performer_side {
        const float *x;                /* q [T,D] or k [N,D] */
        float *dx;
        int64_t rows, x_row, dx_row;
        float stabiliser;              /* of the whole side; a query's own largest u is found row by row */
        int64_t at_row, at_feature;    /* where the stabiliser was found */
        double pull;                   /* gradient of the stabiliser */
    } side[2];                         /* by sq_linear_side */
} sq_performer_map;

/* Find the stabilisers of both sides, where the rule has any: one pass over the rows. scratch [SQ_LINEAR_CHUNK, F]. */
void sq__performer_map_prepare(sq_performer_map *map, float *scratch);
sq_linear_map sq__performer_linear_map(sq_performer_map *map);
/* After the engine's backward: what flows through the stabilisers. */
void sq__performer_map_finish(sq_performer_map *map);

#endif
