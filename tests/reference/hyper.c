/* out_i = sum_j w_ij exp(s_ij) v_j / sum_j w_ij exp(s_ij); the weights of every pair from the frozen case, one by one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "reference/reference.h"

/* Place in the order of Gray of the signs: bit by bit from the highest, each the parity of those above. */
static int place(const reference_case *at, const double *x)
{
    int parity = 0, found = 0;
    for (int bit = (int)reference_number(at, "bits") - 1; bit >= 0; bit--) {
        double product = 0;
        for (int64_t d = 0; d < at->D; d++) product += at->tensors[0][bit * at->D + d] * x[d];
        parity ^= product > 0;
        found = 2 * found + parity;
    }
    return found;
}

typedef struct row { int64_t index; int place; } row;

static int by_place(const void *a, const void *b)
{
    const row *x = a, *y = b;
    if (x->place != y->place) return x->place < y->place ? -1 : 1;
    return (x->index > y->index) - (x->index < y->index);
}

static int64_t start_of(int64_t block, int64_t n, int64_t blocks) { return block * n / blocks; }

/* Weights of rows [q0,q1) and keys [k0,k1); level 0: the whole, not causal. */
static void node(const reference_case *at, int64_t b, int64_t h, int64_t q0, int64_t q1, int64_t k0, int64_t k1, uint64_t level, uint64_t index, double *w)
{
    const int64_t size = (int64_t)reference_number(at, "block"), most = (int64_t)reference_number(at, "samples");
    row *keys = malloc((size_t)(at->N + 1) * sizeof *keys), *queries = malloc((size_t)(at->T + 1) * sizeof *queries);
    int64_t n = 0, *drawn = malloc((size_t)(at->N + 1) * sizeof *drawn);
    for (int64_t j = k0; j < k1; j++)
        if (!at->key_keep || at->key_keep[b * at->N + j]) keys[n++] = (row){ j, place(at, reference_k(at, b, j, h)) };
    qsort(keys, (size_t)n, sizeof *keys, by_place);
    for (int64_t i = q0; i < q1; i++) queries[i - q0] = (row){ i, place(at, reference_q(at, b, i, h)) };
    qsort(queries, (size_t)(q1 - q0), sizeof *queries, by_place);
    const int64_t blocks = (n + size - 1) / size, m = most < n ? most : n;
    const uint64_t step = reference_is(at, "resample", "true") && at->training ? at->step : 0, key[] = { step, (uint64_t)b, (uint64_t)h, level, index };
    const sq_random random = sq__random_stream(at->seed, "hyper", sq__hash_bytes(key, sizeof key, 0));
    for (int64_t t = 0; t < n; t++) drawn[t] = t;
    for (int64_t t = 0; t < m; t++) {
        const int64_t other = t + (int64_t)sq__random_below(&random, (uint64_t)t, (uint64_t)(n - t)), kept = drawn[other];
        drawn[other] = drawn[t];
        drawn[t] = kept;
    }
    for (int64_t i = 0; i < q1 - q0 && n > 0; i++) {
        int64_t block = i * blocks / (q1 - q0), before = 0, own = 0;
        for (int64_t t = 0; t < n; t++) before += keys[t].place < queries[i].place, own += keys[t].place == queries[i].place;
        if (level > 0) {
            int64_t middle = (before + before + own) / 2;
            if (middle > n - 1) middle = n - 1;
            for (block = 0; start_of(block + 1, n, blocks) <= middle; block++) {}
        }
        double *weights = w + queries[i].index * at->N;
        for (int64_t t = 0; t < m; t++) weights[keys[drawn[t]].index] = (double)n / (double)m;
        for (int64_t t = start_of(block, n, blocks); t < start_of(block + 1, n, blocks); t++) weights[keys[t].index] = 1;
    }
    free(keys);
    free(queries);
    free(drawn);
}

static void weigh(const reference_case *at, int64_t b, int64_t h, double *w)
{
    const int64_t T = reference_rows(at, b), N = reference_keys(at, b), leaf = (int64_t)reference_number(at, "block");
    memset(w, 0, (size_t)(at->T * at->N) * sizeof *w);
    if (!at->causal) {
        node(at, b, h, 0, T, 0, N, 0, 0, w);
        return;
    }
    for (int64_t i = 0; i < T; i++)
        for (int64_t j = i / leaf * leaf; j <= i && j < N; j++) w[i * at->N + j] = 1;
    for (int64_t level = 0, size = leaf; size < T; level++, size *= 2)
        for (int64_t x = 1; x * size < T; x += 2)
            node(at, b, h, x * size, (x + 1) * size < T ? (x + 1) * size : T, (x - 1) * size < N ? (x - 1) * size : N, x * size < N ? x * size : N,
                 (uint64_t)level + 1, (uint64_t)x, w);
}

static void attend(const reference_case *at, int64_t b, int64_t i, int64_t h, const double *w)
{
    double *p = malloc((size_t)at->N * sizeof *p), most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < at->N; j++) {
        p[j] = -INFINITY;
        if (w[j] == 0 || !reference_sees(at, b, i, j)) continue;
        p[j] = log(w[j]) + reference_bias(at, i, j, h);
        for (int64_t d = 0; d < at->D; d++) p[j] += at->scale * reference_q(at, b, i, h)[d] * reference_k(at, b, j, h)[d];
        most = fmax(most, p[j]);
    }
    for (int64_t j = 0; j < at->N && most > -INFINITY; j++) sum += p[j] = exp(p[j] - most);
    for (int64_t j = 0; j < at->N && sum > 0; j++)
        for (int64_t m = 0; m < at->M && p[j] > 0; m++) reference_out(at, b, i, h)[m] += p[j] / sum * reference_v(at, b, j, h)[m];
    free(p);
}

static void hyper(const reference_case *at)
{
    double *w = malloc((size_t)(at->T * at->N) * sizeof *w);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) {
            weigh(at->frozen, b, h, w);
            for (int64_t i = 0; i < reference_rows(at, b); i++) attend(at, b, i, h, w + i * at->N);
        }
    free(w);
}

static const reference_variant variants[] = {
    { .options = "", .largest = 200 },
    { .options = "block=16 samples=11 bits=5", .largest = 1000 },
    { .options = "block=70 samples=20 bits=3 resample=false", .largest = 200 },
    { .options = "block=7 samples=0 bits=1", .largest = 65 },
    { .options = "block=1 samples=5 bits=16", .largest = 65 },
    { .options = "block=20 samples=1000", .largest = 200 },
    { 0 },
};

const reference_row reference_hyper = { "hyper", hyper, variants };
