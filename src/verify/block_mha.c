#include "verify/block_mha.h"

#include <math.h>
#include <string.h>

typedef struct mha {
    sq_module *m;
    int64_t B, T, N, width, heads, D;  /* N: keys as given */
    int64_t more;                      /* keys put in front: a learned one, a zero one */
    sq_var *q, *k, *v;
    const float *bias;                 /* [T,N] added to the scores; NULL */
    const uint8_t *hidden_keys, *hidden_pairs;   /* [B,N], [T,N]: 1 = not attended */
    sq_attention *plan;
} mha;

/* Rows i*width .. of the packed in_proj, or a weight of its own when widths differ. Its gradient is compared by hand: three parts. */
static sq_var *project(mha *a, sq_var *x, sq_var *packed_weight, sq_var *packed_bias, int part, const char *own)
{
    sq_tape *tape = a->m->tape;
    const int64_t shape[2] = { a->width, x->shape[2] };
    sq_var *weight = packed_weight ? NULL : sq__module_input(a->m, own, SQ_SHAPE(a->width, x->shape[2])), *bias = NULL;
    if (packed_weight) {   /* rows of a matrix: columns of its transpose */
        sq_var *turned = sq__slice(tape, sq__transpose(tape, packed_weight), part * a->width, a->width);
        weight = turned ? sq__transpose(tape, turned) : NULL;
    }
    if (packed_bias) bias = sq__slice(tape, packed_bias, part * a->width, a->width);
    return sq__module_going(a->m) && weight ? sq__linear(tape, x, sq__reshape(tape, weight, 2, shape), bias) : NULL;
}

static bool read(mha *a)
{
    sq_module *m = a->m;
    sq_golden *golden = m->golden;
    sq_var *query = sq__module_input(m, "query", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    sq_var *key = query ? sq__module_input(m, "key", SQ_SHAPE(query->shape[0], SQ_ANY, SQ_ANY)) : NULL;
    sq_var *value = key ? sq__module_input(m, "value", SQ_SHAPE(query->shape[0], key->shape[1], SQ_ANY)) : NULL;
    if (!value) return false;
    a->B = query->shape[0], a->T = query->shape[1], a->width = query->shape[2], a->N = key->shape[1];
    a->heads = sq__golden_count(golden, "heads", -1);
    if (a->heads < 1 || a->width % a->heads) sq__golden_fail(golden, "%lld heads do not divide width %lld", (long long)a->heads, (long long)a->width);
    if (!sq__golden_going(golden)) return false;
    a->D = a->width / a->heads;
    sq_var *weight = sq__module_optional(m, "param.in_proj_weight", SQ_SHAPE(3 * a->width, a->width));
    sq_var *bias = sq__module_optional(m, "param.in_proj_bias", SQ_SHAPE(3 * a->width));
    if (!sq__module_going(m)) return false;
    if (weight && (key->shape[2] != a->width || value->shape[2] != a->width))
        sq__golden_fail(golden, "in_proj_weight needs keys and values as wide as queries");
    if (!sq__golden_going(golden)) return false;
    a->q = project(a, query, weight, bias, 0, "param.q_proj_weight");
    a->k = project(a, key, weight, bias, 1, "param.k_proj_weight");
    a->v = project(a, value, weight, bias, 2, "param.v_proj_weight");
    if (sq__golden_has(golden, "additive_mask")) a->bias = sq__golden_floats(golden, "additive_mask", SQ_SHAPE(a->T, a->N));
    if (sq__golden_has(golden, "key_padding_mask")) a->hidden_keys = sq__golden_mask(golden, "key_padding_mask", SQ_SHAPE(a->B, a->N));
    if (sq__golden_has(golden, "attn_mask")) a->hidden_pairs = sq__golden_mask(golden, "attn_mask", SQ_SHAPE(a->T, a->N));
    return sq__module_going(m);
}

/* Keys in front instead of behind: softmax does not mind the order of keys. */
static void put_in_front(mha *a)
{
    sq_module *m = a->m;
    sq_golden *golden = m->golden;
    const int64_t shape[1] = { a->width };
    if (sq__golden_flag(golden, "add_bias_kv", false)) {
        sq_var *bias_k = sq__module_input(m, "param.bias_k", SQ_SHAPE(1, 1, a->width));
        sq_var *bias_v = sq__module_input(m, "param.bias_v", SQ_SHAPE(1, 1, a->width));
        if (!sq__module_going(m)) return;
        a->k = sq__prepend(m->tape, sq__reshape(m->tape, bias_k, 1, shape), a->k);
        a->v = sq__prepend(m->tape, sq__reshape(m->tape, bias_v, 1, shape), a->v);
        a->more++;
    }
    if (sq__golden_flag(golden, "add_zero_attn", false)) {
        sq_var *zero = sq__module_values(m, 1, shape, sq__golden_room(golden, a->width), false);
        if (!zero) return;
        a->k = sq__prepend(m->tape, zero, a->k);
        a->v = sq__prepend(m->tape, zero, a->v);
        a->more++;
    }
}

/* Scores get b_ij by T further features: query i has a 1 at feature i, key j has sqrt(D) b_ij at each feature i. */
static sq_var *widened(mha *a, sq_var *x, bool keys)
{
    const int64_t rows = x->shape[1], more = a->more;
    float *features = sq__golden_room(a->m->golden, a->B * rows * a->heads * a->T);
    const float root = sqrtf((float)a->D);
    for (int64_t i = 0; features && i < a->B * rows * a->heads; i++) {
        const int64_t row = i / a->heads % rows;
        float *at = features + i * a->T;
        if (!keys) at[row] = 1;
        else if (row >= more) for (int64_t t = 0; t < a->T; t++) at[t] = root * a->bias[t * a->N + row - more];
    }
    sq_tape *tape = a->m->tape;
    sq_var *added = sq__module_values(a->m, SQ_SHAPE(a->B, rows, a->heads, a->T), features, false);
    sq_var *own = sq__reshape(tape, x, 4, (const int64_t[]){ a->B, rows, a->heads, a->D });
    if (!added || !own) return NULL;
    sq_var *both = sq__concatenate(tape, (sq_var *[]){ own, added }, 2);
    return both ? sq__reshape(tape, both, 3, (const int64_t[]){ a->B, rows, a->heads * (a->D + a->T) }) : NULL;
}

/* [T, more + N] of pairs that may be seen, and [B, more + N] of keys. */
static void masks(mha *a, const uint8_t **key_keep, const uint8_t **pair_keep)
{
    const int64_t all = a->N + a->more;
    const struct { const uint8_t *hidden; int64_t rows; const uint8_t **keep; } both[] = {
        { a->hidden_keys, a->B, key_keep }, { a->hidden_pairs, a->T, pair_keep },
    };
    for (int i = 0; i < 2; i++) {
        *both[i].keep = NULL;
        if (!both[i].hidden) continue;
        uint8_t *keep = sq__golden_memory(a->m->golden, both[i].rows * all, 1);
        for (int64_t j = 0; keep && j < both[i].rows * all; j++)
            keep[j] = j % all < a->more || !both[i].hidden[j / all * a->N + j % all - a->more];
        *both[i].keep = keep;
    }
}

static sq_attention *make_plan(mha *a, int64_t values)
{
    sq_attention *plan = NULL;
    sq_error error;
    const sq_attention_desc desc = { .mechanism = "softmax", .B = a->B, .H = a->heads, .T = a->T, .N = a->N + a->more,
                                     .D = a->D + (a->bias ? a->T : 0),
                                     .M = values, .mask = true, .scale = 1 / sqrtf((float)a->D), .threads = 1 };
    sq__golden_status(a->m->golden, sq_attention_create(&plan, &desc, &error), &error);
    return plan;
}

/* The weights are what attention gives for values that are unit vectors; keys that were put in front go back behind. */
static void compare_weights(mha *a, const sq_attention_inputs *given)
{
    sq_module *m = a->m;
    sq_golden *golden = m->golden;
    const int64_t all = a->N + a->more, count = a->B * a->heads * a->T * all;
    sq_attention *plan = make_plan(a, all);
    sq_tape *tape = plan ? sq__tape_create(false) : NULL;
    float *units = sq__golden_room(golden, a->B * all * a->heads * all), *weights = sq__golden_room(golden, count);
    if (plan && !tape) sq__golden_status(golden, SQ_NO_MEMORY, NULL);
    if (tape && units && weights) {
        for (int64_t i = 0; i < a->B * all * a->heads; i++) units[i * all + i / a->heads % all] = 1;
        sq_attention_inputs inputs = *given;
        inputs.q = sq__tape_input(tape, 3, given->q->shape, given->q->value, false);
        inputs.k = sq__tape_input(tape, 3, given->k->shape, given->k->value, false);
        inputs.v = sq__tape_input(tape, SQ_SHAPE(a->B, all, a->heads * all), units, false);
        sq_var *out = inputs.v ? sq__attention(tape, plan, &inputs) : NULL;
        for (int64_t i = 0; out && i < count; i++) {
            const int64_t column = i % all, t = i / all % a->T, h = i / all / a->T % a->heads, b = i / all / a->T / a->heads;
            const int64_t from = column < a->N ? a->more + column : a->N + a->more - 1 - column;   /* in front: the last put is first */
            weights[i] = out->value[((b * a->T + t) * a->heads + h) * all + from];
        }
        if (out) sq__golden_compare(golden, "attention", weights, count);
    }
    sq__tape_destroy(tape);
    sq_attention_destroy(&plan);
}

void sq__block_mha(sq_module *m)
{
    mha a = { .m = m };
    sq_golden *golden = m->golden;
    if (!read(&a)) return;
    put_in_front(&a);
    sq_attention_inputs inputs = { .v = a.v };
    masks(&a, &inputs.key_keep, &inputs.pair_keep);
    if (!sq__module_going(m)) return;
    inputs.q = a.bias ? widened(&a, a.q, false) : a.q;
    inputs.k = a.bias ? widened(&a, a.k, true) : a.k;
    a.plan = make_plan(&a, a.D);
    if (sq__module_going(m) && sq__golden_has(golden, "attention")) compare_weights(&a, &inputs);
    sq_var *y = sq__module_going(m) ? sq__attention(m->tape, a.plan, &inputs) : NULL;
    sq_var *weight = y ? sq__module_input(m, "param.out_proj.weight", SQ_SHAPE(a.width, a.width)) : NULL;
    sq_var *bias = weight ? sq__module_optional(m, "param.out_proj.bias", SQ_SHAPE(a.width)) : NULL;
    if (sq__module_going(m) && weight) sq__module_finish(m, sq__linear(m->tape, y, weight, bias));
    sq__tape_reset(m->tape);   /* it borrows the plan */
    sq_attention_destroy(&a.plan);
}
