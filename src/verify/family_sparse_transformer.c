/* sparse_transformer: masks of openai/sparse_attention and of fairseq, as attention/sparse_transformer.c maps them onto its options. The
 * mask that a file may hold says the same again: the rule is checked, not the mask. */
#include <string.h>

#include "verify/core.h"
#include "verify/families.h"

static void strided(sq_golden *golden, sq_core *core, const char *heads, int layer)
{
    core->desc.layer = layer;
    sq__core_option(core, "convention", "openai");
    sq__core_option(core, "heads", heads);
    sq__core_option(core, "stride", sq__golden_digits(golden, sq__golden_count(golden, "l", -1)));
}

static void fixed(sq_golden *golden, sq_core *core)
{
    const int64_t block = sq__golden_count(golden, "blocksize", -1), blocks = sq__golden_count(golden, "vertsize", -1);
    sq__core_option(core, "pattern", "fixed");
    sq__core_option(core, "convention", "openai");
    sq__core_option(core, "stride", sq__golden_digits(golden, sq__golden_count(golden, "l", -1)));
    sq__core_option(core, "summary", sq__golden_digits(golden, block * blocks));
    sq__core_option(core, "spread", sq__golden_digits(golden, sq__golden_count(golden, "num_verts", -1)));
    if (sq__golden_has(golden, "layout")) sq__golden_mask(golden, "layout", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY));
}

static void fairseq(sq_golden *golden, sq_core *core)
{
    sq__core_option(core, "pattern", "fixed");
    sq__core_option(core, "convention", "fairseq");
    sq__core_option(core, "stride", sq__golden_digits(golden, sq__golden_count(golden, "stride", -1)));
    sq__core_option(core, "summary", sq__golden_digits(golden, sq__golden_count(golden, "expressivity", -1)));
}

void sq__family_sparse_transformer(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    sq_core core = { .desc = { .mechanism = "sparse-transformer", .causal = sq__golden_flag(golden, "causal", false), .scale = sq__golden_scale(golden) } };
    if (strcmp(variant, "local") == 0) strided(golden, &core, "layers", 0);
    else if (strcmp(variant, "strided") == 0) strided(golden, &core, "layers", 1);
    else if (strcmp(variant, "local/strided") == 0) strided(golden, &core, "split", 0);
    else if (strcmp(variant, "merged:local+strided") == 0) strided(golden, &core, "merged", 0);
    else if (strcmp(variant, "fixed (block-sparse)") == 0) fixed(golden, &core);
    else if (sq__golden_starts(variant, "fixed (fairseq")) fairseq(golden, &core);
    else sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    if (!sq__golden_going(golden)) return;
    const int rank = sq__golden_rank(golden, "mask");
    if (rank) sq__golden_mask(golden, "mask", rank, (const int64_t[]){ SQ_ANY, SQ_ANY, SQ_ANY });
    sq__core_run(golden, &core);
}
