/* Execution of the Synthesizer: rows of queries and keys for the dense engine are put together head by head, the rest of the scores is added
 * tile by tile. Backward takes them apart again. */
#include <math.h>
#include <string.h>

#include "attention/synthesizer.h"
#include "base/parallel.h"

static const double log2_e = 1.44269504088896340736;

typedef struct head_work {
    const sq_run *run;
    const sq_problem *p;
    const sq_head *head;
    const sq_synthesizer_config *config;
    sq_synthesizer_shape s;
    int64_t set;                       /* of the tensors */
    double weight[SQ_TERMS], dweight[SQ_TERMS];
    float *q, *k, *dq, *dk;            /* [T,width] [N,width] and their gradients */
    float *hidden;                     /* [T,hidden]: relu(W1 q + b1), then its gradient */
    float *a, *b, *da, *db;            /* [T,a] [T,b] */
    sq_bias bias;
    bool has_bias;
    void *engine;
} head_work;

static size_t cut(head_work *w, const sq_problem *p, sq_pass pass, void *workspace)
{
    sq_cut cut = { workspace, 0 };
    const sq_synthesizer_shape *s = &w->s;
    const int64_t a = s->has[SQ_TERM_FACTORS] ? s->a : 0, b = s->has[SQ_TERM_FACTORS] ? s->b : 0;
    w->engine = sq__cut(&cut, sq__dense_workspace(p->T, p->N, s->width, p->M, pass));
    w->q = sq__cut_floats(&cut, p->T * s->width);
    w->k = sq__cut_floats(&cut, p->N * s->width);
    w->hidden = sq__cut_floats(&cut, s->has[SQ_TERM_DENSE] ? p->T * s->hidden : 0);
    w->a = sq__cut_floats(&cut, p->T * a);
    w->b = sq__cut_floats(&cut, p->T * b);
    if (pass == SQ_FORWARD) return cut.used;
    w->dq = sq__cut_floats(&cut, p->T * s->width);
    w->dk = sq__cut_floats(&cut, p->N * s->width);
    w->da = sq__cut_floats(&cut, p->T * a);
    w->db = sq__cut_floats(&cut, p->T * b);
    return cut.used;
}

size_t sq__synthesizer_thread_bytes(const sq_synthesizer_config *config, const sq_problem *p, sq_pass pass)
{
    head_work w = { .s = sq__synthesizer_shape(config, p) };
    return cut(&w, p, pass, NULL);
}

/* ---- tensors ---- */

static int64_t floats_of(const head_work *w, int term, int i)
{
    const sq_synthesizer_shape *s = &w->s;
    const int64_t D = w->p->D, dense[] = { s->hidden * D, s->hidden, s->L * s->hidden, s->L }, factors[] = { s->a * D, s->a, s->b * D, s->b };
    return term == SQ_TERM_DENSE ? dense[i] : term == SQ_TERM_FACTORS ? factors[i] : term == SQ_TERM_RANDOM ? s->L * s->L : s->L * s->rank;
}

/* This head's part of tensor i of a term, and of its gradient (NULL: not wanted). */
static const float *tensor(const head_work *w, int term, int i)
{
    return w->run->call->tensors[w->s.tensor[term] + i] + w->set * floats_of(w, term, i);
}

static float *gradient(const head_work *w, int term, int i)
{
    float *const *all = w->run->gradients ? w->run->gradients->dtensors : NULL, *to = all ? all[w->s.tensor[term] + i] : NULL;
    return to ? to + w->set * floats_of(w, term, i) : NULL;
}

static void find_weights(head_work *w)
{
    double total = 0, most = -INFINITY;
    const float *mix = w->s.mix >= 0 ? w->run->call->tensors[w->s.mix] + w->set * w->s.terms : NULL;
    for (int i = 0; mix && i < w->s.terms; i++) most = fmax(most, mix[i]);
    for (int i = 0; mix && i < w->s.terms; i++) total += exp(mix[i] - most);
    for (int term = 0; term < SQ_TERMS; term++) w->weight[term] = !mix ? 1 : w->s.has[term] ? exp(mix[w->s.order[term]] - most) / total : 0;
}

/* mix is a softmax: dmix_i = weight_i (dweight_i - sum_j weight_j dweight_j) */
static void mix_backward(const head_work *w)
{
    float *to = w->s.mix >= 0 && w->run->gradients->dtensors ? w->run->gradients->dtensors[w->s.mix] : NULL;
    double mean = 0;
    for (int term = 0; to && term < SQ_TERMS; term++)
        if (w->s.has[term]) mean += w->weight[term] * w->dweight[term];
    for (int term = 0; to && term < SQ_TERMS; term++)
        if (w->s.has[term]) to[w->set * w->s.terms + w->s.order[term]] += (float)(w->weight[term] * (w->dweight[term] - mean));
}

/* ---- rows side by side ---- */

/* y [T,out] = q W' + bias */
static void project(const head_work *w, const float *weight, const float *bias, int64_t out, float *y)
{
    const sq_head *head = w->head;
    for (int64_t i = 0; i < head->T; i++) memcpy(y + i * out, bias, (size_t)out * sizeof *y);
    sq__gemm(false, true, head->T, out, w->p->D, 1, head->q, head->q_row, weight, w->p->D, 1, y, out);
}

static void put_dense(head_work *w)
{
    const int64_t width = w->s.width, hidden = w->s.hidden, at = w->s.at[SQ_TERM_DENSE];
    const float weight = (float)w->weight[SQ_TERM_DENSE], *w2 = tensor(w, SQ_TERM_DENSE, 2), *b2 = tensor(w, SQ_TERM_DENSE, 3);
    project(w, tensor(w, SQ_TERM_DENSE, 0), tensor(w, SQ_TERM_DENSE, 1), hidden, w->hidden);
    for (int64_t i = 0; i < w->head->T * hidden; i++) w->hidden[i] = w->hidden[i] > 0 ? w->hidden[i] : 0;
    for (int64_t i = 0; i < w->head->T; i++) {
        float *q = w->q + i * width + at;
        for (int64_t c = 0; c < hidden; c++) q[c] = weight * w->hidden[i * hidden + c];
        q[hidden] = weight;
    }
    for (int64_t j = 0; j < w->head->N; j++) {
        memcpy(w->k + j * width + at, w2 + j * hidden, (size_t)hidden * sizeof(float));
        w->k[j * width + at + hidden] = b2[j];
    }
}

static void put_low(head_work *w)
{
    const int64_t width = w->s.width, rank = w->s.rank, at = w->s.at[SQ_TERM_LOW];
    const float weight = (float)w->weight[SQ_TERM_LOW], *r1 = tensor(w, SQ_TERM_LOW, 0), *r2 = tensor(w, SQ_TERM_LOW, 1);
    for (int64_t i = 0; i < w->head->T; i++)
        for (int64_t c = 0; c < rank; c++) w->q[i * width + at + c] = weight * r1[i * rank + c];
    for (int64_t j = 0; j < w->head->N; j++)
        for (int64_t c = 0; c < rank; c++) w->k[j * width + at + c] = r2[c * w->s.L + j];
}

static void put_dot(head_work *w)
{
    const int64_t width = w->s.width, D = w->p->D, at = w->s.at[SQ_TERM_DOT];
    const float factor = (float)w->weight[SQ_TERM_DOT] * w->p->scale;
    const sq_head *head = w->head;
    for (int64_t i = 0; i < head->T; i++)
        for (int64_t c = 0; c < D; c++) w->q[i * width + at + c] = factor * head->q[i * head->q_row + c];
    for (int64_t j = 0; j < head->N; j++)   /* hidden keys may hold anything; the engine does not read them */
        memcpy(w->k + j * width + at, head->k + j * head->k_row, (size_t)D * sizeof(float));
}

/* ---- what is added tile by tile: s and ds [keys, row], a column per query ---- */

static int64_t second_index(const head_work *w, int64_t j)
{
    return w->config->tiling == SQ_SYNTHESIZER_ALIKE ? j % w->s.b : j / w->s.a;
}

static void add_tile(void *context, float *s, int64_t row, int64_t i0, int64_t queries, int64_t j0, int64_t keys)
{
    const head_work *w = context;
    const float random = (float)(w->weight[SQ_TERM_RANDOM] * log2_e), factors = (float)(w->weight[SQ_TERM_FACTORS] * log2_e);
    const float *r = w->s.has[SQ_TERM_RANDOM] ? tensor(w, SQ_TERM_RANDOM, 0) : NULL;
    for (int64_t i = 0; r && i < queries; i++)
        for (int64_t j = 0; j < keys; j++) s[j * row + i] += random * r[(i0 + i) * w->s.L + j0 + j];
    for (int64_t j = 0; w->s.has[SQ_TERM_FACTORS] && j < keys; j++) {
        const float *a = w->a + i0 * w->s.a + (j0 + j) % w->s.a, *b = w->b + i0 * w->s.b + second_index(w, j0 + j);
        for (int64_t i = 0; i < queries; i++) s[j * row + i] += factors * a[i * w->s.a] * b[i * w->s.b];
    }
}

static void tile_gradient(void *context, const float *ds, int64_t row, float factor, int64_t i0, int64_t queries, int64_t j0, int64_t keys)
{
    head_work *w = context;
    const float *r = w->s.has[SQ_TERM_RANDOM] ? tensor(w, SQ_TERM_RANDOM, 0) : NULL;
    float *dr = r ? gradient(w, SQ_TERM_RANDOM, 0) : NULL;
    const float random = (float)w->weight[SQ_TERM_RANDOM] * factor, factors = (float)w->weight[SQ_TERM_FACTORS] * factor;
    for (int64_t i = 0; r && i < queries; i++) {
        const float *from = r + (i0 + i) * w->s.L + j0;
        float along = 0;
        for (int64_t j = 0; j < keys; j++) along += ds[j * row + i] * from[j];
        w->dweight[SQ_TERM_RANDOM] += along * factor;
        for (int64_t j = 0; dr && j < keys; j++) dr[(i0 + i) * w->s.L + j0 + j] += random * ds[j * row + i];
    }
    for (int64_t j = 0; w->s.has[SQ_TERM_FACTORS] && j < keys; j++) {
        const int64_t at_a = i0 * w->s.a + (j0 + j) % w->s.a, at_b = i0 * w->s.b + second_index(w, j0 + j);
        for (int64_t i = 0; i < queries; i++) {
            const float d = ds[j * row + i], a = w->a[at_a + i * w->s.a], b = w->b[at_b + i * w->s.b];
            w->da[at_a + i * w->s.a] += factors * d * b;
            w->db[at_b + i * w->s.b] += factors * d * a;
            w->dweight[SQ_TERM_FACTORS] += factor * d * a * b;
        }
    }
}

/* ---- forward ---- */

static head_work begin(const sq_run *run, const sq_head *head, sq_pass pass, void *workspace)
{
    head_work w = { .run = run, .p = run->problem, .head = head, .config = run->config, .s = sq__synthesizer_shape(run->config, run->problem) };
    w.set = w.s.sets > 1 ? head->h : 0;
    cut(&w, w.p, pass, workspace);
    w.has_bias = sq__head_bias(run, head, &w.bias);
    find_weights(&w);
    if (w.s.width == 1) {              /* perhaps nothing but added scores */
        memset(w.q, 0, (size_t)head->T * sizeof(float));
        memset(w.k, 0, (size_t)head->N * sizeof(float));
    }
    if (w.s.has[SQ_TERM_FACTORS]) {
        project(&w, tensor(&w, SQ_TERM_FACTORS, 0), tensor(&w, SQ_TERM_FACTORS, 1), w.s.a, w.a);
        project(&w, tensor(&w, SQ_TERM_FACTORS, 2), tensor(&w, SQ_TERM_FACTORS, 3), w.s.b, w.b);
    }
    if (w.s.has[SQ_TERM_DENSE]) put_dense(&w);
    if (w.s.has[SQ_TERM_LOW]) put_low(&w);
    if (w.s.has[SQ_TERM_DOT]) put_dot(&w);
    return w;
}

static sq_dense dense_of(const head_work *w, const sq_dense_scores *scores)
{
    const sq_problem *p = w->p;
    const sq_head *head = w->head;
    return (sq_dense){
        .T = head->T, .N = head->N, .D = w->s.width, .M = p->M, .scale = 1, .causal = p->causal, .q = w->q, .k = w->k, .v = head->v,
        .q_row = w->s.width, .k_row = w->s.width, .v_row = head->v_row, .key_keep = head->key_keep, .pair_keep = head->pair_keep, .pair_row = p->N,
        .bias = w->has_bias ? &w->bias : NULL, .scores = w->s.has[SQ_TERM_RANDOM] || w->s.has[SQ_TERM_FACTORS] ? scores : NULL, .out = head->out, .out_row = head->out_row,
        .lse = w->run->call->saved ? (float *)w->run->call->saved + (head->b * p->H + head->h) * p->T : NULL,
    };
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    head_work w = begin(run, head, SQ_FORWARD, head->workspace);
    const sq_dense_scores scores = { &w, add_tile, tile_gradient };
    const sq_dense dense = dense_of(&w, &scores);
    sq__dense_forward(&dense, run->kernels, w.engine);
}

void sq__synthesizer_forward(const sq_run *run)
{
    sq__for_heads(run, sq__synthesizer_thread_bytes(run->config, run->problem, SQ_FORWARD), forward_head);
}

/* ---- backward ---- */

/* Of y = q W' + bias: dy [T,out] into W, bias and dq. */
static void project_backward(const head_work *w, int term, int first, int64_t out, const float *dy)
{
    const sq_head *head = w->head;
    const int64_t D = w->p->D;
    float *dweight = gradient(w, term, first), *dbias = gradient(w, term, first + 1);
    sq__gemm(false, false, head->T, D, out, 1, dy, out, tensor(w, term, first), D, 1, head->dq, head->dq_row);
    if (dweight) sq__gemm(true, false, out, D, head->T, 1, dy, out, head->q, head->q_row, 1, dweight, D);
    for (int64_t i = 0; dbias && i < head->T; i++) w->run->kernels->axpy(dbias, 1, dy + i * out, out);
}

static void take_dense(head_work *w)
{
    const int64_t width = w->s.width, hidden = w->s.hidden, at = w->s.at[SQ_TERM_DENSE];
    const float weight = (float)w->weight[SQ_TERM_DENSE];
    float *dw2 = gradient(w, SQ_TERM_DENSE, 2), *db2 = gradient(w, SQ_TERM_DENSE, 3);
    for (int64_t i = 0; i < w->head->T; i++) {
        const float *dq = w->dq + i * width + at;
        float *rows = w->hidden + i * hidden;
        w->dweight[SQ_TERM_DENSE] += w->run->kernels->dot(dq, rows, hidden) + dq[hidden];
        for (int64_t c = 0; c < hidden; c++) rows[c] = rows[c] > 0 ? weight * dq[c] : 0;
    }
    project_backward(w, SQ_TERM_DENSE, 0, hidden, w->hidden);
    for (int64_t j = 0; dw2 && j < w->head->N; j++) w->run->kernels->axpy(dw2 + j * hidden, 1, w->dk + j * width + at, hidden);
    for (int64_t j = 0; db2 && j < w->head->N; j++) db2[j] += w->dk[j * width + at + hidden];
}

static void take_low(head_work *w)
{
    const int64_t width = w->s.width, rank = w->s.rank, at = w->s.at[SQ_TERM_LOW];
    const float weight = (float)w->weight[SQ_TERM_LOW], *r1 = tensor(w, SQ_TERM_LOW, 0);
    float *dr1 = gradient(w, SQ_TERM_LOW, 0), *dr2 = gradient(w, SQ_TERM_LOW, 1);
    for (int64_t i = 0; i < w->head->T; i++) {
        const float *dq = w->dq + i * width + at;
        w->dweight[SQ_TERM_LOW] += w->run->kernels->dot(dq, r1 + i * rank, rank);
        if (dr1) w->run->kernels->axpy(dr1 + i * rank, weight, dq, rank);
    }
    for (int64_t j = 0; dr2 && j < w->head->N; j++)
        for (int64_t c = 0; c < rank; c++) dr2[c * w->s.L + j] += w->dk[j * width + at + c];
}

static void take_dot(head_work *w)
{
    const sq_head *head = w->head;
    const int64_t width = w->s.width, D = w->p->D, at = w->s.at[SQ_TERM_DOT];
    const float factor = (float)w->weight[SQ_TERM_DOT] * w->p->scale;
    for (int64_t i = 0; i < head->T; i++) {
        const float *dq = w->dq + i * width + at;
        w->dweight[SQ_TERM_DOT] += w->p->scale * w->run->kernels->dot(dq, head->q + i * head->q_row, D);
        w->run->kernels->axpy(head->dq + i * head->dq_row, factor, dq, D);
    }
    for (int64_t j = 0; j < head->N; j++) w->run->kernels->axpy(head->dk + j * head->dk_row, 1, w->dk + j * width + at, D);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    head_work w = begin(run, head, SQ_BACKWARD, head->workspace);
    const sq_dense_scores scores = { &w, add_tile, tile_gradient };
    const sq_dense dense = dense_of(&w, &scores);
    sq__zero_rows(head->dq, head->dq_row, 0, w.p->T, w.p->D);
    if (!head->accumulate) {
        sq__zero_rows(head->dk, head->dk_row, 0, w.p->N, w.p->D);
        sq__zero_rows(head->dv, head->dv_row, 0, w.p->N, w.p->M);
    }
    sq__zero_rows(w.dk, w.s.width, 0, head->N, w.s.width);
    if (w.s.has[SQ_TERM_FACTORS]) {
        sq__zero_rows(w.da, w.s.a, 0, head->T, w.s.a);
        sq__zero_rows(w.db, w.s.b, 0, head->T, w.s.b);
    }
    sq__dense_backward(&dense, &(sq_dense_gradients){ head->dout, head->dout_row, w.dq, w.dk, head->dv, w.s.width, w.s.width, head->dv_row, true },
                       run->kernels, w.engine);
    if (w.s.has[SQ_TERM_DENSE]) take_dense(&w);
    if (w.s.has[SQ_TERM_LOW]) take_low(&w);
    if (w.s.has[SQ_TERM_DOT]) take_dot(&w);
    if (w.s.has[SQ_TERM_FACTORS]) {
        project_backward(&w, SQ_TERM_FACTORS, 0, w.s.a, w.da);
        project_backward(&w, SQ_TERM_FACTORS, 2, w.s.b, w.db);
    }
    mix_backward(&w);
}

/* Key heads apart, the entries of each in order: tensors of a head are then summed in a fixed order. */
static void backward_heads(void *context, int64_t item, int thread)
{
    const sq_run *run = context;
    const sq_problem *p = run->problem;
    const bool shared = sq__synthesizer_shape(run->config, p).sets != p->H;
    const int64_t group = p->H / p->Hk, first = shared ? 0 : item * group, end = shared ? p->H : first + group;
    for (int64_t b = 0; b < p->B; b++)
        for (int64_t h = first; h < end; h++) {
            sq_head head = sq__head(run, b, h);
            head.accumulate = h % group != 0;
            head.workspace = (char *)run->call->workspace + (size_t)thread * sq__synthesizer_thread_bytes(run->config, p, SQ_BACKWARD);
            backward_head(run, &head);
        }
}

void sq__synthesizer_backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const bool shared = sq__synthesizer_shape(run->config, p).sets != p->H;
    sq__parallel(p->threads, shared ? 1 : p->Hk, backward_heads, (void *)(uintptr_t)run);
}
