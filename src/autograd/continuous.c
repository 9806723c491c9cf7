/* continuous_read and continuous_written. A worker takes a head of a batch entry; where its queries look (mean and variance) is kept for the
 * way back, everything else is made again. Gradients of the maps to mean and variance are summed over heads in order. */
#include <math.h>

#include "autograd/continuous.h"
#include "autograd/ops.h"

enum { Q, KV, W_MU, W_SIGMA, B_MU, B_SIGMA, INPUTS };

typedef struct attributes {
    int64_t heads;
    sq_memory_basis basis;
    sq_memory_density density;
    double sigma_min;
    sq_memory_prior prior;
    const int64_t *counts;
    double *received;
} attributes;

typedef struct call {
    attributes a;
    int64_t B, T, N, H, D;
    const float *q, *kv, *w_mu, *w_sigma;
    double b_mu, b_sigma;
    float *out;
    double *places;                    /* [B,H,2,T]: means, variances */
    double *sums;                      /* forward [B,H]: KL. Backward [B,H,2N+2]: gradients of the maps */
    char *scratch;
    size_t per_thread;
    const float *dout;                 /* backward */
    float *dq, *dkv;
    double dkl;
} call;

typedef struct worker { double *locate, *dmu, *dsigma_sq; float *r, *dr, *dk; } worker;

static size_t cut_worker(const call *c, bool back, void *base, worker *w)
{
    sq_cut cut = { base, 0 };
    *w = (worker){ .locate = sq__cut(&cut, SQ_MEMORY_LOCATE_SCRATCH(c->D)), .r = sq__cut_floats(&cut, c->T * c->N) };
    if (!back) return cut.used;
    w->dmu = sq__cut(&cut, (size_t)c->T * sizeof(double));
    w->dsigma_sq = sq__cut(&cut, (size_t)c->T * sizeof(double));
    w->dr = sq__cut_floats(&cut, c->T * c->N);
    w->dk = sq__cut_floats(&cut, 2 * c->N * c->D);   /* where nobody wants the gradient of keys and values */
    return cut.used;
}

static call call_of(const sq_node *node)
{
    sq_var *const *in = node->inputs;
    call c = { .a = *(const attributes *)node->attributes, .B = in[Q]->shape[0], .T = in[Q]->shape[1], .N = in[KV]->shape[1], .q = in[Q]->value,
               .kv = in[KV]->value, .w_mu = in[W_MU]->value, .w_sigma = in[W_SIGMA]->value, .b_mu = in[B_MU] ? (double)in[B_MU]->value[0] : 0,
               .b_sigma = in[B_SIGMA] ? (double)in[B_SIGMA]->value[0] : 0, .out = node->outputs[0]->value };
    c.H = c.a.heads;
    c.D = in[Q]->shape[2] / c.H;
    return c;
}

static sq_status continuous_read_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    sq_var *const *in = node->inputs;
    const attributes *a = node->attributes;
    const int64_t N = a->basis.N, one = 1;
    char text[64];
    if (in[Q]->rank != 3 || !in[Q]->count || a->heads < 1 || in[Q]->shape[2] % a->heads)
        return sq__fail(error, SQ_INVALID, "the queries are %s; expected [B, T, H*D] of %lld heads", sq__shape_text(in[Q], text), (long long)a->heads);
    if (!in[KV] || !in[W_MU] || !in[W_SIGMA]) return sq__fail(error, SQ_INVALID, "an input is absent");
    const int64_t kv[3] = { in[Q]->shape[0], N, 2 * in[Q]->shape[2] };
    SQ_TRY(sq__want_shape(in[KV], "keys and values", 3, kv, error));
    for (int i = W_MU; i <= W_SIGMA; i++) SQ_TRY(sq__want_shape(in[i], "a map from scores", 1, &N, error));
    for (int i = B_MU; i <= B_SIGMA; i++)
        if (in[i]) SQ_TRY(sq__want_shape(in[i], "a bias", 1, &one, error));
    for (int64_t b = 0; b < kv[0]; b++)
        if (a->counts[b] < 0 || a->counts[b] > in[Q]->shape[1]) return sq__fail(error, SQ_INTERNAL, "%lld queries of entry %lld read", (long long)a->counts[b], (long long)b);
    shapes[1] = (sq_shape){ 1, { 1 } };
    return sq__same_shape(node, shapes, error);
}

/* Head h of entry b: its queries and keys; its means and variances at *mu, *sigma_sq. */
static sq_memory_read read_of(const call *c, int64_t item, double **mu, double **sigma_sq)
{
    const int64_t b = item / c->H, h = item % c->H, E = c->H * c->D;
    *mu = c->places + item * 2 * c->T;
    *sigma_sq = *mu + c->T;
    return (sq_memory_read){ .T = c->a.counts[b], .N = c->N, .D = c->D, .scale = (float)(1 / sqrt((double)c->D)), .sigma_min = c->a.sigma_min,
                             .q = c->q + b * c->T * E + h * c->D, .k = c->kv + b * c->N * 2 * E + h * c->D, .q_row = E, .k_row = 2 * E,
                             .w_mu = c->w_mu, .w_sigma = c->w_sigma, .b_mu = c->b_mu, .b_sigma = c->b_sigma };
}

static void forward_item(void *context, int64_t item, int thread)
{
    const call *c = context;
    const int64_t b = item / c->H, h = item % c->H, E = c->H * c->D;
    float *out = c->out + b * c->T * E + h * c->D;
    double *mu, *sigma_sq;
    worker w;
    const sq_memory_read read = read_of(c, item, &mu, &sigma_sq);
    cut_worker(c, false, c->scratch + (size_t)thread * c->per_thread, &w);
    c->sums[item] = 0;
    for (int64_t t = read.T; t < c->T; t++) memset(out + t * E, 0, (size_t)c->D * sizeof *out);
    if (!read.T) return;
    sq__memory_locate(&read, mu, sigma_sq, w.locate);
    sq__memory_expect(&c->a.basis, c->a.density, mu, sigma_sq, read.T, w.r, sq__kernels());
    sq__gemm(false, false, read.T, c->D, c->N, 1, w.r, c->N, read.k + E, read.k_row, 0, out, E);
    for (int64_t t = 0; t < read.T; t++) c->sums[item] += sq__memory_kl(&c->a.prior, mu[t], sigma_sq[t]);
}

static void receive(void *context, int64_t b, int thread)
{
    const call *c = context;
    (void)thread;
    for (int64_t h = 0; h < c->H; h++) {
        double *mu, *sigma_sq;
        const sq_memory_read read = read_of(c, b * c->H + h, &mu, &sigma_sq);
        sq__memory_histogram(mu, sigma_sq, read.T, c->a.received + b * SQ_MEMORY_BINS);
    }
}

static void continuous_read_forward(sq_tape *tape, sq_node *node)
{
    call c = call_of(node);
    worker none;
    const size_t places = (size_t)(c.B * c.H * 2 * c.T) * sizeof(double), sums = (size_t)(c.B * c.H) * sizeof(double);
    if (!sq__save(tape, node, 0, places)) return;
    c.places = sq__buffer_data(node->saved[0]);
    c.per_thread = cut_worker(&c, false, NULL, &none);
    const size_t scratch = (size_t)sq__threads() * c.per_thread;
    sq_buffer *buffer = sq__scratch(tape, scratch + sums);
    if (!buffer) return;
    c.scratch = sq__buffer_data(buffer);
    c.sums = (double *)(void *)(c.scratch + scratch);
    sq__parallel(c.T * c.N * c.H * c.B < SQ_ELEMENTS ? 1 : sq__threads(), c.B * c.H, forward_item, &c);
    if (c.a.received) sq__parallel(c.T * c.H * c.B < SQ_ROWS ? 1 : sq__threads(), c.B, receive, &c);
    double kl = 0;
    for (int64_t i = 0; i < c.B * c.H; i++) kl += c.sums[i];
    node->outputs[1]->value[0] = (float)kl;
    sq__pool_release(tape->pool, buffer);
    if (node->recorded) return;
    sq__pool_release(tape->pool, node->saved[0]);
    node->saved[0] = NULL;
}

static void backward_item(void *context, int64_t item, int thread)
{
    const call *c = context;
    const int64_t b = item / c->H, h = item % c->H, E = c->H * c->D, N = c->N, D = c->D;
    double *mu, *sigma_sq, *dw = c->sums + item * (2 * N + 2);
    worker w;
    const sq_memory_read read = read_of(c, item, &mu, &sigma_sq);
    cut_worker(c, true, c->scratch + (size_t)thread * c->per_thread, &w);
    memset(dw, 0, (size_t)(2 * N + 2) * sizeof *dw);
    if (!read.T) return;
    float *dk = c->dkv ? c->dkv + b * N * 2 * E + h * D : w.dk, *dv = c->dkv ? dk + E : w.dk + N * D;
    const int64_t row = c->dkv ? 2 * E : D;
    if (!c->dkv) memset(w.dk, 0, (size_t)(2 * N * D) * sizeof(float));
    memset(w.dmu, 0, (size_t)read.T * sizeof(double));
    memset(w.dsigma_sq, 0, (size_t)read.T * sizeof(double));
    if (c->dout) {
        const float *dout = c->dout + b * c->T * E + h * D;
        sq__memory_expect(&c->a.basis, c->a.density, mu, sigma_sq, read.T, w.r, sq__kernels());
        sq__gemm(true, false, N, D, read.T, 1, w.r, N, dout, E, 1, dv, row);
        sq__gemm(false, true, read.T, N, D, 1, dout, E, read.k + E, read.k_row, 0, w.dr, N);
        sq__memory_expect_backward(&c->a.basis, c->a.density, mu, sigma_sq, read.T, w.r, w.dr, w.dmu, w.dsigma_sq);
    }
    for (int64_t t = 0; c->dkl != 0 && t < read.T; t++) sq__memory_kl_backward(&c->a.prior, mu[t], sigma_sq[t], c->dkl, &w.dmu[t], &w.dsigma_sq[t]);
    const sq_memory_read_gradients gradients = { .dq = c->dq + b * c->T * E + h * D, .dk = dk, .dq_row = E, .dk_row = row, .dw_mu = dw, .dw_sigma = dw + N,
                                                 .db_mu = dw + 2 * N, .db_sigma = dw + 2 * N + 1 };
    sq__memory_locate_backward(&read, mu, sigma_sq, w.dmu, w.dsigma_sq, &gradients, w.locate, sq__kernels());
}

/* Numbers [first, first+count) of every head's sums. */
static void add_sums(sq_tape *tape, const call *c, sq_var *input, int64_t first, int64_t count)
{
    float *to = input ? sq__gradient_added(tape, input) : NULL;
    for (int64_t j = 0; to && j < count; j++) {
        double sum = 0;
        for (int64_t i = 0; i < c->B * c->H; i++) sum += c->sums[i * (2 * c->N + 2) + first + j];
        to[j] += (float)sum;
    }
}

static void continuous_read_vjp(sq_tape *tape, sq_node *node)
{
    call c = call_of(node);
    worker none;
    const int64_t queries = c.B * c.T * c.H * c.D;
    c.places = sq__buffer_data(node->saved[0]);
    c.dout = node->outputs[0]->gradient;
    c.dkl = node->outputs[1]->gradient ? (double)node->outputs[1]->gradient[0] : 0;
    c.dq = sq__gradient_added(tape, node->inputs[Q]);
    c.dkv = sq__gradient_added(tape, node->inputs[KV]);
    c.per_thread = cut_worker(&c, true, NULL, &none);
    const size_t scratch = (size_t)sq__threads() * c.per_thread, sums = sq__align_up((size_t)(c.B * c.H * (2 * c.N + 2)) * sizeof(double));
    sq_buffer *buffer = sq__scratch(tape, scratch + sums + (c.dq ? 0 : (size_t)queries * sizeof(float)));
    if (!buffer) return;
    c.scratch = sq__buffer_data(buffer);
    c.sums = (double *)(void *)(c.scratch + scratch);
    if (!c.dq) c.dq = memset(c.scratch + scratch + sums, 0, (size_t)queries * sizeof(float));   /* nobody wants it */
    sq__parallel(c.T * c.N * c.H * c.B < SQ_ELEMENTS ? 1 : sq__threads(), c.B * c.H, backward_item, &c);
    add_sums(tape, &c, node->inputs[W_MU], 0, c.N);
    add_sums(tape, &c, node->inputs[W_SIGMA], c.N, c.N);
    add_sums(tape, &c, node->inputs[B_MU], 2 * c.N, 1);
    add_sums(tape, &c, node->inputs[B_SIGMA], 2 * c.N + 1, 1);
    sq__pool_release(tape->pool, buffer);
}

const sq_op sq__op_continuous_read = { "continuous_read", ~SQ_READS_OUTPUT, false, continuous_read_shape, continuous_read_forward, continuous_read_vjp };

sq_var *sq__continuous_read(sq_tape *tape, const sq_continuous_inputs *in)
{
    const attributes a = { in->heads, in->basis, in->density, in->sigma_min, in->prior, in->counts, in->received };
    sq_var *inputs[INPUTS] = { in->q, in->kv, in->w_mu, in->w_sigma, in->b_mu, in->b_sigma };
    sq_node *node = sq__apply(tape, &sq__op_continuous_read, inputs, INPUTS, &a, sizeof a, 2);
    if (in->kl) *in->kl = node ? node->outputs[1] : NULL;
    return node ? node->outputs[0] : NULL;
}

/* ---- continuous_written ---- */

typedef struct written { const float *coefficients; int64_t N; const float *const *maps; } written;

static sq_status continuous_written_shape(const sq_node *node, sq_shape *shapes, sq_error *error)
{
    const written *a = node->attributes;
    SQ_TRY(sq__want_rank(node->inputs[0], "the input", 3, error));
    SQ_TRY(sq__same_shape(node, shapes, error));
    shapes->at[1] = a->N;
    return SQ_OK;
}

static void continuous_written_forward(sq_tape *tape, sq_node *node)
{
    const written *a = node->attributes;
    (void)tape;
    memcpy(node->outputs[0]->value, a->coefficients, (size_t)node->outputs[0]->count * sizeof(float));
}

static void continuous_written_vjp(sq_tape *tape, sq_node *node)
{
    const written *a = node->attributes;
    const sq_var *x = node->inputs[0];
    const int64_t L = x->shape[1], E = x->shape[2];
    float *dx = sq__gradient_added(tape, node->inputs[0]);
    for (int64_t b = 0; dx && b < x->shape[0]; b++)
        if (a->maps[b]) sq__gemm(false, false, L, E, a->N, 1, a->maps[b], a->N, node->outputs[0]->gradient + b * a->N * E, E, 1, dx + b * L * E, E);
}

const sq_op sq__op_continuous_written = { "continuous_written", 0, false, continuous_written_shape, continuous_written_forward, continuous_written_vjp };

sq_var *sq__continuous_written(sq_tape *tape, sq_var *x, const float *coefficients, int64_t N, const float *const *maps)
{
    return sq__apply1(tape, &sq__op_continuous_written, &x, 1, &(written){ coefficients, N, maps }, sizeof(written));
}
