#include "nn/luna.h"

#include <math.h>

#include "autograd/mean_scan.h"

typedef struct place { sq_parameters *set; const char *prefix; int64_t width; } place;

static sq_status create_linear(sq_linear *layer, const place *at, const char *name, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%.70s.%s", at->prefix, name);
    return sq__linear_create(layer, at->set, full, at->width, at->width, true, error);
}

/* ---- attention ---- */

static sq_status create_plans(sq_plans **plans, int64_t heads, int64_t T, int64_t N, const sq_luna_config *c, sq_error *error)
{
    const sq_attention_desc desc = { .mechanism = "softmax", .B = 1, .H = heads, .T = T, .N = N, .D = c->width / heads, .M = c->width / heads, .lengths = true,
                                     .threads = c->threads };
    sq_plans *made = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    const sq_status status = sq__plans_create(made, &desc, error);
    if (status == SQ_OK) *plans = made;
    else sq__free(made);
    return status;
}

static sq_status create_slots(sq_luna_attention *a, sq_carry_layout *layout, const char *prefix, sq_error *error)
{
    const sq_luna_config *c = &a->config;
    const int64_t D = c->width / c->heads;
    if (!layout) return SQ_OK;
    SQ_TRY(sq__carry_add(layout, prefix, "keys", 3, (const int64_t[]){ c->heads, D, c->latents }, &a->keys, error));
    return sq__carry_add(layout, prefix, "values", 3, (const int64_t[]){ c->heads, c->latents, D }, &a->values, error);
}

sq_status sq__luna_attention_create(sq_luna_attention *attention, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_luna_config *config,
                                    sq_error *error)
{
    sq_luna_attention *a = attention;
    const place at = { set, prefix, config->width };
    *a = (sq_luna_attention){ .config = *config };
    if (!config->pack_heads) a->config.pack_heads = config->heads;
    const sq_luna_config *c = &a->config;
    if (c->heads < 1 || c->pack_heads < 1 || c->width % c->heads || c->width % c->pack_heads || c->latents < 1)
        return sq__fail(error, SQ_INVALID, "%s: %lld heads, %lld to pack, over a width of %lld and %lld packed rows; expected divisors of the width and at least 1 row",
                        prefix, (long long)c->heads, (long long)c->pack_heads, (long long)c->width, (long long)c->latents);
    SQ_TRY(create_linear(&a->pack_query, &at, "pack_query", error));
    SQ_TRY(create_linear(&a->pack_key, &at, c->tied || c->causal ? "pack" : "pack_key", error));
    if (!c->tied && !c->causal) SQ_TRY(create_linear(&a->pack_value, &at, "pack_value", error));
    SQ_TRY(create_linear(&a->query, &at, "query", error));
    SQ_TRY(create_linear(&a->key, &at, c->tied ? "context" : "key", error));
    if (!c->tied) SQ_TRY(create_linear(&a->value, &at, "value", error));
    SQ_TRY(create_linear(&a->output, &at, "output", error));
    if (c->causal) return create_slots(a, layout, prefix, error);
    SQ_TRY(create_plans(&a->pack_plans, c->pack_heads, c->latents, c->max_length, c, error));
    return create_plans(&a->plans, c->heads, c->max_length, c->latents, c, error);
}

void sq__luna_attention_clear(sq_luna_attention *attention)
{
    sq_plans *plans[] = { attention->pack_plans, attention->plans };
    for (int i = 0; i < 2; i++)
        if (plans[i]) {
            sq__plans_clear(plans[i]);
            sq__free(plans[i]);
        }
    *attention = (sq_luna_attention){ .plans = NULL };
}

/* Rows of x over rows of y; value: a projection, or that of the keys where value->set is NULL. */
static sq_var *attend(sq_plans *plans, sq_tape *tape, const sq_linear *query, sq_var *x, const sq_linear *key, const sq_linear *value, sq_var *y,
                      const int32_t *lengths)
{
    const sq_attention *plan = NULL;
    sq_error error;
    sq_attention_inputs in = { .q = sq__linear_run(query, tape, x), .k = sq__linear_run(key, tape, y), .lengths = lengths };
    in.v = value->set ? sq__linear_run(value, tape, y) : in.k;
    if (sq__tape_status(tape, NULL) != SQ_OK) return NULL;
    if (sq__plans_get(plans, x->shape[0], x->shape[1], y->shape[1], &plan, &error) != SQ_OK) {
        sq__tape_fail(tape, &error);
        return NULL;
    }
    return sq__attention(tape, plan, &in);
}

static sq_var *softmax_by_heads(sq_tape *tape, sq_var *scores, int64_t heads)
{
    if (!scores) return NULL;
    const int64_t B = scores->shape[0], T = scores->shape[1], S = scores->shape[2];
    sq_var *rows = sq__reshape(tape, scores, 4, (const int64_t[]){ B, T, heads, S / heads });
    return sq__reshape(tape, sq__softmax(tape, rows), 3, (const int64_t[]){ B, T, S });
}

static sq_var *attend_causal(const sq_luna_attention *a, sq_tape *tape, sq_var *x, sq_var *packed, const int32_t *lengths, sq_carry *carry)
{
    const int64_t H = a->config.heads;
    const float scale = (float)(1 / sqrt((double)(a->config.width / H))), beta = 0.693147180559945309f;
    const int64_t *seen = carry ? carry->seen : NULL;
    const sq_mean_scan over_keys = { H, scale, lengths, carry ? carry->values[a->keys] : NULL, seen };
    const sq_mean_scan over_values = { H, 1, lengths, carry ? carry->values[a->values] : NULL, seen };
    sq_var *z = sq__head_scores(tape, sq__linear_run(&a->pack_key, tape, x), sq__linear_run(&a->pack_query, tape, packed), H, scale * beta);
    sq_var *w = sq__scale(tape, sq__activate(tape, z, SQ_SOFTPLUS), 1 / beta);
    sq_var *k = sq__linear_run(&a->key, tape, x), *v = a->value.set ? sq__linear_run(&a->value, tape, x) : k;
    sq_var *shares = softmax_by_heads(tape, sq__mean_scan(tape, sq__linear_run(&a->query, tape, x), k, w, &over_keys), H);
    return sq__mean_scan(tape, shares, w, v, &over_values);
}

sq_var *sq__luna_attention_run(const sq_luna_attention *a, sq_tape *tape, sq_var *x, sq_var **packed, const int32_t *lengths, sq_carry *carry, float dropout,
                               sq_var *residual)
{
    sq_scope scope = sq__scope_begin(tape);
    sq_var *mixed;
    if (a->config.causal) {
        mixed = attend_causal(a, tape, x, *packed, lengths, carry);
    } else {
        *packed = attend(a->pack_plans, tape, &a->pack_query, *packed, &a->pack_key, &a->pack_value, x, lengths);
        mixed = *packed ? attend(a->plans, tape, &a->query, x, &a->key, &a->value, *packed, NULL) : NULL;
    }
    sq_var *out = sq__linear_run_residual(&a->output, tape, mixed, dropout, residual);
    sq__scope_end(tape, scope, out, *packed);
    return out;
}

/* ---- layer ---- */

static sq_status create_norm(sq_norm *norm, const place *at, const char *name, sq_error *error)
{
    char full[96];
    snprintf(full, sizeof full, "%.70s.%s", at->prefix, name);
    return sq__norm_create(norm, at->set, full, at->width, 1e-5f, error);
}

sq_status sq__luna_layer_create(sq_luna_layer *layer, sq_parameters *set, sq_carry_layout *layout, const char *prefix, const sq_luna_config *config,
                                sq_error *error)
{
    const place at = { set, prefix, config->width };
    char full[96];
    snprintf(full, sizeof full, "%.70s.attention", prefix);
    SQ_TRY(sq__luna_attention_create(&layer->attention, set, layout, full, config, error));
    SQ_TRY(create_norm(&layer->attention_norm, &at, "attention_norm", error));
    if (!config->causal) SQ_TRY(create_norm(&layer->packed_norm, &at, "packed_norm", error));
    SQ_TRY(create_norm(&layer->feed_forward_norm, &at, "feed_forward_norm", error));
    snprintf(full, sizeof full, "%.70s.feed_forward", prefix);
    return sq__feed_forward_create(&layer->feed_forward, set, full, config->width, config->feed_forward, config->activation, error);
}

void sq__luna_layer_clear(sq_luna_layer *layer)
{
    sq__luna_attention_clear(&layer->attention);
}

sq_var *sq__luna_layer_run(const sq_luna_layer *layer, sq_tape *tape, sq_var *x, sq_var **packed, const int32_t *lengths, sq_carry *carry)
{
    const sq_luna_config *c = &layer->attention.config;
    const bool moves = !c->causal;
    sq_scope scope = sq__scope_begin(tape);
    sq_var *in = c->pre_norm ? sq__norm_run(&layer->attention_norm, tape, x) : x, *before = *packed;
    if (moves && c->pre_norm) *packed = sq__norm_run(&layer->packed_norm, tape, before);
    x = sq__luna_attention_run(&layer->attention, tape, in, packed, lengths, carry, c->dropout, x);
    if (moves) *packed = sq__add(tape, before, *packed);
    if (!c->pre_norm) {
        x = sq__norm_run(&layer->attention_norm, tape, x);
        if (moves) *packed = sq__norm_run(&layer->packed_norm, tape, *packed);
    }
    sq_var *fed = c->pre_norm ? sq__norm_run(&layer->feed_forward_norm, tape, x) : x;
    x = sq__feed_forward_run(&layer->feed_forward, tape, fed, c->dropout, x);
    if (!c->pre_norm) x = sq__norm_run(&layer->feed_forward_norm, tape, x);
    sq__scope_end(tape, scope, x, *packed);
    return x;
}
