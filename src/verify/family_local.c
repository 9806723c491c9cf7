/* local_chunked: three public flavours of local attention, as attention/sliding_window.c maps them onto its options. */
#include <string.h>

#include "verify/core.h"
#include "verify/families.h"

static void blocks(sq_golden *golden, sq_core *core, int64_t size, int64_t before, int64_t after)
{
    sq__core_option(core, "block", sq__golden_digits(golden, size));
    sq__core_option(core, "window", sq__golden_digits(golden, size * before));
    sq__core_option(core, "ahead", sq__golden_digits(golden, size * after));
}

static void huggingface(sq_golden *golden, sq_core *core)
{
    blocks(golden, core, sq__golden_count(golden, "chunk_length", -1), sq__golden_count(golden, "num_chunks_before", -1),
           sq__golden_count(golden, "num_chunks_after", -1));
    sq__core_option(core, "circular", "true");
}

/* Without a mask the zeros that fill up the last window are seen; of a window cut exactly only its size counts. */
static void lucidrains(sq_golden *golden, sq_core *core)
{
    const int64_t size = sq__golden_count(golden, "window_size", -1), before = sq__golden_count(golden, "look_backward", -1);
    const int64_t after = sq__golden_count(golden, "look_forward", -1);
    if (size < 1) sq__golden_fail(golden, "metadata 'window_size' is %lld; expected 1 or more", (long long)size);
    if (!sq__golden_going(golden)) return;
    if (sq__golden_flag(golden, "exact_windowsize", false)) {
        sq__core_option(core, "window", sq__golden_digits(golden, size * before));
        sq__core_option(core, "ahead", sq__golden_digits(golden, size * after));
    } else {
        blocks(golden, core, size, before, after);
    }
    if (sq__golden_flag(golden, "shared_qk", false)) {
        core->qk = "qk";
        core->unit_keys = true;
        sq__core_option(core, "self_score", "-50000");
    }
    const sq_st_tensor *v = sq__golden_tensor(golden, "v", SQ_SHAPE(SQ_ANY, SQ_ANY, SQ_ANY, SQ_ANY));
    if (v && !core->desc.causal && !core->key_keep && v->shape[2] % size) core->padded = (v->shape[2] + size - 1) / size * size;
}

static void fast_transformers(sq_golden *golden, sq_core *core)
{
    const int64_t context = sq__golden_count(golden, "context", -1);
    const char *lengths = sq__golden_text(golden, "key_lengths", "null");
    if (strcmp(lengths, "null") != 0) sq__golden_skip(golden, "key lengths of this reference (uniform weights where no key is left) are unknown to this build");
    if (context < 1) sq__golden_fail(golden, "metadata 'context' is %lld; expected 1 or more", (long long)context);
    sq__core_option(core, "window", sq__golden_digits(golden, context / 2));
    sq__core_option(core, "ahead", sq__golden_digits(golden, (context + 1) / 2 - 1));
}

void sq__family_local(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    sq_core core = { .desc = { .mechanism = "sliding-window", .causal = sq__golden_flag(golden, "causal", false), .scale = sq__golden_scale(golden) } };
    if (sq__golden_has(golden, "mask")) core.key_keep = "mask";
    if (sq__golden_starts(variant, "chunked local")) huggingface(golden, &core);
    else if (sq__golden_starts(variant, "windowed local")) lucidrains(golden, &core);
    else if (strcmp(variant, "local") == 0) fast_transformers(golden, &core);
    else sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
    if (sq__golden_going(golden)) sq__core_run(golden, &core);
}
