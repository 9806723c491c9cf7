/* First pass: through the convolution, A1, Z W, A3 and the iterations. Second, when the divisors' gradients are summed: through A2 and the means. */
#include <string.h>

#include "attention/engine/depthwise.h"
#include "attention/engine/pseudo_inverse.h"
#include "attention/nystromformer.h"

/* Rows that a uniform look gives away: dY of every landmark, and dout without them for the dense engine. Their q gets nothing. */
static void uniform_rows_backward(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_scratch *s)
{
    const int64_t M = run->problem->M, m = rows->k.m;
    for (int64_t i = 0; i < head->T; i++)
        for (int64_t r = 0; !rows->query_keep[i] && r < m; r++)
            run->kernels->axpy(s->dY + r * M, 1 / (float)m, head->dout + i * head->dout_row, M);
}

static void without_masked(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_scratch *s)
{
    const int64_t M = run->problem->M;
    for (int64_t i = 0; i < head->T; i++) {
        if (rows->query_keep[i]) memcpy(s->dout + i * M, head->dout + i * head->dout_row, (size_t)M * sizeof(float));
        else memset(s->dout + i * M, 0, (size_t)M * sizeof(float));
    }
}

/* dq, and dk and dv of exact attention or dkl and dY of A1. out without the convolution is computed again, since a difference would lose digits. */
static void outer_backward(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_state *state,
                           const sq_nystrom_change *change, const sq_nystrom_scratch *s)
{
    const sq_nystrom_config *config = run->config;
    const sq_problem *p = run->problem;
    const bool uniform = rows->hides && rows->query_keep && !rows->exact;
    sq_dense outer = sq__nystrom_outer(run, head, rows, state, s, head->out, head->out_row);
    sq_dense_gradients g = { head->dout, head->dout_row, head->dq, change->dkl, s->dY, head->dq_row, p->D, p->M, false };
    if (config->convolution && !rows->empty) {
        outer.out = s->out;
        outer.out_row = p->M;
        sq__dense_forward(&outer, run->kernels, s->engine);
    }
    if (rows->exact) g.dk = head->dk, g.dk_row = head->dk_row, g.dv = head->dv, g.dv_row = head->dv_row, g.accumulate_kv = head->accumulate;
    if (uniform) {
        without_masked(run, head, rows, s);
        g.dout = s->dout, g.dout_row = p->M;
    }
    sq__dense_backward(&outer, &g, run->kernels, s->engine);
    if (uniform) uniform_rows_backward(run, head, rows, s);
    for (int64_t i = 0; rows->query_keep && i < head->T; i++)
        if (!rows->query_keep[i]) sq__zero_rows(head->dq, head->dq_row, i, i + 1, p->D);
}

/* dql, dk, dv of A3 v. */
static void inner_backward(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_state *state,
                           const sq_nystrom_change *change, const sq_nystrom_scratch *s)
{
    const sq_problem *p = run->problem;
    const int64_t M = p->M;
    const sq_dense inner = sq__nystrom_inner(run, head, state);
    const float share = 1 / (float)(head->N + rows->k.front);
    float *given = s->Y;               /* what uniform rows of W give every kept value */
    memset(given, 0, (size_t)M * sizeof *given);
    for (int64_t r = 0; r < rows->k.m && rows->hides; r++) {
        if (state->q_shares[r] != 0) continue;
        run->kernels->axpy(given, share, s->dW + r * M, M);
        memset(s->dW + r * M, 0, (size_t)M * sizeof *s->dW);
    }
    const sq_dense_gradients g = { s->dW, M, change->dql, head->dk, head->dv, p->D, head->dk_row, head->dv_row, head->accumulate };
    sq__dense_backward(&inner, &g, run->kernels, s->engine);
    for (int64_t j = 0; rows->hides && j < head->N; j++)
        if (head->key_keep[j]) run->kernels->axpy(head->dv + j * head->dv_row, 1, given, M);
}

static void convolution_backward(const sq_run *run, const sq_head *head, const sq_nystrom_rows *rows, const sq_nystrom_change *change)
{
    const int64_t K = ((const sq_nystrom_config *)run->config)->convolution;
    memset(change->dw, 0, (size_t)K * sizeof(double));
    if (!K || rows->empty) return;
    const sq_depthwise conv = { head->T, head->N, run->problem->M, K, run->call->tensors[0] + head->h * K, head->v, head->v_row, rows->conv_keep };
    sq__depthwise_backward(&conv, run->kernels, head->dout, head->dout_row, head->dv, head->dv_row, change->dw);
}

static void factors_head(const sq_run *run, const sq_head *head)
{
    const sq_nystrom_run *all = (const sq_nystrom_run *)run;
    const sq_nystrom_config *config = run->config;
    const int64_t m = config->landmarks, M = run->problem->M;
    const sq_nystrom_rows rows = sq__nystrom_rows(run, head);
    const sq_nystrom_state state = sq__nystrom_state(run, head->b, head->h);
    const sq_nystrom_change change = sq__nystrom_change(run, head->b, head->h);
    const sq_nystrom_scratch s = sq__nystrom_scratch(config, run->problem, SQ_BACKWARD, head->workspace);
    *change.dc = 0;
    sq__nystrom_queries(run, head, &rows, &state, &s);
    if (!rows.exact) sq__gemm(false, false, m, M, m, 1, state.Z, m, state.W, M, 0, s.Y, M);
    outer_backward(run, head, &rows, &state, &change, &s);
    if (!rows.exact) {
        sq__gemm(true, false, m, M, m, 1, state.Z, m, s.dY, M, 0, s.dW, M);
        sq__gemm(false, true, m, m, M, 1, s.dY, M, state.W, M, 0, s.dZ, m);
        inner_backward(run, head, &rows, &state, &change, &s);
        memset(change.dA2, 0, (size_t)(m * m) * sizeof(float));
        *change.dc = sq__pseudo_inverse_backward(m, config->iterations, state.A2, sq__nystrom_divisor(all, &state), s.dZ, change.dA2, s.engine);
    }
    convolution_backward(run, head, &rows, &change);
}

/* dS = A2 o (dA2 - dA2 . A2): to the landmarks, and from them to their rows. */
static void landmarks_head(const sq_run *run, const sq_head *head)
{
    const sq_nystrom_run *all = (const sq_nystrom_run *)run;
    const sq_nystrom_config *config = run->config;
    const sq_problem *p = run->problem;
    const int64_t m = config->landmarks, D = p->D;
    const sq_nystrom_rows rows = sq__nystrom_rows(run, head);
    const sq_nystrom_state state = sq__nystrom_state(run, head->b, head->h);
    const sq_nystrom_change change = sq__nystrom_change(run, head->b, head->h);
    if (rows.exact) return;
    const bool own = config->init == SQ_NYSTROM_EXACT, here = own || all->source == head->b * p->H + head->h;
    int64_t column = 0;
    sq__nystrom_largest(m, state.A2, &column);
    for (int64_t i = 0; i < m; i++) {
        const float *a = state.A2 + i * m;
        float *d = change.dA2 + i * m;
        if (here) d[column] += (float)(own ? *change.dc : all->dc);
        const float mean = run->kernels->dot(a, d, m), open = rows.hides && state.q_shares[i] == 0 ? 0 : p->scale;
        for (int64_t j = 0; j < m; j++) d[j] = open * a[j] * (d[j] - mean);
    }
    sq__gemm(false, false, m, D, m, 1, change.dA2, m, state.kl, D, 1, change.dql, D);
    sq__gemm(true, false, m, D, m, 1, change.dA2, m, state.ql, D, 1, change.dkl, D);
    sq__segments_backward(&rows.q, run->kernels, state.q_shares, change.dql, head->dq, head->dq_row);
    sq__segments_backward(&rows.k, run->kernels, state.k_shares, change.dkl, head->dk, head->dk_row);
}

static void sum_convolution(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const int64_t K = ((const sq_nystrom_config *)run->config)->convolution;
    float *dw = K ? run->gradients->dtensors[0] : NULL;
    for (int64_t i = 0; dw && i < p->H * K; i++) {
        double sum = 0;
        for (int64_t b = 0; b < p->B; b++) sum += sq__nystrom_change(run, b, i / K).dw[i % K];
        dw[i] += (float)sum;
    }
}

void sq__nystrom_backward(const sq_run *run)
{
    const sq_problem *p = run->problem;
    const size_t bytes = sq__nystrom_thread_bytes(run->config, p, SQ_BACKWARD);
    sq_nystrom_run all = { .run = *run, .largest = -1 };
    for (int64_t i = 0; i < p->B * p->H; i++) {
        const float largest = *sq__nystrom_state(run, i / p->H, i % p->H).largest;
        if (largest > all.largest) all.largest = largest, all.source = i;
    }
    sq__for_heads(&all.run, bytes, factors_head);
    for (int64_t i = 0; i < p->B * p->H; i++) all.dc += *sq__nystrom_change(run, i / p->H, i % p->H).dc;
    sq__for_heads(&all.run, bytes, landmarks_head);
    sum_convolution(run);
}
