/* nystromformer: mlpen and xformers on given q, k, v, with the authors' A2 and its pseudo-inverse where the file has them; lucidrains' module. */
#include <math.h>
#include <string.h>

#include "attention/engine/pseudo_inverse.h"
#include "attention/nystromformer.h"
#include "verify/core.h"
#include "verify/families.h"
#include "verify/heads.h"

typedef struct options { const char *convention, *init, *landmarks, *iterations, *convolution; } options;

static options read_options(sq_golden *golden, const char *convention)
{
    const char *init = sq__golden_text(golden, "pinv_init", "original");
    const sq_st_tensor *filter = sq__golden_has(golden, "conv_w") ? sq__golden_tensor(golden, "conv_w", SQ_SHAPE(SQ_ANY, SQ_ANY)) : NULL;
    return (options){ convention, sq__golden_starts(init, "exact") ? "exact" : "original",
                      sq__golden_digits(golden, sq__golden_count(golden, "num_landmarks", -1)),
                      sq__golden_digits(golden, sq__golden_count(golden, "pinv_iterations", 6)),
                      sq__golden_digits(golden, filter ? filter->shape[1] : 0) };
}

/* ---- given q, k, v ---- */

/* A2 and Z from the engine's own parts. */
static void compare_inverse(sq_golden *golden, const sq_core *core, const options *o)
{
    const sq_attention_desc *d = &core->desc;
    const sq_problem p = { .D = d->D, .scale = 1 / sqrtf((float)d->D) };
    const int64_t m = sq__golden_count(golden, "num_landmarks", -1), iterations = sq__golden_count(golden, "pinv_iterations", 6), heads = d->B * d->H;
    const float *q = sq__golden_floats(golden, "q", SQ_SHAPE(d->B, d->H, d->T, d->D));
    const float *k = sq__golden_floats(golden, "k", SQ_SHAPE(d->B, d->H, d->N, d->D));
    const uint8_t *keep = core->key_keep ? sq__golden_mask(golden, core->key_keep, SQ_SHAPE(d->B, d->N)) : NULL;
    float *A2 = sq__golden_room(golden, heads * m * m), *Z = sq__golden_room(golden, heads * m * m), *means = sq__golden_room(golden, 2 * m * d->D);
    float *shares = sq__golden_room(golden, m), all = -1;
    void *workspace = sq__golden_memory(golden, (int64_t)sq__pseudo_inverse_workspace(m, iterations, SQ_FORWARD), 1);
    if (!sq__golden_going(golden)) return;
    for (int64_t i = 0; i < heads; i++) {
        const sq_segments s = { d->N, d->D, m, 0, keep ? keep + i / d->H * d->N : NULL, SQ_SEGMENT_LENGTH };
        sq__segments_shares(&s, shares);
        sq__segments_forward(&s, sq__kernels(), shares, q + i * d->N * d->D, d->D, means);
        sq__segments_forward(&s, sq__kernels(), shares, k + i * d->N * d->D, d->D, means + m * d->D);
        sq__nystrom_kernel(&p, sq__kernels(), m, means, means + m * d->D, shares, shares, false, A2 + i * m * m);
        const float largest = sq__nystrom_largest(m, A2 + i * m * m, NULL);
        if (largest > all) all = largest;
    }
    for (int64_t i = 0; i < heads; i++) {
        const float own = sq__nystrom_largest(m, A2 + i * m * m, NULL);
        sq__pseudo_inverse(m, iterations, A2 + i * m * m, strcmp(o->init, "exact") == 0 ? own : all, Z + i * m * m, workspace);
    }
    if (sq__golden_has(golden, "kernel2")) sq__golden_compare(golden, "kernel2", A2, heads * m * m);
    if (sq__golden_has(golden, "pinv")) sq__golden_compare(golden, "pinv", Z, heads * m * m);
}

static void run_core(sq_golden *golden, const char *convention)
{
    sq_core core = { .desc = { .mechanism = "nystromformer" } };
    const options o = read_options(golden, convention);
    sq__core_option(&core, "convention", o.convention);
    sq__core_option(&core, "init", o.init);
    sq__core_option(&core, "landmarks", o.landmarks);
    sq__core_option(&core, "iterations", o.iterations);
    sq__core_option(&core, "convolution", o.convolution);
    if (sq__golden_has(golden, "mask_keep")) core.key_keep = "mask_keep";
    if (sq__golden_has(golden, "conv_w")) {
        const sq_st_tensor *filter = sq__golden_tensor(golden, "conv_w", SQ_SHAPE(SQ_ANY, SQ_ANY));
        if (!filter) return;
        core.tensors[0] = (sq_core_tensor){ sq__golden_floats(golden, "conv_w", 2, filter->shape), filter->count,
                                            sq__golden_has(golden, "g") ? "dconv_w" : NULL };
        core.tensor_count = 1;
    }
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
    if (sq__golden_going(golden) && (sq__golden_has(golden, "kernel2") || sq__golden_has(golden, "pinv"))) compare_inverse(golden, &core, &o);
}

/* ---- module ---- */

/* x wqkv' in thirds. */
static void read_rows(sq_heads *h)
{
    sq_module *m = &h->module;
    sq_golden *golden = m->golden;
    const int64_t H = sq__golden_count(golden, "H", -1), D = sq__golden_count(golden, "head_dim", -1);
    h->x = h->context = sq__module_input(m, "x", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
    sq_var *w = h->x ? sq__module_input(m, "wqkv", SQ_SHAPE(3 * H * D, h->x->shape[2])) : NULL;
    if (!w || !sq__module_going(m)) return;
    sq_var *all = sq__linear(m->tape, h->x, w, NULL);
    h->q = sq__slice(m->tape, all, 0, H * D);
    h->k = sq__slice(m->tape, all, H * D, H * D);
    h->v = sq__slice(m->tape, all, 2 * H * D, H * D);
    sq_attention_desc *d = &h->desc;
    d->B = h->x->shape[0], d->T = d->N = h->x->shape[1], d->H = d->key_heads = H, d->D = d->M = D;
}

static void run_module(sq_golden *golden)
{
    sq_heads h;
    if (sq__heads_open(&h, golden, "nystromformer")) {
        const options o = read_options(golden, "lucidrains");
        read_rows(&h);
        sq__heads_option(&h, "convention", o.convention);
        sq__heads_option(&h, "init", o.init);
        sq__heads_option(&h, "landmarks", o.landmarks);
        sq__heads_option(&h, "iterations", o.iterations);
        sq__heads_option(&h, "convolution", o.convolution);
        if (sq__golden_has(golden, "conv_w")) h.tensors[h.tensor_count++] = sq__module_input(&h.module, "conv_w", SQ_SHAPE(h.desc.H, SQ_ANY));
        if (sq__golden_has(golden, "mask_keep")) h.key_keep = sq__golden_mask(golden, "mask_keep", SQ_SHAPE(h.desc.B, h.desc.N));
        sq__heads_finish(&h, sq__heads_attend(&h));
    }
    sq__heads_close(&h);
}

void sq__family_nystromformer(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    if (sq__golden_starts(variant, "large_")) variant += strlen("large_");
    if (sq__golden_variant(variant, "mlpen_")) run_core(golden, "mlpen");
    else if (sq__golden_variant(variant, "xformers_")) run_core(golden, "xformers");
    else if (sq__golden_variant(variant, "lucidrains_")) run_module(golden);
    else sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
}
