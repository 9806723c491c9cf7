/* activation: out.NAME and grad.NAME for each function, of one x and one g. */
#include <string.h>

#include "verify/families.h"
#include "verify/module.h"

static const struct { const char *name; sq_activation activation; } pointwise[] = {
    { "gelu_erf", SQ_GELU }, { "gelu_tanh", SQ_GELU_TANH }, { "gelu_new_hf", SQ_GELU_TANH }, { "quick_gelu_hf", SQ_QUICK_GELU },
    { "silu", SQ_SILU }, { "relu", SQ_RELU }, { "elu_plus_one", SQ_ELU_PLUS_ONE }, { "elu", SQ_ELU }, { "sigmoid", SQ_SIGMOID },
    { "tanh", SQ_TANH }, { "softplus", SQ_SOFTPLUS }, { "mish", SQ_MISH }, { "softsign", SQ_SOFTSIGN }, { "hardswish", SQ_HARDSWISH },
    { "leaky_relu", SQ_LEAKY_RELU },
};
static const struct { const char *name; sq_var *(*run)(sq_tape *tape, sq_var *x); bool halves; } by_axis[] = {
    { "softmax", sq__softmax, false }, { "log_softmax", sq__log_softmax, false }, { "glu", sq__glu, true },
};

/* halves: set when the cotangent is the first half of g along the last axis. NULL: unknown. */
static sq_var *apply(sq_tape *tape, const char *name, sq_var *x, bool *halves)
{
    *halves = false;
    for (size_t i = 0; i < sizeof pointwise / sizeof *pointwise; i++)
        if (strcmp(pointwise[i].name, name) == 0) return sq__activate(tape, x, pointwise[i].activation);
    for (size_t i = 0; i < sizeof by_axis / sizeof *by_axis; i++)
        if (strcmp(by_axis[i].name, name) == 0) {
            *halves = by_axis[i].halves;
            return by_axis[i].run(tape, x);
        }
    return NULL;
}

static bool known(const char *name)
{
    for (size_t i = 0; i < sizeof pointwise / sizeof *pointwise; i++)
        if (strcmp(pointwise[i].name, name) == 0) return true;
    for (size_t i = 0; i < sizeof by_axis / sizeof *by_axis; i++)
        if (strcmp(by_axis[i].name, name) == 0) return true;
    return false;
}

static const float *first_halves(sq_golden *golden, const float *g, const sq_var *x)
{
    const int64_t n = x->shape[x->rank - 1], rows = x->count / n;
    float *half = sq__golden_room(golden, rows * (n / 2));
    for (int64_t i = 0; half && i < rows; i++) memcpy(half + i * (n / 2), g + i * n, (size_t)(n / 2) * sizeof(float));
    return half;
}

static void check_one(sq_golden *golden, const char *name, int rank, const int64_t *shape, const float *g)
{
    sq_module module;
    char tensor[96];
    bool halves = false;
    if (!known(name)) sq__golden_skip(golden, "activation '%.60s' is unknown to this build", name);
    if (!sq__golden_going(golden) || !sq__module_open(&module, golden)) return;
    sq_var *x = sq__module_values(&module, rank, shape, sq__golden_floats(golden, "x", rank, shape), true);
    sq_var *out = x ? apply(module.tape, name, x, &halves) : NULL;
    if (sq__module_going(&module)) {
        snprintf(tensor, sizeof tensor, "out.%s", name);
        sq__golden_compare(golden, tensor, out->value, out->count);
        sq__module_backward(&module, out, halves ? first_halves(golden, g, x) : g);
        snprintf(tensor, sizeof tensor, "grad.%s", name);
        if (sq__golden_going(golden)) sq__golden_compare(golden, tensor, x->gradient, x->count);
    }
    sq__module_close(&module);
}

void sq__family_activation(sq_golden *golden)
{
    static const int64_t any[SQ_MAX_RANK] = { SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY };
    const int rank = sq__golden_rank(golden, "x");
    const sq_st_tensor *x = sq__golden_tensor(golden, "x", rank, any);
    const float *g = x ? sq__golden_floats(golden, "g", rank, x->shape) : NULL;
    const char *name;
    for (int i = 0; g && (name = sq__golden_name(golden, i)); i++)
        if (sq__golden_starts(name, "out.")) check_one(golden, name + 4, rank, x->shape, g);
}
