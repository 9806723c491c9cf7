/* low-rank-rnn: cells of microsoft/EdgeML. Matrices multiply from the right (x W); rank r: W1 W2 for FastRNN and FastGRNN, W and a
 * right factor per gate W1, W2, ... for the others; full matrices W, or W1, W2, ... The same for U. x [T,B,I], out [T,B,H]. */
#include <string.h>

#include "autograd/recurrent.h"
#include "verify/families.h"
#include "verify/module.h"

typedef struct variant { const char *name; sq_cell cell; const char *biases[4]; const char *own[4]; } variant;   /* own: the cell's parameters */

static const variant variants[] = {
    { "fastrnn", SQ_CELL_FASTRNN, { "bias_update" }, { "alpha", "beta" } },
    { "fastgrnn", SQ_CELL_FASTGRNN, { NULL }, { "bias_gate", "bias_update", "zeta", "nu" } },
    { "lstm", SQ_CELL_LSTM, { "bias_i", "bias_f", "bias_c", "bias_o" }, { NULL } },
    { "gru", SQ_CELL_GRU_BEFORE, { "bias_r", "bias_gate", "bias_update" }, { NULL } },
    { "ugrnn", SQ_CELL_UGRNN, { "bias_gate", "bias_update" }, { NULL } },
};

static const variant *variant_of(sq_golden *golden)
{
    const char *name = sq__golden_text(golden, "variant", NULL), *gate = sq__golden_text(golden, "gate_nonlinearity", "sigmoid"),
               *update = sq__golden_text(golden, "update_nonlinearity", "tanh");
    if (!name) return NULL;
    if (strcmp(gate, "sigmoid") != 0 || strcmp(update, "tanh") != 0) {
        sq__golden_skip(golden, "gates by '%.40s' and updates by '%.40s'; this build has sigmoid and tanh", gate, update);
        return NULL;
    }
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (strcmp(variants[i].name, name) == 0) return &variants[i];
    sq__golden_skip(golden, "variant '%.60s' is unknown to this build", name);
    return NULL;
}

/* Row vectors one after another: [n]. */
static sq_var *joined(sq_module *m, const char *const *names)
{
    sq_var *parts[4];
    int count = 0;
    int64_t size = 0;
    for (; count < 4 && names[count]; count++) {
        char name[64];
        snprintf(name, sizeof name, "param.%s", names[count]);
        parts[count] = sq__module_input(m, name, SQ_SHAPE(1, SQ_ANY));
        size += parts[count] ? parts[count]->count : 0;
    }
    return count ? sq__reshape(m->tape, sq__concatenate(m->tape, parts, count), 1, &size) : NULL;
}

typedef struct factors { sq_var *weight, *left; } factors;   /* [blocks*H, in] or [blocks*H, rank] and [rank, in] */

static sq_var *turned(sq_module *m, const char *stem, int number)
{
    char name[64];
    if (number) snprintf(name, sizeof name, "param.%s%d", stem, number);
    else snprintf(name, sizeof name, "param.%s", stem);
    sq_var *w = sq__module_input(m, name, SQ_SHAPE(SQ_ANY, SQ_ANY));
    return w ? sq__transpose(m->tape, w) : NULL;
}

/* Stem is W or U. */
static factors factors_of(sq_module *m, const char *stem, int blocks)
{
    char first[64], whole[64];
    snprintf(first, sizeof first, "param.%s1", stem);
    snprintf(whole, sizeof whole, "param.%s", stem);
    factors f = { NULL, NULL };
    if (blocks == 1) {   /* W, or W1 W2 */
        const bool low = sq__golden_has(m->golden, first);
        f.left = low ? turned(m, stem, 1) : NULL;
        f.weight = turned(m, stem, low ? 2 : 0);
        return f;
    }
    sq_var *parts[4];
    f.left = sq__golden_has(m->golden, whole) ? turned(m, stem, 0) : NULL;
    for (int i = 0; i < blocks; i++) {
        sq_var *w = turned(m, stem, i + 1);   /* [H, in]: side by side from the right */
        parts[i] = w ? sq__transpose(m->tape, w) : NULL;
    }
    sq_var *all = sq__concatenate(m->tape, parts, blocks);
    f.weight = all ? sq__transpose(m->tape, all) : NULL;
    return f;
}

/* Every c, from runs that end after each step. */
static void compare_cells(sq_module *m, const sq_recurrent *layer, int64_t T, int64_t B, int64_t H)
{
    float *all = sq__golden_room(m->golden, T * B * H);
    int32_t *lengths = sq__golden_memory(m->golden, T * B, sizeof *lengths);
    for (int64_t t = 0; all && lengths && t < T; t++) {
        sq_recurrent part = *layer;
        sq_var *last;
        for (int64_t b = 0; b < B; b++) lengths[t * B + b] = (int32_t)t + 1;
        part.lengths = lengths + t * B;
        if (!sq__recurrent(m->tape, &part, &last)) return;
        for (int64_t b = 0; b < B; b++) memcpy(all + (t * B + b) * H, last->value + b * 2 * H + H, (size_t)H * sizeof(float));
    }
    if (all && lengths) sq__golden_compare(m->golden, "cell", all, T * B * H);
}

static void run(sq_module *m, const variant *v)
{
    sq_tape *tape = m->tape;
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY)), *h0 = sq__module_optional(m, "h0", SQ_SHAPE(SQ_ANY, SQ_ANY)),
           *c0 = sq__module_optional(m, "c0", SQ_SHAPE(SQ_ANY, SQ_ANY));
    const int blocks = sq__cell_blocks(v->cell);
    const factors w = factors_of(m, "W", blocks), u = factors_of(m, "U", blocks);
    sq_var *bias = joined(m, v->biases), *own = joined(m, v->own);
    if (!sq__module_going(m)) return;
    const int64_t T = x->shape[0], B = x->shape[1], H = u.weight->shape[0] / blocks;
    sq_var *rows = sq__transpose(tape, x);
    if (w.left) rows = sq__linear(tape, rows, w.left, NULL);
    const sq_recurrent layer = { .cell = v->cell, .map = u.left ? SQ_MAP_LOW_RANK : SQ_MAP_DENSE, .projection = sq__linear(tape, rows, w.weight, bias),
                                 .weight = u.weight, .left = u.left, .parameters = own,
                                 .initial = c0 && h0 ? sq__concatenate(tape, (sq_var *[]){ h0, c0 }, 2) : h0 };
    sq_var *out = sq__recurrent(tape, &layer, NULL);
    if (out && sq__cell_has_c(v->cell)) compare_cells(m, &layer, T, B, H);
    out = out ? sq__transpose(tape, out) : NULL;
    if (!sq__module_going(m)) return;
    sq__golden_compare(m->golden, "out", out->value, out->count);
    const float *g = sq__golden_has(m->golden, "g") ? sq__golden_floats(m->golden, "g", out->rank, out->shape) : NULL;
    if (g) sq__module_backward(m, out, g);
}

void sq__family_low_rank(sq_golden *golden)
{
    sq_module module;
    const variant *v = variant_of(golden);
    if (!v) return;
    if (sq__module_open(&module, golden)) run(&module, v);
    sq__module_close(&module);
}
