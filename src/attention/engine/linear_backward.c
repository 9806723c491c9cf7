/* dout_i, delta_i = -dout_i . out_i (the denominator's gradient times the denominator), p_ijr = Q'_ir K'_jr / den_i:
 *   g_ij = dout_i . v_j + delta_i
 *   dlog Q'_ir = sum_j p_ijr g_ij      dlog K'_jr = sum_i p_ijr g_ij      dv_j = sum_ir p_ijr dout_i
 * Queries read the keys' state S, z; keys read the queries' state R = sum_i Q'_i'/den_i dout_i, r = sum_i Q'_i/den_i delta_i.
 * With decay p_ijr also has the factor g_j+1 ... g_i, so that dlog g_t sums p_ijr g_ij over j < t <= i:
 *   dlog g_t = sum_{i >= t} Q'_i . dQ'_i - sum_{j >= t} K'_j . dK'_j */
#include <math.h>
#include <string.h>

#include "attention/engine/linear_state.h"
#include "base/subnormal.h"

typedef struct scratch {
    float *x, *y, *t, *v;              /* keys, queries divided by their denominator, a gradient [chunk,F]; values [chunk,M] */
    float *a, *g;                      /* p summed over r, g [chunk,chunk] (causal) */
    float *delta, *temporary;          /* [chunk] */
    double *decay;                     /* L, linear_state.h */
    sq_linear_state state;
} scratch;

static size_t cut_scratch(scratch *s, void *workspace, int64_t F, int64_t M, bool causal)
{
    sq_cut cut = { workspace, 0 };
    s->x = sq__cut_floats(&cut, SQ_LINEAR_CHUNK * F);
    s->y = sq__cut_floats(&cut, SQ_LINEAR_CHUNK * F);
    s->t = sq__cut_floats(&cut, SQ_LINEAR_CHUNK * F);
    s->a = causal ? sq__cut_floats(&cut, SQ_LINEAR_CHUNK * SQ_LINEAR_CHUNK) : NULL;
    s->g = causal ? sq__cut_floats(&cut, SQ_LINEAR_CHUNK * SQ_LINEAR_CHUNK) : NULL;
    s->v = sq__cut_floats(&cut, SQ_LINEAR_CHUNK * M);
    s->delta = sq__cut_floats(&cut, SQ_LINEAR_CHUNK);
    s->decay = causal ? sq__cut(&cut, SQ_LINEAR_CHUNK * sizeof(double)) : NULL;
    s->temporary = causal ? sq__cut_floats(&cut, SQ_LINEAR_CHUNK) : NULL;
    sq__linear_state_place(&s->state, sq__cut_floats(&cut, (int64_t)sq__linear_state_floats(F, M)), F, M);
    return cut.used;
}

size_t sq__linear_workspace(int64_t F, int64_t M, bool causal, sq_pass pass)
{
    scratch s;
    return pass == SQ_FORWARD ? sq__linear_forward_scratch(F, M, causal) : cut_scratch(&s, NULL, F, M, causal);
}

/* Forward: absorb and read, and inside a chunk Q'K'' and its product with v. Backward: the queries read S and are absorbed,
 * the keys read R twice; causal absorbs the keys again and has five products inside a chunk. */
double sq__linear_flops(int64_t T, int64_t N, int64_t F, int64_t M, bool causal, sq_pass pass)
{
    const double t = (double)T, n = (double)N, width = (double)F * (double)M;
    const double inside = causal ? (double)(T < N ? T : N) * SQ_LINEAR_CHUNK : 0;
    if (pass == SQ_FORWARD) return 2 * ((t + n) * width + inside * (double)(F + M));
    return 2 * ((2 * t + (causal ? 3 : 2) * n) * width + inside * (double)(3 * F + 3 * M));
}

static void load_delta(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, int64_t first, int64_t rows,
                       float *delta)
{
    for (int64_t i = 0; i < rows; i++) {
        const float d = l->rows[first + i], size = l->denominator.magnitude ? fabsf(d) : d;
        const bool flat = !l->exponents && size <= l->denominator.floor;
        delta[i] = flat ? 0 : -kernels->dot(g->dout + (first + i) * g->dout_row, l->out + (first + i) * l->out_row, l->M);
        if (size != d) delta[i] = -delta[i];
    }
}

static float inverse(const sq_linear *l, int64_t i)
{
    const float d = l->denominator.magnitude ? fabsf(l->rows[i]) : l->rows[i];
    return d == 0 ? 0 : 1 / d;
}

/* y [rows,F]: Q'_i (values), or its exponents less the logarithm of the denominator, -inf where nothing is seen. */
static void load_queries(const sq_linear *l, int64_t first, int64_t rows, float *y)
{
    l->map.features(l->map.context, SQ_LINEAR_QUERIES, first, rows, y);
    for (int64_t i = 0; l->exponents && i < rows; i++) sq__linear_shift(y + i * l->F, -l->rows[first + i], l->F);
}

/* y = exp(y + sign reference), row by row; a NULL reference is 0. */
static void shifted_exp(const sq_linear *l, const sq_kernels *kernels, const float *reference, float sign, int64_t rows, float *y)
{
    for (int64_t i = 0; reference && i < rows; i++) kernels->axpy(y + i * l->F, sign, reference, l->F);
    kernels->exp(y, y, rows * l->F);
}

static void divide_rows(const sq_linear *l, const sq_kernels *kernels, int64_t first, int64_t rows, float *y)
{
    for (int64_t i = 0; i < rows; i++) kernels->scale(y + i * l->F, inverse(l, first + i), l->F);
}

/* a [rows,keys]: g_ij of the chunk's own keys, 0 for j > i. */
static void load_g(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, int64_t first, int64_t rows, int64_t keys,
                   sq_linear_values v, const scratch *s)
{
    sq__gemm(false, true, rows, keys, l->M, 1, g->dout + first * g->dout_row, g->dout_row, v.v, v.row, 0, s->g, SQ_LINEAR_CHUNK);
    for (int64_t i = 0; i < rows; i++) sq__linear_shift(s->g + i * SQ_LINEAR_CHUNK, s->delta[i], i < keys ? i + 1 : keys);
    sq__linear_lower(s->g, rows, keys, SQ_LINEAR_CHUNK);
    if (l->log_decay) sq__linear_decay_pairs(kernels, s->decay, rows, keys, s->g, SQ_LINEAR_CHUNK, s->temporary);
}

/* t = dout S' + delta z': what the state tells the queries' features. */
static void read_queries(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, const sq_linear_state *state, int64_t first,
                         int64_t rows, const scratch *s)
{
    sq__gemm(false, true, rows, l->F, l->M, 1, g->dout + first * g->dout_row, g->dout_row, state->S, l->M, 0, s->t, l->F);
    for (int64_t i = 0; i < rows; i++) kernels->axpy(s->t + i * l->F, s->delta[i], state->z, l->F);
}

/* t = v R' + 1 r': what the state tells the keys' features. */
static void read_keys(const sq_linear *l, const sq_kernels *kernels, const sq_linear_state *state, int64_t keys, sq_linear_values v,
                      const scratch *s)
{
    sq__gemm(false, true, keys, l->F, l->M, 1, v.v, v.row, state->S, l->M, 0, s->t, l->F);
    for (int64_t j = 0; j < keys; j++) kernels->axpy(s->t + j * l->F, 1, state->z, l->F);
}

/* dlog_decay receives Q'_i . dQ'_i on the way up and what the equation above says on the way down. */
static void give_queries(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, int64_t first, int64_t rows, const float *y,
                         float *t)
{
    if (l->exponents) sq__linear_multiply(t, y, rows * l->F);
    else divide_rows(l, kernels, first, rows, t);
    for (int64_t i = 0; l->log_decay && i < rows; i++) g->dlog_decay[first + i] = kernels->dot(y + i * l->F, t + i * l->F, l->F);
    l->map.backward(l->map.context, SQ_LINEAR_QUERIES, first, rows, l->exponents ? NULL : y, t);
}

static void give_keys(const sq_linear *l, int64_t first, int64_t keys, const float *x, float *t)
{
    if (l->exponents) sq__linear_multiply(t, x, keys * l->F);
    for (int64_t j = 0; l->key_keep && j < keys; j++)
        if (!l->key_keep[first + j]) memset(t + j * l->F, 0, (size_t)l->F * sizeof *t);
    l->map.backward(l->map.context, SQ_LINEAR_KEYS, first, keys, l->exponents ? NULL : x, t);
}

/* Keys from `first` on that no query saw. */
static void nothing_for_keys(const sq_linear *l, const sq_linear_gradients *g, int64_t first, const scratch *s)
{
    for (int64_t rows; first < l->N; first += rows) {
        rows = l->N - first < SQ_LINEAR_CHUNK ? l->N - first : SQ_LINEAR_CHUNK;
        memset(s->t, 0, (size_t)(rows * l->F) * sizeof *s->t);
        if (!l->exponents) sq__linear_keys(l, first, rows, s->x);
        if (l->log_decay) memset(g->dlog_decay + first, 0, (size_t)rows * sizeof(float));
        l->map.backward(l->map.context, SQ_LINEAR_KEYS, first, rows, l->exponents ? NULL : s->x, s->t);
        for (int64_t j = first; j < first + rows && !g->accumulate; j++) memset(g->dv + j * g->dv_row, 0, (size_t)l->M * sizeof *g->dv);
    }
}

/* Rows first .. end-1 read the keys' state and, where R is given, are absorbed in it. */
static void queries_against(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, const scratch *s, int64_t first,
                            int64_t end, const sq_linear_state *state, sq_linear_state *R)
{
    for (int64_t rows; first < end; first += rows) {
        rows = end - first < SQ_LINEAR_CHUNK ? end - first : SQ_LINEAR_CHUNK;
        load_queries(l, first, rows, s->y);
        if (l->exponents) shifted_exp(l, kernels, l->normalised ? NULL : state->reference, 1, rows, s->y);
        load_delta(l, g, kernels, first, rows, s->delta);
        if (state) {
            read_queries(l, g, kernels, state, first, rows, s);
            give_queries(l, g, kernels, first, rows, s->y, s->t);
        }
        if (!R) continue;
        if (!l->exponents) divide_rows(l, kernels, first, rows, s->y);
        sq__linear_absorb(R, kernels, l->F, l->M, s->y, rows, g->dout + first * g->dout_row, g->dout_row, s->delta);
    }
}

/* Keys first .. end-1 read the queries' state. */
static void keys_against(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, const scratch *s, int64_t first,
                         int64_t end, const sq_linear_state *R)
{
    for (int64_t keys; first < end; first += keys) {
        keys = end - first < SQ_LINEAR_CHUNK ? end - first : SQ_LINEAR_CHUNK;
        sq__linear_keys(l, first, keys, s->x);
        if (l->exponents) shifted_exp(l, kernels, l->state.reference, -1, keys, s->x);
        sq__gemm(false, false, keys, l->M, l->F, 1, s->x, l->F, R->S, l->M, g->accumulate, g->dv + first * g->dv_row, g->dv_row);
        read_keys(l, kernels, R, keys, sq__linear_values(l, first, keys, s->v), s);
        give_keys(l, first, keys, s->x, s->t);
    }
}

static void backward_all(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, const scratch *s)
{
    const int64_t F = l->F, M = l->M;
    const bool nothing = l->exponents && l->state.reference[0] == -INFINITY;
    sq_linear_state R = s->state;
    sq__linear_reset(&R, F, M, 0);
    queries_against(l, g, kernels, s, 0, l->T, &l->state, &R);
    if (nothing) {
        nothing_for_keys(l, g, 0, s);
        return;
    }
    for (int64_t r = 0; l->normalised && r < F; r++) R.z[r] = -kernels->dot(R.S + r * M, l->state.S + r * M, M);
    if (l->normalised && l->gain != 0) kernels->scale(R.S, l->gain, F * M);
    keys_against(l, g, kernels, s, 0, l->N, &R);
}

/* Up: the state of earlier buckets for the queries. Down: the queries of later buckets for the keys. */
static void backward_buckets(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, scratch *s)
{
    sq__linear_reset(&s->state, l->F, l->M, l->denominator.per_feature);
    for (int64_t first = 0; first < l->T; first += l->bucket) {
        const int64_t end = first + l->bucket, keys = end < l->N ? end : l->N;
        queries_against(l, g, kernels, s, first, end < l->T ? end : l->T, &s->state, NULL);
        for (int64_t j = first, rows; j < keys; j += rows) {
            rows = keys - j < SQ_LINEAR_CHUNK ? keys - j : SQ_LINEAR_CHUNK;
            sq__linear_keys(l, j, rows, s->x);
            const sq_linear_values v = sq__linear_values(l, j, rows, s->v);
            sq__linear_absorb(&s->state, kernels, l->F, l->M, s->x, rows, v.v, v.row, NULL);
        }
    }
    sq__linear_reset(&s->state, l->F, l->M, 0);
    const int64_t covered = (l->T + l->bucket - 1) / l->bucket * l->bucket;
    for (int64_t end = covered; end > 0; end -= l->bucket) {
        const int64_t first = end - l->bucket;
        keys_against(l, g, kernels, s, first, end < l->N ? end : l->N, &s->state);
        queries_against(l, g, kernels, s, first, end < l->T ? end : l->T, NULL, &s->state);
    }
    nothing_for_keys(l, g, covered, s);
}

/* Rows from `first` on in ascending order: the gradient of the queries. Returns how many. */
static int64_t ascend(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, scratch *s, int64_t first, int64_t rows)
{
    const int64_t F = l->F, M = l->M;
    int64_t keys = first < l->N ? (l->N - first < rows ? l->N - first : rows) : 0;
    float top = 0;
    if (keys) sq__linear_keys(l, first, keys, s->x);
    if (keys && l->exponents) {
        const int64_t settled = sq__linear_settle(&s->state, kernels, F, M, s->x, keys, false, &top);
        if (settled < keys) rows = keys = settled;
    }
    const sq_linear_values v = sq__linear_values(l, first, keys, s->v);
    load_queries(l, first, rows, s->y);
    if (l->exponents) shifted_exp(l, kernels, s->state.reference, 1, rows, s->y);
    load_delta(l, g, kernels, first, rows, s->delta);
    read_queries(l, g, kernels, &s->state, first, rows, s);
    if (l->log_decay) {
        sq__linear_load_decay(l, first, rows, s->decay);
        sq__linear_decay_from_start(kernels, s->decay, rows, F, s->t);
    }
    if (keys) {
        load_g(l, g, kernels, first, rows, keys, v, s);
        sq__gemm(false, false, rows, F, keys, 1, s->g, SQ_LINEAR_CHUNK, s->x, F, 1, s->t, F);
    }
    give_queries(l, g, kernels, first, rows, s->y, s->t);
    if (!keys) return rows;
    if (l->log_decay) {
        sq__linear_decay_to(kernels, s->decay, s->decay[rows - 1], keys, F, s->x);
        sq__linear_decay_state(&s->state, kernels, F, M, s->decay[rows - 1]);
    }
    sq__linear_absorb(&s->state, kernels, F, M, s->x, keys, v.v, v.row, NULL);
    if (l->exponents) sq__linear_follow(&s->state, kernels, F, M, s->x, keys, top);
    return rows;
}

/* t = x, row j decayed from j to the end of the chunk; x may be t. */
static void decayed_keys(const sq_linear *l, const sq_kernels *kernels, int64_t rows, int64_t keys, const float *x, const scratch *s)
{
    if (!l->log_decay) return;
    if (x != s->t) memcpy(s->t, x, (size_t)(keys * l->F) * sizeof *x);
    sq__linear_decay_to(kernels, s->decay, s->decay[rows - 1], keys, l->F, s->t);
}

/* dlog_decay less K'_j . dK'_j; masked keys are 0 in x. */
static void subtract_keys(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, int64_t first, int64_t keys, const scratch *s)
{
    for (int64_t j = 0; l->log_decay && j < keys; j++) g->dlog_decay[first + j] -= kernels->dot(s->x + j * l->F, s->t + j * l->F, l->F);
}

/* dlog_decay from the differences of each row to their sums over all later rows. */
static void sum_decay(const sq_linear *l, const sq_linear_gradients *g)
{
    double sum = 0;
    for (int64_t i = l->T; l->log_decay && i-- > 0;) {
        sum += g->dlog_decay[i];
        g->dlog_decay[i] = i < l->N && !(l->key_keep && !l->key_keep[i]) ? (float)sum : 0;
    }
}

/* Rows before `end` in descending order: the gradients of the keys and values. Returns how many. */
static int64_t descend(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, scratch *s, int64_t end, int64_t rows)
{
    const int64_t F = l->F, M = l->M;
    float *y = s->y, top = 0;
    load_queries(l, end - rows, rows, y);
    if (l->exponents) {
        const int64_t settled = sq__linear_settle(&s->state, kernels, F, M, y, rows, true, &top);
        y += (rows - settled) * F;
        rows = settled;
    } else {
        divide_rows(l, kernels, end - rows, rows, y);
    }
    const int64_t first = end - rows, keys = (end < l->N ? end : l->N) - first;
    const float *dout = g->dout + first * g->dout_row;
    load_delta(l, g, kernels, first, rows, s->delta);
    if (l->log_decay) sq__linear_load_decay(l, first, rows, s->decay);
    if (keys > 0) {
        const sq_linear_values v = sq__linear_values(l, first, keys, s->v);
        float *dv = g->dv + first * g->dv_row;
        sq__linear_keys(l, first, keys, s->x);
        if (l->exponents) shifted_exp(l, kernels, s->state.reference, 1, keys, s->x);
        sq__gemm(false, true, rows, keys, F, 1, y, F, s->x, F, 0, s->a, SQ_LINEAR_CHUNK);
        sq__linear_lower(s->a, rows, keys, SQ_LINEAR_CHUNK);
        if (l->log_decay) sq__linear_decay_pairs(kernels, s->decay, rows, keys, s->a, SQ_LINEAR_CHUNK, s->temporary);
        sq__gemm(true, false, keys, M, rows, 1, s->a, SQ_LINEAR_CHUNK, dout, g->dout_row, g->accumulate, dv, g->dv_row);
        decayed_keys(l, kernels, rows, keys, s->x, s);
        sq__gemm(false, false, keys, M, F, 1, l->log_decay ? s->t : s->x, F, s->state.S, M, 1, dv, g->dv_row);
        load_g(l, g, kernels, first, rows, keys, v, s);
        read_keys(l, kernels, &s->state, keys, v, s);
        decayed_keys(l, kernels, rows, keys, s->t, s);
        sq__gemm(true, false, keys, F, rows, 1, s->g, SQ_LINEAR_CHUNK, y, F, 1, s->t, F);
        subtract_keys(l, g, kernels, first, keys, s);
        give_keys(l, first, keys, s->x, s->t);
    }
    if (l->log_decay) {
        sq__linear_decay_from_start(kernels, s->decay, rows, F, y);
        sq__linear_decay_state(&s->state, kernels, F, M, s->decay[rows - 1]);
    }
    sq__linear_absorb(&s->state, kernels, F, M, y, rows, dout, g->dout_row, s->delta);
    if (l->exponents) sq__linear_follow(&s->state, kernels, F, M, y, rows, top);
    return rows;
}

static void backward_causal(const sq_linear *l, const sq_linear_gradients *g, const sq_kernels *kernels, scratch *s)
{
    sq__linear_reset(&s->state, l->F, l->M, l->exponents ? 0 : l->denominator.per_feature);
    for (int64_t i = 0; i < l->T;) {
        const int64_t end = (i / SQ_LINEAR_CHUNK + 1) * SQ_LINEAR_CHUNK;
        i += ascend(l, g, kernels, s, i, (end < l->T ? end : l->T) - i);
    }
    sq__linear_reset(&s->state, l->F, l->M, 0);
    for (int64_t end = l->T; end > 0;) {
        const int64_t begin = (end - 1) / SQ_LINEAR_CHUNK * SQ_LINEAR_CHUNK;
        end -= descend(l, g, kernels, s, end, end - begin);
    }
    sum_decay(l, g);
    nothing_for_keys(l, g, l->T, s);
}

void sq__linear_backward(const sq_linear *linear, const sq_linear_gradients *gradients, const sq_kernels *kernels, void *workspace)
{
    const unsigned mode = sq__subnormals_off();
    scratch s;
    cut_scratch(&s, workspace, linear->F, linear->M, linear->causal);
    if (linear->causal && linear->bucket > 1) backward_buckets(linear, gradients, kernels, &s);
    else if (linear->causal) backward_causal(linear, gradients, kernels, &s);
    else backward_all(linear, gradients, kernels, &s);
    sq__subnormals_restore(mode);
}
