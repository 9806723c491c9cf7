#include "nn/gated_feed_forward.h"

sq_status sq__gated_feed_forward_create(sq_feed_forward *layer, sq_parameters *set, const char *prefix, int64_t width, int64_t hidden,
                                        sq_activation activation, sq_error *error)
{
    char name[96];
    layer->activation = activation;
    snprintf(name, sizeof name, "%s.in", prefix);
    SQ_TRY(sq__linear_create(&layer->in, set, name, width, 2 * hidden, true, error));
    snprintf(name, sizeof name, "%s.out", prefix);
    return sq__linear_create(&layer->out, set, name, hidden, width, true, error);
}

sq_var *sq__gated_feed_forward_run(const sq_feed_forward *layer, sq_tape *tape, sq_var *x, float dropout, sq_var *residual)
{
    sq_scope scope = sq__scope_begin(tape);
    sq_var *both = sq__linear_run(&layer->in, tape, x);
    if (!both) return NULL;
    const int64_t hidden = both->shape[both->rank - 1] / 2;
    sq_var *gate = sq__activate(tape, sq__slice(tape, both, hidden, hidden), layer->activation);
    sq_var *inner = sq__multiply(tape, sq__slice(tape, both, 0, hidden), gate);
    sq_var *out = sq__linear_run_residual(&layer->out, tape, inner, dropout, residual);
    sq__scope_end(tape, scope, out, NULL);
    return out;
}
