/* Every pair of every round by itself: o_t and z_t per round over what the round lists, rounds weighted by exp(z_t). */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

typedef struct hashes {
    const reference_case *at;
    int64_t n, c, rounds, chunks, before, after;
    bool whole, across, duplicates, paper, huggingface, lucidrains;
    int64_t *bucket, *slot;               /* [rounds, n] */
} hashes;

static bool hidden(const reference_case *at, int64_t b, int64_t j)
{
    return j >= reference_keys(at, b) || (at->key_keep && !at->key_keep[b * at->N + j]);
}

/* Argmax over [x R, -x R] with half columns from `from` on. */
static int64_t hash(const reference_case *at, const double *x, const double *R, int64_t stride, int64_t from, int64_t half)
{
    double best = -INFINITY;
    int64_t place = 0;
    for (int64_t a = 0; a < 2 * half; a++) {
        double r = 0;
        for (int64_t d = 0; d < at->D; d++) r += x[d] * R[d * stride + from + a % half];
        if (a >= half) r = -r;
        if (r > best) best = r, place = a;
    }
    return place;
}

static int64_t up(double x) { return (int64_t)ceil(x); }

static void buckets(hashes *f, int64_t b, int64_t h)
{
    const reference_case *at = f->at->frozen;
    const int64_t asked = (int64_t)reference_number(at, "buckets"), rounds = (int64_t)reference_number(at, "rounds");
    int64_t n1 = asked, n2 = (int64_t)reference_number(at, "buckets2"), columns = (n1 + n2) / 2;
    if (!asked) {
        const int64_t wanted = 2 * up((double)f->n / (double)f->c), most = 2 * up((double)at->max_length / (double)f->c);
        const int64_t root = 2 * up(sqrt((double)most) / 2);
        columns = most <= 128 ? most / 2 : (root + 2 * up((double)most / (double)root / 2)) / 2;
        if (most > 128 && columns < 64) columns = 64;
        n1 = wanted <= 128 ? wanted : 2 * up(sqrt((double)wanted) / 2);
        n2 = wanted <= 128 ? 0 : 2 * up((double)wanted / (double)n1 / 2);
    }
    const double *R = at->tensors[0] + (reference_is(at, "per_head", "true") ? h * at->D * rounds * columns : 0);
    for (int64_t t = 0; t < f->rounds; t++)
        for (int64_t i = 0; i < f->n; i++) {
            const double *x = reference_q(at, b, i, h);
            int64_t bucket = 0;
            if (!f->whole) {
                bucket = hash(at, x, R, rounds * columns, t * columns, n1 / 2);
                if (n2) bucket += n1 * hash(at, x, R, rounds * columns, t * columns + n1 / 2, n2 / 2);
                if (f->huggingface && hidden(at, b, i)) bucket = n1 * (n2 ? n2 : 1);
            }
            f->bucket[t * f->n + i] = bucket;
        }
    for (int64_t t = 0; t < f->rounds; t++)
        for (int64_t i = 0; i < f->n; i++) {
            const int64_t *bucket = f->bucket + t * f->n;
            int64_t place = 0;
            for (int64_t j = 0; j < f->n; j++) place += bucket[j] < bucket[i] || (bucket[j] == bucket[i] && j < i);
            f->slot[t * f->n + i] = place;
        }
}

static int64_t chunk(const hashes *f, int64_t t, int64_t i)
{
    return t * f->chunks + f->slot[t * f->n + i] / f->c;
}

/* How often chunk `from` lists chunk `to`, numbers over all rounds. */
static int listings(const hashes *f, int64_t from, int64_t to)
{
    const int64_t total = f->rounds * f->chunks;
    int times = 0;
    for (int64_t o = -f->before; o <= f->after; o++) {
        if (f->paper || f->whole) times += from + o == to && from / f->chunks == to / f->chunks;
        else times += ((from + o) % total + total) % total == to;
    }
    return times;
}

static double correction(const hashes *f, int64_t i, int64_t j)
{
    double times = 0;
    if (f->duplicates || f->rounds == 1) return 0;
    for (int64_t t = 0; t < f->rounds; t++)
        if (f->across || f->bucket[t * f->n + i] == f->bucket[t * f->n + j]) {
            const int64_t d = chunk(f, t, i) - chunk(f, t, j);
            times += d >= -f->after && d <= f->before;
        }
    return log(times + (f->lucidrains ? 1e-9 : 0));
}

static double score(const hashes *f, int64_t b, int64_t h, int64_t i, int64_t j)
{
    const double *q = reference_q(f->at, b, i, h), *k = reference_q(f->at, b, j, h);
    double square = f->huggingface ? 1e-6 * (double)f->at->D : 0, product = 0;
    for (int64_t d = 0; d < f->at->D; d++) square += k[d] * k[d], product += q[d] * k[d];
    return i == j ? (f->lucidrains ? -5e4 : -1e5) : f->at->scale * product / fmax(sqrt(square), 1e-12);
}

/* Round t of row i, its scores in s [keys of the round, with the round whose chunk lists them]. */
static double round_sum(const hashes *f, int64_t b, int64_t h, int64_t t, int64_t i, double *out)
{
    const reference_case *at = f->at;
    double most = -INFINITY, sum = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t u = 0; u < f->rounds; u++)
            for (int64_t j = 0; j < f->n; j++) {
                const int times = listings(f, chunk(f, t, i), chunk(f, u, j));
                if (!times || !reference_sees(at, b, i, j)) continue;
                if (!f->across && (u != t || f->bucket[t * f->n + i] != f->bucket[u * f->n + j])) continue;
                const double s = score(f, b, h, i, j) - correction(f, i, j);
                if (pass == 0) {
                    most = fmax(most, s);
                    continue;
                }
                sum += times * exp(s - most);
                for (int64_t m = 0; m < at->M; m++) out[m] += times * exp(s - most) * reference_v(at, b, j, h)[m];
            }
    for (int64_t m = 0; m < at->M && sum > 0; m++) out[m] /= sum;
    return sum > 0 ? most + log(sum) : -INFINITY;
}

static void row(const hashes *f, int64_t b, int64_t h, int64_t i, double *rounds)
{
    const reference_case *at = f->at;
    double *out = reference_out(at, b, i, h), z[64], most = -INFINITY, sum = 0;
    bool any = false;
    for (int64_t j = 0; j < f->n; j++) any |= !hidden(at, b, j);
    if (f->lucidrains && any && i < reference_keys(at, b) && hidden(at, b, i)) {
        for (int64_t m = 0; m < at->M; m++) out[m] = reference_v(at, b, i, h)[m];
        return;
    }
    for (int64_t t = 0; t < f->rounds; t++) {
        for (int64_t m = 0; m < at->M; m++) rounds[t * at->M + m] = 0;
        most = fmax(most, z[t] = round_sum(f, b, h, t, i, rounds + t * at->M));
    }
    for (int64_t t = 0; t < f->rounds && most > -INFINITY; t++) sum += exp(z[t] - most);
    for (int64_t t = 0; t < f->rounds && most > -INFINITY; t++)
        for (int64_t m = 0; m < at->M; m++) out[m] += exp(z[t] - most) / sum * rounds[t * at->M + m];
}

static void reformer(const reference_case *at)
{
    hashes f = { .at = at, .c = (int64_t)reference_number(at, "block"), .before = (int64_t)reference_number(at, "before"),
                 .after = (int64_t)reference_number(at, "after"), .across = reference_is(at, "across_buckets", "true"),
                 .duplicates = reference_is(at, "duplicates", "true"), .paper = reference_is(at, "convention", "paper"),
                 .huggingface = reference_is(at, "convention", "huggingface"), .lucidrains = reference_is(at, "convention", "lucidrains") };
    const int64_t rounds = (int64_t)reference_number(at, "rounds");
    f.bucket = calloc((size_t)(rounds * at->T), sizeof *f.bucket);
    f.slot = calloc((size_t)(rounds * at->T), sizeof *f.slot);
    double *work = calloc((size_t)(rounds * at->M), sizeof *work);
    for (int64_t b = 0; b < at->B; b++)
        for (int64_t h = 0; h < at->H; h++) {
            f.n = reference_rows(at, b);
            f.whole = f.n <= f.c && !f.lucidrains;
            f.rounds = f.whole ? 1 : rounds;
            f.chunks = (f.n + f.c - 1) / f.c;
            if (f.n > 0) buckets(&f, b, h);
            for (int64_t i = 0; i < f.n; i++) row(&f, b, h, i, work);
        }
    free(f.bucket);
    free(f.slot);
    free(work);
}

/* Chunks move with every row's hash, also a later one's. */
static const reference_variant variants[] = {
    { .options = "", .sees_all = true },
    { .options = "block=16 rounds=3 per_head=false", .sees_all = true },
    { .options = "block=8 rounds=2 buckets=4 buckets2=6 across_buckets=true after=1", .largest = 200, .sees_all = true },
    { .options = "block=16 rounds=2 before=2 duplicates=true", .largest = 200, .sees_all = true },
    { .options = "convention=huggingface block=12 rounds=2 across_buckets=true duplicates=true", .largest = 200, .sees_all = true },
    { .options = "convention=huggingface block=70 rounds=2 after=1 across_buckets=true duplicates=true", .largest = 200, .sees_all = true },
    { .options = "convention=lucidrains block=10 rounds=3 across_buckets=true", .largest = 200, .sees_all = true, .reads_masked = true },
    { .options = "convention=lucidrains block=20 rounds=1 buckets=6", .largest = 200, .sees_all = true, .reads_masked = true },
    { 0 },
};

const reference_row reference_reformer = { "reformer", reformer, variants };
