/* luna: encoder layers and causal attention of fairseq-apollo by nn/luna.h. Files are in the order (time, batch, feature). */
#include <string.h>

#include "nn/luna.h"
#include "verify/families.h"
#include "verify/module.h"

typedef struct name { const char *layer, *file; } name;

static void load(sq_module *m, const char *prefix, const name *names, int count)
{
    for (int i = 0; i < count; i++)
        for (int bias = 0; bias < 2; bias++) {
            char to[96], from[96];
            snprintf(to, sizeof to, "l.%s.%s", names[i].layer, bias ? "bias" : "weight");
            snprintf(from, sizeof from, "param.%s%s.%s", prefix, names[i].file, bias ? "bias" : "weight");
            const sq_parameter *parameter = sq__parameters_find(&m->set, to);
            if (parameter) sq__module_parameter(m, to, 0, parameter->shape[0], from);
        }
}

/* What a layer lacks (tied or not, causal or not) is passed over. */
static void load_attention(sq_module *m, const char *prefix)
{
    static const name names[] = { { "attention.pack_query", "pq_proj" }, { "attention.pack", "pc_proj" }, { "attention.pack_key", "pk_proj" },
                                  { "attention.pack_value", "pv_proj" }, { "attention.query", "q_proj" }, { "attention.context", "c_proj" },
                                  { "attention.key", "k_proj" }, { "attention.value", "v_proj" }, { "attention.output", "out_proj" } };
    load(m, prefix, names, sizeof names / sizeof *names);
}

static void load_layer(sq_module *m)
{
    static const name names[] = { { "attention_norm", "self_attn_layer_norm" }, { "packed_norm", "self_atten_proj_layer_norm" }, { "feed_forward.in", "fc1" },
                                  { "feed_forward.out", "fc2" }, { "feed_forward_norm", "final_layer_norm" } };
    load(m, "", names, sizeof names / sizeof *names);
    load_attention(m, "self_attn.");
}

static sq_luna_config config_of(sq_golden *golden, const sq_var *x, const sq_var *p)
{
    return (sq_luna_config){
        .width = x->shape[2], .heads = sq__golden_count(golden, "heads", -1), .pack_heads = sq__golden_count(golden, "projected_heads", 0),
        .latents = p->shape[0], .feed_forward = sq__golden_count(golden, "dim_ff", 1), .max_length = x->shape[0], .threads = 1,
        .activation = strcmp(sq__golden_text(golden, "activation", "relu"), "gelu") == 0 ? SQ_GELU : SQ_RELU,
        .tied = sq__golden_flag(golden, "tied_kv", true), .pre_norm = sq__golden_flag(golden, "normalize_before", false),
    };
}

/* Padding (1) at the end alone becomes lengths. */
static const int32_t *lengths_of(sq_module *m, int64_t B, int64_t T)
{
    const uint8_t *padding = sq__golden_mask(m->golden, "padding_mask", SQ_SHAPE(B, T));
    int32_t *lengths = padding ? sq__golden_memory(m->golden, B, sizeof *lengths) : NULL;
    for (int64_t b = 0; lengths && b < B; b++) {
        while (lengths[b] < T && !padding[b * T + lengths[b]]) lengths[b]++;
        for (int64_t t = lengths[b]; t < T; t++)
            if (!padding[b * T + t]) sq__golden_skip(m->golden, "padding before valid rows is unknown to this build");
    }
    return lengths;
}

static sq_var *weighted(sq_module *m, sq_var *x, const char *seed)
{
    return x ? sq__sum(m->tape, sq__multiply(m->tape, x, sq__module_constant(m, seed, x->rank, x->shape))) : NULL;
}

static void finish_layer(sq_module *m, sq_var *x, sq_var *p)
{
    x = sq__transpose(m->tape, x);
    p = sq__transpose(m->tape, p);
    if (!sq__module_going(m) || !x || !p) return;
    sq__golden_compare(m->golden, "out", x->value, x->count);
    sq__golden_compare(m->golden, "out1", p->value, p->count);
    sq_var *loss = weighted(m, x, "g"), *more = weighted(m, p, "g1");
    if (sq__module_going(m)) sq__module_backward(m, sq__add(m->tape, loss, more), NULL);
}

static void run(sq_module *m, bool causal, sq_luna_layer *layer)
{
    sq_golden *golden = m->golden;
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    sq_var *p = x ? sq__module_input(m, "p", SQ_SHAPE(SQ_ANY, x->shape[1], x->shape[2])) : NULL;
    sq_error error;
    if (!p || !sq__module_going(m)) return;
    sq_luna_config c = config_of(golden, x, p);
    c.causal = causal;
    const int32_t *lengths = sq__golden_has(golden, "padding_mask") ? lengths_of(m, x->shape[1], x->shape[0]) : NULL;
    if (!sq__golden_going(golden)) return;
    if (causal) sq__golden_status(golden, sq__luna_attention_create(&layer->attention, &m->set, NULL, "l.attention", &c, &error), &error);
    else sq__golden_status(golden, sq__luna_layer_create(layer, &m->set, NULL, "l", &c, &error), &error);
    if (!sq__module_going(m)) return;
    if (causal) load_attention(m, "");
    else load_layer(m);
    if (!sq__module_going(m)) return;
    x = sq__transpose(m->tape, x);
    p = sq__transpose(m->tape, p);
    if (causal) {
        sq__module_finish(m, sq__transpose(m->tape, sq__luna_attention_run(&layer->attention, m->tape, x, &p, NULL, NULL, 0, NULL)));
    } else {
        x = sq__luna_layer_run(layer, m->tape, x, &p, lengths, NULL);
        finish_layer(m, x, p);
    }
}

void sq__family_luna(sq_golden *golden)
{
    sq_module module;
    sq_luna_layer layer = { .attention = { .plans = NULL } };
    const char *variant = sq__golden_text(golden, "variant", NULL);
    const bool causal = sq__golden_going(golden) && strcmp(variant, "causal attention") == 0;
    if (!sq__golden_going(golden)) return;
    if (!causal && strcmp(variant, "encoder layer") != 0) sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    else if (sq__module_open(&module, golden)) {
        run(&module, causal, &layer);
        sq__module_close(&module);
    }
    sq__luna_layer_clear(&layer);
}
