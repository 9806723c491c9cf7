/* Attention and layers in double, straight from their formulas, on the parameters of a set. */
#ifndef SQ_TESTS_NN_NAIVE_H
#define SQ_TESTS_NN_NAIVE_H

#include "base/random.h"
#include "nn/parameters.h"
#include "support/check.h"

static inline float *draw(const char *purpose, int64_t count)
{
    sq_random random = sq__random_stream(31, purpose, 0);
    float *out = malloc((size_t)count * sizeof *out);
    sq__random_uniform_fill(&random, out, count, -1, 1);
    return out;
}

static inline const float *named(const sq_parameters *set, const char *prefix, const char *name)
{
    char full[200];
    snprintf(full, sizeof full, "%s.%s", prefix, name);
    const sq_parameter *found = sq__parameters_find(set, full);
    if (!found) fail_msg("no parameter '%s'", full);
    return found->value;
}

/* Biases and norms start as constants: give every parameter values that a test can tell apart. */
static inline void shake(sq_parameters *set)
{
    for (int i = 0; i < set->count; i++) {
        sq_random random = sq__random_stream(5, set->items[i].name, 1);
        for (int64_t j = 0; j < set->items[i].count; j++) set->items[i].value[j] += 0.2f * (float)sq__random_normal(&random, (uint64_t)j);
    }
}

/* y[rows, out] = x[rows, in] w' + b */
static inline double *naive_linear(const double *x, const float *w, const float *b, int64_t rows, int64_t in, int64_t out)
{
    double *y = calloc((size_t)(rows * out), sizeof *y);
    for (int64_t r = 0; r < rows; r++)
        for (int64_t o = 0; o < out; o++) {
            y[r * out + o] = b ? b[o] : 0;
            for (int64_t i = 0; i < in; i++) y[r * out + o] += x[r * in + i] * w[o * in + i];
        }
    return y;
}

static inline double *widen(const float *x, int64_t count)
{
    double *y = malloc((size_t)count * sizeof *y);
    for (int64_t i = 0; i < count; i++) y[i] = x[i];
    return y;
}

/* x = LayerNorm(x) in place */
static inline void naive_norm(double *x, const float *w, const float *b, int64_t rows, int64_t n, double eps)
{
    for (int64_t r = 0; r < rows; r++, x += n) {
        double mean = 0, square = 0;
        for (int64_t i = 0; i < n; i++) mean += x[i] / (double)n;
        for (int64_t i = 0; i < n; i++) square += (x[i] - mean) * (x[i] - mean) / (double)n;
        for (int64_t i = 0; i < n; i++) x[i] = (x[i] - mean) / sqrt(square + eps) * w[i] + b[i];
    }
}

typedef struct naive_shape { int64_t B, T, N, H, D, M; const int32_t *lengths; bool causal; } naive_shape;

/* q [B,T,H*D], k [B,N,H*D], v [B,N,H*M] with rows *_row apart -> [B,T,H*M] */
static inline double *naive_attention(const naive_shape *s, const double *q, int64_t q_row, const double *k, int64_t k_row, const double *v,
                                      int64_t v_row)
{
    double *out = calloc((size_t)(s->B * s->T * s->H * s->M), sizeof *out), *p = malloc((size_t)s->N * sizeof *p);
    for (int64_t b = 0; b < s->B; b++)
        for (int64_t h = 0; h < s->H; h++)
            for (int64_t t = 0; t < s->T; t++) {
                double most = -INFINITY, sum = 0;
                for (int64_t n = 0; n < s->N; n++) {
                    const bool seen = !(s->causal && n > t) && !(s->lengths && n >= s->lengths[b]);
                    p[n] = seen ? 0 : -INFINITY;
                    for (int64_t d = 0; seen && d < s->D; d++)
                        p[n] += q[(b * s->T + t) * q_row + h * s->D + d] * k[(b * s->N + n) * k_row + h * s->D + d] / sqrt((double)s->D);
                    most = fmax(most, p[n]);
                }
                for (int64_t n = 0; n < s->N; n++) sum += p[n] = isfinite(p[n]) ? exp(p[n] - most) : 0;
                for (int64_t n = 0; n < s->N; n++)
                    for (int64_t m = 0; sum > 0 && m < s->M; m++)
                        out[((b * s->T + t) * s->H + h) * s->M + m] += p[n] / sum * v[(b * s->N + n) * v_row + h * s->M + m];
            }
    free(p);
    return out;
}

static inline void assert_rows(const sq_var *found, const double *expected, const int32_t *lengths, double bound)
{
    assert_non_null(found);
    const int64_t T = found->shape[1], E = found->shape[2];
    for (int64_t i = 0; i < found->count; i++)
        if (!lengths || i / E % T < lengths[i / E / T]) assert_close(found->value[i], expected[i], bound);
}

#endif
