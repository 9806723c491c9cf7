/* Gradients of the operations of latents and memories, and what they hide. */
#include "gradient.h"

#include "autograd/inverted_attention.h"
#include "autograd/mean_scan.h"

/* Measured worst of the gradients: 7.8e-5. A wrong element changes the figure by at least 1/sqrt(elements), 1e-2 here. */
#define BOUND 3e-4

enum { B = 2, L = 5, N = 70, H = 2, D = 3, M = 4 };

static uint8_t keep[B * N];
static const int32_t lengths[B] = { N, 9 };

static sq_var *whole(sq_tape *tape, sq_var *const *in) { return sq__inverted_attention(tape, in[0], in[1], in[2], H, 0, NULL, NULL); }
static sq_var *masked(sq_tape *tape, sq_var *const *in) { return sq__inverted_attention(tape, in[0], in[1], in[2], H, 0.7f, lengths, keep); }

static sq_var *scanned(sq_tape *tape, sq_var *const *in) { return sq__mean_scan(tape, in[0], in[1], in[2], &(sq_mean_scan){ .heads = H, .scale = 0.6f }); }

/* Some came before; the state is written, so each run begins from a copy. */
static sq_var *continued(sq_tape *tape, sq_var *const *in)
{
    static const int64_t seen[B] = { 40, 7 };
    float *state = sq__tape_memory(tape, B * H * D * M * sizeof *state);
    sq_random random = sq__random_stream(3, "state", 0);
    sq__random_uniform_fill(&random, state, B * H * D * M, -20, 20);
    return sq__mean_scan(tape, in[0], in[1], in[2], &(sq_mean_scan){ H, 0.6f, lengths, state, seen });
}

static sq_var *scored(sq_tape *tape, sq_var *const *in) { return sq__head_scores(tape, in[0], in[1], H, 0.6f); }

#define OF(rank, ...) { rank, { __VA_ARGS__ }, 0, 0, false }
#define INVERTED { OF(3, B, L, H * D), OF(3, B, N, H * D), OF(3, B, N, H * M) }
#define SCAN { OF(3, B, N, H * D), OF(3, B, N, H * D), OF(3, B, N, H * M) }
static const gradient_case cases[] = {
    { "inverted attention", 3, INVERTED, whole, false, 0 },
    { "inverted attention, masked", 3, INVERTED, masked, false, 0 },
    { "mean scan", 3, SCAN, scanned, false, 0 },
    { "mean scan, continued", 3, SCAN, continued, false, 0 },
    { "head scores", 2, { OF(3, B, N, H * D), OF(3, B, L, H * D) }, scored, false, 0 },
};

static void gradients(void **state)
{
    (void)state;
    for (int i = 0; i < B * N; i++) keep[i] = i % 3 != 1;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const double error = check_gradient(&cases[i]);
        print_message("%-32s %.2g\n", cases[i].name, error);
        assert_true(error <= BOUND);
    }
}

/* Against its equation in double; hidden inputs are NaN and nobody notices. */
static void inverted_attention_by_its_equation(void **state)
{
    (void)state;
    float *q = draw_floats("q", 0, B * L * H * D, -1, 1), *k = draw_floats("k", 0, B * N * H * D, -1, 1), *v = draw_floats("v", 0, B * N * H * M, -1, 1);
    float *g = draw_floats("g", 0, B * L * H * M, -1, 1);
    sq_tape *tape = sq__tape_create(true);
    sq_error error;
    for (int b = 0; b < B; b++)
        for (int n = 0; n < N; n++) {
            keep[b * N + n] = n % 3 != 1;
            for (int c = 0; c < H * D && (!keep[b * N + n] || n >= lengths[b]); c++) k[(b * N + n) * H * D + c] = NAN;
            for (int c = 0; c < H * M && (!keep[b * N + n] || n >= lengths[b]); c++) v[(b * N + n) * H * M + c] = NAN;
        }
    sq_var *in[] = { sq__tape_input(tape, 3, (int64_t[]){ B, L, H * D }, q, true), sq__tape_input(tape, 3, (int64_t[]){ B, N, H * D }, k, true),
                     sq__tape_input(tape, 3, (int64_t[]){ B, N, H * M }, v, true) };
    sq_var *out = masked(tape, in);
    assert_ok(sq__tape_status(tape, &error), &error);
    for (int b = 0; b < B; b++)
        for (int h = 0; h < H; h++) {
            double sum[L] = { 0 }, mixed[L][M] = { { 0 } };
            for (int n = 0; n < lengths[b]; n++) {
                double p[L], all = 0;
                if (!keep[b * N + n]) continue;
                for (int l = 0; l < L; l++) {
                    p[l] = 0;
                    for (int d = 0; d < D; d++) p[l] += (double)0.7f * q[(b * L + l) * H * D + h * D + d] * k[(b * N + n) * H * D + h * D + d];
                    all += p[l] = exp(p[l]);
                }
                for (int l = 0; l < L; l++) {
                    sum[l] += p[l] / all;
                    for (int m = 0; m < M; m++) mixed[l][m] += p[l] / all * v[(b * N + n) * H * M + h * M + m];
                }
            }
            for (int l = 0; l < L; l++)
                for (int m = 0; m < M; m++) assert_close(out->value[(b * L + l) * H * M + h * M + m], mixed[l][m] / sum[l], 1e-6);
        }
    assert_ok(sq__tape_backward(tape, out, g, &error), &error);
    for (int i = 0; i < 3; i++)
        for (int64_t j = 0; j < in[i]->count; j++) assert_true(isfinite(in[i]->gradient[j]));
    for (int c = 0; c < H * D; c++) assert_true(in[1]->gradient[1 * H * D + c] == 0);   /* the second input is hidden */
    sq__tape_destroy(tape);
    free(q);
    free(k);
    free(v);
    free(g);
}

/* Against its equation in double, at once and in two runs. */
static void mean_scan_by_its_equation(void **state)
{
    (void)state;
    enum { CUT = 33 };
    float *q = draw_floats("q", 1, B * N * H * D, -1, 1), *k = draw_floats("k", 1, B * N * H * D, -1, 1), *v = draw_floats("v", 1, B * N * H * M, -1, 1);
    float *memory = calloc(B * H * D * M, sizeof *memory);
    int64_t seen[B] = { 0 };
    for (int run = 0; run < 3; run++) {   /* whole; first part; second part */
        const int64_t from = run == 2 ? CUT : 0, to = run == 1 ? CUT : N, T = to - from;
        sq_tape *tape = sq__tape_create(true);
        sq_error error;
        float *part[3] = { malloc((size_t)(B * T * H * D) * sizeof(float)), malloc((size_t)(B * T * H * D) * sizeof(float)), malloc((size_t)(B * T * H * M) * sizeof(float)) };
        for (int64_t b = 0; b < B; b++) {
            memcpy(part[0] + b * T * H * D, q + (b * N + from) * H * D, (size_t)(T * H * D) * sizeof(float));
            memcpy(part[1] + b * T * H * D, k + (b * N + from) * H * D, (size_t)(T * H * D) * sizeof(float));
            memcpy(part[2] + b * T * H * M, v + (b * N + from) * H * M, (size_t)(T * H * M) * sizeof(float));
            seen[b] = from;
        }
        const sq_var *out = sq__mean_scan(tape, sq__tape_input(tape, 3, (int64_t[]){ B, T, H * D }, part[0], true),
                                          sq__tape_input(tape, 3, (int64_t[]){ B, T, H * D }, part[1], true),
                                          sq__tape_input(tape, 3, (int64_t[]){ B, T, H * M }, part[2], true),
                                          &(sq_mean_scan){ H, 0.5f, NULL, run ? memory : NULL, run ? seen : NULL });
        assert_ok(sq__tape_status(tape, &error), &error);
        for (int b = 0; b < B; b++)
            for (int64_t t = from; t < to; t++)
                for (int h = 0; h < H; h++)
                    for (int m = 0; m < M; m++) {
                        double sum = 0;
                        for (int64_t s = 0; s <= t; s++) {
                            double score = 0;
                            for (int d = 0; d < D; d++) score += (double)q[(b * N + t) * H * D + h * D + d] * k[(b * N + s) * H * D + h * D + d];
                            sum += 0.5 * score * v[(b * N + s) * H * M + h * M + m] / (double)(t + 1);
                        }
                        assert_close(out->value[(b * T + t - from) * H * M + h * M + m], sum, 1e-6);
                    }
        for (int i = 0; i < 3; i++) free(part[i]);
        sq__tape_destroy(tape);
    }
    free(q);
    free(k);
    free(v);
    free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(gradients), cmocka_unit_test(inverted_attention_by_its_equation),
                                        cmocka_unit_test(mean_scan_by_its_equation) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
