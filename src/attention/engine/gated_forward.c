/* Forward: states before each chunk, then outputs. Without delta rule each chunk first adds up what it writes; a scan makes states of it. */
#include "attention/engine/gated_states.h"
#include "base/parallel.h"
#include "base/subnormal.h"

enum { C = SQ_GATED_CHUNK };

typedef struct forward {
    const sq_gated *all;
    int64_t chunks, state;             /* numbers of a state */
    sq_gated_kept kept;
    float *totals;                     /* [B,H,chunks,max(W,1)]; without delta rule */
    char *threads;
    size_t per_thread;
} forward;

typedef struct scratch { sq_gated_chunk chunk; float *a, *t; } scratch;

static void cut_scratch(scratch *s, const sq_gated *g, sq_cut *cut)
{
    const int64_t wide = g->rule.D > g->rule.M ? g->rule.D : g->rule.M;
    sq__gated_cut(&s->chunk, g, cut);
    s->a = sq__cut_floats(cut, C * C);
    s->t = sq__cut_floats(cut, C * wide);
}

static size_t scratch_bytes(const sq_gated *g)
{
    scratch s;
    sq_cut cut = { NULL, 0 };
    cut_scratch(&s, g, &cut);
    return cut.used;
}

static void cut_forward(forward *f, const sq_gated *g, sq_cut *cut)
{
    *f = (forward){ .all = g, .chunks = sq__gated_chunks(g), .state = g->rule.D * g->rule.M, .per_thread = scratch_bytes(g) };
    sq_cut saved = { g->saved, 0 };
    sq__gated_cut_kept(&f->kept, g, g->saved ? &saved : cut);
    f->totals = sq__cut_floats(cut, sq__gated_totals(g));
    f->threads = sq__cut(cut, f->per_thread * (size_t)g->threads);
}

static scratch scratch_of(const forward *f, int thread, int64_t item)
{
    sq_cut cut = { f->threads + (size_t)thread * f->per_thread, 0 };
    const int64_t head = item / f->chunks;
    scratch s;
    cut_scratch(&s, f->all, &cut);
    sq__gated_open(&s.chunk, head / f->all->H, head % f->all->H, item % f->chunks);
    return s;
}

/* next += what the chunk writes; U is left in chunk->v, and with delta rule is what S does not hold already. */
static void write_chunk(scratch *s, const float *S, float *next)
{
    sq_gated_chunk *c = &s->chunk;
    const sq_gated_rule *rule = &c->all->rule;
    const int64_t D = rule->D, M = rule->M;
    if (!c->keys) return;
    sq__gated_load_k(c);
    sq__gated_load_v(c);
    if (rule->delta) {
        sq__gated_load_strength(c);
        sq__gated_from_start(c, c->k, s->t);
        sq__gemm(false, false, c->size, M, D, -1, s->t, D, S, M, 1, c->v, M);
        sq__gated_pairs(c, c->k, c->k, true, s->a);
        sq__gated_solve(c, s->a, c->v);
    }
    sq__gated_to_end(c, c->k, s->t);
    sq__gemm(true, false, D, M, c->size, 1, s->t, D, c->v, M, 1, next, M);
}

/* Without delta rule: sums of each chunk by itself. */
static void write_item(void *context, int64_t item, int thread)
{
    const forward *f = context;
    const unsigned mode = sq__subnormals_off();
    scratch s = scratch_of(f, thread, item);
    float *next = f->kept.states + (item / f->chunks * (f->chunks + 1) + item % f->chunks + 1) * f->state;
    memset(next, 0, (size_t)f->state * sizeof *next);
    sq__gated_load_decay(&s.chunk);
    sq__gated_total(&s.chunk, f->totals + item * sq__gated_decays(f->all));
    write_chunk(&s, NULL, next);
    sq__subnormals_restore(mode);
}

static float *begin(const forward *f, int64_t head)
{
    float *states = f->kept.states + head * (f->chunks + 1) * f->state;
    if (f->all->before) memcpy(states, f->all->before + head * f->state, (size_t)f->state * sizeof *states);
    else memset(states, 0, (size_t)f->state * sizeof *states);
    return states;
}

static void end(const forward *f, int64_t head, const float *last)
{
    if (f->all->after) memcpy(f->all->after + head * f->state, last, (size_t)f->state * sizeof *last);
}

static void scan_head(void *context, int64_t head, int thread)
{
    const forward *f = context;
    const unsigned mode = sq__subnormals_off();
    float *S = begin(f, head);
    (void)thread;
    for (int64_t i = 0; i < f->chunks; i++, S += f->state)
        sq__gated_decay_state(f->all->kernels, &f->all->rule, sq__gated_width(&f->all->rule), f->totals + (head * f->chunks + i) * sq__gated_decays(f->all), S, S + f->state);
    end(f, head, S);
    sq__subnormals_restore(mode);
}

/* With delta rule: one chunk after the other. */
static void follow_head(void *context, int64_t head, int thread)
{
    const forward *f = context;
    const sq_gated *g = f->all;
    const unsigned mode = sq__subnormals_off();
    float *S = begin(f, head);
    for (int64_t i = 0; i < f->chunks; i++, S += f->state) {
        scratch s = scratch_of(f, thread, head * f->chunks + i);
        sq__gated_load_decay(&s.chunk);
        sq__gated_total(&s.chunk, s.t);
        memset(S + f->state, 0, (size_t)f->state * sizeof *S);
        sq__gated_decay_state(g->kernels, &g->rule, s.chunk.W, s.t, S, S + f->state);
        write_chunk(&s, S, S + f->state);
        memcpy(f->kept.writes + (head * g->N + s.chunk.first) * g->rule.M, s.chunk.v, (size_t)(s.chunk.keys * g->rule.M) * sizeof(float));
    }
    end(f, head, S);
    sq__subnormals_restore(mode);
}

static float *out_row(const sq_gated_chunk *c, int64_t i)
{
    const sq_view *out = &c->all->out;
    return out->data + c->b * out->batch + c->h * out->head + (c->first + i) * out->row;
}

static void out_item(void *context, int64_t item, int thread)
{
    const forward *f = context;
    const sq_gated *g = f->all;
    const int64_t D = g->rule.D, M = g->rule.M, head = item / f->chunks;
    const unsigned mode = sq__subnormals_off();
    scratch s = scratch_of(f, thread, item);
    sq_gated_chunk *c = &s.chunk;
    if (c->rows) {
        const float *S = f->kept.states + (head * (f->chunks + 1) + item % f->chunks) * f->state;
        sq__gated_load_decay(c);
        sq__gated_load_q(c);
        sq__gated_from_start(c, c->q, s.t);
        sq__gemm(false, false, c->rows, M, D, 1, s.t, D, S, M, 0, out_row(c, 0), g->out.row);
    }
    if (c->rows && c->keys) {
        sq__gated_load_k(c);
        sq__gated_load_v(c);
        sq__gated_pairs(c, c->q, c->k, false, s.a);
        const float *u = g->rule.delta ? f->kept.writes + (head * g->N + c->first) * M : c->v;
        sq__gemm(false, false, c->rows, M, c->keys, 1, s.a, C, u, M, 1, out_row(c, 0), g->out.row);
        for (int64_t i = 0; g->rule.skips && i < c->rows && i < c->keys; i++) g->kernels->axpy(out_row(c, i), g->skip[c->h], c->v + i * M, M);
    }
    for (int64_t i = c->rows; i < C && c->first + i < g->T; i++) memset(out_row(c, i), 0, (size_t)M * sizeof(float));
    sq__subnormals_restore(mode);
}

size_t sq__gated_workspace_bytes(const sq_gated *g, sq_pass pass)
{
    sq_cut cut = { NULL, 0 };
    sq_gated unsaved = *g;
    forward f;
    unsaved.saved = NULL;
    if (pass == SQ_BACKWARD) return sq__gated_backward_bytes(g);
    cut_forward(&f, &unsaved, &cut);
    return cut.used;
}

void sq__gated_forward(const sq_gated *g)
{
    sq_cut cut = { g->workspace, 0 };
    const int64_t heads = g->B * g->H;
    forward f;
    cut_forward(&f, g, &cut);
    if (g->rule.delta) {
        sq__parallel(g->threads, heads, follow_head, &f);
    } else {
        sq__parallel(g->threads, heads * f.chunks, write_item, &f);
        sq__parallel(g->threads, heads, scan_head, &f);
    }
    sq__parallel(g->threads, heads * f.chunks, out_item, &f);
}

size_t sq__gated_saved_bytes(const sq_gated *g)
{
    sq_cut cut = { NULL, 0 };
    sq_gated_kept kept;
    sq__gated_cut_kept(&kept, g, &cut);
    return cut.used;
}

/* Products alone: the states' writes and reads, and of the pairs of a chunk; the delta rule reads and multiplies pairs of keys besides. */
double sq__gated_flops(const sq_gated *g, sq_pass pass)
{
    const double rows = (double)(g->B * g->H) * (double)(g->T + g->N) / 2, D = (double)g->rule.D, M = (double)g->rule.M;
    const double state = 2 * rows * D * M, pairs = 2 * rows * C * (D + M);
    return pass == SQ_FORWARD ? (g->rule.delta ? 3 : 2) * state + (g->rule.delta ? 2 : 1) * pairs
                              : (g->rule.delta ? 6 : 4) * state + (g->rule.delta ? 6 : 3) * pairs;
}
