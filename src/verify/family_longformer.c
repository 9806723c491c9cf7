/* longformer: windows on given q, k, v, and modules with global tokens and their own projections, without the output projection. */
#include <stdio.h>
#include <string.h>

#include "verify/core.h"
#include "verify/families.h"
#include "verify/heads.h"

/* "1,4" from the tensor [H], or the one number. */
static const char *dilation_of(sq_golden *golden)
{
    enum { ROOM = 256 };
    if (!sq__golden_has(golden, "dilation")) return sq__golden_digits(golden, sq__golden_count(golden, "dilation", -1));
    const sq_st_tensor *tensor = sq__golden_tensor(golden, "dilation", SQ_SHAPE(SQ_ANY));
    const int32_t *values = tensor ? sq__golden_ints(golden, "dilation", SQ_SHAPE(tensor->count)) : NULL;
    char *text = sq__golden_memory(golden, ROOM, 1);
    size_t used = 0;
    for (int64_t h = 0; values && text && h < tensor->count; h++) {
        used += (size_t)snprintf(text + used, ROOM - used, h ? ",%d" : "%d", values[h]);
        if (used >= ROOM - 12) sq__golden_skip(golden, "%lld dilations are more than this build can take", (long long)tensor->count);
        if (!sq__golden_going(golden)) break;
    }
    return text ? text : "";
}

static void run_window(sq_golden *golden)
{
    sq_core core = { .desc = { .mechanism = "longformer", .causal = sq__golden_flag(golden, "causal", false), .scale = sq__golden_scale(golden) } };
    sq__core_option(&core, "window", sq__golden_digits(golden, sq__golden_count(golden, "window_one_sided", -1)));
    sq__core_option(&core, "dilation", dilation_of(golden));
    sq__core_option(&core, "globals", "0");
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}

static sq_var *project(sq_heads *h, const char *weight, const char *bias)
{
    sq_module *m = &h->module;
    sq_var *w = sq__module_input(m, weight, SQ_SHAPE(SQ_ANY, h->x->shape[2]));
    sq_var *b = w ? sq__module_input(m, bias, SQ_SHAPE(w->shape[0])) : NULL;
    return sq__module_going(m) ? sq__linear(m->tape, h->x, w, b) : NULL;
}

/* token_kind: 1 global, 0 ordinary, -1 padding, which nobody sees and whose rows are zeros. */
static void run_module(sq_golden *golden)
{
    sq_heads h;
    if (sq__heads_open(&h, golden, "longformer") && sq__heads_read(&h, true, true)) {
        const int64_t B = h.desc.B, N = h.desc.N;
        const int32_t *kind = sq__golden_ints(golden, "token_kind", SQ_SHAPE(B, N));
        uint8_t *keep = sq__golden_memory(golden, B * N, 1), *global = sq__golden_memory(golden, B * N, 1);
        for (int64_t i = 0; kind && keep && global && i < B * N; i++) keep[i] = kind[i] >= 0, global[i] = kind[i] == 1;
        h.key_keep = keep, h.global_tokens = global;
        h.desc.causal = sq__golden_flag(golden, "causal", false);
        sq__heads_option(&h, "window", sq__golden_digits(golden, sq__golden_count(golden, "window_one_sided", -1)));
        h.inputs[0] = project(&h, "wq_g", "bq_g");
        h.inputs[1] = project(&h, "wk_g", "bk_g");
        h.inputs[2] = project(&h, "wv_g", "bv_g");
        sq_var *out = sq__heads_mask(&h, sq__heads_attend(&h), keep);
        if (out && sq__module_going(&h.module)) sq__module_finish(&h.module, out);
    }
    sq__heads_close(&h);
}

void sq__family_longformer(sq_golden *golden)
{
    if (sq__golden_has(golden, "x")) run_module(golden);
    else run_window(golden);
}
