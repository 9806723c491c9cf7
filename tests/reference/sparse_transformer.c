/* Sparse Transformer: the sets A1 and A2 as the paper writes them. */
#include "reference/pairs.h"

static bool near_set(const reference_case *at, int64_t i, int64_t j)
{
    const int64_t l = (int64_t)reference_number(at, "stride");
    if (reference_is(at, "pattern", "strided")) {
        const int64_t reach = reference_is(at, "convention", "openai") ? l - 1 : l;
        return i - j <= reach && j - i <= reach;
    }
    if (!reference_is(at, "convention", "fairseq")) return i / l == j / l;
    const int64_t start = i > 0 && i % l == 0 ? i - l : i / l * l;
    return j >= start && j <= start + l;
}

static bool far_set(const reference_case *at, int64_t h, int64_t i, int64_t j)
{
    const int64_t l = (int64_t)reference_number(at, "stride"), given = (int64_t)reference_number(at, "summary"), c = given < l ? given : l;
    if (reference_is(at, "pattern", "strided")) return (i - j) % l == 0;
    if (reference_is(at, "convention", "fairseq")) {
        for (int64_t end = l; end - c <= j; end += l)
            if (j >= end - c && j <= end) return true;
        return false;
    }
    const int64_t runs = (l + c - 1) / c, to = l - h % (int64_t)reference_number(at, "spread") % runs * c;
    return j % l < to && j % l >= to - c;
}

static int64_t pair(const reference_case *at, int64_t b, int64_t h, int64_t i, int64_t j, double *score)
{
    (void)b, (void)score;
    if (reference_is(at, "heads", "merged")) return near_set(at, i, j) || far_set(at, h, i, j);
    const int64_t turn = reference_is(at, "heads", "split") ? h : at->layer;
    return turn % 2 ? far_set(at, h, i, j) : near_set(at, i, j);
}

static void run(const reference_case *at) { reference_pairs(at, pair); }

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "stride=7" },
    { .options = "stride=12 heads=split convention=openai" },
    { .options = "stride=5 convention=openai" },
    { .options = "stride=9 heads=layers" },
    { .options = "stride=16 pattern=fixed summary=4" },
    { .options = "stride=11 pattern=fixed summary=3 spread=4" },
    { .options = "stride=10 pattern=fixed summary=20 heads=split" },
    { .options = "stride=12 pattern=fixed summary=3 convention=fairseq" },
    { .options = NULL },
};

const reference_row reference_sparse_transformer = { "sparse-transformer", run, variants };
