/* memory-network: end-to-end memory networks in two forms.
 * torch: story [B,S,J], query [B,J], C_k.weight [V,d], adjacent; word 0 is padding, whose row is read but gets no gradient from there.
 *   The loss is sum(out*g) with out = logits, and (ce_grad.*) the summed cross-entropy against target.
 * numpy: memory_words [J,S,B], query_words [J-1,B], embeddings [d,V] that `alias` names, outputs [V,B]; the loss is the cross-entropy. */
#include <math.h>
#include <string.h>

#include "nn/memory_network.h"
#include "verify/families.h"
#include "verify/module.h"

enum { MOST_HOPS = SQ_MEMORY_HOPS };

typedef struct story {
    bool torch, map, relu;
    int64_t B, S, J, d, V, question;   /* J: words of a sentence; question: words of it */
    int hops;
    int32_t *memory, *asked;           /* [B,S,J], [B,question] */
    const float *positions;            /* [J,d] */
    const int32_t *targets;
} story;

static void check_words(sq_golden *golden, const int32_t *ids, int64_t count, int64_t V)
{
    for (int64_t i = 0; ids && i < count; i++)
        if (ids[i] < 0 || ids[i] >= V) sq__golden_fail(golden, "word %d; expected 0 to %lld", ids[i], (long long)V - 1);
}

/* from [J,S,B] -> [B,S,J]; or copied */
static int32_t *ordered(sq_golden *golden, const story *s, const int32_t *from, int64_t J, int64_t S)
{
    int32_t *to = from ? sq__golden_memory(golden, s->B * S * J, sizeof *to) : NULL;
    for (int64_t i = 0; to && i < s->B * S * J; i++) to[i] = s->torch ? from[i] : from[(i % J * S + i / J % S) * s->B + i / (J * S)];
    check_words(golden, to, s->B * S * J, s->V);
    return to;
}

static void read_positions(sq_golden *golden, story *s)
{
    const bool bag = sq__golden_flag(golden, "bag_of_words", false);
    float *l = sq__golden_room(golden, s->J * s->d), *shown = sq__golden_room(golden, s->J * s->d);
    if (!l || !shown) return;
    sq__memory_positions(l, bag ? SQ_MEMORY_BAG : SQ_MEMORY_AUTHORS, s->J, s->d);
    for (int64_t k = 0; s->torch && !bag && k < s->d; k++) l[(s->J - 1) * s->d + k] = 1;   /* its last place is for the time word */
    s->positions = l;
    if (bag && !sq__golden_has(golden, "position_encoding")) return;
    for (int64_t i = 0; i < s->J * s->d; i++) shown[s->torch ? i : i % s->d * s->J + i / s->d] = l[i];
    sq__golden_compare(golden, "position_encoding", shown, s->J * s->d);
}

static bool read_story(sq_golden *golden, story *s)
{
    *s = (story){ .torch = sq__golden_has(golden, "story"), .map = sq__golden_flag(golden, "linear_map_H", false),
                  .relu = sq__golden_flag(golden, "relu_between_hops", false), .d = sq__golden_count(golden, "dim", -1), .V = sq__golden_count(golden, "vocab", -1) };
    const int64_t hops = sq__golden_count(golden, "hops", -1);
    const sq_st_tensor *words = sq__golden_tensor(golden, s->torch ? "story" : "memory_words", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    const sq_st_tensor *query = sq__golden_tensor(golden, s->torch ? "query" : "query_words", SQ_SHAPE(SQ_ANY, SQ_ANY));
    if (!words || !query) return false;
    if (hops < 1 || hops > MOST_HOPS) sq__golden_skip(golden, "%lld hops; this build has 1 to %d", (long long)hops, MOST_HOPS);
    s->hops = (int)hops;
    s->B = words->shape[s->torch ? 0 : 2];
    s->S = words->shape[1];
    s->J = words->shape[s->torch ? 2 : 0];
    s->question = query->shape[s->torch ? 1 : 0];
    if (s->question > s->J) sq__golden_fail(golden, "a question of %lld words; sentences have places for %lld", (long long)s->question, (long long)s->J);
    if (!sq__golden_going(golden)) return false;
    const int32_t *memory = sq__golden_ints(golden, s->torch ? "story" : "memory_words", SQ_SHAPE(words->shape[0], words->shape[1], words->shape[2]));
    s->memory = ordered(golden, s, memory, s->J, s->S);
    s->asked = ordered(golden, s, sq__golden_ints(golden, s->torch ? "query" : "query_words", SQ_SHAPE(query->shape[0], query->shape[1])), s->question, 1);
    s->targets = sq__golden_ints(golden, "target", SQ_SHAPE(s->B));
    check_words(golden, s->targets, s->B, s->V);
    read_positions(golden, s);
    return sq__golden_going(golden);
}

/* ---- embeddings ---- */

/* keys and values of each hop, the question's, the answer's: [V,d] */
typedef struct tables { sq_var *keys[MOST_HOPS], *values[MOST_HOPS], *question, *answer, *map; } tables;

/* What `alias` says a matrix is: the JSON text holds names with dots, which a path cannot. */
static const char *alias_of(sq_golden *golden, const char *name)
{
    char key[48];
    snprintf(key, sizeof key, "\"%s\": \"", name);
    const char *text = sq__golden_text(golden, "alias", NULL), *at = strstr(text, key), *end = at ? strchr(at += strlen(key), '"') : NULL;
    char *out = end ? sq__golden_memory(golden, end - at + 1, 1) : NULL;
    if (!end) sq__golden_fail(golden, "metadata 'alias' does not say what %s is", name);
    return out ? memcpy(out, at, (size_t)(end - at)) : "";
}

typedef struct matrices { char name[2 * MOST_HOPS + 2][32]; sq_var *var[2 * MOST_HOPS + 2]; int count; } matrices;

/* Each matrix enters once, whatever roles it has. */
static sq_var *matrix(sq_module *m, const story *s, matrices *all, const char *role)
{
    char tensor[48];
    const char *name = alias_of(m->golden, role);
    for (int i = 0; i < all->count; i++)
        if (strcmp(all->name[i], name) == 0) return all->var[i];
    if (all->count == 2 * MOST_HOPS + 2) return NULL;
    snprintf(tensor, sizeof tensor, "param.%.30s", name);
    snprintf(all->name[all->count], sizeof *all->name, "%.30s", name);
    return all->var[all->count++] = sq__transpose(m->tape, sq__module_input(m, tensor, SQ_SHAPE(s->d, s->V)));
}

static void enter_numpy(sq_module *m, const story *s, tables *t)
{
    matrices all = { .count = 0 };
    for (int k = 0; k < s->hops; k++) {
        t->keys[k] = matrix(m, s, &all, sq__golden_numbered(m->golden, "A.%d", k));
        t->values[k] = matrix(m, s, &all, sq__golden_numbered(m->golden, "C.%d", k));
    }
    t->question = matrix(m, s, &all, "B");
    t->answer = matrix(m, s, &all, "W");
    t->map = s->map ? sq__module_input(m, "param.H", SQ_SHAPE(s->d, s->d)) : NULL;
}

/* of_loss: gradients are compared by the module; else they are those of the cross-entropy, compared by the caller. */
static void enter_torch(sq_module *m, const story *s, tables *t, bool of_loss)
{
    sq_var *table[MOST_HOPS + 1];
    for (int k = 0; k <= s->hops; k++) {
        const char *name = sq__golden_numbered(m->golden, "param.C_%d.weight", k);
        table[k] = of_loss ? sq__module_input(m, name, SQ_SHAPE(s->V, s->d))
                           : sq__module_values(m, SQ_SHAPE(s->V, s->d), sq__golden_floats(m->golden, name, SQ_SHAPE(s->V, s->d)), true);
    }
    for (int k = 0; k < s->hops; k++) {
        t->keys[k] = table[k];
        t->values[k] = table[k + 1];
    }
    t->question = table[0];
    t->answer = table[s->hops];
    t->map = NULL;
}

/* ids [B,S,J] -> sentences [B,S,d]; the padding word of the torch form is read from a copy. */
static sq_var *sentences(sq_module *m, const story *s, sq_var *table, const int32_t *ids, int64_t S, int64_t J)
{
    const int64_t shape[3] = { s->B, S, J }, count = s->B * S * J;
    int32_t *words = sq__golden_memory(m->golden, count, sizeof *words), *padding = sq__golden_memory(m->golden, count, sizeof *padding);
    if (!words || !padding || !table) return NULL;
    for (int64_t i = 0; i < count; i++) {
        const bool pads = s->torch && ids[i] == 0;
        words[i] = pads ? -1 : ids[i];
        padding[i] = pads ? 0 : -1;
    }
    sq_var *copy = sq__module_values(m, SQ_SHAPE(s->V, s->d), table->value, false);
    sq_var *l = sq__module_values(m, SQ_SHAPE(J, s->d), s->positions, false);
    return copy && l ? sq__memory_sentences(m->tape, sq__embedding_sum(m->tape, (sq_var *[]){ table, copy }, (const int32_t *[]){ words, padding }, 2, 3, shape), l)
                     : NULL;
}

/* ---- run ---- */

typedef struct readers { sq_plans values, looks; } readers;   /* plans outlive the way back */

/* p [B,S] is what reads the unit vectors as values. */
static void compare_attention(sq_module *m, const story *s, readers *r, sq_var *u, sq_var *keys, int hop)
{
    float *units = sq__golden_room(m->golden, s->B * s->S * s->S), *shown = sq__golden_room(m->golden, s->B * s->S);
    if (!units || !shown || !sq__module_going(m)) return;
    for (int64_t i = 0; i < s->B * s->S; i++) units[i * s->S + i % s->S] = 1;
    const sq_var *p = sq__memory_read(&r->looks, m->tape, u, keys, sq__module_values(m, SQ_SHAPE(s->B, s->S, s->S), units, false), NULL);
    if (!sq__module_going(m) || !p) return;
    for (int64_t i = 0; i < s->B * s->S; i++) shown[s->torch ? i : i % s->S * s->B + i / s->S] = p->value[i];
    sq__golden_compare(m->golden, sq__golden_numbered(m->golden, "attention.hop%d", hop), shown, s->B * s->S);
}

static sq_var *answer(sq_module *m, const story *s, const tables *t, readers *r, bool look)
{
    sq_var *u = sentences(m, s, t->question, s->asked, 1, s->question);
    if (u) u = sq__reshape(m->tape, u, 2, (int64_t[]){ s->B, s->d });
    for (int k = 0; k < s->hops && u; k++) {
        sq_var *keys = sentences(m, s, t->keys[k], s->memory, s->S, s->J), *values = sentences(m, s, t->values[k], s->memory, s->S, s->J);
        if (look && keys) compare_attention(m, s, r, u, keys, k);
        u = sq__memory_answer(m->tape, u, sq__memory_read(&r->values, m->tape, u, keys, values, NULL), t->map, s->relu);
    }
    return u && t->answer ? sq__linear(m->tape, u, t->answer, NULL) : NULL;
}

static void compare_outputs(sq_module *m, const story *s, sq_var *logits)
{
    float *shown = sq__golden_room(m->golden, s->B * s->V);
    const sq_var *p = sq__softmax(m->tape, logits);
    if (!shown || !sq__module_going(m)) return;
    for (int64_t i = 0; i < s->B * s->V; i++) shown[s->torch ? i : i % s->V * s->B + i / s->V] = p->value[i];
    sq__golden_compare(m->golden, "answer_prob", shown, s->B * s->V);
    if (s->torch) sq__golden_compare(m->golden, "logits", logits->value, logits->count);
}

static sq_var *entropy_of(sq_module *m, const story *s, sq_var *logits)
{
    sq_var *entropy = logits ? sq__cross_entropy(m->tape, logits, s->targets, &(sq_cross_entropy){ .ignore = -100, .sum = true }) : NULL;
    if (entropy && sq__module_going(m)) sq__golden_compare(m->golden, "cross_entropy_sum", entropy->value, 1);
    return entropy;
}

/* The torch form's second loss: the same tables, gradients under names of their own. */
static void check_entropy(sq_module *m, const story *s, readers *r)
{
    tables t = { .question = NULL };
    sq_error error;
    enter_torch(m, s, &t, false);
    sq_var *entropy = sq__module_going(m) ? entropy_of(m, s, answer(m, s, &t, r, false)) : NULL;
    if (!entropy || !sq__module_going(m)) return;
    sq__golden_status(m->golden, sq__tape_backward(m->tape, entropy, NULL, &error), &error);
    for (int k = 0; k <= s->hops && sq__golden_going(m->golden); k++) {
        const sq_var *table = k ? t.values[k - 1] : t.question;
        sq__golden_compare(m->golden, sq__golden_numbered(m->golden, "ce_grad.C_%d.weight", k), table->gradient, table->count);
    }
}

static void check_story(sq_module *m, const story *s, readers *r)
{
    tables t = { .question = NULL };
    if (s->torch) enter_torch(m, s, &t, true);
    else enter_numpy(m, s, &t);
    sq_var *logits = sq__module_going(m) ? answer(m, s, &t, r, true) : NULL;
    if (!logits || !sq__module_going(m)) return;
    compare_outputs(m, s, logits);
    if (s->torch) sq__module_finish(m, logits);
    else sq__module_backward(m, entropy_of(m, s, logits), NULL);
}

void sq__family_memory_network(sq_golden *golden)
{
    readers r = { .values = { .clock = 0 } };
    sq_module module, second;
    sq_error error;
    story s;
    if (!read_story(golden, &s)) return;
    sq__golden_status(golden, sq__memory_reader(&r.values, s.d, s.d, s.S, 1, &error), &error);
    if (sq__golden_going(golden)) sq__golden_status(golden, sq__memory_reader(&r.looks, s.d, s.S, s.S, 1, &error), &error);
    if (sq__golden_going(golden) && sq__module_open(&module, golden)) {
        check_story(&module, &s, &r);
        sq__module_close(&module);
    }
    if (s.torch && sq__golden_has(golden, "ce_grad.C_0.weight") && sq__golden_going(golden) && sq__module_open(&second, golden)) {
        check_entropy(&second, &s, &r);
        sq__module_close(&second);
    }
    sq__plans_clear(&r.values);
    sq__plans_clear(&r.looks);
}
