/* The linear-state engine under a map that hands out given features: values, gradients, final state and denominators against
 * plain double sums, at lengths around the edges of chunks. */
#include "attention/engine/linear.h"
#include "base/memory.h"
#include "base/random.h"
#include "support/check.h"

enum { F = 5, M = 3 };

typedef struct given {
    int64_t rows[2];                      /* by side */
    float *f[2], *df[2];                  /* [rows,F]: features or their logarithms */
    int visits[2];
    bool exponents, masked;               /* masked: features of hidden keys come back as 0 */
} given;

static void hand_out(void *context, sq_linear_side side, int64_t first, int64_t rows, float *f)
{
    const given *g = context;
    memcpy(f, g->f[side] + first * F, (size_t)(rows * F) * sizeof *f);
}

static void take_back(void *context, sq_linear_side side, int64_t first, int64_t rows, const float *f, float *df)
{
    given *g = context;
    memcpy(g->df[side] + first * F, df, (size_t)(rows * F) * sizeof *df);
    g->visits[side] += (int)rows;
    assert_true((f == NULL) == g->exponents);
    if (f && !g->masked) assert_memory_equal(f, g->f[side] + first * F, (size_t)(rows * F) * sizeof *f);
    memset(df, 0xff, (size_t)(rows * F) * sizeof *df);   /* a map may overwrite it */
}

static float *normal(const char *name, int64_t count, float mean, float deviation)
{
    const sq_random random = sq__random_stream(4, name, 0);
    float *x = malloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++) x[i] = mean + deviation * (float)sq__random_normal(&random, (uint64_t)i);
    return x;
}

typedef struct problem {
    int64_t T, N;
    bool causal, exponents;
    float spread;                         /* of the logarithms; of the values about 1 when not exponents */
    sq_linear_denominator rule;
    int64_t bucket;
    bool decays, masked;                  /* every fifth key */
} problem;

static double feature(const given *g, sq_linear_side side, int64_t i, int64_t r)
{
    const double x = g->f[side][i * F + r];
    return g->exponents ? exp(x) : x;
}

static double product(const given *g, int64_t i, int64_t j)
{
    double a = 0;
    for (int64_t r = 0; r < F; r++) a += feature(g, SQ_LINEAR_QUERIES, i, r) * feature(g, SQ_LINEAR_KEYS, j, r);
    return a;
}

typedef struct expected { double *out, *df[2], *dv, *dlog, S[F * M], z[F]; } expected;

static bool hidden(const problem *p, int64_t j)
{
    return p->masked && j % 5 == 2;
}

static int64_t keys_of(const problem *p, int64_t i)
{
    const int64_t keys = !p->causal ? p->N : p->bucket > 1 ? i / p->bucket * p->bucket : i + 1;
    return keys < p->N ? keys : p->N;
}

/* g_j+1 ... g_i */
static double left(const problem *p, const float *log_decay, int64_t i, int64_t j)
{
    double sum = 0;
    for (int64_t l = j + 1; p->decays && l <= i && l < p->N; l++) sum += hidden(p, l) ? 0 : log_decay[l];
    return exp(sum);
}

/* dQ'_ir = sum_j g_ij K'_jr / den_i, g_ij = dout_i . (v_j - out_i) for a moving denominator, dout_i . v_j for one on its floor. */
static void row(const problem *p, const given *g, const float *v, const float *dout, const float *log_decay, int64_t i, expected *e)
{
    double d = 0, sum = 0, num[M] = { 0 };
    const int64_t keys = keys_of(p, i);
    for (int64_t j = 0; j < keys; j++) {
        if (hidden(p, j)) continue;
        const double a = product(g, i, j) * left(p, log_decay, i, j);
        d += a;
        for (int c = 0; c < M; c++) num[c] += a * v[j * M + c];
    }
    for (int64_t r = 0; r < F; r++) sum += feature(g, SQ_LINEAR_QUERIES, i, r);
    d += p->rule.per_feature * sum + p->rule.add;
    if (fabs(d) <= p->rule.threshold) d += p->rule.lift;
    const double sign = p->rule.magnitude && d < 0 ? -1 : 1;
    d *= sign;
    const bool flat = d <= p->rule.floor;
    if (flat) d = p->rule.floor;
    if (d == 0) return;
    for (int c = 0; c < M; c++) e->out[i * M + c] = num[c] / d;
    double delta = 0;
    for (int c = 0; c < M && !flat; c++) delta -= sign * dout[i * M + c] * e->out[i * M + c];
    for (int64_t r = 0; r < F; r++) {
        const double q = feature(g, SQ_LINEAR_QUERIES, i, r);
        double dq = p->rule.per_feature * delta;
        for (int64_t j = 0; j < keys; j++) {
            if (hidden(p, j)) continue;
            const double k = feature(g, SQ_LINEAR_KEYS, j, r), w = left(p, log_decay, i, j);
            double gij = delta;
            for (int c = 0; c < M; c++) gij += dout[i * M + c] * v[j * M + c];
            dq += gij * k * w;
            e->df[1][j * F + r] += gij * q / d * w * (g->exponents ? k : 1);
            for (int c = 0; c < M; c++) e->dv[j * M + c] += q * k / d * w * dout[i * M + c];
            for (int64_t l = j + 1; p->decays && l <= i && l < p->N; l++)
                if (!hidden(p, l)) e->dlog[l] += gij * q * k / d * w;
        }
        e->df[0][i * F + r] = dq / d * (g->exponents ? q : 1);
    }
}

static void compare(const char *what, const problem *p, const float *x, const double *y, int64_t n)
{
    double scale = 0;
    for (int64_t i = 0; i < n; i++) scale = fmax(scale, fabs(y[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= (1e-5 + (p->exponents ? 5e-7 * p->spread : 0)) * scale + 4e-6))   /* a gradient may be 0 by cancellation of terms of 1 */
            fail_msg("T %d N %d%s%s: %s[%d] is %.9g; expected %.9g", (int)p->T, (int)p->N, p->causal ? " causal" : "", p->exponents ? " exponents" : "",
                     what, (int)i, (double)x[i], y[i]);
}

static void try(const problem *p)
{
    given g = { .rows = { p->T, p->N }, .exponents = p->exponents, .masked = p->masked };
    const float mean = p->exponents ? 0 : 1, spread = p->spread;
    for (int side = 0; side < 2; side++) {
        g.f[side] = normal(side ? "keys" : "queries", g.rows[side] * F, mean, spread);
        g.df[side] = malloc((size_t)(g.rows[side] * F) * sizeof(float));
    }
    float *v = normal("v", p->N * M, 0, 1), *dout = normal("dout", p->T * M, 0, 1), *out = malloc((size_t)(p->T * M) * sizeof *out);
    float *log_decay = normal("decay", p->N, 0, 1), *dlog_decay = malloc((size_t)(p->T + p->N) * sizeof(float));
    uint8_t *keep = malloc((size_t)p->N);
    for (int64_t j = 0; j < p->N; j++) {
        log_decay[j] = -fabsf(log_decay[j]) * (j % 7 == 3 ? 20 : 0.1f);
        keep[j] = !hidden(p, j);
        for (int c = 0; c < M && hidden(p, j); c++) v[j * M + c] = NAN;
    }
    float *dv = malloc((size_t)(p->N * M) * sizeof *dv), *rows = malloc((size_t)p->T * sizeof *rows);
    float *state = sq__alloc(sq__linear_state_floats(F, M) * sizeof *state);
    void *workspace[2] = { sq__alloc(sq__linear_workspace(F, M, p->causal, SQ_FORWARD)), sq__alloc(sq__linear_workspace(F, M, p->causal, SQ_BACKWARD)) };
    expected e = { calloc((size_t)(p->T * M), sizeof(double)), { calloc((size_t)(p->T * F), sizeof(double)), calloc((size_t)(p->N * F), sizeof(double)) },
                   calloc((size_t)(p->N * M), sizeof(double)), calloc((size_t)(p->T + p->N), sizeof(double)), { 0 }, { 0 } };
    sq_linear linear = { .T = p->T, .N = p->N, .F = F, .M = M, .causal = p->causal, .exponents = p->exponents, .denominator = p->rule,
                         .map = { &g, hand_out, take_back }, .v = v, .v_row = M, .out = out, .out_row = M, .rows = rows, .bucket = p->bucket,
                         .log_decay = p->decays ? log_decay : NULL, .key_keep = p->masked ? keep : NULL };
    const sq_linear_gradients gradients = { dout, dv, M, M, false, dlog_decay };
    sq__linear_state_place(&linear.state, state, F, M);
    for (int64_t i = 0; i < p->T; i++) row(p, &g, v, dout, log_decay, i, &e);

    sq__linear_forward(&linear, sq__kernels(), workspace[0]);
    compare("out", p, out, e.out, p->T * M);
    const int64_t seen = p->bucket > 1 ? (p->T + p->bucket - 1) / p->bucket * p->bucket : p->T, absorbed = p->causal && seen < p->N ? seen : p->N;
    for (int64_t r = 0; r < F; r++) {
        const double size = p->exponents ? exp((double)linear.state.reference[r]) : 1;
        e.z[r] = p->rule.per_feature;
        for (int64_t j = 0; j < absorbed; j++) {
            const double k = hidden(p, j) ? 0 : feature(&g, SQ_LINEAR_KEYS, j, r) * left(p, log_decay, p->T - 1, j);
            e.z[r] += k;
            for (int c = 0; c < M; c++) e.S[r * M + c] += k != 0 ? k * v[j * M + c] : 0;
        }
        for (int c = 0; c < M; c++) e.S[r * M + c] /= size;
        assert_close(linear.state.z[r] * size, e.z[r], 1e-5 * fabs(e.z[r]) + (p->rule.magnitude ? 1e-4 : 0));
    }
    compare("final state", p, linear.state.S, e.S, F * M);

    sq__linear_backward(&linear, &gradients, sq__kernels(), workspace[1]);
    compare("dv", p, dv, e.dv, p->N * M);
    if (p->decays) compare("dlog_decay", p, dlog_decay, e.dlog, p->N);
    for (int side = 0; side < 2; side++) {
        assert_int_equal(g.visits[side], g.rows[side]);
        compare(side ? "df of keys" : "df of queries", p, g.df[side], e.df[side], g.rows[side] * F);
        free(g.f[side]), free(g.df[side]), free(e.df[side]), sq__free(workspace[side]);
    }
    free(v), free(dout), free(out), free(dv), free(rows), free(e.out), free(e.dv), free(e.dlog), free(log_decay), free(dlog_decay), free(keep);
    sq__free(state);
}

static void test_edges_of_chunks(void **state)
{
    static const int64_t sizes[][2] = { { 1, 1 },     { 127, 127 }, { 128, 128 }, { 129, 129 }, { 256, 256 },
                                        { 257, 257 }, { 300, 130 }, { 130, 300 }, { 1, 200 },   { 200, 1 } };
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int causal = 0; causal < 2; causal++)
            for (int exponents = 0; exponents < 2; exponents++) {
                const problem p = { .T = sizes[i][0], .N = sizes[i][1], .causal = causal == 1, .exponents = exponents == 1,
                                    .spread = exponents ? 1.0f : 0.2f, .rule = SQ_LINEAR_PLAIN };
                try(&p);
            }
}

/* Logarithms that differ by hundreds, each known to 2^-24 of itself: chunks are cut where a key exceeds its reference, and the
 * state is rescaled. The double sums stay below exp(700). */
static void test_exponents_far_apart(void **state)
{
    (void)state;
    for (int causal = 0; causal < 2; causal++) {
        const problem p = { .T = 300, .N = 300, .causal = causal == 1, .exponents = true, .spread = 60, .rule = SQ_LINEAR_PLAIN };
        try(&p);
    }
}

static void test_denominators(void **state)
{
    static const sq_linear_denominator rules[] = {
        { 0.5f, 0, -1, 0, -INFINITY, false }, { 0, 0.25f, -1, 0, -INFINITY, false }, { 0, 0, 40, 80, -INFINITY, false }, { 0, 0, -1, 0, 60, false },
        { 0.1f, 0.2f, 30, 20, 50, false },
    };
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        for (int causal = 0; causal < 2; causal++) {
            const problem p = { .T = 140, .N = 140, .causal = causal == 1, .spread = 0.2f, .rule = rules[i] };
            try(&p);
        }
    for (int causal = 0; causal < 2; causal++) {          /* products of both signs */
        const problem p = { .T = 140, .N = 140, .causal = causal == 1, .spread = 2, .rule = { 0, 0, -1, 0, 20, true } };
        try(&p);
    }
}

/* Log factors from -0.1 to -20: within a chunk, across chunks, past the last key. Masked keys hold NaN. */
static void test_decay(void **state)
{
    static const int64_t sizes[][2] = { { 1, 1 }, { 128, 128 }, { 129, 129 }, { 300, 300 }, { 300, 130 }, { 130, 300 } };
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++)
        for (int masked = 0; masked < 2; masked++) {
            const problem p = { .T = sizes[i][0], .N = sizes[i][1], .causal = true, .spread = 0.2f, .rule = SQ_LINEAR_PLAIN, .decays = true,
                                .masked = masked == 1 };
            try(&p);
        }
}

static void test_buckets(void **state)
{
    static const int64_t buckets[] = { 2, 7, 64, 128, 150, 400 };
    (void)state;
    for (size_t i = 0; i < sizeof buckets / sizeof buckets[0]; i++)
        for (int cross = 0; cross < 3; cross++) {
            const problem p = { .T = cross == 1 ? 290 : 333, .N = cross == 2 ? 260 : 333, .causal = true, .spread = 0.2f,
                                .rule = { 0, 0, -1, 0, 1e-3f, false }, .bucket = buckets[i], .masked = cross == 0 };
            try(&p);
        }
}

/* Piece by piece from the state of the piece before: the same as all at once. */
static void test_continued(void **state)
{
    enum { N = 300 };
    static const int64_t pieces[] = { 1, 1, 2, 127, 130, 1, 38 };
    (void)state;
    for (int kind = 0; kind < 3; kind++) {                /* values, with decay, exponents */
        given g = { .rows = { N, N }, .exponents = kind == 2 };
        float *v = normal("v", N * M, 0, 1), *log_decay = normal("decay", N, -3, 0.5f), whole[N * M], parts[N * M];
        for (int side = 0; side < 2; side++) g.f[side] = normal(side ? "keys" : "queries", N * F, kind == 2 ? 0 : 1, kind == 2 ? 60 : 0.2f);
        float *memory = sq__alloc(sq__linear_state_floats(F, M) * sizeof *memory);
        void *workspace = sq__alloc(sq__linear_workspace(F, M, true, SQ_FORWARD));
        sq_linear linear = { .T = N, .N = N, .F = F, .M = M, .causal = true, .exponents = kind == 2, .denominator = SQ_LINEAR_PLAIN, .v = v, .v_row = M,
                             .map = { &g, hand_out, take_back }, .out = whole, .out_row = M, .log_decay = kind == 1 ? log_decay : NULL };
        sq__linear_state_place(&linear.state, memory, F, M);
        sq__linear_forward(&linear, sq__kernels(), workspace);
        given at = g;
        for (int64_t i = 0, first = 0; first < N; first += pieces[i++]) {
            for (int side = 0; side < 2; side++) at.f[side] = g.f[side] + first * F;
            linear.map.context = &at;
            linear.T = linear.N = pieces[i];
            linear.v = v + first * M;
            linear.out = parts + first * M;
            linear.log_decay = kind == 1 ? log_decay + first : NULL;
            linear.continued = first > 0;
            sq__linear_forward(&linear, sq__kernels(), workspace);
        }
        for (int64_t i = 0; i < N * M; i++) assert_close(parts[i], whole[i], kind == 2 ? 3e-5 : 2e-6);
        free(v), free(log_decay), free(g.f[0]), free(g.f[1]), sq__free(memory), sq__free(workspace);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_edges_of_chunks), cmocka_unit_test(test_exponents_far_apart), cmocka_unit_test(test_denominators),
        cmocka_unit_test(test_decay), cmocka_unit_test(test_buckets), cmocka_unit_test(test_continued),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
