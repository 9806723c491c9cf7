/* Where Nystroemformer keeps what: a thread's scratch, then every head's state (in forward, unless it is saved) or change (in backward). */
#include "attention/engine/pseudo_inverse.h"
#include "attention/nystromformer.h"

static size_t cut_scratch(sq_nystrom_scratch *s, void *memory, const sq_nystrom_config *config, const sq_problem *p, sq_pass pass)
{
    const int64_t m = config->landmarks, T = p->T > m ? p->T : m, N = p->N > m ? p->N : m;
    const bool masked = config->convention != SQ_NYSTROM_PAPER, backward = pass == SQ_BACKWARD;
    sq_cut cut = { memory, 0 };
    s->q = sq__cut_floats(&cut, masked ? p->T * p->D : 0);
    s->out = sq__cut_floats(&cut, backward && config->convolution ? p->T * p->M : 0);
    s->dout = sq__cut_floats(&cut, backward && config->convention == SQ_NYSTROM_LUCIDRAINS ? p->T * p->M : 0);
    s->Y = sq__cut_floats(&cut, m * p->M);
    s->dY = sq__cut_floats(&cut, backward ? m * p->M : 0);
    s->dW = sq__cut_floats(&cut, backward ? m * p->M : 0);
    s->dZ = sq__cut_floats(&cut, backward ? m * m : 0);
    s->keep = sq__cut(&cut, (size_t)m);
    const size_t inverse = sq__pseudo_inverse_workspace(m, config->iterations, pass);
    size_t dense = sq__dense_workspace(T, N, p->D, p->M, pass), again = backward ? sq__dense_workspace(T, N, p->D, p->M, SQ_FORWARD) : 0;
    if (again > dense) dense = again;
    s->engine = sq__cut(&cut, dense > inverse ? dense : inverse);
    return cut.used;
}

size_t sq__nystrom_thread_bytes(const sq_nystrom_config *config, const sq_problem *p, sq_pass pass)
{
    sq_nystrom_scratch s;
    return cut_scratch(&s, NULL, config, p, pass);
}

sq_nystrom_scratch sq__nystrom_scratch(const sq_nystrom_config *config, const sq_problem *p, sq_pass pass, void *memory)
{
    sq_nystrom_scratch s;
    cut_scratch(&s, memory, config, p, pass);
    return s;
}

static size_t cut_state(sq_nystrom_state *s, void *memory, const sq_nystrom_config *config, const sq_problem *p, bool saved)
{
    const int64_t m = config->landmarks;
    sq_cut cut = { memory, 0 };
    s->ql = sq__cut_floats(&cut, m * p->D);
    s->kl = sq__cut_floats(&cut, m * p->D);
    s->A2 = sq__cut_floats(&cut, m * m);
    s->Z = sq__cut_floats(&cut, m * m);
    s->W = sq__cut_floats(&cut, m * p->M);
    s->lse3 = sq__cut_floats(&cut, m);
    s->q_shares = sq__cut_floats(&cut, m);
    s->k_shares = sq__cut_floats(&cut, m);
    s->largest = sq__cut_floats(&cut, 1);
    s->lse1 = saved ? sq__cut_floats(&cut, p->T) : NULL;
    return cut.used;
}

size_t sq__nystrom_state_bytes(const sq_nystrom_config *config, const sq_problem *p, bool saved)
{
    sq_nystrom_state s;
    return cut_state(&s, NULL, config, p, saved);
}

static char *shared(const sq_run *run, sq_pass pass)
{
    return (char *)run->call->workspace + sq__nystrom_thread_bytes(run->config, run->problem, pass) * (size_t)run->problem->threads;
}

sq_nystrom_state sq__nystrom_state(const sq_run *run, int64_t b, int64_t h)
{
    const bool saved = run->call->saved != NULL;
    char *base = saved ? run->call->saved : shared(run, SQ_FORWARD);
    sq_nystrom_state s;
    cut_state(&s, base + sq__nystrom_state_bytes(run->config, run->problem, saved) * (size_t)(b * run->problem->H + h), run->config, run->problem, saved);
    return s;
}

static size_t cut_change(sq_nystrom_change *s, void *memory, const sq_nystrom_config *config, const sq_problem *p)
{
    const int64_t m = config->landmarks;
    sq_cut cut = { memory, 0 };
    s->dql = sq__cut_floats(&cut, m * p->D);
    s->dkl = sq__cut_floats(&cut, m * p->D);
    s->dA2 = sq__cut_floats(&cut, m * m);
    s->dc = sq__cut(&cut, sizeof(double));
    s->dw = sq__cut(&cut, (size_t)config->convolution * sizeof(double));
    return cut.used;
}

size_t sq__nystrom_change_bytes(const sq_nystrom_config *config, const sq_problem *p)
{
    sq_nystrom_change s;
    return cut_change(&s, NULL, config, p);
}

sq_nystrom_change sq__nystrom_change(const sq_run *run, int64_t b, int64_t h)
{
    sq_nystrom_change s;
    const size_t before = sq__nystrom_change_bytes(run->config, run->problem) * (size_t)(b * run->problem->H + h);
    cut_change(&s, shared(run, SQ_BACKWARD) + before, run->config, run->problem);
    return s;
}
