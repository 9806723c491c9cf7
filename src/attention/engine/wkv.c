#include "attention/engine/wkv.h"

#include <math.h>
#include <string.h>

#include "base/subnormal.h"

typedef struct scratch {
    float *w;                          /* [D] decay for a token, > 0 */
    float *base, *age;                 /* [D] of the sums after a token */
    float *e;                          /* [4,D] exponentials: of the sums and of the own key, for the row and for the next sums */
    float *s;                          /* [D] sigmoid */
    float *dnum, *dden;                /* [D] derivatives of the sums by w, divided as they are */
    float *g, *h, *log, *past;         /* [D] backward sums; the logarithm of what they are divided by is log - past w */
} scratch;

static void cut(scratch *s, float *workspace, int64_t D)
{
    float **const pieces[] = { &s->w, &s->base, &s->age, &s->e, &s->s, &s->dnum, &s->dden, &s->g, &s->h, &s->log, &s->past };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        *pieces[i] = workspace;
        workspace += pieces[i] == &s->e ? 4 * D : D;
    }
}

int64_t sq__wkv_floats(int64_t D) { return 14 * D; }

static bool exists(const sq_wkv *c, int64_t t)
{
    return t < c->N && !(c->key_keep && !c->key_keep[t]);
}

/* Logarithm of what the sums are divided by, `more` tokens on: from its largest term by one product, since a sum of rounded steps would drift. */
static float top_of(const sq_wkv *c, const scratch *s, int64_t d, float more)
{
    const float *base = c->state + 2 * c->D, *age = base + c->D;
    return base[d] - (age[d] + more) * s->w[d];
}

/* Nothing seen is -inf, whatever an empty state says. */
static void open(const sq_wkv *c, const scratch *s)
{
    const float *den = c->state + c->D;
    float *base = c->state + 2 * c->D;
    for (int64_t d = 0; d < c->D; d++)
        if (den[d] == 0) base[d] = -INFINITY;
    c->kernels->exp(s->w, c->rate, c->D);
}

static void close(const sq_wkv *c)
{
    float *base = c->state + 2 * c->D;
    for (int64_t d = 0; d < c->D; d++)
        if (base[d] == -INFINITY) base[d] = 0;
}

/* e[0], e[1] = exp(top - m), exp(k + u - m) with m their largest, which goes to s->s; k NULL: the sums alone. Where both are -inf: 0. */
static void weigh_row(const sq_wkv *c, const scratch *s, const float *k)
{
    const int64_t D = c->D;
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        const float top = top_of(c, s, d, 0), own = k ? k[d] + c->bonus[d] : -INFINITY, m = own > top ? own : top, from = m == -INFINITY ? 0 : m;
        s->s[d] = m;
        s->e[d] = top - from;
        s->e[D + d] = own - from;
    }
    c->kernels->exp(s->e, s->e, 2 * D);
}

/* e[2], e[3] likewise for the sums after token t: exp(top - w - m), exp(k - m); base and age are those of m. */
static void weigh_sums(const sq_wkv *c, const scratch *s, const float *k)
{
    const int64_t D = c->D;
    const float *base = c->state + 2 * D, *age = base + D;
    float *e = s->e + 2 * D;
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        const float past = top_of(c, s, d, 1);
        const bool above = k[d] > past;
        const float m = above ? k[d] : past;
        s->base[d] = above ? k[d] : base[d];
        s->age[d] = above ? 0 : age[d] + 1;
        e[d] = past - m;
        e[D + d] = k[d] - m;
    }
    c->kernels->exp(e, e, 2 * D);
}

static void absorb(const sq_wkv *c, const scratch *s, const float *k, const float *v)
{
    const int64_t D = c->D;
    const float *e = s->e + 2 * D;
    float *num = c->state, *den = num + D;
    weigh_sums(c, s, k);
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        num[d] = e[d] * num[d] + e[D + d] * v[d];
        den[d] = e[d] * den[d] + e[D + d];
    }
    memcpy(c->state + 2 * D, s->base, (size_t)(2 * D) * sizeof *s->base);
}

void sq__wkv_forward(const sq_wkv *c)
{
    const int64_t D = c->D;
    const unsigned mode = sq__subnormals_off();
    const float *num = c->state, *den = num + D;
    scratch s;
    cut(&s, c->workspace, D);
    open(c, &s);
    for (int64_t t = 0; t < c->T || t < c->N; t++) {
        const float *k = exists(c, t) ? c->k + t * c->k_row : NULL, *v = k ? c->v + t * c->v_row : NULL;
        if (t < c->T) {
            float *out = c->out + t * c->out_row, *e = s.e;
            weigh_row(c, &s, k);
            for (int64_t d = 0; d < D; d++) {
                const float n = e[d] * den[d] + e[D + d];
                out[d] = n > 0 ? (e[d] * num[d] + (v ? e[D + d] * v[d] : 0)) / n : 0;
                if (!c->kept) continue;
                c->kept[2 * t * D + d] = out[d];
                c->kept[(2 * t + 1) * D + d] = n > 0 ? s.s[d] + logf(n) : INFINITY;
            }
            c->kernels->sigmoid(s.s, c->r + t * c->r_row, D);
#pragma omp simd
            for (int64_t d = 0; d < D; d++) out[d] *= s.s[d];
        }
        if (k) absorb(c, &s, k, v);
    }
    close(c);
    sq__subnormals_restore(mode);
}

/* Row t on the way up: dr, and its parts of du and dw; the row's sums are those before token t. */
static void ascend_row(const sq_wkv *c, const sq_wkv_gradients *to, const scratch *s, int64_t t, const float *k, const float *v)
{
    const int64_t D = c->D;
    const float *dout = to->dout + t * to->dout_row, *y = c->kept + 2 * t * D, *log = y + D;
    float *dr = to->dr + t * to->dr_row, *e = s->e;
    c->kernels->sigmoid(s->s, c->r + t * c->r_row, D);
    for (int64_t d = 0; d < D; d++) {
        e[d] = top_of(c, s, d, 0) - log[d];
        e[D + d] = k ? k[d] + c->bonus[d] - log[d] : -INFINITY;
        dr[d] = dout[d] * y[d] * s->s[d] * (1 - s->s[d]);
    }
    c->kernels->exp(e, e, 2 * D);
    for (int64_t d = 0; d < D; d++) {
        const double dy = (double)(dout[d] * s->s[d]);
        to->drate[d] += dy * (double)(e[d] * (s->dnum[d] - y[d] * s->dden[d]));
        if (v) to->dbonus[d] += dy * (double)(e[D + d] * (v[d] - y[d]));
    }
}

/* The derivatives by w go with the sums: that of e^{-w} x is e^{-w} (x' - x). */
static void ascend_sums(const sq_wkv *c, const scratch *s, const float *k, const float *v)
{
    const int64_t D = c->D;
    const float *num = c->state, *den = num + D, *e = s->e + 2 * D;
    weigh_sums(c, s, k);
#pragma omp simd
    for (int64_t d = 0; d < D; d++) {
        s->dnum[d] = e[d] * (s->dnum[d] - num[d]);
        s->dden[d] = e[d] * (s->dden[d] - den[d]);
    }
    absorb(c, s, k, v);
}

/* Token t on the way down: g, h hold rows behind t, decayed to t + 1. */
static void descend_key(const sq_wkv *c, const sq_wkv_gradients *to, const scratch *s, int64_t t)
{
    const int64_t D = c->D;
    const float *k = c->k + t * c->k_row, *v = c->v + t * c->v_row;
    float *dk = to->dk + t * to->dk_row, *dv = to->dv + t * to->dv_row, *e = s->e;
    const bool row = t < c->T;
    const float *y = c->kept + 2 * t * D, *dout = to->dout + t * to->dout_row;
    if (row) c->kernels->sigmoid(s->s, c->r + t * c->r_row, D);
    for (int64_t d = 0; d < D; d++) {
        e[d] = k[d] + s->log[d] - s->past[d] * s->w[d];
        e[D + d] = row ? k[d] + c->bonus[d] - y[D + d] : -INFINITY;
    }
    c->kernels->exp(e, e, 2 * D);
    for (int64_t d = 0; d < D; d++) {
        const float own = row ? e[D + d] * dout[d] * s->s[d] : 0;
        const float gv = own + e[d] * s->g[d], gk = (row ? own * (v[d] - y[d]) : 0) + e[d] * (s->g[d] * v[d] + s->h[d]);
        dv[d] = (to->accumulate ? dv[d] : 0) + gv;
        dk[d] = (to->accumulate ? dk[d] : 0) + gk;
    }
}

/* g, h: decayed by one token where token t exists, plus row t. */
static void descend_sums(const sq_wkv *c, const sq_wkv_gradients *to, const scratch *s, int64_t t, bool decays)
{
    const int64_t D = c->D;
    const bool row = t < c->T;
    const float *y = c->kept + 2 * t * D, *dout = to->dout + t * to->dout_row;
    float *e = s->e;
    if (row) c->kernels->sigmoid(s->s, c->r + t * c->r_row, D);
    for (int64_t d = 0; d < D; d++) {
        const float age = s->past[d] + (decays ? 1 : 0), past = s->log[d] - age * s->w[d], own = row ? -y[D + d] : -INFINITY;
        const float m = own > past ? own : past, from = m == -INFINITY ? 0 : m;
        e[d] = past - from;
        e[D + d] = own - from;
        s->past[d] = own > past ? 0 : age;
        s->log[d] = own > past ? own : s->log[d];
    }
    c->kernels->exp(e, e, 2 * D);
    for (int64_t d = 0; d < D; d++) {
        const float dy = row ? e[D + d] * dout[d] * s->s[d] : 0;
        s->g[d] = e[d] * s->g[d] + dy;
        s->h[d] = e[d] * s->h[d] - (row ? dy * y[d] : 0);
    }
}

void sq__wkv_backward(const sq_wkv *c, const sq_wkv_gradients *to)
{
    const int64_t D = c->D, last = c->T > c->N ? c->T : c->N;
    const unsigned mode = sq__subnormals_off();
    const size_t bytes = (size_t)D * sizeof(float);
    scratch s;
    cut(&s, c->workspace, D);
    memset(to->drate, 0, (size_t)D * sizeof *to->drate);
    memset(to->dbonus, 0, (size_t)D * sizeof *to->dbonus);
    memset(s.dnum, 0, bytes), memset(s.dden, 0, bytes), memset(s.g, 0, bytes), memset(s.h, 0, bytes);
    memset(s.past, 0, bytes);
    for (int64_t d = 0; d < D; d++) s.log[d] = -INFINITY;
    open(c, &s);
    for (int64_t t = 0; t < last; t++) {
        const float *k = exists(c, t) ? c->k + t * c->k_row : NULL, *v = k ? c->v + t * c->v_row : NULL;
        if (t < c->T) ascend_row(c, to, &s, t, k, v);
        if (k) ascend_sums(c, &s, k, v);
    }
    for (int64_t d = 0; d < D; d++) to->drate[d] *= (double)s.w[d];
    for (int64_t t = last - 1; t >= 0; t--) {
        const bool there = exists(c, t);
        if (there) descend_key(c, to, &s, t);
        descend_sums(c, to, &s, t, there);
    }
    sq__subnormals_restore(mode);
}
