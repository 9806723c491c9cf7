/* Backward, from the last segment to the first. With P the past matrix of an update, G its regression of new rows and
 * B_m = P B_(m-1) + G' x:  dx += G dB_m,  dB_(m-1) += P' dB_m (not with detach), dB_m gathering what the segments that read memory m ask. */
#include <string.h>

#include "attention/engine/groups.h"
#include "attention/infinite_former.h"
#include "base/parallel.h"

typedef struct backward {              /* one worker, and the head it is at */
    const sq_run *run;
    const sq_infinite_config *config;
    const sq_head *head;
    sq_infinite_shape shape;
    sq_infinite_constants constants;
    sq_infinite_saved saved;
    sq_infinite_scratch scratch;
    void *local;                       /* of the dense engine */
    float *out;                        /* [rows,M] what attention inside the segment gave */
    float *dmemories, *dmemory;        /* [group,state] gradients of the memory in use; of this head's */
    float *dearlier;                   /* [state] of the memory before it */
    float *past, *rows;                /* [N,N] [BINS,N] with sticky and without detach */
    double *dw;                        /* [2N+2] this head's part of the gradient of w_mu, w_sigma, b_mu, b_sigma */
    double kl_weight;                  /* of one reader's KL in the loss */
} backward;

static size_t dw_bytes(const sq_infinite_shape *shape)
{
    return sq__align_up((size_t)(2 * shape->N + 2) * sizeof(double));
}

static size_t cut_thread(backward *b, const sq_infinite_config *config, const sq_problem *p, const sq_infinite_shape *shape, void *base)
{
    sq_cut cut = { base, 0 };
    b->local = sq__cut(&cut, sq__dense_workspace(shape->rows, shape->rows, p->D, p->M, SQ_BACKWARD));
    if (shape->segments == 1) return cut.used;
    b->scratch = sq__infinite_scratch(p, shape, SQ_BACKWARD, &cut);
    b->out = sq__cut_floats(&cut, shape->rows * p->M);
    b->dmemories = sq__cut_floats(&cut, shape->group * shape->state);
    b->dearlier = sq__cut_floats(&cut, shape->state);
    if (config->sticky && !config->detach) {
        b->past = sq__cut_floats(&cut, shape->N * shape->N);
        b->rows = sq__cut_floats(&cut, SQ_MEMORY_BINS * shape->N);
    }
    return cut.used;
}

static size_t thread_bytes(const sq_infinite_config *config, const sq_problem *p, const sq_infinite_shape *shape)
{
    backward b;
    return cut_thread(&b, config, p, shape, NULL);
}

size_t sq__infinite_backward_workspace(const sq_infinite_config *config, const sq_problem *p)
{
    const sq_infinite_shape shape = sq__infinite_shape(config, p, SQ_BACKWARD);
    return thread_bytes(config, p, &shape) * (size_t)p->threads + (shape.segments > 1 ? (size_t)(p->B * p->H) * dw_bytes(&shape) : 0);
}

/* The heads' parts of the gradient of the tensors lie behind the threads' workspaces. */
static double *dw_of(const sq_run *run, const sq_infinite_shape *shape, int64_t head)
{
    char *parts = (char *)run->call->workspace + thread_bytes(run->config, run->problem, shape) * (size_t)run->problem->threads;
    return (double *)(void *)(parts + (size_t)head * dw_bytes(shape));
}

static const float *memory_at(const backward *b, int64_t m)
{
    return b->saved.memories + ((b->head->b * b->run->problem->H + b->head->h) * (b->shape.segments - 1) + m - 1) * b->shape.state;
}

/* r and the places of the rows of segment s; out becomes what attention inside the segment gave: all less what was read. */
static sq_memory_read reread(backward *b, const sq_dense *dense, int64_t s, int64_t m)
{
    const int64_t M = b->run->problem->M, N = b->shape.N;
    const float *memory = memory_at(b, m);
    const sq_memory_read read = sq__infinite_read(b->run, &b->shape, b->head, s, memory);
    const sq_memory_basis basis = sq__infinite_basis(b->config);
    sq__memory_locate(&read, b->scratch.mu, b->scratch.sigma_sq, b->scratch.locate);
    sq__memory_expect(&basis, b->config->density, b->scratch.mu, b->scratch.sigma_sq, read.T, b->scratch.r, b->run->kernels);
    for (int64_t t = 0; t < read.T; t++) memcpy(b->out + t * M, dense->out + t * dense->out_row, (size_t)M * sizeof(float));
    sq__gemm(false, false, read.T, M, N, -1, b->scratch.r, N, memory + N * b->run->problem->D, M, 1, b->out, M);
    return read;
}

/* Adds to dq, to dmemory and to dw. */
static void read_backward(backward *b, const sq_memory_read *read, int64_t s, int64_t m)
{
    const sq_head *head = b->head;
    const int64_t D = b->run->problem->D, M = b->run->problem->M, N = b->shape.N, at = s * b->shape.L;
    const float *dout = head->dout + at * head->dout_row, *values = memory_at(b, m) + N * D;
    const sq_memory_basis basis = sq__infinite_basis(b->config);
    const sq_memory_prior prior = sq__infinite_prior(b->config);
    const sq_infinite_scratch *w = &b->scratch;

    sq__gemm(true, false, N, M, read->T, 1, w->r, N, dout, head->dout_row, 1, b->dmemory + N * D, M);
    sq__gemm(false, true, read->T, N, M, 1, dout, head->dout_row, values, M, 0, w->dr, N);
    sq__memory_expect_backward(&basis, b->config->density, w->mu, w->sigma_sq, read->T, w->r, w->dr, w->dmu, w->dsigma_sq);
    for (int64_t t = 0; b->kl_weight != 0 && t < read->T; t++)
        sq__memory_kl_backward(&prior, w->mu[t], w->sigma_sq[t], b->kl_weight, &w->dmu[t], &w->dsigma_sq[t]);
    const sq_memory_read_gradients gradients = {
        .dq = head->dq + at * head->dq_row, .dk = b->dmemory, .dq_row = head->dq_row, .dk_row = D,
        .dw_mu = b->dw, .dw_sigma = b->dw + N, .db_mu = b->dw + 2 * N, .db_sigma = b->dw + 2 * N + 1,
    };
    sq__memory_locate_backward(read, w->mu, w->sigma_sq, w->dmu, w->dsigma_sq, &gradients, w->locate, b->run->kernels);
}

/* dmemory belongs to memory s+1 on entry, to memory s on return. */
static void update_backward(backward *b, int64_t s)
{
    const sq_head *head = b->head;
    const int64_t D = b->run->problem->D, M = b->run->problem->M, N = b->shape.N, L = b->shape.L, at = s * L;
    const float *fresh = s ? b->constants.fresh : b->constants.first, *past = b->constants.past;
    sq__gemm(false, false, L, D, N, 1, fresh, N, b->dmemory, D, 1, head->dk + at * head->dk_row, head->dk_row);
    sq__gemm(false, false, L, M, N, 1, fresh, N, b->dmemory + N * D, M, 1, head->dv + at * head->dv_row, head->dv_row);
    if (!s || b->config->detach) {
        memset(b->dmemory, 0, (size_t)b->shape.state * sizeof(float));
        return;
    }
    if (b->config->sticky) {
        const int32_t *counts = b->saved.counts + (head->b * b->shape.segments + s) * SQ_MEMORY_BINS;
        sq__memory_sticky_past(counts, b->constants.samples, b->constants.psi, N, b->past, b->rows);
        past = b->past;
    }
    sq__gemm(true, false, N, D, N, 1, past, N, b->dmemory, D, 0, b->dearlier, D);
    sq__gemm(true, false, N, M, N, 1, past, N, b->dmemory + N * D, M, 0, b->dearlier + N * D, M);
    memcpy(b->dmemory, b->dearlier, (size_t)b->shape.state * sizeof(float));
}

static void segment_backward(backward *b, int64_t s)
{
    const sq_head *head = b->head;
    const int64_t at = s * b->shape.L, m = sq__infinite_memory_of(&b->shape, head, s);
    sq_dense dense = sq__infinite_local(b->run, &b->shape, head, s);
    const bool reads = m > 0 && dense.T > 0;
    const sq_dense_gradients gradients = {
        .dout = head->dout + at * head->dout_row, .dout_row = head->dout_row, .dq = head->dq + at * head->dq_row, .dk = head->dk + at * head->dk_row,
        .dv = head->dv + at * head->dv_row, .dq_row = head->dq_row, .dk_row = head->dk_row, .dv_row = head->dv_row,
    };
    sq_memory_read read;
    if (reads) {
        read = reread(b, &dense, s, m);
        dense.out = b->out;
        dense.out_row = b->run->problem->M;
    }
    sq__dense_backward(&dense, &gradients, b->run->kernels, b->local);
    if (s + 1 < b->shape.segments && (s + 1) * b->shape.L <= head->N) update_backward(b, s);
    if (reads) read_backward(b, &read, s, m);
}

/* `context` is what every worker starts as. */
static void backward_group(void *context, int64_t item, int thread)
{
    backward b = *(const backward *)context;
    const sq_problem *p = b.run->problem;
    const int64_t entry = item / b.shape.groups, group = item % b.shape.groups;
    const int64_t first = sq__group_start(group, b.shape.groups, p->H), end = sq__group_start(group + 1, b.shape.groups, p->H);
    cut_thread(&b, b.config, p, &b.shape, (char *)b.run->call->workspace + (size_t)thread * thread_bytes(b.config, p, &b.shape));
    if (b.shape.segments > 1) memset(b.dmemories, 0, (size_t)((end - first) * b.shape.state) * sizeof(float));
    for (int64_t s = b.shape.segments - 1; s >= 0; s--)
        for (int64_t h = first; h < end; h++) {
            const sq_head head = sq__head(b.run, entry, h);
            b.head = &head;
            b.dmemory = b.dmemories + (h - first) * b.shape.state;
            b.dw = dw_of(b.run, &b.shape, entry * p->H + h);
            if (b.shape.segments > 1 && s == b.shape.segments - 1) memset(b.dw, 0, dw_bytes(&b.shape));
            segment_backward(&b, s);
        }
    for (int64_t h = first; h < end; h++) {
        const sq_head head = sq__head(b.run, entry, h);
        sq__zero_rows(head.dq, head.dq_row, head.T, p->T, p->D);
        sq__zero_rows(head.dk, head.dk_row, head.N, p->N, p->D);
        sq__zero_rows(head.dv, head.dv_row, head.N, p->N, p->M);
    }
}

/* The heads' parts in order. */
static void sum_tensors(const sq_run *run, const sq_infinite_shape *shape)
{
    const sq_infinite_config *config = run->config;
    const int64_t N = shape->N, heads = run->problem->B * run->problem->H, first[] = { 0, N, 2 * N, 2 * N + 1 }, width[] = { N, N, 1, 1 };
    float *const *to = run->gradients->dtensors;
    for (int tensor = 0; tensor < (config->bias ? 4 : 2); tensor++)
        for (int64_t j = 0; to && to[tensor] && j < width[tensor]; j++) {
            double sum = 0;
            for (int64_t i = 0; i < heads; i++) sum += dw_of(run, shape, i)[first[tensor] + j];
            to[tensor][j] += (float)sum;
        }
}

void sq__infinite_backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    backward b = { .run = run, .config = run->config, .shape = sq__infinite_shape(run->config, p, SQ_BACKWARD) };
    sq_cut constants = { (char *)(uintptr_t)run->constants, 0 }, saved = { run->call->saved, 0 };
    const double readers = sq__infinite_readers(run, &b.shape);
    b.saved = sq__infinite_saved(b.config, p, &saved);
    if (b.shape.segments > 1) b.constants = sq__infinite_constants(b.config, &constants);
    b.kl_weight = readers > 0 ? (double)run->gradients->dauxiliary * b.config->kl_weight / readers : 0;
    sq__parallel(p->threads, p->B * b.shape.groups, backward_group, &b);
    if (b.shape.segments > 1) sum_tensors(run, &b.shape);
}
