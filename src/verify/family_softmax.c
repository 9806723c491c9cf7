/* softmax: exact attention on given q, k, v. Masks combine by AND. */
#include "verify/core.h"
#include "verify/families.h"

void sq__family_softmax(sq_golden *golden)
{
    sq_core core = { .desc = { .mechanism = "softmax", .causal = sq__golden_flag(golden, "causal", false), .scale = sq__golden_scale(golden) } };
    if (sq__golden_has(golden, "key_padding_keep")) core.key_keep = "key_padding_keep";
    if (sq__golden_has(golden, "attn_keep")) core.pair_keep = "attn_keep";
    sq__core_run(golden, &core);
}
