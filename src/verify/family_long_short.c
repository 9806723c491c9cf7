/* long_short: the module of the long-range arena: projections, landmarks from a projection of their own, both layer norms. */
#include "verify/families.h"
#include "verify/heads.h"

static const char *const norms[][2] = { { "ln_l_w", "ln_l_b" }, { "ln_s_w", "ln_s_b" } };

static void run(sq_heads *h)
{
    sq_module *m = &h->module;
    sq_golden *golden = m->golden;
    const int64_t landmarks = sq__golden_count(golden, "num_landmarks", -1), window = sq__golden_count(golden, "window_size", -1);
    if (!sq__heads_read(h, true, true)) return;
    const int64_t H = h->desc.H, width = h->x->shape[2];
    h->desc.scale = sq__golden_scale(golden);
    sq__heads_option(h, "landmarks", sq__golden_digits(golden, landmarks));
    sq__heads_option(h, "window", sq__golden_digits(golden, window));
    sq__heads_option(h, "convention", "reference");
    for (int norm = 0; norm < 2; norm++)
        for (int i = 0; i < 2; i++) h->tensors[h->tensor_count++] = sq__module_input(m, norms[norm][i], SQ_SHAPE(H * h->desc.D));
    sq_var *weight = sq__module_input(m, "w_landmark", SQ_SHAPE(H * landmarks, width)), *bias = sq__module_input(m, "b_landmark", SQ_SHAPE(H * landmarks));
    if (!sq__module_going(m)) return;
    h->inputs[0] = sq__linear(m->tape, h->x, weight, bias);
    if (sq__golden_has(golden, "mask")) h->key_keep = sq__golden_mask(golden, "mask", SQ_SHAPE(h->desc.B, h->desc.N));
    sq_var *y = sq__heads_attend(h);
    sq__heads_finish(h, y && h->key_keep ? sq__heads_mask(h, y, h->key_keep) : y);
}

void sq__family_long_short(sq_golden *golden)
{
    sq_heads heads;
    if (sq__golden_flag(golden, "causal", false)) sq__golden_skip(golden, "the causal form is unknown to this build's long_short vectors");
    if (sq__golden_number(golden, "conv_kernel_size", 0) > 0) sq__golden_skip(golden, "a convolution beside the attention is unknown to this build");
    if (!sq__golden_going(golden)) return;
    if (sq__heads_open(&heads, golden, "long-short")) run(&heads);
    sq__heads_close(&heads);
}
