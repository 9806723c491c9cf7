/* rnn, gru, lstm: stacks of recurrent layers as in torch.nn: x [T,B,I] unless batch_first; the loss is sum(out*g) + sum(hn*g_hn)
 * + sum(cn*g_cn). */
#include <string.h>

#include "nn/recurrent_stack.h"
#include "verify/families.h"
#include "verify/module.h"

enum { MOST = 32 };                    /* layers times directions */

typedef struct shape { int64_t B, T, I, H, P; int layers, directions, count; bool batch_first, bias; sq_cell cell; } shape;

static void read_cell(sq_golden *golden, shape *s)
{
    const char *variant = sq__golden_text(golden, "variant", "gru"), *nonlinearity = sq__golden_text(golden, "nonlinearity", "tanh");
    if (strcmp(variant, "gru") == 0) s->cell = SQ_CELL_GRU;
    else if (strcmp(variant, "lstm") == 0) s->cell = SQ_CELL_LSTM;
    else if (strcmp(variant, "rnn") == 0 && strcmp(nonlinearity, "tanh") == 0) s->cell = SQ_CELL_RNN_TANH;
    else if (strcmp(variant, "rnn") == 0 && strcmp(nonlinearity, "relu") == 0) s->cell = SQ_CELL_RNN_RELU;
    else sq__golden_skip(golden, "variant '%.60s' with '%.60s' is unknown to this build", variant, nonlinearity);
}

static bool read_shape(sq_golden *golden, shape *s)
{
    const sq_st_tensor *x = sq__golden_tensor(golden, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    const sq_st_tensor *w = sq__golden_tensor(golden, "param.weight_hh_l0", SQ_SHAPE(SQ_ANY, SQ_ANY));
    if (!x || !w) return false;
    *s = (shape){ .batch_first = sq__golden_flag(golden, "batch_first", false), .bias = sq__golden_flag(golden, "bias", true) };
    read_cell(golden, s);
    s->B = x->shape[s->batch_first ? 0 : 1];
    s->T = x->shape[s->batch_first ? 1 : 0];
    s->I = x->shape[2];
    s->H = w->shape[0] / sq__cell_blocks(s->cell);
    s->P = w->shape[1];
    const int64_t layers = sq__golden_count(golden, "num_layers", 1), projection = sq__golden_count(golden, "proj_size", 0);
    if (layers < 1 || layers > 16) sq__golden_fail(golden, "metadata 'num_layers' is %lld; expected 1 to 16", (long long)layers);
    if (projection ? projection != s->P || s->cell != SQ_CELL_LSTM : s->P != s->H)
        sq__golden_fail(golden, "metadata 'proj_size' is %lld, and param.weight_hh_l0 has %lld columns for %lld units", (long long)projection, (long long)s->P,
                        (long long)s->H);
    s->layers = (int)layers;
    s->directions = sq__golden_flag(golden, "bidirectional", false) ? 2 : 1;
    s->count = s->layers * s->directions;
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
    for (int i = 0; i < s->count; i++)
        for (int k = 0; k < 5; k++) {
            const char *part = k < 4 ? parts[k] : "weight_hr";
            char to[96], from[96];
            snprintf(to, sizeof to, "layers.%d%s.%s", i / s->directions, i % s->directions ? ".reverse" : "", part);
            snprintf(from, sizeof from, "param.%s_l%d%s", part, i / s->directions, i % s->directions ? "_reverse" : "");
            if (k == 4 && s->P == s->H) continue;
            if (k < 2 || k == 4 || s->bias) sq__module_parameter(m, to, 0, k == 4 ? s->P : sq__cell_blocks(s->cell) * s->H, from);
            else clear(m, to);
        }
}

static sq_var *in_order(sq_module *m, const shape *s, sq_var *x)
{
    return s->batch_first || !x ? x : sq__transpose(m->tape, x);   /* [T,B,..] <-> [B,T,..] */
}

/* ---- states: a name's tensor holds every layer's part, [count,B,width] ---- */

static void parts_of(sq_module *m, const shape *s, const char *name, int64_t width, bool needs_gradient, sq_var **parts)
{
    const float *all = sq__golden_has(m->golden, name) ? sq__golden_floats(m->golden, name, SQ_SHAPE(s->count, s->B, width)) : NULL;
    for (int i = 0; i < s->count; i++)
        parts[i] = all ? sq__module_values(m, SQ_SHAPE(s->B, width), all + i * s->B * width, needs_gradient) : NULL;
}

static void compare_parts(sq_module *m, const shape *s, const char *name, sq_var *const *parts, bool gradients)
{
    if (!sq__module_going(m) || !parts[0]) return;
    const int64_t size = parts[0]->count;
    float *all = sq__golden_room(m->golden, s->count * size);
    for (int i = 0; all && i < s->count; i++) {
        const float *from = gradients ? parts[i]->gradient : parts[i]->value;
        if (!from) sq__golden_fail(m->golden, "nothing was computed for tensor '%s'", name);
        else memcpy(all + i * size, from, (size_t)size * sizeof(float));
    }
    sq__golden_compare(m->golden, name, all, s->count * size);
}

static sq_var *weighed(sq_module *m, sq_var *loss, sq_var *x, sq_var *g)
{
    if (!g) return loss;
    sq_var *part = sq__sum(m->tape, sq__multiply(m->tape, x, g));
    return loss ? sq__add(m->tape, loss, part) : part;
}

static void run_stack(sq_module *m, const shape *s, const sq_recurrent_stack *stack)
{
    sq_golden *golden = m->golden;
    sq_tape *tape = m->tape;
    const bool has_c = sq__cell_has_c(s->cell);
    sq_var *h0[MOST], *c0[MOST] = { NULL }, *g_hn[MOST], *g_cn[MOST] = { NULL }, *initial[MOST], *last[MOST] = { NULL }, *hn[MOST], *cn[MOST] = { NULL };
    sq_var *x = sq__module_input(m, "x", 3, (const int64_t[]){ s->batch_first ? s->B : s->T, s->batch_first ? s->T : s->B, s->I });
    const int32_t *lengths = sq__golden_has(golden, "lengths") ? sq__golden_ints(golden, "lengths", SQ_SHAPE(s->B)) : NULL;
    for (int64_t b = 0; lengths && b < s->B; b++)
        if (lengths[b] < 1 || lengths[b] > s->T) sq__golden_fail(golden, "lengths holds %d; expected 1 to %lld", lengths[b], (long long)s->T);
    parts_of(m, s, "h0", s->P, true, h0);
    parts_of(m, s, "g_hn", s->P, false, g_hn);
    if (has_c) parts_of(m, s, "c0", s->H, true, c0);
    if (has_c) parts_of(m, s, "g_cn", s->H, false, g_cn);
    if (!sq__module_going(m)) return;
    if (has_c && !h0[0] != !c0[0]) sq__golden_fail(golden, "one of h0 and c0 alone");
    for (int i = 0; i < s->count; i++) initial[i] = has_c && h0[i] ? sq__concatenate(tape, (sq_var *[]){ h0[i], c0[i] }, 2) : h0[i];
    sq_var *out = in_order(m, s, sq__recurrent_stack_run(stack, tape, in_order(m, s, x), lengths, h0[0] ? initial : NULL, last));
    for (int i = 0; i < s->count; i++) {
        hn[i] = has_c ? sq__slice(tape, last[i], 0, s->P) : last[i];
        if (has_c) cn[i] = sq__slice(tape, last[i], s->P, s->H);
    }
    if (!sq__module_going(m)) return;
    sq__golden_compare(golden, "out", out->value, out->count);
    compare_parts(m, s, "hn", hn, false);
    compare_parts(m, s, "cn", cn, false);
    sq_var *loss = weighed(m, NULL, out, sq__golden_has(golden, "g") ? sq__module_constant(m, "g", out->rank, out->shape) : NULL);
    for (int i = 0; loss && i < s->count; i++) loss = weighed(m, weighed(m, loss, hn[i], g_hn[i]), cn[i], g_cn[i]);
    if (!loss) return;
    sq__module_backward(m, loss, NULL);
    compare_parts(m, s, "grad.h0", h0, true);
    compare_parts(m, s, "grad.c0", c0, true);
}

void sq__family_recurrent(sq_golden *golden)
{
    sq_module module;
    shape s;
    sq_error error;
    sq_recurrent_stack stack = { .set = NULL };
    if (!read_shape(golden, &s)) return;
    if (sq__module_open(&module, golden)) {
        const sq_recurrent_config config = { .cell = s.cell, .layers = s.layers, .input = s.I, .hidden = s.H, .output = s.P == s.H ? 0 : s.P,
                                             .both_directions = s.directions == 2 };
        sq__golden_status(golden, sq__recurrent_stack_create(&stack, &module.set, "layers", &config, &error), &error);
        load(&module, &s);
        run_stack(&module, &s, &stack);
    }
    sq__recurrent_stack_clear(&stack);
    sq__module_close(&module);
}
