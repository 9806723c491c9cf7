#include "verify/heads.h"

#include "base/status.h"

bool sq__heads_open(sq_heads *heads, sq_golden *golden, const char *mechanism)
{
    *heads = (sq_heads){ .desc = { .mechanism = mechanism, .scale = 0 } };
    return sq__module_open(&heads->module, golden);
}

void sq__heads_close(sq_heads *heads)
{
    sq__module_close(&heads->module);   /* borrows the plan */
    sq_attention_destroy(&heads->plan);
}

void sq__heads_option(sq_heads *heads, const char *key, const char *value)
{
    heads->options[heads->option_count++] = (sq_option){ key, value };
}

static sq_var *project(sq_heads *heads, sq_var *x, const char *weight, const char *bias)
{
    sq_module *m = &heads->module;
    if (!x) return NULL;
    sq_var *w = sq__module_input(m, weight, SQ_SHAPE(SQ_ANY, x->shape[2]));
    sq_var *b = bias && w ? sq__module_input(m, bias, SQ_SHAPE(w->shape[0])) : NULL;
    return sq__module_going(m) ? sq__linear(m->tape, x, w, b) : NULL;
}

bool sq__heads_read(sq_heads *heads, bool query_bias, bool key_value_bias)
{
    sq_module *m = &heads->module;
    sq_golden *golden = m->golden;
    const int64_t H = sq__golden_count(golden, *sq__golden_text(golden, "H", "") ? "H" : "heads", -1);
    heads->x = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    if (!heads->x) return false;
    const char *context = sq__golden_has(golden, "context") ? "context" : sq__golden_has(golden, "xk") ? "xk" : NULL;
    heads->context = context ? sq__module_input(m, context, SQ_SHAPE(heads->x->shape[0], SQ_ANY, SQ_ANY)) : heads->x;
    heads->q = project(heads, heads->x, "wq", query_bias ? "bq" : NULL);
    heads->k = project(heads, heads->context, "wk", key_value_bias ? "bk" : NULL);
    heads->v = sq__golden_has(golden, "wv") ? project(heads, heads->context, "wv", key_value_bias ? "bv" : NULL) : heads->k;
    if (!sq__module_going(m)) return false;
    sq_attention_desc *d = &heads->desc;
    const int64_t queries = heads->q->shape[2], keys = heads->k->shape[2], values = heads->v->shape[2];
    if (H < 1 || queries % H || keys % (queries / H) || H % (keys / (queries / H)) || values % (keys / (queries / H))) {
        sq__golden_fail(golden, "widths %lld, %lld and %lld of queries, keys and values do not go into %lld heads", (long long)queries,
                        (long long)keys,
                        (long long)values, (long long)H);
        return false;
    }
    d->B = heads->x->shape[0], d->T = heads->x->shape[1], d->N = heads->context->shape[1], d->H = H, d->D = queries / H;
    d->key_heads = keys / d->D, d->M = values / d->key_heads;
    return true;
}

sq_var *sq__heads_mask(sq_heads *heads, sq_var *rows, const uint8_t *keep)
{
    sq_module *m = &heads->module;
    if (!rows || !keep || !sq__module_going(m)) return rows;
    const int64_t width = rows->shape[2], count = rows->count / width;
    float *mask = sq__golden_room(m->golden, rows->count);
    for (int64_t i = 0; mask && i < count; i++)
        for (int64_t j = 0; j < width; j++) mask[i * width + j] = keep[i];
    sq_var *factor = sq__module_values(m, rows->rank, rows->shape, mask, false);
    return factor ? sq__multiply(m->tape, rows, factor) : NULL;
}

sq_var *sq__heads_attend(sq_heads *heads)
{
    sq_module *m = &heads->module;
    sq_error error;
    if (!sq__module_going(m)) return NULL;
    heads->desc.options = heads->options;
    heads->desc.option_count = heads->option_count;
    heads->desc.key_mask = heads->key_keep != NULL;
    heads->desc.global_tokens = heads->global_tokens != NULL;
    sq__golden_status(m->golden, sq_attention_create(&heads->plan, &heads->desc, &error), &error);
    if (!heads->plan) return NULL;
    const int count = sq_attention_tensor_count(heads->plan);
    if (count != heads->tensor_count) {
        sq__golden_fail(m->golden, "the mechanism has %d tensors of its own; the file gives %d", count, heads->tensor_count);
        return NULL;
    }
    const sq_attention_inputs inputs = { .q = heads->q, .k = heads->k, .v = heads->v, .tensors = heads->tensors, .inputs = heads->inputs,
                                         .key_keep = heads->key_keep, .global_tokens = heads->global_tokens };
    return sq__attention(m->tape, heads->plan, &inputs);
}

void sq__heads_finish(sq_heads *heads, sq_var *y)
{
    sq_module *m = &heads->module;
    if (!sq__module_going(m) || !y) return;
    if (!sq__golden_has(m->golden, "wo")) {
        sq__module_finish(m, y);
        return;
    }
    sq_var *wo = sq__module_input(m, "wo", SQ_SHAPE(SQ_ANY, y->shape[2]));
    sq_var *bo = wo ? sq__module_optional(m, "bo", SQ_SHAPE(wo->shape[0])) : NULL;
    if (sq__module_going(m)) sq__module_finish(m, sq__linear(m->tape, y, wo, bo));
}
