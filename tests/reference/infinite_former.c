/* Infinity-former, naive: scores, densities and memories written out; regression by elimination on the normal equations. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "reference/reference.h"

#define BINS 128

typedef struct setting {
    int64_t L, N, samples, segments;
    double tau, ridge, smallest, width[2];
    bool sticky, bias, detach, sparse, kl_mean, boxes;
    double kl_weight, kl_sigma, kl_mu;
    double *first, *update;               /* [L,N], [samples+L,N] */
} setting;

static double phi(double u)
{
    return exp(-u * u / 2) / sqrt(2 * M_PI);
}

static double centre(const setting *s, int64_t j)
{
    return (double)(j / 2) / (double)(s->N / 2 - 1);
}

static double basis(const setting *s, double t, int64_t j)
{
    if (s->boxes) return t >= 0 && t <= 1 && j == (t < 1 ? (int64_t)(t * (double)s->N) : s->N - 1) ? (double)s->N : 0;
    return phi((t - centre(s, j)) / s->width[j % 2]) / s->width[j % 2];
}

/* Solve A X = B in place, A symmetric positive definite, all [n,n]; X ends in B. */
static void eliminate(double *A, double *B, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t r = i + 1; r < n; r++) {
            double factor = A[r * n + i] / A[i * n + i];
            for (int64_t c = i; c < n && factor != 0; c++) A[r * n + c] -= factor * A[i * n + c];
            for (int64_t c = 0; c < n && factor != 0; c++) B[r * n + c] -= factor * B[i * n + c];
        }
    for (int64_t i = n; i-- > 0;)
        for (int64_t j = 0; j < n; j++) {
            for (int64_t c = i + 1; c < n; c++) B[i * n + j] -= A[i * n + c] * B[c * n + j];
            B[i * n + j] /= A[i * n + i];
        }
}

/* Rows from .. from+kept-1 of F' (F F' + ridge I)^-1. */
static double *regress(const setting *s, const double *t, int64_t count, int64_t from, int64_t kept)
{
    const int64_t N = s->N;
    double *A = calloc((size_t)(N * N), sizeof *A), *inverse = calloc((size_t)(N * N), sizeof *inverse);
    double *G = calloc((size_t)(kept * N), sizeof *G), *psi = calloc((size_t)(count * N), sizeof *psi);
    for (int64_t p = 0; p < count; p++)
        for (int64_t j = 0; j < N; j++) psi[p * N + j] = basis(s, t[p], j);
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < N; j++) {
            for (int64_t p = 0; p < count; p++) A[i * N + j] += psi[p * N + i] * psi[p * N + j];
            if (i == j) A[i * N + j] += s->ridge;
        }
    for (int64_t c = 0; c < N; c++) inverse[c * N + c] = 1;
    eliminate(A, inverse, N);
    for (int64_t p = 0; p < kept; p++)
        for (int64_t j = 0; j < N; j++)
            for (int64_t i = 0; i < N; i++) G[p * N + j] += psi[(from + p) * N + i] * inverse[j * N + i];
    free(A);
    free(inverse);
    free(psi);
    return G;
}

static double *regress_first(const setting *s)
{
    const int64_t L = s->L, count = L % 2 ? 2 * L - 1 : 2 * L;
    const double edge = L % 2 ? 1.0 / (double)L : 1.0 / (double)(2 * L);
    double *t = calloc((size_t)count, sizeof *t);
    for (int64_t i = 0; i < count; i++) t[i] = -0.5 + edge + (2 - 2 * edge) * (double)i / (double)(count - 1);
    double *G = regress(s, t, count, (count - L) / 2, L);
    free(t);
    return G;
}

static double *regress_update(const setting *s)
{
    const int64_t own = s->samples + s->L, grid = 2 * own;
    const double edge = 1.0 / (double)(2 * s->L + s->samples);
    double *t = calloc((size_t)(3 * own), sizeof *t);
    int64_t count = 0, from;
    for (int64_t i = 0; i < grid; i++) {
        double x = -0.5 + edge + (2 - 2 * edge) * (double)i / (double)(grid - 1);
        if (x < 0) t[count++] = x;
    }
    from = count;
    for (int64_t m = 1; m <= s->samples; m++) t[count++] = s->tau * (double)m / (double)s->samples;
    for (int64_t i = 1; i <= s->L; i++) t[count++] = s->tau + (1 - s->tau) * (double)i / (double)s->L;
    for (int64_t i = 0; i < grid; i++) {
        double x = -0.5 + edge + (2 - 2 * edge) * (double)i / (double)(grid - 1);
        if (x > 1) t[count++] = x;
    }
    double *G = regress(s, t, count, from, own);
    free(t);
    return G;
}

static setting settings(const reference_case *at)
{
    setting s = {
        .L = (int64_t)reference_number(at, "segment"), .N = (int64_t)reference_number(at, "basis"), .samples = (int64_t)reference_number(at, "samples"),
        .tau = reference_number(at, "tau"), .ridge = reference_number(at, "ridge"), .smallest = reference_number(at, "sigma_min"),
        .width = { reference_number(at, "width_narrow"), reference_number(at, "width_wide") }, .sticky = reference_is(at, "sticky", "true"),
        .bias = reference_is(at, "bias", "true"), .detach = reference_is(at, "detach", "true"), .sparse = reference_is(at, "density", "sparsemax"),
        .kl_mean = reference_is(at, "kl_mean", "true"), .kl_weight = reference_number(at, "kl_weight"), .kl_sigma = reference_number(at, "kl_sigma"),
        .kl_mu = reference_number(at, "kl_mu"), .boxes = reference_is(at, "functions", "rectangular"),
    };
    s.segments = (at->T + s.L - 1) / s.L;
    return s;
}

/* ---- densities ---- */

static void density_of(const reference_case *at, const setting *s, int64_t b, int64_t i, int64_t h, const double *memory, double *mu, double *variance)
{
    double z_mu = s->bias ? at->tensors[2][0] : 0, z_variance = s->bias ? at->tensors[3][0] : 0;
    for (int64_t j = 0; j < s->N; j++) {
        double score = 0;
        for (int64_t d = 0; d < at->D; d++) score += at->scale * reference_q(at, b, i, h)[d] * memory[j * (at->D + at->M) + d];
        z_mu += score * at->tensors[0][j];
        z_variance += score * at->tensors[1][j];
    }
    *mu = 1 / (1 + exp(-z_mu));
    *variance = fmax(log1p(exp(z_variance)), s->smallest);
}

/* int p(t) psi_j(t) dt; sparsemax by Gauss-Legendre panels over the part of the support where psi_j is not negligible. */
static double expectation(const setting *s, double mu, double variance, int64_t j)
{
    static const double node[] = { -0.9061798459386640, -0.5384693101056831, 0, 0.5384693101056831, 0.9061798459386640 };
    static const double weight[] = { 0.2369268850561891, 0.4786286704993665, 0.5688888888888889, 0.4786286704993665, 0.2369268850561891 };
    const double width = s->width[j % 2], box[] = { (double)j / (double)s->N, (double)(j + 1) / (double)s->N };
    if (!s->sparse && s->boxes) return (double)s->N / 2 * (erf((box[1] - mu) / sqrt(2 * variance)) - erf((box[0] - mu) / sqrt(2 * variance)));
    if (!s->sparse) {
        const double w = sqrt(width * width + variance);
        return phi((mu - centre(s, j)) / w) / w;
    }
    const double A0 = -0.5 * pow(3 / (2 * sqrt(variance)), 2.0 / 3), a = sqrt(variance) * sqrt(-2 * A0);
    const double low = fmax(mu - a, s->boxes ? box[0] : centre(s, j) - 12 * width), high = fmin(mu + a, s->boxes ? box[1] : centre(s, j) + 12 * width);
    double sum = 0;
    for (int panel = 0; panel < 48 && low < high; panel++)
        for (int n = 0; n < 5; n++) {
            const double half = (high - low) / 96, t = low + half * (2 * panel + 1 + node[n]);
            sum += half * weight[n] * (-(t - mu) * (t - mu) / (2 * variance) - A0) * (s->boxes ? (double)s->N : basis(s, t, j));
        }
    return sum;
}

/* ---- memories: row (m-1, h), each [N, D+M], keys before values ---- */

typedef struct history { double *memories; } history;

static double *memory_at(const history *past, const reference_case *at, const setting *s, int64_t m, int64_t h)
{
    return past->memories + ((m - 1) * at->H + h) * s->N * (at->D + at->M);
}

/* Places where the past is read for memory m+1: even, or drawn from the attention of segment m's queries to memory m. */
static void places(const reference_case *at, const setting *s, int64_t b, int64_t m, const history *of, double *t)
{
    double p[BINS] = { 0 }, total = 0;
    for (int64_t k = 0; k < s->samples; k++) t[k] = (double)(k + 1) / (double)s->samples;
    if (!s->sticky) return;
    for (int64_t h = 0; h < at->H; h++)
        for (int64_t i = m * s->L; i < (m + 1) * s->L && i < reference_rows(at, b); i++) {
            double mu, variance;
            density_of(at, s, b, i, h, memory_at(of, at, s, m, h), &mu, &variance);
            for (int bin = 0; bin < BINS; bin++) {
                double left = bin ? (double)bin / BINS : -1e-6, right = bin + 1 < BINS ? (double)(bin + 1) / BINS : 1 + 1e-6;
                p[bin] += 0.5 * (erf((right - mu) / sqrt(2 * variance)) - erf((left - mu) / sqrt(2 * variance)));
            }
        }
    for (int bin = 0; bin < BINS; bin++) total += p[bin];
    const uint64_t key[] = { at->step, (uint64_t)b, (uint64_t)m };
    const sq_random random = sq__random_stream(at->seed, "infinite-former.sticky", sq__hash_bytes(key, sizeof key, 0));
    for (int64_t k = 0; k < s->samples; k++) {
        double below = 0, u = sq__random_uniform(&random, (uint64_t)k);
        int bin = 0;
        for (; bin < BINS - 1; bin++) {
            below += total > 0 ? p[bin] / total : 1.0 / BINS;
            if (below > u) break;
        }
        int64_t at_most = k;   /* insert in ascending order */
        for (; at_most > 0 && t[at_most - 1] > (double)bin / BINS; at_most--) t[at_most] = t[at_most - 1];
        t[at_most] = (double)bin / BINS;
    }
}

static double signal_of(const reference_case *at, int64_t b, int64_t i, int64_t h, int64_t c)
{
    return c < at->D ? reference_k(at, b, i, h)[c] : reference_v(at, b, i, h)[c - at->D];
}

/* frozen: the memories that are constants of the gradient; NULL when the case is its own. */
static void remember(const reference_case *at, const setting *s, int64_t b, const history *frozen, history *to)
{
    const int64_t width = at->D + at->M, full = reference_keys(at, b) / s->L;
    double *t = calloc((size_t)s->samples, sizeof *t), *read = calloc((size_t)width, sizeof *read);
    to->memories = calloc((size_t)(s->segments * at->H * s->N * width), sizeof(double));
    for (int64_t m = 0; m < full && m + 1 < s->segments; m++) {
        const history *old = s->detach && frozen ? frozen : to;
        if (m) places(frozen ? at->frozen : at, s, b, m, frozen ? frozen : to, t);
        for (int64_t h = 0; h < at->H; h++) {
            double *B = memory_at(to, at, s, m + 1, h);
            for (int64_t k = 0; m && k < s->samples; k++) {
                memset(read, 0, (size_t)width * sizeof *read);
                for (int64_t j = 0; j < s->N; j++)
                    for (int64_t c = 0; c < width; c++) read[c] += basis(s, t[k], j) * memory_at(old, at, s, m, h)[j * width + c];
                for (int64_t j = 0; j < s->N; j++)
                    for (int64_t c = 0; c < width; c++) B[j * width + c] += s->update[k * s->N + j] * read[c];
            }
            for (int64_t i = 0; i < s->L; i++)
                for (int64_t j = 0; j < s->N; j++)
                    for (int64_t c = 0; c < width; c++)
                        B[j * width + c] += (m ? s->update[(s->samples + i) * s->N + j] : s->first[i * s->N + j]) * signal_of(at, b, m * s->L + i, h, c);
        }
    }
    free(t);
    free(read);
}

/* ---- rows ---- */

static void attend_segment(const reference_case *at, const setting *s, int64_t b, int64_t i, int64_t h)
{
    const int64_t from = i / s->L * s->L;
    double largest = -INFINITY, sum = 0, *out = reference_out(at, b, i, h);
    double *score = calloc((size_t)s->L, sizeof *score);
    for (int64_t j = from; j < from + s->L && j < at->N; j++) {
        if (!reference_sees(at, b, i, j)) continue;
        for (int64_t d = 0; d < at->D; d++) score[j - from] += at->scale * reference_q(at, b, i, h)[d] * reference_k(at, b, j, h)[d];
        largest = fmax(largest, score[j - from]);
    }
    for (int pass = 0; pass < 2; pass++)
        for (int64_t j = from; j < from + s->L && j < at->N; j++) {
            if (!reference_sees(at, b, i, j)) continue;
            double p = exp(score[j - from] - largest);
            if (pass == 0) sum += p;
            for (int64_t c = 0; pass == 1 && c < at->M; c++) out[c] += p / sum * reference_v(at, b, j, h)[c];
        }
    free(score);
}

static double kl_of(const setting *s, double mu, double variance)
{
    const double prior = s->kl_sigma * s->kl_sigma, mean = s->kl_mean ? s->kl_mu : mu;
    return 0.5 * (variance / prior + (mu - mean) * (mu - mean) / prior - 1 + log(prior / variance));
}

static void run(const reference_case *at)
{
    setting s = settings(at);
    double kl = 0, readers = 0;
    s.first = regress_first(&s);
    s.update = regress_update(&s);
    for (int64_t b = 0; b < at->B; b++) {
        history frozen = { NULL }, now = { NULL };
        if (at->frozen && at->frozen != at) remember(at->frozen, &s, b, NULL, &frozen);
        remember(at, &s, b, frozen.memories ? &frozen : NULL, &now);
        for (int64_t h = 0; h < at->H; h++)
            for (int64_t i = 0; i < reference_rows(at, b); i++) {
                const int64_t full = reference_keys(at, b) / s.L, m = i / s.L < full ? i / s.L : full;
                attend_segment(at, &s, b, i, h);
                if (m == 0) continue;
                double mu, variance;
                const double *memory = memory_at(&now, at, &s, m, h);
                density_of(at, &s, b, i, h, memory, &mu, &variance);
                kl += kl_of(&s, mu, variance);
                readers++;
                for (int64_t j = 0; j < s.N; j++) {
                    double r = expectation(&s, mu, variance, j);
                    for (int64_t c = 0; c < at->M; c++) reference_out(at, b, i, h)[c] += r * memory[j * (at->D + at->M) + at->D + c];
                }
            }
        free(now.memories);
        free(frozen.memories);
    }
    if (readers > 0) *at->auxiliary = s.kl_weight * kl / readers;
    free(s.first);
    free(s.update);
}

static const reference_variant variants[] = {
    { .options = "" },
    { .options = "segment=16 basis=20 samples=24 width_narrow=0.03 width_wide=0.06 kl_weight=0.1", .largest = 300 },
    { .options = "segment=16 basis=16 samples=24 width_narrow=0.04 width_wide=0.08 detach=true bias=false kl_weight=0.1 kl_mean=true", .largest = 300 },
    { .options = "segment=9 basis=12 samples=16 width_narrow=0.06 width_wide=0.12 sticky=true kl_weight=0.01", .largest = 130 },
    { .options = "segment=9 basis=12 samples=16 width_narrow=0.06 width_wide=0.12 sticky=true detach=true", .largest = 130 },
    { .options = "segment=12 basis=10 samples=16 width_narrow=0.07 width_wide=0.12 density=sparsemax", .largest = 130 },
    { .options = "segment=12 basis=9 samples=16 functions=rectangular kl_weight=0.1", .largest = 130 },
    { .options = "segment=9 basis=12 samples=16 functions=rectangular density=sparsemax sticky=true", .largest = 130 },
    { .options = NULL },
};

const reference_row reference_infinite_former = { "infinite-former", run, variants };
