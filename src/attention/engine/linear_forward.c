#include <math.h>
#include <string.h>

#include "attention/engine/linear_state.h"
#include "base/subnormal.h"

typedef struct scratch {
    float *x, *y, *v, *a, *shift, *temporary;
    float *before;                     /* the state's part of the denominator */
    double *decay;                     /* L, linear_state.h */
} scratch;

static size_t cut_scratch(scratch *s, void *workspace, int64_t F, int64_t M, bool causal)
{
    sq_cut cut = { workspace, 0 };
    s->x = sq__cut_floats(&cut, SQ_LINEAR_CHUNK * F);
    s->y = causal ? sq__cut_floats(&cut, SQ_LINEAR_CHUNK * F) : s->x;   /* not causal: keys first, then queries */
    s->v = sq__cut_floats(&cut, SQ_LINEAR_CHUNK * M);
    s->a = causal ? sq__cut_floats(&cut, SQ_LINEAR_CHUNK * SQ_LINEAR_CHUNK) : NULL;
    s->shift = sq__cut_floats(&cut, SQ_LINEAR_CHUNK);
    s->before = causal ? sq__cut_floats(&cut, SQ_LINEAR_CHUNK) : NULL;
    s->decay = causal ? sq__cut(&cut, SQ_LINEAR_CHUNK * sizeof(double)) : NULL;
    s->temporary = causal ? sq__cut_floats(&cut, SQ_LINEAR_CHUNK) : NULL;
    return cut.used;
}

size_t sq__linear_forward_scratch(int64_t F, int64_t M, bool causal)
{
    scratch s;
    return cut_scratch(&s, NULL, F, M, causal);
}

/* y [rows,F]; exponents: relative to the state's reference and each row's own largest, which shift receives. */
static void load_queries(const sq_linear *l, const sq_kernels *kernels, int64_t first, int64_t rows, float *y, float *shift)
{
    l->map.features(l->map.context, SQ_LINEAR_QUERIES, first, rows, y);
    for (int64_t i = 0; l->exponents && i < rows; i++) {
        float *row = y + i * l->F;
        if (!l->normalised) kernels->axpy(row, 1, l->state.reference, l->F);
        shift[i] = kernels->max(row, l->F);
        kernels->exp_sum(row, row, 1, shift[i], l->F);
    }
}

static float denominator(const sq_linear_denominator *rule, float d)
{
    d += rule->add;
    if (fabsf(d) <= rule->threshold) d += rule->lift;
    if (rule->magnitude) d = fabsf(d);
    return d > rule->floor ? d : rule->floor;
}

static void finish_row(const sq_linear *l, const sq_kernels *kernels, int64_t i, float d, float shift)
{
    const bool negative = l->denominator.magnitude && d < 0;   /* kept as the sign of rows */
    if (!l->exponents) d = denominator(&l->denominator, d);
    kernels->scale(l->out + i * l->out_row, d == 0 ? 0 : 1 / d, l->M);
    if (l->rows) l->rows[i] = !l->exponents ? (negative ? -d : d) : d == 0 ? INFINITY : shift + logf(d);
}

static void blank_rows(const sq_linear *l, int64_t first, int64_t rows)
{
    for (int64_t i = first; i < first + rows; i++) {
        memset(l->out + i * l->out_row, 0, (size_t)l->M * sizeof(float));
        if (l->rows) l->rows[i] = INFINITY;
    }
}

static bool sees_nothing(const sq_linear *l)
{
    return l->exponents && l->state.reference[0] == -INFINITY;
}

/* Keys decay to the end of their chunk of `rows` rows, the state over all of it. */
static void decay_keys(sq_linear *l, const sq_kernels *kernels, const scratch *s, int64_t rows, int64_t keys)
{
    sq__linear_decay_to(kernels, s->decay, s->decay[rows - 1], keys, l->F, s->x);
    sq__linear_decay_state(&l->state, kernels, l->F, l->M, s->decay[rows - 1]);
}

/* Absorbs a chunk of keys from `first`, before `end`; returns how many. */
static int64_t absorb_keys(sq_linear *l, const sq_kernels *kernels, const scratch *s, int64_t first, int64_t end)
{
    int64_t rows = end - first < SQ_LINEAR_CHUNK ? end - first : SQ_LINEAR_CHUNK;
    float top = 0;
    sq__linear_keys(l, first, rows, s->x);
    if (l->exponents) rows = sq__linear_settle(&l->state, kernels, l->F, l->M, s->x, rows, false, &top);
    const sq_linear_values v = sq__linear_values(l, first, rows, s->v);
    if (l->log_decay) {
        sq__linear_load_decay(l, first, rows, s->decay);
        decay_keys(l, kernels, s, rows, rows);
    }
    sq__linear_absorb(&l->state, kernels, l->F, l->M, s->x, rows, v.v, v.row, NULL);
    if (l->exponents) sq__linear_follow(&l->state, kernels, l->F, l->M, s->x, rows, top);
    return rows;
}

/* S *= gain/z, z = 1, reference += log z: softmax over the keys, feature by feature. */
static void normalise(sq_linear *l, const sq_kernels *kernels)
{
    for (int64_t r = 0; r < l->F; r++) {
        kernels->scale(l->state.S + r * l->M, (l->gain != 0 ? l->gain : 1) / l->state.z[r], l->M);
        l->state.reference[r] += logf(l->state.z[r]);
        l->state.z[r] = 1;
    }
}

/* Rows first .. end-1 from the state alone. */
static void read_rows(const sq_linear *l, const sq_kernels *kernels, const scratch *s, int64_t first, int64_t end)
{
    for (int64_t rows; first < end; first += rows) {
        rows = end - first < SQ_LINEAR_CHUNK ? end - first : SQ_LINEAR_CHUNK;
        load_queries(l, kernels, first, rows, s->y, s->shift);
        sq__gemm(false, false, rows, l->M, l->F, 1, s->y, l->F, l->state.S, l->M, 0, l->out + first * l->out_row, l->out_row);
        for (int64_t i = 0; i < rows; i++)
            finish_row(l, kernels, first + i, kernels->dot(s->y + i * l->F, l->state.z, l->F), s->shift[i]);
    }
}

static void forward_all(sq_linear *l, const sq_kernels *kernels, const scratch *s)
{
    for (int64_t j = 0; j < l->N;) j += absorb_keys(l, kernels, s, j, l->N);
    if (sees_nothing(l)) {
        blank_rows(l, 0, l->T);
        return;
    }
    if (l->normalised) normalise(l, kernels);
    read_rows(l, kernels, s, 0, l->T);
}

static void forward_buckets(sq_linear *l, const sq_kernels *kernels, const scratch *s)
{
    for (int64_t first = 0; first < l->T; first += l->bucket) {
        const int64_t end = first + l->bucket, keys = end < l->N ? end : l->N;
        read_rows(l, kernels, s, first, end < l->T ? end : l->T);
        for (int64_t j = first; j < keys;) j += absorb_keys(l, kernels, s, j, keys);
    }
}

/* Rows and keys first .. first+rows-1: the state gives what came before, a masked product the chunk itself. Returns how many. */
static int64_t forward_chunk(sq_linear *l, const sq_kernels *kernels, const scratch *s, int64_t first, int64_t rows)
{
    const int64_t F = l->F, M = l->M;
    int64_t keys = first < l->N ? (l->N - first < rows ? l->N - first : rows) : 0;
    float *out = l->out + first * l->out_row, top = 0;
    if (keys) sq__linear_keys(l, first, keys, s->x);
    if (keys && l->exponents) {
        const int64_t settled = sq__linear_settle(&l->state, kernels, F, M, s->x, keys, false, &top);
        if (settled < keys) rows = keys = settled;
    }
    if (sees_nothing(l)) {
        blank_rows(l, first, rows);
        return rows;
    }
    const sq_linear_values v = sq__linear_values(l, first, keys, s->v);
    load_queries(l, kernels, first, rows, s->y, s->shift);
    if (l->log_decay) sq__linear_load_decay(l, first, rows, s->decay);
    sq__gemm(false, false, rows, M, F, 1, s->y, F, l->state.S, M, 0, out, l->out_row);
    for (int64_t i = 0; i < rows; i++) {
        const float left = l->log_decay ? (float)exp(s->decay[i]) : 1;
        s->before[i] = left * kernels->dot(s->y + i * F, l->state.z, F);
        if (l->log_decay) kernels->scale(out + i * l->out_row, left, M);
    }
    if (keys) {
        sq__gemm(false, true, rows, keys, F, 1, s->y, F, s->x, F, 0, s->a, SQ_LINEAR_CHUNK);
        sq__linear_lower(s->a, rows, keys, SQ_LINEAR_CHUNK);
        if (l->log_decay) sq__linear_decay_pairs(kernels, s->decay, rows, keys, s->a, SQ_LINEAR_CHUNK, s->temporary);
        sq__gemm(false, false, rows, M, keys, 1, s->a, SQ_LINEAR_CHUNK, v.v, v.row, 1, out, l->out_row);
    }
    for (int64_t i = 0; i < rows; i++)
        finish_row(l, kernels, first + i, s->before[i] + kernels->sum(s->a + i * SQ_LINEAR_CHUNK, keys), s->shift[i]);
    if (!keys) return rows;
    if (l->log_decay) decay_keys(l, kernels, s, rows, keys);
    sq__linear_absorb(&l->state, kernels, F, M, s->x, keys, v.v, v.row, NULL);
    if (l->exponents) sq__linear_follow(&l->state, kernels, F, M, s->x, keys, top);
    return rows;
}

static void forward_causal(sq_linear *l, const sq_kernels *kernels, const scratch *s)
{
    for (int64_t i = 0; i < l->T;) {   /* chunks end at multiples of SQ_LINEAR_CHUNK, also after one that was cut short */
        const int64_t end = (i / SQ_LINEAR_CHUNK + 1) * SQ_LINEAR_CHUNK;
        i += forward_chunk(l, kernels, s, i, (end < l->T ? end : l->T) - i);
    }
    for (int64_t j = l->T; l->continued && j < l->N;) j += absorb_keys(l, kernels, s, j, l->N);   /* later calls see them */
}

void sq__linear_forward(sq_linear *linear, const sq_kernels *kernels, void *workspace)
{
    const unsigned mode = sq__subnormals_off();   /* features of far keys are far below their reference */
    scratch s;
    cut_scratch(&s, workspace, linear->F, linear->M, linear->causal);
    if (!linear->continued) sq__linear_reset(&linear->state, linear->F, linear->M, linear->exponents ? 0 : linear->denominator.per_feature);
    if (linear->causal && linear->bucket > 1) forward_buckets(linear, kernels, &s);
    else if (linear->causal) forward_causal(linear, kernels, &s);
    else forward_all(linear, kernels, &s);
    sq__subnormals_restore(mode);
}
