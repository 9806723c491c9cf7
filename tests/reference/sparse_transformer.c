/* Sparse Transformer: the sets A1 and A2 as the paper writes them. */
#include "reference/pairs.h"

/* The options, read once a run: asked for every pair they would take most of the time. */
static struct { int64_t l, c, spread; bool strided, openai, fairseq, merged, split; } given;

static bool near_set(int64_t i, int64_t j)
{
    const int64_t l = given.l;
    if (given.strided) {
        const int64_t reach = given.openai ? l - 1 : l;
        return i - j <= reach && j - i <= reach;
    }
    if (!given.fairseq) return i / l == j / l;
    const int64_t start = i > 0 && i % l == 0 ? i - l : i / l * l;
    return j >= start && j <= start + l;
}

static bool far_set(int64_t h, int64_t i, int64_t j)
{
    const int64_t l = given.l, c = given.c < l ? given.c : l, runs = (l + c - 1) / c, to = l - h % given.spread % runs * c;
    if (given.strided) return (i - j) % l == 0;
    if (!given.fairseq) return j % l < to && j % l >= to - c;
    for (int64_t end = l; end - c <= j; end += l)
        if (j >= end - c && j <= end) return true;
    return false;
}

static int64_t pair(const reference_case *at, int64_t b, int64_t h, int64_t i, int64_t j, double *score)
{
    (void)b, (void)score;
    if (given.merged) return near_set(i, j) || far_set(h, i, j);
    return (given.split ? h : at->layer) % 2 ? far_set(h, i, j) : near_set(i, j);
}

static void run(const reference_case *at)
{
    given.l = (int64_t)reference_number(at, "stride"), given.c = (int64_t)reference_number(at, "summary"), given.spread = (int64_t)reference_number(at, "spread");
    given.strided = reference_is(at, "pattern", "strided"), given.merged = reference_is(at, "heads", "merged"), given.split = reference_is(at, "heads", "split");
    given.openai = reference_is(at, "convention", "openai"), given.fairseq = reference_is(at, "convention", "fairseq");
    reference_pairs(at, pair);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "stride=7" },
    { .options = "stride=12 heads=split convention=openai" },
    { .options = "stride=5 convention=openai" },
    { .options = "stride=9 heads=layers" },
    { .options = "stride=16 pattern=fixed summary=4" },
    { .options = "stride=11 pattern=fixed summary=3 spread=4" },
    { .options = "stride=10 pattern=fixed summary=20 heads=split" },
    { .options = "stride=12 pattern=fixed summary=5 spread=3 convention=fairseq" },
    { .options = NULL },
};

const reference_row reference_sparse_transformer = { "sparse-transformer", run, variants };
