/* BigBird, arXiv:2007.14062: a window, global tokens and random blocks, by blocks.
 *   out[i] = sum_j p_ij v_j,  p_ij = exp(s_ij) / sum_j exp(s_ij),  s_ij = scale q_i . k_j  over the keys of blocks that i's block sees
 *   a block sees: blocks at most ceil(window / block) away, the global blocks, `random` blocks drawn for it and its head
 *   a global block sees every block
 * q [N,D]; k [N,D]; v [N,M]; out [N,M]; random_blocks [H, blocks of max_length, random], a constant drawn from the seed among blocks that
 * are not seen anyway (-1: none was left; beyond the last block: counted from the first again). O(n (globals + window + random block) (D+M))
 * time and O(n) memory. Saves the maximum and log-sum of each row. Grouped heads: query head h reads key head h / (H/Hk).
 *
 * construction internal (ITC): the global tokens are ceil(globals / block) of the blocks, half of them at either end (the first of an odd
 * number). extended (ETC): the first `globals` rows are tokens that the caller put before the sequence; blocks begin after them.
 * causal: keys up to the query only, global blocks at the front alone, random blocks drawn from earlier ones: nothing leaks.
 *
 * convention huggingface: every drawn block is counted, so one that coincides with a window or global block counts twice (the paper has
 * sets: once); and all rows see all keys when N <= (5 + 2 random) block. Its random blocks lack the rows of the first and last block.
 * Departs from the paper: an incomplete last block is an ordinary one; a query that sees no key gives zeros. */
#include "attention/engine/pattern.h"
#include "base/integers.h"
#include "base/random.h"
#include "base/status.h"

typedef struct bigbird_config {
    int64_t block, window, globals, random;
    int construction, convention;
} bigbird_config;

enum { INTERNAL, EXTENDED };
enum { PAPER, HUGGINGFACE };
static const char *const constructions[] = { "internal", "extended", NULL };
static const char *const conventions[] = { "paper", "huggingface", NULL };

static const sq_field fields[] = {
    SQ_INT(bigbird_config, block, "64", 1, 1 << 20, "rows in a block"),
    SQ_INT(bigbird_config, window, "64", 0, 1 << 30, "keys seen on either side, rounded up to whole blocks"),
    SQ_INT(bigbird_config, globals, "128", 0, 1 << 30, "tokens that see all and are seen by all"),
    SQ_INT(bigbird_config, random, "3", 0, 1 << 10, "random blocks that each block sees"),
    SQ_CHOICE(bigbird_config, construction, "internal", constructions, "global tokens are blocks of the sequence, or rows before it"),
    SQ_CHOICE(bigbird_config, convention, "paper", conventions, "count coinciding blocks once, or as Hugging Face does"),
    SQ_FIELDS_END
};

/* ---- which blocks there are ---- */

typedef struct blocks {
    int64_t size, offset;              /* block x is rows offset + x size ... */
    int64_t count, near, front, back;  /* blocks; seen on either side; global ones at either end */
    int64_t random;
    bool causal, all, repeats;         /* all: full attention */
} blocks;

static blocks blocks_of(const bigbird_config *config, const sq_problem *p, int64_t N)
{
    blocks b = { .size = config->block, .random = config->random, .causal = p->causal, .repeats = config->convention == HUGGINGFACE };
    if (config->construction == EXTENDED) b.offset = sq__least(config->globals, p->max_length);
    b.count = sq__divide_up(sq__most(0, N - b.offset), b.size);
    b.near = sq__divide_up(config->window, b.size);   /* rows behind the last key, too, see as far back */
    const int64_t globals = config->construction == INTERNAL ? sq__divide_up(config->globals, b.size) : 0;
    b.front = sq__least(b.count, p->causal ? globals : sq__divide_up(globals, 2));
    b.back = p->causal ? 0 : sq__least(b.count - b.front, globals / 2);
    b.all = b.repeats && N <= (5 + 2 * config->random) * b.size;
    return b;
}

static bool is_global(const blocks *b, int64_t block)
{
    return block < b->front || (block >= b->count - b->back && block < b->count);
}

static bool is_seen_anyway(const blocks *b, int64_t query, int64_t key)
{
    return is_global(b, key) || (key - query <= b->near && query - key <= b->near);
}

/* ---- random blocks ---- */

static int64_t random_rows(const bigbird_config *config, const sq_problem *p)
{
    return sq__most(1, blocks_of(config, p, p->max_length).count);
}

static int tensors(const void *options, const sq_problem *p, sq_attention_tensor *infos)
{
    const bigbird_config *config = options;
    if (!config->random) return 0;
    if (infos) infos[0] = (sq_attention_tensor){ .name = "random_blocks", .rank = 3, .shape = { p->H, random_rows(config, p), config->random } };
    return 1;
}

/* Distinct ones among the blocks that this one does not see anyway (Floyd's sample). */
static void draw_blocks(const blocks *b, int64_t query, const sq_random *random, uint64_t index, float *drawn)
{
    const int64_t end = b->causal ? sq__least(query, b->count) : b->count - b->back;
    const int64_t before = sq__most(0, sq__least(query - b->near, end) - b->front), from = sq__most(query + b->near + 1, b->front);
    const int64_t choice = before + sq__most(0, end - from), count = sq__least(choice, b->random);
    for (int64_t x = 0; x < b->random; x++) {
        drawn[x] = -1;
        if (x >= count) continue;
        const int64_t last = choice - count + x, pick = (int64_t)sq__random_below(random, index + (uint64_t)x, (uint64_t)last + 1);
        bool taken = false;
        for (int64_t y = 0; y < x; y++) taken |= drawn[y] == (float)pick;
        drawn[x] = (float)(taken ? last : pick);
    }
    for (int64_t x = 0; x < count; x++) drawn[x] += (float)(drawn[x] < (float)before ? b->front : from - before);
}

static sq_status tensor_init(const void *options, const sq_problem *p, int index, uint64_t seed, uint64_t draw, float *data)
{
    const bigbird_config *config = options;
    const blocks b = blocks_of(config, p, p->max_length);
    const sq_random random = sq__random_stream(seed, "bigbird.random_blocks", draw);
    const int64_t rows = random_rows(config, p);
    (void)index;
    for (int64_t row = 0; row < p->H * rows; row++)
        draw_blocks(&b, row % rows, &random, (uint64_t)(row * b.random), data + row * b.random);
    return SQ_OK;
}

/* ---- tiles ---- */

typedef struct context {
    blocks blocks;
    int64_t T, N, first_tiles, tiles_per_block;   /* first: of the rows before the blocks */
    const float *random;               /* of this head; NULL */
} context;

typedef struct scratch { int32_t low[SQ_SPARSE_QUERIES], high[SQ_SPARSE_QUERIES]; sq_sparse_run runs[]; } scratch;
enum { RUNS = 4 };                     /* beside the random blocks: rows before, front, window, back */

static void add_rows(const context *c, scratch *s, sq_sparse_tile *tile, int64_t from, int64_t to)
{
    const bool cut = c->blocks.causal && to > tile->queries.first + 1;
    if (from < to)
        s->runs[tile->run_count++] = (sq_sparse_run){ .keys = { .count = to - from, .first = from, .step = 1 }, .low = cut ? s->low : NULL,
                                                      .high = cut ? s->high : NULL };
}

static void add_blocks(const context *c, scratch *s, sq_sparse_tile *tile, int64_t from, int64_t to)
{
    const blocks *b = &c->blocks;
    add_rows(c, s, tile, b->offset + from * b->size, sq__least(b->offset + to * b->size, c->N));
}

/* A block drawn for `query`, or -1. */
static int64_t drawn_block(const context *c, int64_t query, int64_t x)
{
    const float drawn = c->random[query * c->blocks.random + x];
    return drawn >= 0 && drawn < (float)INT32_MAX && c->blocks.count ? (int64_t)drawn % c->blocks.count : -1;
}

static void add_random(const context *c, scratch *s, sq_sparse_tile *tile, int64_t query)
{
    const blocks *b = &c->blocks;
    for (int64_t x = 0; c->random && x < b->random; x++) {
        const int64_t block = drawn_block(c, query, x);
        bool again = !b->repeats && is_seen_anyway(b, query, block);
        for (int64_t y = 0; y < x && !b->repeats; y++) again |= block == drawn_block(c, query, y);
        if (block >= 0 && !again) add_blocks(c, s, tile, block, block + 1);
    }
}

static void fill_tile(const void *memory, int64_t index, void *room, sq_sparse_tile *tile)
{
    const context *c = memory;
    const blocks *b = &c->blocks;
    scratch *s = room;
    const bool before = index < c->first_tiles;
    const int64_t query = before ? 0 : (index - c->first_tiles) / c->tiles_per_block, part = before ? index : (index - c->first_tiles) % c->tiles_per_block;
    const int64_t start = before ? 0 : b->offset + query * b->size, end = sq__least(c->T, before ? b->offset : start + b->size);
    const int64_t first = start + part * SQ_SPARSE_QUERIES;
    *tile = (sq_sparse_tile){ .queries = { .count = sq__most(0, sq__least(SQ_SPARSE_QUERIES, end - first)), .first = first, .step = 1 }, .runs = s->runs };
    for (int64_t x = 0; x < tile->queries.count; x++) s->low[x] = 0, s->high[x] = (int32_t)(first + x + 1);
    if (before || b->all || is_global(b, query)) {
        add_rows(c, s, tile, 0, b->causal ? sq__least(c->N, first + tile->queries.count) : c->N);
        return;
    }
    const int64_t back = b->count - b->back, near_end = b->causal ? query : query + b->near;
    add_rows(c, s, tile, 0, sq__least(b->offset, c->N));
    add_blocks(c, s, tile, 0, b->causal ? sq__least(b->front, query + 1) : b->front);
    add_blocks(c, s, tile, sq__most(b->front, query - b->near), sq__least(back, near_end + 1));
    add_blocks(c, s, tile, back, b->count);
    add_random(c, s, tile, query);
}

static size_t make(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    const bigbird_config *config = at->config;
    const sq_problem *p = at->problem;
    context c = { .blocks = blocks_of(config, p, at->N), .T = at->T, .N = at->N };
    c.first_tiles = sq__divide_up(sq__least(c.blocks.offset, at->T), SQ_SPARSE_QUERIES);
    c.tiles_per_block = sq__divide_up(sq__least(config->block, sq__most(1, at->T)), SQ_SPARSE_QUERIES);
    if (at->run && config->random) c.random = at->run->call->tensors[0] + at->h * random_rows(config, p) * config->random;
    *pattern = (sq_sparse_pattern){ .context = memory, .tile = fill_tile, .most_keys = at->N, .once = true };
    pattern->tiles = c.first_tiles + sq__divide_up(sq__most(0, at->T - c.blocks.offset), config->block) * c.tiles_per_block;
    pattern->scratch_bytes = sizeof(scratch) + (size_t)(RUNS + config->random) * sizeof(sq_sparse_run);
    if (c.blocks.repeats) pattern->most_keys = (at->N + config->random * config->block);
    if (memory) *(context *)memory = c;
    return sizeof c;
}

/* ---- running ---- */

static void sizes(const void *options, const sq_problem *p, sq_sizes *out) { sq__pattern_sizes(make, options, p, out); }

/* Draws are tensors, which flops does not see: as if all of them were further blocks, up to every pair. */
static double flops(const void *options, const sq_problem *p, sq_pass pass)
{
    const bigbird_config *config = options;
    const double rows = (double)p->B * (double)p->H * (double)p->T, each = 2 * (double)(pass == SQ_FORWARD ? p->D + p->M : 3 * p->D + 2 * p->M);
    const double counted = sq__pattern_flops(make, options, p, pass), with = counted + rows * (double)(config->random * config->block) * each;
    const double every = rows * (double)p->N * each;
    return config->convention == PAPER && with > every ? every : with;
}

static void forward(const sq_run *run) { sq__pattern_forward_heads(make, run); }
static void backward(const sq_run *run) { sq__pattern_backward_heads(make, run); }

const sq_attention_kind sq__attention_bigbird = {
    .name = "bigbird", .title = "window, global and random blocks", .paper = "arXiv:2007.14062",
    .cost = "O(n (globals + window + random block)) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_BIAS | SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(bigbird_config), .tensors = tensors, .tensor_init = tensor_init, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward,
};
