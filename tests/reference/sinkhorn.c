/* Block by block: scores from means, the matrix of weights, sorted rows one at a time, a softmax over what each query sees. */
#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "reference/reference.h"

typedef struct sorter {
    const reference_case *at;
    int64_t b, h, n, block, blocks, groups, shift, picks;
    bool causal, sortcut, swapped;
    double temperature;
    double *r, *frozen_r;                 /* [groups, blocks] */
    double *M;                            /* [groups, blocks]: balanced */
    int64_t *pick;                        /* [groups, picks]: -1 none, -2 null, else a block */
    double *weight;
} sorter;

static int64_t row_at(const sorter *s, int64_t place) { return (place + s->shift) % s->n; }

static bool query(const sorter *s, int64_t row) { return row < reference_rows(s->at, s->b); }

static bool key(const sorter *s, int64_t row)
{
    return row < reference_keys(s->at, s->b) && (!s->at->key_keep || s->at->key_keep[s->b * s->at->N + row]);
}

static int64_t end_of(const sorter *s, int64_t block) { return (block + 1) * s->block < s->n ? (block + 1) * s->block : s->n; }

static int64_t count_keys(const sorter *s, int64_t block)
{
    int64_t count = 0;
    for (int64_t p = block * s->block; p < end_of(s, block); p++) count += key(s, row_at(s, p));
    return count;
}

static int64_t count_queries(const sorter *s, int64_t block)
{
    int64_t count = 0;
    for (int64_t p = block * s->block; p < end_of(s, block); p++) count += query(s, row_at(s, p));
    return count;
}

/* Mean of the queries (keys) at places from .. to-1 that are there, times weight, added to mean. */
static void add_mean(const sorter *s, const reference_case *at, bool keys, int64_t from, int64_t to, double *mean)
{
    int64_t count = 0;
    for (int64_t p = from; p < to; p++) count += keys ? key(s, row_at(s, p)) : query(s, row_at(s, p));
    for (int64_t p = from; p < to; p++) {
        const int64_t row = row_at(s, p);
        if (!(keys ? key(s, row) : query(s, row))) continue;
        const double *x = keys ? reference_k(at, s->b, row, s->h) : reference_q(at, s->b, row, s->h);
        for (int64_t d = 0; d < at->D; d++) mean[d] += x[d] / (double)count;
    }
}

static void scores(const sorter *s, const reference_case *at, double *r)
{
    double *q = calloc((size_t)(s->groups * at->D), sizeof *q), *k = calloc((size_t)(s->blocks * at->D), sizeof *k);
    for (int64_t u = 0; u < s->groups; u++)
        if (s->causal) add_mean(s, at, false, 0, u * s->block + 1, q + u * at->D);
        else add_mean(s, at, false, s->sortcut ? 0 : u * s->block, s->sortcut ? s->n : end_of(s, u), q + u * at->D);
    for (int64_t v = 0; v < s->blocks; v++) {
        for (int64_t p = v * s->block; p < end_of(s, v) && s->causal; p++)
            if (key(s, row_at(s, p))) add_mean(s, at, true, 0, p + 1, k + v * at->D);
        if (!s->causal) add_mean(s, at, true, v * s->block, end_of(s, v), k + v * at->D);
    }
    for (int64_t u = 0; u < s->groups; u++)
        for (int64_t v = 0; v < s->blocks; v++) {
            r[u * s->blocks + v] = 0;
            for (int64_t d = 0; d < at->D; d++) r[u * s->blocks + v] += at->scale * q[u * at->D + d] * k[v * at->D + d];
        }
    free(q);
    free(k);
}

/* ---- weights ---- */

static double gumbel(const sorter *s, int64_t u, int64_t v)
{
    const reference_case *at = s->at;
    const int64_t most = (at->max_length + s->block - 1) / s->block;
    if (reference_is(at, "noise", "fixed")) return at->tensors[0][(s->h * most + u) * most + v];
    if (reference_is(at, "noise", "none") || !at->training) return 0;
    const sq_random random = sq__random_stream(at->seed, "sinkhorn.noise", at->step * (uint64_t)(at->B * at->H) + (uint64_t)(s->b * at->H + s->h));
    return (float)-log(-log(sq__random_uniform(&random, (uint64_t)(u * most + v)) + 1e-9) + 1e-9);
}

static void balance(const sorter *s)
{
    const int64_t n = s->blocks;
    double *M = s->M;
    for (int64_t u = 0; u < n; u++)
        for (int64_t v = 0; v < n; v++) {
            const double r = s->frozen_r[u * n + v] > 0 ? s->r[u * n + v] : 0;
            M[u * n + v] = count_keys(s, v) && count_queries(s, u) ? exp((log(r + 1e-6) + gumbel(s, u, v)) / s->temperature) : 0;
        }
    for (int i = 0; i < (int)reference_number(s->at, "iterations"); i++)
        for (int columns = 0; columns < 2; columns++)
            for (int64_t a = 0; a < n; a++) {
                double sum = 0;
                for (int64_t c = 0; c < n; c++) sum += columns ? M[c * n + a] : M[a * n + c];
                for (int64_t c = 0; c < n && sum > 0; c++) M[columns ? c * n + a : a * n + c] /= sum;
            }
}

static void choose(const sorter *s)
{
    for (int64_t u = 0; u < s->groups; u++) {
        int64_t nulls = s->causal ? s->picks : 0;
        bool *gone = calloc((size_t)s->blocks, sizeof *gone);
        for (int64_t i = 0; i < s->picks; i++) {
            double best = nulls ? 0 : -INFINITY, sum = (double)nulls;
            int64_t at = nulls ? -2 : -1;
            for (int64_t v = 0; v < s->blocks; v++) {
                if (gone[v] || !count_keys(s, v) || (s->causal && v >= u)) continue;
                if (s->frozen_r[u * s->blocks + v] > best) best = s->frozen_r[u * s->blocks + v], at = v;
                sum += exp(s->r[u * s->blocks + v] / s->temperature);
            }
            s->pick[u * s->picks + i] = at;
            s->weight[u * s->picks + i] = at == -1 ? 0 : (at < 0 ? 1 : exp(s->r[u * s->blocks + at] / s->temperature)) / sum;
            if (at == -2) nulls--;
            if (at >= 0) gone[at] = true;
        }
        free(gone);
    }
}

/* ---- attention ---- */

/* Row r of the i-th sorted block of group u, as key and value; false: there is none. */
static bool sorted_row(const sorter *s, int64_t u, int64_t i, int64_t r, double *k, double *v)
{
    const reference_case *at = s->at;
    bool any = false;
    for (int64_t d = 0; d < at->D; d++) k[d] = 0;
    for (int64_t m = 0; m < at->M; m++) v[m] = 0;
    for (int64_t from = 0; from < s->blocks; from++) {
        const int64_t place = from * s->block + r;
        const double w = !s->picks ? s->M[u * s->blocks + from] : s->pick[u * s->picks + i] == from ? s->weight[u * s->picks + i] : 0;
        if ((s->picks && s->pick[u * s->picks + i] != from) || place >= s->n || !key(s, row_at(s, place))) continue;
        const double *x = reference_k(at, s->b, row_at(s, place), s->h), *y = reference_v(at, s->b, row_at(s, place), s->h);
        for (int64_t d = 0; d < at->D; d++) k[d] += w * x[d];
        for (int64_t m = 0; m < at->M; m++) v[m] += w * (s->swapped ? x[m] : y[m]);
        any = true;
    }
    if (s->picks && s->pick[u * s->picks + i] == -2) {
        for (int64_t d = 0; d < at->D; d++) k[d] = s->weight[u * s->picks + i] * at->tensors[0][s->h * at->D + d];
        for (int64_t m = 0; m < at->M; m++) v[m] = s->weight[u * s->picks + i] * at->tensors[1][s->h * at->M + m];
        return true;
    }
    return any;
}

typedef struct softmax { double most, sum; } softmax;

static void meet(const sorter *s, const double *q, const double *k, const double *v, softmax *state, double *out)
{
    double score = 0;
    for (int64_t d = 0; d < s->at->D; d++) score += s->at->scale * q[d] * k[d];
    const double most = fmax(state->most, score), old = state->sum > 0 ? exp(state->most - most) : 0;
    for (int64_t m = 0; m < s->at->M; m++) out[m] = out[m] * old + exp(score - most) * v[m];
    state->sum = state->sum * old + exp(score - most);
    state->most = most;
}

static void attend(const sorter *s, int64_t place)
{
    const reference_case *at = s->at;
    const int64_t row = row_at(s, place), u = place / s->block, turned = s->n - s->shift;
    const double *q = reference_q(at, s->b, row, s->h);
    double *out = reference_out(at, s->b, row, s->h), k[64], v[64];
    softmax state = { -INFINITY, 0 };
    for (int64_t i = 0; i < (s->picks ? s->picks : 1) && place < turned; i++)
        for (int64_t r = 0; r < s->block; r++)
            if (sorted_row(s, s->sortcut ? 0 : u, i, r, k, v)) meet(s, q, k, v, &state, out);
    for (int64_t p = u * s->block; p < end_of(s, u); p++) {
        if (!key(s, row_at(s, p)) || (s->causal && (p > place || (p < turned && place >= turned)))) continue;
        meet(s, q, reference_k(at, s->b, row_at(s, p), s->h), reference_v(at, s->b, row_at(s, p), s->h), &state, out);
    }
    for (int64_t m = 0; m < at->M && state.sum > 0; m++) out[m] /= state.sum;
}

static void head(sorter *s)
{
    const reference_case *at = s->at;
    const int64_t T = reference_rows(at, s->b), N = reference_keys(at, s->b), root = (int64_t)ceil(sqrt((double)at->max_length));
    const int64_t asked = (int64_t)reference_number(at, "block");
    bool any = false;
    s->n = T > N ? T : N;
    s->block = asked ? asked : root > 16 ? root : 16;
    s->blocks = (s->n + s->block - 1) / s->block;
    s->groups = s->sortcut ? 1 : s->blocks;
    s->shift = s->causal && s->h >= at->H / 2 ? (s->block < s->n ? s->block : s->n) - 1 : 0;
    for (int64_t j = 0; j < N; j++) any |= key(s, j);
    if (!any || T == 0) return;
    const size_t pairs = (size_t)(s->groups * s->blocks), picked = (size_t)(s->groups * s->picks + 1);
    s->r = calloc(pairs, sizeof *s->r), s->frozen_r = calloc(pairs, sizeof *s->r), s->M = calloc(pairs, sizeof *s->M);
    s->pick = calloc(picked, sizeof *s->pick), s->weight = calloc(picked, sizeof *s->weight);
    scores(s, at, s->r);
    scores(s, at->frozen, s->frozen_r);
    if (s->picks) choose(s);
    else balance(s);
    for (int64_t place = 0; place < s->n; place++)
        if (query(s, row_at(s, place))) attend(s, place);
    free(s->r), free(s->frozen_r), free(s->M), free(s->pick), free(s->weight);
}

static void sinkhorn(const reference_case *at)
{
    sorter s = { .at = at, .causal = at->causal, .sortcut = reference_is(at, "sorting", "sortcut"), .temperature = reference_number(at, "temperature") };
    s.picks = at->causal || !reference_is(at, "sorting", "sinkhorn") ? (int64_t)reference_number(at, "topk") : 0;
    s.swapped = reference_is(at, "convention", "lucidrains") && !at->causal && !s.sortcut;
    for (s.b = 0; s.b < at->B; s.b++)
        for (s.h = 0; s.h < at->H; s.h++) head(&s);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "block=8 noise=fixed iterations=5", .largest = 200 },
    { .options = "block=70 noise=none topk=1", .largest = 200 },
    { .options = "block=10 sorting=topk topk=3 temperature=0.3", .largest = 200 },
    { .options = "block=12 sorting=sortcut topk=2", .largest = 200, .skip = SQ_CAN_CAUSAL },
    { 0 },
};

const reference_row reference_sinkhorn = { "sinkhorn", sinkhorn, variants };
