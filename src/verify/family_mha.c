/* mha: multi-head attention with projections, by the attention block that models are made of: self attention through one packed
 * projection, anything else as cross attention. */
#include "nn/attention_block.h"
#include "verify/core.h"
#include "verify/families.h"
#include "verify/module.h"

typedef struct shape { int64_t B, T, N, width, key_width, value_width, heads, dk, dv; bool bias; } shape;

static bool read_shape(sq_golden *golden, shape *s)
{
    const sq_st_tensor *x = sq__golden_tensor(golden, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    if (!x) return false;
    *s = (shape){ .B = x->shape[0], .T = x->shape[1], .N = x->shape[1], .width = x->shape[2], .key_width = x->shape[2] };
    if (sq__golden_has(golden, "xk")) {
        const sq_st_tensor *xk = sq__golden_tensor(golden, "xk", SQ_SHAPE(s->B, SQ_ANY, SQ_ANY));
        if (!xk) return false;
        s->N = xk->shape[1], s->key_width = xk->shape[2];
    }
    s->value_width = s->key_width;
    if (sq__golden_has(golden, "xv")) {
        const sq_st_tensor *xv = sq__golden_tensor(golden, "xv", SQ_SHAPE(s->B, s->N, SQ_ANY));
        if (!xv) return false;
        s->value_width = xv->shape[2];
    }
    const sq_st_tensor *wq = sq__golden_tensor(golden, "wq", SQ_SHAPE(SQ_ANY, s->width));
    const sq_st_tensor *wv = sq__golden_tensor(golden, "wv", SQ_SHAPE(SQ_ANY, s->value_width));
    s->heads = sq__golden_count(golden, "H", -1);
    if (!wq || !wv || !sq__golden_going(golden)) return false;
    if (s->heads < 1 || wq->shape[0] % s->heads || wv->shape[0] % s->heads) {
        sq__golden_fail(golden, "%lld rows of wq and %lld of wv cannot be shared by %lld heads", (long long)wq->shape[0],
                        (long long)wv->shape[0], (long long)s->heads);
        return false;
    }
    s->dk = wq->shape[0] / s->heads, s->dv = wv->shape[0] / s->heads;
    s->bias = sq__golden_has(golden, "bq");
    return true;
}

static void load(sq_module *m, const shape *s, bool cross)
{
    static const char *const parts[] = { "query", "key", "value" };
    const int64_t rows[] = { s->heads * s->dk, s->heads * s->dk, s->heads * s->dv };
    int64_t row = 0;
    for (int i = 0; i < 3; i++) {
        char name[64], weight[3] = { 'w', "qkv"[i] }, bias[3] = { 'b', "qkv"[i] };
        snprintf(name, sizeof name, "%s.weight", cross ? parts[i] : "query_key_value");
        char with[80];
        snprintf(with, sizeof with, "a.%s", name);
        sq__module_parameter(m, with, cross ? 0 : row, rows[i], weight);
        snprintf(with, sizeof with, "a.%s.bias", cross ? parts[i] : "query_key_value");
        if (s->bias) sq__module_parameter(m, with, cross ? 0 : row, rows[i], bias);
        row += rows[i];
    }
    sq__module_parameter(m, "a.output.weight", 0, s->width, "wo");
    if (s->bias) sq__module_parameter(m, "a.output.bias", 0, s->width, "bo");
}

static void run(sq_module *m, const shape *s)
{
    sq_golden *golden = m->golden;
    const bool cross = sq__golden_has(golden, "xk") || sq__golden_has(golden, "xv");
    const bool masked = sq__golden_has(golden, "key_padding_keep"), causal = sq__golden_flag(golden, "causal", false);
    const sq_attention_block_config config = { .mechanism = "softmax", .width = s->width, .heads = s->heads, .head_size = s->dk, .value_size = s->dv,
                                               .key_width = s->key_width, .value_width = s->value_width, .max_length = s->N > s->T ? s->N : s->T,
                                               .cross = cross, .causal = causal, .mask = masked, .bias = s->bias, .threads = 1 };
    sq_attention_block block = { .tensor_count = 0 };
    sq_error error;
    sq__golden_status(golden, sq__attention_block_create(&block, &m->set, "a", &config, NULL, false, &error), &error);
    load(m, s, cross);
    sq_attention_block_inputs inputs = { .x = sq__module_input(m, "x", SQ_SHAPE(s->B, s->T, s->width)) };
    if (cross) inputs.keys = sq__golden_has(golden, "xk") ? sq__module_input(m, "xk", SQ_SHAPE(s->B, s->N, s->key_width)) : inputs.x;
    if (sq__golden_has(golden, "xv")) inputs.values = sq__module_input(m, "xv", SQ_SHAPE(s->B, s->N, s->value_width));
    if (masked) inputs.key_keep = sq__golden_mask(golden, "key_padding_keep", SQ_SHAPE(s->B, s->N));
    if (sq__module_going(m)) sq__module_finish(m, sq__attention_block_run(&block, m->tape, &inputs));
    sq__attention_block_clear(&block);
}

void sq__family_mha(sq_golden *golden)
{
    sq_module module;
    shape s;
    if (sq__golden_scale(golden) != 0) sq__golden_skip(golden, "a scale of its own is unknown to this build's multi-head attention");
    if (!read_shape(golden, &s)) return;
    if (sq__module_open(&module, golden)) run(&module, &s);
    sq__module_close(&module);
}
