/* Which pairs HyperAttention computes for one head: codes, sorted keys cut into blocks, sampled keys. */
#include <math.h>

#include "attention/engine/hash.h"
#include "attention/hyper.h"
#include "base/integers.h"

/* ---- nodes ---- */

/* Rows [q0,q1) meet keys [k0,k1). Level -1 is the whole. */
typedef struct node { int64_t q0, q1, k0, k1, level, index; } node;

/* Causal: what a row sees of the levels of halving, whatever the length. A row lies in leaf row / block; on each level the rows of an odd
 * piece of block 2^level rows see the even piece before. */
typedef struct walk { int64_t T, N, block, level, index; bool causal, done; } walk;   /* level and index of the next node */

static bool next_node(walk *w, node *n)
{
    if (!w->causal) {
        *n = (node){ 0, w->T, 0, w->N, -1, 0 };
        const bool first = !w->done;
        w->done = true;
        return first;
    }
    for (; (w->block << w->level) < w->T; w->level++, w->index = 1) {
        const int64_t size = w->block << w->level, index = w->index;
        if (index * size >= w->T) continue;
        w->index += 2;
        *n = (node){ index * size, sq__least((index + 1) * size, w->T), sq__least((index - 1) * size, w->N), sq__least(index * size, w->N), w->level, index };
        return true;
    }
    return false;
}

static walk walk_of(const sq_hyper_config *config, int64_t T, int64_t N, bool causal)
{
    return (walk){ .T = T, .N = N, .block = config->block, .index = 1, .causal = causal };
}

sq_hyper_pairs sq__hyper_cut(sq_cut *piece, const sq_hyper_config *config, int64_t T, int64_t N, int64_t D, bool causal)
{
    sq_hyper_pairs s = { .config = config, .T = T, .N = N, .D = D, .causal = causal };
    const int64_t most = T > N ? T : N;
    walk w = walk_of(config, T, N, causal);
    node n;
    while (next_node(&w, &n)) {
        s.query_count += n.q1 - n.q0;
        s.key_count += n.k1 - n.k0;
        s.sample_count += sq__least(config->samples, n.k1 - n.k0);
        s.tile_count += (n.q1 - n.q0) / SQ_SPARSE_QUERIES + sq__divide_up(n.k1 - n.k0, config->block) + 1;
        s.node_count++;
    }
    if (causal) s.tile_count += sq__divide_up(T, config->block) * sq__divide_up(sq__least(config->block, T), SQ_SPARSE_QUERIES);
    s.queries = sq__cut(piece, (size_t)s.query_count * sizeof(int32_t));
    s.keys = sq__cut(piece, (size_t)s.key_count * sizeof(int32_t));
    s.samples = sq__cut(piece, (size_t)s.sample_count * sizeof(int32_t));
    s.tiles = sq__cut(piece, (size_t)s.tile_count * sizeof *s.tiles);
    s.nodes = sq__cut(piece, (size_t)s.node_count * sizeof *s.nodes);
    s.query_bucket = sq__cut(piece, (size_t)T * sizeof(int32_t));
    s.key_bucket = sq__cut(piece, (size_t)N * sizeof(int32_t));
    s.list = sq__cut(piece, (size_t)most * sizeof(int32_t));
    s.bucket = sq__cut(piece, (size_t)most * sizeof(int32_t));
    s.order = sq__cut(piece, (size_t)most * sizeof(int32_t));
    s.starts = sq__cut(piece, (((size_t)1 << config->bits) + 1) * sizeof(int32_t));
    s.block_starts = sq__cut(piece, (size_t)(sq__divide_up(N, config->block) + 1) * sizeof(int32_t));
    s.codes = sq__cut(piece, (size_t)most * sizeof(uint64_t));
    s.hash = sq__cut(piece, sq__hash_workspace(config->bits));
    return s;
}

/* ---- building ---- */

static void hash_rows(const sq_hyper_pairs *s, const float *x, int64_t x_row, int64_t rows, const float *planes, int32_t *bucket)
{
    sq__hash_signs(s->codes, x, x_row, rows, s->D, planes, s->config->bits, s->D, false, s->hash);
    for (int64_t i = 0; i < rows; i++) bucket[i] = (int32_t)sq__hash_gray_rank(s->codes[i]);
}

/* Visible keys of the node by bucket, to the end of keys; starts says where each bucket begins. Returns their number. */
static int64_t sort_keys(sq_hyper_pairs *s, const sq_head *head, const node *n)
{
    int64_t count = 0;
    for (int64_t j = n->k0; j < n->k1; j++) {
        if (head->key_keep && !head->key_keep[j]) continue;
        s->list[count] = (int32_t)j;
        s->bucket[count++] = s->key_bucket[j];
    }
    sq__sort_buckets(s->order, s->starts, s->bucket, count, (int64_t)1 << s->config->bits);
    for (int64_t i = 0; i < count; i++) s->keys[s->key_count + i] = s->list[s->order[i]];
    return count;
}

static int64_t block_start(int64_t block, int64_t keys, int64_t blocks) { return block * keys / blocks; }

/* The block that holds sorted key `at`. */
static int64_t block_at(int64_t at, int64_t keys, int64_t blocks)
{
    int64_t block = at * blocks / keys;
    while (block_start(block + 1, keys, blocks) <= at) block++;
    while (block_start(block, keys, blocks) > at) block--;
    return block;
}

/* The block of each query, into bucket: of its place among the node's queries sorted by bucket; causal, where that place would depend on
 * later queries, of the middle of its own bucket's keys. */
static void place_queries(sq_hyper_pairs *s, const node *n, int64_t keys, int64_t blocks)
{
    const int64_t queries = n->q1 - n->q0, buckets = (int64_t)1 << s->config->bits;
    if (n->level >= 0) {
        for (int64_t i = 0; i < queries; i++) {
            const int32_t bucket = s->query_bucket[n->q0 + i];
            const int64_t middle = ((int64_t)s->starts[bucket] + s->starts[bucket + 1]) / 2;
            s->bucket[i] = (int32_t)block_at(sq__least(middle, keys - 1), keys, blocks);
        }
        return;
    }
    sq__sort_buckets(s->order, s->starts, s->query_bucket + n->q0, queries, buckets);
    for (int64_t i = 0; i < queries; i++) s->bucket[s->order[i]] = (int32_t)(i * blocks / queries);
}

static void draw_samples(sq_hyper_pairs *s, const sq_random *random, int64_t keys)
{
    const int64_t count = sq__least(s->config->samples, keys);
    for (int64_t i = 0; i < keys; i++) s->list[i] = (int32_t)(s->key_count + i);
    sq__draw_distinct(random, s->list, keys, count);
    sq__largest_sort(&(sq_largest){ count, count, NULL, s->list });
    for (int64_t i = 0; i < count; i++) s->samples[s->sample_count + i] = s->list[i];
    s->nodes[s->node_count++] = (sq_hyper_node){ (int32_t)s->sample_count, (int32_t)count, count ? (float)log((double)keys / (double)count) : 0 };
    s->sample_count += count;
}

static void build_node(sq_hyper_pairs *s, const sq_head *head, const node *n, const sq_random *random)
{
    const int64_t keys = sort_keys(s, head, n), blocks = sq__divide_up(keys, s->config->block), queries = n->q1 - n->q0;
    if (keys == 0 || queries <= 0) return;
    place_queries(s, n, keys, blocks);
    const int32_t *starts = s->block_starts;
    sq__sort_buckets(s->order, s->block_starts, s->bucket, queries, blocks);
    for (int64_t i = 0; i < queries; i++) s->queries[s->query_count + i] = (int32_t)(n->q0 + s->order[i]);
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t first = block_start(block, keys, blocks), end = block_start(block + 1, keys, blocks);
        for (int64_t at = starts[block]; at < starts[block + 1]; at += SQ_SPARSE_QUERIES)
            s->tiles[s->tile_count++] = (sq_hyper_tile){ (int32_t)(s->query_count + at), (int32_t)sq__least(SQ_SPARSE_QUERIES, starts[block + 1] - at),
                                                         (int32_t)(s->key_count + first), (int32_t)(end - first), (int32_t)s->node_count };
    }
    draw_samples(s, random, keys);
    s->query_count += queries;
    s->key_count += keys;
}

static void build_leaves(sq_hyper_pairs *s, int64_t T)
{
    for (int64_t leaf = 0; leaf < T; leaf += s->config->block)
        for (int64_t row = leaf; row < sq__least(leaf + s->config->block, T); row += SQ_SPARSE_QUERIES) {
            const int64_t count = sq__least(SQ_SPARSE_QUERIES, sq__least(leaf + s->config->block, T) - row);
            s->tiles[s->tile_count++] = (sq_hyper_tile){ (int32_t)row, (int32_t)count, (int32_t)leaf, (int32_t)(row + count - leaf), -1 };
        }
}

void sq__hyper_build(sq_hyper_pairs *s, const sq_run *run, const sq_head *head)
{
    const uint64_t step = s->config->resample && run->call->training ? run->call->step : 0;
    const float *planes = run->call->tensors[0];
    s->query_count = s->key_count = s->tile_count = s->node_count = s->sample_count = 0;
    hash_rows(s, head->q, head->q_row, s->T, planes, s->query_bucket);
    hash_rows(s, head->k, head->k_row, s->N, planes, s->key_bucket);
    if (s->causal) build_leaves(s, s->T);
    walk w = walk_of(s->config, s->T, s->N, s->causal);
    node n;
    while (next_node(&w, &n)) {
        const uint64_t key[] = { step, (uint64_t)head->b, (uint64_t)head->h, (uint64_t)(n.level + 1), (uint64_t)n.index };
        const sq_random random = sq__random_stream(run->problem->seed, "hyper", sq__hash_bytes(key, sizeof key, 0));
        build_node(s, head, &n, &random);
    }
}
