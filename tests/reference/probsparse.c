/* Exact rows for the queries of the largest max - mean over sampled keys, the mean of the values for the rest; the choice from the frozen case. */
#include <math.h>
#include <stdlib.h>

#include "base/random.h"
#include "reference/reference.h"

static int64_t count_of(const reference_case *at, const char *option, int64_t n)
{
    const int64_t given = (int64_t)reference_number(at, option), by_factor = (int64_t)(reference_number(at, "factor") * ceil(log(fmax((double)n, 2))));
    const int64_t count = given ? given : by_factor;
    return count < n ? count : n;
}

static bool exists(const reference_case *at, int64_t b, int64_t j)
{
    return j < reference_keys(at, b) && (!at->key_keep || at->key_keep[b * at->N + j]);
}

static int64_t sampled(const reference_case *at, int64_t i, int64_t t, int64_t U, int64_t n)
{
    if (reference_is(at, "resample", "false"))
        return llround(at->frozen->tensors[0][i % at->max_length * count_of(at, "samples", at->max_length) + t]) % n;
    const sq_random random = sq__random_stream(at->seed, "probsparse", at->training ? at->step : 0);
    const uint64_t index = (uint64_t)(i * U + t), pair = sq__random_u64(&random, index / 2);
    return (int64_t)(((uint32_t)(index % 2 ? pair >> 32 : pair) * (uint64_t)n) >> 32);
}

static void measure(const reference_case *at, int64_t b, int64_t h, double *M)
{
    const int64_t n = reference_keys(at, b), U = n > 0 ? count_of(at, "samples", n) : 0;
    for (int64_t i = 0; i < reference_rows(at, b); i++) {
        double most = -INFINITY, sum = 0, seen = 0;
        for (int64_t t = 0; t < U; t++) {
            const int64_t j = sampled(at, i, t, U, n);
            double score = 0;
            if (!exists(at, b, j)) continue;
            for (int64_t d = 0; d < at->D; d++) score += at->scale * reference_q(at, b, i, h)[d] * reference_k(at, b, j, h)[d];
            most = fmax(most, score);
            sum += score;
            seen++;
        }
        M[i] = seen > 0 ? most - sum / (reference_is(at, "convention", "informer") ? (double)n : seen) : -INFINITY;
    }
}

static bool chosen(const double *M, int64_t i, int64_t rows, int64_t u)
{
    int64_t before = 0;
    for (int64_t other = 0; other < rows; other++) before += M[other] > M[i] || (M[other] == M[i] && other < i);
    return M[i] > -INFINITY && before < u;
}

static void row(const reference_case *at, int64_t b, int64_t i, int64_t h, bool exact)
{
    const bool past = reference_is(at, "pseudo_causal", "true"), sum_only = past && !exact && reference_is(at, "convention", "informer");
    double *p = calloc((size_t)at->N, sizeof *p), most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < at->N; j++) {
        p[j] = -INFINITY;
        if (!exists(at, b, j) || (past && j > i)) continue;
        p[j] = 0;
        for (int64_t d = 0; d < at->D && exact; d++) p[j] += at->scale * reference_q(at, b, i, h)[d] * reference_k(at, b, j, h)[d];
        most = fmax(most, p[j]);
    }
    for (int64_t j = 0; j < at->N; j++) sum += p[j] = most > -INFINITY ? exp(p[j] - most) : 0;
    for (int64_t j = 0; j < at->N; j++)
        for (int64_t m = 0; m < at->M && p[j] > 0; m++) reference_out(at, b, i, h)[m] += p[j] / (sum_only ? 1 : sum) * reference_v(at, b, j, h)[m];
    free(p);
}

static void probsparse(const reference_case *at)
{
    double *M = malloc((size_t)at->T * sizeof *M);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) {
            const int64_t rows = reference_rows(at, b);
            measure(at->frozen, b, h, M);
            for (int64_t i = 0; i < rows; i++) row(at, b, i, h, chosen(M, i, rows, count_of(at, "queries", rows)));
        }
    free(M);
}

static const reference_variant variants[] = {
    { .options = "", .largest = 1000 },
    { .options = "pseudo_causal=true", .largest = 200 },
    { .options = "convention=informer resample=false factor=3", .largest = 200 },
    { .options = "convention=informer pseudo_causal=true queries=30 samples=7", .largest = 200 },
    { .options = "queries=1048576 samples=3", .largest = 65 },
    { 0 },
};

const reference_row reference_probsparse = { "probsparse", probsparse, variants };
