/* Linear attention, arXiv:2006.16236: softmax's weights replaced by products of features.
 *   out_i = f(q_i)' sum_j f(k_j) v_j' / f(q_i)' sum_j f(k_j)
 * q [T,D]; k [N,D]; v [N,M]; causal: sums over j <= i. O((T + N) D M) time, O(D M) memory beside the rows. Every feature is f(x)_r of x_r
 * alone, so there are D of them. Saves of each row its denominator and, not causal, each head's sums.
 *
 *   feature_map   f
 *   elu           elu(x) + 1, the paper's
 *   relu          max(x, 0)
 *   exp           exp(x)
 *   softmax       efficient attention, arXiv:1812.01243: the softmax of q over its D entries, of k over the keys, and no denominator (rows sum to
 *                 one); causal: exp(k) and the denominator, since a sum over all keys would look ahead
 *
 * exp and softmax are computed from exponents (linear.h) and right for inputs of any size.
 *
 *   reference                                  options
 *   idiap linear_attention, causal_linear      convention=idiap: 1e-6 added to the denominator (elu, relu)
 *   lucidrains linear_attn                     convention=lucidrains feature_map=softmax: out times D^-1/2
 *   lucidrains causal_linear_attn              the same, causal: exp(k) as it is, q times D^-1/2, denominator at least 1e-3; bucket
 *
 * Departures from the papers: none in `paper`; a denominator of 0 (every feature 0, as relu may give) gives zeros. The scale is not used. */
#include <math.h>

#include "attention/engine/linear_heads.h"

/* ---- options ---- */

typedef enum feature_map { ELU, RELU, EXP, SOFTMAX } feature_map;
typedef enum convention { PAPER, IDIAP, LUCIDRAINS } convention;
static const char *const feature_maps[] = { "elu", "relu", "exp", "softmax", NULL };
static const char *const conventions[] = { "paper", "idiap", "lucidrains", NULL };

typedef struct linear_config {
    int feature_map, convention;
    int64_t bucket;
} linear_config;

static const sq_field linear_fields[] = {
    SQ_CHOICE(linear_config, feature_map, "elu", feature_maps,
              "elu: elu(x) + 1; relu; exp; softmax: efficient attention (over q's entries, over the keys)"),
    SQ_CHOICE(linear_config, convention, "paper", conventions,
              "paper: no eps; idiap: 1e-6 added to the denominator; lucidrains: softmax times D^-1/2, causal denominator at least 1e-3"),
    SQ_INT(linear_config, bucket, "1", 1, 1 << 30,
           "causal: rows see all keys of earlier buckets of this many and none of their own; 1: every key up to their own"),
    SQ_FIELDS_END
};

/* ---- validate ---- */

static bool as_exponents(const linear_config *config, const sq_problem *p)
{
    return config->feature_map == EXP || (config->feature_map == SOFTMAX && !(config->convention == LUCIDRAINS && p->causal));
}

static sq_status linear_validate(const void *data, const sq_problem *p, sq_error *error)
{
    const linear_config *config = data;
    if ((config->convention == IDIAP && config->feature_map != ELU && config->feature_map != RELU) ||
        (config->convention == LUCIDRAINS && config->feature_map != SOFTMAX))
        return sq__fail(error, SQ_UNSUPPORTED, "linear: convention %s has no feature_map %s; convention paper has every one",
                        conventions[config->convention], feature_maps[config->feature_map]);
    if (config->bucket > 1 && (!p->causal || as_exponents(config, p)))
        return sq__fail(error, SQ_UNSUPPORTED, "linear: bucket is %lld; only causal elu, relu and lucidrains' softmax have buckets",
                        (long long)config->bucket);
    if (p->scale != (float)(1.0 / sqrt((double)p->D)))
        return sq__fail(error, SQ_UNSUPPORTED, "linear: no scale is applied; expected the default, not %g", (double)p->scale);
    return SQ_OK;
}

/* ---- features ---- */

typedef struct map {
    const sq_kernels *kernels;
    int feature_map;
    bool exponents;
    int64_t D;
    sq_linear_rows rows[2];
} map;

static sq_linear_rule rule_of(const void *data, const sq_problem *p)
{
    const linear_config *config = data;
    const bool exponents = as_exponents(config, p);
    const double root = sqrt((double)p->D);
    sq_linear_rule rule = { .F = p->D, .context_bytes = sizeof(map), .exponents = exponents,
                            .normalised = exponents && config->feature_map == SOFTMAX && !p->causal, .bucket = config->bucket,
                            .denominator = SQ_LINEAR_PLAIN, .streams = config->bucket == 1 };
    if (config->convention == IDIAP) rule.denominator.add = 1e-6f;
    if (config->convention == LUCIDRAINS) {
        rule.gain = (float)(1 / root);
        rule.denominator.floor = (float)(1e-3 * root);   /* of the denominator without q's D^-1/2, which cancels otherwise */
    }
    return rule;
}

static void row_features(const map *m, sq_linear_side side, const float *x, float *f)
{
    const int64_t D = m->D;
    switch (m->feature_map) {
    case ELU:
#pragma omp simd
        for (int64_t r = 0; r < D; r++) f[r] = x[r] < 0 ? x[r] : 0;
        m->kernels->exp(f, f, D);
#pragma omp simd
        for (int64_t r = 0; r < D; r++) f[r] += x[r] > 0 ? x[r] : 0;
        break;
    case RELU:
#pragma omp simd
        for (int64_t r = 0; r < D; r++) f[r] = x[r] > 0 ? x[r] : 0;
        break;
    default: {
        const float shift = side == SQ_LINEAR_QUERIES ? m->kernels->max(x, D) : 0, sum = m->kernels->exp_sum(f, x, 1, shift, D);
        if (side == SQ_LINEAR_QUERIES) m->kernels->scale(f, 1 / sum, D);
    }
    }
}

static void features(void *context, sq_linear_side side, int64_t first, int64_t rows, float *f)
{
    const map *m = context;
    const sq_linear_rows *from = &m->rows[side];
    for (int64_t i = 0; i < rows; i++) {
        const float *x = from->x + (first + i) * from->x_row;
        if (!m->exponents) row_features(m, side, x, f + i * m->D);
        for (int64_t r = 0; m->exponents && r < m->D; r++) f[i * m->D + r] = x[r];
    }
}

/* elu: f' = min(f, 1). */
static void row_gradient(const map *m, sq_linear_side side, const float *f, float *df)
{
    const int64_t D = m->D;
    switch (m->feature_map) {
    case ELU:
#pragma omp simd
        for (int64_t r = 0; r < D; r++) df[r] *= f[r] < 1 ? f[r] : 1;
        break;
    case RELU:
#pragma omp simd
        for (int64_t r = 0; r < D; r++) df[r] = f[r] > 0 ? df[r] : 0;
        break;
    default: {
        const float mean = side == SQ_LINEAR_QUERIES ? m->kernels->dot(f, df, D) : 0;
#pragma omp simd
        for (int64_t r = 0; r < D; r++) df[r] = f[r] * (df[r] - mean);
    }
    }
}

static void backward(void *context, sq_linear_side side, int64_t first, int64_t rows, const float *f, float *df)
{
    const map *m = context;
    const sq_linear_rows *to = &m->rows[side];
    for (int64_t i = 0; i < rows; i++) {
        float *dx = to->dx + (first + i) * to->dx_row, *d = df + i * m->D;
        if (!m->exponents) row_gradient(m, side, f + i * m->D, d);
        for (int64_t r = 0; r < m->D; r++) dx[r] = (to->accumulate ? dx[r] : 0) + d[r];
    }
}

static sq_linear_map map_of(const sq_run *run, const sq_head *head, int64_t position, void *context, float *scratch)
{
    const linear_config *config = run->config;
    map *m = context;
    (void)position, (void)scratch;
    *m = (map){ .kernels = run->kernels, .feature_map = config->feature_map, .exponents = as_exponents(config, run->problem), .D = run->problem->D };
    sq__linear_rows(head, m->rows);
    return (sq_linear_map){ m, features, backward };
}

static const sq_linear_mechanism mechanism = { .rule = rule_of, .map = map_of };

/* ---- sizes, forward, backward, step ---- */

static void linear_sizes(const void *config, const sq_problem *p, sq_sizes *sizes)
{
    sq__linear_heads_sizes(&mechanism, config, p, sizes);
}

static double linear_flops(const void *config, const sq_problem *p, sq_pass pass)
{
    return sq__linear_heads_flops(&mechanism, config, p, pass);
}

static void linear_forward(const sq_run *run)
{
    sq__linear_heads_forward(&mechanism, run);
}

static void linear_backward(const sq_run *run)
{
    sq__linear_heads_backward(&mechanism, run);
}

static size_t linear_state_bytes(const void *config, const sq_problem *p)
{
    return sq__linear_heads_state_bytes(&mechanism, config, p);
}

static void linear_state_reset(const void *config, const sq_problem *p, void *state)
{
    sq__linear_heads_state_reset(&mechanism, config, p, state);
}

static void linear_step(const sq_run *run, void *state)
{
    sq__linear_heads_step(&mechanism, run, state);
}

const sq_attention_kind sq__attention_linear = {
    .name = "linear", .title = "linear and efficient attention", .paper = "arXiv:2006.16236", .cost = "O(n D M) time, O(D M) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM,
    .fields = linear_fields, .config_size = sizeof(linear_config), .validate = linear_validate,
    .sizes = linear_sizes, .flops = linear_flops, .forward = linear_forward, .backward = linear_backward,
    .state_bytes = linear_state_bytes, .state_reset = linear_state_reset, .step = linear_step,
};
