/* The search: blocks of scores by one product each, offered to a heap per query. */
#include <math.h>

#include "attention/engine/gather.h"
#include "autograd/node.h"
#include "autograd/retrieved.h"

enum { QUERIES = 64, KEYS = 256 };

typedef struct search {
    const sq_memory_rows *memory;
    const sq_memory_view *views;
    const int32_t *lengths;
    int64_t T, H, D, topk, tiles, now_rows;
    const float *q;
    int32_t *list;
    char *scratch;
    size_t per_thread;
} search;

typedef struct room { float *scores, *value; sq_largest *heaps; } room;   /* [QUERIES, KEYS], [QUERIES, topk], [QUERIES] */

static size_t cut_room(int64_t topk, void *base, room *r)
{
    sq_cut cut = { base, 0 };
    r->scores = sq__cut_floats(&cut, QUERIES * KEYS);
    r->value = sq__cut_floats(&cut, QUERIES * topk);
    r->heaps = sq__cut(&cut, QUERIES * sizeof *r->heaps);
    return cut.used;
}

static int64_t between(int64_t low, int64_t x, int64_t high) { return x < low ? low : x > high ? high : x; }

/* Scores of `rows` keys from `from` on, in r->scores. */
static void score(const search *s, const room *r, int64_t b, int64_t h, int64_t t0, int64_t queries, const float *kv, int64_t all, int64_t from, int64_t rows)
{
    const int64_t E = s->H * s->D;
    sq__gemm(false, true, queries, rows, s->D, 1, s->q + (b * s->T + t0) * E + h * s->D, E, kv + (b * all + from) * 2 * E + h * s->D, 2 * E, 0, r->scores, KEYS);
}

/* The ring, without the rows from `oldest` on that a query has left behind. */
static void search_past(const search *s, const room *r, int64_t b, int64_t h, int64_t t0, int64_t queries)
{
    const sq_memory_view *view = &s->views[b];
    const int64_t all = s->memory->past_rows;
    for (int64_t from = 0; from < all; from += KEYS) {
        const int64_t rows = sq__least(KEYS, all - from);
        score(s, r, b, h, t0, queries, s->memory->past, all, from, rows);
        for (int64_t i = 0; i < queries; i++) {
            float *line = r->scores + i * KEYS;
            const int64_t gone = between(view->hidden, t0 + i, all), end = view->oldest + gone;
            for (int64_t turn = 0; turn < 2; turn++) {   /* oldest .. end - 1, which may go round */
                const int64_t first = between(0, view->oldest - turn * all - from, rows), last = between(0, end - turn * all - from, rows);
                for (int64_t j = first; j < last; j++) line[j] = -INFINITY;
            }
            sq__largest_offer(&r->heaps[i], line, rows, (int32_t)from);
        }
    }
}

static void search_now(const search *s, const room *r, int64_t b, int64_t h, int64_t t0, int64_t queries)
{
    const sq_memory_view *view = &s->views[b];
    const int64_t begin = view->first > t0 - view->reach ? view->first : t0 - view->reach, stop = sq__least(s->now_rows, t0 + queries - 1 - view->behind);
    for (int64_t from = begin; from < stop; from += KEYS) {
        const int64_t rows = sq__least(KEYS, stop - from);
        score(s, r, b, h, t0, queries, s->memory->now->value, s->now_rows, from, rows);
        for (int64_t i = 0; i < queries; i++) {
            const int64_t low = between(0, t0 + i - view->reach - from, rows), high = between(low, t0 + i - view->behind - from, rows);
            sq__largest_offer(&r->heaps[i], r->scores + i * KEYS + low, high - low, (int32_t)(s->memory->past_rows + from + low));
        }
    }
}

/* A tile of queries of one head. */
static void search_item(void *context, int64_t item, int thread)
{
    const search *s = context;
    const int64_t h = item % s->H, tile = item / s->H % s->tiles, b = item / s->H / s->tiles, t0 = tile * QUERIES;
    const int64_t length = s->lengths ? s->lengths[b] : s->T, queries = between(0, length - t0, QUERIES), rows = sq__least(QUERIES, s->T - t0);
    room r;
    cut_room(s->topk, s->scratch + (size_t)thread * s->per_thread, &r);
    for (int64_t i = 0; i < rows; i++) {
        int32_t *list = s->list + ((b * s->T + t0 + i) * s->H + h) * s->topk;
        r.heaps[i] = (sq_largest){ .most = s->topk, .value = r.value + i * s->topk, .index = list };
    }
    if (queries && s->memory->past) search_past(s, &r, b, h, t0, queries);
    if (queries) search_now(s, &r, b, h, t0, queries);
    for (int64_t i = 0; i < rows; i++) {
        sq__largest_sort(&r.heaps[i]);
        for (int64_t j = r.heaps[i].count; j < s->topk; j++) r.heaps[i].index[j] = -1;
    }
}

const int32_t *sq__nearest_rows(sq_tape *tape, const sq_var *q, const sq_memory_rows *memory, const sq_memory_view *views, const int32_t *lengths,
                                int64_t heads, int64_t topk)
{
    if (!q || !memory->now || sq__tape_status(tape, NULL) != SQ_OK) return NULL;
    const int64_t B = q->shape[0], T = q->shape[1];
    room r;
    search s = { .memory = memory, .views = views, .lengths = lengths, .T = T, .H = heads, .D = q->shape[2] / heads, .topk = topk,
                 .tiles = (T + QUERIES - 1) / QUERIES, .now_rows = memory->now->shape[1], .q = q->value, .per_thread = cut_room(topk, NULL, &r) };
    s.list = sq__tape_memory(tape, (size_t)(B * T * heads * topk) * sizeof *s.list);
    sq_buffer *scratch = sq__scratch(tape, (size_t)sq__threads() * s.per_thread);
    if (!s.list || !scratch) return NULL;
    s.scratch = sq__buffer_data(scratch);
    sq__parallel(sq__threads(), B * s.tiles * heads, search_item, &s);
    sq__pool_release(tape->pool, scratch);
    return s.list;
}
