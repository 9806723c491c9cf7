/* aft: one head of any width, projections around it. Local biases come as a whole matrix, of which the mechanism has a band. */
#include "verify/families.h"
#include "verify/heads.h"

/* taps of each row of w [L,L] around the diagonal; what lies outside of w has no place in w: 0, without a gradient. */
static sq_var *band(sq_module *m, sq_var *w, int64_t window, int64_t taps)
{
    const int64_t L = w->shape[0];
    int32_t *ids = sq__tape_memory(m->tape, (size_t)(L * taps) * sizeof *ids);
    for (int64_t t = 0; ids && t < L; t++)
        for (int64_t j = 0; j < taps; j++) {
            const int64_t s = t + j - (window - 1);
            ids[t * taps + j] = s >= 0 && s < L ? (int32_t)(t * L + s) : -1;
        }
    sq_var *column = sq__reshape(m->tape, w, 2, (const int64_t[]){ L * L, 1 });
    sq_var *taken = ids && column ? sq__embedding(m->tape, column, ids, 2, (const int64_t[]){ L, taps }) : NULL;
    return taken ? sq__reshape(m->tape, taken, 2, (const int64_t[]){ L, taps }) : NULL;
}

static void run(sq_heads *h, const char *variant)
{
    sq_module *m = &h->module;
    sq_golden *golden = m->golden;
    const bool biased = sq__golden_has(golden, "bq"), causal = sq__golden_flag(golden, "causal", false), simple = sq__golden_variant(variant, "simple_");
    const bool local = !simple && (causal || sq__golden_variant(variant, "local_"));   /* causal full: local with a window over everything */
    if (!sq__heads_read(h, biased, biased)) return;
    h->desc.causal = causal;
    sq__heads_option(h, "variant", simple ? "simple" : local ? "local" : "full");
    sq__heads_option(h, "rank", "0");
    if (!simple) {
        sq_var *w = sq__module_input(m, "w", SQ_SHAPE(SQ_ANY, SQ_ANY));
        if (!w) return;
        const int64_t L = w->shape[0];
        if (w->shape[1] != L || L < h->desc.N) sq__golden_fail(golden, "w has %lld rows and %lld columns for %lld positions", (long long)L,
                                                               (long long)w->shape[1], (long long)h->desc.N);
        int64_t window = local ? sq__golden_count(golden, "window", L) : L;
        if (window > L || window < 1) window = L;
        if (local) sq__heads_option(h, "window", sq__golden_digits(golden, window));
        h->desc.max_length = L;
        h->tensors[h->tensor_count++] = local ? band(m, w, window, causal ? window : 2 * window - 1) : w;
    }
    sq__heads_finish(h, sq__heads_attend(h));
}

void sq__family_aft(sq_golden *golden)
{
    const char *variant = sq__golden_text(golden, "variant", NULL);
    if (sq__golden_starts(variant, "large_")) variant += sizeof "large_" - 1;
    if (!sq__golden_variant(variant, "full_") && !sq__golden_variant(variant, "simple_") && !sq__golden_variant(variant, "local_")) {
        sq__golden_skip(golden, "variant '%.80s' is unknown to this build", variant);
        return;
    }
    sq_heads heads;
    if (sq__heads_open(&heads, golden, "aft")) run(&heads, variant);
    sq__heads_close(&heads);
}
