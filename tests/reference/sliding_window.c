/* Sliding window: j is a key of i if it is one of i + dilation t, or lies in a block near enough. */
#include <stdlib.h>
#include <string.h>

#include "reference/pairs.h"

/* The options, read once a run: asked for every pair they would take most of the time. */
static struct { double window, ahead, block, self; bool circular; } given;

static int64_t dilation_of(const reference_case *at, int64_t h)
{
    const char *text = reference_option(at, "dilation");
    for (; h > 0 && strchr(text, ','); h--) text = strchr(text, ',') + 1;
    return strtol(text, NULL, 10);
}

static int64_t up(double a, double b) { return (int64_t)((a + b - 1) / b); }

static bool sees_block(const reference_case *at, int64_t b, int64_t i, int64_t j)
{
    const double window = given.window, ahead = given.ahead, block = given.block;
    const int64_t own = i / (int64_t)block, other = j / (int64_t)block, before = up(window, block), after = up(ahead, block);
    const int64_t blocks = up((double)reference_keys(at, b), block);
    if (!given.circular || at->causal) return other - own >= -before && other - own <= after;
    for (int64_t t = -before; t <= after; t++)
        if ((own + t + blocks * (before + 1)) % blocks == other) return true;
    return false;
}

static int64_t pair(const reference_case *at, int64_t b, int64_t h, int64_t i, int64_t j, double *score)
{
    const int64_t d = dilation_of(at, h);
    if (given.self != 0 && i == j) *score = given.self;
    if (given.block > 0) return sees_block(at, b, i, j);
    return (j - i) % d == 0 && (double)((j - i) / d) >= -given.window && (double)((j - i) / d) <= given.ahead;
}

static void run(const reference_case *at)
{
    given.window = reference_number(at, "window"), given.ahead = reference_number(at, "ahead"), given.block = reference_number(at, "block");
    given.self = reference_number(at, "self_score"), given.circular = reference_is(at, "circular", "true");
    if (given.ahead < 0) given.ahead = given.window;
    if (at->causal) given.ahead = 0;
    reference_pairs(at, pair);
}

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
