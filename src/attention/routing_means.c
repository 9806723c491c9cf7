/* Where the means stand among the rows: the loss that draws rows to their means, and the step of the means towards their rows. */
#include <math.h>
#include <string.h>

#include "attention/routing.h"
#include "base/parallel.h"

double sq__routing_distance(const float *x, const int32_t *cluster, const float *means, int64_t n, int64_t D)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        for (int64_t d = 0; cluster[i] >= 0 && d < D; d++) {
            const double off = (double)x[i * D + d] - means[cluster[i] * D + d];
            sum += off * off;
        }
    return sum;
}

void sq__routing_distance_backward(const sq_normalise *form, const float *from, int64_t from_row, const int32_t *cluster, const float *means, int64_t n,
                                   float weight, float *dx, int64_t dx_row, float *scratch, const sq_kernels *kernels)
{
    float *off = scratch + form->D;
    for (int64_t i = 0; i < n; i++) {
        if (cluster[i] < 0) continue;
        sq__normalise(form, from + i * from_row, from_row, 1, off, kernels);
        kernels->axpy(off, -1, means + cluster[i] * form->D, form->D);
        kernels->scale(off, 2 * weight, form->D);
        sq__normalise_backward(form, from + i * from_row, from_row, 1, off, dx + i * dx_row, dx_row, scratch, kernels);
    }
}

static void add_rows(const sq_normalise *form, const float *x, int64_t row, const int32_t *cluster, int64_t n, float *sums, float *scratch,
                     const sq_kernels *kernels)
{
    for (int64_t i = 0; i < n; i++) {
        if (cluster[i] < 0) continue;
        sq__normalise(form, x + i * row, row, 1, scratch, kernels);
        kernels->axpy(sums + cluster[i] * form->D, 1, scratch, form->D);
    }
}

/* mean = decay mean + (1 - decay) (sum of its rows over the batch, to their length); a mean without rows stays. */
static void move_head(void *context, int64_t h, int thread)
{
    const sq_run *run = context;
    const sq_problem *p = run->problem;
    const sq_routing_config *config = run->config;
    const sq_routing_shape s = sq__routing_shape(config, p);
    const sq_normalise form = sq__routing_form(&s, p->D);
    float *scratch = (float *)((char *)run->call->workspace + (size_t)thread * sq__routing_thread_bytes(&s, p, SQ_FORWARD));
    const float *means = run->call->tensors[SQ_ROUTING_MEANS] + h * s.clusters * p->D;
    float *moved = run->call->moved[SQ_ROUTING_MEANS] + h * s.clusters * p->D;
    memset(moved, 0, (size_t)(s.clusters * p->D) * sizeof *moved);
    for (int64_t b = 0; b < p->B; b++) {
        const sq_head head = sq__head(run, b, h);
        const sq_routing_lists lists = sq__routing_lists_of(run, &s, b * p->H + h);
        add_rows(&form, head.q, head.q_row, lists.query_cluster, head.T, moved, scratch, run->kernels);
        if (!s.shared) add_rows(&form, head.k, head.k_row, lists.key_cluster, head.N, moved, scratch, run->kernels);
    }
    for (int64_t c = 0; c < s.clusters; c++, moved += p->D, means += p->D) {
        const float size = sqrtf(run->kernels->dot(moved, moved, p->D));
        run->kernels->scale(moved, size > 0 ? (float)(1 - config->decay) * form.length / size : 0, p->D);
        run->kernels->axpy(moved, size > 0 ? (float)config->decay : 1, means, p->D);
    }
}

void sq__routing_move_means(const sq_run *run)
{
    sq__parallel(run->problem->threads, run->problem->H, move_head, (void *)(uintptr_t)run);
}
