#include "attention/engine/linear_heads.h"

#include <string.h>

#include "attention/engine/linear_state.h"

/* What a head's function receives as its run. */
typedef struct linear_run {
    sq_run run;
    const sq_linear_mechanism *mechanism;
    sq_linear_rule rule;
    bool decays;
    char *states;                      /* of a stream; NULL: the whole sequence at once */
} linear_run;

typedef struct pieces {                /* of a thread's workspace */
    void *context;
    float *log_decay, *dlog_decay, *state, *engine;
} pieces;

static bool decays(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *p)
{
    return mechanism->decays && p->causal && mechanism->decays(config, p);
}

static size_t cut_pieces(pieces *s, void *workspace, const sq_linear_rule *rule, bool decaying, const sq_problem *p, sq_pass pass)
{
    sq_cut cut = { workspace, 0 };
    const int64_t rows = !decaying ? 0 : p->T > p->N ? p->T : p->N;
    s->context = sq__cut(&cut, rule->context_bytes);
    s->log_decay = sq__cut_floats(&cut, rows);
    s->dlog_decay = sq__cut_floats(&cut, pass == SQ_BACKWARD ? rows : 0);
    s->state = sq__cut_floats(&cut, pass == SQ_FORWARD ? (int64_t)sq__linear_state_floats(rule->F, p->M) : 0);
    s->engine = sq__cut(&cut, sq__linear_workspace(rule->F, p->M, p->causal, pass));
    return cut.used;
}

size_t sq__linear_heads_workspace(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *p, sq_pass pass)
{
    const sq_linear_rule rule = mechanism->rule(config, p);
    pieces s;
    return cut_pieces(&s, NULL, &rule, decays(mechanism, config, p), p, pass);
}

static size_t saved_rows(const sq_problem *p)
{
    return sq__align_up((size_t)(p->B * p->H * p->T) * sizeof(float));
}

void sq__linear_heads_sizes(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *p, sq_sizes *sizes)
{
    const size_t state = p->causal ? 0 : sq__linear_state_floats(mechanism->rule(config, p).F, p->M) * sizeof(float);
    sizes->forward_workspace = sq__linear_heads_workspace(mechanism, config, p, SQ_FORWARD) * (size_t)p->threads;
    sizes->backward_workspace = sq__linear_heads_workspace(mechanism, config, p, SQ_BACKWARD) * (size_t)p->threads;
    sizes->saved = saved_rows(p) + (size_t)(p->B * p->H) * state;
}

double sq__linear_heads_flops(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *p, sq_pass pass)
{
    return (double)(p->B * p->H) * sq__linear_flops(p->T, p->N, mechanism->rule(config, p).F, p->M, p->causal, pass);
}

static linear_run run_of(const sq_linear_mechanism *mechanism, const sq_run *run)
{
    return (linear_run){ *run, mechanism, mechanism->rule(run->config, run->problem), decays(mechanism, run->config, run->problem), NULL };
}

/* ---- one head ---- */

void sq__linear_rows(const sq_head *head, sq_linear_rows rows[2])
{
    rows[SQ_LINEAR_QUERIES] = (sq_linear_rows){ head->q, head->dq, head->q_row, head->dq_row, false };
    rows[SQ_LINEAR_KEYS] = (sq_linear_rows){ head->k, head->dk, head->k_row, head->dk_row, head->accumulate };
}

static sq_linear linear_of(const linear_run *all, const sq_head *head, const pieces *s, sq_linear_map map)
{
    const sq_problem *p = all->run.problem;
    const sq_linear_rule *rule = &all->rule;
    const int64_t index = head->b * p->H + head->h;
    char *saved = all->run.call->saved;
    float *state = s->state;
    sq_linear linear = {
        .T = head->T, .N = head->N, .F = rule->F, .M = p->M, .causal = p->causal, .exponents = rule->exponents, .normalised = rule->normalised,
        .gain = rule->gain, .bucket = rule->bucket, .log_decay = all->decays ? s->log_decay : NULL, .denominator = rule->denominator, .map = map,
        .v = head->v, .v_row = head->v_row, .key_keep = head->key_keep, .out = head->out, .out_row = head->out_row,
    };
    if (saved && !all->states) {
        linear.rows = (float *)saved + index * p->T;
        if (!p->causal) state = (float *)(saved + saved_rows(p)) + (size_t)index * sq__linear_state_floats(rule->F, p->M);
    }
    sq__linear_state_place(&linear.state, state, rule->F, p->M);
    if (all->decays) all->mechanism->decay(s->context, s->log_decay);
    return linear;
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    const linear_run *all = (const linear_run *)run;
    pieces s;
    cut_pieces(&s, head->workspace, &all->rule, all->decays, run->problem, SQ_FORWARD);
    sq_linear linear = linear_of(all, head, &s, all->mechanism->map(run, head, 0, s.context, s.engine));
    sq__linear_forward(&linear, run->kernels, s.engine);
}

void sq__linear_heads_forward(const sq_linear_mechanism *mechanism, const sq_run *run)
{
    const linear_run all = run_of(mechanism, run);
    sq__for_heads(&all.run, sq__linear_heads_workspace(mechanism, run->config, run->problem, SQ_FORWARD), forward_head);
}

/* A masked key may hold anything, so that its features' derivatives may be NaN: its gradients are 0 all the same. */
static void blank_masked(const sq_problem *p, const sq_head *head)
{
    for (int64_t j = 0; head->key_keep && j < head->N; j++) {
        if (head->key_keep[j]) continue;
        sq__zero_rows(head->dk, head->dk_row, j, j + 1, p->D);
        sq__zero_rows(head->dv, head->dv_row, j, j + 1, p->M);
    }
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    const linear_run *all = (const linear_run *)run;
    pieces s;
    cut_pieces(&s, head->workspace, &all->rule, all->decays, run->problem, SQ_BACKWARD);
    const sq_linear linear = linear_of(all, head, &s, all->mechanism->map(run, head, 0, s.context, s.engine));
    const sq_linear_gradients gradients = { head->dout, head->dv, head->dout_row, head->dv_row, head->accumulate, s.dlog_decay };
    sq__linear_backward(&linear, &gradients, run->kernels, s.engine);
    if (all->decays) all->mechanism->decay_backward(s.context, s.dlog_decay);
    if (all->mechanism->finish) all->mechanism->finish(run, head, s.context);
    if (!all->rule.masked_count) blank_masked(run->problem, head);
}

void sq__linear_heads_backward(const sq_linear_mechanism *mechanism, const sq_run *run)
{
    const linear_run all = run_of(mechanism, run);
    sq__for_heads(&all.run, sq__linear_heads_workspace(mechanism, run->config, run->problem, SQ_BACKWARD), backward_head);
}

/* ---- streaming ---- */

typedef struct stream { int64_t *position; sq_linear_state state; } stream;

static size_t stream_bytes(const sq_linear_rule *rule, const sq_problem *p)
{
    return sq__align_up(sizeof(int64_t)) + sq__linear_state_floats(rule->F, p->M) * sizeof(float);
}

static stream stream_of(const sq_linear_rule *rule, const sq_problem *p, char *states, int64_t index)
{
    char *at = states + (size_t)index * stream_bytes(rule, p);
    stream s = { .position = (int64_t *)(void *)at };
    sq__linear_state_place(&s.state, (float *)(void *)(at + sq__align_up(sizeof(int64_t))), rule->F, p->M);
    return s;
}

size_t sq__linear_heads_state_bytes(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *p)
{
    const sq_linear_rule rule = mechanism->rule(config, p);
    return p->causal && rule.streams ? (size_t)(p->B * p->H) * stream_bytes(&rule, p) : 0;
}

void sq__linear_heads_state_reset(const sq_linear_mechanism *mechanism, const void *config, const sq_problem *p, void *state)
{
    const sq_linear_rule rule = mechanism->rule(config, p);
    for (int64_t i = 0; i < p->B * p->H; i++) {
        stream s = stream_of(&rule, p, state, i);
        *s.position = 0;
        sq__linear_reset(&s.state, rule.F, p->M, rule.exponents ? 0 : rule.denominator.per_feature);
    }
}

static void step_head(const sq_run *run, const sq_head *head)
{
    const linear_run *all = (const linear_run *)run;
    const sq_problem *p = run->problem;
    stream at = stream_of(&all->rule, p, all->states, head->b * p->H + head->h);
    pieces s;
    cut_pieces(&s, head->workspace, &all->rule, all->decays, p, SQ_FORWARD);
    sq_linear linear = linear_of(all, head, &s, all->mechanism->map(run, head, *at.position, s.context, s.engine));
    linear.continued = true;
    linear.state = at.state;
    sq__linear_forward(&linear, run->kernels, s.engine);
    *at.position += head->N;           /* an entry shorter than the call goes on where it ended */
}

void sq__linear_heads_step(const sq_linear_mechanism *mechanism, const sq_run *run, void *state)
{
    linear_run all = run_of(mechanism, run);
    all.states = state;
    sq__for_heads(&all.run, sq__linear_heads_workspace(mechanism, run->config, run->problem, SQ_FORWARD), step_head);
}
