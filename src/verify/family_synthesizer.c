/* synthesizer: on given values (and queries), or with projections of x. How the public forms map onto the mechanism's options is said in
 * attention/synthesizer.c. */
#include <string.h>

#include "verify/core.h"
#include "verify/families.h"
#include "verify/heads.h"

/* ---- given q and v, or v alone ---- */

static sq_core_tensor core_tensor(sq_golden *golden, const char *name, int64_t count, int rank, const int64_t *shape)
{
    char *gradient = sq__golden_memory(golden, 1, 16);
    if (gradient) snprintf(gradient, 16, "d%s", name);
    return (sq_core_tensor){ sq__golden_floats(golden, name, rank, shape), count, sq__golden_has(golden, "g") ? gradient : NULL };
}

static void run_core(sq_golden *golden, bool random)
{
    sq_core core = { .desc = { .mechanism = "synthesizer", .causal = sq__golden_flag(golden, "causal", false) } };
    const sq_st_tensor *first = sq__golden_tensor(golden, random ? "r" : "w2", random ? 3 : 2, (const int64_t[]){ SQ_ANY, SQ_ANY, SQ_ANY });
    const sq_st_tensor *w1 = random ? NULL : sq__golden_tensor(golden, "w1", SQ_SHAPE(SQ_ANY, SQ_ANY));
    if (!first || !(random || w1)) return;
    sq__core_option(&core, "variant", random ? "random" : "dense");
    core.desc.max_length = first->shape[random ? 1 : 0];
    const int64_t L = core.desc.max_length;
    if (random) {
        core.tensors[core.tensor_count++] = core_tensor(golden, "r", first->shape[0] * L * L, SQ_SHAPE(first->shape[0], L, L));
    } else {
        const int64_t hidden = w1->shape[0], D = w1->shape[1];
        sq__core_option(&core, "hidden", sq__golden_digits(golden, hidden));
        sq__core_option(&core, "sharing", "headwise");
        core.tensors[core.tensor_count++] = core_tensor(golden, "w1", hidden * D, SQ_SHAPE(hidden, D));
        core.tensors[core.tensor_count++] = core_tensor(golden, "b1", hidden, SQ_SHAPE(hidden));
        core.tensors[core.tensor_count++] = core_tensor(golden, "w2", L * hidden, SQ_SHAPE(L, hidden));
        core.tensors[core.tensor_count++] = core_tensor(golden, "b2", L, SQ_SHAPE(L));
    }
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}

/* ---- x given ---- */

static sq_var *project(sq_module *m, sq_var *x, const char *part)
{
    char weight[8], bias[8];
    snprintf(weight, sizeof weight, "w%s", part);
    snprintf(bias, sizeof bias, "b%s", part);
    sq_var *w = x ? sq__module_input(m, weight, SQ_SHAPE(SQ_ANY, x->shape[2])) : NULL;
    sq_var *b = w ? sq__module_optional(m, bias, SQ_SHAPE(w->shape[0])) : NULL;
    return sq__module_going(m) && w ? sq__linear(m->tape, x, w, b) : NULL;
}

/* A tensor of the mechanism: as the file has it, with an axis for the heads before it where the file has none. */
static void add_tensor(sq_heads *h, const char *name, int rank)
{
    static const int64_t any[3] = { SQ_ANY, SQ_ANY, SQ_ANY };
    sq_module *m = &h->module;
    const int held = sq__golden_rank(m->golden, name);
    sq_var *var = sq__module_input(m, name, held, any);
    if (!var) return;
    if (held == rank - 1) {
        const int64_t shape[3] = { 1, var->shape[0], held > 1 ? var->shape[1] : 0 };
        var = sq__reshape(m->tape, var, rank, shape);
    }
    h->tensors[h->tensor_count++] = var;
}

static void set_sizes(sq_heads *h, int64_t heads)
{
    sq_attention_desc *d = &h->desc;
    if (!h->v || heads < 1 || h->v->shape[2] % heads) {
        sq__golden_fail(h->module.golden, "values do not go into %lld heads", (long long)heads);
        return;
    }
    d->B = h->v->shape[0], d->T = d->N = h->v->shape[1], d->H = heads, d->M = h->v->shape[2] / heads;
    d->D = h->q ? h->q->shape[2] / heads : d->M;
}

/* r1 r2, or r, of each head; perhaps with products of queries and keys. */
static void random_heads(sq_heads *h, bool factorised)
{
    sq_module *m = &h->module;
    const bool dot = sq__golden_flag(m->golden, "dot_product", false);
    h->v = project(m, h->x, "v");
    if (dot) h->q = project(m, h->x, "q"), h->k = project(m, h->x, "k");
    set_sizes(h, sq__golden_count(m->golden, "H", -1));
    sq__heads_option(h, "variant", factorised ? "factorised-random" : "random");
    sq__heads_option(h, "dot_product", dot ? "true" : "false");
    sq__heads_option(h, "mixture", "sum");
    add_tensor(h, factorised ? "r1" : "r", 3);
    if (factorised) add_tensor(h, "r2", 3);
    if (!sq__module_going(m)) return;
    if (factorised) sq__heads_option(h, "rank", sq__golden_digits(m->golden, h->tensors[0]->shape[2]));
    h->desc.max_length = h->tensors[0]->shape[1];
    sq__heads_finish(h, sq__heads_attend(h));
}

/* One head over x itself, without a projection of the result. */
static void single(sq_heads *h, const char *kind)
{
    sq_module *m = &h->module;
    const bool dense = strcmp(kind, "dense") == 0, mixed = strcmp(kind, "mixture") == 0;
    h->v = project(m, h->x, "v");
    h->q = mixed ? project(m, h->x, "q") : h->x;
    if (mixed) h->k = project(m, h->x, "k");
    set_sizes(h, 1);
    if (!sq__module_going(m)) return;
    h->desc.max_length = h->desc.N;
    sq__heads_option(h, "variant", dense ? "dense" : mixed ? "random" : "factorised-dense");
    if (mixed) {
        h->desc.scale = 1;
        sq__heads_option(h, "dot_product", "true");
        sq__heads_option(h, "mixture", "sum");
        add_tensor(h, "r", 3);
    } else {
        add_tensor(h, dense ? "w1" : "wa", 3), add_tensor(h, dense ? "b1" : "ba", 2);
        add_tensor(h, dense ? "w2" : "wb", 3), add_tensor(h, dense ? "b2" : "bb", 2);
    }
    if (!sq__module_going(m)) return;
    if (dense) sq__heads_option(h, "hidden", sq__golden_digits(m->golden, h->tensors[0]->shape[1]));
    else if (!mixed) sq__heads_option(h, "factor", sq__golden_digits(m->golden, h->tensors[0]->shape[1])), sq__heads_option(h, "tiling", "alike");
    sq_var *y = sq__heads_attend(h);
    if (y) sq__module_finish(m, y);
}

void sq__family_synthesizer(sq_golden *golden)
{
    sq_heads h;
    const char *variant = sq__golden_text(golden, "variant", NULL);
    const bool given = sq__golden_has(golden, "x");
    if (sq__golden_starts(variant, "large_")) variant += sizeof "large_" - 1;
    const bool low = sq__golden_variant(variant, "factorized_random_"), random = sq__golden_variant(variant, "random_");
    const char *kind = sq__golden_variant(variant, "single_dense_") ? "dense" : sq__golden_variant(variant, "factorized_dense_") ? "factors"
                       : sq__golden_variant(variant, "mixture_unscaled_") ? "mixture" : NULL;
    if (!given && (random || sq__golden_variant(variant, "dense_"))) {
        run_core(golden, random);
        return;
    }
    if (!given || !(low || random || kind)) {
        sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
        return;
    }
    if (sq__heads_open(&h, golden, "synthesizer")) {
        h.desc.causal = sq__golden_flag(golden, "causal", false);
        h.x = sq__module_input(&h.module, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
        if (h.x && kind) single(&h, kind);
        else if (h.x) random_heads(&h, low);
    }
    sq__heads_close(&h);
}
