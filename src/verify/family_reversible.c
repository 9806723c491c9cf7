/* reversible: stacks of Reformer layers, local and hashed, as models have them, and of plain parts on two given streams. */
#include <string.h>

#include "autograd/recompute.h"
#include "nn/stack.h"
#include "verify/families.h"
#include "verify/module.h"

enum { LAYERS = 16 };

static int64_t size_of(sq_golden *golden, const char *key)
{
    const int64_t size = sq__golden_count(golden, key, -1);
    if (size < 1) sq__golden_fail(golden, "metadata '%s' is %lld; expected 1 or more", key, (long long)size);
    return size;
}

static sq_activation activation_of(sq_golden *golden)
{
    const char *activation = sq__golden_text(golden, "activation", "gelu");
    const bool gelu = strcmp(activation, "gelu") == 0;
    if (!gelu && strcmp(activation, "relu") != 0) sq__golden_skip(golden, "activation '%.30s' is unknown to this build's blocks", activation);
    return gelu ? SQ_GELU : SQ_RELU;
}

/* PREFIX.weight and .bias of a layer of so many rows. */
static void load(sq_module *m, const char *to, const char *from, int64_t rows, bool bias)
{
    static const char *const kinds[] = { "weight", "bias" };
    for (int i = 0; i < 1 + bias; i++) {
        char ours[96], theirs[96];
        snprintf(ours, sizeof ours, "%s.%s", to, kinds[i]);
        snprintf(theirs, sizeof theirs, "%s.%s", from, kinds[i]);
        sq__module_parameter(m, ours, 0, rows, theirs);
    }
}

/* ---- Reformer layers ---- */

typedef struct reformer { sq_module *module; sq_stack stack; sq_transformer_layer layers[LAYERS]; int64_t E, F; } reformer;

/* What a layer's attention is: its projections' names say which of the two. */
static sq_attention_block_config attention_of(reformer *r, bool hashed, sq_option *options)
{
    sq_golden *golden = r->module->golden;
    const char *block = sq__golden_digits(golden, size_of(golden, "chunk_length"));
    const sq_option local[] = { { "block", block }, { "window", block }, { "ahead", "0" }, { "circular", "true" } };
    const sq_option lsh[] = { { "block", block }, { "convention", "huggingface" }, { "across_buckets", "true" }, { "duplicates", "true" },
                              { "rounds", hashed ? sq__golden_digits(golden, size_of(golden, "num_hashes")) : NULL },
                              { "buckets", hashed ? sq__golden_digits(golden, size_of(golden, "num_buckets")) : NULL } };
    if (hashed) memcpy(options, lsh, sizeof lsh);
    else memcpy(options, local, sizeof local);
    return (sq_attention_block_config){ .mechanism = hashed ? "reformer" : "sliding-window", .options = options, .option_count = hashed ? 6 : 4,
                                        .scale = hashed ? 1 : 0, .width = r->E, .heads = size_of(golden, "H"), .max_length = size_of(golden, "N"),
                                        .causal = sq__golden_flag(golden, "causal", false), .threads = 1 };
}

static void load_projections(reformer *r, const char *to, const char *from, bool hashed)
{
    static const char *const apart[] = { "query", "key", "value" }, *const shared[] = { "query_key", "value" };
    for (int i = 0; i < 3 - hashed; i++) {
        char ours[96], theirs[96];
        snprintf(ours, sizeof ours, "%s.attention.%s.weight", to, hashed ? "query_value" : "query_key_value");
        snprintf(theirs, sizeof theirs, "%s.attention.self_attention.%s.weight", from, hashed ? shared[i] : apart[i]);
        sq__module_parameter(r->module, ours, i * r->E, r->E, theirs);
    }
}

static void load_rotations(reformer *r, const char *to)
{
    char name[96];
    snprintf(name, sizeof name, "%s.attention.mechanism.rotations", to);
    const sq_parameter *parameter = sq__parameters_find(&r->module->set, name);
    const float *rotations = parameter ? sq__golden_floats(r->module->golden, "rotations", parameter->rank, parameter->shape) : NULL;
    if (rotations) memcpy(parameter->value, rotations, (size_t)parameter->count * sizeof *rotations);
}

static void make_layer(reformer *r, int i)
{
    sq_golden *golden = r->module->golden;
    const struct { const char *ours, *theirs; int64_t rows; bool bias; } parts[] = {
        { "attention_norm", "attention.layer_norm", r->E, true }, { "attention.output", "attention.output.dense", r->E, false },
        { "feed_forward_norm", "feed_forward.layer_norm", r->E, true }, { "feed_forward.in", "feed_forward.dense.dense", r->F, true },
        { "feed_forward.out", "feed_forward.output.dense", r->E, true } };
    char to[16], from[16], ours[48], theirs[64];
    sq_option options[8];
    sq_error error;
    snprintf(to, sizeof to, "encoder.%d", i);
    snprintf(from, sizeof from, "layers.%d", i);
    snprintf(theirs, sizeof theirs, "%s.attention.self_attention.query_key.weight", from);
    const bool hashed = sq__golden_has(golden, theirs);
    const sq_transformer_config config = { .attention = attention_of(r, hashed, options), .feed_forward = r->F, .activation = activation_of(golden), .pre_norm = true,
                                           .eps = (float)sq__golden_number(golden, "layer_norm_eps", 1e-12) };
    if (!sq__golden_going(golden)) return;
    r->stack.count = i + 1;
    sq__golden_status(golden, sq__transformer_layer_create(&r->layers[i], &r->module->set, to, &config, NULL, false, &error), &error);
    if (!sq__golden_going(golden)) return;
    load_projections(r, to, from, hashed);
    if (hashed) load_rotations(r, to);
    for (size_t p = 0; p < sizeof parts / sizeof *parts; p++) {
        snprintf(ours, sizeof ours, "%s.%s", to, parts[p].ours);
        snprintf(theirs, sizeof theirs, "%s.%s", from, parts[p].theirs);
        load(r->module, ours, theirs, parts[p].rows, parts[p].bias);
    }
}

static void run_reformer(sq_module *m)
{
    sq_golden *golden = m->golden;
    sq_error error;
    reformer *r = sq__golden_memory(golden, 1, sizeof *r);
    if (!r) return;
    r->module = m;
    r->E = size_of(golden, "E");
    r->F = size_of(golden, "F");
    r->stack = (sq_stack){ .config = { .keeps = SQ_STACK_REVERSIBLE, .layer = { .pre_norm = true } }, .layers = r->layers };
    for (int i = 0; i < LAYERS && sq__golden_going(golden); i++) {
        char probe[64];
        snprintf(probe, sizeof probe, "layers.%d.attention.layer_norm.weight", i);
        if (!sq__golden_has(golden, probe)) break;
        make_layer(r, i);
    }
    if (sq__golden_going(golden)) {
        const float eps = (float)sq__golden_number(golden, "layer_norm_eps", 1e-12);
        sq__golden_status(golden, sq__norm_create(&r->stack.norm, &m->set, "encoder.norm", 2 * r->E, eps, &error), &error);
    }
    if (sq__golden_going(golden)) load(m, "encoder.norm", "layer_norm", 2 * r->E, true);
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, r->E));
    if (sq__module_going(m)) sq__module_finish(m, sq__stack_run(&r->stack, m->tape, &(sq_transformer_inputs){ .x = x }, sq__scope_begin(m->tape)));
    for (int i = 0; i < r->stack.count; i++) sq__transformer_layer_clear(&r->layers[i]);
}

/* ---- plain parts ---- */

/* f: norm, linear, tanh; g: norm, feed-forward */
typedef struct block { sq_norm f_norm, g_norm; sq_linear f; sq_feed_forward g; } block;

static sq_var *run_f(const void *context, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    const block *b = context;
    (void)auxiliary;
    return sq__activate(tape, sq__linear_run(&b->f, tape, sq__norm_run(&b->f_norm, tape, x)), SQ_TANH);
}

static sq_var *run_g(const void *context, sq_tape *tape, sq_var *x, sq_var **auxiliary)
{
    const block *b = context;
    (void)auxiliary;
    return sq__feed_forward_run(&b->g, tape, sq__norm_run(&b->g_norm, tape, x), 0, NULL);
}

static void make_block(sq_module *m, block *b, int i, int64_t E, int64_t F)
{
    static const struct { const char *ours, *theirs; bool hidden; } parts[] = {
        { "f_norm", "f.net.0", false }, { "f", "f.net.1", false }, { "g_norm", "g.net.0", false }, { "g.in", "g.net.1", true }, { "g.out", "g.net.3", false } };
    sq_golden *golden = m->golden;
    const float eps = (float)sq__golden_number(golden, "layer_norm_eps", 1e-5);
    char names[4][32], ours[48], theirs[64];
    sq_error error;
    for (int p = 0; p < 4; p++) snprintf(names[p], sizeof names[p], "blocks.%d.%s", i, ((const char *[]){ "f_norm", "f", "g_norm", "g" })[p]);
    sq__golden_status(golden, sq__norm_create(&b->f_norm, &m->set, names[0], E, eps, &error), &error);
    sq__golden_status(golden, sq__linear_create(&b->f, &m->set, names[1], E, E, true, &error), &error);
    sq__golden_status(golden, sq__norm_create(&b->g_norm, &m->set, names[2], E, eps, &error), &error);
    sq__golden_status(golden, sq__feed_forward_create(&b->g, &m->set, names[3], E, F, SQ_GELU, &error), &error);
    for (size_t p = 0; p < sizeof parts / sizeof *parts && sq__golden_going(golden); p++) {
        snprintf(ours, sizeof ours, "blocks.%d.%s", i, parts[p].ours);
        snprintf(theirs, sizeof theirs, "blocks.%d.%s", i, parts[p].theirs);
        load(m, ours, theirs, parts[p].hidden ? F : E, true);
    }
}

static void run_sequence(sq_module *m)
{
    const int64_t E = size_of(m->golden, "E"), F = size_of(m->golden, "F");
    block *blocks = sq__golden_memory(m->golden, LAYERS, sizeof *blocks);
    sq_part *parts = sq__golden_memory(m->golden, 2 * LAYERS, sizeof *parts);
    int count = 0;
    for (; blocks && parts && count < LAYERS && sq__golden_going(m->golden); count++) {
        char probe[64];
        snprintf(probe, sizeof probe, "blocks.%d.f.net.0.weight", count);
        if (!sq__golden_has(m->golden, probe)) break;
        make_block(m, &blocks[count], count, E, F);
        parts[2 * count] = (sq_part){ run_f, &blocks[count] };
        parts[2 * count + 1] = (sq_part){ run_g, &blocks[count] };
    }
    sq_var *x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, 2 * E));
    if (!sq__module_going(m)) return;
    sq__module_finish(m, sq__reversible(m->tape, parts, count, sq__slice(m->tape, x, 0, E), sq__slice(m->tape, x, E, E), NULL));
}

void sq__family_reversible(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    sq_module m;
    if (!sq__module_open(&m, golden)) return;
    if (sq__golden_starts(variant, "reversible residual stack")) run_reformer(&m);
    else if (sq__golden_starts(variant, "reversible sequence, f=LN-Linear-Tanh, g=LN-Linear-GELU(erf)-Linear")) run_sequence(&m);
    else sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    sq__module_close(&m);
}
