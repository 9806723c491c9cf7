/* transformer-block: encoder and encoder-decoder stacks and multi-head attention as in torch.nn, by the layers that models are made of. */
#include <string.h>

#include "nn/transformer.h"
#include "verify/block_mha.h"
#include "verify/families.h"
#include "verify/module.h"

enum { LAYERS = 12 };

typedef struct stack {
    sq_transformer_layer layers[LAYERS];
    int count;
    sq_norm norm;
    bool final_norm;
} stack;

typedef struct block {
    sq_module module;
    sq_transformer_config config;      /* of encoder layers */
    stack encoder, decoder;
} block;

/* ---- loading: torch's names into ours ---- */

static void load_pair(sq_module *m, const char *to, const char *from, int64_t rows)
{
    static const char *const parts[] = { "weight", "bias" };
    for (int i = 0; i < 2; i++) {
        char ours[96], theirs[96];
        snprintf(ours, sizeof ours, "%s.%s", to, parts[i]);
        snprintf(theirs, sizeof theirs, "%s.%s", from, parts[i]);
        sq__module_parameter(m, ours, 0, rows, theirs);
    }
}

/* in_proj stacks query, key and value; self attention has them packed the same way, cross attention one by one. */
static void load_attention(sq_module *m, const char *to, const char *from, int64_t width, bool cross)
{
    static const char *const kinds[] = { "weight", "bias" };
    char ours[3][96], theirs[96];
    for (int i = 0; i < 2; i++) {
        snprintf(theirs, sizeof theirs, "%s.in_proj_%s", from, kinds[i]);
        if (cross) {
            snprintf(ours[0], sizeof ours[0], "%s.query.%s", to, kinds[i]);
            snprintf(ours[1], sizeof ours[1], "%s.key.%s", to, kinds[i]);
            snprintf(ours[2], sizeof ours[2], "%s.value.%s", to, kinds[i]);
            sq__module_load(m, theirs, (sq_module_part[]){ { ours[0], 0, width }, { ours[1], 0, width }, { ours[2], 0, width } }, 3);
        } else {
            snprintf(ours[0], sizeof ours[0], "%s.query_key_value.%s", to, kinds[i]);
            sq__module_parameter(m, ours[0], 0, 3 * width, theirs);
        }
    }
    snprintf(ours[0], sizeof ours[0], "%s.output", to);
    snprintf(theirs, sizeof theirs, "%s.out_proj", from);
    load_pair(m, ours[0], theirs, width);
}

static void load_layer(sq_module *m, const char *to, const char *from, const sq_transformer_config *c)
{
    const bool decoder = c->cross.mechanism != NULL;
    const int64_t width = c->attention.width;
    const struct { const char *ours, *theirs; int64_t rows; } pairs[] = {
        { "feed_forward.in", "linear1", c->feed_forward }, { "feed_forward.out", "linear2", width }, { "attention_norm", "norm1", width },
        { "cross_attention_norm", "norm2", width }, { "feed_forward_norm", decoder ? "norm3" : "norm2", width },
    };
    char ours[80], theirs[80];
    snprintf(ours, sizeof ours, "%s.attention", to);
    snprintf(theirs, sizeof theirs, "%s.self_attn", from);
    load_attention(m, ours, theirs, width, false);
    if (decoder) {
        snprintf(ours, sizeof ours, "%s.cross_attention", to);
        snprintf(theirs, sizeof theirs, "%s.multihead_attn", from);
        load_attention(m, ours, theirs, width, true);
    }
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (!decoder && strcmp(pairs[i].ours, "cross_attention_norm") == 0) continue;
        snprintf(ours, sizeof ours, "%s.%s", to, pairs[i].ours);
        snprintf(theirs, sizeof theirs, "%s.%s", from, pairs[i].theirs);
        load_pair(m, ours, theirs, pairs[i].rows);
    }
}

/* ---- making ---- */

/* from: "param." or "param.encoder." or "param.decoder."; a single layer may stand without "layers.0.". */
static void make_stack(sq_module *m, stack *s, const char *to, const char *from, const sq_transformer_config *config, bool final_norm)
{
    sq_golden *golden = m->golden;
    sq_error error;
    char ours[64], theirs[64];
    for (int i = 0; i < s->count && sq__golden_going(golden); i++) {
        char probe[80];
        snprintf(probe, sizeof probe, "%sself_attn.in_proj_weight", from);
        snprintf(ours, sizeof ours, "%s.%d", to, i);
        if (sq__golden_has(golden, probe)) snprintf(theirs, sizeof theirs, "%.*s", (int)strlen(from) - 1, from);
        else snprintf(theirs, sizeof theirs, "%slayers.%d", from, i);
        sq_status status = sq__transformer_layer_create(&s->layers[i], &m->set, ours, config, i ? &s->layers[0] : NULL, false, &error);
        sq__golden_status(golden, status, &error);
        load_layer(m, ours, theirs, config);
    }
    s->final_norm = final_norm;
    if (!final_norm || !sq__golden_going(golden)) return;
    snprintf(ours, sizeof ours, "%s.norm", to);
    snprintf(theirs, sizeof theirs, "%snorm", from);
    sq__golden_status(golden, sq__norm_create(&s->norm, &m->set, ours, config->attention.width, config->eps, &error), &error);
    load_pair(m, ours, theirs, config->attention.width);
}

static sq_var *run_stack(const stack *s, sq_tape *tape, sq_transformer_inputs inputs)
{
    for (int i = 0; i < s->count; i++) inputs.x = sq__transformer_layer_run(&s->layers[i], tape, &inputs);
    return s->final_norm ? sq__norm_run(&s->norm, tape, inputs.x) : inputs.x;
}

static bool read_config(block *b, const char *variant, int64_t longest)
{
    sq_golden *golden = b->module.golden;
    const char *activation = sq__golden_text(golden, "activation", "relu");
    sq_transformer_config *c = &b->config;
    const bool gelu = strcmp(activation, "gelu") == 0;
    if (!gelu && strcmp(activation, "relu") != 0) sq__golden_skip(golden, "activation '%.30s' is unknown to this build's blocks", activation);
    *c = (sq_transformer_config){ .feed_forward = sq__golden_count(golden, "dim_ff", -1), .activation = gelu ? SQ_GELU : SQ_RELU,
                                  .pre_norm = strstr(variant, "pre-LN") != NULL, .eps = (float)sq__golden_number(golden, "layer_norm_eps", 1e-5) };
    c->attention = (sq_attention_block_config){ .mechanism = "softmax", .width = sq__golden_count(golden, "d_model", -1),
                                                .heads = sq__golden_count(golden, "heads", -1), .max_length = longest, .mask = true,
                                                .bias = true, .threads = 1 };
    if (c->feed_forward < 1) sq__golden_fail(golden, "metadata 'dim_ff' is %lld", (long long)c->feed_forward);
    return sq__golden_going(golden);
}

static int read_layers(sq_golden *golden, const char *key)
{
    const int64_t layers = sq__golden_count(golden, key, 1);
    if (layers < 1 || layers > LAYERS) sq__golden_fail(golden, "metadata '%s' is %lld; expected 1 to %d", key, (long long)layers, LAYERS);
    return (int)layers;
}

/* torch's masks say 1 where nothing is attended. */
static const uint8_t *kept(sq_golden *golden, const char *name, int64_t B, int64_t N)
{
    const uint8_t *hidden = sq__golden_has(golden, name) ? sq__golden_mask(golden, name, SQ_SHAPE(B, N)) : NULL;
    uint8_t *keep = hidden ? sq__golden_memory(golden, B * N, 1) : NULL;
    for (int64_t i = 0; keep && i < B * N; i++) keep[i] = !hidden[i];
    return keep;
}

/* ---- the two kinds ---- */

static void run_encoder(block *b, const char *variant)
{
    sq_module *m = &b->module;
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    if (!x || !read_config(b, variant, x->shape[1])) return;
    b->config.attention.causal = sq__golden_flag(m->golden, "causal", false);
    b->encoder.count = read_layers(m->golden, "layers");
    if (x->shape[2] != b->config.attention.width)
        sq__golden_fail(m->golden, "x is %lld wide; d_model says %lld", (long long)x->shape[2], (long long)b->config.attention.width);
    if (sq__golden_going(m->golden)) make_stack(m, &b->encoder, "encoder", "param.", &b->config, sq__golden_flag(m->golden, "final_norm", false));
    const sq_transformer_inputs inputs = { .x = x, .key_keep = kept(m->golden, "key_padding_mask", x->shape[0], x->shape[1]) };
    if (sq__module_going(m)) sq__module_finish(m, run_stack(&b->encoder, m->tape, inputs));
}

static void run_both(block *b, const char *variant)
{
    sq_module *m = &b->module;
    sq_golden *golden = m->golden;
    sq_var *source = sq__module_input(m, "src", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    sq_var *target = source ? sq__module_input(m, "tgt", SQ_SHAPE(source->shape[0], SQ_ANY, source->shape[2])) : NULL;
    if (!target) return;
    const int64_t B = source->shape[0], S = source->shape[1], T = target->shape[1];
    if (!read_config(b, variant, S > T ? S : T)) return;
    sq_transformer_config decoder = b->config;
    decoder.attention.causal = sq__golden_flag(golden, "causal_decoder", true);
    decoder.cross = b->config.attention;
    decoder.cross.cross = true;
    b->encoder.count = read_layers(golden, "enc_layers");
    b->decoder.count = read_layers(golden, "dec_layers");
    if (source->shape[2] != b->config.attention.width)
        sq__golden_fail(golden, "src is %lld wide; d_model says %lld", (long long)source->shape[2], (long long)b->config.attention.width);
    if (!sq__golden_going(golden)) return;
    make_stack(m, &b->encoder, "encoder", "param.encoder.", &b->config, true);
    make_stack(m, &b->decoder, "decoder", "param.decoder.", &decoder, true);
    const uint8_t *source_keep = kept(golden, "src_key_padding_mask", B, S);
    if (!sq__module_going(m)) return;
    sq_var *memory = run_stack(&b->encoder, m->tape, (sq_transformer_inputs){ .x = source, .key_keep = source_keep });
    const uint8_t *memory_keep = sq__golden_has(golden, "memory_key_padding_mask") ? kept(golden, "memory_key_padding_mask", B, S) : source_keep;
    const sq_transformer_inputs inputs = { .x = target, .memory = memory, .key_keep = kept(golden, "tgt_key_padding_mask", B, T),
                                           .memory_keep = memory_keep };
    sq_var *out = run_stack(&b->decoder, m->tape, inputs);
    if (sq__module_going(m)) sq__golden_compare(golden, "memory", memory->value, memory->count);
    sq__module_finish(m, out);
}

void sq__family_block(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    block *b = sq__golden_memory(golden, 1, sizeof *b);
    if (b && sq__module_open(&b->module, golden)) {
        if (strcmp(variant, "multi-head attention") == 0) sq__block_mha(&b->module);
        else if (sq__golden_starts(variant, "encoder-decoder ")) run_both(b, variant);
        else if (strcmp(variant, "post-LN") == 0 || strcmp(variant, "pre-LN") == 0) run_encoder(b, variant);
        else sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    }
    if (!b) return;
    sq__module_close(&b->module);
    for (int i = LAYERS; i-- > 0;) {   /* the first layer owns the plans */
        sq__transformer_layer_clear(&b->decoder.layers[i]);
        sq__transformer_layer_clear(&b->encoder.layers[i]);
    }
}
