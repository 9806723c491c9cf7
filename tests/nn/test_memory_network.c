/* Memory networks against their equations in double (nn/memory_network.h has them). */
#include "naive.h"

#include "nn/memory_network.h"

enum { B = 5, T = 9, E = 4, D = 6 };
static const int32_t lengths[B] = { 9, 0, 1, 4, 7 };
/* Outputs of size 1. Measured worst: below 3e-7. */
#define BOUND 1e-6

static sq_parameters set;
static sq_tape *tape;
static sq_error error;

/* Sentence that ends before event `end` of x [T,E], under the map of that name: adds to out [D]. */
static void add_sentence(const sq_memory_config *c, const float *x, int64_t end, const char *map, double *out)
{
    const float *w = named(&set, "memory", map);
    for (int64_t j = 0; j < c->sentence; j++) {
        const int64_t t = end - c->sentence + j;
        for (int64_t k = 0; t >= 0 && k < D; k++) {
            const double J = (double)c->sentence, place = (double)(j + 1), depth = (double)(k + 1) / D;
            const double l = c->sentence == 1 || c->encoding == SQ_MEMORY_BAG ? 1 : (1 - place / J) - depth * (1 - 2 * place / J);
            for (int64_t e = 0; e < E; e++) out[k] += l * w[k * E + e] * x[t * E + e];
        }
    }
}

static void naive_network(const sq_memory_config *c, const float *x, int64_t length, double *u)
{
    const int64_t end = c->learned_question ? length : length - c->sentence;
    memset(u, 0, D * sizeof *u);
    if (c->learned_question)
        for (int64_t k = 0; k < D; k++) u[k] = named(&set, "memory", "question")[k];
    else add_sentence(c, x, length, c->layerwise ? "map.2.weight" : "map.0.weight", u);
    for (int hop = 0; hop < c->hops; hop++) {
        double score[T], value[T][D] = { { 0 } }, most = -INFINITY, sum = 0, read[D] = { 0 }, next[D];
        int64_t count = 0;
        for (; count < c->memories && end - count * c->sentence > 0; count++) {
            double key[D] = { 0 };
            char names[4][32];
            for (int i = 0; i < 2; i++) {
                snprintf(names[i], sizeof names[i], "map.%d.weight", (c->layerwise ? 0 : hop) + i);
                snprintf(names[2 + i], sizeof names[i], "time.%d", (c->layerwise ? 0 : hop) + i);
            }
            add_sentence(c, x, end - count * c->sentence, names[0], key);
            add_sentence(c, x, end - count * c->sentence, names[1], value[count]);
            score[count] = 0;
            for (int64_t k = 0; k < D; k++) {
                if (c->time) key[k] += named(&set, "memory", names[2])[count * D + k];
                if (c->time) value[count][k] += named(&set, "memory", names[3])[count * D + k];
                score[count] += u[k] * key[k];
            }
            most = fmax(most, score[count]);
        }
        for (int64_t i = 0; i < count; i++) sum += score[i] = exp(score[i] - most);
        for (int64_t i = 0; i < count; i++)
            for (int64_t k = 0; k < D; k++) read[k] += score[i] / sum * value[i][k];
        for (int64_t k = 0; k < D; k++) {
            next[k] = c->layerwise ? 0 : u[k];
            for (int64_t l = 0; c->layerwise && l < D; l++) next[k] += named(&set, "memory", "hop.weight")[k * D + l] * u[l];
            next[k] += read[k];
            if (c->relu) next[k] = fmax(next[k], 0);
        }
        memcpy(u, next, sizeof next);
    }
}

static void check(const sq_memory_config *config)
{
    sq_memory_network network;
    set = (sq_parameters){ .seed = 3 };
    tape = sq__tape_create(false);
    assert_ok(sq__memory_network_create(&network, &set, "memory", config, &error), &error);
    const int positions = network.positions;
    for (int i = 0; i < set.count; i++)
        for (int64_t j = 0; i != positions && j < set.items[i].count; j++) {
            const sq_random random = sq__random_stream(5, set.items[i].name, 1);
            set.items[i].value[j] += 0.2f * (float)sq__random_normal(&random, (uint64_t)j);
        }
    float *x = draw("x", B * T * E);
    const sq_var *out = sq__memory_network_run(&network, tape, sq__tape_input(tape, 3, (int64_t[]){ B, T, E }, x, false), lengths);
    assert_ok(sq__tape_status(tape, &error), &error);
    assert_int_equal(out->shape[1], D);
    for (int64_t b = 0; b < B; b++) {
        double u[D];
        naive_network(config, x + b * T * E, lengths[b], u);
        for (int64_t k = 0; k < D; k++) assert_close(out->value[b * D + k], u[k], BOUND);
    }
    sq__memory_network_clear(&network);
    sq__tape_destroy(tape);
    sq__parameters_clear(&set);
    free(x);
}

static const sq_memory_config plain = { .input = E, .width = D, .memories = T, .sentence = 1, .hops = 3, .time = true, .encoding = SQ_MEMORY_PAPER, .threads = 1 };

static void adjacent(void **state)
{
    (void)state;
    check(&plain);
}

/* Sentences of two events counted back from the end, so that the first may lack a word; the three latest count. */
static void sentences_of_several_events(void **state)
{
    (void)state;
    sq_memory_config c = plain;
    c.sentence = 2;
    c.memories = 3;
    check(&c);
    c.encoding = SQ_MEMORY_BAG;
    c.time = false;
    check(&c);
}

static void layerwise_with_a_learned_question(void **state)
{
    (void)state;
    sq_memory_config c = plain;
    c.layerwise = c.learned_question = c.relu = true;
    check(&c);
    c.learned_question = c.relu = false;
    check(&c);
}

/* The authors' weights are twice the paper's but for where they count from; either way they differ with the order of the words. */
static void encodings(void **state)
{
    (void)state;
    enum { J = 400, K = 300 };
    float *paper = malloc(J * K * sizeof *paper), *authors = malloc(J * K * sizeof *authors);
    sq__memory_positions(paper, SQ_MEMORY_PAPER, J, K);
    sq__memory_positions(authors, SQ_MEMORY_AUTHORS, J, K);
    for (int64_t i = 0; i < J * K; i++) assert_close(authors[i], 2 * paper[i], 0.02);
    assert_true(paper[0] > 0.9 && paper[K - 1] < 0.1);
    free(paper);
    free(authors);
}

static void what_cannot_be(void **state)
{
    (void)state;
    sq_memory_config c = plain;
    sq_memory_network network;
    set = (sq_parameters){ .seed = 3 };
    c.hops = SQ_MEMORY_HOPS + 1;
    assert_int_equal(sq__memory_network_create(&network, &set, "memory", &c, &error), SQ_INVALID);
    assert_contains(error.message, "17 hops");
    sq__memory_network_clear(&network);
    sq__parameters_clear(&set);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(adjacent), cmocka_unit_test(sentences_of_several_events),
                                        cmocka_unit_test(layerwise_with_a_learned_question), cmocka_unit_test(encodings), cmocka_unit_test(what_cannot_be) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
