/* rfa: multi-head modules with a given random matrix for each head. */
#include "verify/families.h"
#include "verify/heads.h"

static void give_tensors(sq_heads *h)
{
    sq_golden *golden = h->module.golden;
    const int64_t m = sq__golden_count(golden, "proj_dim", -1);
    sq__heads_option(h, "convention", "noahs-ark");
    sq__heads_option(h, "features", sq__golden_digits(golden, m));
    sq__heads_option(h, "temperature", sq__golden_text(golden, "tau", "1"));
    sq__heads_option(h, "sigma", sq__golden_has(golden, "sigma") ? "true" : "false");
    h->tensors[h->tensor_count++] = sq__module_constant(&h->module, "random_matrices", SQ_SHAPE(h->desc.H, m, h->desc.D));
    if (sq__golden_has(golden, "sigma")) h->tensors[h->tensor_count++] = sq__module_input(&h->module, "sigma", SQ_SHAPE(h->desc.H, h->desc.D));
    if (sq__golden_has(golden, "mask_keep")) h->key_keep = sq__golden_mask(golden, "mask_keep", SQ_SHAPE(h->desc.B, h->desc.N));
}

void sq__family_rfa(sq_golden *golden)
{
    sq_heads h;
    const char *variant = sq__golden_text(golden, "variant", NULL);
    if (sq__golden_starts(variant, "large_")) variant += sizeof "large_" - 1;
    if (!sq__golden_variant(variant, "causal_") && !sq__golden_variant(variant, "cross_"))
        sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    if (sq__heads_open(&h, golden, "rfa") && sq__heads_read(&h, true, true)) {
        h.desc.causal = sq__golden_flag(golden, "causal", false);
        give_tensors(&h);
        sq__heads_finish(&h, sq__heads_attend(&h));
    }
    sq__heads_close(&h);
}
