/* Landmarks and A2 of every head; then, when the divisor is known, the pseudo-inverse and the three factors. */
#include <math.h>
#include <string.h>

#include "attention/engine/depthwise.h"
#include "attention/engine/pseudo_inverse.h"
#include "attention/nystromformer.h"

/* ---- rows and masks ---- */

sq_nystrom_rows sq__nystrom_rows(const sq_run *run, const sq_head *head)
{
    const sq_nystrom_config *config = run->config;
    const sq_problem *p = run->problem;
    const int64_t m = config->landmarks;
    const uint8_t *keys = head->key_keep, *queries = p->T == p->N ? keys : NULL;
    const bool paper = config->convention == SQ_NYSTROM_PAPER, padded = config->convention == SQ_NYSTROM_LUCIDRAINS;
    const int64_t kept = sq__segments_kept(keys, head->N);
    sq_nystrom_rows rows = {
        .q = { .n = head->T, .D = p->D, .m = m, .keep = queries, .share = SQ_SEGMENT_LENGTH },
        .k = { .n = head->N, .D = p->D, .m = m, .keep = keys, .share = SQ_SEGMENT_LENGTH },
        .query_keep = paper ? NULL : queries, .conv_keep = config->convention == SQ_NYSTROM_XFORMERS ? NULL : keys,
        .empty = kept == 0 || head->T == 0, .hides = padded && keys,
    };
    if (paper) rows.q.share = rows.k.share = SQ_SEGMENT_KEPT;
    if (padded && queries) rows.q.share = SQ_SEGMENT_COUNT;
    if (padded && keys) rows.k.share = SQ_SEGMENT_COUNT;
    if (padded) rows.q.front = (m - head->T % m) % m, rows.k.front = (m - head->N % m) % m;
    rows.exact = rows.empty || (!padded && ((paper ? kept : head->N) <= m || (paper ? sq__segments_kept(queries, head->T) : head->T) <= m));
    return rows;
}

/* ---- products ---- */

/* What an empty landmark looks at (its row of A2, A3) is uniform; nobody else looks at it. */
void sq__nystrom_kernel(const sq_problem *p, const sq_kernels *kernels, int64_t m, const float *ql, const float *kl, const float *q_shares,
                        const float *k_shares, bool hides, float *A2)
{
    sq__gemm(false, true, m, m, p->D, p->scale, ql, p->D, kl, p->D, 0, A2, m);
    for (int64_t i = 0; i < m; i++) {
        float *row = A2 + i * m;
        for (int64_t j = 0; hides && j < m; j++)
            if (q_shares[i] == 0) row[j] = 0;
            else if (k_shares[j] == 0) row[j] = -INFINITY;
        kernels->scale(row, 1 / kernels->exp_sum(row, row, 1, kernels->max(row, m), m), m);
    }
}

float sq__nystrom_largest(int64_t m, const float *A2, int64_t *column)
{
    float largest = -1;
    for (int64_t j = 0; j < m; j++) {
        float sum = 0;
        for (int64_t i = 0; i < m; i++) sum += A2[i * m + j];
        if (!(sum > largest)) continue;
        largest = sum;
        if (column) *column = j;
    }
    return largest;
}

float sq__nystrom_divisor(const sq_nystrom_run *all, const sq_nystrom_state *state)
{
    return ((const sq_nystrom_config *)all->run.config)->init == SQ_NYSTROM_ORIGINAL ? all->largest : *state->largest;
}

sq_dense sq__nystrom_outer(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_state *state, const sq_nystrom_scratch *s,
                           float *out, int64_t out_row)
{
    const sq_problem *p = run->problem;
    sq_dense dense = { .T = head->T, .D = p->D, .M = p->M, .scale = p->scale, .q = head->q, .q_row = head->q_row, .out = out, .out_row = out_row,
                       .lse = state->lse1 };
    if (rows->query_keep) dense.q = s->q, dense.q_row = p->D;
    if (rows->exact) {
        dense.N = head->N;
        dense.k = head->k, dense.k_row = head->k_row, dense.v = head->v, dense.v_row = head->v_row;
        dense.key_keep = head->key_keep;
    } else {
        dense.N = rows->k.m;
        dense.k = state->kl, dense.k_row = p->D, dense.v = s->Y, dense.v_row = p->M;
        dense.key_keep = rows->hides ? s->keep : NULL;
    }
    return dense;
}

sq_dense sq__nystrom_inner(const sq_run *run, const sq_head *head, const sq_nystrom_state *state)
{
    const sq_problem *p = run->problem;
    const int64_t m = ((const sq_nystrom_config *)run->config)->landmarks;
    return (sq_dense){ .T = m, .N = head->N, .D = p->D, .M = p->M, .scale = p->scale, .q = state->ql, .q_row = p->D, .k = head->k, .k_row = head->k_row,
                       .v = head->v, .v_row = head->v_row, .key_keep = head->key_keep, .out = state->W, .out_row = p->M, .lse = state->lse3 };
}

/* ---- a head's parts ---- */

void sq__nystrom_queries(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_state *state, const sq_nystrom_scratch *s)
{
    const int64_t D = run->problem->D;
    for (int64_t i = 0; rows->query_keep && i < head->T; i++) {
        if (rows->query_keep[i]) memcpy(s->q + i * D, head->q + i * head->q_row, (size_t)D * sizeof(float));
        else memset(s->q + i * D, 0, (size_t)D * sizeof(float));
    }
    for (int64_t r = 0; rows->hides && !rows->exact && r < rows->k.m; r++) s->keep[r] = state->k_shares[r] != 0;
}

/* v averaged over all rows of the padded sequence, masked ones and those in front being zeros. */
static void uniform_row(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, float *w)
{
    memset(w, 0, (size_t)run->problem->M * sizeof *w);
    for (int64_t j = 0; j < head->N; j++)
        if (head->key_keep[j]) run->kernels->axpy(w, 1 / (float)(head->N + rows->k.front), head->v + j * head->v_row, run->problem->M);
}

/* W = A3 v. Zeros in front of the keys (lucidrains without a mask) have the score 0 and the value 0. */
static void inner_forward(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_state *state, const sq_nystrom_scratch *s)
{
    const int64_t M = run->problem->M;
    const sq_dense inner = sq__nystrom_inner(run, head, state);
    sq__dense_forward(&inner, run->kernels, s->engine);
    for (int64_t r = 0; r < rows->k.m; r++) {
        if (rows->hides && state->q_shares[r] == 0) uniform_row(run, head, rows, state->W + r * M);
        if (rows->hides || rows->k.front == 0) continue;
        const float lse = state->lse3[r], zeros = logf((float)rows->k.front), most = lse > zeros ? lse : zeros;
        state->lse3[r] = most + logf(expf(lse - most) + expf(zeros - most));
        run->kernels->scale(state->W + r * M, expf(lse - state->lse3[r]), M);
    }
}

/* Masked rows (lucidrains) look at every landmark alike. */
static void uniform_rows(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const float *Y)
{
    const int64_t M = run->problem->M, m = rows->k.m;
    for (int64_t i = 0; rows->hides && rows->query_keep && !rows->exact && i < head->T; i++) {
        float *out = head->out + i * head->out_row;
        if (rows->query_keep[i]) continue;
        memset(out, 0, (size_t)M * sizeof *out);
        for (int64_t r = 0; r < m; r++) run->kernels->axpy(out, 1 / (float)m, Y + r * M, M);
    }
}

/* ---- passes ---- */

static void landmarks_head(const sq_run *run, const sq_head *head)
{
    const sq_nystrom_config *config = run->config;
    const sq_nystrom_rows rows = sq__nystrom_rows(run, head);
    const sq_nystrom_state state = sq__nystrom_state(run, head->b, head->h);
    *state.largest = -1;
    if (rows.exact) return;
    sq__segments_shares(&rows.q, state.q_shares);
    sq__segments_shares(&rows.k, state.k_shares);
    sq__segments_forward(&rows.q, run->kernels, state.q_shares, head->q, head->q_row, state.ql);
    sq__segments_forward(&rows.k, run->kernels, state.k_shares, head->k, head->k_row, state.kl);
    sq__nystrom_kernel(run->problem, run->kernels, config->landmarks, state.ql, state.kl, state.q_shares, state.k_shares, rows.hides, state.A2);
    *state.largest = sq__nystrom_largest(config->landmarks, state.A2, NULL);
}

static void attend_head(const sq_run *run, const sq_head *head)
{
    const sq_nystrom_run *all = (const sq_nystrom_run *)run;
    const sq_nystrom_config *config = run->config;
    const int64_t m = config->landmarks, M = run->problem->M;
    const sq_nystrom_rows rows = sq__nystrom_rows(run, head);
    const sq_nystrom_state state = sq__nystrom_state(run, head->b, head->h);
    const sq_nystrom_scratch s = sq__nystrom_scratch(config, run->problem, SQ_FORWARD, head->workspace);
    sq__nystrom_queries(run, head, &rows, &state, &s);
    if (!rows.exact) {
        inner_forward(run, head, &rows, &state, &s);
        sq__pseudo_inverse(m, config->iterations, state.A2, sq__nystrom_divisor(all, &state), state.Z, s.engine);
        sq__gemm(false, false, m, M, m, 1, state.Z, m, state.W, M, 0, s.Y, M);
    }
    const sq_dense outer = sq__nystrom_outer(run, head, &rows, &state, &s, head->out, head->out_row);
    sq__dense_forward(&outer, run->kernels, s.engine);
    uniform_rows(run, head, &rows, s.Y);
    if (!config->convolution || rows.empty) return;
    const sq_depthwise conv = { head->T, head->N, M, config->convolution, run->call->tensors[0] + head->h * config->convolution, head->v, head->v_row,
                                rows.conv_keep };
    sq__depthwise_forward(&conv, run->kernels, head->out, head->out_row);
}

void sq__nystrom_forward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const size_t bytes = sq__nystrom_thread_bytes(run->config, p, SQ_FORWARD);
    sq_nystrom_run all = { .run = *run, .largest = -1 };
    sq__for_heads(&all.run, bytes, landmarks_head);
    for (int64_t i = 0; i < p->B * p->H; i++) {
        const float largest = *sq__nystrom_state(run, i / p->H, i % p->H).largest;
        if (largest > all.largest) all.largest = largest;
    }
    sq__for_heads(&all.run, bytes, attend_head);
}
