/* Layers that keep rows of the past, against what each event sees by definition, event by event in double. */
#include "naive.h"

#include "nn/recurrence.h"

enum { CONTINUOUS_NONE, CONTINUOUS_BELLS, CONTINUOUS_BOXES };

enum { B = 2, T = 37, E = 6, HEADS = 2, HIDDEN = 10, LAYERS = 2 };
static const int32_t lengths[B] = { T, 22 };

typedef struct stack_case { const char *name; int64_t memory, segment, compressed, rate; sq_compression_kind kind; bool pre_norm; int continuous; } stack_case;
static const stack_case cases[] = {
    { "window", 5, 8, 0, 1, SQ_COMPRESSION_CONV, false, 0 },      { "window, pre-norm", 9, 4, 0, 1, SQ_COMPRESSION_CONV, true, 0 },
    { "whole", 64, 64, 0, 1, SQ_COMPRESSION_CONV, true, 0 },      { "conv", 4, 6, 3, 2, SQ_COMPRESSION_CONV, false, 0 },
    { "conv, pre-norm", 6, 3, 2, 3, SQ_COMPRESSION_CONV, true, 0 }, { "mean", 2, 4, 5, 2, SQ_COMPRESSION_MEAN, true, 0 },
    { "max", 8, 8, 4, 4, SQ_COMPRESSION_MAX, false, 0 },
    { "bells", 3, 7, 0, 1, SQ_COMPRESSION_CONV, false, CONTINUOUS_BELLS }, { "boxes, pre-norm", 9, 6, 0, 1, SQ_COMPRESSION_CONV, true, CONTINUOUS_BOXES },
};
enum { CASES = sizeof cases / sizeof *cases };

typedef struct made { sq_parameters set; sq_carry_layout layout; sq_recurrence stack; } made;

enum { BASIS = 8, SAMPLES = 10 };

static sq_continuous_config continuous_of(const stack_case *c)
{
    return (sq_continuous_config){ .basis = { BASIS, 0.1, 0.2, c->continuous == CONTINUOUS_BOXES }, .rule = { c->segment, SAMPLES, 0.7, 0.5, false },
                                   .sigma_min = 1e-4, .kl_weight = 0.3, .prior = { 0.5, 0, false }, .seed = 9 };
}

static void make(made *m, const stack_case *c)
{
    *m = (made){ .set.seed = 3 };
    sq_error error;
    const sq_continuous_config continuous = continuous_of(c);
    const sq_recurrence_config config = { .layer = { .width = E, .heads = HEADS, .feed_forward = HIDDEN, .activation = SQ_RELU, .pre_norm = c->pre_norm, .eps = 1e-5f },
                                          .layers = LAYERS, .memory = c->memory, .segment = c->segment, .compressed = c->compressed, .rate = c->rate,
                                          .compression = c->kind, .reconstruction = 0.5f, .continuous = c->continuous ? &continuous : NULL };
    assert_ok(sq__recurrence_create(&m->stack, &m->set, &m->layout, "xl", &config, &error), &error);
    shake(&m->set);
}

static void unmake(made *m)
{
    sq__recurrence_clear(&m->stack);
    sq__carry_layout_clear(&m->layout);
    sq__parameters_clear(&m->set);
}

/* ---- the definition ---- */

typedef struct layer_names { const sq_parameters *set; char prefix[32]; int64_t D; } layer_names;

static double *naive_normed(const layer_names *l, const char *norm, const double *x, int64_t rows)
{
    char weight[64], bias[64];
    double *y = malloc((size_t)(rows * E) * sizeof *y);
    snprintf(weight, sizeof weight, "%s.weight", norm);
    snprintf(bias, sizeof bias, "%s.bias", norm);
    memcpy(y, x, (size_t)(rows * E) * sizeof *y);
    naive_norm(y, named(l->set, l->prefix, weight), named(l->set, l->prefix, bias), rows, E, 1e-5);
    return y;
}

/* Compressed row `block` of a stream whose rows are h. */
static void naive_block(const stack_case *c, const layer_names *l, const double *h, int64_t block, double *y)
{
    const float *w = c->kind == SQ_COMPRESSION_CONV ? named(l->set, l->prefix, "compression.weight") : NULL;
    for (int64_t e = 0; e < E; e++) {
        y[e] = w ? named(l->set, l->prefix, "compression.bias")[e] : c->kind == SQ_COMPRESSION_MAX ? -INFINITY : 0;
        for (int64_t i = 0; i < c->rate; i++) {
            const double *row = h + (block * c->rate + i) * E;
            if (c->kind == SQ_COMPRESSION_MAX) y[e] = fmax(y[e], row[e]);
            else if (c->kind == SQ_COMPRESSION_MEAN) y[e] += row[e] / (double)c->rate;
            for (int64_t k = 0; w && k < E; k++) y[e] += w[e * c->rate * E + i * E + k] * row[k];
        }
    }
}

/* Rows that event t sees, the nearest last: [count, E]. */
static double *naive_seen(const stack_case *c, const layer_names *l, const double *h, int64_t t, int64_t *count)
{
    double *rows = calloc((size_t)((t + 1) + c->compressed), E * sizeof *rows);
    int64_t first = t - c->memory > 0 ? t - c->memory : 0;
    *count = 0;
    if (c->compressed) {
        first = t - t % c->segment - c->memory;
        first = first > 0 ? first : 0;
        const int64_t blocks = first / c->rate, from = blocks > c->compressed ? blocks - c->compressed : 0;
        for (int64_t block = from; block < blocks; block++) naive_block(c, l, h, block, rows + (*count)++ * E);
    }
    for (int64_t j = first; j <= t; j++) memcpy(rows + (*count)++ * E, h + j * E, E * sizeof *rows);
    return rows;
}

/* What the query row reads from the rows; positions: by distance from the last row. */
static void naive_read(const layer_names *first, const layer_names *l, const double *query, const double *rows, int64_t count, bool positions, double *context)
{
    double *q = naive_linear(query, named(l->set, l->prefix, "attention.query.weight"), NULL, 1, E, E);
    double *kv = naive_linear(rows, named(l->set, l->prefix, "attention.key_value.weight"), NULL, count, E, 2 * E);
    const float *u = named(first->set, first->prefix, "attention.content_bias"), *v = named(first->set, first->prefix, "attention.position_bias");
    double *p = calloc((size_t)count, sizeof *p);
    for (int64_t head = 0; head < HEADS; head++) {
        double sum = 0;
        for (int64_t j = 0; j < count; j++) {
            double wave[E], *r = NULL;
            for (int64_t i = 0; i < E / 2; i++) {
                const double angle = (double)(count - 1 - j) * pow(10000, -2.0 * (double)i / E);
                wave[i] = sin(angle);
                wave[E / 2 + i] = cos(angle);
            }
            r = naive_linear(wave, named(l->set, l->prefix, "attention.position.weight"), NULL, 1, E, E);
            p[j] = 0;
            for (int64_t d = head * l->D; d < (head + 1) * l->D; d++)
                p[j] += positions ? (q[d] + u[d]) * kv[j * 2 * E + d] + (q[d] + v[d]) * r[d] : q[d] * kv[j * 2 * E + d];
            sum += p[j] = exp(p[j] / sqrt((double)l->D));
            free(r);
        }
        for (int64_t d = head * l->D; d < (head + 1) * l->D; d++) {
            context[d] = 0;
            for (int64_t j = 0; j < count; j++) context[d] += p[j] / sum * kv[j * 2 * E + E + d];
        }
    }
    free(q);
    free(kv);
    free(p);
}

/* Coefficients [BASIS,E] of the first `segments` segments of a signal. */
static double *naive_signal(const sq_continuous_config *k, const double *signal, int64_t segments)
{
    const int64_t L = k->rule.L;
    double *coefficients = calloc(BASIS * E, sizeof *coefficients), *G = malloc((size_t)(SAMPLES + L) * BASIS * sizeof *G), psi[SAMPLES * BASIS], t[SAMPLES];
    sq_error error;
    for (int m = 0; m < SAMPLES; m++) t[m] = (m + 1.0) / SAMPLES;
    sq__memory_psi(&k->basis, t, SAMPLES, psi);
    for (int64_t s = 0; s < segments; s++) {
        double *next = calloc(BASIS * E, sizeof *next);
        const int64_t past = s ? SAMPLES : 0;
        if (s) assert_ok(sq__memory_regression_update(&k->basis, L, SAMPLES, k->rule.tau, k->rule.ridge, G, &error), &error);
        else assert_ok(sq__memory_regression_first(&k->basis, L, k->rule.ridge, G, &error), &error);
        for (int64_t e = 0; e < E; e++)
            for (int64_t i = 0; i < past + L; i++) {
                double x = i < past ? 0 : signal[(s * L + i - past) * E + e];
                for (int64_t j = 0; i < past && j < BASIS; j++) x += psi[i * BASIS + j] * coefficients[j * E + e];
                for (int64_t j = 0; j < BASIS; j++) next[j * E + e] += G[i * BASIS + j] * x;
            }
        free(coefficients);
        coefficients = next;
    }
    free(G);
    return coefficients;
}

/* What the query row reads from the signal of all segments before its own is added to y; the divergences of its heads to *kl. */
static void naive_long_term(const stack_case *c, const layer_names *l, const double *query, const double *signal, int64_t segments, double *y, double *kl)
{
    const sq_continuous_config k = continuous_of(c);
    double *coefficients = naive_signal(&k, signal, segments), context[E] = { 0 };
    double *q = naive_linear(query, named(l->set, l->prefix, "attention.query.weight"), NULL, 1, E, E);
    double *kv = naive_linear(coefficients, named(l->set, l->prefix, "long_term.key_value.weight"), NULL, BASIS, E, 2 * E);
    for (int64_t head = 0; head < HEADS; head++) {
        double z[2] = { named(l->set, l->prefix, "long_term.mean.bias")[0], named(l->set, l->prefix, "long_term.variance.bias")[0] };
        for (int64_t j = 0; j < BASIS; j++)
            for (int64_t d = head * l->D; d < (head + 1) * l->D; d++)
                for (int i = 0; i < 2; i++)
                    z[i] += q[d] * kv[j * 2 * E + d] / sqrt((double)l->D) * named(l->set, l->prefix, i ? "long_term.variance.weight" : "long_term.mean.weight")[j];
        const double mu = 1 / (1 + exp(-z[0])), variance = log1p(exp(z[1])), ratio = variance / (k.prior.sigma0 * k.prior.sigma0);
        *kl += 0.5 * (ratio - log(ratio) - 1);
        for (int64_t j = 0; j < BASIS; j++) {
            const double s = j % 2 ? k.basis.wide : k.basis.narrow, w = sqrt(s * s + variance), u = (mu - (double)(j / 2) / (BASIS / 2 - 1)) / w;
            const double left = ((double)j / BASIS - mu) / sqrt(2 * variance), right = ((j + 1.0) / BASIS - mu) / sqrt(2 * variance);
            const double r = k.basis.rectangular ? BASIS / 2.0 * (erf(right) - erf(left)) : exp(-u * u / 2) / sqrt(2 * M_PI) / w;
            for (int64_t d = head * l->D; d < (head + 1) * l->D; d++) context[d] += r * kv[j * 2 * E + E + d];
        }
    }
    double *out = naive_linear(context, named(l->set, l->prefix, "long_term.output.weight"), NULL, 1, E, E);
    for (int64_t e = 0; e < E; e++) y[e] += out[e];
    free(coefficients);
    free(q);
    free(kv);
    free(out);
}

static double divergence;              /* of all naive layers so far: its sum, over heads and queries that read */
static int64_t divergences;

static void naive_layer(const stack_case *c, const made *m, int i, double *h, int64_t length)
{
    layer_names first = { &m->set, "xl.0", E / HEADS }, l = first;
    double *next = calloc((size_t)(length * E), sizeof *next);
    snprintf(l.prefix, sizeof l.prefix, "xl.%d", i);
    for (int64_t t = 0; t < length; t++) {
        int64_t count;
        double *rows = naive_seen(c, &l, h, t, &count), context[E], *y = next + t * E;
        double *keys = c->pre_norm ? naive_normed(&l, "attention_norm", rows, count) : rows;
        naive_read(&first, &l, keys + (count - 1) * E, keys, count, true, context);
        double *out = naive_linear(context, named(l.set, l.prefix, "attention.output.weight"), NULL, 1, E, E);
        for (int64_t e = 0; e < E; e++) y[e] = h[t * E + e] + out[e];
        if (c->continuous && t >= c->segment) {
            double *signal = c->pre_norm ? naive_normed(&l, "attention_norm", h, t) : h;
            naive_long_term(c, &l, keys + (count - 1) * E, signal, t / c->segment, y, &divergence);
            divergences += HEADS;
            if (signal != h) free(signal);
        }
        double *x = c->pre_norm ? naive_normed(&l, "feed_forward_norm", y, 1) : naive_normed(&l, "attention_norm", y, 1);
        double *hidden = naive_linear(x, named(l.set, l.prefix, "feed_forward.in.weight"), named(l.set, l.prefix, "feed_forward.in.bias"), 1, E, HIDDEN);
        for (int64_t e = 0; e < HIDDEN; e++) hidden[e] = fmax(hidden[e], 0);
        double *fed = naive_linear(hidden, named(l.set, l.prefix, "feed_forward.out.weight"), named(l.set, l.prefix, "feed_forward.out.bias"), 1, HIDDEN, E);
        for (int64_t e = 0; e < E; e++) y[e] = (c->pre_norm ? y[e] : x[e]) + fed[e];
        if (!c->pre_norm) naive_norm(y, named(l.set, l.prefix, "feed_forward_norm.weight"), named(l.set, l.prefix, "feed_forward_norm.bias"), 1, E, 1e-5);
        if (keys != rows) free(keys);
        free(rows);
        free(out);
        free(x);
        free(hidden);
        free(fed);
    }
    memcpy(h, next, (size_t)(length * E) * sizeof *h);
    free(next);
}

static void rows_are_what_events_see(void **state)
{
    (void)state;
    float *x = draw("recurrence", B * T * E);
    for (int i = 0; i < CASES; i++) {
        made m;
        make(&m, &cases[i]);
        sq_tape *tape = sq__tape_create(false);
        sq_error error;
        sq_var *auxiliary = NULL;
        const sq_var *y = sq__recurrence_run(&m.stack, tape, sq__tape_input(tape, 3, (int64_t[]){ B, T, E }, x, false), lengths, NULL, &auxiliary);
        divergence = divergences = 0;
        assert_ok(sq__tape_status(tape, &error), &error);
        double *expected = widen(x, B * T * E);
        for (int64_t b = 0; b < B; b++) {
            for (int layer = 0; layer < LAYERS; layer++) naive_layer(&cases[i], &m, layer, expected + b * T * E, lengths[b]);
            if (cases[i].pre_norm) naive_norm(expected + b * T * E, named(&m.set, "xl", "norm.weight"), named(&m.set, "xl", "norm.bias"), lengths[b], E, 1e-5);
        }
        assert_rows(y, expected, lengths, 1e-5);
        if (cases[i].continuous) assert_close(auxiliary->value[0], 0.3 * divergence / (double)divergences * LAYERS, 1e-5);
        free(expected);
        sq__tape_destroy(tape);
        unmake(&m);
    }
    free(x);
}

/* ---- learning ---- */

/* The loss of the last segment reaches no event before it; through continuous memory, one segment more per layer. */
static void gradient_ends_where_the_segment_begins(void **state)
{
    (void)state;
    float *x = draw("recurrence", B * T * E), *g = calloc((size_t)(B * T * E), sizeof *g);
    for (int i = 0; i < CASES; i++) {
        const int64_t segment = cases[i].segment, from = (T - 1) / segment * segment;
        made m;
        make(&m, &cases[i]);
        sq_tape *tape = sq__tape_create(true);
        sq_error error;
        sq_var *in = sq__tape_input(tape, 3, (int64_t[]){ B, T, E }, x, true);
        sq_var *y = sq__recurrence_run(&m.stack, tape, in, (const int32_t[]){ T, T }, NULL, NULL);
        for (int64_t n = 0; n < B * T * E; n++) g[n] = n / E % T >= from ? 1 + (float)(n % 7) : 0;
        assert_ok(sq__tape_backward(tape, y, g, &error), &error);
        for (int64_t n = 0; n < B * T * E; n++)
            if (n / E % T < from - (cases[i].continuous ? LAYERS * segment : 0)) assert_true(in->gradient[n] == 0);
            else assert_true(in->gradient[n] != 0);
        sq__tape_destroy(tape);
        unmake(&m);
    }
    free(x);
    free(g);
}

/* The loss of compressing in layer 0, whose rows are x: mean squared difference over the segments' queries, features (and layers). */
static double naive_reconstruction(const stack_case *c, const made *m, const double *x)
{
    const layer_names l = { &m->set, "xl.0", E / HEADS };
    double sum = 0;
    int64_t count = 0;
    for (int64_t end = c->segment; end <= T; end += c->segment) {
        const int64_t to = end - c->memory, from = to - c->segment > 0 ? to - c->segment : 0, rows = to - from;
        if (rows <= 0) continue;
        double *old = c->pre_norm ? naive_normed(&l, "attention_norm", x + from * E, rows) : widen((float[]){ 0 }, 1), *blocks = calloc((size_t)(rows * E), sizeof *blocks);
        for (int64_t i = 0; i < rows / c->rate; i++) naive_block(c, &l, x, from / c->rate + i, blocks + i * E);
        double *new = c->pre_norm ? naive_normed(&l, "attention_norm", blocks, rows / c->rate) : blocks;
        for (int64_t t = end - c->segment; t < end; t++) {
            double one[E], other[E], *query = c->pre_norm ? naive_normed(&l, "attention_norm", x + t * E, 1) : NULL;
            naive_read(&l, &l, query ? query : x + t * E, c->pre_norm ? old : x + from * E, rows, false, one);
            naive_read(&l, &l, query ? query : x + t * E, new, rows / c->rate, false, other);
            for (int64_t e = 0; e < E; e++) sum += (one[e] - other[e]) * (one[e] - other[e]);
            count += E;
            free(query);
        }
        free(old);
        if (new != blocks) free(new);
        free(blocks);
    }
    return sum / (double)count;
}

static void compression_is_taught_by_what_attention_reads(void **state)
{
    (void)state;
    float *x = draw("recurrence", T * E);
    for (int pre = 0; pre < 2; pre++) {
        stack_case one = { "one layer", 6, 3, 2, 3, SQ_COMPRESSION_CONV, pre, 0 };
        made m = { .set.seed = 3 };
        sq_error error;
        const sq_recurrence_config config = { .layer = { .width = E, .heads = HEADS, .feed_forward = HIDDEN, .activation = SQ_RELU, .pre_norm = pre, .eps = 1e-5f },
                                              .layers = 1, .memory = one.memory, .segment = one.segment, .compressed = one.compressed, .rate = one.rate,
                                              .compression = one.kind, .reconstruction = 0.5f };
        assert_ok(sq__recurrence_create(&m.stack, &m.set, &m.layout, "xl", &config, &error), &error);
        shake(&m.set);
        sq_tape *tape = sq__tape_create(true);
        sq_var *auxiliary = NULL;
        sq__recurrence_run(&m.stack, tape, sq__tape_input(tape, 3, (int64_t[]){ 1, T, E }, x, true), (const int32_t[]){ T }, NULL, &auxiliary);
        assert_ok(sq__tape_status(tape, &error), &error);
        assert_non_null(auxiliary);
        double *wide = widen(x, T * E);
        assert_close(auxiliary->value[0], 0.5 * naive_reconstruction(&one, &m, wide), 1e-6);
        assert_ok(sq__tape_backward(tape, auxiliary, NULL, &error), &error);
        for (int i = 0; i < m.set.count; i++) {   /* the compression alone learns from it */
            const sq_parameter *p = &m.set.items[i];
            double most = 0;
            for (int64_t n = 0; n < p->count; n++) most = fmax(most, fabsf(p->gradient[n]));
            assert_true((most > 0) == (strstr(p->name, "compression") != NULL));
        }
        free(wide);
        sq__tape_destroy(tape);
        unmake(&m);
    }
    free(x);
}

static void rate_divides_memory_and_segment(void **state)
{
    (void)state;
    made m = { .set.seed = 1 };
    sq_error error;
    sq_recurrence_config config = { .layer = { .width = E, .heads = HEADS, .feed_forward = HIDDEN }, .layers = 1, .memory = 5, .segment = 4, .compressed = 2, .rate = 2 };
    assert_int_equal(sq__recurrence_create(&m.stack, &m.set, &m.layout, "xl", &config, &error), SQ_INVALID);
    assert_string_equal(error.message, "xl: compression_rate 2 does not divide memory 5 and segment 4");
    unmake(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_what_events_see),
        cmocka_unit_test(gradient_ends_where_the_segment_begins),
        cmocka_unit_test(compression_is_taught_by_what_attention_reads),
        cmocka_unit_test(rate_divides_memory_and_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
