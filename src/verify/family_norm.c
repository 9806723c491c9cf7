/* norm: layer norm, root mean square norm, group norm. */
#include <string.h>

#include "verify/families.h"
#include "verify/module.h"

static sq_var *run(sq_module *m, sq_var *x)
{
    sq_golden *golden = m->golden;
    const char *file = sq__golden_text(golden, "file", NULL);
    const float eps = (float)sq__golden_number(golden, "eps", 1e-5);
    const int64_t last = x->shape[x->rank - 1];
    if (strstr(file, "T5LayerNorm")) return sq__rms_norm(m->tape, x, sq__module_input(m, "param.weight", SQ_SHAPE(last)), eps);
    if (strstr(file, "GroupNorm") && x->rank >= 2) {
        const int64_t groups = sq__golden_count(golden, "groups", -1), channels = x->shape[1];
        if (groups < 1 || groups > channels || channels % groups)
            sq__golden_fail(golden, "%lld channels in %lld groups", (long long)channels, (long long)groups);
        sq_var *weight = sq__module_input(m, "param.weight", SQ_SHAPE(channels)), *bias = sq__module_input(m, "param.bias", SQ_SHAPE(channels));
        return sq__module_going(m) ? sq__group_norm(m->tape, x, weight, bias, (int)groups, eps) : NULL;
    }
    if (strstr(file, "LayerNorm")) {
        sq_var *weight = sq__module_input(m, "param.weight", SQ_SHAPE(last)), *bias = sq__module_input(m, "param.bias", SQ_SHAPE(last));
        return sq__module_going(m) ? sq__layer_norm(m->tape, x, weight, bias, eps) : NULL;
    }
    sq__golden_skip(golden, "normalisation '%.60s' is unknown to this build", file);
    return NULL;
}

void sq__family_norm(sq_golden *golden)
{
    static const int64_t any[SQ_MAX_RANK] = { SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY };
    sq_module module;
    const int rank = sq__golden_rank(golden, "x");
    if (!sq__module_open(&module, golden)) return;
    sq_var *x = sq__module_input(&module, "x", rank, any);
    if (x) sq__module_finish(&module, run(&module, x));
    sq__module_close(&module);
}
