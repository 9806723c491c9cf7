/* Exact attention through the public interface: what conformance cannot know. */
#include "base/memory.h"
#include "base/random.h"
#include "reference/softmax.h"
#include "subquad/attention.h"
#include "support/check.h"

typedef struct tensors { float *q, *k, *v, *out, *dout, *dq, *dk, *dv, *lse; } tensors;

static float *draw(int64_t count, const char *name)
{
    const sq_random stream = sq__random_stream(21, name, 0);
    float *x = sq__alloc(sizeof *x * (size_t)count);
    sq__random_normal_fill(&stream, x, count, 1);
    return x;
}

static float *nans(int64_t count)
{
    float *x = sq__alloc(sizeof *x * (size_t)count);
    for (int64_t i = 0; i < count; i++) x[i] = NAN;
    return x;
}

static tensors make(const sq_attention_desc *d)
{
    const int64_t keys = d->B * d->N * (d->key_heads ? d->key_heads : d->H), queries = d->B * d->T * d->H;
    return (tensors){ draw(queries * d->D, "q"), draw(keys * d->D, "k"), draw(keys * d->M, "v"), nans(queries * d->M), draw(queries * d->M, "dout"),
                      nans(queries * d->D), nans(keys * d->D), nans(keys * d->M), NULL };
}

static void release(tensors *t)
{
    float *const all[] = { t->q, t->k, t->v, t->out, t->dout, t->dq, t->dk, t->dv, t->lse };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) sq__free(all[i]);
}

typedef sq_view (*layout)(const float *data, int64_t T, int64_t H, int64_t D);

static void run(const sq_attention_desc *d, tensors *t, layout view, const int32_t *lengths, const int32_t *query_lengths)
{
    const int64_t keys = d->key_heads ? d->key_heads : d->H;
    sq_attention *plan = NULL;
    sq_error error = { 0 };
    assert_ok(sq_attention_create(&plan, d, &error), &error);
    assert_int_equal(sq_attention_saved_bytes(plan), sq__align_up(sizeof(float) * (size_t)(d->B * d->H * d->T)));
    void *forward = sq__alloc(sq_attention_workspace_bytes(plan, SQ_FORWARD)), *backward = sq__alloc(sq_attention_workspace_bytes(plan, SQ_BACKWARD));
    sq__free(t->lse);
    t->lse = sq__alloc(sq_attention_saved_bytes(plan));
    sq_attention_call call = {
        .q = view(t->q, d->T, d->H, d->D), .k = view(t->k, d->N, keys, d->D), .v = view(t->v, d->N, keys, d->M), .out = view(t->out, d->T, d->H, d->M),
        .lengths = lengths, .query_lengths = query_lengths, .saved = t->lse, .workspace = forward,
    };
    const sq_attention_gradients gradients = {
        .dout = view(t->dout, d->T, d->H, d->M), .dq = view(t->dq, d->T, d->H, d->D), .dk = view(t->dk, d->N, keys, d->D), .dv = view(t->dv, d->N, keys, d->M),
    };
    sq_attention_forward(plan, &call);
    call.workspace = backward;
    sq_attention_backward(plan, &call, &gradients);
    sq__free(forward);
    sq__free(backward);
    sq_attention_destroy(&plan);
}

static const sq_attention_desc plain = { .mechanism = "softmax", .B = 2, .H = 3, .T = 70, .N = 90, .D = 20, .M = 12, .threads = 1 };

/* x [B,T,H,D] to [B,H,T,D] */
static float *heads_first(const float *x, int64_t B, int64_t T, int64_t H, int64_t D)
{
    float *y = sq__alloc(sizeof *y * (size_t)(B * T * H * D));
    for (int64_t b = 0; b < B; b++)
        for (int64_t t = 0; t < T; t++)
            for (int64_t h = 0; h < H; h++) memcpy(y + ((b * H + h) * T + t) * D, x + ((b * T + t) * H + h) * D, (size_t)D * sizeof *y);
    return y;
}

static void same(float *x, float *y, int64_t count)
{
    assert_memory_equal(x, y, sizeof *x * (size_t)count);
    sq__free(x);
}

static void both_layouts_give_the_same_bits(void **state)
{
    const sq_attention_desc *d = &plain;
    tensors t = make(d), u = make(d);
    (void)state;
    run(d, &t, sq_view_bthd, NULL, NULL);
    float *const from[] = { t.q, t.k, t.v, t.dout };
    float **const to[] = { &u.q, &u.k, &u.v, &u.dout };
    const int64_t rows[] = { d->T, d->N, d->N, d->T }, widths[] = { d->D, d->D, d->M, d->M };
    for (int i = 0; i < 4; i++) {
        sq__free(*to[i]);
        *to[i] = heads_first(from[i], d->B, rows[i], d->H, widths[i]);
    }
    run(d, &u, sq_view_bhtd, NULL, NULL);
    same(heads_first(t.out, d->B, d->T, d->H, d->M), u.out, d->B * d->T * d->H * d->M);
    same(heads_first(t.dq, d->B, d->T, d->H, d->D), u.dq, d->B * d->T * d->H * d->D);
    same(heads_first(t.dk, d->B, d->N, d->H, d->D), u.dk, d->B * d->N * d->H * d->D);
    same(heads_first(t.dv, d->B, d->N, d->H, d->M), u.dv, d->B * d->N * d->H * d->M);
    assert_memory_equal(t.lse, u.lse, sizeof(float) * (size_t)(d->B * d->H * d->T));
    release(&t);
    release(&u);
}

/* Grouped heads are plain heads whose keys and values are repeated; their gradients are sums over the group, in a fixed order. */
static void grouped_heads_repeat_keys(void **state)
{
    const sq_attention_desc grouped = { .mechanism = "softmax", .B = 2, .H = 6, .key_heads = 2, .T = 33, .N = 41, .D = 16, .M = 8, .threads = 1 };
    sq_attention_desc repeated = grouped, threaded = grouped;
    const int64_t group = 3;
    (void)state;
    repeated.key_heads = 0;
    threaded.threads = 3;
    tensors g = make(&grouped), r = make(&repeated), x = make(&threaded);
    for (int64_t bn = 0; bn < grouped.B * grouped.N; bn++)
        for (int64_t h = 0; h < 6; h++) {
            memcpy(r.k + (bn * 6 + h) * 16, g.k + (bn * 2 + h / group) * 16, 16 * sizeof(float));
            memcpy(r.v + (bn * 6 + h) * 8, g.v + (bn * 2 + h / group) * 8, 8 * sizeof(float));
        }
    run(&grouped, &g, sq_view_bthd, NULL, NULL);
    run(&repeated, &r, sq_view_bthd, NULL, NULL);
    run(&threaded, &x, sq_view_bthd, NULL, NULL);
    assert_memory_equal(g.out, r.out, sizeof(float) * (size_t)(grouped.B * grouped.T * 6 * 8));
    assert_memory_equal(g.dq, r.dq, sizeof(float) * (size_t)(grouped.B * grouped.T * 6 * 16));
    for (int64_t bn = 0; bn < grouped.B * grouped.N; bn++)
        for (int64_t h = 0; h < 2; h++) {
            for (int d = 0; d < 16; d++) {
                double sum = 0, size = 0;
                for (int64_t j = 0; j < group; j++) sum += r.dk[(bn * 6 + h * group + j) * 16 + d], size += fabs(r.dk[(bn * 6 + h * group + j) * 16 + d]);
                assert_close(g.dk[(bn * 2 + h) * 16 + d], sum, 2e-7 * size);
            }
            for (int d = 0; d < 8; d++) {
                double sum = 0, size = 0;
                for (int64_t j = 0; j < group; j++) sum += r.dv[(bn * 6 + h * group + j) * 8 + d], size += fabs(r.dv[(bn * 6 + h * group + j) * 8 + d]);
                assert_close(g.dv[(bn * 2 + h) * 8 + d], sum, 2e-7 * size);
            }
        }
    assert_memory_equal(g.dk, x.dk, sizeof(float) * (size_t)(grouped.B * grouped.N * 2 * 16));
    assert_memory_equal(g.dv, x.dv, sizeof(float) * (size_t)(grouped.B * grouped.N * 2 * 8));
    release(&g);
    release(&r);
    release(&x);
}

static void keeps_the_log_sum_exp_of_each_row(void **state)
{
    sq_attention_desc d = { .mechanism = "softmax", .B = 1, .H = 1, .T = 20, .N = 300, .D = 8, .M = 8, .causal = true, .scale = -0.4f };   /* any sign of scale */
    tensors t = make(&d);
    double out[20 * 8], lse[20];
    const reference_softmax reference = { d.T, d.N, d.D, d.M, d.scale, true, t.q, t.k, t.v, NULL, NULL, out, lse, NULL, NULL, NULL, NULL };
    (void)state;
    run(&d, &t, sq_view_bthd, NULL, NULL);
    assert_true(reference_softmax_run(&reference));
    for (int i = 0; i < 20; i++) assert_close(t.lse[i], lse[i], 2e-6);
    for (int i = 0; i < 160; i++) assert_close(t.out[i], out[i], 2e-6);
    for (int i = 0; i < 8; i++) assert_true(t.out[i] == t.v[i]);   /* causal: the first query sees the first key only */
    release(&t);
}

/* Exactly: a row's weights do not depend on where other rows stand. Rounded: the sum's order does. */
static void order_of_queries_and_keys_is_irrelevant(void **state)
{
    const sq_attention_desc d = { .mechanism = "softmax", .B = 1, .H = 1, .T = 130, .N = 700, .D = 16, .M = 16 };
    tensors t = make(&d), p = make(&d);
    int64_t order_q[130], order_k[700];
    const sq_random stream = sq__random_stream(5, "order", 0);
    (void)state;
    sq__random_permutation(&stream, order_q, d.T);
    sq__random_permutation(&stream, order_k, d.N);
    run(&d, &t, sq_view_bthd, NULL, NULL);
    for (int64_t i = 0; i < d.T; i++) memcpy(p.q + i * 16, t.q + order_q[i] * 16, 16 * sizeof(float));
    run(&d, &p, sq_view_bthd, NULL, NULL);
    for (int64_t i = 0; i < d.T; i++) assert_memory_equal(p.out + i * 16, t.out + order_q[i] * 16, 16 * sizeof(float));
    for (int64_t j = 0; j < d.N; j++) {
        memcpy(p.k + j * 16, t.k + order_k[j] * 16, 16 * sizeof(float));
        memcpy(p.v + j * 16, t.v + order_k[j] * 16, 16 * sizeof(float));
    }
    run(&d, &p, sq_view_bthd, NULL, NULL);
    for (int64_t i = 0; i < d.T * 16; i++) assert_close(p.out[i], t.out[order_q[i / 16] * 16 + i % 16], 1e-6);
    release(&t);
    release(&p);
}

static void huge_logits_pick_the_best_key(void **state)
{
    const sq_attention_desc d = { .mechanism = "softmax", .B = 1, .H = 1, .T = 3, .N = 400, .D = 4, .M = 2, .scale = 1 };
    tensors t = make(&d);
    (void)state;
    for (int64_t j = 0; j < d.N * 4; j++) t.k[j] = 0;
    t.k[333 * 4] = 1;
    for (int64_t i = 0; i < d.T; i++) t.q[i * 4] = 1e30f;
    run(&d, &t, sq_view_bthd, NULL, NULL);
    for (int64_t i = 0; i < d.T; i++) assert_true(t.out[i * 2] == t.v[333 * 2] && t.out[i * 2 + 1] == t.v[333 * 2 + 1]);
    for (int64_t i = 0; i < d.T * 4; i++) assert_true(t.dq[i] == 0);
    release(&t);
}

static void empty_sequences_are_zeros(void **state)
{
    sq_attention_desc d = plain;
    const int32_t keys[] = { 0, 5 }, queries[] = { 4, 0 };
    const int64_t out = d.T * d.H * d.M, in = d.N * d.H * d.D, values = d.N * d.H * d.M;
    tensors t = make(&d);
    (void)state;
    d.lengths = true;
    run(&d, &t, sq_view_bthd, keys, queries);
    for (int64_t i = 0; i < 2 * out; i++) assert_true(t.out[i] == 0);
    for (int64_t i = 0; i < d.B * d.T * d.H * d.D; i++) assert_true(t.dq[i] == 0);
    for (int64_t i = 0; i < 2 * in; i++) assert_true(t.dk[i] == 0);
    for (int64_t i = 0; i < 2 * values; i++) assert_true(t.dv[i] == 0);
    release(&t);
}

/* Twice the products of T x N pairs; causal: of those on and below the diagonal. Workspace does not depend on N from 1024 on. */
static void counts_its_work(void **state)
{
    sq_attention_desc d = { .mechanism = "softmax", .B = 2, .H = 3, .T = 2048, .N = 2048, .D = 64, .M = 32, .threads = 2 };
    sq_attention *plan = NULL;
    size_t bytes[2];
    (void)state;
    assert_ok(sq_attention_create(&plan, &d, NULL), (&(sq_error){ 0 }));
    assert_true(sq_attention_flops(plan, SQ_FORWARD) == 2.0 * 6 * 2048 * 2048 * (64 + 32));
    assert_true(sq_attention_flops(plan, SQ_BACKWARD) == 2.0 * 6 * 2048 * 2048 * (3 * 64 + 2 * 32));
    for (int pass = SQ_FORWARD; pass <= SQ_BACKWARD; pass++) bytes[pass] = sq_attention_workspace_bytes(plan, (sq_pass)pass);
    sq_attention_destroy(&plan);
    d.causal = true;
    d.N = 4096;
    assert_ok(sq_attention_create(&plan, &d, NULL), (&(sq_error){ 0 }));
    assert_true(sq_attention_flops(plan, SQ_FORWARD) == 2.0 * 6 * (2048.0 * 2049 / 2) * (64 + 32));
    for (int pass = SQ_FORWARD; pass <= SQ_BACKWARD; pass++) assert_int_equal(bytes[pass], sq_attention_workspace_bytes(plan, (sq_pass)pass));
    sq_attention_destroy(&plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_layouts_give_the_same_bits), cmocka_unit_test(grouped_heads_repeat_keys), cmocka_unit_test(keeps_the_log_sum_exp_of_each_row),
        cmocka_unit_test(order_of_queries_and_keys_is_irrelevant), cmocka_unit_test(huge_logits_pick_the_best_key),
        cmocka_unit_test(empty_sequences_are_zeros), cmocka_unit_test(counts_its_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
