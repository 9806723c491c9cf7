#include "verify/infinite_case.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int compare_ints(const void *left, const void *right)
{
    int32_t a = *(const int32_t *)left, b = *(const int32_t *)right;
    return (a > b) - (a < b);
}

sq_memory_read sq__infinite_case_read(const sq_infinite_case *c, const sq_infinite_segment *s, int64_t b, int64_t h)
{
    return (sq_memory_read){ .T = c->Q, .N = c->N, .D = c->D, .scale = 1 / sqrtf((float)c->D), .sigma_min = c->sigma_min,
                             .q = s->q + (b * c->heads + h) * c->Q * c->D, .k = s->k + b * c->N * c->e + h * c->D, .q_row = c->D, .k_row = c->e,
                             .w_mu = c->w_mu, .w_sigma = c->w_sigma };
}

/* ---- where the past is sampled ---- */

/* Sticky: left edges of the bins that the file drew, in ascending order. Else the even places of the constants. [M,N] for entry b. */
static const float *sample_psi(sq_infinite_case *c, const int32_t *bins, int64_t b)
{
    sq_golden *golden = c->golden;
    if (!bins) return c->psi;
    int32_t *sorted = sq__golden_memory(golden, c->M, sizeof *sorted);
    double *t = sq__golden_memory(golden, c->M, sizeof *t), *psi = sq__golden_memory(golden, c->M * c->N, sizeof *psi);
    float *to = sq__golden_room(golden, c->M * c->N);
    if (!to) return NULL;
    for (int64_t m = 0; m < c->M; m++) {
        sorted[m] = bins[m * c->B + b];
        if (sorted[m] < 0 || sorted[m] >= SQ_MEMORY_BINS)
            sq__golden_fail(golden, "hist_bin holds %d; expected 0 to %d", sorted[m], SQ_MEMORY_BINS - 1);
    }
    qsort(sorted, (size_t)c->M, sizeof *sorted, compare_ints);
    for (int64_t m = 0; m < c->M; m++) t[m] = sorted[m] / (double)SQ_MEMORY_BINS;
    sq__memory_psi(&c->basis, t, c->M, psi);
    for (int64_t i = 0; i < c->M * c->N; i++) to[i] = (float)psi[i];
    return to;
}

static void compare_histogram(sq_infinite_case *c, const sq_infinite_segment *past, int64_t number)
{
    double *p = sq__golden_memory(c->golden, c->B * SQ_MEMORY_BINS, sizeof *p);
    const int64_t readers = c->heads * c->Q;
    for (int64_t b = 0; p && b < c->B; b++) {
        sq__memory_histogram(past->mu + b * readers, past->sigma_sq + b * readers, readers, p + b * SQ_MEMORY_BINS);
        sq__memory_histogram_normalise(p + b * SQ_MEMORY_BINS);
    }
    sq__golden_compare_doubles(c->golden, sq__golden_numbered(c->golden, "seg%d.hist_p", number), p, c->B * SQ_MEMORY_BINS);
}

/* ---- one segment ---- */

/* The signal [rows,e] of entry b (samples of the past, then new states) and its coefficients. */
static void remember(sq_infinite_case *c, int64_t number, int64_t b, const int32_t *bins, float *signal, float *stored)
{
    sq_infinite_segment *s = &c->segments[number];
    const int64_t past = number ? c->M : 0, rows = past + c->L;
    if (number) {
        const float *psi = sample_psi(c, bins, b);
        if (!psi) return;
        sq__gemm(false, false, c->M, c->e, c->N, 1, psi, c->N, s[-1].coefficients + b * c->N * c->e, c->e, 0, signal, c->e);
    }
    memcpy(signal + past * c->e, s->states + b * c->L * c->e, (size_t)(c->L * c->e) * sizeof(float));
    sq__gemm(true, false, c->N, c->e, rows, 1, number ? c->update : c->first, c->N, signal, c->e, 0, s->coefficients + b * c->N * c->e, c->e);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < c->e; j++) stored[(b * c->e + j) * rows + i] = signal[i * c->e + j];
}

static void read_entry(sq_infinite_case *c, sq_infinite_segment *s, int64_t b, double *scratch)
{
    const int64_t own = b * c->N * c->e;
    sq__gemm(false, true, c->N, c->e, c->e, 1, s->coefficients + own, c->e, c->key, c->e, 0, s->k + own, c->e);
    sq__gemm(false, true, c->N, c->e, c->e, 1, s->coefficients + own, c->e, c->value, c->e, 0, s->v + own, c->e);
    for (int64_t h = 0; h < c->heads; h++) {
        const int64_t at = (b * c->heads + h) * c->Q;
        const sq_memory_read read = sq__infinite_case_read(c, s, b, h);
        sq__memory_locate(&read, s->mu + at, s->sigma_sq + at, scratch);
        sq__memory_expect(&c->basis, c->density, s->mu + at, s->sigma_sq + at, c->Q, s->r + at * c->N, c->kernels);
        sq__gemm(false, false, c->Q, c->D, c->N, 1, s->r + at * c->N, c->N, s->v + own + h * c->D, c->e, 0,
                 s->context + b * c->Q * c->e + h * c->D, c->e);
    }
}

static void compare_reading(sq_infinite_case *c, int64_t number)
{
    sq_golden *golden = c->golden;
    const sq_infinite_segment *s = &c->segments[number];
    const int64_t readers = c->B * c->heads * c->Q, outputs = c->B * c->Q * c->e;
    float *out = sq__golden_room(golden, outputs);
    double *kl = sq__golden_memory(golden, readers, sizeof *kl), sum = 0;
    if (!out || !kl) return;
    sq__gemm(false, true, c->B * c->Q, c->e, c->e, 1, s->context, c->e, c->output, c->e, 0, out, c->e);
    sq__golden_compare(golden, sq__golden_numbered(golden, "seg%d.B", number), s->coefficients, c->B * c->N * c->e);
    sq__golden_compare_doubles(golden, sq__golden_numbered(golden, "seg%d.mu", number), s->mu, readers);
    sq__golden_compare_doubles(golden, sq__golden_numbered(golden, "seg%d.sigma_sq", number), s->sigma_sq, readers);
    sq__golden_compare(golden, sq__golden_numbered(golden, "seg%d.r", number), s->r, readers * c->N);
    sq__golden_compare(golden, sq__golden_numbered(golden, "out.%d", number), out, outputs);
    for (int64_t i = 0; s->g && i < outputs; i++) c->loss += (double)out[i] * (double)s->g[i];
    if (!c->kl) return;
    for (int64_t i = 0; i < readers; i++) sum += kl[i] = sq__memory_kl(&c->prior, s->mu[i], s->sigma_sq[i]);
    sq__golden_compare_doubles(golden, sq__golden_numbered(golden, "kl.%d", number), kl, readers);
    c->loss += c->kl_weight * sum / (double)readers;
}

static bool make_room(sq_infinite_case *c, int64_t number)
{
    sq_golden *golden = c->golden;
    sq_infinite_segment *s = &c->segments[number];
    const int64_t readers = c->B * c->heads * c->Q, coefficients = c->B * c->N * c->e;
    s->memory = sq__golden_floats(golden, sq__golden_numbered(golden, "mem.%d", number), SQ_SHAPE(c->B, c->L, c->e));
    s->q = sq__golden_floats(golden, sq__golden_numbered(golden, "q.%d", number), SQ_SHAPE(c->B, c->heads, c->Q, c->D));
    if (sq__golden_has(golden, sq__golden_numbered(golden, "g.%d", number)))
        s->g = sq__golden_floats(golden, sq__golden_numbered(golden, "g.%d", number), SQ_SHAPE(c->B, c->Q, c->e));
    s->states = sq__golden_room(golden, c->B * c->L * c->e);
    s->coefficients = sq__golden_room(golden, coefficients);
    s->k = sq__golden_room(golden, coefficients);
    s->v = sq__golden_room(golden, coefficients);
    s->r = sq__golden_room(golden, readers * c->N);
    s->context = sq__golden_room(golden, c->B * c->Q * c->e);
    s->mu = sq__golden_memory(golden, readers, sizeof(double));
    s->sigma_sq = sq__golden_memory(golden, readers, sizeof(double));
    return sq__golden_going(golden);
}

static void run_segment(sq_infinite_case *c, int64_t number)
{
    sq_golden *golden = c->golden;
    sq_infinite_segment *s = &c->segments[number];
    const int64_t rows = (number ? c->M : 0) + c->L;
    const int32_t *bins = NULL;
    if (!make_room(c, number)) return;
    if (number && c->sticky) {
        compare_histogram(c, s - 1, number);
        bins = sq__golden_ints(golden, sq__golden_numbered(golden, "seg%d.hist_bin", number), SQ_SHAPE(c->M, c->B));
    }
    float *gate = c->mask ? sq__golden_room(golden, (int64_t)sq__memory_gate_scratch(c->L, c->e)) : NULL;
    float *signal = sq__golden_room(golden, rows * c->e), *stored = sq__golden_room(golden, c->B * rows * c->e);
    double *scratch = sq__golden_memory(golden, (int64_t)SQ_MEMORY_LOCATE_SCRATCH(c->D), 1);
    for (int64_t b = 0; sq__golden_going(golden) && b < c->B; b++) {
        const int64_t own = b * c->L * c->e;
        if (c->mask) sq__memory_gate(c->L, c->e, s->memory + own, c->gate_weight, c->gate_bias, s->states + own, gate, c->kernels);
        else memcpy(s->states + own, s->memory + own, (size_t)(c->L * c->e) * sizeof(float));
        remember(c, number, b, bins, signal, stored);
        if (sq__golden_going(golden)) read_entry(c, s, b, scratch);
    }
    sq__golden_compare(golden, sq__golden_numbered(golden, "seg%d.signal", number), stored, c->B * c->e * rows);
    if (sq__golden_going(golden)) compare_reading(c, number);
}

void sq__infinite_case_forward(sq_infinite_case *c)
{
    for (int64_t i = 0; i < c->segment_count && sq__golden_going(c->golden); i++) run_segment(c, i);
    const double loss = c->loss;
    if (sq__golden_has(c->golden, "loss")) sq__golden_compare_doubles(c->golden, "loss", &loss, 1);
}
