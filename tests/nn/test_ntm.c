/* A Neural Turing Machine against its equations in double (autograd/ntm.h has them), for both controllers and heads of unequal number. */
#include "naive.h"

#include "nn/ntm.h"

enum { B = 3, T = 9, I = 4, N = 11, M = 5, H = 6, MOST = 8 };
static const int32_t lengths[B] = { 9, 4, 7 };
/* Outputs of size 1. Measured worst: below 1e-7. */
#define BOUND 5e-7

static const sq_ntm_shape one = { .slots = N, .slot_size = M, .hidden = H, .shift = 1, .layers = 1, .read_heads = 1, .write_heads = 1, .recurrent = true, .squash = true };
static const sq_ntm_shape readers = { .slots = N, .slot_size = M, .hidden = H, .shift = 2, .layers = 2, .read_heads = 3, .write_heads = 1, .recurrent = true };
static const sq_ntm_shape writers = { .slots = N, .slot_size = M, .hidden = H, .shift = 0, .layers = 2, .read_heads = 1, .write_heads = 2, .squash = true };

static double logistic(double x) { return 1 / (1 + exp(-x)); }

typedef struct state { double memory[N][M], weights[MOST][N], reads[MOST][M], hidden[2][H], cell[2][H]; } state;

static const float *parameter(const sq_parameters *set, const char *name) { return named(set, "ntm", name); }

static void begin(const sq_parameters *set, const sq_ntm_config *c, state *s)
{
    const int heads = c->shape.read_heads + c->shape.write_heads;
    for (int i = 0; i < N; i++)
        for (int m = 0; m < M; m++) s->memory[i][m] = parameter(set, "initial.memory")[m * N + i];
    for (int head = 0; head < heads; head++) {
        const float *w = parameter(set, "initial.weights") + head * N;
        double sum = 0;
        for (int i = 0; i < N; i++) sum += exp(w[i]);
        for (int i = 0; i < N; i++) s->weights[head][i] = c->initial_weights == SQ_NTM_LEARNED_WEIGHTS ? exp(w[i]) / sum : w[i];
    }
    for (int r = 0; r < c->shape.read_heads; r++)
        for (int m = 0; m < M; m++) s->reads[r][m] = parameter(set, "initial.reads")[r * M + m];
    for (int l = 0; c->shape.recurrent && l < c->shape.layers; l++)
        for (int k = 0; k < H; k++) {
            s->hidden[l][k] = parameter(set, "initial.hidden")[l * H + k];
            s->cell[l][k] = parameter(set, "initial.cell")[l * H + k];
        }
}

static void control(const sq_parameters *set, const sq_ntm_shape *s, const float *x, state *at, double *h)
{
    double in[64];
    int64_t size = 0;
    for (int i = 0; i < I; i++) in[size++] = x[i];
    for (int r = 0; r < s->read_heads; r++)
        for (int m = 0; m < M; m++) in[size++] = at->reads[r][m];
    for (int l = 0; l < s->layers; l++) {
        char prefix[32];
        snprintf(prefix, sizeof prefix, "ntm.controller.%d", l);
        const int64_t G = (s->recurrent ? 4 : 1) * H;
        double *a = naive_linear(in, named(set, prefix, "weight_ih"), named(set, prefix, "bias_ih"), 1, size, G);
        double *b = s->recurrent ? naive_linear(at->hidden[l], named(set, prefix, "weight_hh"), named(set, prefix, "bias_hh"), 1, H, G) : NULL;
        for (int k = 0; k < H; k++) {
            if (s->recurrent) {
                const double i = logistic(a[k] + b[k]), f = logistic(a[H + k] + b[H + k]), g = tanh(a[2 * H + k] + b[2 * H + k]), o = logistic(a[3 * H + k] + b[3 * H + k]);
                at->cell[l][k] = f * at->cell[l][k] + i * g;
                h[k] = o * tanh(at->cell[l][k]);
            } else {
                h[k] = tanh(a[k]);
            }
        }
        if (s->recurrent) memcpy(at->hidden[l], h, H * sizeof *h);
        memcpy(in, h, H * sizeof *h);
        size = H;
        free(a);
        free(b);
    }
}

static void address(const sq_ntm_shape *s, const double *rules, const double *key, state *at, double *w)
{
    const double beta = log1p(exp(rules[M])), gate = logistic(rules[M + 1]);
    const int S = (int)s->shift;
    double shifts[9], shift_sum = 0, content[N], sum = 0, key_norm = 0, gated[N], sharp_sum = 0;
    for (int j = 0; j <= 2 * S; j++) shift_sum += shifts[j] = exp(rules[M + 2 + j]);
    const double gamma = 1 + log1p(exp(rules[M + 3 + 2 * S]));
    for (int m = 0; m < M; m++) key_norm += key[m] * key[m];
    for (int i = 0; i < N; i++) {
        double dot = 0, norm = 0;
        for (int m = 0; m < M; m++) {
            dot += at->memory[i][m] * key[m];
            norm += at->memory[i][m] * at->memory[i][m];
        }
        sum += content[i] = exp(beta * dot / sqrt(norm * key_norm));
    }
    for (int i = 0; i < N; i++) gated[i] = gate * content[i] / sum + (1 - gate) * w[i];
    for (int i = 0; i < N; i++) {
        double shifted = 0;
        for (int j = 0; j <= 2 * S; j++) shifted += shifts[j] / shift_sum * gated[(i + j - S + N) % N];
        sharp_sum += w[i] = pow(shifted, gamma);
    }
    for (int i = 0; i < N; i++) w[i] /= sharp_sum;
}

static void turn(const sq_ntm_shape *s, const double *rules, bool writes, int read, state *at, double *w)
{
    double key[M];
    const int64_t end = M + 4 + 2 * s->shift;
    for (int m = 0; m < M; m++) key[m] = s->squash ? tanh(rules[m]) : rules[m];
    address(s, rules, key, at, w);
    for (int m = 0; m < M; m++) {
        if (!writes) at->reads[read][m] = 0;
        for (int i = 0; i < N; i++)
            if (writes) at->memory[i][m] = at->memory[i][m] * (1 - w[i] * logistic(rules[end + m])) + w[i] * (s->squash ? tanh(rules[end + M + m]) : rules[end + M + m]);
            else at->reads[read][m] += w[i] * at->memory[i][m];
    }
}

/* Rows [T, H + read heads M] of one sequence. */
static void naive_machine(const sq_parameters *set, const sq_ntm_config *c, const float *x, int64_t length, double *out)
{
    const sq_ntm_shape *s = &c->shape;
    const int64_t width = H + s->read_heads * M, P = sq__ntm_heads_size(s);
    state at;
    begin(set, c, &at);
    for (int64_t t = 0; t < length; t++, out += width) {
        control(set, s, x + t * I, &at, out);
        double *rules = naive_linear(out, parameter(set, "heads.weight"), parameter(set, "heads.bias"), 1, H, P), *next = rules;
        for (int head = 0, read = 0; head < s->read_heads + s->write_heads; head++) {
            const bool writes = s->read_heads == s->write_heads ? head % 2 : s->read_heads > s->write_heads ? head == 1 : head >= 1;   /* as the shapes above */
            turn(s, next, writes, read, &at, at.weights[head]);
            next += M + 4 + 2 * s->shift + (writes ? 2 * M : 0);
            read += !writes;
        }
        for (int r = 0; r < s->read_heads; r++) memcpy(out + H + r * M, at.reads[r], sizeof at.reads[r]);
        assert_true(next == rules + P);
        free(rules);
    }
}

static void check(const sq_ntm_shape *shape, sq_ntm_memory memory, sq_ntm_weights weights)
{
    const sq_ntm_config config = { *shape, I, memory, weights };
    const int64_t width = H + shape->read_heads * M;
    sq_parameters set = { .seed = 3 };
    sq_tape *tape = sq__tape_create(false);
    sq_ntm_machine machine;
    sq_error error;
    assert_ok(sq__ntm_create(&machine, &set, "ntm", &config, &error), &error);
    for (int i = 0; i < set.count; i++) {   /* numbers that a test can tell apart, but weightings stay weightings */
        if (strstr(set.items[i].name, "initial.weights") && weights != SQ_NTM_LEARNED_WEIGHTS) continue;
        sq_random random = sq__random_stream(5, set.items[i].name, 1);
        for (int64_t j = 0; j < set.items[i].count; j++) set.items[i].value[j] += 0.3f * (float)sq__random_normal(&random, (uint64_t)j);
    }
    float *x = draw("x", B * T * I);
    double *expected = calloc((size_t)(B * T * width), sizeof *expected);
    for (int64_t b = 0; b < B; b++) naive_machine(&set, &config, x + b * T * I, lengths[b], expected + b * T * width);
    sq_var *all = sq__ntm_run(&machine, tape, sq__tape_input(tape, 3, (int64_t[]){ B, T, I }, x, false), lengths, NULL, NULL, NULL, NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    assert_rows(all, expected, lengths, BOUND);

    /* In two segments, the first sequence from the state that the first leaves, the others anew: they begin again. */
    const int64_t cut = 5, seen[B] = { cut, 0, 0 };
    float *head = malloc((size_t)(B * cut * I) * sizeof *head), *tail = malloc((size_t)(B * (T - cut) * I) * sizeof *tail);
    for (int64_t b = 0; b < B; b++) {
        memcpy(head + b * cut * I, x + b * T * I, (size_t)(cut * I) * sizeof *head);
        memcpy(tail + b * (T - cut) * I, x + (b * T + (b ? 0 : cut)) * I, (size_t)((T - cut) * I) * sizeof *tail);
    }
    sq_var *last;
    sq__ntm_run(&machine, tape, sq__tape_input(tape, 3, (int64_t[]){ B, cut, I }, head, false), NULL, NULL, NULL, NULL, &last);
    const sq_var *rest = sq__ntm_run(&machine, tape, sq__tape_input(tape, 3, (int64_t[]){ B, T - cut, I }, tail, false), NULL, NULL, last, seen, NULL);
    assert_ok(sq__tape_status(tape, &error), &error);
    for (int64_t b = 0; b < B; b++)
        for (int64_t i = 0; i < (T - cut) * width; i++) assert_close(rest->value[b * (T - cut) * width + i], all->value[(b * T + (b ? 0 : cut)) * width + i], BOUND);
    free(x);
    free(head);
    free(tail);
    free(expected);
    sq__tape_destroy(tape);
    sq__parameters_clear(&set);
}

static void a_machine_with_one_head_of_each(void **unused) { (void)unused; check(&one, SQ_NTM_RANDOM, SQ_NTM_FIRST); }
static void three_readers(void **unused) { (void)unused; check(&readers, SQ_NTM_LEARNED, SQ_NTM_LEARNED_WEIGHTS); }
static void two_writers_without_memory_of_their_own(void **unused) { (void)unused; check(&writers, SQ_NTM_RANDOM, SQ_NTM_NOWHERE); }

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_machine_with_one_head_of_each), cmocka_unit_test(three_readers),
                                        cmocka_unit_test(two_writers_without_memory_of_their_own) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
