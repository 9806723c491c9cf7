#include "nn/memorizing.h"

#include <math.h>
#include <string.h>

#include "autograd/retrieved.h"
#include "base/integers.h"

/* ---- creation ---- */

static sq_status create_memory(sq_memorizing *s, sq_memorizing_layer *layer, const char *prefix, sq_carry_layout *layout, sq_error *error)
{
    const sq_memorizing_config *c = &s->config;
    const int64_t rows[2] = { c->memory, 2 * c->layer.heads * s->D };
    SQ_TRY(sq__parameters_add(s->set, &(sq_parameter_spec){ .prefix = prefix, .name = "query_scale", .rank = 1, .shape = { s->D }, .initial = SQ_INITIAL_ONE },
                              &layer->query_scale, error));
    SQ_TRY(sq__parameters_add(s->set, &(sq_parameter_spec){ .prefix = prefix, .name = "gate", .rank = 1, .shape = { c->layer.heads } }, &layer->gate, error));
    return sq__carry_add(layout, prefix, "memory", 2, rows, &layer->memory, error);
}

static sq_status create_layer(sq_memorizing *s, int64_t i, sq_carry_layout *layout, const char *prefix, sq_error *error)
{
    const sq_memorizing_config *c = &s->config;
    const int64_t rows[2] = { c->window - 1, 2 * c->layer.heads * s->D };
    sq_memorizing_layer *layer = &s->layers[i];
    char name[96];
    snprintf(name, sizeof name, "%.70s.%d", prefix, (int)i);
    layer->remembers = i == (3 * c->layers + 3) / 4 - 1;
    SQ_TRY(sq__relative_layer_create(&layer->layer, s->set, name, &c->layer, i ? &s->layers[0].layer : NULL, error));
    SQ_TRY(sq__carry_add(layout, name, "recent", 2, rows, &layer->recent, error));
    return layer->remembers ? create_memory(s, layer, name, layout, error) : SQ_OK;
}

sq_status sq__memorizing_create(sq_memorizing *stack, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_memorizing_config *config,
                                sq_error *error)
{
    sq_memorizing *s = stack;
    const int64_t width = config->layer.width;
    char name[96];
    *s = (sq_memorizing){ .config = *config, .set = set };
    if (config->layers < 1 || config->window < 2)
        return sq__fail(error, SQ_INVALID, "%s: %lld layers and a window of %lld; expected at least 1 and 2", prefix, (long long)config->layers,
                        (long long)config->window);
    if (config->topk < 1 || config->topk > config->memory)
        return sq__fail(error, SQ_INVALID, "%s: topk is %lld; expected 1 to the memory's %lld rows", prefix, (long long)config->topk, (long long)config->memory);
    if (!config->layer.head_size && width % config->layer.heads)
        return sq__fail(error, SQ_INVALID, "%lld heads do not divide a width of %lld", (long long)config->layer.heads, (long long)width);
    s->D = config->layer.head_size ? config->layer.head_size : width / config->layer.heads;
    s->layers = sq__alloc_array((size_t)config->layers, sizeof *s->layers);
    s->waves = sq__alloc_array((size_t)config->window, (size_t)width * sizeof *s->waves);
    s->ones = sq__alloc_array((size_t)s->D, sizeof *s->ones);
    if (!s->layers || !s->waves || !s->ones) return sq__no_memory(error);
    sq__relative_waves(s->waves, config->window, width, 0);
    for (int64_t d = 0; d < s->D; d++) s->ones[d] = 1;
    for (int64_t i = 0; i < config->layers; i++) SQ_TRY(create_layer(s, i, layout, prefix, error));
    snprintf(name, sizeof name, "%.70s.norm", prefix);
    return config->layer.pre_norm ? sq__norm_create(&s->norm, set, name, width, config->layer.eps, error) : SQ_OK;
}

void sq__memorizing_clear(sq_memorizing *stack)
{
    sq__free(stack->layers);
    sq__free(stack->waves);
    sq__free(stack->ones);
    *stack = (sq_memorizing){ .layers = NULL };
}

/* ---- what a run sees ---- */

typedef struct walk {
    const sq_memorizing *s;
    sq_tape *tape;
    sq_carry *carry;
    const int32_t *lengths;
    int64_t B, T, E, past;             /* past: rows of `recent` that stand before those of now */
    sq_relative_span *spans;           /* [B] */
    sq_memory_view *views;             /* [B] */
} walk;

static bool look_around(walk *w)
{
    const sq_memorizing_config *c = &w->s->config;
    w->spans = sq__tape_memory(w->tape, (size_t)w->B * sizeof *w->spans);
    w->views = sq__tape_memory(w->tape, (size_t)w->B * sizeof *w->views);
    for (int64_t b = 0; w->spans && w->views && b < w->B; b++) {
        const int64_t seen = w->carry ? w->carry->seen[b] : 0, near = sq__least(seen, w->past), length = w->lengths ? w->lengths[b] : w->T;
        const int64_t kept = sq__most(0, seen - w->past);   /* events that have left the window */
        w->spans[b] = (sq_relative_span){ .entry = b, .count = length, .from = { w->past - near }, .keys = { near + length }, .origin = near };
        w->views[b] = (sq_memory_view){ .oldest = kept % c->memory, .hidden = sq__most(0, c->memory - kept), .first = w->past - near,
                                        .reach = c->window - 1 + c->memory - w->past, .behind = c->window - 1 - w->past };
    }
    return w->spans && w->views;
}

/* What leaves the window goes into the ring, the last rows stay. rows [B, past + T, 2E]. */
static void keep(const walk *w, const sq_memorizing_layer *layer, const sq_var *rows)
{
    const int64_t M = w->s->config.memory, past = w->past, width = 2 * w->E;
    for (int64_t b = 0; rows && b < w->B; b++) {
        const int64_t seen = w->carry->seen[b], length = w->lengths ? w->lengths[b] : w->T;
        const float *from = rows->value + b * (past + w->T) * width;
        for (int64_t j = sq__most(past - sq__least(seen, past), length - M); layer->remembers && j < length; j++)
            memcpy(w->carry->values[layer->memory] + (b * M + (seen + j - past) % M) * width, from + j * width, (size_t)width * sizeof *from);
        memcpy(w->carry->values[layer->recent] + b * past * width, from + length * width, (size_t)(past * width) * sizeof *from);
    }
}

/* ---- a layer ---- */

/* Rows of D numbers made as long as the root of D, then times scale [D]. x [B,T,n D] */
static sq_var *unit(const walk *w, sq_var *x, sq_var *scale)
{
    if (!x) return NULL;
    const int64_t shape[2] = { x->count / w->s->D, w->s->D };
    return sq__reshape(w->tape, sq__rms_norm(w->tape, sq__reshape(w->tape, x, 2, shape), scale, 1e-12f), x->rank, x->shape);
}

static void project(const walk *w, const sq_memorizing_layer *layer, sq_var *x, sq_var **q, sq_var **kv)
{
    const sq_relative_attention_block *block = &layer->layer.attention;
    *q = sq__linear_run(&block->query, w->tape, x);
    *kv = sq__linear_run(&block->key_value, w->tape, x);
    if (!layer->remembers || !*kv) return;
    sq_var *ones = sq__tape_input(w->tape, 1, &w->s->D, w->s->ones, false);
    *q = unit(w, *q, sq__parameters_var(w->s->set, layer->query_scale, w->tape));
    *kv = sq__concatenate(w->tape, (sq_var *[]){ unit(w, sq__slice(w->tape, *kv, 0, w->E), ones), sq__slice(w->tape, *kv, w->E, w->E) }, 2);
}

static sq_var *attend(const walk *w, const sq_memorizing_layer *layer, sq_var *q, sq_var *rows)
{
    const sq_memorizing_config *c = &w->s->config;
    const sq_relative_attention_block *block = &layer->layer.attention;
    const int64_t places = sq__least(c->window, w->past + w->T);
    const float *waves = w->s->waves + (c->window - places) * c->layer.width;
    sq_var *local = sq__relative_attention(w->tape, &(sq_relative_inputs){
        .q = q, .kv = rows, .r = sq__relative_positions(block, w->tape, waves, places, c->layer.width), .u = sq__parameters_var(block->set, block->u, w->tape),
        .v = sq__parameters_var(block->set, block->v, w->tape), .heads = block->heads, .window = c->window, .spans = w->spans, .span_count = w->B });
    if (!layer->remembers) return local;
    const sq_memory_rows memory = { w->carry ? w->carry->values[layer->memory] : NULL, w->carry ? c->memory : 0, rows };
    const int32_t *list = sq__nearest_rows(w->tape, q, &memory, w->views, w->lengths, block->heads, c->topk);
    return sq__retrieved(w->tape, &(sq_retrieved){ .q = q, .local = local, .gate = sq__parameters_var(w->s->set, layer->gate, w->tape), .memory = memory,
                                                   .list = list, .heads = block->heads, .topk = c->topk, .scale = (float)(1 / sqrt((double)w->s->D)) });
}

static sq_var *run_layer(const walk *w, const sq_memorizing_layer *layer, sq_var *x)
{
    const sq_relative_layer *parts = &layer->layer;
    const bool pre = parts->config.pre_norm;
    sq_var *q = NULL, *kv = NULL;
    project(w, layer, pre ? sq__norm_run(&parts->attention_norm, w->tape, x) : x, &q, &kv);
    sq_var *rows = kv && w->past
                       ? sq__prepend_rows(w->tape, kv, &(sq_row_part){ w->carry->values[layer->recent], w->past, w->past * 2 * w->E }, 1) : kv;
    if (!rows) return NULL;
    sq_var *out = sq__linear_run_residual(&parts->attention.output, w->tape, attend(w, layer, q, rows), parts->config.dropout, x);
    if (w->carry && sq__tape_status(w->tape, NULL) == SQ_OK) keep(w, layer, rows);
    if (!pre) out = sq__norm_run(&parts->attention_norm, w->tape, out);
    return sq__relative_layer_feed(parts, w->tape, out);
}

sq_var *sq__memorizing_run(const sq_memorizing *stack, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry)
{
    if (!x) return NULL;
    walk w = { .s = stack, .tape = tape, .carry = carry, .lengths = lengths, .B = x->shape[0], .T = x->shape[1],
               .E = stack->config.layer.heads * stack->D, .past = carry ? stack->config.window - 1 : 0 };
    if (!look_around(&w)) return NULL;
    sq_scope scope = sq__scope_begin(tape);
    for (int64_t i = 0; x && i < stack->config.layers; i++) {
        x = run_layer(&w, &stack->layers[i], x);
        sq__scope_end(tape, scope, x, NULL);
    }
    return stack->config.layer.pre_norm ? sq__norm_run(&stack->norm, tape, x) : x;
}
