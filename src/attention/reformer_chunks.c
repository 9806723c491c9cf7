/* Which pairs Reformer looks at: buckets, their order, and for each chunk of slots the keys it meets. */
#include <math.h>
#include <string.h>

#include "attention/engine/gather.h"
#include "attention/reformer.h"
#include "base/integers.h"

enum { ONE_HASH = 128 };   /* more buckets than this are a product of two hashes: projections stay linear in n */

/* Twice as many buckets as chunks, as the paper has it. */
static void factors(const sq_reformer_config *config, int64_t n, int64_t *factor)
{
    const int64_t wanted = 2 * sq__divide_up(n > 0 ? n : 1, config->block), root = 2 * (int64_t)ceil(sqrt((double)wanted) / 2);
    factor[0] = config->buckets ? config->buckets : wanted <= ONE_HASH ? wanted : root;
    factor[1] = config->buckets ? config->buckets2 : wanted <= ONE_HASH ? 0 : 2 * sq__divide_up(wanted, 2 * root);
}

/* Shorter sequences have fewer buckets, and one hash may want more columns than two do. */
int64_t sq__reformer_columns(const sq_reformer_config *config, int64_t max_length)
{
    int64_t factor[2];
    factors(config, max_length, factor);
    const int64_t columns = (factor[0] + factor[1]) / 2;
    return !config->buckets && factor[1] && columns < ONE_HASH / 2 ? ONE_HASH / 2 : columns;
}

static int64_t most_buckets(const sq_reformer_config *config, int64_t n)
{
    int64_t factor[2];
    factors(config, n, factor);
    const int64_t buckets = factor[0] * (factor[1] ? factor[1] : 1);
    return 1 + (!config->buckets && buckets < ONE_HASH ? ONE_HASH : buckets);
}

sq_reformer_chunks sq__reformer_chunks(const sq_reformer_config *config, const sq_problem *p, int64_t n)
{
    const bool whole = n <= config->block && config->convention != SQ_REFORMER_LUCIDRAINS;
    sq_reformer_chunks c = { .config = config, .n = n, .rounds = whole ? 1 : config->rounds, .chunks = sq__divide_up(n, config->block), .causal = p->causal };
    c.hash = (sq_rotation){ .D = p->D, .rounds = config->rounds, .columns = sq__reformer_columns(config, p->max_length) };
    factors(config, n, c.hash.factor);
    c.buckets = whole ? 1 : sq__rotation_buckets(&c.hash) + (config->convention == SQ_REFORMER_HUGGINGFACE);
    for (int64_t i = 1; i <= 2 * config->rounds; i++) c.log_count[i] = (float)log((double)i);
    if (config->convention == SQ_REFORMER_LUCIDRAINS) c.log_count[0] = (float)log(1e-9);
    return c;
}

void sq__reformer_cut(sq_reformer_chunks *c, const sq_problem *p, sq_cut *cut)
{
    const size_t all = (size_t)(c->config->rounds * p->T) * sizeof(int32_t);
    c->bucket = sq__cut(cut, all);
    c->order = sq__cut(cut, all);
    c->chunk = c->config->duplicates ? NULL : sq__cut(cut, all);
    c->start = sq__cut(cut, (size_t)(c->config->rounds * (most_buckets(c->config, p->T) + 1)) * sizeof(int32_t));
}

size_t sq__reformer_hash_workspace(const sq_reformer_config *config, const sq_problem *p)
{
    const int64_t columns = sq__reformer_columns(config, p->max_length);
    return sq__rotation_workspace(&(sq_rotation){ .factor = { 2 * columns, 0 } });
}

void sq__reformer_sort(sq_reformer_chunks *c, const float *rotations, const float *x, int64_t x_row, const uint8_t *key_keep, void *workspace)
{
    const bool apart = key_keep && c->buckets > 1 && c->config->convention == SQ_REFORMER_HUGGINGFACE;   /* hidden rows last */
    if (c->buckets == 1) memset(c->bucket, 0, (size_t)c->n * sizeof *c->bucket);
    else sq__rotation_rows(&c->hash, rotations, x, x_row, c->n, c->bucket, workspace);
    for (int64_t t = 0; t < c->rounds; t++) {
        int32_t *bucket = c->bucket + t * c->n, *order = c->order + t * c->n;
        for (int64_t i = 0; apart && i < c->n; i++)
            if (!key_keep[i]) bucket[i] = (int32_t)c->buckets - 1;
        sq__sort_buckets(order, c->start + t * (c->buckets + 1), bucket, c->n, c->buckets);
        for (int64_t s = 0; c->chunk && s < c->n; s++) c->chunk[t * c->n + order[s]] = (int32_t)(s / c->config->block);
    }
}

/* ---- tiles ---- */

typedef struct layout { sq_sparse_run *runs; int32_t *place, *low, *high; float *add; } layout;

static int64_t window(const sq_reformer_config *config)
{
    return config->before + 1 + config->after;
}

static size_t cut_layout(const sq_reformer_chunks *c, void *scratch, layout *l)
{
    const int64_t block = c->config->block < c->n ? c->config->block : c->n, keys = window(c->config) * block;
    sq_cut cut = { scratch, 0 };
    l->runs = sq__cut(&cut, (size_t)window(c->config) * sizeof *l->runs);
    l->place = sq__cut(&cut, (size_t)keys * sizeof *l->place);
    l->low = sq__cut(&cut, SQ_SPARSE_QUERIES * sizeof *l->low);
    l->high = sq__cut(&cut, SQ_SPARSE_QUERIES * sizeof *l->high);
    l->add = c->config->duplicates ? NULL : sq__cut_floats(&cut, keys * SQ_SPARSE_QUERIES);
    return cut.used;
}

/* Slots of chunk g, counted over all rounds. */
static void slots_of(const sq_reformer_chunks *c, int64_t g, int64_t *first, int64_t *end)
{
    const int64_t round = g / c->chunks, at = g % c->chunks * c->config->block;
    *first = round * c->n + at;
    *end = round * c->n + (at + c->config->block < c->n ? at + c->config->block : c->n);
}

/* Slots that chunk m of round t meets, neighbouring chunks as one run. The public implementations go round all chunks of all
 * rounds; the paper stays in the round. */
static int list_runs(const sq_reformer_chunks *c, int64_t t, int64_t m, sq_sparse_run *runs)
{
    const int64_t total = c->rounds * c->chunks;
    const bool circular = c->config->convention != SQ_REFORMER_PAPER && c->buckets > 1;
    int64_t count = 0, end = -1;
    for (int64_t o = -c->config->before; o <= c->config->after; o++) {
        int64_t g = t * c->chunks + m + o, first, next;
        if (circular) g = ((g % total) + total) % total;
        else if (m + o < 0 || m + o >= c->chunks) continue;
        slots_of(c, g, &first, &next);
        if (first == end) runs[count - 1].keys.count += next - first;
        else runs[count++] = (sq_sparse_run){ .keys = { .count = next - first, .rows = c->order + first } };
        end = next;
    }
    return (int)count;
}

/* Visible places of each query: inside its bucket slots, where earlier slots are earlier rows; across buckets rows. */
static void bound(const sq_reformer_chunks *c, int64_t t, int64_t first, int64_t count, layout *l)
{
    const bool across = c->config->across_buckets;
    for (int64_t i = 0; i < count; i++) {
        const int64_t slot = first + i, row = c->order[slot];
        const int32_t *start = c->start + t * (c->buckets + 1) + c->bucket[t * c->n + row];
        l->low[i] = across ? 0 : (int32_t)(t * c->n) + start[0];
        l->high[i] = across ? (int32_t)row + 1 : c->causal ? (int32_t)slot + 1 : (int32_t)(t * c->n) + start[1];
    }
}

/* Whether chunks that lie d apart meet in a round; a single round that goes round meets over its ends, too. */
static inline int32_t meet(int32_t d, int32_t from, int32_t to, int32_t around)
{
    const int32_t near = d >= from && d <= to;
    return around ? near + (d - around >= from && d - around <= to) + (d + around >= from && d + around <= to) : near;
}

/* add = -log(how often key and query meet over the rounds). */
static void correct_duplicates(const sq_reformer_chunks *c, const int32_t *queries, int64_t count, const sq_sparse_rows *keys, float *add)
{
    const int32_t from = (int32_t)-c->config->after, to = (int32_t)c->config->before, across = c->config->across_buckets;
    const int32_t around = c->rounds == 1 && c->config->convention != SQ_REFORMER_PAPER && c->buckets > 1 ? (int32_t)c->chunks : 0;
    const int64_t size = keys->count * SQ_SPARSE_QUERIES;
    memset(add, 0, (size_t)size * sizeof *add);
    for (int64_t t = 0; t < c->rounds; t++) {
        const int32_t *chunks = c->chunk + t * c->n, *buckets = c->bucket + t * c->n;
        int32_t chunk[SQ_SPARSE_QUERIES] = { 0 }, bucket[SQ_SPARSE_QUERIES] = { 0 };
        for (int64_t i = 0; i < count; i++) chunk[i] = chunks[queries[i]], bucket[i] = buckets[queries[i]];
        for (int64_t j = 0; j < keys->count; j++) {
            const int32_t key_chunk = chunks[keys->rows[j]], key_bucket = buckets[keys->rows[j]];
            float *times = add + j * SQ_SPARSE_QUERIES;
            for (int64_t i = 0; i < SQ_SPARSE_QUERIES; i++)
                times[i] += (float)((across | (bucket[i] == key_bucket)) * meet(chunk[i] - key_chunk, from, to, around));
        }
    }
    for (int64_t i = 0; i < size; i++) add[i] = -c->log_count[(int32_t)add[i]];
}

static void tile(const void *context, int64_t index, void *scratch, sq_sparse_tile *to)
{
    const sq_reformer_chunks *c = context;
    const int64_t block = c->config->block, parts = sq__divide_up(block, SQ_SPARSE_QUERIES);
    const int64_t last = c->n - (c->chunks - 1) * block, per_round = (c->chunks - 1) * parts + sq__divide_up(last, SQ_SPARSE_QUERIES);
    const int64_t t = index / per_round, m = index % per_round / parts, part = index % per_round - m * parts;
    int64_t first, end;
    layout l;
    cut_layout(c, scratch, &l);
    slots_of(c, t * c->chunks + m, &first, &end);
    first += part * SQ_SPARSE_QUERIES;
    const int64_t count = end - first < SQ_SPARSE_QUERIES ? end - first : SQ_SPARSE_QUERIES;
    *to = (sq_sparse_tile){ .queries = { .count = count, .rows = c->order + first }, .runs = l.runs, .run_count = list_runs(c, t, m, l.runs) };
    const bool bounded = c->causal || !c->config->across_buckets;
    if (bounded) bound(c, t, first, count, &l);
    for (int r = 0; r < to->run_count; r++) {
        sq_sparse_run *run = &l.runs[r];
        const int32_t slot = (int32_t)(run->keys.rows - c->order);
        if (bounded) run->low = l.low, run->high = l.high;
        if (!c->config->across_buckets) {
            for (int32_t j = 0; j < run->keys.count; j++) l.place[j] = slot + j;
            run->place = l.place;
            l.place += run->keys.count;
        }
        if (!l.add || c->rounds == 1) continue;
        correct_duplicates(c, c->order + first, count, &run->keys, l.add);
        run->add = l.add;
        l.add += run->keys.count * SQ_SPARSE_QUERIES;
    }
}

sq_sparse_pattern sq__reformer_pattern(const sq_reformer_chunks *c)
{
    const int64_t block = c->config->block, whole = c->chunks > 0 ? c->chunks - 1 : 0;
    const int64_t most = block < c->n ? block : c->n;
    layout l;
    return (sq_sparse_pattern){
        .context = c, .tile = tile, .scratch_bytes = cut_layout(c, NULL, &l), .most_keys = window(c->config) * most, .once = c->rounds == 1,
        .tiles = c->rounds * (whole * sq__divide_up(block, SQ_SPARSE_QUERIES) + sq__divide_up(c->n - whole * block, SQ_SPARSE_QUERIES)),
    };
}
