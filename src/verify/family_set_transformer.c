/* set-transformer: the blocks of the authors' code by nn/set_transformer.h. */
#include <math.h>
#include <string.h>

#include "nn/set_transformer.h"
#include "verify/families.h"
#include "verify/module.h"

/* The parameters of one MAB: `layer` of the library, `file` of the vectors. */
static void load_mab(sq_module *m, const char *layer, const char *file, int64_t width, bool norm)
{
    static const char *const names[][2] = { { "query", "fc_q" }, { "key", "fc_k" }, { "value", "fc_v" }, { "output", "fc_o" },
                                            { "attention_norm", "ln0" }, { "output_norm", "ln1" } };
    for (int i = 0; i < (norm ? 6 : 4); i++)
        for (int bias = 0; bias < 2; bias++) {
            char to[96], from[96];
            snprintf(to, sizeof to, "%s.%s.%s", layer, names[i][0], bias ? "bias" : "weight");
            snprintf(from, sizeof from, "param.%s%s.%s", file, names[i][1], bias ? "bias" : "weight");
            sq__module_parameter(m, to, 0, width, from);
        }
}

static sq_mab_config config_of(sq_module *m)
{
    sq_golden *golden = m->golden;
    const char *scale = sq__golden_text(golden, "scale", "1/sqrt(dim_out)");
    const int64_t width = sq__golden_count(golden, "dim_out", -1), heads = sq__golden_count(golden, "heads", -1);
    if (!sq__golden_starts(scale, "1/sqrt(dim_out)")) sq__golden_skip(golden, "scale '%.60s' is unknown to this build", scale);
    return (sq_mab_config){ .width = width, .heads = heads, .activation = SQ_RELU, .norm = sq__golden_flag(golden, "layer_norm", false),
                            .scale = width > 0 ? (float)(1 / sqrt((double)width)) : 0, .threads = 1 };
}

static void status(sq_module *m, sq_status got, const sq_error *error)
{
    sq__golden_status(m->golden, got, error);
}

static sq_var *run_mab(sq_module *m, const char *layer, const char *file, sq_mab *mab, sq_var *x, sq_var *y)
{
    sq_mab_config c = config_of(m);
    sq_error error;
    if (!x || !y || !sq__module_going(m)) return NULL;
    c.query_width = x->shape[2], c.key_width = y->shape[2], c.max_queries = x->shape[1], c.max_keys = y->shape[1];
    status(m, sq__mab_create(mab, &m->set, layer, &c, &error), &error);
    if (sq__module_going(m)) load_mab(m, layer, file, c.width, c.norm);
    return sq__module_going(m) ? sq__mab_run(mab, m->tape, x, y, NULL, NULL) : NULL;
}

/* Rows of learned points or seeds that a file has; 0 after a failure. */
static int64_t learned_rows(sq_module *m, const char *name, int64_t width)
{
    const sq_st_tensor *tensor = sq__golden_tensor(m->golden, name, SQ_SHAPE(1, SQ_ANY, width));
    return tensor ? tensor->shape[1] : 0;
}

static sq_var *run_isab(sq_module *m, const char *layer, const char *file, sq_isab *isab, sq_var *x)
{
    sq_mab_config c = config_of(m);
    char name[2][96], blocks[2][96];
    sq_error error;
    if (!x || !sq__module_going(m)) return NULL;
    snprintf(name[0], sizeof name[0], "%s.points", layer);
    snprintf(name[1], sizeof name[1], "param.%sI", file);
    c.query_width = x->shape[2], c.max_queries = x->shape[1];
    const int64_t points = learned_rows(m, name[1], c.width);
    if (points) status(m, sq__isab_create(isab, &m->set, layer, points, &c, &error), &error);
    if (!sq__module_going(m)) return NULL;
    sq__module_parameter(m, name[0], 0, 1, name[1]);
    for (int i = 0; i < 2; i++) {
        snprintf(blocks[0], sizeof blocks[0], "%s.%s", layer, i ? "second" : "first");
        snprintf(blocks[1], sizeof blocks[1], "%smab%d.", file, i);
        load_mab(m, blocks[0], blocks[1], c.width, c.norm);
    }
    return sq__module_going(m) ? sq__isab_run(isab, m->tape, x, NULL) : NULL;
}

static sq_var *run_pma(sq_module *m, const char *layer, const char *file, sq_pma *pma, sq_var *x)
{
    sq_mab_config c = config_of(m);
    char name[2][96], block[2][96];
    sq_error error;
    if (!x || !sq__module_going(m)) return NULL;
    snprintf(name[0], sizeof name[0], "%s.seeds", layer);
    snprintf(name[1], sizeof name[1], "param.%sS", file);
    snprintf(block[0], sizeof block[0], "%s.block", layer);
    snprintf(block[1], sizeof block[1], "%smab.", file);
    c.key_width = x->shape[2], c.max_keys = x->shape[1];
    const int64_t seeds = learned_rows(m, name[1], c.width);
    if (seeds) status(m, sq__pma_create(pma, &m->set, layer, seeds, &c, &error), &error);
    if (!sq__module_going(m)) return NULL;
    sq__module_parameter(m, name[0], 0, 1, name[1]);
    load_mab(m, block[0], block[1], c.width, c.norm);
    return sq__module_going(m) ? sq__pma_run(pma, m->tape, x, NULL) : NULL;
}

typedef struct layers { sq_mab mab; sq_isab isab[2]; sq_pma pma; sq_linear head; } layers;

/* ISAB, ISAB, PMA, SAB, linear */
static sq_var *run_full(sq_module *m, layers *l, sq_var *x)
{
    for (int i = 0; i < 2; i++) {
        char layer[16], file[16];
        snprintf(layer, sizeof layer, "layer%d", i);
        snprintf(file, sizeof file, "%d.", i);
        x = run_isab(m, layer, file, &l->isab[i], x);
    }
    x = run_pma(m, "pool", "2.", &l->pma, x);
    x = run_mab(m, "mix", "3.mab.", &l->mab, x, x);
    sq_var *weight = x ? sq__module_input(m, "param.4.weight", SQ_SHAPE(SQ_ANY, x->shape[2])) : NULL;
    sq_var *bias = weight ? sq__module_input(m, "param.4.bias", SQ_SHAPE(weight->shape[0])) : NULL;
    return bias ? sq__linear(m->tape, x, weight, bias) : NULL;
}

static void run(sq_module *m, const char *variant, layers *l)
{
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY)), *out = NULL;
    if (!x) return;
    if (strcmp(variant, "mab") == 0) out = run_mab(m, "layer", "", &l->mab, x, sq__module_input(m, "y", SQ_SHAPE(x->shape[0], SQ_ANY, SQ_ANY)));
    else if (strcmp(variant, "sab") == 0) out = run_mab(m, "layer", "mab.", &l->mab, x, x);
    else if (strcmp(variant, "isab") == 0) out = run_isab(m, "layer", "", &l->isab[0], x);
    else if (strcmp(variant, "pma") == 0) out = run_pma(m, "layer", "", &l->pma, x);
    else if (strcmp(variant, "full") == 0) out = run_full(m, l, x);
    else sq__golden_skip(m->golden, "variant '%.80s' is unknown to this build", variant);
    if (out) sq__module_finish(m, out);
}

void sq__family_set_transformer(sq_golden *golden)
{
    sq_module module;
    layers l = { .mab = { .plans = NULL } };
    const char *variant = sq__golden_text(golden, "variant", NULL);
    if (sq__golden_going(golden) && sq__module_open(&module, golden)) {
        run(&module, variant, &l);
        sq__module_close(&module);
    }
    sq__mab_clear(&l.mab);
    for (int i = 0; i < 2; i++) sq__isab_clear(&l.isab[i]);
    sq__pma_clear(&l.pma);
}
