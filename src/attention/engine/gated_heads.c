#include "attention/engine/gated_heads.h"

#include <math.h>
#include <string.h>

#include "base/random.h"

static sq_gated sized(const sq_gated_mechanism *mechanism, const void *config, const sq_problem *p)
{
    return (sq_gated){
        .rule = mechanism->rule(config, p), .threads = p->threads, .B = p->B, .H = p->H, .T = p->T, .N = p->N,
        .q.heads = p->H, .k.heads = p->Hk, .v.heads = p->Hk, .gate.heads = p->H, .strength.heads = p->H,
    };
}

void sq__gated_heads_sizes(const sq_gated_mechanism *mechanism, const void *config, const sq_problem *p, sq_sizes *sizes)
{
    const sq_gated g = sized(mechanism, config, p);
    sizes->forward_workspace = sq__gated_workspace_bytes(&g, SQ_FORWARD);
    sizes->backward_workspace = sq__gated_workspace_bytes(&g, SQ_BACKWARD);
    sizes->saved = sq__gated_saved_bytes(&g);
    sizes->constants = mechanism->fixed ? (size_t)p->H * sizeof(float) : 0;
}

sq_status sq__gated_heads_prepare(const sq_gated_mechanism *mechanism, const sq_problem *p, void *constants)
{
    mechanism->fixed(p, constants);
    return SQ_OK;
}

double sq__gated_heads_flops(const sq_gated_mechanism *mechanism, const void *config, const sq_problem *p, sq_pass pass)
{
    const sq_gated g = sized(mechanism, config, p);
    return sq__gated_flops(&g, pass);
}

static sq_gated gated_of(const sq_gated_mechanism *mechanism, const sq_run *run)
{
    const sq_attention_call *call = run->call;
    sq_gated g = sized(mechanism, run->config, run->problem);
    g.kernels = run->kernels;
    g.q.view = call->q, g.k.view = call->k, g.v.view = call->v, g.out = call->out;
    if (mechanism->gate >= 0) g.gate.view = call->inputs[mechanism->gate];
    if (mechanism->strength >= 0) g.strength.view = call->inputs[mechanism->strength];
    if (mechanism->rate >= 0) g.rate = call->tensors[mechanism->rate];
    if (mechanism->bias >= 0) g.bias = call->tensors[mechanism->bias];
    if (mechanism->skip >= 0) g.skip = call->tensors[mechanism->skip];
    g.fixed = run->constants;
    g.lengths = call->lengths, g.query_lengths = call->query_lengths, g.key_keep = call->key_keep;
    g.saved = call->saved, g.workspace = call->workspace;
    return g;
}

void sq__gated_heads_forward(const sq_gated_mechanism *mechanism, const sq_run *run)
{
    const sq_gated g = gated_of(mechanism, run);
    sq__gated_forward(&g);
}

void sq__gated_heads_backward(const sq_gated_mechanism *mechanism, const sq_run *run)
{
    const sq_attention_gradients *to = run->gradients;
    const sq_gated g = gated_of(mechanism, run);
    sq_gated_gradients d = { .dout = to->dout, .dq = { to->dq, g.q.heads }, .dk = { to->dk, g.k.heads }, .dv = { to->dv, g.v.heads },
                             .dgate.heads = g.H, .dstrength.heads = g.H };
    if (mechanism->gate >= 0) d.dgate.view = to->dinputs[mechanism->gate];
    if (mechanism->strength >= 0) d.dstrength.view = to->dinputs[mechanism->strength];
    if (mechanism->rate >= 0) d.drate = to->dtensors[mechanism->rate];
    if (mechanism->bias >= 0) d.dbias = to->dtensors[mechanism->bias];
    if (mechanism->skip >= 0) d.dskip = to->dtensors[mechanism->skip];
    sq__gated_backward(&g, &d);
}

size_t sq__gated_heads_state_bytes(const sq_problem *p)
{
    return (size_t)(p->B * p->H * p->D * p->M) * sizeof(float);
}

void sq__gated_heads_state_reset(const sq_problem *p, void *state)
{
    memset(state, 0, sq__gated_heads_state_bytes(p));
}

void sq__gated_heads_step(const sq_gated_mechanism *mechanism, const sq_run *run, void *state)
{
    sq_gated g = gated_of(mechanism, run);
    g.saved = NULL;
    g.before = g.after = state;
    sq__gated_forward(&g);
}

void sq__gated_draw_rate(int64_t heads, uint64_t seed, uint64_t draw, float *rate)
{
    const sq_random uniform = sq__random_stream(seed, "gated.rate", draw);
    sq__random_uniform_fill(&uniform, rate, heads, 1, 16);
    for (int64_t h = 0; h < heads; h++) rate[h] = logf(rate[h]);
}

void sq__gated_draw_bias(int64_t heads, uint64_t seed, uint64_t draw, float *bias)
{
    const sq_random uniform = sq__random_stream(seed, "gated.bias", draw);
    sq__random_uniform_fill(&uniform, bias, heads, logf(1e-3f), logf(1e-1f));
    for (int64_t h = 0; h < heads; h++) bias[h] = logf(expm1f(expf(bias[h])));   /* softplus of it is what was drawn */
}
