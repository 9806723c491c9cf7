/* gru: stacks of gated recurrent layers as in torch.nn.GRU: x [T,B,I] unless batch_first; the loss is sum(out*g) + sum(hn*g_hn). */
#include <string.h>

#include "nn/gru.h"
#include "verify/families.h"
#include "verify/module.h"

typedef struct shape { int64_t B, T, I, H; int layers, directions; bool batch_first, bias; } shape;

static bool read_shape(sq_golden *golden, shape *s)
{
    const sq_st_tensor *x = sq__golden_tensor(golden, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    const sq_st_tensor *w = sq__golden_tensor(golden, "param.weight_hh_l0", SQ_SHAPE(SQ_ANY, SQ_ANY));
    if (!x || !w) return false;
    s->batch_first = sq__golden_flag(golden, "batch_first", false);
    s->B = x->shape[s->batch_first ? 0 : 1];
    s->T = x->shape[s->batch_first ? 1 : 0];
    s->I = x->shape[2];
    s->H = w->shape[1];
    int64_t layers = sq__golden_count(golden, "num_layers", 1);
    if (layers < 1 || layers > 16) sq__golden_fail(golden, "metadata 'num_layers' is %lld; expected 1 to 16", (long long)layers);
    s->layers = (int)layers;
    s->directions = sq__golden_flag(golden, "bidirectional", false) ? 2 : 1;
    if (strcmp(sq__golden_text(golden, "variant", "gru"), "gru") != 0)
        sq__golden_skip(golden, "variant '%.60s' is unknown to this build", sq__golden_text(golden, "variant", ""));
    s->bias = sq__golden_flag(golden, "bias", true);
    if (sq__golden_count(golden, "proj_size", 0) != 0) sq__golden_skip(golden, "this build's recurrent layers have no projection (proj_size)");
    return sq__golden_going(golden);
}

/* Without biases: layers of this library have them, and they are zero. */
static void clear(sq_module *m, const char *parameter)
{
    const sq_parameter *p = sq__parameters_find(&m->set, parameter);
    if (p) memset(p->value, 0, (size_t)p->count * sizeof(float));
}

static void load(sq_module *m, const shape *s)
{
    static const char *const parts[] = { "weight_ih", "weight_hh", "bias_ih", "bias_hh" };
    for (int layer = 0; layer < s->layers; layer++)
        for (int back = 0; back < s->directions; back++)
            for (int i = 0; i < 4; i++) {
                char to[96], from[96];
                snprintf(to, sizeof to, "gru.%d%s.%s", layer, back ? ".reverse" : "", parts[i]);
                snprintf(from, sizeof from, "param.%s_l%d%s", parts[i], layer, back ? "_reverse" : "");
                if (i < 2 || s->bias) sq__module_parameter(m, to, 0, 3 * s->H, from);
                else clear(m, to);
            }
}

/* Part i of h0, hn or g_hn [parts,B,H]. */
static sq_var *part(sq_module *m, const shape *s, const float *all, int i, bool needs_gradient)
{
    return all ? sq__module_values(m, SQ_SHAPE(s->B, s->H), all + i * s->B * s->H, needs_gradient) : NULL;
}

static sq_var *in_order(sq_module *m, const shape *s, sq_var *x)
{
    return s->batch_first || !x ? x : sq__transpose(m->tape, x);   /* [T,B,..] <-> [B,T,..] */
}

static void compare_parts(sq_module *m, const shape *s, const char *name, sq_var *const *parts, bool gradients)
{
    const int count = s->layers * s->directions;
    const int64_t size = s->B * s->H;
    float *all = sq__golden_room(m->golden, count * size);
    for (int i = 0; all && i < count; i++) {
        const float *from = gradients ? parts[i]->gradient : parts[i]->value;
        if (!from) sq__golden_fail(m->golden, "nothing was computed for tensor '%s'", name);
        else memcpy(all + i * size, from, (size_t)size * sizeof(float));
    }
    sq__golden_compare(m->golden, name, all, count * size);
}

static void run(sq_module *m, const shape *s)
{
    enum { MOST = 32 };
    sq_golden *golden = m->golden;
    const int count = s->layers * s->directions;
    sq_gru_stack stack = { .layers = 0 };
    sq_error error;
    const sq_gru_config config = { .layers = s->layers, .input = s->I, .hidden = s->H, .both_directions = s->directions == 2 };
    sq__golden_status(golden, sq__gru_create(&stack, &m->set, "gru", &config, &error), &error);
    load(m, s);
    sq_var *x = sq__module_input(m, "x", 3, (const int64_t[]){ s->batch_first ? s->B : s->T, s->batch_first ? s->T : s->B, s->I });
    const bool initial_given = sq__golden_has(golden, "h0"), packed = sq__golden_has(golden, "lengths"), last_wanted = sq__golden_has(golden, "g_hn");
    const float *h0 = initial_given ? sq__golden_floats(golden, "h0", SQ_SHAPE(count, s->B, s->H)) : NULL;
    const int32_t *lengths = packed ? sq__golden_ints(golden, "lengths", SQ_SHAPE(s->B)) : NULL;
    const float *g_hn = last_wanted ? sq__golden_floats(golden, "g_hn", SQ_SHAPE(count, s->B, s->H)) : NULL;
    for (int64_t b = 0; lengths && b < s->B; b++)
        if (lengths[b] < 1 || lengths[b] > s->T) sq__golden_fail(golden, "lengths holds %d; expected 1 to %lld", lengths[b], (long long)s->T);
    sq_var *initial[MOST], *last[MOST] = { NULL };
    for (int i = 0; i < count; i++) initial[i] = part(m, s, h0, i, true);
    if (sq__module_going(m)) {
        sq_var *out = in_order(m, s, sq__gru_run(&stack, m->tape, in_order(m, s, x), lengths, initial_given ? initial : NULL, last));
        sq_var *g = sq__golden_has(golden, "g") && out ? sq__module_constant(m, "g", out->rank, out->shape) : NULL;
        if (sq__module_going(m)) {
            sq__golden_compare(golden, "out", out->value, out->count);
            compare_parts(m, s, "hn", last, false);
        }
        sq_var *loss = g ? sq__sum(m->tape, sq__multiply(m->tape, out, g)) : NULL;
        for (int i = 0; loss && g_hn && i < count; i++)
            loss = sq__add(m->tape, loss, sq__sum(m->tape, sq__multiply(m->tape, last[i], part(m, s, g_hn, i, false))));
        if (loss) {
            sq__module_backward(m, loss, NULL);
            if (initial_given && sq__golden_going(golden)) compare_parts(m, s, "grad.h0", initial, true);
        }
    }
    sq__gru_clear(&stack);
}

void sq__family_gru(sq_golden *golden)
{
    sq_module module;
    shape s;
    if (!read_shape(golden, &s)) return;
    if (sq__module_open(&module, golden)) run(&module, &s);
    sq__module_close(&module);
}
