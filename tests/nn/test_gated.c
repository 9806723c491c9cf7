/* Layers of gated linear recurrences against their papers' equations in double, token by token: whole, and in segments by a carry. */
#include "naive.h"

#include "attention/engine/wkv.h"
#include "nn/gated_block.h"
#include "nn/rwkv.h"

enum { B = 2, T = 75, E = 12, H = 2, RANK = 3, TAPS = 4, FEED = 10 };

static const int32_t lengths[B] = { T, 50 };
static const float fixed[H] = { -0.03f, -0.2f };

static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double silu(double x) { return x * sigmoid(x); }
static double softplus(double x) { return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)); }

/* ---- one sequence of `n` rows ---- */

static double *linear(const sq_parameters *set, const char *name, bool bias, const double *x, int64_t n, int64_t in, int64_t out)
{
    return naive_linear(x, named(set, name, "weight"), bias ? named(set, name, "bias") : NULL, n, in, out);
}

static double *normed(const sq_parameters *set, const char *name, bool rms, const double *x, int64_t rows, int64_t n)
{
    double *y = malloc((size_t)(rows * n) * sizeof *y);
    memcpy(y, x, (size_t)(rows * n) * sizeof *y);
    if (!rms) naive_norm(y, named(set, name, "weight"), named(set, name, "bias"), rows, n, 1e-5f);
    for (int64_t r = 0; rms && r < rows; r++) {
        double square = 0;
        for (int64_t i = 0; i < n; i++) square += y[r * n + i] * y[r * n + i] / (double)n;
        for (int64_t i = 0; i < n; i++) y[r * n + i] *= named(set, name, "weight")[i] / sqrt(square + 1e-5f);
    }
    return y;
}

static double *convolved(const sq_parameters *set, const double *x, int64_t n, int64_t C)
{
    const float *w = named(set, "block", "convolution.weight"), *b = named(set, "block", "convolution.bias");
    double *y = calloc((size_t)(n * C), sizeof *y);
    for (int64_t t = 0; t < n; t++)
        for (int64_t c = 0; c < C; c++) {
            double sum = b[c];
            for (int64_t j = 0; j < TAPS; j++)
                if (t - j >= 0) sum += w[c * TAPS + TAPS - 1 - j] * x[(t - j) * C + c];
            y[t * C + c] = silu(sum);
        }
    return y;
}

static void turn(double *x, int64_t D, int64_t t)
{
    for (int64_t i = 0; i < D / 2; i++) {
        const double a = (double)t * pow(10000, -2.0 * (double)i / (double)D), first = x[2 * i] * cos(a) - x[2 * i + 1] * sin(a);
        x[2 * i + 1] = x[2 * i] * sin(a) + x[2 * i + 1] * cos(a);
        x[2 * i] = first;
    }
}

static void to_unit(double *x, int64_t n)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++) square += x[i] * x[i];
    for (int64_t i = 0; i < n; i++) x[i] /= sqrt(square);
}

/* S_t and out_t of head h from row t of what is projected; gate and strength: rows of theirs. */
static void token(const sq_gated_block_config *c, const sq_parameters *set, int64_t h, int64_t t, const double *packed, const double *gate, double strength, double *S,
                  double *out)
{
    const sq_gated_rule *r = &c->rule;
    const int64_t D = r->D, M = r->M, g = h / (c->heads / c->groups);
    double q[32], k[32];
    const double *v = packed + 2 * c->groups * D + h * M;
    memcpy(q, packed + g * D, (size_t)D * sizeof *q), memcpy(k, packed + (c->groups + g) * D, (size_t)D * sizeof *k);
    if (c->rotary) turn(q, D, t), turn(k, D, t);
    if (r->unit) to_unit(q, D), to_unit(k, D);
    const double step = r->gate == SQ_GATE_SOFTPLUS ? softplus(gate[h] + named(set, "block", "step_bias")[h]) : 0;
    for (int64_t d = 0; d < D; d++) {
        const double a = r->gate == SQ_GATE_FIXED     ? exp(c->fixed[h])
                         : r->gate == SQ_GATE_SIGMOID ? pow(sigmoid(gate[h * D + d]), 1 / r->temperature)
                         : r->gate == SQ_GATE_SOFTPLUS ? exp(-exp(named(set, "block", "rate")[h]) * step)
                                                       : 1;
        for (int64_t m = 0; m < M; m++) S[d * M + m] *= a;
    }
    for (int64_t m = 0; m < M; m++) {
        double value = v[m];
        for (int64_t d = 0; d < D && r->delta; d++) value -= S[d * M + m] * k[d];
        for (int64_t d = 0; d < D; d++) S[d * M + m] += (r->delta ? strength : r->weighs ? step : 1) * k[d] * value;
        out[m] = r->skips ? named(set, "block", "skip")[h] * v[m] : 0;
        for (int64_t d = 0; d < D; d++) out[m] += r->scale * q[d] * S[d * M + m];
    }
}

static double *scanned(const sq_gated_block_config *c, const sq_parameters *set, const double *h, int64_t n)
{
    const int64_t M = c->rule.M, D = c->rule.D, C = 2 * c->groups * D + H * M, width = H * c->rule.width;
    double *packed = linear(set, "block.query_key_value", false, h, n, E, C), *gate = NULL, *strength = NULL, *out = calloc((size_t)(n * H * M), sizeof *out);
    if (c->taps > 1) {
        double *y = convolved(set, packed, n, C);
        free(packed);
        packed = y;
    }
    if (c->gate_rank) {
        double *inner = linear(set, "block.gate.in", false, h, n, E, RANK);
        gate = linear(set, "block.gate.out", true, inner, n, RANK, width);
        free(inner);
    } else if (c->rule.gate == SQ_GATE_SOFTPLUS) {
        gate = linear(set, "block.gate", false, h, n, E, width);
    }
    if (c->rule.delta) strength = linear(set, "block.strength", false, h, n, E, H);
    for (int64_t i = 0; i < H; i++) {
        double *S = calloc((size_t)(D * M), sizeof *S);
        for (int64_t t = 0; t < n; t++)
            token(c, set, i, t, packed + t * C, gate ? gate + t * width : NULL, strength ? sigmoid(strength[t * H + i]) : 0, S, out + (t * H + i) * M);
        free(S);
    }
    free(packed), free(gate), free(strength);
    return out;
}

static void feed(const sq_gated_block_config *c, const sq_parameters *set, double *x, int64_t n)
{
    if (c->feed == SQ_FEED_NONE) return;
    const int64_t wide = c->feed == SQ_FEED_SILU ? 2 * FEED : FEED;
    double *h = normed(set, "block.feed_forward_norm", c->rms, x, n, E), *in = linear(set, "block.feed_forward.in", true, h, n, E, wide);
    double *hidden = calloc((size_t)(n * FEED), sizeof *hidden);
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < FEED; j++) {
            const double a = in[i * wide + j];
            hidden[i * FEED + j] = c->feed == SQ_FEED_SILU ? a * silu(in[i * wide + FEED + j]) : a * 0.5 * erfc(-a / sqrt(2));
        }
    double *y = linear(set, "block.feed_forward.out", true, hidden, n, FEED, E);
    for (int64_t i = 0; i < n * E; i++) x[i] += y[i];
    free(h), free(in), free(hidden), free(y);
}

static void block(const sq_gated_block_config *c, const sq_parameters *set, double *x, int64_t n)
{
    const int64_t M = c->rule.M, values = H * M;
    double *h = normed(set, "block.mixer_norm", c->rms, x, n, E), *o = scanned(c, set, h, n), *y;
    if (!c->norm_gated) y = normed(set, "block.head_norm", c->rms, o, n * H, M), free(o), o = y;
    if (c->output_gate) {
        double *gate = linear(set, "block.output_gate", false, h, n, E, values);
        for (int64_t i = 0; i < n * values; i++) o[i] *= silu(gate[i]);
        free(gate);
    }
    if (c->norm_gated) y = normed(set, "block.head_norm", c->rms, o, n, values), free(o), o = y;
    y = linear(set, "block.output", false, o, n, values, E);
    for (int64_t i = 0; i < n * E; i++) x[i] += y[i];
    free(h), free(o), free(y);
    feed(c, set, x, n);
}

/* ---- trials ---- */

typedef sq_var *(*run_fn)(const void *layer, sq_tape *tape, sq_var *x, const int32_t *lengths, sq_carry *carry);

/* The whole, then segments of 1, 30 and the rest, against expected [B,T,E]. */
static void check(const void *layer, run_fn run, const sq_carry_layout *layout, const float *x, const double *expected, double bound)
{
    static const int64_t cuts[] = { 0, 1, 31, T };
    const int64_t shape[3] = { B, T, E };
    sq_tape *tape = sq__tape_create(false);
    sq_carry *carry;
    sq_error error;
    assert_rows(run(layer, tape, sq__tape_input(tape, 3, shape, x, false), lengths, NULL), expected, lengths, bound);
    assert_ok(sq__carry_create(&carry, layout, B, &error), &error);
    for (int i = 0; i < 3; i++) {
        const int64_t rows = cuts[i + 1] - cuts[i], part[3] = { B, rows, E };
        float *piece = malloc((size_t)(B * rows * E) * sizeof *piece);
        double *wanted = malloc((size_t)(B * rows * E) * sizeof *wanted);
        int32_t left[B];
        for (int64_t b = 0; b < B; b++) {
            const int64_t most = lengths[b] - cuts[i];
            left[b] = (int32_t)(most < 0 ? 0 : most < rows ? most : rows);
            memcpy(piece + b * rows * E, x + (b * T + cuts[i]) * E, (size_t)(rows * E) * sizeof *piece);
            memcpy(wanted + b * rows * E, expected + (b * T + cuts[i]) * E, (size_t)(rows * E) * sizeof *wanted);
        }
        sq__tape_reset(tape);
        assert_rows(run(layer, tape, sq__tape_input(tape, 3, part, piece, false), left, carry), wanted, left, bound);
        free(piece);
        free(wanted);
    }
    assert_ok(sq__tape_status(tape, &error), &error);
    sq__carry_destroy(&carry);
    sq__tape_destroy(tape);
}

static sq_var *run_block(const void *layer, sq_tape *tape, sq_var *x, const int32_t *of, sq_carry *carry)
{
    return sq__gated_block_run(layer, tape, x, of, carry);
}

static void gated_blocks(void **state)
{
    (void)state;
    const sq_gated_block_config kinds[] = {
        { .groups = H, .rotary = true, .output_gate = true, .feed = SQ_FEED_GELU, .fixed = fixed,
          .rule = { .D = 6, .M = 8, .gate = SQ_GATE_FIXED, .width = 1, .scale = 0.4f } },                                                       /* retnet */
        { .groups = H, .gate_rank = RANK, .rms = true, .output_gate = true, .feed = SQ_FEED_SILU,
          .rule = { .D = 3, .M = 6, .gate = SQ_GATE_SIGMOID, .width = 3, .scale = 0.6f, .temperature = 16 } },                                   /* gla */
        { .groups = H, .taps = TAPS, .rms = true, .feed = SQ_FEED_SILU, .rule = { .D = 6, .M = 6, .delta = true, .unit = true, .scale = 1, .strength = 1 } },   /* deltanet */
        { .groups = H, .taps = TAPS, .rms = true, .output_gate = true, .feed = SQ_FEED_SILU,
          .rule = { .D = 4, .M = 8, .delta = true, .unit = true, .gate = SQ_GATE_SOFTPLUS, .width = 1, .scale = 1, .strength = 1 } },            /* gated-deltanet */
        { .groups = 1, .taps = TAPS, .rms = true, .output_gate = true, .norm_gated = true,
          .rule = { .D = 7, .M = 12, .gate = SQ_GATE_SOFTPLUS, .width = 1, .weighs = true, .skips = true, .scale = 1 } },                        /* mamba-2 */
    };
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        sq_gated_block_config c = kinds[i];
        sq_parameters set = { .seed = 3 };
        sq_carry_layout layout = { 0 };
        sq_gated_block layer;
        sq_error error;
        c.width = E, c.heads = H, c.feed_forward = FEED, c.eps = 1e-5f;
        assert_ok(sq__gated_block_create(&layer, &set, &layout, "block", &c, &error), &error);
        shake(&set);
        float *x = draw("x", B * T * E);
        double *expected = widen(x, B * T * E);
        for (int64_t b = 0; b < B; b++) block(&c, &set, expected + b * T * E, lengths[b]);
        check(&layer, run_block, &layout, x, expected, 1e-5);
        free(x);
        free(expected);
        sq__carry_layout_clear(&layout);
        sq__parameters_clear(&set);
    }
}

/* ---- RWKV-4 ---- */

static double *shifted(const sq_parameters *set, const char *name, const double *h, int64_t n)
{
    const float *mix = named(set, "rwkv", name);
    double *y = calloc((size_t)(n * E), sizeof *y);
    for (int64_t t = 0; t < n; t++)
        for (int64_t e = 0; e < E; e++) y[t * E + e] = mix[e] * h[t * E + e] + (t ? (1 - mix[e]) * h[(t - 1) * E + e] : 0);
    return y;
}

static double *part(const sq_parameters *set, const char *name, const double *h, int64_t n, int64_t out)
{
    char mix[64], full[64];
    snprintf(mix, sizeof mix, "%s_mix", name), snprintf(full, sizeof full, "rwkv.%s", name);
    double *x = shifted(set, mix, h, n), *y = linear(set, full, false, x, n, E, out);
    free(x);
    return y;
}

static void rwkv(const sq_parameters *set, double *x, int64_t n)
{
    double *h = normed(set, "rwkv.time.norm", false, x, n, E), *r = part(set, "time.receptance", h, n, E), *k = part(set, "time.key", h, n, E);
    double *v = part(set, "time.value", h, n, E);
    for (int64_t e = 0; e < E; e++) {
        const double decay = exp(-exp(named(set, "rwkv", "time.rate")[e])), bonus = exp(named(set, "rwkv", "time.bonus")[e]);
        double num = 0, den = 0;
        for (int64_t t = 0; t < n; t++) {
            const double key = exp(k[t * E + e]), value = v[t * E + e];
            r[t * E + e] = sigmoid(r[t * E + e]) * (num + bonus * key * value) / (den + bonus * key);
            num = decay * num + key * value;
            den = decay * den + key;
        }
    }
    double *y = linear(set, "rwkv.time.output", false, r, n, E, E);
    for (int64_t i = 0; i < n * E; i++) x[i] += y[i];
    free(h), free(r), free(k), free(v), free(y);
    h = normed(set, "rwkv.channel.norm", false, x, n, E), r = part(set, "channel.receptance", h, n, E), k = part(set, "channel.key", h, n, FEED);
    for (int64_t i = 0; i < n * FEED; i++) k[i] = k[i] > 0 ? k[i] * k[i] : 0;
    y = linear(set, "rwkv.channel.value", false, k, n, FEED, E);
    for (int64_t i = 0; i < n * E; i++) x[i] += sigmoid(r[i]) * y[i];
    free(h), free(r), free(k), free(y);
}

static sq_var *run_rwkv(const void *layer, sq_tape *tape, sq_var *x, const int32_t *of, sq_carry *carry)
{
    return sq__rwkv_run(layer, tape, x, of, carry);
}

static void rwkv_layer(void **state)
{
    (void)state;
    sq_parameters set = { .seed = 3 };
    sq_carry_layout layout = { 0 };
    const sq_rwkv_config c = { .width = E, .feed_forward = FEED, .layer = 1, .layers = 3, .eps = 1e-5f };
    sq_rwkv layer;
    sq_error error;
    assert_ok(sq__rwkv_create(&layer, &set, &layout, "rwkv", &c, &error), &error);
    shake(&set);
    float *x = draw("x", B * T * E);
    double *expected = widen(x, B * T * E);
    for (int64_t b = 0; b < B; b++) rwkv(&set, expected + b * T * E, lengths[b]);
    check(&layer, run_rwkv, &layout, x, expected, 1e-5);
    free(x);
    free(expected);
    sq__carry_layout_clear(&layout);
    sq__parameters_clear(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(gated_blocks), cmocka_unit_test(rwkv_layer) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
