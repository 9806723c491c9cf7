/* chunked_feed_forward: norm and feed-forward part, so many rows at a time. */
#include <string.h>

#include "nn/feed_forward.h"
#include "verify/families.h"
#include "verify/module.h"

void sq__family_feed_forward(sq_golden *golden)
{
    const char *activation = sq__golden_text(golden, "activation", NULL);
    const int64_t chunk = sq__golden_count(golden, "chunk_size", -1), E = sq__golden_count(golden, "E", -1), F = sq__golden_count(golden, "F", -1);
    const bool gelu = strcmp(activation, "gelu") == 0;
    sq_module m;
    sq_feed_forward layer;
    sq_norm norm;
    sq_error error;
    if (!gelu && strcmp(activation, "relu") != 0) sq__golden_skip(golden, "activation '%.30s' is unknown to this build's blocks", activation);
    if (E < 1 || F < 1 || chunk < 1) sq__golden_fail(golden, "E, F or chunk_size is below 1");
    if (!sq__golden_going(golden) || !sq__module_open(&m, golden)) return;
    sq__golden_status(golden, sq__norm_create(&norm, &m.set, "norm", E, (float)sq__golden_number(golden, "layer_norm_eps", 1e-12), &error), &error);
    sq__golden_status(golden, sq__feed_forward_create(&layer, &m.set, "part", E, F, gelu ? SQ_GELU : SQ_RELU, &error), &error);
    layer.chunk = chunk;
    if (sq__golden_going(golden)) {
        sq__module_parameter(&m, "norm.weight", 0, E, "ln_w");
        sq__module_parameter(&m, "norm.bias", 0, E, "ln_b");
        sq__module_parameter(&m, "part.in.weight", 0, F, "w1");
        sq__module_parameter(&m, "part.in.bias", 0, F, "b1");
        sq__module_parameter(&m, "part.out.weight", 0, E, "w2");
        sq__module_parameter(&m, "part.out.bias", 0, E, "b2");
    }
    sq_var *x = sq__module_input(&m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, E));
    if (sq__module_going(&m)) sq__module_finish(&m, sq__feed_forward_run(&layer, m.tape, sq__norm_run(&norm, m.tape, x), 0, NULL));
    sq__module_close(&m);
}
