/* out = A1 (Z (A3 v)) + conv(v), the matrices written out, masks and segments as the convention says. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "reference/reference.h"

typedef struct head {
    const reference_case *at;
    int64_t b, h, m;
    bool paper, lucidrains, exact, empty, query_masks;
    double *ql, *kl, *A2;              /* [m,D] [m,D] [m,m] */
    bool *q_real, *k_real;             /* [m] the landmark has a row */
} head;

static bool kept(const head *x, int64_t j)
{
    return !(x->at->key_keep && !x->at->key_keep[x->b * x->at->N + j]);
}

static bool query_kept(const head *x, int64_t i)
{
    return !x->query_masks || kept(x, i);
}

static int64_t count_kept(const head *x, int64_t n, bool queries)
{
    int64_t count = 0;
    for (int64_t j = 0; j < n; j++) count += queries ? query_kept(x, j) : kept(x, j);
    return count;
}

/* Segment of the row numbered `number` of `rows`: lengths differ by at most one, longer ones last. */
static int64_t segment(int64_t number, int64_t rows, int64_t m, int64_t *length)
{
    for (int64_t r = 0, from = 0;; r++) {
        *length = rows / m + (r >= m - rows % m);
        if (number < from + *length) return r;
        from += *length;
    }
}

static void landmarks(const head *x, bool queries, double *y, bool *real)
{
    const reference_case *at = x->at;
    const int64_t n = queries ? reference_rows(at, x->b) : reference_keys(at, x->b), m = x->m, D = at->D;
    const int64_t front = x->lucidrains ? (m - n % m) % m : 0, rows = x->paper ? count_kept(x, n, queries) : n + front;
    const bool masked = at->key_keep && (!queries || x->query_masks);
    double *counts = calloc((size_t)m, sizeof *counts), *lengths = calloc((size_t)m, sizeof *lengths);
    int64_t number = 0, length;
    for (int64_t j = 0; j < n; j++) {
        if (!(queries ? query_kept(x, j) : kept(x, j))) continue;
        const int64_t r = segment(x->paper ? number++ : j + front, rows, m, &length);
        const double *row = queries ? reference_q(at, x->b, j, x->h) : reference_k(at, x->b, j, x->h);
        for (int64_t d = 0; d < D; d++) y[r * D + d] += row[d];
        counts[r]++;
    }
    for (int64_t r = 0, from = 0; r < m; r++) {
        segment(from, rows, m, &length);
        from += length;
        const double divisor = x->lucidrains && masked ? counts[r] + 1e-8 : (double)length;
        real[r] = !(x->lucidrains && masked) || counts[r] > 0;
        for (int64_t d = 0; d < D; d++) y[r * D + d] /= divisor;
    }
    free(counts);
    free(lengths);
}

/* p_j = softmax over j of scale a.b_j where seen[j]; all alike where uniform; zeros where nothing is seen. */
static void softmax(const reference_case *at, const double *a, const double *(*row)(const void *, int64_t), const void *context, int64_t n,
                    const bool *seen, bool uniform, double *p)
{
    double most = -INFINITY, sum = 0;
    for (int64_t j = 0; j < n; j++) {
        double s = 0;
        for (int64_t d = 0; d < at->D; d++) s += uniform ? 0 : at->scale * a[d] * row(context, j)[d];
        p[j] = uniform || seen[j] ? s : -INFINITY;
        most = fmax(most, p[j]);
    }
    for (int64_t j = 0; j < n; j++) sum += p[j] = most == -INFINITY ? 0 : exp(p[j] - most);
    for (int64_t j = 0; j < n && sum > 0; j++) p[j] /= sum;
}

static const double *landmark_row(const void *context, int64_t j)
{
    const head *x = context;
    return x->kl + j * x->at->D;
}

static const double zeros[4096];

static int64_t front_of(const head *x)
{
    return x->lucidrains ? (x->m - reference_keys(x->at, x->b) % x->m) % x->m : 0;
}

static const double *key_row(const void *context, int64_t j)
{
    const head *x = context;
    const int64_t front = front_of(x);
    return j < front ? zeros : reference_k(x->at, x->b, j - front, x->h);
}

static head open_head(const reference_case *at, int64_t b, int64_t h)
{
    const char *convention = reference_option(at, "convention");
    head x = { .at = at, .b = b, .h = h, .m = (int64_t)reference_number(at, "landmarks"), .paper = strcmp(convention, "paper") == 0,
               .lucidrains = strcmp(convention, "lucidrains") == 0, .query_masks = at->key_keep && at->T == at->N };
    const int64_t n = reference_keys(at, b), t = reference_rows(at, b), m = x.m;
    const int64_t keys = x.paper ? count_kept(&x, n, false) : n, queries = x.paper ? count_kept(&x, t, true) : t;
    x.empty = count_kept(&x, n, false) == 0 || t == 0;
    x.exact = x.empty || (!x.lucidrains && (keys <= m || queries <= m));
    x.ql = calloc((size_t)(m * at->D), sizeof(double)), x.kl = calloc((size_t)(m * at->D), sizeof(double)), x.A2 = calloc((size_t)(m * m), sizeof(double));
    x.q_real = calloc((size_t)m, sizeof(bool)), x.k_real = calloc((size_t)m, sizeof(bool));
    if (x.exact) return x;
    landmarks(&x, true, x.ql, x.q_real);
    landmarks(&x, false, x.kl, x.k_real);
    for (int64_t i = 0; i < m; i++) softmax(at, x.ql + i * at->D, landmark_row, &x, m, x.k_real, !x.q_real[i], x.A2 + i * m);
    return x;
}

static void close_head(head *x)
{
    free(x->ql), free(x->kl), free(x->A2), free(x->q_real), free(x->k_real);
}

static double largest_column(const head *x)
{
    double most = -1;
    for (int64_t j = 0; !x->exact && j < x->m; j++) {
        double sum = 0;
        for (int64_t i = 0; i < x->m; i++) sum += x->A2[i * x->m + j];
        most = fmax(most, sum);
    }
    return most;
}

static void product(int64_t n, int64_t k, int64_t m, const double *a, const double *b, double *c)   /* [n,k] [k,m] */
{
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < m; j++) {
            double sum = 0;
            for (int64_t l = 0; l < k; l++) sum += a[i * k + l] * b[l * m + j];
            c[i * m + j] = sum;
        }
}

/* Z (13 I - P (15 I - P (7 I - P))) / 4 */
static void pseudo_inverse(const head *x, double divisor, double *Z)
{
    static const double constants[] = { 7, 15, 13 };
    const int64_t m = x->m, size = m * m;
    double *P = calloc((size_t)size, sizeof *P), *U = calloc((size_t)size, sizeof *U), *V = calloc((size_t)size, sizeof *V);
    for (int64_t i = 0; i < size; i++) Z[i] = x->A2[i % m * m + i / m] / divisor;
    for (int k = 0; k < (int)reference_number(x->at, "iterations"); k++) {
        product(m, m, m, x->A2, Z, P);
        for (int64_t i = 0; i < size; i++) U[i] = i / m == i % m;
        for (int step = 0; step < 3; step++) {
            product(m, m, m, P, U, V);
            for (int64_t i = 0; i < size; i++) U[i] = (i / m == i % m ? constants[step] : 0) - V[i];
        }
        product(m, m, m, Z, U, V);
        for (int64_t i = 0; i < size; i++) Z[i] = V[i] / 4;
    }
    free(P), free(U), free(V);
}

static void convolve(const head *x)
{
    const reference_case *at = x->at;
    const int64_t K = (int64_t)reference_number(at, "convolution"), n = reference_keys(at, x->b);
    const bool all = reference_is(at, "convention", "xformers");
    for (int64_t i = 0; !x->empty && i < reference_rows(at, x->b); i++)
        for (int64_t t = 0; t < K; t++) {
            const int64_t j = i + t - K / 2;
            if (j < 0 || j >= n || (!all && !kept(x, j))) continue;
            for (int64_t c = 0; c < at->M; c++) reference_out(at, x->b, i, x->h)[c] += at->tensors[0][x->h * K + t] * reference_v(at, x->b, j, x->h)[c];
        }
}

static void attend(const head *x, double divisor)
{
    const reference_case *at = x->at;
    const int64_t m = x->m, D = at->D, M = at->M, front = front_of(x), n = reference_keys(at, x->b) + front;
    const bool masked = at->key_keep != NULL;
    double *p = calloc((size_t)(n + m), sizeof *p), *W = calloc((size_t)(m * M), sizeof *W), *Y = calloc((size_t)(m * M), sizeof *Y);
    double *Z = calloc((size_t)(m * m), sizeof *Z);
    bool *seen = calloc((size_t)(n + m), sizeof *seen), *landmark_seen = calloc((size_t)m, sizeof *landmark_seen);
    for (int64_t j = 0; j < n; j++) seen[j] = j < front ? !masked : kept(x, j - front);
    for (int64_t r = 0; r < m; r++) landmark_seen[r] = !(x->lucidrains && masked) || x->k_real[r];
    if (!x->exact) {
        for (int64_t r = 0; r < m; r++) {
            softmax(at, x->ql + r * D, key_row, x, n, seen, !x->q_real[r], p);
            for (int64_t j = front; j < n; j++)
                for (int64_t c = 0; c < M && kept(x, j - front); c++) W[r * M + c] += p[j] * reference_v(at, x->b, j - front, x->h)[c];
        }
        pseudo_inverse(x, divisor, Z);
        product(m, m, M, Z, W, Y);
    }
    for (int64_t i = 0; i < reference_rows(at, x->b); i++) {
        const bool zero = !x->paper && !query_kept(x, i);
        const double *q = zero ? zeros : reference_q(at, x->b, i, x->h);
        double *out = reference_out(at, x->b, i, x->h);
        if (x->exact) softmax(at, q, key_row, x, n, seen, false, p);
        else softmax(at, q, landmark_row, x, m, landmark_seen, x->lucidrains && zero, p);
        for (int64_t j = 0; j < (x->exact ? n : m); j++)
            for (int64_t c = 0; c < M && p[j] != 0; c++) out[c] += p[j] * (x->exact ? reference_v(at, x->b, j, x->h)[c] : Y[j * M + c]);
    }
    convolve(x);
    free(p), free(W), free(Y), free(Z), free(seen), free(landmark_seen);
}

static void nystromformer(const reference_case *at)
{
    head *heads = calloc((size_t)(at->B * at->H), sizeof *heads);
    double largest = -1;
    for (int64_t i = 0; i < at->B * at->H; i++) {
        heads[i] = open_head(at, i / at->H, i % at->H);
        largest = fmax(largest, largest_column(&heads[i]));
    }
    for (int64_t i = 0; i < at->B * at->H; i++) {
        attend(&heads[i], reference_is(at, "init", "exact") ? largest_column(&heads[i]) : largest);
        close_head(&heads[i]);
    }
    free(heads);
}

static const reference_variant variants[] = {
    { .options = "", .largest = 200 },
    { .options = "landmarks=7 convolution=0" },
    { .options = "landmarks=8 convolution=5 init=original", .largest = 200, .sees_all = true },
    { .options = "landmarks=8 convolution=4 convention=mlpen", .largest = 200 },
    { .options = "landmarks=8 convolution=5 convention=xformers iterations=4", .largest = 200, .sees_all = true, .reads_masked = true },
    { .options = "landmarks=8 convolution=5 convention=lucidrains init=original", .largest = 200, .sees_all = true },
    { .options = "landmarks=6 convolution=0 convention=lucidrains", .largest = 65 },
    { 0 },
};

const reference_row reference_nystromformer = { "nystromformer", nystromformer, variants };
