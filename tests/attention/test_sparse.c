/* The sparse engine against a naive double-precision one: both modes, every rule, rows in several tiles, gradients. */
#include "attention/engine/sparse.h"
#include "base/memory.h"
#include "base/random.h"
#include "support/check.h"
#include "support/each_isa.h"

enum { TILES = 40, RUNS = 4, CANARIES = 64 };

/* ---- patterns ---- */

typedef struct test_tile {
    sq_sparse_tile tile;
    sq_sparse_run runs[RUNS];
    int32_t query[SQ_SPARSE_QUERIES], *key[RUNS], *place[RUNS], low[RUNS][SQ_SPARSE_QUERIES], high[RUNS][SQ_SPARSE_QUERIES];
    float *add[RUNS], weight[SQ_SPARSE_QUERIES];
} test_tile;

typedef struct test_pattern { test_tile tiles[TILES]; sq_random random; uint64_t draws; } test_pattern;

static int64_t below(test_pattern *p, int64_t bound) { return (int64_t)sq__random_below(&p->random, p->draws++, (uint64_t)bound); }

/* Copied into the scratch, as patterns that are worked out tile by tile do. */
static void give_tile(const void *context, int64_t index, void *scratch, sq_sparse_tile *tile)
{
    const test_tile *from = &((const test_pattern *)context)->tiles[index];
    memcpy(scratch, from->runs, sizeof from->runs);
    *tile = from->tile;
    tile->runs = scratch;
}

/* Rules in turn: none, ranges of rows, ranges of places, additions. */
static void fill_run(test_pattern *p, test_tile *t, int r, int rule, int64_t N, int64_t count)
{
    sq_sparse_run *run = &t->runs[r];
    *run = (sq_sparse_run){ .keys = { .count = count } };
    if (below(p, 2) && count <= N) {
        run->keys.step = count > 1 && below(p, 2) ? (N - 1) / (count - 1) : 1;
        run->keys.first = below(p, N - (count > 0 ? (count - 1) * run->keys.step : 0));
    } else {
        t->key[r] = sq__alloc(sizeof(int32_t) * (size_t)(count + 1));
        for (int64_t j = 0; j < count; j++) t->key[r][j] = (int32_t)below(p, N);   /* duplicates among them */
        run->keys.rows = t->key[r];
    }
    if (rule == 2) {
        t->place[r] = sq__alloc(sizeof(int32_t) * (size_t)(count + 1));
        for (int64_t j = 0; j < count; j++) t->place[r][j] = (int32_t)below(p, 100) - 50;
        run->place = t->place[r];
    }
    for (int64_t c = 0; (rule == 1 || rule == 2) && c < t->tile.queries.count; c++) {
        t->low[r][c] = (int32_t)(rule == 1 ? below(p, N) / 2 : below(p, 60) - 50);
        t->high[r][c] = t->low[r][c] + (int32_t)(rule == 1 ? below(p, N) : below(p, 60));
        run->low = t->low[r];
        run->high = t->high[r];
    }
    if (rule != 3) return;
    t->add[r] = sq__alloc(sizeof(float) * (size_t)((count + 1) * SQ_SPARSE_QUERIES));
    for (int64_t i = 0; i < count * SQ_SPARSE_QUERIES; i++) t->add[r][i] = below(p, 4) ? (float)below(p, 100) / 50 - 1 : -INFINITY;
    run->add = t->add[r];
}

static void fill_tile(test_pattern *p, test_tile *t, const sq_sparse_rows *queries, int64_t N, int64_t most, bool weighted)
{
    t->tile = (sq_sparse_tile){ .queries = *queries, .run_count = RUNS, .runs = t->runs, .weight = weighted ? t->weight : NULL };
    for (int64_t c = 0; c < queries->count; c++) t->weight[c] = (float)below(p, 100) / 50 - 0.5f;
    for (int r = 0; r < RUNS; r++) fill_run(p, t, r, r, N, below(p, 5) ? below(p, most) + 1 : 0);
}

static void free_pattern(test_pattern *p, int64_t tiles)
{
    for (int64_t i = 0; i < tiles; i++)
        for (int r = 0; r < RUNS; r++) {
            sq__free(p->tiles[i].key[r]);
            sq__free(p->tiles[i].place[r]);
            sq__free(p->tiles[i].add[r]);
        }
}

/* ---- the naive version ---- */

typedef struct pair { int64_t key; double score; bool constant; } pair;

typedef struct naive {
    const sq_sparse *s;
    const float *dout;
    int64_t dout_row;
    double *out, *dq, *dk, *dv;
    pair *pairs;
    int64_t count, room;
} naive;

static int64_t row_of(const sq_sparse_rows *rows, int64_t i) { return rows->rows ? rows->rows[i] : rows->first + i * rows->step; }

static void list_run(naive *n, const sq_sparse_run *run, int64_t c, int64_t i)
{
    const sq_sparse *s = n->s;
    for (int64_t at = 0; at < run->keys.count; at++) {
        const int64_t j = row_of(&run->keys, at), place = run->place ? run->place[at] : j;
        double score = run->add ? run->add[at * SQ_SPARSE_QUERIES + c] : 0;
        const bool constant = s->has_self_score && i == j;
        if (run->low && (place < run->low[c] || place >= run->high[c])) continue;
        if (score == -INFINITY || (s->key_keep && !s->key_keep[j]) || (s->pair_keep && !s->pair_keep[i * s->pair_row + j])) continue;
        for (int64_t d = 0; d < s->D; d++) score += (double)s->scale * s->q[i * s->q_row + d] * s->k[j * s->k_row + d];
        if (n->count == n->room) n->pairs = sq__realloc(n->pairs, sizeof(pair) * (size_t)(n->room = 2 * n->room + 64));
        n->pairs[n->count++] = (pair){ j, constant ? (double)s->self_score : score, constant };
    }
}

/* One softmax over the pairs listed for row i. */
static void attend(naive *n, int64_t i, double weight)
{
    const sq_sparse *s = n->s;
    double top = -INFINITY, sum = 0, delta = 0;
    for (int64_t x = 0; x < n->count; x++) top = fmax(top, n->pairs[x].score);
    for (int64_t x = 0; x < n->count; x++) sum += exp(n->pairs[x].score - top);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t x = 0; x < n->count; x++) {
            const int64_t j = n->pairs[x].key;
            const double p = exp(n->pairs[x].score - top) / sum;
            double dp = 0;
            for (int64_t c = 0; c < s->M; c++) dp += weight * n->dout[i * n->dout_row + c] * s->v[j * s->v_row + c];
            if (pass == 0) {
                delta += p * dp;
                for (int64_t c = 0; c < s->M; c++) n->out[i * s->M + c] += weight * p * s->v[j * s->v_row + c];
                for (int64_t c = 0; c < s->M; c++) n->dv[j * s->M + c] += weight * p * n->dout[i * n->dout_row + c];
                continue;
            }
            for (int64_t d = 0; d < s->D && !n->pairs[x].constant; d++) {
                n->dq[i * s->D + d] += s->scale * p * (dp - delta) * s->k[j * s->k_row + d];
                n->dk[j * s->D + d] += s->scale * p * (dp - delta) * s->q[i * s->q_row + d];
            }
        }
    n->count = 0;
}

static void run_naive(naive *n, const test_pattern *p)
{
    for (int64_t i = 0; i < n->s->T; i++) {
        for (int64_t index = 0; index < n->s->pattern->tiles; index++) {
            const sq_sparse_tile *t = &p->tiles[index].tile;
            for (int64_t c = 0; c < t->queries.count; c++) {
                if (row_of(&t->queries, c) != i) continue;
                for (int r = 0; r < t->run_count; r++) list_run(n, &t->runs[r], c, i);
                if (n->s->mode == SQ_SPARSE_SEPARATE) attend(n, i, t->weight ? t->weight[c] : 1);
            }
        }
        if (n->s->mode == SQ_SPARSE_MERGE) attend(n, i, 1);
    }
    sq__free(n->pairs);
}

/* ---- a case ---- */

typedef struct shape {
    int64_t T, N, D, M;
    sq_sparse_mode mode;
    enum { BLOCKS, STRIDED, OVERLAPPING } rows;
    int64_t most;                 /* keys of a run at most */
    bool keys, pairs, self, weighted, accumulate;
    float size;
} shape;

static const shape shapes[] = {
    { 1, 1, 1, 1, SQ_SPARSE_MERGE, BLOCKS, 1, false, false, false, false, false, 1 },
    { 1, 1, 4, 4, SQ_SPARSE_SEPARATE, BLOCKS, 3, false, false, false, true, false, 1 },
    { 65, 63, 16, 16, SQ_SPARSE_MERGE, BLOCKS, 30, false, false, false, false, false, 1 },
    { 200, 200, 32, 20, SQ_SPARSE_MERGE, BLOCKS, 200, true, false, false, false, false, 1 },
    { 130, 333, 24, 40, SQ_SPARSE_MERGE, STRIDED, 150, false, true, false, false, true, 1 },
    { 300, 300, 16, 16, SQ_SPARSE_MERGE, OVERLAPPING, 70, true, false, true, false, false, 1 },
    { 100, 100, 33, 31, SQ_SPARSE_MERGE, OVERLAPPING, 90, true, true, true, false, true, 2 },
    { 64, 700, 64, 64, SQ_SPARSE_MERGE, BLOCKS, 600, false, false, false, false, false, 8 },
    { 90, 90, 16, 16, SQ_SPARSE_SEPARATE, OVERLAPPING, 40, false, false, false, true, false, 1 },
    { 129, 200, 8, 24, SQ_SPARSE_SEPARATE, OVERLAPPING, 150, true, true, true, true, true, 1 },
    { 70, 70, 130, 16, SQ_SPARSE_SEPARATE, BLOCKS, 10, false, false, true, false, false, 1 },
};

enum { PAD = 3 };

static float *draw(int64_t rows, int64_t columns, int64_t row, const char *name, float size)
{
    const sq_random random = sq__random_stream(11, name, (uint64_t)(rows + columns));
    float *x = sq__alloc(sizeof(float) * (size_t)(rows * row));
    for (int64_t i = 0; i < rows * row; i++) x[i] = i % row < columns ? size * (float)sq__random_normal(&random, (uint64_t)i) : NAN;
    return x;
}

static void fill_pattern(test_pattern *p, sq_sparse_pattern *pattern, const shape *s)
{
    p->random = sq__random_stream(5, "pattern", (uint64_t)(s->T * 31 + s->most));
    const int64_t blocks = (s->T + SQ_SPARSE_QUERIES - 1) / SQ_SPARSE_QUERIES;
    *pattern = (sq_sparse_pattern){ .context = p, .tile = give_tile, .scratch_bytes = sizeof p->tiles[0].runs, .most_keys = RUNS * s->most,
                                    .tiles = s->rows == OVERLAPPING ? 2 * blocks + 3 : blocks, .once = s->rows != OVERLAPPING };
    for (int64_t i = 0; i < pattern->tiles; i++) {
        test_tile *t = &p->tiles[i];
        sq_sparse_rows rows = { .first = i * SQ_SPARSE_QUERIES, .step = 1 };
        if (s->rows == STRIDED) rows = (sq_sparse_rows){ .first = i, .step = blocks };
        rows.count = (s->T - rows.first + rows.step - 1) / rows.step;
        if (rows.count > SQ_SPARSE_QUERIES) rows.count = SQ_SPARSE_QUERIES;
        if (s->rows == OVERLAPPING) {       /* a third of the rows is in no tile; the rest in some, in any order */
            int64_t order[512];
            sq__random_permutation(&(sq_random){ 3, (uint64_t)i }, order, s->T);
            rows = (sq_sparse_rows){ .rows = t->query };
            for (int64_t x = 0; x < s->T && rows.count < (i == 2 ? 0 : 5 + 13 * i) && rows.count < SQ_SPARSE_QUERIES; x++)
                if (order[x] % 3) t->query[rows.count++] = (int32_t)order[x];
        }
        fill_tile(p, t, &rows, s->N, s->most, s->weighted);
    }
}

static char *guarded(size_t bytes)
{
    char *memory = sq__alloc(bytes + CANARIES);
    assert_int_equal(bytes % sizeof(float), 0);
    for (size_t i = 0; i < bytes / sizeof(float); i++) ((float *)memory)[i] = NAN;
    memset(memory + bytes, 0x5a, CANARIES);
    return memory;
}

static void release(char *memory, size_t bytes)
{
    for (int i = 0; i < CANARIES; i++) assert_int_equal(memory[bytes + (size_t)i], 0x5a);
    sq__free(memory);
}

static void compare(const char *what, const shape *s, const float *x, int64_t row, const double *expected, int64_t rows, int64_t columns, double offset)
{
    double top = 0, worst = 0;
    for (int64_t i = 0; i < rows * columns; i++) top = fmax(top, fabs(expected[i]));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t c = 0; c < columns; c++) {
            const double error = fabs(x[i * row + c] - expected[i * columns + c] - offset);
            if (!(error <= worst)) worst = error;
        }
    /* a float32 softmax over logits of this size loses this much: half a unit in the last place of the largest logit */
    if (!(worst <= 3e-6 * fmax(1, s->size / 4) * top + 1e-6))
        fail_msg("%s: T=%ld N=%ld D=%ld M=%ld mode=%d rows=%d: error %.3g of %.3g", what, (long)s->T, (long)s->N, (long)s->D, (long)s->M, s->mode,
                 s->rows, worst, top);
}

static void hide_some(const shape *s, sq_sparse *sparse, float *k, float *v, uint8_t *keys, uint8_t *pairs)
{
    const sq_random random = sq__random_stream(9, "mask", 0);
    for (int64_t j = 0; j < s->N; j++) keys[j] = sq__random_uniform(&random, (uint64_t)j) < 0.8;
    for (int64_t i = 0; i < s->T * s->N; i++) pairs[i] = i / s->N != s->T / 2 && sq__random_uniform(&random, (uint64_t)(7777 + i)) < 0.7;
    sparse->key_keep = s->keys ? keys : NULL;
    sparse->pair_keep = s->pairs ? pairs : NULL;
    sparse->pair_row = s->N;
    for (int64_t j = 0; s->keys && j < s->N; j++)
        for (int64_t c = 0; !keys[j] && c < s->D + s->M; c++) *(c < s->D ? k + j * sparse->k_row + c : v + j * sparse->v_row + c - s->D) = NAN;
}

static void check_shape(const shape *s, const sq_kernels *kernels)
{
    const int64_t D = s->D, M = s->M, T = s->T, N = s->N, wide = D + PAD, tall = M + PAD;
    test_pattern *p = sq__alloc_zero(sizeof *p);
    sq_sparse_pattern pattern;
    fill_pattern(p, &pattern, s);
    float *q = draw(T, D, wide, "q", s->size), *k = draw(N, D, wide, "k", 1), *v = draw(N, M, tall, "v", 1), *dout = draw(T, M, tall, "dout", 1);
    float *out = draw(T, M, tall, "o", 1), *dq = draw(T, D, wide, "a", 1), *dk = draw(N, D, wide, "b", 0), *dv = draw(N, M, tall, "c", 0);
    uint8_t *keys = sq__alloc((size_t)N), *pairs = sq__alloc((size_t)(T * N));
    sq_sparse sparse = {
        .T = T, .N = N, .D = D, .M = M, .scale = 1 / sqrtf((float)D), .mode = s->mode, .pattern = &pattern, .q = q, .k = k, .v = v, .q_row = wide,
        .k_row = wide, .v_row = tall, .out = out, .out_row = tall, .has_self_score = s->self, .self_score = -2,
    };
    hide_some(s, &sparse, k, v, keys, pairs);
    const size_t forward = sq__sparse_workspace(T, N, D, M, &pattern, s->mode, SQ_FORWARD);
    const size_t backward = sq__sparse_workspace(T, N, D, M, &pattern, s->mode, SQ_BACKWARD);
    const size_t stats = sq__sparse_stats_floats(T, &pattern, s->mode) * sizeof(float);
    char *work = guarded(forward), *back = guarded(backward), *kept = guarded(stats);
    naive n = { .s = &sparse, .dout = dout, .dout_row = tall };
    double **const to[] = { &n.out, &n.dq, &n.dk, &n.dv };
    const int64_t size[] = { T * M, T * D, N * D, N * M };
    for (int i = 0; i < 4; i++) *to[i] = sq__alloc_zero(sizeof(double) * (size_t)size[i]);
    run_naive(&n, p);

    sq__sparse_forward(&sparse, kernels, work);          /* nobody differentiates */
    compare("out", s, out, tall, n.out, T, M, 0);
    sparse.stats = (float *)kept;
    sq__sparse_forward(&sparse, kernels, work);
    compare("out with statistics", s, out, tall, n.out, T, M, 0);
    for (int64_t i = 0; s->accumulate && i < N * wide; i++) dk[i] = 1;
    for (int64_t i = 0; s->accumulate && i < N * tall; i++) dv[i] = 1;
    const sq_dense_gradients g = { dout, tall, dq, dk, dv, wide, wide, tall, s->accumulate };
    sq__sparse_backward(&sparse, &g, kernels, back);
    compare("dq", s, dq, wide, n.dq, T, D, 0);
    compare("dk", s, dk, wide, n.dk, N, D, s->accumulate);
    compare("dv", s, dv, tall, n.dv, N, M, s->accumulate);

    release(work, forward);
    release(back, backward);
    release(kept, stats);
    float *floats[] = { q, k, v, dout, out, dq, dk, dv };
    for (int i = 0; i < 8; i++) sq__free(floats[i]);
    for (int i = 0; i < 4; i++) sq__free(*to[i]);
    sq__free(keys);
    sq__free(pairs);
    free_pattern(p, pattern.tiles);
    sq__free(p);
}

static void agrees_with_the_naive_version(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) check_shape(&shapes[i], sq__kernels());
}

/* Rows that see only themselves, three times over, at a score beside which log 3 vanishes: out is v, dv is dout, dq and dk are 0. */
static void huge_self_scores_are_exact(void **state)
{
    enum { N = 40, D = 8 };
    (void)state;
    for (int mode = SQ_SPARSE_MERGE; mode <= SQ_SPARSE_SEPARATE; mode++) {
        test_pattern *p = sq__alloc_zero(sizeof *p);
        test_tile *t = &p->tiles[0];
        t->tile = (sq_sparse_tile){ .queries = { .count = N, .step = 1 }, .run_count = 3, .runs = t->runs };
        for (int r = 0; r < 3; r++) {
            t->runs[r] = (sq_sparse_run){ .keys = { .count = N, .step = 1 }, .low = t->low[r], .high = t->high[r] };
            for (int c = 0; c < N; c++) t->low[r][c] = c, t->high[r][c] = c + 1;
        }
        const sq_sparse_pattern pattern = { .context = p, .tiles = 1, .tile = give_tile, .scratch_bytes = sizeof t->runs, .most_keys = 3 * N, .once = true };
        float *q = draw(N, D, D, "q", 1), *v = draw(N, D, D, "v", 1), *dout = draw(N, D, D, "dout", 1), out[N * D], dq[N * D], dk[N * D], dv[N * D];
        float *stats = sq__alloc(sizeof(float) * sq__sparse_stats_floats(N, &pattern, (sq_sparse_mode)mode));
        void *work = sq__alloc(sq__sparse_workspace(N, N, D, D, &pattern, (sq_sparse_mode)mode, SQ_BACKWARD));
        const sq_sparse sparse = { .T = N, .N = N, .D = D, .M = D, .scale = 1, .mode = (sq_sparse_mode)mode, .pattern = &pattern, .q = q, .k = q, .v = v,
                                   .q_row = D, .k_row = D, .v_row = D, .has_self_score = true, .self_score = -1e5f, .out = out, .out_row = D, .stats = stats };
        const sq_dense_gradients g = { dout, D, dq, dk, dv, D, D, D, false };
        sq__sparse_forward(&sparse, sq__kernels(), work);
        sq__sparse_backward(&sparse, &g, sq__kernels(), work);
        for (int i = 0; i < N * D; i++) {
            assert_close(out[i], v[i], 1e-6);
            assert_close(dv[i], dout[i], 1e-6);
            assert_close(dq[i], 0, 0);
            assert_close(dk[i], 0, 0);
        }
        assert_int_equal(sq__sparse_pairs(&pattern, work), 3 * N * N);
        float *memory[] = { q, v, dout, stats };
        for (int i = 0; i < 4; i++) sq__free(memory[i]);
        sq__free(work);
        sq__free(p);
    }
}

static int run(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(agrees_with_the_naive_version), cmocka_unit_test(huge_self_scores_are_exact) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return run_under_each_isa(run); }
