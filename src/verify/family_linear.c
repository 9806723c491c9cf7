/* linear_attention and causal_linear: features on given q, k, v. */
#include "verify/core.h"
#include "verify/families.h"

void sq__family_linear(sq_golden *golden)
{
    sq_core core = { .desc = { .mechanism = "linear", .causal = sq__golden_flag(golden, "causal", false) } };
    const char *variant = sq__golden_text(golden, "variant", NULL);
    if (sq__golden_starts(variant, "large_")) variant += sizeof "large_" - 1;
    if (sq__golden_variant(variant, "efficient_")) {
        const int64_t bucket = core.desc.causal ? sq__golden_count(golden, "bucket_size", 1) : 1;
        sq__core_option(&core, "convention", "lucidrains");
        sq__core_option(&core, "feature_map", "softmax");
        if (bucket > 1) sq__core_option(&core, "bucket", sq__golden_digits(golden, bucket));
    } else if (sq__golden_variant(variant, "elu_") || sq__golden_variant(variant, "causal_linear_")) {
        sq__core_option(&core, "convention", "idiap");
    } else {
        sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    }
    if (sq__golden_has(golden, "mask_keep")) core.key_keep = "mask_keep";
    if (sq__golden_has(golden, "key_lengths")) core.lengths = "key_lengths";
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}
