/* Sliding-window attention (Longformer, arXiv:2004.05150, section 3.1): query i sees keys nearby only.
 *   out[i] = sum_j p_ij v_j,  p_ij = exp(s_ij) / sum_j exp(s_ij),  s_ij = scale q_i . k_j  over j = i + dilation t, -window <= t <= ahead
 * q [T,D]; k [N,D]; v [N,M]; out [T,M]; j exists, and j <= i when causal. `ahead` is the window unless given; dilation per head.
 * O(T window (D+M)) time, O(T) memory beside q, k, v, out. Saves the maximum and log-sum of each row.
 * Grouped heads: query head h reads key head h / (H/Hk).
 * With `block` the sequence is cut into blocks and a query sees whole blocks: its own, ceil(window/block) before, ceil(ahead/block) after;
 * `circular` takes them around the end (each block once). What public implementations call local attention:
 *   huggingface (Reformer)   block = chunk length, window and ahead = chunks before and after times that, circular
 *   lucidrains               block = window size, the same without circular; exact_windowsize: no block; shared_qk: self_score -5e4 and the
 *                            caller's keys of length 1. It pads the sequence with zeros that non-causal queries see: pad to have that
 *   fast-transformers        window = floor(context/2), ahead = ceil(context/2) - 1, no block
 * Departs from the paper: a query that sees no key gives zeros. */
#include "attention/engine/pattern.h"
#include "attention/engine/window.h"
#include "attention/sliding_window.h"
#include "base/integers.h"
#include "base/status.h"

enum { LARGEST = 1 << 30 };

static const sq_field fields[] = {
    SQ_INT(sq_window_config, window, "64", 0, LARGEST, "keys seen before the query's own position, in steps of the dilation"),
    SQ_INT(sq_window_config, ahead, "-1", -1, LARGEST, "keys seen after it, unless causal (-1: as many)"),
    SQ_TEXT(sq_window_config, dilation, "1", "distance between seen keys: one number, or one per head with commas between"),
    SQ_INT(sq_window_config, block, "0", 0, LARGEST, "see whole blocks of this many keys (0: a window around each query)"),
    SQ_BOOL(sq_window_config, circular, "false", "blocks before the first are the last ones, and the other way round (not causal)"),
    SQ_FLOAT(sq_window_config, self_score, "0", -1e9, 0, "score of a key at the query's own position (0: its product, as any other)"),
    SQ_FIELDS_END
};

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    const sq_window_config *config = options;
    SQ_TRY(sq__dilation_check(config->dilation, p->H, "sliding-window", error));
    for (int64_t h = 0; h < p->H && config->block; h++)
        if (sq__dilation(config->dilation, h) != 1) return sq__fail(error, SQ_INVALID, "sliding-window: blocks have no dilation; expected dilation 1");
    if (config->circular && !config->block) return sq__fail(error, SQ_INVALID, "sliding-window: circular needs blocks; expected block 1 or more");
    return SQ_OK;
}

/* ---- a window around each query ---- */

/* With blocks, before and after count blocks. */
typedef struct context { sq_window window; int64_t block, blocks, most_keys; bool causal, circular; } context;

typedef struct window_scratch { sq_sparse_run run; sq_window_part part; } window_scratch;

static void window_tile(const void *memory, int64_t index, void *scratch, sq_sparse_tile *tile)
{
    const context *c = memory;
    window_scratch *s = scratch;
    sq__window_part(&c->window, index, &s->part);
    s->run = (sq_sparse_run){ .keys = s->part.keys, .low = s->part.low, .high = s->part.high };
    *tile = (sq_sparse_tile){ .queries = s->part.queries, .run_count = 1, .runs = &s->run };
}

/* ---- whole blocks ---- */

/* A tile of 64 queries lists the blocks that any of them sees. Places count through a sequence repeated before and after itself. */
typedef struct block_scratch { sq_sparse_run run; int32_t low[SQ_SPARSE_QUERIES], high[SQ_SPARSE_QUERIES]; } block_scratch;

static int64_t wrapped(int64_t block, int64_t blocks) { return ((block % blocks) + blocks) % blocks; }

static void block_tile(const void *memory, int64_t index, void *scratch, sq_sparse_tile *tile)
{
    const context *c = memory;
    block_scratch *s = scratch;
    int32_t *key = (int32_t *)(s + 1), *place = key + c->most_keys;
    const int64_t first = index * SQ_SPARSE_QUERIES, count = sq__most(0, sq__least(SQ_SPARSE_QUERIES, c->window.T - first)), size = c->block;
    int64_t from = first / size - c->window.before, to = (first + count - 1) / size + c->window.after, keys = 0;
    if (!c->circular) from = sq__most(from, 0), to = sq__least(to, c->blocks - 1);
    for (int64_t block = from; block <= to && c->blocks > 0; block++)
        for (int64_t x = 0, j = wrapped(block, c->blocks) * size; x < size && j < c->window.N; x++, j++) {
            key[keys] = (int32_t)j;
            place[keys++] = (int32_t)(block * size + x);
        }
    for (int64_t x = 0; x < count; x++) {
        const int64_t own = (first + x) / size;
        s->low[x] = (int32_t)((own - c->window.before) * size);
        s->high[x] = (int32_t)sq__least((own + c->window.after + 1) * size, c->causal ? first + x + 1 : INT32_MAX);
    }
    s->run = (sq_sparse_run){ .keys = { .count = keys, .rows = key }, .place = place, .low = s->low, .high = s->high };
    *tile = (sq_sparse_tile){ .queries = { .count = count, .first = first, .step = 1 }, .run_count = 1, .runs = &s->run };
}

static void set_blocks(context *c, const sq_window_config *config, sq_sparse_pattern *pattern)
{
    sq_window *w = &c->window;
    const int64_t size = c->block = sq__least(config->block, sq__most(sq__most(w->T, w->N), 1));
    c->blocks = sq__divide_up(w->N, size);
    w->before = sq__least(sq__divide_up(w->before, size), sq__divide_up(w->T, size) + c->blocks);
    w->after = sq__least(sq__divide_up(w->after, size), c->blocks);
    c->circular = config->circular && !c->causal;
    if (c->circular && w->before + w->after + 1 >= c->blocks) {     /* every block, once */
        c->circular = false;
        w->before = w->after = sq__divide_up(w->T, size) + c->blocks;
    }
    const int64_t spanned = (SQ_SPARSE_QUERIES - 1) / size + 2 + w->before + w->after;
    c->most_keys = c->circular ? spanned * sq__least(size, w->N) : sq__least(spanned * size, w->N);
    *pattern = (sq_sparse_pattern){ .tiles = sq__divide_up(w->T, SQ_SPARSE_QUERIES), .tile = block_tile,
                                    .scratch_bytes = sizeof(block_scratch) + 2 * (size_t)c->most_keys * sizeof(int32_t) };
}

static size_t make(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    const sq_window_config *config = at->config;
    const int64_t ahead = at->problem->causal ? 0 : config->ahead < 0 ? config->window : config->ahead, all = at->T + at->N;
    context c = { .window = { at->T, at->N, sq__least(config->window, all), sq__least(ahead, all), sq__dilation(config->dilation, at->h) },
                  .causal = at->problem->causal };
    if (config->block) {
        set_blocks(&c, config, pattern);
    } else {
        c.most_keys = sq__window_most_keys(&c.window);
        *pattern = (sq_sparse_pattern){ .tiles = sq__window_tiles(&c.window), .tile = window_tile, .scratch_bytes = sizeof(window_scratch) };
    }
    pattern->once = true;
    pattern->most_keys = c.most_keys;
    pattern->context = memory;
    if (memory) *(context *)memory = c;
    return sizeof c;
}

/* ---- running ---- */

static void sizes(const void *options, const sq_problem *p, sq_sizes *out)
{
    sq__pattern_sizes(make, options, p, out);
    const size_t step = sq__window_state_bytes(options, p) ? sq__window_step_workspace(options, p) * (size_t)p->threads : 0;
    if (step > out->forward_workspace) out->forward_workspace = step;
}

static double flops(const void *options, const sq_problem *p, sq_pass pass) { return sq__pattern_flops(make, options, p, pass); }

static void open_head(sq_pattern_head *ready, const sq_run *run, const sq_head *head)
{
    const sq_window_config *config = run->config;
    sq__pattern_open(ready, make, run, head);
    ready->sparse.has_self_score = config->self_score != 0;
    ready->sparse.self_score = (float)config->self_score;
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    sq_pattern_head ready;
    open_head(&ready, run, head);
    sq__pattern_forward(&ready, run);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    sq_pattern_head ready;
    open_head(&ready, run, head);
    sq__pattern_backward(&ready, run, head);
}

static void forward(const sq_run *run)
{
    sq__for_heads(run, sq__pattern_workspace(make, run->config, run->problem, SQ_FORWARD), forward_head);
}

static void backward(const sq_run *run)
{
    sq__for_heads(run, sq__pattern_workspace(make, run->config, run->problem, SQ_BACKWARD), backward_head);
}

const sq_attention_kind sq__attention_sliding_window = {
    .name = "sliding-window", .title = "keys nearby only", .paper = "arXiv:2004.05150", .cost = "O(n window) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_CROSS | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_STREAM | SQ_CAN_BIAS |
           SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(sq_window_config), .validate = validate, .sizes = sizes, .flops = flops,
    .forward = forward, .backward = backward,
    .state_bytes = sq__window_state_bytes, .state_reset = sq__window_state_reset, .step = sq__window_step,
};
