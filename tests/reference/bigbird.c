/* BigBird: each pair of blocks from the definition. */
#include "reference/pairs.h"

/* The options, read once a run: asked for every pair they would take most of the time. */
static struct { int64_t block, window, globals, random; bool extended, repeats; } given;

static int64_t option(const reference_case *at, const char *name) { return (int64_t)reference_number(at, name); }
static int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static bool is_global(const reference_case *at, int64_t block, int64_t blocks)
{
    const int64_t globals = given.extended ? 0 : up(given.globals, given.block);
    const int64_t front = smaller(blocks, at->causal ? globals : up(globals, 2)), back = at->causal ? 0 : smaller(blocks - front, globals / 2);
    return block < front || (block >= blocks - back && block < blocks);
}

static int64_t pair(const reference_case *at, int64_t b, int64_t h, int64_t i, int64_t j, double *score)
{
    const int64_t N = reference_keys(at, b), size = given.block, random = given.random;
    const int64_t before = given.extended ? smaller(given.globals, at->max_length) : 0, blocks = up(N - before, size), rows = up(at->max_length - before, size);
    (void)score;
    if (given.repeats && N <= (5 + 2 * random) * size) return 1;
    if (i < before || j < before) return 1;
    const int64_t query = (i - before) / size, key = (j - before) / size, apart = query > key ? query - key : key - query;
    int64_t times = is_global(at, key, blocks) || apart <= up(given.window, size), drawn = 0;
    if (is_global(at, query, blocks)) return 1;
    for (int64_t x = 0; x < random; x++) {
        const double block = at->tensors[0][(h * rows + query) * random + x];
        drawn += block >= 0 && (int64_t)block % blocks == key;
    }
    return given.repeats ? times + drawn : times || drawn;
}

static void run(const reference_case *at)
{
    given.block = option(at, "block"), given.window = option(at, "window"), given.globals = option(at, "globals"), given.random = option(at, "random");
    given.extended = reference_is(at, "construction", "extended"), given.repeats = reference_is(at, "convention", "huggingface");
    reference_pairs(at, pair);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "block=8 window=8 globals=16 random=2" },
    { .options = "block=5 window=12 globals=5 random=3 convention=huggingface" },
    { .options = "block=7 window=0 globals=9 random=1 construction=extended" },
    { .options = "block=70 window=1 globals=0 random=0" },
    { .options = "block=4 window=4 globals=70 random=9 construction=extended convention=huggingface" },
    { .options = NULL },
};

const reference_row reference_bigbird = { "bigbird", run, variants };
