/* transformer-xl: one attention sublayer, or a whole language model over consecutive segments, by the layers that models are made of.
 * The files' layout is (time, batch, feature); their memory is the input of every layer and the last output. */
#include <string.h>

#include "nn/relative_layer.h"
#include "verify/adaptive.h"
#include "verify/families.h"

enum { LAYERS = 8 };

typedef struct xl {
    sq_module module;
    sq_relative_layer layers[LAYERS];
    sq_relative_layer_config config;
    int count;
    int64_t window, clamp, memory;
    sq_adaptive ends;
} xl;

static bool read_config(xl *x)
{
    sq_golden *golden = x->module.golden;
    x->config = (sq_relative_layer_config){ .width = sq__golden_count(golden, "d_model", -1), .heads = sq__golden_count(golden, "heads", -1),
                                            .head_size = sq__golden_count(golden, "head_dim", -1), .activation = SQ_RELU,
                                            .pre_norm = sq__golden_flag(golden, "pre_lnorm", false), .eps = 1e-5f };
    x->config.feed_forward = sq__golden_count(golden, "d_inner", x->config.width);
    x->memory = sq__golden_count(golden, "mem_len", -1);
    x->count = (int)sq__golden_count(golden, "layers", 1);
    x->window = sq__golden_flag(golden, "same_length", false) ? x->memory : 0;
    const double clamp = sq__golden_number(golden, "clamp_len", -1);
    x->clamp = clamp > 0 ? (int64_t)clamp : 0;
    if (x->config.width < 1 || x->config.heads < 1 || x->config.head_size < 1 || x->config.feed_forward < 1 || x->memory < 0 || x->count < 1 || x->count > LAYERS)
        sq__golden_fail(golden, "a size in the metadata is out of range");
    if (sq__golden_count(golden, "attn_type", 0) != 0) sq__golden_skip(golden, "attn_type other than 0 is unknown to this build");
    if (sq__golden_count(golden, "ext_len", 0) != 0) sq__golden_skip(golden, "an extended context (ext_len) is unknown to this build");
    return sq__golden_going(golden);
}

static void load_pair(sq_module *m, const char *to, const char *from, const char *theirs, int64_t rows)
{
    static const char *const parts[] = { "weight", "bias" };
    for (int i = 0; i < 2; i++) {
        char ours[96], name[96];
        snprintf(ours, sizeof ours, "%s.%s", to, parts[i]);
        snprintf(name, sizeof name, "%s%s.%s", from, theirs, parts[i]);
        sq__module_parameter(m, ours, 0, rows, name);
    }
}

static void load_attention(xl *x, const char *to, const char *from)
{
    sq_module *m = &x->module;
    const int64_t E = x->config.heads * x->config.head_size;
    const struct { const char *ours, *theirs; int64_t rows; } single[] = { { "position", "r_net", E }, { "output", "o_net", x->config.width } };
    char ours[2][96], theirs[96];
    snprintf(ours[0], sizeof ours[0], "%s.attention.query.weight", to);
    snprintf(ours[1], sizeof ours[1], "%s.attention.key_value.weight", to);
    snprintf(theirs, sizeof theirs, "%sqkv_net.weight", from);
    sq__module_load(m, theirs, (sq_module_part[]){ { ours[0], 0, E }, { ours[1], 0, 2 * E } }, 2);
    for (int i = 0; i < 2; i++) {
        snprintf(ours[0], sizeof ours[0], "%s.attention.%s.weight", to, single[i].ours);
        snprintf(theirs, sizeof theirs, "%s%s.weight", from, single[i].theirs);
        sq__module_parameter(m, ours[0], 0, single[i].rows, theirs);
    }
    snprintf(ours[0], sizeof ours[0], "%s.attention_norm", to);
    load_pair(m, ours[0], from, "layer_norm", x->config.width);
}

/* Layer i from tensors that begin with `from`; the biases of all layers are the first one's. */
static void make_layer(xl *x, int i, const char *from, const char *bias)
{
    sq_module *m = &x->module;
    sq_error error;
    char to[16], name[96];
    snprintf(to, sizeof to, "xl.%d", i);
    sq__golden_status(m->golden, sq__relative_layer_create(&x->layers[i], &m->set, to, &x->config, i ? x->layers : NULL, &error), &error);
    if (!sq__golden_going(m->golden)) return;
    load_attention(x, to, from);
    if (i) return;
    snprintf(name, sizeof name, "%sr_w_bias", bias);
    sq__module_parameter(m, "xl.0.attention.content_bias", 0, x->config.heads, name);
    snprintf(name, sizeof name, "%sr_r_bias", bias);
    sq__module_parameter(m, "xl.0.attention.position_bias", 0, x->config.heads, name);
}

/* Every entry: T queries behind `past` rows. */
static sq_relative_span *spans_of(xl *x, int64_t B, int64_t past, int64_t T)
{
    sq_relative_span *spans = sq__golden_memory(x->module.golden, B, sizeof *spans);
    for (int64_t b = 0; spans && b < B; b++) spans[b] = (sq_relative_span){ .entry = b, .count = T, .keys = { past + T }, .origin = past };
    return spans;
}

/* [past; now], both [B, ., width] */
static sq_var *joined(sq_tape *tape, sq_var *past, sq_var *now)
{
    if (!past || !past->shape[1] || !now) return now;
    const int64_t B = now->shape[0], E = now->shape[2], rows = past->shape[1] + now->shape[1];
    sq_var *parts[] = { sq__reshape(tape, past, 2, (const int64_t[]){ B, past->shape[1] * E }), sq__reshape(tape, now, 2, (const int64_t[]){ B, now->shape[1] * E }) };
    sq_var *both = sq__concatenate(tape, parts, 2);
    return both ? sq__reshape(tape, both, 3, (const int64_t[]){ B, rows, E }) : NULL;
}

static void run_sublayer(xl *x)
{
    sq_module *m = &x->module;
    const int64_t E = x->config.width;
    sq_var *w = sq__module_input(m, "w", SQ_SHAPE(SQ_ANY, SQ_ANY, E)), *past = NULL;
    if (!w) return;
    const int64_t T = w->shape[0], B = w->shape[1], M = x->memory;
    if (M) past = sq__module_input(m, "mems", SQ_SHAPE(M, B, E));
    sq_var *waves = sq__module_input(m, "pos_emb", SQ_SHAPE(M + T, 1, E));
    make_layer(x, 0, "param.", "");
    if (!sq__module_going(m)) return;
    sq_var *now = sq__transpose(m->tape, w);
    sq_relative_attention_inputs inputs = { .x = now, .rows = past ? joined(m->tape, sq__transpose(m->tape, past), now) : now, .spans = spans_of(x, B, M, T),
                                            .span_count = B, .window = x->window };
    inputs.positions = sq__linear_run(&x->layers[0].attention.position, m->tape, sq__reshape(m->tape, waves, 2, (const int64_t[]){ M + T, E }));
    if (inputs.spans && sq__module_going(m)) sq__module_finish(m, sq__transpose(m->tape, sq__relative_layer_attend(&x->layers[0], m->tape, &inputs)));
}

/* ---- the language model ---- */

static void make_layers(xl *x)
{
    sq_module *m = &x->module;
    for (int i = 0; i < x->count && sq__golden_going(m->golden); i++) {
        char from[64], to[48];
        snprintf(from, sizeof from, "param.layers.%d.dec_attn.", i);
        make_layer(x, i, from, "param.");
        if (!sq__golden_going(m->golden)) return;
        snprintf(from, sizeof from, "param.layers.%d.pos_ff.", i);
        snprintf(to, sizeof to, "xl.%d.feed_forward.in", i);
        load_pair(m, to, from, "CoreNet.0", x->config.feed_forward);
        snprintf(to, sizeof to, "xl.%d.feed_forward.out", i);
        load_pair(m, to, from, "CoreNet.3", x->config.width);
        snprintf(to, sizeof to, "xl.%d.feed_forward_norm", i);
        load_pair(m, to, from, "layer_norm", x->config.width);
    }
}

/* What a level keeps: the last rows of [old; now], old [B,past,E] and now [B,T,E], as [kept,B,E] into `file` and [B,kept,E] into `own`. */
static void keep(const sq_var *all, int64_t kept, float *own, float *file)
{
    const int64_t B = all->shape[0], N = all->shape[1], E = all->shape[2];
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < kept; i++) {
            const float *row = all->value + (b * N + N - kept + i) * E;
            memcpy(own + (b * kept + i) * E, row, (size_t)E * sizeof *row);
            memcpy(file + (i * B + b) * E, row, (size_t)E * sizeof *row);
        }
}

/* One segment: hidden, nll and mems compared; past[level] [B, *rows, E] replaced. Its part of the loss. */
static sq_var *run_segment(xl *x, int64_t number, float **past, int64_t *rows)
{
    sq_module *m = &x->module;
    sq_golden *golden = m->golden;
    const int64_t E = x->config.width;
    const sq_st_tensor *data = sq__golden_tensor(golden, sq__golden_numbered(golden, "data.%d", number), SQ_SHAPE(SQ_ANY, SQ_ANY));
    if (!data) return NULL;
    const int64_t T = data->shape[0], B = data->shape[1], all = *rows + T, kept = sq__golden_going(golden) && all < x->memory ? all : x->memory;
    const int32_t *ids = sq__golden_ints(golden, sq__golden_numbered(golden, "data.%d", number), SQ_SHAPE(T, B));
    const int32_t *targets = sq__golden_ints(golden, sq__golden_numbered(golden, "target.%d", number), SQ_SHAPE(T, B));
    const float *g = sq__golden_floats(golden, sq__golden_numbered(golden, "g.%d", number), SQ_SHAPE(T, B));
    float *waves = sq__golden_room(golden, all * E), *file = sq__golden_room(golden, (x->count + 1) * kept * B * E), *nll = sq__golden_room(golden, T * B);
    const sq_relative_span *spans = spans_of(x, B, *rows, T);
    if (!sq__golden_going(golden)) return NULL;
    sq__relative_waves(waves, all, E, x->clamp);
    sq_var *h = sq__adaptive_embed(m, &x->ends, ids, T, B);
    h = h ? sq__transpose(m->tape, h) : NULL;
    for (int i = 0; i <= x->count && h; i++) {
        sq_relative_attention_inputs inputs = { .x = h, .spans = spans, .span_count = B, .window = x->window };
        sq_var *old = *rows ? sq__module_values(m, 3, (const int64_t[]){ B, *rows, E }, past[i], false) : NULL;
        inputs.rows = joined(m->tape, old, h);
        float *own = sq__golden_room(golden, B * kept * E);
        if (!inputs.rows || !own) return NULL;
        keep(inputs.rows, kept, own, file + i * kept * B * E);
        past[i] = own;
        if (i == x->count) break;
        inputs.positions = sq__relative_positions(&x->layers[i].attention, m->tape, waves, all, E);
        h = sq__relative_layer_feed(&x->layers[i], m->tape, sq__relative_layer_attend(&x->layers[i], m->tape, &inputs));
    }
    if (!sq__module_going(m)) return NULL;
    h = sq__transpose(m->tape, h);
    if (h) sq__golden_compare(golden, sq__golden_numbered(golden, "hidden.%d", number), h->value, h->count);
    sq__golden_compare(golden, sq__golden_numbered(golden, "mems.%d", number), file, (x->count + 1) * kept * B * E);
    sq_var *loss = sq__adaptive_loss(m, &x->ends, h ? sq__reshape(m->tape, h, 2, (const int64_t[]){ T * B, E }) : NULL, targets, g, nll);
    sq__golden_compare(golden, sq__golden_numbered(golden, "nll.%d", number), nll, T * B);
    *rows = kept;
    return loss;
}

static void run_model(xl *x)
{
    sq_module *m = &x->module;
    const int64_t segments = sq__golden_count(m->golden, "segments", -1);
    float *past[LAYERS + 1] = { NULL };
    int64_t rows = 0;
    sq_var *loss = NULL;
    make_layers(x);
    if (!sq__module_going(m) || !sq__adaptive_read(m, &x->ends, x->config.width)) return;
    for (int64_t i = 0; i < segments && sq__module_going(m); i++) {
        sq_var *part = run_segment(x, i, past, &rows);
        if (!part) {
            sq__module_going(m);       /* what failed on the tape is the reason */
            return;
        }
        if (!part) {
            sq__module_going(m);       /* what failed on the tape is the reason */
            return;
        }
        loss = loss ? sq__add(m->tape, loss, part) : part;
    }
    if (!sq__module_going(m) || !loss) return;
    sq__golden_compare(m->golden, "loss", loss->value, 1);
    sq__module_backward(m, loss, NULL);
}

void sq__family_transformer_xl(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    xl *x = sq__golden_memory(golden, 1, sizeof *x);
    if (!x || !sq__module_open(&x->module, golden)) return;
    if (read_config(x)) {
        if (strcmp(variant, "one attention sub-layer") == 0) run_sublayer(x);
        else if (strcmp(variant, "whole language model over consecutive segments") == 0) run_model(x);
        else sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    }
    sq__module_close(&x->module);
}
