/* Synthesizer, naive: every score from its equation. Tensors are found by walking their order. Which hidden numbers are above 0 is taken
 * from the unperturbed case: a finite difference across the kink of relu would be no gradient. */
#include <math.h>
#include <stdlib.h>

#include "reference/reference.h"

typedef struct terms {
    const reference_case *at;
    int64_t set, L, hidden, rank, a, b;
    bool alike;
    const double *w1, *b1, *w2, *b2, *r, *wa, *ba, *wb, *bb, *r1, *r2;
    double weight[5];                     /* dense, random, factors, low, dot */
} terms;

static const double *take(const reference_case *at, int *next, int64_t set, int64_t floats)
{
    return at->tensors[(*next)++] + set * floats;
}

static terms terms_of(const reference_case *at, int64_t h)
{
    const bool both = reference_is(at, "variant", "random-dense"), dot = reference_is(at, "dot_product", "true");
    const bool has[5] = { both || reference_is(at, "variant", "dense"), both || reference_is(at, "variant", "random"),
                          reference_is(at, "variant", "factorised-dense"), reference_is(at, "variant", "factorised-random"), dot };
    terms t = { .at = at, .set = reference_is(at, "sharing", "none") ? h : 0, .L = at->max_length, .hidden = (int64_t)reference_number(at, "hidden"),
                .rank = (int64_t)reference_number(at, "rank"), .a = (int64_t)reference_number(at, "factor"), .alike = reference_is(at, "tiling", "alike") };
    const int64_t D = at->D;
    int next = 0, count = 0;
    if (t.hidden == 0) t.hidden = D;
    if (t.a == 0) t.a = (int64_t)ceil(sqrt((double)t.L));
    if (t.a > t.L) t.a = t.L;
    t.b = (t.L + t.a - 1) / t.a;
    if (has[0]) {
        t.w1 = take(at, &next, t.set, t.hidden * D), t.b1 = take(at, &next, t.set, t.hidden);
        t.w2 = take(at, &next, t.set, t.L * t.hidden), t.b2 = take(at, &next, t.set, t.L);
    }
    if (has[1]) t.r = take(at, &next, t.set, t.L * t.L);
    if (has[2]) {
        t.wa = take(at, &next, t.set, t.a * D), t.ba = take(at, &next, t.set, t.a);
        t.wb = take(at, &next, t.set, t.b * D), t.bb = take(at, &next, t.set, t.b);
    }
    if (has[3]) t.r1 = take(at, &next, t.set, t.L * t.rank), t.r2 = take(at, &next, t.set, t.L * t.rank);
    for (int i = 0; i < 5; i++) {
        count += has[i];
        t.weight[i] = has[i];
    }
    if (count > 1 && reference_is(at, "mixture", "weighted")) {
        const double *mix = take(at, &next, t.set, count);
        double total = 0;
        for (int i = 0; i < count; i++) total += exp(mix[i]);
        for (int i = 0, place = 0; i < 5; i++)
            if (has[i]) t.weight[i] = exp(mix[place++]) / total;
    }
    return t;
}

static double affine(const double *x, const double *weight, const double *bias, int64_t row, int64_t width)
{
    double sum = bias[row];
    for (int64_t c = 0; c < width; c++) sum += weight[row * width + c] * x[c];
    return sum;
}

static double score(const terms *t, int64_t b, int64_t h, int64_t i, int64_t j, const double *hidden)
{
    const reference_case *at = t->at;
    double s = reference_bias(at, i, j, h);
    if (t->weight[0] > 0) s += t->weight[0] * affine(hidden, t->w2, t->b2, j, t->hidden);
    if (t->weight[1] > 0) s += t->weight[1] * t->r[i * t->L + j];
    if (t->weight[2] > 0) {
        const double *q = reference_q(at, b, i, h);
        const int64_t second = t->alike ? j % t->b : j / t->a;
        s += t->weight[2] * affine(q, t->wa, t->ba, j % t->a, at->D) * affine(q, t->wb, t->bb, second, at->D);
    }
    for (int64_t c = 0; t->weight[3] > 0 && c < t->rank; c++) s += t->weight[3] * t->r1[i * t->rank + c] * t->r2[c * t->L + j];
    for (int64_t c = 0; t->weight[4] > 0 && c < at->D; c++) s += t->weight[4] * at->scale * reference_q(at, b, i, h)[c] * reference_k(at, b, j, h)[c];
    return s;
}

static void row(const terms *t, const terms *frozen, int64_t b, int64_t h, int64_t i, double *s, double *hidden)
{
    const reference_case *at = t->at;
    double most = -INFINITY, total = 0, *out = reference_out(at, b, i, h);
    for (int64_t c = 0; t->weight[0] > 0 && c < t->hidden; c++) {
        const bool active = affine(reference_q(frozen->at, b, i, h), frozen->w1, frozen->b1, c, at->D) > 0;
        hidden[c] = active ? affine(reference_q(at, b, i, h), t->w1, t->b1, c, at->D) : 0;
    }
    for (int64_t j = 0; j < at->N; j++)
        if (reference_sees(at, b, i, j)) most = fmax(most, s[j] = score(t, b, h, i, j, hidden));
    for (int64_t j = 0; j < at->N; j++) {
        if (!reference_sees(at, b, i, j)) continue;
        const double p = exp(s[j] - most);
        total += p;
        for (int64_t c = 0; c < at->M; c++) out[c] += p * reference_v(at, b, j, h)[c];
    }
    for (int64_t c = 0; total > 0 && c < at->M; c++) out[c] /= total;
}

static void run(const reference_case *at)
{
    double *s = malloc((size_t)at->N * sizeof *s), *hidden = malloc(1024 * sizeof *hidden);
    for (int64_t h = 0; h < at->H; h++) {
        const terms t = terms_of(at, h), frozen = terms_of(at->frozen, h);
        for (int64_t b = 0; b < at->B; b++)
            for (int64_t i = 0; i < reference_rows(at, b); i++) row(&t, &frozen, b, h, i, s, hidden);
    }
    free(s);
    free(hidden);
}

static const reference_variant variants[] = {
    { .options = "", .largest = 200 },
    { .options = "hidden=5 sharing=headwise", .largest = 65 },
    { .options = "variant=random", .largest = 200, .skip = SQ_CAN_CROSS },
    { .options = "variant=random trained=false dot_product=true", .largest = 65, .skip = SQ_CAN_CROSS },
    { .options = "variant=random dot_product=true mixture=sum sharing=headwise", .largest = 65, .skip = SQ_CAN_CROSS },
    { .options = "variant=factorised-dense", .largest = 200 },
    { .options = "variant=factorised-dense factor=4 tiling=alike dot_product=true", .largest = 65 },
    { .options = "variant=factorised-random rank=3", .largest = 200, .skip = SQ_CAN_CROSS },
    { .options = "variant=factorised-random dot_product=true sharing=headwise", .largest = 65, .skip = SQ_CAN_CROSS },
    { .options = "variant=random-dense dot_product=true", .largest = 65, .skip = SQ_CAN_CROSS },
    { .options = NULL },
};

const reference_row reference_synthesizer = { "synthesizer", run, variants };
