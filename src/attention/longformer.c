/* Longformer, arXiv:2004.05150: a sliding window, and global tokens that see all and are seen by all.
 *   ordinary i   out[i] = softmax over { j : |i - j| <= window dilation, j - i a multiple of dilation } and all global j of scale q_i . k_j, on v
 *   global i     out[i] = softmax over all j of scale gq_i . gk_j, on gv: projections of their own (inputs global_query, global_key,
 *                global_value, all H heads), or q, k, v with `global_projections shared`
 * Each key counts once; an ordinary query meets a global key with the ordinary k and v. With causal j <= i throughout.
 * q [N,D]; k [N,D]; v [N,M]; out [N,M]. Global are the call's global_tokens, or without them the first `globals` tokens.
 * O(n (window + globals) (D+M)) time, O(n) memory. Saves the maximum and log-sum of each row. Grouped heads: query head h reads key head
 * h / (H/Hk). Departs from the paper: a query that sees no key gives zeros. */
#include <string.h>

#include "attention/engine/pattern.h"
#include "attention/engine/window.h"
#include "base/integers.h"
#include "base/status.h"

typedef struct longformer_config {
    int64_t window, globals;
    int projections;
    char dilation[SQ_TEXT_FIELD_SIZE];
} longformer_config;

enum { SEPARATE, SHARED };
enum { QUERY, KEY, VALUE, INPUTS };
static const char *const projections[] = { "separate", "shared", NULL };

static const sq_field fields[] = {
    SQ_INT(longformer_config, window, "64", 0, 1 << 30, "keys seen on either side, in steps of the dilation"),
    SQ_TEXT(longformer_config, dilation, "1", "distance between seen keys: one number, or one per head with commas between"),
    SQ_INT(longformer_config, globals, "1", 0, 1 << 30, "tokens at the beginning that see all and are seen by all"),
    { "global_projections", SQ_FIELD_CHOICE, offsetof(longformer_config, projections), "separate", 0, 0, projections,
      "global queries have projections of their own, or the ordinary ones" },
    SQ_FIELDS_END
};

static sq_status validate(const void *options, const sq_problem *p, sq_error *error)
{
    return sq__dilation_check(((const longformer_config *)options)->dilation, p->H, "longformer", error);
}

static bool has_inputs(const longformer_config *config, const sq_problem *p)
{
    return config->projections == SEPARATE && (config->globals > 0 || p->global_tokens);
}

static int inputs(const void *options, const sq_problem *p, sq_attention_input *infos)
{
    if (!has_inputs(options, p)) return 0;
    if (infos) {
        infos[QUERY] = (sq_attention_input){ .name = "global_query", .width = p->D, .turned = true };
        infos[KEY] = (sq_attention_input){ .name = "global_key", .width = p->D, .of_keys = true, .turned = true };
        infos[VALUE] = (sq_attention_input){ .name = "global_value", .width = p->M, .of_keys = true };
    }
    return INPUTS;
}

/* ---- patterns ---- */

typedef struct context {
    sq_window window;
    bool causal;
    const uint8_t *global;             /* [rows] */
    const int32_t *list;               /* the global rows in order */
    int64_t keys, queries;             /* of the list: those that exist as keys, as queries */
    int64_t window_tiles;
} context;

typedef struct scratch {
    sq_window_part part;
    sq_sparse_run runs[2];
    int32_t query[SQ_SPARSE_QUERIES], none[SQ_SPARSE_QUERIES], bound[SQ_SPARSE_QUERIES];
} scratch;

/* The ordinary ones of evenly spaced rows; a list only where some are global. */
static sq_sparse_rows ordinary(const context *c, const sq_sparse_rows *rows, int32_t *list)
{
    sq_sparse_rows kept = { .rows = list };
    for (int64_t x = 0; x < rows->count; x++) {
        const int64_t row = rows->first + x * rows->step;
        if (!c->global[row]) list[kept.count++] = (int32_t)row;
    }
    return kept.count == rows->count ? *rows : kept;
}

/* Global rows up to `last`, hidden from queries before them when causal. */
static sq_sparse_run global_keys(const context *c, scratch *s, const sq_sparse_rows *queries)
{
    sq_sparse_run run = { .keys = { .count = c->keys, .rows = c->list } };
    if (!c->causal) return run;
    for (int64_t x = 0; x < queries->count; x++) {
        s->none[x] = 0;
        s->bound[x] = (queries->rows ? queries->rows[x] : (int32_t)(queries->first + x * queries->step)) + 1;
    }
    run.low = s->none, run.high = s->bound;
    return run;
}

static void ordinary_tile(const context *c, int64_t index, scratch *s, sq_sparse_tile *tile)
{
    sq__window_part(&c->window, index, &s->part);
    const sq_sparse_rows queries = s->part.queries;
    int32_t *keys = (int32_t *)(s + 1);
    *tile = (sq_sparse_tile){ .queries = ordinary(c, &queries, s->query), .run_count = 2, .runs = s->runs };
    int64_t kept = 0;
    for (int64_t x = 0; x < queries.count && tile->queries.rows; x++) {     /* the bounds of those that are left */
        if (c->global[queries.first + x * queries.step]) continue;
        s->part.low[kept] = s->part.low[x];
        s->part.high[kept++] = s->part.high[x];
    }
    s->runs[0] = (sq_sparse_run){ .keys = ordinary(c, &s->part.keys, keys), .low = s->part.low, .high = s->part.high };
    s->runs[1] = global_keys(c, s, &tile->queries);
}

static void global_tile(const void *memory, int64_t index, void *room, sq_sparse_tile *tile)
{
    const context *c = memory;
    scratch *s = room;
    const int64_t first = index * SQ_SPARSE_QUERIES;
    *tile = (sq_sparse_tile){ .queries = { .count = sq__least(SQ_SPARSE_QUERIES, c->queries - first), .rows = c->list + first }, .run_count = 1, .runs = s->runs };
    const int64_t end = c->causal ? sq__least(c->window.N, c->list[first + tile->queries.count - 1] + 1) : c->window.N;
    s->runs[0] = global_keys(c, s, &tile->queries);
    s->runs[0].keys = (sq_sparse_rows){ .count = end, .step = 1 };
}

static void any_tile(const void *memory, int64_t index, void *room, sq_sparse_tile *tile)
{
    const context *c = memory;
    if (index < c->window_tiles) ordinary_tile(c, index, room, tile);
    else global_tile(memory, index - c->window_tiles, room, tile);
}

static int64_t global_tiles(int64_t queries) { return (queries + SQ_SPARSE_QUERIES - 1) / SQ_SPARSE_QUERIES; }

static void mark_globals(const sq_pattern_at *at, context *c, uint8_t *global, int32_t *list)
{
    const longformer_config *config = at->config;
    const uint8_t *given = at->run ? at->run->call->global_tokens : NULL;
    const int64_t rows = at->T > at->N ? at->T : at->N;
    int64_t count = 0;
    if (given) given += at->b * at->problem->N;
    for (int64_t i = 0; i < rows; i++) {
        global[i] = given ? given[i] != 0 : i < config->globals;
        if (!global[i]) continue;
        list[count++] = (int32_t)i;
        c->keys += i < at->N;
        c->queries += i < at->T;
    }
    c->global = global;
    c->list = list;
}

/* Bounds serve both patterns: the ordinary one, to which the global tiles belong when projections are shared, and the global one. */
static size_t make(const sq_pattern_at *at, void *memory, sq_sparse_pattern *pattern)
{
    const longformer_config *config = at->config;
    const sq_problem *p = at->problem;
    const int64_t all = at->T + at->N, window = sq__least(config->window, all), rows = at->T > at->N ? at->T : at->N;
    context c = { .window = { at->T, at->N, window, p->causal ? 0 : window, sq__dilation(config->dilation, at->h) }, .causal = p->causal };
    sq_cut piece = { memory, 0 };
    context *kept = sq__cut(&piece, sizeof c);
    int32_t *list = sq__cut(&piece, (size_t)rows * sizeof *list);
    uint8_t *global = sq__cut(&piece, (size_t)rows);
    c.window_tiles = sq__window_tiles(&c.window);
    if (memory) mark_globals(at, &c, global, list);
    *pattern = (sq_sparse_pattern){ .context = memory, .tile = any_tile, .most_keys = at->N, .once = true, .tiles = c.window_tiles,
                                    .scratch_bytes = sizeof(scratch) + (size_t)sq__window_most_keys(&c.window) * sizeof(int32_t) };
    if (config->projections == SHARED || !at->run) pattern->tiles += global_tiles(memory ? c.queries : rows);
    if (memory) *kept = c;
    return piece.used;
}

/* ---- running ---- */

static void sizes(const void *options, const sq_problem *p, sq_sizes *out) { sq__pattern_sizes(make, options, p, out); }

static double flops(const void *options, const sq_problem *p, sq_pass pass) { return sq__pattern_flops(make, options, p, pass); }

/* Global queries on their own projections: the other rows of out and of the statistics stay as they are. */
static sq_sparse global_sparse(const sq_run *run, const sq_head *head, const sq_pattern_head *ready, sq_sparse_pattern *pattern)
{
    const context *c = ready->pattern.context;
    sq_sparse sparse = ready->sparse;
    *pattern = ready->pattern;
    pattern->tile = global_tile;
    pattern->tiles = global_tiles(c->queries);
    sparse.pattern = pattern;
    sparse.keep_out = true;
    sparse.q = sq__head_input(run, QUERY, head->b, head->h, &sparse.q_row);
    sparse.k = sq__head_input(run, KEY, head->b, head->h, &sparse.k_row);
    sparse.v = sq__head_input(run, VALUE, head->b, head->h, &sparse.v_row);
    return sparse;
}

static void forward_head(const sq_run *run, const sq_head *head)
{
    sq_pattern_head ready;
    sq_sparse_pattern pattern;
    sq__pattern_open(&ready, make, run, head);
    sq__pattern_forward(&ready, run);
    if (!has_inputs(run->config, run->problem)) return;
    const sq_sparse sparse = global_sparse(run, head, &ready, &pattern);
    sq__sparse_forward(&sparse, run->kernels, ready.workspace);
}

static void backward_head(const sq_run *run, const sq_head *head)
{
    sq_pattern_head ready;
    sq_sparse_pattern pattern;
    sq__pattern_open(&ready, make, run, head);
    sq__pattern_backward(&ready, run, head);
    if (!has_inputs(run->config, run->problem)) return;
    const sq_sparse sparse = global_sparse(run, head, &ready, &pattern);
    sq_dense_gradients gradients = { .dout = head->dout, .dout_row = head->dout_row };
    gradients.dq = sq__head_dinput(run, QUERY, head->b, head->h, &gradients.dq_row);
    gradients.dk = sq__head_dinput(run, KEY, head->b, head->h, &gradients.dk_row);
    gradients.dv = sq__head_dinput(run, VALUE, head->b, head->h, &gradients.dv_row);
    sq__sparse_backward(&sparse, &gradients, run->kernels, ready.workspace);
}

static void forward(const sq_run *run)
{
    sq__for_heads(run, sq__pattern_workspace(make, run->config, run->problem, SQ_FORWARD), forward_head);
}

static void backward(const sq_run *run)
{
    sq__for_heads(run, sq__pattern_workspace(make, run->config, run->problem, SQ_BACKWARD), backward_head);
}

const sq_attention_kind sq__attention_longformer = {
    .name = "longformer", .title = "sliding window and global tokens", .paper = "arXiv:2004.05150", .cost = "O(n (window + globals)) time, O(n) memory",
    .can = SQ_CAN_CAUSAL | SQ_CAN_LENGTHS | SQ_CAN_MASK | SQ_CAN_KEY_MASK | SQ_CAN_GROUPED | SQ_CAN_GLOBAL | SQ_CAN_BIAS | SQ_CAN_ROTARY,
    .fields = fields, .config_size = sizeof(longformer_config), .validate = validate, .sizes = sizes, .flops = flops, .inputs = inputs,
    .forward = forward, .backward = backward,
};
