/* linformer: the pure core, and the modules of three public implementations. How each maps onto the mechanism's options and tensors
 * is said in attention/linformer.c. */
#include <string.h>

#include "verify/core.h"
#include "verify/families.h"
#include "verify/heads.h"

/* ---- core ---- */

static void run_core(sq_golden *golden)
{
    const sq_st_tensor *E = sq__golden_tensor(golden, "E", SQ_SHAPE(SQ_ANY, SQ_ANY));
    const bool own_F = sq__golden_has(golden, "F"), backward = sq__golden_has(golden, "g");
    if (!E) return;
    const int64_t rank = E->shape[0], longest = E->shape[1];
    sq_core core = { .desc = { .mechanism = "linformer", .max_length = longest, .scale = sq__golden_scale(golden) }, .tensor_count = own_F ? 2 : 1 };
    sq__core_option(&core, "rank", sq__golden_digits(golden, rank));
    sq__core_option(&core, "sharing", own_F ? "headwise" : "key-value");
    core.tensors[0] = (sq_core_tensor){ sq__golden_floats(golden, "E", SQ_SHAPE(rank, longest)), rank * longest, backward ? "dE" : NULL };
    if (own_F) core.tensors[1] = (sq_core_tensor){ sq__golden_floats(golden, "F", SQ_SHAPE(rank, longest)), rank * longest, backward ? "dF" : NULL };
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}

/* ---- modules ---- */

static sq_var *reshape3(sq_module *m, sq_var *x, int64_t a, int64_t b, int64_t c)
{
    return x ? sq__reshape(m->tape, x, 3, (const int64_t[]){ a, b, c }) : NULL;
}

/* E or F stored as [projections, sequence, rank], into the mechanism's [projections, rank, sequence]. */
static sq_var *transposed(sq_module *m, sq_var *x, int64_t projections, int64_t sequence, int64_t rank)
{
    if (!x) return NULL;
    x = reshape3(m, x, projections, sequence, rank);
    x = sq__transpose(m->tape, x);
    x = x ? sq__reshape(m->tape, x, 2, (const int64_t[]){ sequence, projections * rank }) : NULL;
    x = x ? sq__transpose(m->tape, x) : NULL;
    return reshape3(m, x, projections, rank, sequence);
}

static void lucidrains(sq_heads *h)
{
    sq_module *m = &h->module;
    if (!sq__heads_read(h, false, false)) return;
    const bool own_F = sq__golden_has(m->golden, "F");
    sq_var *E = sq__module_input(m, "E", SQ_SHAPE(SQ_ANY, SQ_ANY));
    if (!E) return;
    const int64_t longest = E->shape[0], rank = E->shape[1];
    h->desc.max_length = longest;
    sq__heads_option(h, "rank", sq__golden_digits(m->golden, rank));
    sq__heads_option(h, "sharing", own_F ? "headwise" : "key-value");
    h->tensors[h->tensor_count++] = transposed(m, E, 1, longest, rank);
    if (own_F) h->tensors[h->tensor_count++] = transposed(m, sq__module_input(m, "F", SQ_SHAPE(longest, rank)), 1, longest, rank);
    sq__heads_finish(h, sq__heads_attend(h));
}

/* The input is compressed before it is projected; so the bias of keys adds the same number to all scores of a query and drops out
 * (its gradient is zero), and the bias of values is added to every row of the result. */
static void fairseq(sq_heads *h)
{
    sq_module *m = &h->module;
    sq_golden *golden = m->golden;
    const bool biased = sq__golden_has(golden, "bq"), own_F = sq__golden_has(golden, "F");
    if (!sq__heads_read(h, biased, false)) return;
    sq_var *E = sq__module_input(m, "E", SQ_SHAPE(SQ_ANY, SQ_ANY));
    if (!E) return;
    const int64_t rank = E->shape[0], longest = E->shape[1];
    h->desc.max_length = longest;
    sq__heads_option(h, "rank", sq__golden_digits(golden, rank));
    sq__heads_option(h, "sharing", own_F ? "headwise" : "key-value");
    h->tensors[h->tensor_count++] = reshape3(m, E, 1, rank, longest);
    if (own_F) h->tensors[h->tensor_count++] = reshape3(m, sq__module_input(m, "F", SQ_SHAPE(rank, longest)), 1, rank, longest);
    sq_var *y = sq__heads_attend(h);
    if (biased && y) {
        const int64_t keys = h->desc.key_heads * h->desc.D;
        sq__golden_floats(golden, "bk", SQ_SHAPE(keys));
        if (sq__golden_has(golden, "dbk")) sq__golden_compare(golden, "dbk", sq__golden_room(golden, keys), keys);
        sq_var *bv = sq__module_input(m, "bv", SQ_SHAPE(y->shape[2]));
        y = bv ? sq__add(m->tape, y, bv) : NULL;
    }
    sq__heads_finish(h, y);
}

/* One side's projection and its bias, as the mechanism wants them. */
static void tatp22_side(sq_heads *h, const char *name, const char *bias_name, const char *method, int64_t projections, int64_t rank,
                        sq_var **weight, sq_var **bias)
{
    sq_module *m = &h->module;
    const int64_t N = h->desc.N, D = h->desc.D;
    *bias = NULL;
    if (strcmp(method, "no_params") == 0) {
        *weight = transposed(m, sq__module_input(m, name, SQ_SHAPE(projections, N, rank)), projections, N, rank);
        return;
    }
    const bool convolution = strcmp(method, "convolution") == 0;
    if (convolution) *weight = sq__module_input(m, name, SQ_SHAPE(projections, D, D, N / rank));
    else *weight = sq__module_input(m, name, SQ_SHAPE(projections, rank, N));
    if (sq__golden_has(m->golden, bias_name)) *bias = sq__module_input(m, bias_name, SQ_SHAPE(projections, convolution ? D : rank));
}

static void tatp22(sq_heads *h)
{
    sq_module *m = &h->module;
    sq_golden *golden = m->golden;
    const char *sharing = sq__golden_text(golden, "parameter_sharing", NULL), *method = sq__golden_text(golden, "method", NULL);
    const int64_t rank = sq__golden_count(golden, "k", -1);
    const bool joint = strcmp(sharing, "kv") == 0, own = strcmp(sharing, "none") == 0;
    if (!joint && !own && strcmp(sharing, "headwise") != 0) sq__golden_skip(golden, "parameter_sharing '%.30s' is unknown to this build", sharing);
    if (strcmp(method, "learnable") != 0 && strcmp(method, "no_params") != 0 && strcmp(method, "convolution") != 0)
        sq__golden_skip(golden, "method '%.30s' is unknown to this build", method);
    if (!sq__golden_going(golden) || !sq__heads_read(h, false, false)) return;
    if (rank < 1 || rank > h->desc.N) sq__golden_fail(golden, "metadata 'k' is %lld; expected 1 to %lld", (long long)rank, (long long)h->desc.N);
    h->desc.max_length = h->desc.N;
    sq__heads_option(h, "rank", sq__golden_digits(golden, rank));
    sq__heads_option(h, "sharing", joint ? "key-value" : sharing);
    sq__heads_option(h, "method", strcmp(method, "convolution") == 0 ? "convolution" : "learnable");
    sq__heads_option(h, "bias", sq__golden_has(golden, "bE") ? "true" : "false");
    sq__heads_option(h, "pseudo_causal", sq__golden_flag(golden, "causal", false) ? "true" : "false");
    sq_var *weights[2] = { NULL }, *biases[2] = { NULL };
    const int sides = sq__golden_has(golden, "F") ? 2 : 1;
    for (int i = 0; i < sides && sq__golden_going(golden); i++)
        tatp22_side(h, i ? "F" : "E", i ? "bF" : "bE", method, own ? h->desc.H : 1, rank, &weights[i], &biases[i]);
    for (int i = 0; i < sides; i++) h->tensors[h->tensor_count++] = weights[i];
    for (int i = 0; i < sides; i++)
        if (biases[i]) h->tensors[h->tensor_count++] = biases[i];
    if (sq__golden_has(golden, "input_keep")) h->key_keep = sq__golden_mask(golden, "input_keep", SQ_SHAPE(h->desc.B, h->desc.N));
    if (sq__golden_has(golden, "query_keep")) h->q = sq__heads_mask(h, h->q, sq__golden_mask(golden, "query_keep", SQ_SHAPE(h->desc.B, h->desc.T)));
    sq__heads_finish(h, sq__heads_attend(h));
}

void sq__family_linformer(sq_golden *golden)
{
    static const struct { const char *prefix; void (*run)(sq_heads *h); } modules[] = {
        { "lucidrains_", lucidrains }, { "fairseq_", fairseq }, { "tatp22_", tatp22 },
    };
    const char *variant = sq__golden_text(golden, "variant", NULL);
    if (sq__golden_starts(variant, "large_")) variant += strlen("large_");
    if (sq__golden_variant(variant, "core_")) {
        run_core(golden);
        return;
    }
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        if (!sq__golden_variant(variant, modules[i].prefix)) continue;
        sq_heads heads;
        if (sq__heads_open(&heads, golden, "linformer")) {
            heads.desc.scale = sq__golden_scale(golden);
            modules[i].run(&heads);
        }
        sq__heads_close(&heads);
        return;
    }
    sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
}
