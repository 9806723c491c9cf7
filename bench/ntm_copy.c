/* The copy task (arXiv:1410.5401, 4.1): up to 20 rows of 8 random bits, a delimiter, and the rows again while nothing comes in.
 * Trains a Neural Turing Machine by Adam on fresh sequences and prints, every `every` sequences, bits per sequence of the
 * cross-entropy and wrong bits per sequence, of length 20 at most and of 40. Usage: ntm-copy [key=value ...], keys as in `options`. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cpu.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "base/random.h"
#include "nn/layers.h"
#include "nn/ntm.h"
#include "train/optimizer.h"

enum { BITS = 8, CHANNELS = BITS + 1, TESTS = 64 };

typedef struct options {
    double slots, slot_size, hidden, layers, recurrent, squash, memory, weights, batch, rate, clip, sequences, every, longest, threads, seed, gain, beta1, beta2, warm, curriculum, decay;
} options;

static options parse(int argc, char **argv)
{
    options o = { 128, 20, 100, 1, 1, 1, 0, 0, 16, 1e-3, 10, 100000, 4000, 20, 2, 1, 0, 0.9, 0.999, 0, 0, 0 };
    static const char *const names[] = { "slots", "slot_size", "hidden", "layers", "recurrent", "squash", "memory", "weights", "batch", "rate", "clip",
                                         "sequences", "every", "longest", "threads", "seed", "gain", "beta1", "beta2", "warm", "curriculum", "decay" };
    for (int i = 1; i < argc; i++)
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            const size_t n = strlen(names[k]);
            if (strncmp(argv[i], names[k], n) == 0 && argv[i][n] == '=') ((double *)&o)[k] = atof(argv[i] + n + 1);
        }
    return o;
}

typedef struct batch { int64_t B, T; float *x, *target; int32_t *lengths; int64_t *rows; } batch;

static void fill(batch *t, uint64_t number, int64_t least, int64_t longest, bool same)
{
    sq_random random = sq__random_stream(9, "copy", number);
    memset(t->x, 0, (size_t)(t->B * t->T * CHANNELS) * sizeof(float));
    memset(t->target, 0, (size_t)(t->B * t->T * BITS) * sizeof(float));
    uint64_t at = 0;
    int64_t n = 0;
    for (int64_t b = 0; b < t->B; b++) {
        if (b == 0 || !same) n = least + (int64_t)sq__random_below(&random, at++, (uint64_t)(longest - least + 1));
        t->rows[b] = n;
        t->lengths[b] = (int32_t)(2 * n + 1);
        for (int64_t i = 0; i < n; i++) {
            const uint32_t bits = sq__random_u32(&random, at++);
            for (int64_t k = 0; k < BITS; k++) {
                t->x[(b * t->T + i) * CHANNELS + k] = (float)(bits >> k & 1);
                t->target[(b * t->T + n + 1 + i) * BITS + k] = (float)(bits >> k & 1);
            }
        }
        t->x[(b * t->T + n) * CHANNELS + BITS] = 1;
    }
}

static batch make(int64_t B, int64_t T)
{
    return (batch){ B, T, sq__alloc_array((size_t)(B * T * CHANNELS), 4), sq__alloc_array((size_t)(B * T * BITS), 4), sq__alloc_array((size_t)B, 4),
                    sq__alloc_array((size_t)B, 8) };
}

typedef struct net { sq_parameters set; sq_ntm_machine machine; sq_linear head; float **m, **v; } net;

static sq_var *logits(const net *n, sq_tape *tape, const batch *t)
{
    sq_var *x = sq__tape_input(tape, 3, (int64_t[]){ t->B, t->T, CHANNELS }, t->x, false);
    return sq__linear_run(&n->head, tape, sq__ntm_run(&n->machine, tape, x, t->lengths, NULL, NULL, NULL, NULL));
}

/* Bits of cross-entropy and wrong bits, both per sequence; dlogits: gradient of the mean cross-entropy per asked bit. */
static void score(const sq_var *y, const batch *t, float *d, double *bits, double *wrong)
{
    double asked = 0;
    *bits = *wrong = 0;
    for (int64_t b = 0; b < t->B; b++) asked += (double)(t->rows[b] * BITS);
    if (d) memset(d, 0, (size_t)y->count * sizeof(float));
    for (int64_t b = 0; b < t->B; b++)
        for (int64_t i = t->rows[b] + 1; i < t->lengths[b]; i++)
            for (int64_t k = 0; k < BITS; k++) {
                const int64_t at = (b * t->T + i) * BITS + k;
                const double z = y->value[at], w = t->target[at];
                *bits += (fmax(z, 0) - z * w + log1p(exp(-fabs(z)))) / log(2) / (double)t->B;
                *wrong += (z > 0) != (w > 0.5) ? 1.0 / (double)t->B : 0;
                if (d) d[at] = (float)((1 / (1 + exp(-z)) - w) / asked);
            }
}

static sq_status step(net *n, sq_tape *tape, const batch *t, const options *o, double rate, int64_t number, float *d, double *bits, double *wrong, double *norm, sq_error *error)
{
    double squares = 0;
    for (int i = 0; i < n->set.count; i++)
        if (n->set.items[i].trainable) memset(n->set.items[i].gradient, 0, (size_t)n->set.items[i].count * sizeof(float));
    sq__tape_reset(tape);
    sq_var *y = logits(n, tape, t);
    SQ_TRY(sq__tape_status(tape, error));
    score(y, t, d, bits, wrong);
    SQ_TRY(sq__tape_backward(tape, y, d, error));
    for (int i = 0; i < n->set.count; i++)
        if (n->set.items[i].trainable) squares += sq__sum_of_squares(n->set.items[i].gradient, n->set.items[i].count);
    *norm = sqrt(squares);
    const float factor = (float)sq__clip_factor(*norm, o->clip);
    const sq_adam adam = { rate, o->beta1, o->beta2, 1e-8, 0, true };
    for (int i = 0; i < n->set.count; i++) {
        sq_parameter *p = &n->set.items[i];
        if (!p->trainable) continue;
        for (int64_t k = 0; k < p->count; k++) p->gradient[k] *= factor;
        sq__adam_step(&adam, number, p->count, p->value, p->gradient, n->m[i], n->v[i], NULL);
    }
    return SQ_OK;
}

static sq_status run(const options *o, sq_error *error)
{
    net n = { .set = { .seed = (uint64_t)o->seed } };
    const sq_ntm_config config = { .shape = { .slots = (int64_t)o->slots, .slot_size = (int64_t)o->slot_size, .hidden = (int64_t)o->hidden, .shift = 1,
                                              .layers = (int)o->layers, .read_heads = 1, .write_heads = 1, .recurrent = o->recurrent > 0, .squash = o->squash > 0 },
                                   .input = CHANNELS, .initial_memory = (sq_ntm_memory)o->memory, .initial_weights = (sq_ntm_weights)o->weights };
    SQ_TRY(sq__ntm_create(&n.machine, &n.set, "ntm", &config, error));
    SQ_TRY(sq__linear_create(&n.head, &n.set, "head", config.shape.hidden + config.shape.slot_size, BITS, true, error));
    n.m = sq__alloc_array((size_t)n.set.count, sizeof *n.m);
    n.v = sq__alloc_array((size_t)n.set.count, sizeof *n.v);
    for (int i = 0; i < n.set.count; i++) {
        n.m[i] = sq__alloc_array((size_t)n.set.items[i].count, 4);
        n.v[i] = sq__alloc_array((size_t)n.set.items[i].count, 4);
        if (o->gain > 0 && strstr(n.set.items[i].name, "controller") && strstr(n.set.items[i].name, "weight"))
            for (int64_t k = 0; k < n.set.items[i].count; k++) n.set.items[i].value[k] *= (float)o->gain;
    }
    sq_tape *tape = sq__tape_create(true), *plain = sq__tape_create(false);
    const int64_t B = (int64_t)o->batch, longest = (int64_t)o->longest;
    batch t = make(B, 2 * longest + 1), test = make(TESTS, 2 * longest + 1), beyond = make(TESTS, 4 * longest + 1);
    float *d = sq__alloc_array((size_t)(B * t.T * BITS), 4);
    sq__set_threads((int)o->threads);
    double begin = sq__clock(), sum_bits = 0, sum_wrong = 0, most_norm = 0;
    int64_t since = 0;
    double level = o->curriculum > 0 ? 2 : o->longest;
    for (int64_t s = 1; s * B <= (int64_t)o->sequences; s++) {
        double bits, wrong, norm, warm = o->warm > 0 ? fmin(1, (double)s / o->warm) : 1;
        double rate = o->rate * warm * (o->decay > 0 ? fmax(0.02, 1 - (double)(s * B) / o->sequences) : 1);
        fill(&t, (uint64_t)s, 1, (int64_t)level, false);
        SQ_TRY(step(&n, tape, &t, o, rate, s, d, &bits, &wrong, &norm, error));
        if (o->curriculum > 0 && level < o->longest && bits < o->curriculum * level) level += 0.1;
        sum_bits += bits, sum_wrong += wrong, most_norm = fmax(most_norm, norm), since++;
        if (s * B / (int64_t)o->every == (s - 1) * B / (int64_t)o->every) continue;
        double b20, w20, b40, w40;
        fill(&test, 1u << 30, 1, longest, false);
        sq__tape_reset(plain);
        score(logits(&n, plain, &test), &test, NULL, &b20, &w20);
        fill(&beyond, 1u << 31, 2 * longest, 2 * longest, true);
        sq__tape_reset(plain);
        score(logits(&n, plain, &beyond), &beyond, NULL, &b40, &w40);
        SQ_TRY(sq__tape_status(plain, error));
        printf("%8lld sequences %6.0f s  level %4.1f train %8.4f bits %8.4f wrong (norm %.2g) | to %lld: %8.4f bits %8.4f wrong | at %lld: %8.4f bits %8.4f wrong\n",
               (long long)(s * B), sq__clock() - begin, level, sum_bits / (double)since, sum_wrong / (double)since, most_norm, (long long)longest, b20, w20,
               (long long)(2 * longest), b40, w40);
        fflush(stdout);
        sum_bits = sum_wrong = most_norm = 0, since = 0;
    }
    return SQ_OK;
}

int main(int argc, char **argv)
{
    sq_error error = { 0 };
    options o = parse(argc, argv);
    if (run(&o, &error) == SQ_OK) return 0;
    fprintf(stderr, "ntm-copy: %s\n", error.message);
    return 1;
}
