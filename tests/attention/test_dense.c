/* The dense engine against the double-precision reference: shapes, masks, strides, workspace. */
#include "attention/engine/dense.h"
#include "base/memory.h"
#include "base/random.h"
#include "reference/softmax.h"
#include "support/check.h"
#include "support/each_isa.h"

typedef struct shape {
    int64_t T, N, D, M;
    bool causal, keys, pairs;
    float size;                   /* of the logits */
    bool wide;                    /* rows further apart than they are long */
} shape;

static const shape shapes[] = {
    { 1, 1, 1, 1, false, false, false, 1, false },
    { 1, 300, 8, 8, false, false, false, 1, false },
    { 3, 2, 5, 7, false, false, false, 1, true },
    { 15, 17, 16, 16, false, false, false, 1, false },
    { 63, 65, 32, 20, false, false, false, 1, true },
    { 65, 63, 24, 24, true, false, false, 1, false },
    { 64, 256, 64, 64, false, false, false, 1, false },
    { 50, 96, 16, 20, false, true, false, 1, true },
    { 100, 100, 24, 24, true, false, true, 1, false },
    { 129, 129, 32, 32, true, true, true, 1, true },
    { 70, 1300, 32, 32, false, true, false, 1, false },
    { 1300, 70, 16, 48, true, false, false, 1, false },
    { 1100, 1100, 32, 32, true, false, false, 1, true },
    { 1000, 1033, 33, 31, false, false, true, 1, false },
    { 65, 2100, 32, 8, true, false, false, 1, false },
    { 65, 513, 32, 32, false, false, false, 30, false },
    { 65, 65, 32, 32, true, true, false, 60, true },
    { 5, 40, 128, 130, false, false, false, 1, false },
};

enum { PAD = 3 };   /* floats between rows of a wide layout */

typedef struct matrix { int64_t rows, columns, row; float *at; } matrix;

/* Filled with NaN between rows, so that a read or write there shows. */
static matrix make(int64_t rows, int64_t columns, bool wide)
{
    matrix m = { rows, columns, columns + (wide ? PAD : 0), NULL };
    m.at = sq__alloc(sizeof(float) * (size_t)(rows * m.row));
    for (int64_t i = 0; i < rows * m.row; i++) m.at[i] = NAN;
    return m;
}

static matrix draw(int64_t rows, int64_t columns, bool wide, const char *name, float size)
{
    const sq_random stream = sq__random_stream(7, name, (uint64_t)(rows * 1000 + columns));
    matrix m = make(rows, columns, wide);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < columns; j++) m.at[i * m.row + j] = size * (float)sq__random_normal(&stream, (uint64_t)(i * columns + j));
    return m;
}

static float *packed(const matrix *m)
{
    float *x = sq__alloc(sizeof(float) * (size_t)(m->rows * m->columns));
    for (int64_t i = 0; i < m->rows; i++) memcpy(x + i * m->columns, m->at + i * m->row, (size_t)m->columns * sizeof *x);
    return x;
}

static double *doubles(int64_t count) { return sq__alloc_zero(sizeof(double) * (size_t)count); }

/* max |x - expected| <= bound max |expected| + 1e-6, and the gaps between rows untouched */
static void compare(const char *what, const shape *s, const matrix *x, const double *expected, double bound)
{
    double top = 0, worst = 0;
    for (int64_t i = 0; i < x->rows * x->columns; i++) top = fmax(top, fabs(expected[i]));
    for (int64_t i = 0; i < x->rows; i++) {
        for (int64_t j = 0; j < x->columns; j++) {
            const double error = fabs(x->at[i * x->row + j] - expected[i * x->columns + j]);
            if (!(error <= worst)) worst = error;
        }
        for (int64_t j = x->columns; j < x->row; j++) assert_true(isnan(x->at[i * x->row + j]));
    }
    if (!(worst <= bound * top + 1e-6))
        fail_msg("%s: T=%ld N=%ld D=%ld M=%ld causal=%d keys=%d pairs=%d size=%g: error %.3g of %.3g", what, (long)s->T, (long)s->N, (long)s->D,
                 (long)s->M, s->causal, s->keys, s->pairs, s->size, worst, top);
}

enum { CANARIES = 64 };

/* A workspace of exactly the promised size: NaN inside, canaries behind. */
static char *workspace_of(size_t bytes)
{
    char *memory = sq__alloc(bytes + CANARIES);
    float *x = (float *)memory;
    assert_int_equal(bytes % SQ_ALIGN, 0);
    for (size_t i = 0; i < bytes / sizeof *x; i++) x[i] = NAN;
    memset(memory + bytes, 0x5a, CANARIES);
    return memory;
}

static void free_workspace(char *memory, size_t bytes)
{
    for (int i = 0; i < CANARIES; i++) assert_int_equal(memory[bytes + (size_t)i], 0x5a);
    sq__free(memory);
}

typedef struct masks { uint8_t *keys, *pairs; } masks;

/* Keeps most keys; hides one row of pairs and one whole tile of keys completely. */
static masks draw_masks(const shape *s)
{
    const sq_random stream = sq__random_stream(9, "mask", 0);
    masks m = { sq__alloc((size_t)s->N), sq__alloc((size_t)(s->T * s->N)) };
    for (int64_t j = 0; j < s->N; j++) m.keys[j] = sq__random_uniform(&stream, (uint64_t)j) < 0.8 && !(j >= 256 && j < 512);
    for (int64_t i = 0; i < s->T; i++)
        for (int64_t j = 0; j < s->N; j++) m.pairs[i * s->N + j] = i != s->T / 2 && sq__random_uniform(&stream, (uint64_t)(7777 + i * s->N + j)) < 0.7;
    return m;
}

/* What nobody may see holds NaN. */
static void poison_hidden(const shape *s, const masks *m, matrix *k, matrix *v)
{
    for (int64_t j = 0; s->keys && j < s->N; j++) {
        if (m->keys[j]) continue;
        for (int64_t d = 0; d < s->D; d++) k->at[j * k->row + d] = NAN;
        for (int64_t d = 0; d < s->M; d++) v->at[j * v->row + d] = NAN;
    }
}

static void check_shape(const shape *s, const sq_kernels *kernels)
{
    const float size = s->size;
    matrix q = draw(s->T, s->D, s->wide, "q", size), k = draw(s->N, s->D, s->wide, "k", 1), v = draw(s->N, s->M, s->wide, "v", 1);
    matrix dout = draw(s->T, s->M, s->wide, "dout", 1), out = make(s->T, s->M, s->wide), again = make(s->T, s->M, s->wide);
    matrix dq = make(s->T, s->D, s->wide), dk = make(s->N, s->D, s->wide), dv = make(s->N, s->M, s->wide);
    masks m = draw_masks(s);
    poison_hidden(s, &m, &k, &v);
    float *flat[4] = { packed(&q), packed(&k), packed(&v), packed(&dout) }, *lse = sq__alloc(sizeof(float) * (size_t)s->T);
    const float scale = 1 / sqrtf((float)s->D);
    reference_softmax reference = {
        s->T, s->N, s->D, s->M, scale, s->causal, flat[0], flat[1], flat[2], s->keys ? m.keys : NULL, s->pairs ? m.pairs : NULL,
        doubles(s->T * s->M), doubles(s->T), flat[3], doubles(s->T * s->D), doubles(s->N * s->D), doubles(s->N * s->M),
    };
    sq_dense dense = {
        .T = s->T, .N = s->N, .D = s->D, .M = s->M, .scale = scale, .causal = s->causal, .q = q.at, .k = k.at, .v = v.at, .q_row = q.row,
        .k_row = k.row, .v_row = v.row, .key_keep = reference.key_keep, .pair_keep = reference.pair_keep, .pair_row = s->N,
        .out = out.at, .out_row = out.row, .lse = lse,
    };
    sq_dense_gradients gradients = { dout.at, dout.row, dq.at, dk.at, dv.at, dq.row, dk.row, dv.row, false };
    /* a float32 softmax over logits of this size loses this much: half a unit in the last place of the largest logit */
    const double bound = 3e-6 * fmax(1, size / 4);

    assert_true(reference_softmax_run(&reference));
    const size_t forward_bytes = sq__dense_workspace(s->T, s->N, s->D, s->M, SQ_FORWARD);
    char *workspace = workspace_of(forward_bytes);
    sq__dense_forward(&dense, kernels, workspace);
    free_workspace(workspace, forward_bytes);
    compare("out", s, &out, reference.out, bound);
    for (int64_t i = 0; i < s->T; i++) {
        if (reference.lse[i] == -INFINITY) assert_true(lse[i] == -INFINITY);
        else assert_close(lse[i], reference.lse[i], 1e-6 * fmax(4, fabs(reference.lse[i])));
    }

    dense.lse = NULL;   /* a forward that nobody differentiates gives the same bits */
    dense.out = again.at;
    workspace = workspace_of(forward_bytes);
    sq__dense_forward(&dense, kernels, workspace);
    free_workspace(workspace, forward_bytes);
    assert_memory_equal(out.at, again.at, sizeof(float) * (size_t)(out.rows * out.row));

    dense.lse = lse;
    dense.out = out.at;
    for (int round = 0; round < 2; round++) {   /* the second adds dk, dv to those of the first */
        const size_t bytes = sq__dense_workspace(s->T, s->N, s->D, s->M, SQ_BACKWARD);
        workspace = workspace_of(bytes);
        gradients.accumulate_kv = round == 1;
        sq__dense_backward(&dense, &gradients, kernels, workspace);
        free_workspace(workspace, bytes);
        compare("dq", s, &dq, reference.dq, bound);
        compare("dk", s, &dk, reference.dk, bound);
        compare("dv", s, &dv, reference.dv, bound);
        for (int64_t i = 0; i < s->N * s->D; i++) reference.dk[i] *= 2;
        for (int64_t i = 0; i < s->N * s->M; i++) reference.dv[i] *= 2;
    }
    for (int64_t j = 0; s->keys && j < s->N; j++)
        for (int64_t d = 0; d < s->D && !m.keys[j]; d++) assert_true(dk.at[j * dk.row + d] == 0);

    float *const floats[] = { q.at, k.at, v.at, dout.at, out.at, again.at, dq.at, dk.at, dv.at, flat[0], flat[1], flat[2], flat[3], lse };
    double *const references[] = { reference.out, reference.lse, reference.dq, reference.dk, reference.dv };
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) sq__free(floats[i]);
    for (size_t i = 0; i < sizeof references / sizeof *references; i++) sq__free(references[i]);
    sq__free(m.keys);
    sq__free(m.pairs);
}

static void agrees_with_the_reference(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check_shape(&shapes[i], sq__kernels());
}

/* The gradient of sum_i w_i lse_i alone: dq_i = scale w_i sum_j p_ij k_j, dk_j = scale sum_i w_i p_ij q_i, dv = 0. */
static void log_sum_exp_has_a_gradient(void **state)
{
    enum { T = 70, N = 300, D = 8 };
    const matrix q = draw(T, D, false, "q", 1), k = draw(N, D, false, "k", 1), w = draw(T, 1, false, "w", 1), zero = draw(T, D, false, "dout", 0);
    const matrix out = make(T, D, false), dq = make(T, D, false), dk = make(N, D, false), dv = make(N, D, false), lse = make(T, 1, false);
    double *expected_dq = doubles(T * D), *expected_dk = doubles(N * D), *none = doubles(N * D);
    const sq_dense dense = { .T = T, .N = N, .D = D, .M = D, .scale = 0.5f, .q = q.at, .k = k.at, .v = k.at, .q_row = D, .k_row = D, .v_row = D,
                             .out = out.at, .out_row = D, .lse = lse.at, .dlse = w.at };
    const sq_dense_gradients gradients = { .dout = zero.at, .dout_row = D, .dq = dq.at, .dk = dk.at, .dv = dv.at, .dq_row = D, .dk_row = D, .dv_row = D };
    const shape described = { T, N, D, D, false, false, false, 1, false };
    char *workspace = workspace_of(sq__dense_workspace(T, N, D, D, SQ_BACKWARD));
    (void)state;
    sq__dense_forward(&dense, sq__kernels(), workspace);
    sq__dense_backward(&dense, &gradients, sq__kernels(), workspace);
    for (int i = 0; i < T; i++) {
        double score[N], sum = 0;
        for (int j = 0; j < N; j++) {
            score[j] = 0;
            for (int d = 0; d < D; d++) score[j] += 0.5 * q.at[i * D + d] * k.at[j * D + d];
            sum += exp(score[j]);
        }
        for (int j = 0; j < N; j++)
            for (int d = 0; d < D; d++) {
                expected_dq[i * D + d] += 0.5 * w.at[i] * exp(score[j]) / sum * k.at[j * D + d];
                expected_dk[j * D + d] += 0.5 * w.at[i] * exp(score[j]) / sum * q.at[i * D + d];
            }
    }
    compare("dq", &described, &dq, expected_dq, 3e-6);
    compare("dk", &described, &dk, expected_dk, 3e-6);
    compare("dv", &described, &dv, none, 0);
    float *const floats[] = { q.at, k.at, w.at, zero.at, out.at, dq.at, dk.at, dv.at, lse.at };
    for (size_t i = 0; i < sizeof floats / sizeof *floats; i++) sq__free(floats[i]);
    sq__free(expected_dq);
    sq__free(expected_dk);
    sq__free(none);
    sq__free(workspace);
}

static void no_keys_give_zeros(void **state)
{
    (void)state;
    float q[3 * 4] = { 1 }, out[3 * 5], lse[3], dout[3 * 5], dq[3 * 4];
    const sq_dense dense = { .T = 3, .N = 0, .D = 4, .M = 5, .scale = 1, .q = q, .q_row = 4, .k_row = 4, .v_row = 5, .out = out, .out_row = 5, .lse = lse };
    const sq_dense_gradients gradients = { .dout = dout, .dout_row = 5, .dq = dq, .dq_row = 4, .dk_row = 4, .dv_row = 5 };
    const size_t bytes = sq__dense_workspace(3, 7, 4, 5, SQ_FORWARD), back = sq__dense_workspace(3, 7, 4, 5, SQ_BACKWARD);
    char *workspace = workspace_of(bytes), *workspace_back = workspace_of(back);

    for (int i = 0; i < 15; i++) dout[i] = 1;
    sq__dense_forward(&dense, sq__kernels(), workspace);
    for (int i = 0; i < 15; i++) assert_true(out[i] == 0);
    for (int i = 0; i < 3; i++) assert_true(lse[i] == -INFINITY);
    sq__dense_backward(&dense, &gradients, sq__kernels(), workspace_back);
    for (int i = 0; i < 12; i++) assert_true(dq[i] == 0);
    free_workspace(workspace, bytes);
    free_workspace(workspace_back, back);
}

static void no_queries_give_zero_gradients(void **state)
{
    (void)state;
    float k[20 * 4] = { 1 }, v[20 * 4] = { 1 }, dk[20 * 4], dv[20 * 4];
    const sq_dense dense = { .T = 0, .N = 20, .D = 4, .M = 4, .scale = 1, .k = k, .v = v, .q_row = 4, .k_row = 4, .v_row = 4, .out_row = 4 };
    const sq_dense_gradients gradients = { .dk = dk, .dv = dv, .dout_row = 4, .dq_row = 4, .dk_row = 4, .dv_row = 4 };
    const size_t bytes = sq__dense_workspace(0, 20, 4, 4, SQ_BACKWARD);
    char *workspace = workspace_of(bytes);

    memset(dk, 1, sizeof dk);
    memset(dv, 1, sizeof dv);
    sq__dense_backward(&dense, &gradients, sq__kernels(), workspace);
    for (int i = 0; i < 80; i++) assert_true(dk[i] == 0 && dv[i] == 0);
    free_workspace(workspace, bytes);
}

/* Workspace does not grow with the number of keys beyond a span, and with queries only by two floats each. */
static void workspace_is_bounded(void **state)
{
    (void)state;
    for (int pass = SQ_FORWARD; pass <= SQ_BACKWARD; pass++) {
        const size_t small = sq__dense_workspace(1024, 4096, 64, 64, (sq_pass)pass);
        assert_int_equal(small, sq__dense_workspace(1024, 65536, 64, 64, (sq_pass)pass));
        assert_int_equal(small + 2 * sizeof(float) * (65536 - 1024), sq__dense_workspace(65536, 65536, 64, 64, (sq_pass)pass));
    }
}

static int run(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference), cmocka_unit_test(no_keys_give_zeros), cmocka_unit_test(no_queries_give_zero_gradients),
        cmocka_unit_test(workspace_is_bounded), cmocka_unit_test(log_sum_exp_has_a_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void) { return run_under_each_isa(run); }
