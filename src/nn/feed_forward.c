#include "nn/feed_forward.h"

sq_status sq__feed_forward_create(sq_feed_forward *layer, sq_parameters *set, const char *prefix, int64_t width, int64_t hidden,
                                  sq_activation activation, sq_error *error)
{
    char name[96];
    layer->activation = activation;
    layer->chunk = 0;
    snprintf(name, sizeof name, "%s.in", prefix);
    SQ_TRY(sq__linear_create(&layer->in, set, name, width, hidden, true, error));
    snprintf(name, sizeof name, "%s.out", prefix);
    return sq__linear_create(&layer->out, set, name, hidden, width, true, error);
}

sq_var *sq__feed_forward_run(const sq_feed_forward *layer, sq_tape *tape, sq_var *x, float dropout, sq_var *residual)
{
    const sq_parameters *set = layer->in.set;
    sq_feed_forward_inputs inputs = { x, sq__parameters_var(set, layer->in.weight, tape), sq__parameters_var(set, layer->in.bias, tape),
                                      sq__parameters_var(set, layer->out.weight, tape), sq__parameters_var(set, layer->out.bias, tape), residual, layer->chunk };
    return sq__feed_forward(tape, &inputs, layer->activation, dropout);
}
