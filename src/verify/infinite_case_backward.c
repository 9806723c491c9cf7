/* The gradient of sum_s sum(out.s * g.s) + kl_weight sum_s mean(kl.s): every segment for itself, since the past is detached. */
#include <math.h>
#include <string.h>

#include "verify/infinite_case.h"

typedef struct totals { float *key, *value, *output, *gate_weight, *gate_bias; double *w_mu, *w_sigma; } totals;
typedef struct work { float *dcontext, *dr, *dk, *dv, *dcoefficients, *dstates, *dmemory, *dq, *gate; double *dmu, *dsigma_sq, *scratch; } work;

static void backward_head(const sq_infinite_case *c, const sq_infinite_segment *s, int64_t b, int64_t h, const work *w, const totals *t)
{
    const int64_t at = (b * c->heads + h) * c->Q, column = h * c->D;
    const float *dcontext = w->dcontext + b * c->Q * c->e + column, *v = s->v + b * c->N * c->e + column;
    const double weight = c->kl_weight / (double)(c->B * c->heads * c->Q);
    sq__gemm(false, true, c->Q, c->N, c->D, 1, dcontext, c->e, v, c->e, 0, w->dr, c->N);
    sq__gemm(true, false, c->N, c->D, c->Q, 1, s->r + at * c->N, c->N, dcontext, c->e, 0, w->dv + column, c->e);
    sq__memory_expect_backward(&c->basis, c->density, s->mu + at, s->sigma_sq + at, c->Q, s->r + at * c->N, w->dr, w->dmu, w->dsigma_sq);
    for (int64_t i = 0; c->kl && i < c->Q; i++)
        sq__memory_kl_backward(&c->prior, s->mu[at + i], s->sigma_sq[at + i], weight, &w->dmu[i], &w->dsigma_sq[i]);
    const sq_memory_read read = sq__infinite_case_read(c, s, b, h);
    double no_bias[2] = { 0 };   /* the reference has none */
    const sq_memory_read_gradients gradients = { .dq = w->dq + at * c->D, .dk = w->dk + column, .dq_row = c->D, .dk_row = c->e, .dw_mu = t->w_mu,
                                                 .dw_sigma = t->w_sigma, .db_mu = &no_bias[0], .db_sigma = &no_bias[1] };
    sq__memory_locate_backward(&read, s->mu + at, s->sigma_sq + at, w->dmu, w->dsigma_sq, &gradients, w->scratch, c->kernels);
}

static void backward_entry(const sq_infinite_case *c, const sq_infinite_segment *s, bool later, int64_t b, const work *w, const totals *t)
{
    const int64_t N = c->N, e = c->e, own = b * N * e;
    const float *B = s->coefficients + own, *G = later ? c->update + c->M * N : c->first;   /* rows of the new states */
    memset(w->dk, 0, (size_t)(N * e) * sizeof(float));
    for (int64_t h = 0; h < c->heads; h++) backward_head(c, s, b, h, w, t);
    sq__gemm(true, false, e, e, N, 1, w->dk, e, B, e, 1, t->key, e);
    sq__gemm(true, false, e, e, N, 1, w->dv, e, B, e, 1, t->value, e);
    sq__gemm(false, false, N, e, e, 1, w->dk, e, c->key, e, 0, w->dcoefficients, e);
    sq__gemm(false, false, N, e, e, 1, w->dv, e, c->value, e, 1, w->dcoefficients, e);
    float *dmemory = w->dmemory + b * c->L * e;
    sq__gemm(false, false, c->L, e, N, 1, G, N, w->dcoefficients, e, 0, c->mask ? w->dstates : dmemory, e);
    if (c->mask)
        sq__memory_gate_backward(c->L, e, s->memory + b * c->L * e, c->gate_weight, c->gate_bias, w->dstates, dmemory, t->gate_weight,
                                 t->gate_bias, w->gate, c->kernels);
}

static work make_work(sq_infinite_case *c)
{
    sq_golden *golden = c->golden;
    return (work){ .dcontext = sq__golden_room(golden, c->B * c->Q * c->e), .dr = sq__golden_room(golden, c->Q * c->N),
                   .dk = sq__golden_room(golden, c->N * c->e), .dv = sq__golden_room(golden, c->N * c->e),
                   .dcoefficients = sq__golden_room(golden, c->N * c->e), .dstates = sq__golden_room(golden, c->L * c->e),
                   .dmemory = sq__golden_room(golden, c->B * c->L * c->e), .dq = sq__golden_room(golden, c->B * c->heads * c->Q * c->D),
                   .gate = sq__golden_room(golden, (int64_t)sq__memory_gate_scratch(c->L, c->e)),
                   .dmu = sq__golden_memory(golden, c->Q, sizeof(double)), .dsigma_sq = sq__golden_memory(golden, c->Q, sizeof(double)),
                   .scratch = sq__golden_memory(golden, (int64_t)SQ_MEMORY_LOCATE_SCRATCH(c->D), 1) };
}

static totals make_totals(sq_infinite_case *c)
{
    sq_golden *golden = c->golden;
    const int64_t square = c->e * c->e;
    return (totals){ .key = sq__golden_room(golden, square), .value = sq__golden_room(golden, square), .output = sq__golden_room(golden, square),
                     .gate_weight = sq__golden_room(golden, 3 * square), .gate_bias = sq__golden_room(golden, c->e),
                     .w_mu = sq__golden_memory(golden, c->N, sizeof(double)), .w_sigma = sq__golden_memory(golden, c->N, sizeof(double)) };
}

static void backward_segment(sq_infinite_case *c, int64_t number, const work *w, const totals *t)
{
    sq_golden *golden = c->golden;
    const sq_infinite_segment *s = &c->segments[number];
    const int64_t e = c->e, rows = c->B * c->Q;
    if (!s->g) {
        sq__golden_fail(golden, "tensor 'g.%d' is missing", (int)number);
        return;
    }
    memset(w->dq, 0, (size_t)(c->B * c->heads * c->Q * c->D) * sizeof(float));
    sq__gemm(false, false, rows, e, e, 1, s->g, e, c->output, e, 0, w->dcontext, e);
    sq__gemm(true, false, e, e, rows, 1, s->g, e, s->context, e, 1, t->output, e);
    for (int64_t b = 0; b < c->B; b++) backward_entry(c, s, number > 0, b, w, t);
    sq__golden_compare(golden, sq__golden_numbered(golden, "grad.mem.%d", number), w->dmemory, c->B * c->L * e);
    sq__golden_compare(golden, sq__golden_numbered(golden, "grad.q.%d", number), w->dq, c->B * c->heads * c->Q * c->D);
}

void sq__infinite_case_backward(sq_infinite_case *c)
{
    sq_golden *golden = c->golden;
    const int64_t square = c->e * c->e;
    const work w = make_work(c);
    const totals t = make_totals(c);
    for (int64_t i = 0; i < c->segment_count && sq__golden_going(golden); i++) backward_segment(c, i, &w, &t);
    if (!sq__golden_going(golden)) return;
    sq__golden_compare(golden, "grad.proj_key.weight", t.key, square);
    sq__golden_compare(golden, "grad.proj_value.weight", t.value, square);
    sq__golden_compare(golden, "grad.attn_out.weight", t.output, square);
    sq__golden_compare_doubles(golden, "grad.mu.weight", t.w_mu, c->N);
    sq__golden_compare_doubles(golden, "grad.sigma.weight", t.w_sigma, c->N);
    if (!c->mask) return;
    sq__golden_compare(golden, "grad.mask_net.weight", t.gate_weight, 3 * square);
    sq__golden_compare(golden, "grad.mask_net.bias", t.gate_bias, c->e);
}
