/* Forward, segment by segment: exact attention inside, what the memory of the segments before gives, then the next memory. */
#include <string.h>

#include "attention/engine/groups.h"
#include "attention/infinite_former.h"
#include "base/parallel.h"

typedef struct forward {
    const sq_run *run;
    const sq_infinite_config *config;
    sq_infinite_shape shape;
    sq_infinite_constants constants;
    sq_infinite_saved saved;           /* pointers NULL without `saved` */
    size_t per_thread;
    double *kl;                        /* [B,H] sums */
} forward;

/* One worker's memory. */
typedef struct worker {
    void *local;                       /* of the dense engine */
    sq_infinite_scratch scratch;
    int64_t first;                     /* head that its memories begin with */
    float *memories;                   /* [group,2,state]: the memory in use and the next, when nothing is saved */
    float *past, *rows;                /* [N,N] [BINS,N] with sticky */
    double *p;                         /* [BINS] */
    int32_t *counts;                   /* [BINS] */
} worker;

static size_t cut_worker(worker *w, const sq_infinite_config *config, const sq_problem *p, const sq_infinite_shape *shape, void *base)
{
    sq_cut cut = { base, 0 };
    w->local = sq__cut(&cut, sq__dense_workspace(shape->rows, shape->rows, p->D, p->M, SQ_FORWARD));
    if (shape->segments == 1) return cut.used;
    w->scratch = sq__infinite_scratch(p, shape, SQ_FORWARD, &cut);
    w->memories = sq__cut_floats(&cut, shape->group * 2 * shape->state);
    if (config->sticky) {
        w->past = sq__cut_floats(&cut, shape->N * shape->N);
        w->rows = sq__cut_floats(&cut, SQ_MEMORY_BINS * shape->N);
        w->p = sq__cut(&cut, SQ_MEMORY_BINS * sizeof(double));
        w->counts = sq__cut(&cut, SQ_MEMORY_BINS * sizeof(int32_t));
    }
    return cut.used;
}

static size_t thread_bytes(const sq_infinite_config *config, const sq_problem *p, const sq_infinite_shape *shape)
{
    worker w;
    return cut_worker(&w, config, p, shape, NULL);
}

size_t sq__infinite_forward_workspace(const sq_infinite_config *config, const sq_problem *p)
{
    const sq_infinite_shape shape = sq__infinite_shape(config, p, SQ_FORWARD);
    return thread_bytes(config, p, &shape) * (size_t)p->threads + sq__align_up((size_t)(p->B * p->H) * sizeof(double));
}

static float *memory_at(const forward *f, const worker *w, int64_t b, int64_t h, int64_t m)
{
    if (f->saved.memories) return f->saved.memories + ((b * f->run->problem->H + h) * (f->shape.segments - 1) + m - 1) * f->shape.state;
    return w->memories + ((h - w->first) * 2 + m % 2) * f->shape.state;
}

static void read_memory(const forward *f, const worker *w, const sq_head *head, int64_t s, int64_t m)
{
    const sq_problem *p = f->run->problem;
    const sq_memory_basis basis = sq__infinite_basis(f->config);
    const sq_memory_prior prior = sq__infinite_prior(f->config);
    const float *memory = memory_at(f, w, head->b, head->h, m);
    const sq_memory_read read = sq__infinite_read(f->run, &f->shape, head, s, memory);
    const sq_infinite_scratch *to = &w->scratch;
    double *kl = f->kl + head->b * p->H + head->h;

    sq__memory_locate(&read, to->mu, to->sigma_sq, to->locate);
    sq__memory_expect(&basis, f->config->density, to->mu, to->sigma_sq, read.T, to->r, f->run->kernels);
    sq__gemm(false, false, read.T, p->M, f->shape.N, 1, to->r, f->shape.N, memory + f->shape.N * p->D, p->M, 1,
             head->out + s * f->shape.L * head->out_row, head->out_row);
    for (int64_t t = 0; f->run->call->auxiliary && t < read.T; t++) *kl += sq__memory_kl(&prior, to->mu[t], to->sigma_sq[t]);
    if (w->p) sq__memory_histogram(to->mu, to->sigma_sq, read.T, w->p);
}

/* The matrix that takes old coefficients to their part of the new ones. */
static const float *past_of(const forward *f, const worker *w, int64_t b, int64_t s)
{
    if (!f->config->sticky) return f->constants.past;
    const uint64_t key[] = { f->run->call->step, (uint64_t)b, (uint64_t)s };
    const sq_random random = sq__random_stream(f->run->problem->seed, "infinite-former.sticky", sq__hash_bytes(key, sizeof key, 0));
    int32_t *counts = f->saved.counts ? f->saved.counts + (b * f->shape.segments + s) * SQ_MEMORY_BINS : w->counts;
    sq__memory_histogram_normalise(w->p);
    sq__memory_draw(w->p, &random, f->config->samples, counts);
    sq__memory_sticky_past(counts, f->constants.samples, f->constants.psi, f->shape.N, w->past, w->rows);
    return w->past;
}

/* Memory s+1 from memory s and the rows of segment s. */
static void update(const forward *f, const worker *w, const sq_head *head, int64_t s, const float *past)
{
    const int64_t D = f->run->problem->D, M = f->run->problem->M, N = f->shape.N, L = f->shape.L, at = s * L;
    const float *fresh = s ? f->constants.fresh : f->constants.first, *old = s ? memory_at(f, w, head->b, head->h, s) : NULL;
    float *new = memory_at(f, w, head->b, head->h, s + 1);
    sq__gemm(true, false, N, D, L, 1, fresh, N, head->k + at * head->k_row, head->k_row, 0, new, D);
    sq__gemm(true, false, N, M, L, 1, fresh, N, head->v + at * head->v_row, head->v_row, 0, new + N * D, M);
    if (!s) return;
    sq__gemm(false, false, N, D, N, 1, past, N, old, D, 1, new, D);
    sq__gemm(false, false, N, M, N, 1, past, N, old + N * D, M, 1, new + N * D, M);
}

static void read_segment(const forward *f, const worker *w, const sq_head *head, int64_t s)
{
    const sq_dense dense = sq__infinite_local(f->run, &f->shape, head, s);
    const int64_t m = sq__infinite_memory_of(&f->shape, head, s);
    if (!dense.T) return;
    sq__dense_forward(&dense, f->run->kernels, w->local);
    if (m > 0) read_memory(f, w, head, s, m);
}

static void forward_group(void *context, int64_t item, int thread)
{
    const forward *f = context;
    const sq_problem *p = f->run->problem;
    const int64_t b = item / f->shape.groups, group = item % f->shape.groups;
    const int64_t first = sq__group_start(group, f->shape.groups, p->H), end = sq__group_start(group + 1, f->shape.groups, p->H);
    worker w = { .first = first };
    cut_worker(&w, f->config, p, &f->shape, (char *)f->run->call->workspace + (size_t)thread * f->per_thread);

    for (int64_t h = first; h < end; h++) f->kl[b * p->H + h] = 0;
    for (int64_t s = 0; s < f->shape.segments; s++) {
        const int64_t keys = sq__head(f->run, b, first).N;
        if (w.p) memset(w.p, 0, SQ_MEMORY_BINS * sizeof w.p[0]);
        for (int64_t h = first; h < end; h++) {
            const sq_head head = sq__head(f->run, b, h);
            read_segment(f, &w, &head, s);
        }
        if (s + 1 == f->shape.segments || (s + 1) * f->shape.L > keys) continue;
        const float *past = s ? past_of(f, &w, b, s) : NULL;
        for (int64_t h = first; h < end; h++) {
            const sq_head head = sq__head(f->run, b, h);
            update(f, &w, &head, s, past);
        }
    }
    for (int64_t h = first; h < end; h++) {
        const sq_head head = sq__head(f->run, b, h);
        sq__zero_rows(head.out, head.out_row, head.T, p->T, p->M);
    }
}

void sq__infinite_forward(const sq_run *run)
{
    const sq_infinite_config *config = run->config;
    const sq_problem *p = run->problem;
    forward f = { .run = run, .config = config, .shape = sq__infinite_shape(config, p, SQ_FORWARD) };
    sq_cut constants = { (char *)(uintptr_t)run->constants, 0 }, saved = { run->call->saved, 0 };
    if (run->call->saved) f.saved = sq__infinite_saved(config, p, &saved);
    if (f.shape.segments > 1) f.constants = sq__infinite_constants(config, &constants);
    f.per_thread = thread_bytes(config, p, &f.shape);
    f.kl = (double *)((char *)run->call->workspace + f.per_thread * (size_t)p->threads);
    sq__parallel(p->threads, p->B * f.shape.groups, forward_group, &f);

    if (!run->call->auxiliary) return;
    const double readers = sq__infinite_readers(run, &f.shape);
    double sum = 0;
    for (int64_t i = 0; i < p->B * p->H; i++) sum += f.kl[i];
    *run->call->auxiliary = readers > 0 ? (float)(config->kl_weight * sum / readers) : 0;
}
