/* perceiver: Perceiver and Perceiver IO of lucidrains/perceiver-pytorch by nn/perceiver.h and nn/fourier_positions.h. */
#include <string.h>

#include "nn/fourier_positions.h"
#include "nn/perceiver.h"
#include "verify/families.h"
#include "verify/module.h"

typedef struct parts { sq_perceiver perceiver; sq_perceiver_step decoder; sq_fourier_positions positions; } parts;

/* ---- parameters: PREFIX of a step here, attention and feed-forward part in the file ---- */

static const char *joined(char *text, size_t size, const char *a, const char *b)
{
    snprintf(text, size, "%.70s%.40s", a, b);
    return text;
}

static void load_pair(sq_module *m, const char *to, const char *from, int64_t rows)
{
    char name[2][120], full[128];
    for (int bias = 0; bias < 2; bias++) {
        joined(name[0], sizeof name[0], to, bias ? ".bias" : ".weight");
        joined(name[1], sizeof name[1], from, bias ? ".bias" : ".weight");
        snprintf(full, sizeof full, "param.%s", name[1]);
        sq__module_parameter(m, name[0], 0, rows, full);
    }
}

/* attention: "layers.0.0", feed: "layers.0.1"; rows of queries, keys and values: inner. */
static void load_step(sq_module *m, const char *to, const char *attention, const char *feed, bool cross, int64_t width, int64_t hidden, int64_t inner)
{
    char name[6][128];
    snprintf(name[0], sizeof name[0], "param.%s.fn.to_q.weight", attention);
    snprintf(name[1], sizeof name[1], "param.%s.fn.to_kv.weight", attention);
    if (cross) {
        joined(name[2], sizeof name[2], to, ".attention.query.weight");
        joined(name[3], sizeof name[3], to, ".attention.key.weight");
        joined(name[4], sizeof name[4], to, ".attention.value.weight");
        sq__module_parameter(m, name[2], 0, inner, name[0]);
        sq__module_load(m, name[1], (sq_module_part[]){ { name[3], 0, inner }, { name[4], 0, inner } }, 2);
        load_pair(m, joined(name[2], sizeof name[2], to, ".input_norm"), joined(name[3], sizeof name[3], attention, ".norm_context"),
                  sq__parameters_find(&m->set, joined(name[5], sizeof name[5], to, ".input_norm.weight"))->count);
    } else {
        joined(name[2], sizeof name[2], to, ".attention.query_key_value.weight");
        sq__module_parameter(m, name[2], 0, inner, name[0]);
        sq__module_parameter(m, name[2], inner, 2 * inner, name[1]);
    }
    load_pair(m, joined(name[2], sizeof name[2], to, ".norm"), joined(name[3], sizeof name[3], attention, ".norm"), width);
    load_pair(m, joined(name[2], sizeof name[2], to, ".attention.output"), joined(name[3], sizeof name[3], attention, ".fn.to_out"), width);
    if (!feed) return;
    load_pair(m, joined(name[2], sizeof name[2], to, ".feed_forward_norm"), joined(name[3], sizeof name[3], feed, ".norm"), width);
    load_pair(m, joined(name[2], sizeof name[2], to, ".feed_forward.in"), joined(name[3], sizeof name[3], feed, ".fn.net.0"), 2 * hidden);
    load_pair(m, joined(name[2], sizeof name[2], to, ".feed_forward.out"), joined(name[3], sizeof name[3], feed, ".fn.net.2"), width);
}

/* ---- both ---- */

static sq_perceiver_config config_of(sq_golden *golden, int64_t input_width, int64_t length)
{
    return (sq_perceiver_config){
        .input_width = input_width, .latents = sq__golden_count(golden, "num_latents", -1), .width = sq__golden_count(golden, "latent_dim", -1),
        .cross_heads = sq__golden_count(golden, "cross_heads", -1), .cross_head_size = sq__golden_count(golden, "cross_dim_head", -1),
        .heads = sq__golden_count(golden, "latent_heads", -1), .head_size = sq__golden_count(golden, "latent_dim_head", -1), .activation = SQ_GELU,
        .gated = true, .mask = true, .max_length = length, .threads = 1,
        .inverted = sq__golden_flag(golden, "inverted_cross_attn", false), .shared = sq__golden_flag(golden, "weight_tie_layers", false),
    };
}

static void status(sq_module *m, sq_status got, const sq_error *error) { sq__golden_status(m->golden, got, error); }

static const uint8_t *mask_of(sq_module *m, const sq_var *x)
{
    return sq__golden_has(m->golden, "mask") ? sq__golden_mask(m->golden, "mask", SQ_SHAPE(x->shape[0], x->shape[1])) : NULL;
}

static void compare(sq_module *m, const char *name, const sq_var *x)
{
    if (sq__module_going(m) && x) sq__golden_compare(m->golden, name, x->value, x->count);
}

/* ---- Perceiver ---- */

/* Data [B, axes..., channels] with its positions, as rows. */
static sq_var *encode(sq_module *m, sq_fourier_positions *positions)
{
    sq_golden *golden = m->golden;
    const int rank = sq__golden_rank(golden, "x"), axes = rank - 2;
    int64_t any[SQ_MAX_RANK], rows = 1;
    sq_error error;
    if (rank < 3 || rank > SQ_MAX_RANK) {
        sq__golden_fail(golden, "x has %d axes", rank);
        return NULL;
    }
    for (int i = 0; i < rank; i++) any[i] = SQ_ANY;
    sq_var *x = sq__module_input(m, "x", rank, any);
    if (!x) return NULL;
    for (int i = 0; i < axes; i++) rows *= x->shape[1 + i];
    if (sq__golden_flag(golden, "fourier_encode_data", true))
        status(m, sq__fourier_positions_create(positions, axes, x->shape + 1, sq__golden_count(golden, "num_freq_bands", -1),
                                               sq__golden_number(golden, "max_freq", 10), &error), &error);
    x = sq__reshape(m->tape, x, 3, (int64_t[]){ x->shape[0], rows, x->shape[rank - 1] });
    if (sq__module_going(m) && positions->table) x = sq__fourier_positions_append(positions, m->tape, x);
    compare(m, "encoded_input", x);
    return sq__module_going(m) ? x : NULL;
}

static void load_tower(sq_module *m, const sq_perceiver *p)
{
    const sq_perceiver_config *c = &p->config;
    sq__module_parameter(m, "p.latents", 0, c->latents, "param.latents");
    for (int64_t i = 0; sq__module_going(m) && i < p->sets; i++)
        for (int64_t j = -1; j < c->depth; j++) {
            char to[32], attention[32], feed[32];
            if (j < 0) {
                snprintf(to, sizeof to, "p.%d.cross", (int)i);
                snprintf(attention, sizeof attention, "layers.%d.0", (int)i);
                snprintf(feed, sizeof feed, "layers.%d.1", (int)i);
            } else {
                snprintf(to, sizeof to, "p.%d.%d", (int)i, (int)j);
                snprintf(attention, sizeof attention, "layers.%d.2.%d.0", (int)i, (int)j);
                snprintf(feed, sizeof feed, "layers.%d.2.%d.1", (int)i, (int)j);
            }
            load_step(m, to, attention, feed, j < 0, c->width, 4 * c->width, j < 0 ? c->cross_heads * c->cross_head_size : c->heads * c->head_size);
        }
}

static void run_perceiver(sq_module *m, parts *all)
{
    sq_golden *golden = m->golden;
    sq_var *x = encode(m, &all->positions);
    sq_error error;
    if (!x) return;
    sq_perceiver_config c = config_of(golden, x->shape[2], x->shape[1]);
    c.blocks = sq__golden_count(golden, "depth", -1);
    c.depth = sq__golden_count(golden, "self_per_cross_attn", 1);
    if (!sq__golden_going(golden)) return;
    status(m, sq__perceiver_create(&all->perceiver, &m->set, "p", &c, &error), &error);
    if (sq__module_going(m)) load_tower(m, &all->perceiver);
    const uint8_t *mask = mask_of(m, x);
    sq_var *latents = sq__module_going(m) ? sq__perceiver_run(&all->perceiver, m->tape, x, NULL, mask) : NULL;
    compare(m, "latents_out", latents);
    if (!sq__module_going(m) || !latents) return;
    sq_var *mean = sq__pool(m->tape, latents, NULL, SQ_POOL_MEAN);
    sq_var *normed = sq__layer_norm(m->tape, mean, sq__module_input(m, "param.to_logits.1.weight", SQ_SHAPE(c.width)),
                                    sq__module_input(m, "param.to_logits.1.bias", SQ_SHAPE(c.width)), 1e-5f);
    const int64_t classes = sq__golden_count(golden, "num_classes", -1);
    sq__module_finish(m, sq__linear(m->tape, normed, sq__module_input(m, "param.to_logits.2.weight", SQ_SHAPE(classes, c.width)),
                                    sq__module_input(m, "param.to_logits.2.bias", SQ_SHAPE(classes))));
}

/* ---- Perceiver IO ---- */

static sq_var *repeated_queries(sq_module *m, int64_t B)
{
    sq_var *queries = sq__module_input(m, "queries", SQ_SHAPE(SQ_ANY, SQ_ANY));
    const int64_t rows = queries ? queries->shape[0] : 0;
    int32_t *ids = queries ? sq__tape_memory(m->tape, (size_t)(B * rows) * sizeof *ids) : NULL;
    for (int64_t i = 0; ids && i < B * rows; i++) ids[i] = (int32_t)(i % rows);
    return ids ? sq__embedding(m->tape, queries, ids, 2, (int64_t[]){ B, rows }) : NULL;
}

static void run_io(sq_module *m, parts *all)
{
    sq_golden *golden = m->golden;
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY)), *queries = x ? repeated_queries(m, x->shape[0]) : NULL;
    sq_error error;
    if (!queries || !sq__module_going(m)) return;
    sq_perceiver_config c = config_of(golden, x->shape[2], x->shape[1]);
    const bool feeds = sq__golden_flag(golden, "decoder_ff", false);
    const int64_t width = queries->shape[2], logits = sq__golden_count(golden, "logits_dim", -1);
    c.blocks = 1;
    c.depth = sq__golden_count(golden, "depth", -1);
    if (!sq__golden_going(golden)) return;
    status(m, sq__perceiver_create(&all->perceiver, &m->set, "p", &c, &error), &error);
    if (sq__module_going(m))
        status(m, sq__perceiver_decoder_create(&all->decoder, &m->set, "decoder", &c, width, queries->shape[1], false, feeds, &error), &error);
    if (!sq__module_going(m)) return;
    sq__module_parameter(m, "p.latents", 0, c.latents, "param.latents");
    load_step(m, "p.0.cross", "cross_attend_blocks.0", "cross_attend_blocks.1", true, c.width, 4 * c.width, c.cross_heads * c.cross_head_size);
    for (int64_t j = 0; j < c.depth; j++) {
        char to[32], attention[32], feed[32];
        snprintf(to, sizeof to, "p.0.%d", (int)j);
        snprintf(attention, sizeof attention, "layers.%d.0", (int)j);
        snprintf(feed, sizeof feed, "layers.%d.1", (int)j);
        load_step(m, to, attention, feed, false, c.width, 4 * c.width, c.heads * c.head_size);
    }
    load_step(m, "decoder", "decoder_cross_attn", feeds ? "decoder_ff" : NULL, true, width, 4 * width, c.cross_heads * c.cross_head_size);
    const uint8_t *mask = mask_of(m, x);
    sq_var *latents = sq__module_going(m) ? sq__perceiver_run(&all->perceiver, m->tape, x, NULL, mask) : NULL;
    compare(m, "latents_out", latents);
    if (!sq__module_going(m) || !latents) return;
    sq_var *rows = sq__perceiver_step_run(&all->decoder, m->tape, queries, latents, NULL, NULL);
    sq__module_finish(m, sq__linear(m->tape, rows, sq__module_input(m, "param.to_logits.weight", SQ_SHAPE(logits, width)),
                                    sq__module_input(m, "param.to_logits.bias", SQ_SHAPE(logits))));
}

void sq__family_perceiver(sq_golden *golden)
{
    sq_module module;
    parts all = { .perceiver = { .step = NULL } };
    const char *variant = sq__golden_text(golden, "variant", NULL);
    if (sq__golden_going(golden) && sq__module_open(&module, golden)) {
        if (strcmp(variant, "Perceiver") == 0) run_perceiver(&module, &all);
        else if (strcmp(variant, "Perceiver IO") == 0) run_io(&module, &all);
        else sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
        sq__module_close(&module);
    }
    sq__perceiver_clear(&all.perceiver);
    sq__perceiver_step_clear(&all.decoder);
    sq__fourier_positions_clear(&all.positions);
}
