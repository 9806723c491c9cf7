/* Who belongs to which cluster: scores of all rows against all means, the largest of each mean, the nearest mean of each row. */
#include <math.h>
#include <string.h>

#include "attention/engine/gather.h"
#include "attention/routing.h"
#include "base/integers.h"

enum { GROUP = 16, LEAST_WINDOW = 32 };   /* clusters scored at once; the least window that is chosen by itself */

int64_t sq__routing_window(const sq_routing_config *config, int64_t clusters, int64_t n)
{
    const int64_t share = (n + clusters - 1) / clusters;
    return sq__least(n, config->window ? config->window : share > LEAST_WINDOW ? share : LEAST_WINDOW);
}

sq_routing_shape sq__routing_shape(const sq_routing_config *config, const sq_problem *p)
{
    const int64_t root = (int64_t)round(sqrt((double)p->max_length));
    sq_routing_shape s = { .clusters = config->clusters ? config->clusters : root > 0 ? root : 1, .shared = config->shared,
                           .memory = p->causal && !config->shared ? config->memory : 0, .lucidrains = config->convention == SQ_ROUTING_LUCIDRAINS };
    s.queries = sq__routing_window(config, s.clusters, p->T);
    s.keys = config->shared ? s.queries : sq__routing_window(config, s.clusters, p->N);
    return s;
}

/* The paper layer-normalises queries and keys; lucidrains takes their directions, for the choice alone. */
sq_normalise sq__routing_form(const sq_routing_shape *s, int64_t D)
{
    return (sq_normalise){ .D = D, .centred = !s->lucidrains, .length = s->lucidrains ? 1 : (float)sqrt((double)D) };
}

void sq__routing_cut_lists(const sq_routing_shape *s, const sq_problem *p, sq_cut *cut, sq_routing_lists *lists)
{
    const size_t counts = (size_t)s->clusters * sizeof(int32_t);
    lists->queries = sq__cut(cut, counts * (size_t)s->queries);
    lists->keys = sq__cut(cut, counts * (size_t)s->keys);
    lists->query_count = sq__cut(cut, counts);
    lists->key_count = sq__cut(cut, counts);
    lists->visible_queries = sq__cut(cut, counts);
    lists->visible_keys = sq__cut(cut, counts);
    lists->query_cluster = sq__cut(cut, (size_t)p->T * sizeof(int32_t));
    lists->key_cluster = sq__cut(cut, (size_t)p->N * sizeof(int32_t));
}

typedef struct scratch { float *scores, *best, *values; int32_t *rest; } scratch;

static size_t cut_scratch(const sq_routing_shape *s, const sq_problem *p, void *workspace, scratch *to)
{
    const int64_t rows = p->T > p->N ? p->T : p->N, most = s->queries > s->keys ? s->queries : s->keys;
    sq_cut cut = { workspace, 0 };
    to->scores = sq__cut_floats(&cut, GROUP * rows);
    to->best = sq__cut_floats(&cut, rows);
    to->values = sq__cut_floats(&cut, most);
    to->rest = sq__cut(&cut, (size_t)most * sizeof(int32_t));
    return cut.used;
}

size_t sq__routing_choose_workspace(const sq_routing_shape *s, const sq_problem *p)
{
    scratch none;
    return cut_scratch(s, p, NULL, &none);
}

typedef struct side { const float *x; int64_t n, most, room; const uint8_t *keep; int32_t *rows, *count, *cluster; } side;

/* Rows that keep hides are not chosen, and have no cluster. */
static void choose(const sq_routing_choice *c, const side *s, const scratch *w)
{
    const int64_t clusters = c->shape->clusters;
    for (int64_t i = 0; i < s->n; i++) w->best[i] = -INFINITY, s->cluster[i] = -1;
    for (int64_t c0 = 0; c0 < clusters; c0 += GROUP) {
        const int64_t group = sq__least(GROUP, clusters - c0);
        if (s->n > 0) sq__gemm(false, true, group, s->n, c->D, 1, c->means + c0 * c->D, c->D, s->x, c->D, 0, w->scores, s->n);
        for (int64_t g = 0; g < group; g++) {
            float *scores = w->scores + g * s->n;
            for (int64_t i = 0; s->keep && i < s->n; i++)
                if (!s->keep[i]) scores[i] = -INFINITY;
            for (int64_t i = 0; i < s->n; i++)
                if (scores[i] > w->best[i]) w->best[i] = scores[i], s->cluster[i] = (int32_t)(c0 + g);
            sq_largest largest = { .most = s->most, .value = w->values, .index = s->rows + (c0 + g) * s->room };
            sq__largest_offer(&largest, scores, s->n, 0);
            sq__largest_sort(&largest);
            s->count[c0 + g] = (int32_t)largest.count;
        }
    }
}

/* Visible rows first, both parts in their order. */
static int32_t part(int32_t *rows, int32_t count, const uint8_t *keep, int64_t keys, bool beyond, int32_t *rest)
{
    int32_t kept = 0, hidden = 0;
    for (int32_t i = 0; i < count; i++) {
        const bool visible = rows[i] < keys ? !keep || keep[rows[i]] : beyond;
        if (visible) rows[kept++] = rows[i];
        else rest[hidden++] = rows[i];
    }
    memcpy(rows + kept, rest, (size_t)hidden * sizeof *rows);
    return kept;
}

static bool sees_none(const sq_routing_choice *c)
{
    int64_t keys = c->k ? c->N : sq__least(c->T, c->N);
    bool none = true;
    for (int64_t j = 0; j < keys && none; j++) none = c->keep && !c->keep[j];
    return none;
}

void sq__routing_choose(const sq_routing_choice *c, sq_routing_lists *lists, void *workspace)
{
    const sq_routing_shape *s = c->shape;
    scratch w;
    cut_scratch(s, &(sq_problem){ .T = c->T, .N = c->N }, workspace, &w);
    choose(c, &(side){ c->q, c->T, sq__routing_window(c->config, s->clusters, c->T), s->queries, NULL, lists->queries, lists->query_count,
                       lists->query_cluster }, &w);
    if (c->k)
        choose(c, &(side){ c->k, c->N, sq__routing_window(c->config, s->clusters, c->N), s->keys, s->lucidrains ? NULL : c->keep, lists->keys,
                           lists->key_count, lists->key_cluster }, &w);
    const bool none = sees_none(c);    /* then the entry has no part in anything */
    for (int64_t i = 0; none && i < c->T; i++) lists->query_cluster[i] = -1;
    for (int64_t j = 0; none && c->k && j < c->N; j++) lists->key_cluster[j] = -1;
    for (int64_t i = 0; i < s->clusters; i++) {
        int32_t *queries = lists->queries + i * s->queries, *keys = lists->keys + i * s->keys;
        if (none) lists->query_count[i] = 0;
        if (!c->k) {
            lists->key_count[i] = lists->query_count[i];
            memcpy(keys, queries, (size_t)lists->key_count[i] * sizeof *keys);
        }
        lists->visible_keys[i] = part(keys, lists->key_count[i], c->keep, c->N, false, w.rest);
        lists->visible_queries[i] = c->hides_queries ? part(queries, lists->query_count[i], c->keep, c->N, true, w.rest) : lists->query_count[i];
    }
}
