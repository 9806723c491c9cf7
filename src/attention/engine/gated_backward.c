/* Backward: the gradient of the state after each chunk from the last to the first, then everything else chunk by chunk. With R the gradient of
 * the state S' after a chunk, and primes of the equations in gated.h:
 *   dU = P' dout + (k exp(L_end - L)) R,   dW_j = b_j (dU_j - sum_{i>j} A_ij dW_i),   dV = dW   (without delta rule dV = dU)
 *   dS = (q exp L)' dout - (k exp L)' dW + exp(L_end) R
 *   dP = dout U',   dA = -dW U',   db_j = dW_j . U_j / b_j^2 (b_j is then that of the sigmoid)
 * L gains what reads it (rows of q, rows of k in W) and loses what writes (keys); L_end gains all that reaches S'. Sums stay inside a chunk. */
#include "attention/engine/gated_states.h"
#include "base/parallel.h"
#include "base/subnormal.h"

enum { C = SQ_GATED_CHUNK, SUMS = 3 };

typedef struct backward {
    const sq_gated *all;
    const sq_gated_gradients *to;
    int64_t chunks, state, group;      /* heads of a group share operands */
    sq_gated_kept kept;
    float *after;                      /* [B,H,chunks + 1,D,M] gradients of the states before each chunk, and at last */
    float *dw;                         /* [B,H,N,M]; with delta rule */
    float *totals;
    double *sums;                      /* [B,H,chunks,SUMS] */
    char *threads;
    size_t per_thread;
} backward;

typedef struct scratch {
    sq_gated_chunk chunk;
    float *a, *t, *u, *dout;
    float *dq, *read, *write;          /* [C,D] gradients of q, of k in W, of k in P, A and S' */
    float *diagonal;                   /* [C] of dP */
    double *dL;
} scratch;

static void cut_scratch(scratch *s, const sq_gated *g, sq_cut *cut)
{
    const int64_t D = g->rule.D, M = g->rule.M, wide = D > M ? D : M;
    sq__gated_cut(&s->chunk, g, cut);
    s->a = sq__cut_floats(cut, C * C);
    s->t = sq__cut_floats(cut, C * wide);
    s->u = sq__cut_floats(cut, C * M);
    s->dout = sq__cut_floats(cut, C * M);
    s->dq = sq__cut_floats(cut, C * D);
    s->read = sq__cut_floats(cut, C * D);
    s->write = sq__cut_floats(cut, C * D);
    s->diagonal = sq__cut_floats(cut, C);
    s->dL = sq__cut(cut, (size_t)(C * sq__gated_decays(g)) * sizeof(double));
}

static void cut_backward(backward *w, const sq_gated *g, sq_cut *cut)
{
    const int64_t heads = g->B * g->H, chunks = sq__gated_chunks(g), state = g->rule.D * g->rule.M;
    sq_cut saved = { g->saved, 0 }, measured = { NULL, 0 };
    scratch s;
    *w = (backward){ .all = g, .chunks = chunks, .state = state };
    sq__gated_cut_kept(&w->kept, g, &saved);
    cut_scratch(&s, g, &measured);
    w->per_thread = measured.used;
    w->after = sq__cut_floats(cut, heads * (chunks + 1) * state);
    w->dw = sq__cut_floats(cut, g->rule.delta ? heads * g->N * g->rule.M : 0);
    w->totals = sq__cut_floats(cut, sq__gated_totals(g));
    w->sums = sq__cut(cut, (size_t)(heads * chunks * SUMS) * sizeof(double));
    w->threads = sq__cut(cut, w->per_thread * (size_t)g->threads);
}

size_t sq__gated_backward_bytes(const sq_gated *g)
{
    sq_cut cut = { NULL, 0 };
    backward w;
    cut_backward(&w, g, &cut);
    return cut.used;
}

static scratch scratch_of(const backward *w, int thread)
{
    sq_cut cut = { w->threads + (size_t)thread * w->per_thread, 0 };
    scratch s;
    cut_scratch(&s, w->all, &cut);
    return s;
}

static float *state_at(const backward *w, float *states, int64_t head, int64_t chunk)
{
    return states + (head * (w->chunks + 1) + chunk) * w->state;
}

/* dout of the chunk, zeros where there is no row. */
static void load_dout(const backward *w, scratch *s)
{
    const sq_gated_chunk *c = &s->chunk;
    const sq_view *view = &w->to->dout;
    const int64_t M = w->all->rule.M;
    const float *from = view->data + c->b * view->batch + c->h * view->head + c->first * view->row;
    for (int64_t i = 0; i < c->rows; i++) memcpy(s->dout + i * M, from + i * view->row, (size_t)M * sizeof *from);
    memset(s->dout + c->rows * M, 0, (size_t)((c->size - c->rows) * M) * sizeof *from);
}

/* u = P' dout + (k exp(L_end - L)) R, for loaded q, k, dout; P is left in a, t is overwritten. */
static void gradient_of_writes(scratch *s, const float *R)
{
    const sq_gated_chunk *c = &s->chunk;
    const int64_t D = c->all->rule.D, M = c->all->rule.M;
    sq__gated_pairs(c, c->q, c->k, false, s->a);
    sq__gemm(true, false, c->size, M, c->size, 1, s->a, C, s->dout, M, 0, s->u, M);
    sq__gated_to_end(c, c->k, s->t);
    sq__gemm(false, false, c->size, M, D, 1, s->t, D, R, M, 1, s->u, M);
}

/* What the rows of a chunk read of the state before it: dS = (q exp L)' dout, added. */
static void read_state(scratch *s, float *dS)
{
    const sq_gated_chunk *c = &s->chunk;
    const int64_t D = c->all->rule.D, M = c->all->rule.M;
    sq__gated_from_start(c, c->q, s->t);
    sq__gemm(true, false, D, M, c->size, 1, s->t, D, s->dout, M, 1, dS, M);
}

/* ---- gradients of states ---- */

/* R of the last chunk. */
static float *begin(const backward *w, int64_t head)
{
    float *R = state_at(w, w->after, head, w->chunks);
    if (w->to->dafter) memcpy(R, w->to->dafter + head * w->state, (size_t)w->state * sizeof *R);
    else memset(R, 0, (size_t)w->state * sizeof *R);
    return R;
}

static void end(const backward *w, int64_t head, const float *first)
{
    if (w->to->dbefore) memcpy(w->to->dbefore + head * w->state, first, (size_t)w->state * sizeof *first);
}

static void read_item(void *context, int64_t item, int thread)
{
    const backward *w = context;
    const int64_t head = item / w->chunks, chunk = item % w->chunks;
    const unsigned mode = sq__subnormals_off();
    scratch s = scratch_of(w, thread);
    float *dS = state_at(w, w->after, head, chunk);
    memset(dS, 0, (size_t)w->state * sizeof *dS);
    sq__gated_open(&s.chunk, head / w->all->H, head % w->all->H, chunk);
    sq__gated_load_decay(&s.chunk);
    sq__gated_total(&s.chunk, w->totals + item * sq__gated_decays(w->all));
    if (s.chunk.rows) {
        sq__gated_load_q(&s.chunk);
        load_dout(w, &s);
        read_state(&s, dS);
    }
    sq__subnormals_restore(mode);
}

static void scan_head(void *context, int64_t head, int thread)
{
    const backward *w = context;
    const sq_gated *g = w->all;
    const unsigned mode = sq__subnormals_off();
    float *R = begin(w, head);
    (void)thread;
    for (int64_t i = w->chunks - 1; i >= 0; i--, R -= w->state)
        sq__gated_decay_state(g->kernels, &g->rule, sq__gated_width(&g->rule), w->totals + (head * w->chunks + i) * sq__gated_decays(g), R, R - w->state);
    end(w, head, R);
    sq__subnormals_restore(mode);
}

static void follow_chunk(const backward *w, scratch *s, const float *R, float *dS)
{
    const sq_gated *g = w->all;
    sq_gated_chunk *c = &s->chunk;
    const int64_t D = g->rule.D, M = g->rule.M;
    sq__gated_load_decay(c);
    sq__gated_total(c, s->dq);
    memset(dS, 0, (size_t)w->state * sizeof *dS);
    sq__gated_decay_state(g->kernels, &g->rule, c->W, s->dq, R, dS);
    if (!c->size) return;
    sq__gated_load_q(c);
    load_dout(w, s);
    if (c->keys) {
        sq__gated_load_k(c);
        sq__gated_load_strength(c);
        gradient_of_writes(s, R);
        sq__gated_pairs(c, c->k, c->k, true, s->a);
        sq__gated_solve_backward(c, s->a, s->u);
        memcpy(w->dw + ((c->b * g->H + c->h) * g->N + c->first) * M, s->u, (size_t)(c->keys * M) * sizeof(float));
        sq__gated_from_start(c, c->k, s->t);
        sq__gemm(true, false, D, M, c->size, -1, s->t, D, s->u, M, 1, dS, M);
    }
    read_state(s, dS);
}

static void follow_head(void *context, int64_t head, int thread)
{
    const backward *w = context;
    const unsigned mode = sq__subnormals_off();
    float *R = begin(w, head);
    scratch s = scratch_of(w, thread);
    for (int64_t i = w->chunks - 1; i >= 0; i--, R -= w->state) {
        sq__gated_open(&s.chunk, head / w->all->H, head % w->all->H, i);
        follow_chunk(w, &s, R, R - w->state);
    }
    end(w, head, R);
    sq__subnormals_restore(mode);
}

/* ---- gradients of a chunk ---- */

/* dL_end gains sum_j k_j . dk_j of the keys that reach S', and what S passes on. */
static void add_end(const scratch *s, const float *S, const float *R)
{
    const sq_gated_chunk *c = &s->chunk;
    const sq_kernels *kernels = c->kernels;
    const int64_t D = c->all->rule.D, M = c->all->rule.M, W = c->W;
    const double *L = c->L + (c->size - 1) * W;
    double *end = s->dL + (c->size - 1) * W;
    if (W == 1) {
        end[0] += exp(L[0]) * (double)kernels->dot(S, R, D * M) + (double)kernels->dot(c->k, s->t, c->size * D);
        return;
    }
    for (int64_t d = 0; d < D; d++) end[d] += exp(L[d]) * (double)kernels->dot(S + d * M, R + d * M, M);
    for (int64_t j = 0; j < c->size; j++) {
        const float *k = c->k + j * D, *t = s->t + j * D;
#pragma omp simd
        for (int64_t d = 0; d < D; d++) end[d] += (double)k[d] * (double)t[d];
    }
}

/* dL_i = q_i . dq_i + k_i . (read - write)_i */
static void load_dL(const scratch *s)
{
    const sq_gated_chunk *c = &s->chunk;
    const int64_t D = c->all->rule.D;
    for (int64_t i = 0; i < c->size; i++) {
        const float *q = c->q + i * D, *k = c->k + i * D, *dq = s->dq + i * D, *read = s->read + i * D, *write = s->write + i * D;
        double *dL = s->dL + i * c->W;
        if (c->W == 1) {
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t d = 0; d < D; d++) sum += (double)(q[d] * dq[d]) + (double)(k[d] * (read[d] - write[d]));
            dL[0] = sum;
            continue;
        }
#pragma omp simd
        for (int64_t d = 0; d < D; d++) dL[d] = (double)(q[d] * dq[d]) + (double)(k[d] * (read[d] - write[d]));
    }
}

/* Rows of U and dW with zeros behind the last key. */
static void load_kept(const backward *w, const scratch *s, const float *from, float *rows)
{
    const sq_gated_chunk *c = &s->chunk;
    const int64_t M = w->all->rule.M;
    memcpy(rows, from + ((c->b * w->all->H + c->h) * w->all->N + c->first) * M, (size_t)(c->keys * M) * sizeof *rows);
    memset(rows + c->keys * M, 0, (size_t)((c->size - c->keys) * M) * sizeof *rows);
}

static void chunk_gradients(const backward *w, scratch *s, const float *S, const float *R)
{
    sq_gated_chunk *c = &s->chunk;
    const sq_gated_rule *rule = &w->all->rule;
    const int64_t D = rule->D, M = rule->M;
    const size_t bytes = (size_t)(c->size * D) * sizeof(float);
    sq__gated_load_decay(c);
    sq__gated_load_q(c);
    sq__gated_load_k(c);
    load_dout(w, s);
    if (rule->delta) {
        sq__gated_load_strength(c);
        load_kept(w, s, w->kept.writes, c->v);
        load_kept(w, s, w->dw, s->u);
    } else {
        sq__gated_load_v(c);
        gradient_of_writes(s, R);
    }
    memset(s->read, 0, bytes);
    sq__gemm(false, true, c->size, D, M, 1, s->dout, M, S, M, 0, s->dq, D);
    sq__gated_from_start(c, s->dq, s->dq);
    sq__gemm(false, true, c->size, D, M, 1, c->v, M, R, M, 0, s->t, D);
    sq__gated_to_end(c, s->t, s->t);
    memcpy(s->write, s->t, bytes);
    sq__gemm(false, true, c->size, c->size, M, 1, s->dout, M, c->v, M, 0, s->a, C);
    for (int64_t i = 0; i < c->size; i++) s->diagonal[i] = s->a[i * C + i];
    sq__gated_pairs_backward(c, c->q, c->k, true, s->a, s->dq, s->write);
    if (rule->delta) {
        sq__gemm(false, true, c->size, D, M, -1, s->u, M, S, M, 0, s->read, D);
        sq__gated_from_start(c, s->read, s->read);
        sq__gemm(false, true, c->size, c->size, M, -1, s->u, M, c->v, M, 0, s->a, C);
        sq__gated_pairs_backward(c, c->k, c->k, true, s->a, s->read, s->write);
    }
    if (c->W && rule->gate != SQ_GATE_FIXED) {
        load_dL(s);
        add_end(s, S, R);
    } else {
        memset(s->dL, 0, (size_t)(c->size * c->W) * sizeof *s->dL);
    }
    c->kernels->axpy(s->write, 1, s->read, c->size * D);
    for (int64_t i = 0; i < c->size; i++) {   /* a token and its own row: without decay, so that it has no part in dL */
        c->kernels->axpy(s->dq + i * D, s->diagonal[i], c->k + i * D, D);
        c->kernels->axpy(s->write + i * D, s->diagonal[i], c->q + i * D, D);
    }
}

static void gradients_item(void *context, int64_t item, int thread)
{
    const backward *w = context;
    const sq_gated *g = w->all;
    const int64_t chunk = item % w->chunks, first = item / w->chunks * w->group;
    const unsigned mode = sq__subnormals_off();
    scratch s = scratch_of(w, thread);
    for (int64_t head = first; head < first + w->group; head++) {
        double *sums = w->sums + (head * w->chunks + chunk) * SUMS;
        memset(sums, 0, SUMS * sizeof *sums);
        sq__gated_open(&s.chunk, head / g->H, head % g->H, chunk);
        if (s.chunk.size) chunk_gradients(w, &s, state_at(w, w->kept.states, head, chunk), state_at(w, w->after, head, chunk + 1));
        sq__gated_give(&s.chunk, w->to, &(sq_gated_found){ s.dq, s.write, s.u, s.dL, s.u, s.chunk.v, sums });
    }
    sq__subnormals_restore(mode);
}

static void sum_heads(const backward *w)
{
    const sq_gated *g = w->all;
    float *const to[SUMS] = { w->to->drate, w->to->dbias, w->to->dskip };
    for (int64_t h = 0; h < g->H; h++)
        for (int i = 0; i < SUMS; i++) {
            double sum = 0;
            for (int64_t b = 0; b < g->B; b++)
                for (int64_t chunk = 0; chunk < w->chunks; chunk++) sum += w->sums[((b * g->H + h) * w->chunks + chunk) * SUMS + i];
            if (to[i]) to[i][h] += (float)sum;
        }
}

/* The largest number of heads that share an operand; the others' groups divide it. */
static int64_t group_of(const sq_gated *g)
{
    const int64_t heads[] = { g->q.heads, g->k.heads, g->v.heads };
    int64_t least = g->H;
    for (int i = 0; i < 3; i++) least = heads[i] < least ? heads[i] : least;
    return g->H / least;
}

void sq__gated_backward(const sq_gated *g, const sq_gated_gradients *gradients)
{
    sq_cut cut = { g->workspace, 0 };
    const int64_t heads = g->B * g->H;
    backward w;
    cut_backward(&w, g, &cut);
    w.to = gradients;
    w.group = group_of(g);
    if (g->rule.delta) {
        sq__parallel(g->threads, heads, follow_head, &w);
    } else {
        sq__parallel(g->threads, heads * w.chunks, read_item, &w);
        sq__parallel(g->threads, heads, scan_head, &w);
    }
    sq__parallel(g->threads, heads / w.group * w.chunks, gradients_item, &w);
    sum_heads(&w);
}
