/* cosFormer, arXiv:2202.08791: linear attention that prefers near keys.
 *   out_i = sum_j w_ij v_j / sum_j w_ij,   w_ij = relu(q_i) . relu(k_j) cos(pi/2 (i - j)/P)
 * The cosine of a difference is a sum of two products, so f(x_i) = [relu(x_i) sin a_i, relu(x_i) cos a_i], a_i = pi i / 2P, i from 1: 2D features.
 * q [T,D]; k [N,D]; v [N,M]; causal: sums over j <= i. P, the paper's M >= N, is the largest length that the plan knows, so that padding and the
 * length of a piece of a stream do not change a weight; the option period sets it. O((T + N) D M) time, O(D M) memory beside the rows.
 * Saves of each row its denominator and, not causal, each head's sums.
 *
 * convention = opennlplab (the authors' code): the denominator is at least 1e-6; their P is the longer of T and N, which it is here, too, when the
 * plan is given no max_length.
 *
 * Departures from the paper: a denominator of 0 gives zeros. The scale is not used. A stream longer than P gives keys more than P behind a negative
 * weight. */
#include <math.h>

#include "attention/engine/linear_heads.h"

/* ---- options ---- */

typedef enum convention { PAPER, OPENNLPLAB } convention;
static const char *const conventions[] = { "paper", "opennlplab", NULL };

typedef struct cosformer_config {
    int convention;
    int64_t period;
} cosformer_config;

static const sq_field cosformer_fields[] = {
    SQ_CHOICE(cosformer_config, convention, "paper", conventions, "paper: no eps; opennlplab: a denominator of at least 1e-6"),
    SQ_INT(cosformer_config, period, "0", 0, 1LL << 31, "distance at which a weight falls to 0; 0: the largest length"),
    SQ_FIELDS_END
};

/* ---- validate ---- */

static sq_status cosformer_validate(const void *data, const sq_problem *p, sq_error *error)
{
    const cosformer_config *config = data;
    const int64_t longest = p->T > p->N ? p->T : p->N;
    if (config->period && config->period < longest)
        return sq__fail(error, SQ_INVALID, "cosformer: period is %lld; expected at least the length, %lld, since weights beyond it are negative",
                        (long long)config->period, (long long)longest);
    if (p->scale != (float)(1.0 / sqrt((double)p->D)))
        return sq__fail(error, SQ_UNSUPPORTED, "cosformer: no scale is applied; expected the default, not %g", (double)p->scale);
    return SQ_OK;
}

/* ---- features ---- */

typedef struct map {
    const sq_kernels *kernels;
    int64_t D, position;
    double step;                       /* pi / 2P */
    sq_linear_rows rows[2];
} map;

static sq_linear_rule rule_of(const void *data, const sq_problem *p)
{
    const cosformer_config *config = data;
    sq_linear_rule rule = { .F = 2 * p->D, .context_bytes = sizeof(map), .denominator = SQ_LINEAR_PLAIN, .streams = true };
    if (config->convention == OPENNLPLAB) rule.denominator.floor = 1e-6f;
    return rule;
}

static void angles(const map *m, int64_t first, int64_t rows, float *sine, float *cosine)
{
    for (int64_t i = 0; i < rows; i++) sine[i] = (float)(m->step * (double)(m->position + first + i + 1));
    m->kernels->sine_cosine(sine, cosine, sine, rows);
}

static void features(void *context, sq_linear_side side, int64_t first, int64_t rows, float *f)
{
    const map *m = context;
    const sq_linear_rows *from = &m->rows[side];
    float sine[SQ_LINEAR_CHUNK] = { 0 }, cosine[SQ_LINEAR_CHUNK] = { 0 };
    angles(m, first, rows, sine, cosine);
    for (int64_t i = 0; i < rows; i++) {
        const float *x = from->x + (first + i) * from->x_row;
        float *s = f + i * 2 * m->D, *c = s + m->D;
#pragma omp simd
        for (int64_t d = 0; d < m->D; d++) {
            const float y = x[d] > 0 ? x[d] : 0;
            s[d] = y * sine[i];
            c[d] = y * cosine[i];
        }
    }
}

static void backward(void *context, sq_linear_side side, int64_t first, int64_t rows, const float *f, float *df)
{
    const map *m = context;
    const sq_linear_rows *to = &m->rows[side];
    float sine[SQ_LINEAR_CHUNK] = { 0 }, cosine[SQ_LINEAR_CHUNK] = { 0 };
    (void)f;
    angles(m, first, rows, sine, cosine);
    for (int64_t i = 0; i < rows; i++) {
        const float *x = to->x + (first + i) * to->x_row, *ds = df + i * 2 * m->D, *dc = ds + m->D;
        float *dx = to->dx + (first + i) * to->dx_row;
        for (int64_t d = 0; d < m->D; d++) {
            const float dy = x[d] > 0 ? ds[d] * sine[i] + dc[d] * cosine[i] : 0;
            dx[d] = (to->accumulate ? dx[d] : 0) + dy;
        }
    }
}

static sq_linear_map map_of(const sq_run *run, const sq_head *head, int64_t position, void *context, float *scratch)
{
    const cosformer_config *config = run->config;
    const sq_problem *p = run->problem;
    const int64_t length = p->max_length > p->T ? p->max_length : p->T;
    map *m = context;
    (void)scratch;
    *m = (map){ .kernels = run->kernels, .D = p->D, .position = position, .step = acos(-1) / 2 / (double)(config->period ? config->period : length) };
    sq__linear_rows(head, m->rows);
    return (sq_linear_map){ m, features, backward };
}

static const sq_linear_mechanism mechanism = { .rule = rule_of, .map = map_of };

/* ---- sizes, forward, backward, step ---- */

static void cosformer_sizes(const void *config, const sq_problem *p, sq_sizes *sizes)
{
    sq__linear_heads_sizes(&mechanism, config, p, sizes);
}

static double cosformer_flops(const void *config, const sq_problem *p, sq_pass pass)
{
    return sq__linear_heads_flops(&mechanism, config, p, pass);
}

static void cosformer_forward(const sq_run *run)
{
    sq__linear_heads_forward(&mechanism, run);
}

static void cosformer_backward(const sq_run *run)
{
    sq__linear_heads_backward(&mechanism, run);
}

static size_t cosformer_state_bytes(const void *config, const sq_problem *p)
{
    return sq__linear_heads_state_bytes(&mechanism, config, p);
}

static void cosformer_state_reset(const void *config, const sq_problem *p, void *state)
{
    sq__linear_heads_state_reset(&mechanism, config, p, state);
}

static void cosformer_step(const sq_run *run, void *state)
{
    sq__linear_heads_step(&mechanism, run, state);
}

const sq_attention_kind sq__attention_cosformer = {
    .name = "cosformer", .title = "linear attention weighted by a cosine of distance", .paper = "arXiv:2202.08791",
    .cost = "O(n D M) time, O(D M) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM,
    .fields = cosformer_fields, .config_size = sizeof(cosformer_config), .validate = cosformer_validate,
    .sizes = cosformer_sizes, .flops = cosformer_flops, .forward = cosformer_forward, .backward = cosformer_backward,
    .state_bytes = cosformer_state_bytes, .state_reset = cosformer_state_reset, .step = cosformer_step,
};
