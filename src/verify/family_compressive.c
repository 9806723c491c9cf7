/* compressive-transformer: a whole model over consecutive segments, and the loss that teaches its compression. The model is composed here:
 * its positions are a learned table, its residuals may be gated recurrent cells, and a layer may read the memory of the one above. */
#include <string.h>

#include "autograd/recurrent.h"
#include "nn/compression.h"
#include "verify/families.h"
#include "verify/module.h"

enum { LAYERS = 6 };

typedef struct memory { float *memory, *compressed; int64_t rows, blocks; } memory;   /* of one layer: [B, rows, E], [B, blocks, E] */

typedef struct compressive {
    sq_module module;
    int64_t vocabulary, E, T, B, heads, most_rows, most_blocks, rate, segments;
    int depth;
    bool gated, glu, enhanced;
    sq_compression compressions[LAYERS];
    const float *conv[LAYERS];         /* [E,E,rate] as the file has it */
    memory layers[LAYERS];
    sq_var *positions, *words, *logits_weight, *logits_bias, *auxiliary[16];
} compressive;

enum { MOST_SEGMENTS = 16 };

static bool read_config(compressive *c)
{
    sq_golden *golden = c->module.golden;
    const struct { int64_t *to; const char *key; } counts[] = {
        { &c->vocabulary, "vocab" }, { &c->E, "dim" }, { &c->T, "seq_len" }, { &c->B, "batch" }, { &c->heads, "heads" }, { &c->most_rows, "mem_len" },
        { &c->most_blocks, "cmem_len" }, { &c->rate, "cmem_ratio" }, { &c->segments, "segments" },
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        *counts[i].to = sq__golden_count(golden, counts[i].key, -1);
        if (*counts[i].to < 1 || *counts[i].to > 1 << 16) sq__golden_fail(golden, "metadata '%s' is %lld", counts[i].key, (long long)*counts[i].to);
    }
    const int64_t depth = sq__golden_count(golden, "depth", -1);
    c->depth = (int)depth;
    if (depth < 1 || depth > LAYERS || c->segments > MOST_SEGMENTS) sq__golden_skip(golden, "more than %d layers or %d segments", LAYERS, MOST_SEGMENTS);
    if (sq__golden_going(golden) && c->E % c->heads) sq__golden_fail(golden, "%lld heads do not divide width %lld", (long long)c->heads, (long long)c->E);
    c->gated = sq__golden_flag(golden, "gru_gated_residual", false);
    c->glu = sq__golden_flag(golden, "ff_glu", false);
    c->enhanced = sq__golden_flag(golden, "enhanced_recurrence", false);
    return sq__golden_going(golden);
}

/* ---- parameters: entered once, used by every segment ---- */

typedef struct sublayer { sq_var *norm[2], *first[2], *second[2], *third, *gate[4]; } sublayer;

static sq_var *enter(compressive *c, const char *stem, int layer, const char *name, int rank, const int64_t *shape)
{
    char full[96];
    snprintf(full, sizeof full, "param.%s.%d.%s", stem, layer, name);
    return sq__module_input(&c->module, full, rank, shape);
}

static void enter_common(compressive *c, sublayer *s, const char *stem, int layer)
{
    static const char *const gates[] = { "gru.weight_ih", "gru.weight_hh", "gru.bias_ih", "gru.bias_hh" };
    s->norm[0] = enter(c, stem, layer, "fn.norm.weight", SQ_SHAPE(c->E));
    s->norm[1] = enter(c, stem, layer, "fn.norm.bias", SQ_SHAPE(c->E));
    for (int i = 0; c->gated && i < 4; i++) {
        if (i < 2) s->gate[i] = enter(c, stem, layer, gates[i], SQ_SHAPE(3 * c->E, c->E));
        else s->gate[i] = enter(c, stem, layer, gates[i], SQ_SHAPE(3 * c->E));
    }
}

static sublayer enter_attention(compressive *c, int layer)
{
    const char *stem = "attn_layers";
    sublayer s = { .third = NULL };
    enter_common(c, &s, stem, layer);
    s.first[0] = enter(c, stem, layer, "fn.fn.to_q.weight", SQ_SHAPE(c->E, c->E));
    s.second[0] = enter(c, stem, layer, "fn.fn.to_kv.weight", SQ_SHAPE(2 * c->E, c->E));
    s.third = enter(c, stem, layer, "fn.fn.to_out.weight", SQ_SHAPE(c->E, c->E));
    s.first[1] = enter(c, stem, layer, "fn.fn.to_out.bias", SQ_SHAPE(c->E));
    return s;
}

static sublayer enter_feed_forward(compressive *c, int layer)
{
    const char *stem = "ff_layers";
    const int64_t hidden = 4 * c->E, in = c->glu ? 2 * hidden : hidden;
    sublayer s = { .third = NULL };
    enter_common(c, &s, stem, layer);
    s.first[0] = enter(c, stem, layer, "fn.fn.w1.weight", SQ_SHAPE(in, c->E));
    s.first[1] = enter(c, stem, layer, "fn.fn.w1.bias", SQ_SHAPE(in));
    s.second[0] = enter(c, stem, layer, "fn.fn.w2.weight", SQ_SHAPE(c->E, hidden));
    s.second[1] = enter(c, stem, layer, "fn.fn.w2.bias", SQ_SHAPE(c->E));
    return s;
}

/* The file's weight is [out, in, tap], the layer's [out, tap, in]. */
static void permute(const compressive *c, float *to, const float *from, bool back)
{
    for (int64_t out = 0; out < c->E; out++)
        for (int64_t in = 0; in < c->E; in++)
            for (int64_t tap = 0; tap < c->rate; tap++) {
                const int64_t theirs = (out * c->E + in) * c->rate + tap, ours = (out * c->rate + tap) * c->E + in;
                to[back ? theirs : ours] = from[back ? ours : theirs];
            }
}

static const char *conv_name(const compressive *c, int layer, const char *before, const char *part)
{
    char *name = sq__golden_memory(c->module.golden, 128, 1);
    if (name) snprintf(name, 128, "%sattn_layers.%d.fn.fn.compress_mem_fn.conv.%s", before, layer, part);
    return name ? name : "";
}

static void make_compression(compressive *c, int layer)
{
    sq_golden *golden = c->module.golden;
    sq_error error;
    char prefix[32];
    snprintf(prefix, sizeof prefix, "compression.%d", layer);
    sq__golden_status(golden, sq__compression_create(&c->compressions[layer], &c->module.set, prefix, SQ_COMPRESSION_CONV, c->E, c->rate, &error), &error);
    const float *weight = sq__golden_floats(golden, conv_name(c, layer, "param.", "weight"), SQ_SHAPE(c->E, c->E, c->rate));
    const float *bias = sq__golden_floats(golden, conv_name(c, layer, "param.", "bias"), SQ_SHAPE(c->E));
    if (!weight || !bias) return;
    const sq_linear *conv = &c->compressions[layer].conv;
    permute(c, c->module.set.items[conv->weight].value, weight, false);
    memcpy(c->module.set.items[conv->bias].value, bias, (size_t)c->E * sizeof *bias);
}

/* ---- one segment ---- */

static sq_var *normed(sq_tape *tape, const sublayer *s, sq_var *x) { return sq__layer_norm(tape, x, s->norm[0], s->norm[1], 1e-5f); }

/* x + y, or GRUCell(input y, hidden x) */
static sq_var *residual(const compressive *c, sq_tape *tape, const sublayer *s, sq_var *x, sq_var *y)
{
    if (!c->gated) return sq__add(tape, x, y);
    const int64_t rows = c->B * c->T;
    sq_var *state = sq__reshape(tape, x, 2, (const int64_t[]){ rows, c->E }), *input = sq__reshape(tape, y, 3, (const int64_t[]){ rows, 1, c->E });
    return sq__reshape(tape, sq__gru(tape, input, s->gate[0], s->gate[1], s->gate[2], s->gate[3], state, NULL, false, NULL), 3, x->shape);
}

static sq_var *feed_forward(const compressive *c, sq_tape *tape, const sublayer *s, sq_var *x)
{
    sq_var *hidden = sq__linear(tape, normed(tape, s, x), s->first[0], s->first[1]);
    if (c->glu) hidden = sq__multiply(tape, sq__activate(tape, sq__slice(tape, hidden, 0, 4 * c->E), SQ_GELU), sq__slice(tape, hidden, 4 * c->E, 4 * c->E));
    else hidden = sq__activate(tape, hidden, SQ_GELU);
    return sq__linear(tape, hidden, s->second[0], s->second[1]);
}

/* Rows [from, from + rows) of every entry, `padding` zeros before them, as a constant. */
static sq_var *constant_rows(compressive *c, const float *all, int64_t stride, int64_t from, int64_t rows, int64_t padding)
{
    float *copy = sq__golden_room(c->module.golden, c->B * (padding + rows) * c->E);
    for (int64_t b = 0; copy && b < c->B; b++)
        memcpy(copy + (b * (padding + rows) + padding) * c->E, all + (b * stride + from) * c->E, (size_t)(rows * c->E) * sizeof *copy);
    return sq__module_values(&c->module, 3, (const int64_t[]){ c->B, padding + rows, c->E }, copy, false);
}

static sq_relative_span *spans_of(compressive *c, int64_t keys, int64_t origin)
{
    sq_relative_span *spans = sq__golden_memory(c->module.golden, c->B, sizeof *spans);
    for (int64_t b = 0; spans && b < c->B; b++) spans[b] = (sq_relative_span){ .entry = b, .count = c->T, .keys = { keys }, .origin = origin };
    return spans;
}

/* The last `most` of [old; fresh] rows. */
static float *last_rows(compressive *c, const float *old, int64_t old_rows, const float *fresh, int64_t fresh_rows, int64_t most, int64_t *rows)
{
    const int64_t all = old_rows + fresh_rows;
    *rows = all < most ? all : most;
    float *to = sq__golden_room(c->module.golden, c->B * *rows * c->E);
    for (int64_t i = 0; to && i < c->B * *rows; i++) {
        const int64_t b = i / *rows, row = all - *rows + i % *rows;
        memcpy(to + i * c->E, row < old_rows ? old + (b * old_rows + row) * c->E : fresh + (b * fresh_rows + row - old_rows) * c->E, (size_t)c->E * sizeof *to);
    }
    return to;
}

/* What falls out of the memory is compressed; the loss of compressing it. */
static sq_var *remember(compressive *c, int layer, const memory *old, memory *new, sq_var *x, sq_var *q, const sublayer *s)
{
    const int64_t all = old->rows + c->T, out = all > c->most_rows ? all - c->most_rows : 0, padding = out % c->rate;
    const float *fresh = NULL;
    int64_t fresh_blocks = 0, unused;
    sq_var *loss = NULL;
    float *joined = last_rows(c, old->memory, old->rows, x->value, c->T, all, &unused);
    if (!joined) return NULL;
    if ((out + padding) / c->rate > 0) {
        sq_var *compressed = sq__compression_run(&c->compressions[layer], c->module.tape, constant_rows(c, joined, all, 0, out, padding));
        if (!compressed) return NULL;
        fresh = compressed->value;
        fresh_blocks = compressed->shape[1];
        const sq_parameter key_value = { .shape = { 2 * c->E, c->E }, .value = s->second[0]->value };
        const sq_reconstruction r = { .q = q, .rows = old->rows ? constant_rows(c, old->memory, old->rows, 0, old->rows, 0) : NULL, .compressed = compressed,
                                      .key_value = &key_value, .heads = c->heads, .span_count = c->B,
                                      .of_rows = spans_of(c, old->rows, 0), .of_compressed = spans_of(c, fresh_blocks, 0) };
        if (r.rows) loss = sq__reconstruction(c->module.tape, &r);
    }
    new->memory = last_rows(c, joined, all, NULL, 0, c->most_rows, &new->rows);
    new->compressed = last_rows(c, old->compressed, old->blocks, fresh, fresh_blocks, c->most_blocks, &new->blocks);
    return loss;
}

static sq_var *attend(compressive *c, const sublayer *s, const memory *past, sq_var *x, sq_var **normed_x, sq_var **q)
{
    sq_tape *tape = c->module.tape;
    const int64_t before = past->rows + past->blocks, all = before + c->T;
    int32_t *rows = sq__golden_memory(c->module.golden, all, sizeof *rows);
    for (int64_t i = 0; rows && i < all; i++) rows[i] = (int32_t)i;
    *normed_x = normed(tape, s, x);
    *q = sq__linear(tape, *normed_x, s->first[0], NULL);
    if (!*q || !rows) return NULL;
    const sq_row_part parts[] = { { past->compressed, past->blocks, past->blocks * c->E }, { past->memory, past->rows, past->rows * c->E } };
    sq_var *kv = sq__linear(tape, sq__prepend_rows(tape, *normed_x, parts, 2), s->second[0], NULL);
    sq_var *table = sq__transpose(tape, c->positions);   /* [places, heads, D] */
    if (!table) return NULL;
    table = sq__embedding(tape, sq__reshape(tape, table, 2, (const int64_t[]){ table->shape[0], c->E }), rows, 1, &all);
    const sq_relative_inputs inputs = { .q = *q, .kv = kv, .r = table, .heads = c->heads, .spans = spans_of(c, all, before), .span_count = c->B };
    return sq__linear(tape, sq__relative_attention(tape, &inputs), s->third, s->first[1]);
}

/* Memories of all layers as the file stacks them. */
static void compare_memories(compressive *c, int64_t number)
{
    sq_golden *golden = c->module.golden;
    for (int which = 0; which < 2 && sq__golden_going(golden); which++) {
        const int64_t one = c->B * c->E * (which ? c->layers[0].blocks : c->layers[0].rows);
        const char *name = sq__golden_numbered(golden, which ? "cmem.%d" : "mem.%d", number);
        if (!one && !sq__golden_has(golden, name)) continue;   /* an empty one may be left out */
        float *all = sq__golden_room(golden, one * c->depth);
        for (int i = 0; all && one && i < c->depth; i++) memcpy(all + i * one, which ? c->layers[i].compressed : c->layers[i].memory, (size_t)one * sizeof *all);
        sq__golden_compare(golden, name, all, one * c->depth);
    }
}

/* out.N compared; its part of the loss. c->auxiliary[N] is the mean over layers of what compressing cost. */
static sq_var *run_segment(compressive *c, const sublayer *attention, const sublayer *feed, int64_t number)
{
    sq_golden *golden = c->module.golden;
    sq_tape *tape = c->module.tape;
    const int32_t *ids = sq__golden_ints(golden, sq__golden_numbered(golden, "data.%d", number), SQ_SHAPE(c->B, c->T));
    memory next[LAYERS] = { { NULL } };
    if (!ids) return NULL;
    for (int64_t i = 0; i < c->B * c->T; i++)
        if (ids[i] < 0 || ids[i] >= c->vocabulary) sq__golden_fail(golden, "a word is %d", ids[i]);
    if (!sq__golden_going(golden)) return NULL;
    sq_var *x = sq__embedding(tape, c->words, ids, 2, (const int64_t[]){ c->B, c->T });
    for (int i = 0; i < c->depth && x; i++) {
        const memory *past = &c->layers[c->enhanced ? (i + 1) % c->depth : i];
        sq_var *own, *q, *y = attend(c, &attention[i], past, x, &own, &q);
        if (!sq__module_going(&c->module)) return NULL;
        x = residual(c, tape, &attention[i], x, y);
        sq_var *loss = remember(c, i, past, &next[i], own, q, &attention[i]);
        if (loss) c->auxiliary[number] = c->auxiliary[number] ? sq__add(tape, c->auxiliary[number], loss) : loss;
        x = residual(c, tape, &feed[i], x, feed_forward(c, tape, &feed[i], x));
    }
    memcpy(c->layers, next, sizeof next);
    if (c->auxiliary[number]) c->auxiliary[number] = sq__scale(tape, c->auxiliary[number], 1 / (float)(c->B * c->T * c->E * c->depth));
    sq_var *out = sq__linear(tape, x, c->logits_weight, c->logits_bias), *g = sq__module_constant(&c->module, sq__golden_numbered(golden, "g.%d", number),
                                                                                                  SQ_SHAPE(c->B, c->T, c->vocabulary));
    if (!sq__module_going(&c->module)) return NULL;
    sq__golden_compare(golden, sq__golden_numbered(golden, "out.%d", number), out->value, out->count);
    compare_memories(c, number);
    return sq__sum(tape, sq__multiply(tape, out, g));
}

/* ---- whole ---- */

/* In evaluation mode nothing reaches the compression; in training mode its loss alone does. */
static void compare_compression(compressive *c, const char *before, bool training)
{
    sq_golden *golden = c->module.golden;
    for (int i = 0; i < c->depth; i++) {
        const sq_linear *conv = &c->compressions[i].conv;
        float *weight = sq__golden_room(golden, c->E * c->E * c->rate), *bias = sq__golden_room(golden, c->E);
        if (!weight || !bias) return;
        if (training) {
            permute(c, weight, c->module.set.items[conv->weight].gradient, true);
            memcpy(bias, c->module.set.items[conv->bias].gradient, (size_t)c->E * sizeof *bias);
        }
        sq__golden_compare(golden, conv_name(c, i, before, "weight"), weight, c->E * c->E * c->rate);
        sq__golden_compare(golden, conv_name(c, i, before, "bias"), bias, c->E);
    }
}

static void run(compressive *c)
{
    sq_module *m = &c->module;
    sq_golden *golden = m->golden;
    sublayer attention[LAYERS], feed[LAYERS];
    sq_var *loss = NULL;
    c->positions = sq__module_input(m, "param.pos_emb", SQ_SHAPE(c->heads, c->T + c->most_rows + c->most_blocks, c->E / c->heads));
    c->words = sq__module_input(m, "param.token_emb.weight", SQ_SHAPE(c->vocabulary, c->E));
    c->logits_weight = sq__module_input(m, "param.to_logits.1.weight", SQ_SHAPE(c->vocabulary, c->E));
    c->logits_bias = sq__module_input(m, "param.to_logits.1.bias", SQ_SHAPE(c->vocabulary));
    for (int i = 0; i < c->depth; i++) {
        attention[i] = enter_attention(c, i);
        feed[i] = enter_feed_forward(c, i);
        make_compression(c, i);
    }
    for (int64_t i = 0; i < c->segments && sq__module_going(m); i++) {
        sq_var *part = run_segment(c, attention, feed, i);
        if (!part) {
            sq__module_going(m);       /* what failed on the tape is the reason */
            return;
        }
        loss = loss ? sq__add(m->tape, loss, part) : part;
    }
    for (int64_t i = 0; i < c->segments && sq__module_going(m); i++) {
        const float none = 0;
        sq__golden_compare(golden, sq__golden_numbered(golden, "train.aux_loss.%d", i), c->auxiliary[i] ? c->auxiliary[i]->value : &none, 1);
        if (c->auxiliary[i] && loss) loss = sq__add(m->tape, loss, c->auxiliary[i]);
    }
    if (!sq__module_going(m)) return;
    sq__module_backward(m, loss, NULL);   /* the losses of compressing reach the compression alone, so that one backward serves both modes */
    compare_compression(c, "grad.", false);
    compare_compression(c, "train.grad.", true);
}

void sq__family_compressive(sq_golden *golden)
{
    compressive *c = sq__golden_memory(golden, 1, sizeof *c);
    if (!c || !sq__module_open(&c->module, golden)) return;
    if (read_config(c)) run(c);
    sq__module_close(&c->module);
}
