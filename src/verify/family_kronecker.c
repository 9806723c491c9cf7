/* kronecker-recurrent, three kinds of files: a Kronecker product of factors times rows; recurrent layers of learnables/learn2learn
 * whose maps are L X R + b on an n x m matrix X; complex recurrent units (arXiv:1705.10142) with their penalty. */
#include <string.h>

#include "autograd/recurrent.h"
#include "verify/families.h"
#include "verify/module.h"

static sq_var *flat(sq_module *m, sq_var *x, int64_t rows)   /* [rows, the rest] */
{
    return x ? sq__reshape(m->tape, x, 2, (int64_t[]){ rows, x->count / rows }) : NULL;
}

/* Factors "STEM0SUFFIX", "STEM1SUFFIX", ...; complex ones are a pair with suffixes ".re" and ".im". [1, floats] */
static sq_var *read_factors(sq_module *m, const char *stem, bool is_complex, sq_kronecker *k)
{
    sq_var *parts[2 * SQ_KRONECKER_FACTORS];
    int count = 0;
    *k = (sq_kronecker){ .complex = is_complex };
    for (;; k->count++) {
        char name[2][64];
        snprintf(name[0], sizeof name[0], "%s%d%s", stem, k->count, is_complex ? ".re" : "");
        snprintf(name[1], sizeof name[1], "%s%d.im", stem, k->count);
        if (!sq__golden_has(m->golden, name[0])) break;
        if (k->count == SQ_KRONECKER_FACTORS) {
            sq__golden_skip(m->golden, "more than %d factors", SQ_KRONECKER_FACTORS);
            return NULL;
        }
        for (int i = 0; i < (is_complex ? 2 : 1); i++) {
            sq_var *w = sq__module_input(m, name[i], SQ_SHAPE(SQ_ANY, SQ_ANY));
            if (!w) return NULL;
            k->rows[k->count] = w->shape[0];
            k->columns[k->count] = w->shape[1];
            parts[count++] = flat(m, w, 1);
        }
    }
    if (count) return sq__concatenate(m->tape, parts, count);
    sq__golden_fail(m->golden, "the file has no tensor '%s0'", stem);
    return NULL;
}

static void run_product(sq_module *m)
{
    sq_kronecker k;
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY)), *factors = read_factors(m, "factor.", false, &k);
    if (sq__module_going(m)) sq__module_finish(m, sq__kronecker(m->tape, x, factors, &k));
}

/* ---- complex units ---- */

static sq_var *pair(sq_module *m, const char *stem, int rank, const int64_t *shape, sq_var *parts[2])
{
    char name[64];
    for (int i = 0; i < 2; i++) {
        snprintf(name, sizeof name, "%s.%s", stem, i ? "im" : "re");
        parts[i] = sq__module_input(m, name, rank, shape);
    }
    return parts[0] && parts[1] && rank == 1 ? sq__concatenate(m->tape, parts, 2) : NULL;
}

/* sum(out*g) of one part; out [T,B,2N] */
static sq_var *part_loss(sq_module *m, sq_var *out, const char *name, const char *g, int64_t from)
{
    const int64_t N = out->shape[2] / 2;
    sq_var *part = sq__slice(m->tape, out, from, N);
    if (!part) return NULL;
    sq__golden_compare(m->golden, name, part->value, part->count);
    return sq__sum(m->tape, sq__multiply(m->tape, part, sq__module_constant(m, g, part->rank, part->shape)));
}

static void run_complex(sq_module *m)
{
    sq_golden *golden = m->golden;
    sq_tape *tape = m->tape;
    sq_kronecker k;
    sq_var *u[2], *projected[2], *parts[2];
    const char *activation = sq__golden_text(golden, "activation", "tanh-split");
    const bool modrelu = strcmp(activation, "modrelu") == 0;
    if (!modrelu && strcmp(activation, "tanh-split") != 0) sq__golden_skip(golden, "activation '%.60s' is unknown to this build", activation);
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY)), *factors = read_factors(m, "param.factor.", true, &k);
    pair(m, "param.U", SQ_SHAPE(SQ_ANY, SQ_ANY), u);
    sq_var *h0 = pair(m, "param.h0", SQ_SHAPE(SQ_ANY), parts), *b = sq__module_input(m, "param.b", SQ_SHAPE(SQ_ANY));
    if (!sq__module_going(m)) return;
    sq_var *rows = sq__transpose(tape, x);
    for (int i = 0; i < 2; i++) projected[i] = sq__linear(tape, rows, u[i], NULL);
    const int64_t B = x->shape[1], state[2] = { B, h0->count };
    const float *zeros = sq__golden_room(golden, B * h0->count);
    sq_var *initial = sq__add(tape, sq__module_values(m, 2, state, zeros, false), h0);
    sq_var *out = sq__recurrent(tape, &(sq_recurrent){ .cell = modrelu ? SQ_CELL_COMPLEX_MODRELU : SQ_CELL_COMPLEX_TANH, .map = SQ_MAP_KRONECKER,
                                                       .projection = sq__concatenate(tape, projected, 2), .weight = factors, .kronecker = &k,
                                                       .parameters = b, .initial = initial }, NULL);
    out = out ? sq__transpose(tape, out) : NULL;
    sq_var *penalty = sq__unitary_penalty(tape, factors, &k);
    if (!sq__module_going(m)) return;
    sq_var *loss = sq__add(tape, part_loss(m, out, "out.re", "g.re", 0), part_loss(m, out, "out.im", "g.im", out->shape[2] / 2));
    loss = sq__add(tape, loss, sq__scale(tape, penalty, (float)sq__golden_number(golden, "penalty_weight", 0)));
    if (!sq__module_going(m)) return;
    sq__golden_compare(golden, "penalty", penalty->value, 1);
    sq__golden_compare(golden, "loss", loss->value, 1);
    sq__module_backward(m, loss, NULL);
}

/* ---- L X R + b. A flat vector is the columns of X after each other, R' x L; a matrix is read by rows, L x R'. ---- */

typedef struct map { sq_var *factors, *bias; int64_t n, m; } map;   /* [1, floats], [1, n m] */

static map read_map(sq_module *module, const char *name, bool by_columns)
{
    char left[64], right[64], bias[64];
    snprintf(left, sizeof left, "param.%s.left", name);
    snprintf(right, sizeof right, "param.%s.right", name);
    snprintf(bias, sizeof bias, "param.%s.bias", name);
    sq_var *l = sq__module_input(module, left, SQ_SHAPE(SQ_ANY, SQ_ANY)), *r = sq__module_input(module, right, SQ_SHAPE(SQ_ANY, SQ_ANY));
    if (!l || !r) return (map){ NULL, NULL, 1, 1 };
    const int64_t n = l->shape[0], m = r->shape[0];
    sq_var *b = sq__module_optional(module, bias, SQ_SHAPE(n, m)), *turned = sq__transpose(module->tape, r);
    if (b && by_columns) b = sq__transpose(module->tape, b);
    sq_var *parts[2] = { flat(module, by_columns ? turned : l, 1), flat(module, by_columns ? l : turned, 1) };
    return (map){ sq__concatenate(module->tape, parts, 2), b ? flat(module, b, 1) : NULL, n, m };
}

static sq_kronecker sizes_of(const map *a, bool by_columns)
{
    const int64_t first = by_columns ? a->m : a->n, second = by_columns ? a->n : a->m;
    return (sq_kronecker){ .count = 2, .rows = { first, second }, .columns = { first, second } };
}

/* Maps of gates as blocks: factors [count, floats], bias [count n m] or NULL. */
static map stacked(sq_module *module, const char *const *names, int count, bool by_columns)
{
    map all = { NULL, NULL, 1, 1 };
    sq_var *factors[4], *biases[4];
    for (int i = 0; i < count; i++) {
        all = read_map(module, names[i], by_columns);
        factors[i] = all.factors;
        biases[i] = all.bias;
        if (!biases[0] != !biases[i]) sq__golden_fail(module->golden, "some maps have a bias and some have none");
    }
    if (!sq__module_going(module)) return (map){ NULL, NULL, 1, 1 };
    all.factors = flat(module, sq__concatenate(module->tape, factors, count), count);
    sq_var *bias = all.bias ? sq__concatenate(module->tape, biases, count) : NULL;
    all.bias = bias ? sq__reshape(module->tape, bias, 1, &bias->count) : NULL;
    return all;
}

static sq_var *apply(sq_module *m, const map *a, sq_var *x, bool by_columns)
{
    const sq_kronecker k = sizes_of(a, by_columns);
    sq_var *y = sq__kronecker(m->tape, x, a->factors, &k);
    return a->bias ? sq__add(m->tape, y, a->bias) : y;
}

static void run_layer(sq_module *m, bool lstm)
{
    static const char *const inputs[2][4] = { { "W_h" }, { "W_ii", "W_if", "W_ig", "W_io" } };
    static const char *const states[2][4] = { { "U_h" }, { "W_hi", "W_hf", "W_hg", "W_ho" } };
    static const char *const outputs[] = { "W_y" };
    sq_golden *golden = m->golden;
    sq_tape *tape = m->tape;
    const int count = lstm ? 4 : 1;
    const map w = stacked(m, inputs[lstm], count, !lstm), u = stacked(m, states[lstm], count, !lstm);
    const int64_t size = w.n * w.m;
    const int64_t T = sq__golden_count(golden, "seq_len", -1), matrices[3] = { T, w.n, w.m }, vectors[2] = { T, size };
    sq_var *x = lstm ? sq__module_input(m, "x", 3, matrices) : sq__module_input(m, "x", 2, vectors);
    sq_var *h0 = lstm ? sq__module_optional(m, "h0", 2, matrices + 1) : sq__module_optional(m, "h0", 1, vectors + 1);
    sq_var *c0 = lstm ? sq__module_optional(m, "c0", 2, matrices + 1) : NULL, *last;
    if (!sq__module_going(m) || !x) return;
    const sq_kronecker k = sizes_of(&u, !lstm);
    sq_var *projection = apply(m, &w, sq__reshape(tape, x, 3, (int64_t[]){ 1, T, size }), !lstm);
    h0 = flat(m, h0, 1);
    c0 = flat(m, c0, 1);
    sq_var *h = sq__recurrent(tape, &(sq_recurrent){ .cell = lstm ? SQ_CELL_LSTM : SQ_CELL_RNN_TANH, .map = SQ_MAP_KRONECKER, .projection = projection,
                                                     .weight = u.factors, .kronecker = &k, .bias = u.bias,
                                                     .initial = c0 && h0 ? sq__concatenate(tape, (sq_var *[]){ h0, c0 }, 2) : h0 }, &last);
    const map y = lstm ? (map){ .factors = NULL } : stacked(m, outputs, 1, true);
    sq_var *out = lstm || !h ? h : apply(m, &y, h, true);
    if (!sq__module_going(m)) return;
    sq__golden_compare(golden, "out", out->value, out->count);
    sq__golden_compare(golden, "hidden", h->value, h->count);
    if (lstm) sq__golden_compare(golden, "c_last", last->value + size, size);
    out = sq__reshape(tape, out, x->rank, x->shape);
    const float *g = sq__golden_has(golden, "g") ? sq__golden_floats(golden, "g", x->rank, x->shape) : NULL;
    if (g) sq__module_backward(m, out, g);
}

void sq__family_kronecker(sq_golden *golden)
{
    sq_module module;
    if (!sq__module_open(&module, golden)) {
        sq__module_close(&module);
        return;
    }
    if (sq__golden_has(golden, "factor.0")) run_product(&module);
    else if (sq__golden_has(golden, "param.factor.0.re")) run_complex(&module);
    else if (sq__golden_has(golden, "param.W_ii.left") || sq__golden_has(golden, "param.W_h.left")) run_layer(&module, sq__golden_has(golden, "param.W_ii.left"));
    else sq__golden_skip(golden, "variant '%.60s' is unknown to this build", sq__golden_text(golden, "variant", ""));
    sq__module_close(&module);
}
