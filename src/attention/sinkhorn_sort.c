/* The sorting network: scores of blocks from means, then a balanced mixture or a few picks.
 *   balanced: z = (log(relu(r) + 1e-6) + noise) / temperature, its rows and columns normalised in turn (minus their log-sum-exp)
 *   picks: the largest of softmax(r / temperature) with its value as weight, then the same without it, and so on */
#include <math.h>
#include <string.h>

#include "attention/sinkhorn.h"
#include "base/random.h"

static const float floor_of_log = 1e-6f;

static const sq_sinkhorn_config *options(const sq_sinkhorn_head *h) { return h->run->config; }

/* ---- means ---- */

static void add(double *sum, const float *x, int64_t D)
{
    for (int64_t d = 0; d < D; d++) sum[d] += x[d];
}

static void store(float *mean, const double *sum, double weight, int64_t D)
{
    for (int64_t d = 0; d < D; d++) mean[d] += (float)(sum[d] * weight);
}

/* Group u begins with the mean of all queries up to its first; block v has the sum of its rows' means up to each. */
static void cumulative_means(sq_sinkhorn_head *h)
{
    const int64_t D = h->run->problem->D;
    for (int side = 0; side < 2; side++) {
        int64_t count = 0;
        memset(h->sum, 0, (size_t)D * sizeof *h->sum);
        for (int64_t r = 0; r < h->n; r++) {
            const int64_t row = sq__sinkhorn_row(h, r), block = r / h->s.block;
            const bool there = side ? sq__sinkhorn_has_key(h, row) : sq__sinkhorn_has_query(h, row);
            if (there) add(h->sum, side ? h->head->k + row * h->head->k_row : h->head->q + row * h->head->q_row, D), count++;
            if (side && there) store(h->k_mean + block * D, h->sum, 1 / (double)count, D), h->k_count[block]++;
            if (!side && r % h->s.block == 0 && count) store(h->q_mean + block * D, h->sum, 1 / (double)count, D);
        }
    }
}

/* In double, since 1 / (r + 1e-6) magnifies what rounding leaves of a small score. */
static void block_means(sq_sinkhorn_head *h)
{
    const int64_t D = h->run->problem->D;
    double *q = h->exact, *k = h->exact + h->groups * D;
    memset(h->exact, 0, (size_t)((h->groups + h->blocks) * D) * sizeof *h->exact);
    for (int64_t row = 0; row < h->n; row++) {
        const int64_t block = row / h->s.block, group = h->groups == 1 ? 0 : block;
        if (sq__sinkhorn_has_query(h, row)) add(q + group * D, h->head->q + row * h->head->q_row, D), h->q_count[group]++;
        if (sq__sinkhorn_has_key(h, row)) add(k + block * D, h->head->k + row * h->head->k_row, D), h->k_count[block]++;
    }
    for (int64_t u = 0; u < h->groups; u++)
        for (int64_t i = u * D; i < (u + 1) * D && h->q_count[u]; i++) h->q_mean[i] = (float)(q[i] /= h->q_count[u]);
    for (int64_t v = 0; v < h->blocks; v++)
        for (int64_t i = v * D; i < (v + 1) * D && h->k_count[v]; i++) h->k_mean[i] = (float)(k[i] /= h->k_count[v]);
    for (int64_t u = 0; u < h->groups; u++)
        for (int64_t v = 0; v < h->blocks; v++) {
            double r = 0;
            for (int64_t i = 0; i < D; i++) r += q[u * D + i] * k[v * D + i];
            h->score[u * h->blocks + v] = (float)(h->run->problem->scale * r);
        }
}

static void scores(sq_sinkhorn_head *h)
{
    const sq_problem *p = h->run->problem;
    memset(h->q_mean, 0, (size_t)(h->groups * p->D) * sizeof(float));
    memset(h->k_mean, 0, (size_t)(h->blocks * p->D) * sizeof(float));
    memset(h->q_count, 0, (size_t)h->groups * sizeof(int32_t));
    memset(h->k_count, 0, (size_t)h->blocks * sizeof(int32_t));
    if (!h->s.causal) {
        block_means(h);
        return;
    }
    cumulative_means(h);
    sq__gemm(false, true, h->groups, h->blocks, p->D, p->scale, h->q_mean, p->D, h->k_mean, p->D, 0, h->score, h->blocks);
}

/* ---- balanced ---- */

static float noise(const sq_sinkhorn_head *h, const sq_random *random, int64_t u, int64_t v)
{
    const sq_run *run = h->run;
    if (h->s.gumbel) return run->call->tensors[0][(h->head->h * h->s.blocks + u) * h->s.blocks + v];
    if (options(h)->noise == SQ_SINKHORN_NO_NOISE || !run->call->training) return 0;
    return (float)-log(-log(sq__random_uniform(random, (uint64_t)(u * h->s.blocks + v)) + 1e-9) + 1e-9);
}

/* lse over one axis of z: n entries, step apart; taken off. Of entries that are all -inf nothing is. */
static float normalise(float *z, int64_t n, int64_t step)
{
    float most = -INFINITY;
    double sum = 0;
    for (int64_t i = 0; i < n; i++) most = z[i * step] > most ? z[i * step] : most;
    if (most == -INFINITY) return 0;
    for (int64_t i = 0; i < n; i++) sum += exp((double)z[i * step] - most);
    const float lse = (float)(most + log(sum));
    for (int64_t i = 0; i < n; i++) z[i * step] -= lse;
    return lse;
}

/* mix stays the logarithm until every step is done: backward undoes the steps by their log-sum-exps. */
static void balance(sq_sinkhorn_head *h)
{
    const sq_problem *p = h->run->problem;
    const uint64_t number = h->run->call->step * (uint64_t)(p->B * p->H) + (uint64_t)(h->head->b * p->H + h->head->h);
    const sq_random random = sq__random_stream(p->seed, "sinkhorn.noise", number);
    const float cool = (float)(1 / options(h)->temperature);
    for (int64_t u = 0; u < h->groups; u++)
        for (int64_t v = 0; v < h->blocks; v++) {
            const float r = h->score[u * h->blocks + v];
            h->mix[u * h->blocks + v] = h->k_count[v] && h->q_count[u] ? (logf((r > 0 ? r : 0) + floor_of_log) + noise(h, &random, u, v)) * cool : -INFINITY;
        }
    for (int64_t i = 0; i < options(h)->iterations; i++) {
        float *lse = h->lse + 2 * i * h->blocks;
        for (int64_t u = 0; u < h->groups; u++) lse[u] = normalise(h->mix + u * h->blocks, h->blocks, 1);
        for (int64_t v = 0; v < h->blocks; v++) lse[h->blocks + v] = normalise(h->mix + v, h->groups, h->blocks);
    }
}

/* z' = z - lse(z): dz = dz' - exp(z') sum dz', and z = z' + lse */
static void undo(float *z, float *dz, int64_t n, int64_t step, float lse)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += dz[i * step];
    for (int64_t i = 0; i < n; i++) {
        dz[i * step] -= expf(z[i * step]) * (float)sum;
        z[i * step] += lse;
    }
}

/* dmix: of the weights exp(z). */
static void balance_backward(sq_sinkhorn_head *h)
{
    const float cool = (float)(1 / options(h)->temperature);
    const int64_t size = h->groups * h->blocks;
    for (int64_t i = 0; i < size; i++) h->dmix[i] *= expf(h->mix[i]);
    for (int64_t i = options(h)->iterations; i-- > 0;) {
        const float *lse = h->lse + 2 * i * h->blocks;
        for (int64_t v = 0; v < h->blocks; v++) undo(h->mix + v, h->dmix + v, h->groups, h->blocks, lse[h->blocks + v]);
        for (int64_t u = 0; u < h->groups; u++) undo(h->mix + u * h->blocks, h->dmix + u * h->blocks, h->blocks, 1, lse[u]);
    }
    for (int64_t i = 0; i < size; i++) h->dscore[i] = h->score[i] > 0 ? h->dmix[i] * cool / (h->score[i] + floor_of_log) : 0;
}

/* ---- picks ---- */

/* Candidates of group u: nulls (causal: as many as picks, score 0), then blocks that have a key; causal: earlier ones. */
static int64_t candidates(sq_sinkhorn_head *h, int64_t u)
{
    const int64_t nulls = h->s.causal ? h->s.picks : 0;
    const float cool = (float)(1 / options(h)->temperature);
    for (int64_t i = 0; i < nulls; i++) h->candidate[i] = 0;
    for (int64_t v = 0; v < h->blocks; v++)
        h->candidate[nulls + v] = h->k_count[v] && !(h->s.causal && v >= u) ? h->score[u * h->blocks + v] * cool : -INFINITY;
    return nulls + h->blocks;
}

/* Place of the largest and its softmax value; -1: none is left. */
static int64_t best(const float *x, int64_t n, float *weight)
{
    int64_t at = -1;
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        if (x[i] > -INFINITY && (at < 0 || x[i] > x[at])) at = i;
    for (int64_t i = 0; at >= 0 && i < n; i++) sum += exp((double)x[i] - x[at]);
    *weight = at < 0 ? 0 : (float)(1 / sum);
    return at;
}

static void pick(sq_sinkhorn_head *h)
{
    const int64_t nulls = h->s.causal ? h->s.picks : 0;
    for (int64_t u = 0; u < h->groups; u++) {
        const int64_t n = candidates(h, u);
        for (int64_t i = 0; i < h->s.picks; i++) {
            const int64_t at = best(h->candidate, n, &h->weight[u * h->s.picks + i]);
            h->pick[u * h->s.picks + i] = (int32_t)(at < 0 ? SQ_SINKHORN_NO_BLOCK : at < nulls ? SQ_SINKHORN_NULL : at - nulls);
            if (at >= 0) h->candidate[at] = -INFINITY;
        }
    }
}

/* w = softmax(x)_a: dx_j = dw w ([j = a] - softmax(x)_j) over what was left */
static void pick_backward(sq_sinkhorn_head *h)
{
    const int64_t nulls = h->s.causal ? h->s.picks : 0;
    const float cool = (float)(1 / options(h)->temperature);
    memset(h->dscore, 0, (size_t)(h->groups * h->blocks) * sizeof *h->dscore);
    for (int64_t u = 0; u < h->groups; u++) {
        const int64_t n = candidates(h, u);
        float *d = h->dscore + u * h->blocks;
        for (int64_t i = 0; i < h->s.picks; i++) {
            float w;
            const int64_t at = best(h->candidate, n, &w);
            if (at < 0) break;
            const float dw = h->dweight[u * h->s.picks + i] * w * cool, top = h->candidate[at];
            for (int64_t v = 0; v < h->blocks; v++) d[v] += dw * ((nulls + v == at) - expf(h->candidate[nulls + v] - top) * w);
            h->candidate[at] = -INFINITY;
        }
    }
}

/* ---- the whole ---- */

void sq__sinkhorn_sort(sq_sinkhorn_head *h)
{
    scores(h);
    if (h->s.picks) pick(h);
    else balance(h);
}

static void cumulative_backward(sq_sinkhorn_head *h)
{
    const int64_t D = h->run->problem->D;
    for (int side = 0; side < 2; side++) {
        int64_t count = 0;
        memset(h->sum, 0, (size_t)D * sizeof *h->sum);
        for (int64_t row = 0; row < h->n; row++) count += side ? sq__sinkhorn_has_key(h, row) : sq__sinkhorn_has_query(h, row);
        for (int64_t r = h->n; r-- > 0 && count > 0;) {
            const int64_t row = sq__sinkhorn_row(h, r), block = r / h->s.block;
            const bool there = side ? sq__sinkhorn_has_key(h, row) : sq__sinkhorn_has_query(h, row);
            const float *d = (side ? h->dk_mean : h->dq_mean) + block * D;
            if (side ? there : r % h->s.block == 0)
                for (int64_t i = 0; i < D; i++) h->sum[i] += d[i] / (double)count;
            if (!there) continue;
            float *to = side ? h->head->dk + row * h->head->dk_row : h->head->dq + row * h->head->dq_row;
            for (int64_t i = 0; i < D; i++) to[i] += (float)h->sum[i];
            count--;
        }
    }
}

static void means_backward(sq_sinkhorn_head *h)
{
    const int64_t D = h->run->problem->D;
    for (int64_t row = 0; row < h->n; row++) {
        const int64_t block = row / h->s.block, group = h->groups == 1 ? 0 : block;
        if (sq__sinkhorn_has_query(h, row))
            h->run->kernels->axpy(h->head->dq + row * h->head->dq_row, 1 / (float)h->q_count[group], h->dq_mean + group * D, D);
        if (sq__sinkhorn_has_key(h, row))
            h->run->kernels->axpy(h->head->dk + row * h->head->dk_row, 1 / (float)h->k_count[block], h->dk_mean + block * D, D);
    }
}

void sq__sinkhorn_sort_backward(sq_sinkhorn_head *h)
{
    const sq_problem *p = h->run->problem;
    if (h->s.picks) pick_backward(h);
    else balance_backward(h);
    sq__gemm(false, false, h->groups, p->D, h->blocks, p->scale, h->dscore, h->blocks, h->k_mean, p->D, 0, h->dq_mean, p->D);
    sq__gemm(true, false, h->blocks, p->D, h->groups, p->scale, h->dscore, h->blocks, h->q_mean, p->D, 0, h->dk_mean, p->D);
    if (h->s.causal) cumulative_backward(h);
    else means_backward(h);
}
