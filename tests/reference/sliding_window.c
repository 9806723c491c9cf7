/* Sliding window: j is a key of i if it is one of i + dilation t, or lies in a block near enough. */
#include <stdlib.h>
#include <string.h>

#include "reference/pairs.h"

static int64_t dilation_of(const reference_case *at, int64_t h)
{
    const char *text = reference_option(at, "dilation");
    for (; h > 0 && strchr(text, ','); h--) text = strchr(text, ',') + 1;
    return strtol(text, NULL, 10);
}

static int64_t up(double a, double b) { return (int64_t)((a + b - 1) / b); }

static bool sees_block(const reference_case *at, int64_t b, int64_t i, int64_t j, double window, double ahead, double block)
{
    const int64_t own = i / (int64_t)block, other = j / (int64_t)block, before = up(window, block), after = up(ahead, block);
    const int64_t blocks = up((double)reference_keys(at, b), block);
    if (!reference_is(at, "circular", "true") || at->causal) return other - own >= -before && other - own <= after;
    for (int64_t t = -before; t <= after; t++)
        if ((own + t + blocks * (before + 1)) % blocks == other) return true;
    return false;
}

static int64_t pair(const reference_case *at, int64_t b, int64_t h, int64_t i, int64_t j, double *score)
{
    const double window = reference_number(at, "window"), given = reference_number(at, "ahead"), block = reference_number(at, "block");
    const double ahead = at->causal ? 0 : given < 0 ? window : given, self = reference_number(at, "self_score");
    const int64_t d = dilation_of(at, h);
    if (self != 0 && i == j) *score = self;
    if (block > 0) return sees_block(at, b, i, j, window, ahead, block);
    return (j - i) % d == 0 && (double)((j - i) / d) >= -window && (double)((j - i) / d) <= ahead;
}

static void run(const reference_case *at) { reference_pairs(at, pair); }

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "window=5 ahead=0" },
    { .options = "window=3 ahead=70 dilation=3" },
    { .options = "window=0" },
    { .options = "window=12 block=12" },
    { .options = "window=16 block=7 ahead=0 circular=true" },
    { .options = "window=100 block=40 circular=true" },
    { .options = "window=9 self_score=-3" },
    { .options = NULL },
};

const reference_row reference_sliding_window = { "sliding-window", run, variants };
