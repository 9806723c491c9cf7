/* Every mechanism of the registry, in every option set of its reference and everything it says it can do, against its
 * double-precision reference: values, gradients in a random direction, empty rows. Prints the worst error of each option set
 * as a part of its bound. */
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "reference/trial.h"
#include "support/check.h"
#include "support/each_isa.h"

/* Values: the error may be noise_factor times what rounding the inputs does to the double reference, plus usual_error of the
 * largest value. Gradients along a normal direction: usual_gradient_error of the gradient's norm plus zero_gradient_error of
 * dout's, since a gradient can be 0 by cancellation alone (with one key it always is: lone_gradient_error). Float32 was measured
 * to take up to 0.9 of the first, 0.5 of the second and of the last. */
static const double noise_factor = 8, usual_error = 2e-6, usual_gradient_error = 1e-5, zero_gradient_error = 2e-6, lone_gradient_error = 5e-6;

/* Worst errors: as parts of their bounds; of the largest value; along a direction through every input and tensor, of the whole gradient's norm. */
typedef struct tally { double out, gradient, relative_out, relative_gradient; int trials, refused, failed; } tally;

static const char *describe(const trial *t)
{
    static char text[512];
    const trial_shape *s = &t->shape;
    snprintf(text, sizeof text, "%s [%s] B%d H%d/%d T%d N%d D%d M%d%s%s%s%s%s%s%s", t->desc.mechanism, t->options_text, (int)s->B, (int)s->H, (int)s->Hk, (int)s->T,
             (int)s->N, (int)s->D, (int)s->M, s->causal ? " causal" : "", s->lengths ? " lengths" : "", s->query_lengths ? " query lengths" : "",
             s->key_mask ? " key mask" : "", s->pair_mask ? " mask" : "",
             s->global_tokens ? " global" : "", s->bias == SQ_BIAS_ALIBI ? " alibi" : s->bias == SQ_BIAS_RELATIVE ? " relative bias" : "");
    return text;
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

/* Later trials still run, so that one look shows all that is wrong. */
static void complain(tally *worst, const char *format, ...)
{
    va_list arguments;
    char line[1024];
    va_start(arguments, format);
    vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (++worst->failed <= 5) print_error("%s\n", line);
}

/* What the reference says of a trial, and how much of it may be off: found once, for the pass over everything and for the pieces of a stream. */
typedef struct expectation { double *out, auxiliary, scale, bound, auxiliary_bound; } expectation;

static expectation expect(trial *t, const reference_variant *variant)
{
    const int64_t count = t->out.count;
    expectation e = { .out = calloc((size_t)count, sizeof(double)) };
    double *shaken = calloc((size_t)count, sizeof *shaken), shaken_auxiliary;
    trial_reference(t, 0, e.out, &e.auxiliary);
    trial_reference(t, 0x1p-24, shaken, &shaken_auxiliary);
    for (int64_t i = 0; i < count; i++) shaken[i] -= e.out[i];
    e.scale = largest(e.out, count);
    e.bound = (variant->error != 0 ? variant->error : usual_error) * e.scale + noise_factor * largest(shaken, count);
    e.auxiliary_bound = noise_factor * fabs(shaken_auxiliary - e.auxiliary) + 1e-5 * fabs(e.auxiliary) + 1e-7;
    free(shaken);
    return e;
}

static void check_values(trial *t, const expectation *e, tally *worst)
{
    double error = 0;
    float *out = trial_packed(t, &t->out);
    for (int64_t i = 0; i < t->out.count; i++) {
        const double off = fabs(out[i] - e->out[i]);
        if (!(off <= e->bound)) {
            complain(worst, "%s: out[%d] is %.9g; expected %.9g within %.2g", describe(t), (int)i, (double)out[i], e->out[i], e->bound);
            break;
        }
        error = fmax(error, off);
    }
    if (!(fabs(t->auxiliary - e->auxiliary) <= e->auxiliary_bound))
        complain(worst, "%s: auxiliary is %.9g; expected %.9g", describe(t), (double)t->auxiliary, e->auxiliary);
    if (e->scale > 0) {
        worst->out = fmax(worst->out, error / e->bound);
        worst->relative_out = fmax(worst->relative_out, error / e->scale);
    }
    free(out);
}

/* A row beyond the query length, or of an entry without a visible key, is 0 to the bit, and so is its gradient. */
static void check_empty_rows(const trial *t, const trial_array *a, tally *worst)
{
    const trial_shape *s = &t->shape;
    for (int64_t b = 0; b < s->B; b++) {
        bool any = false;
        for (int64_t j = 0; j < (t->lengths && t->lengths[b] < s->N ? t->lengths[b] : s->N); j++) any = any || !t->key_keep || t->key_keep[b * s->N + j];
        for (int64_t i = 0; i < s->T; i++) {
            if (any && !(t->query_lengths && i >= t->query_lengths[b])) continue;
            for (int64_t h = 0; h < a->heads; h++)
                for (int64_t c = 0; c < a->width; c++)
                    if (*trial_at(a, b, i, h, c) != 0) {
                        complain(worst, "%s: row %d of entry %d is not 0", describe(t), (int)i, (int)b);
                        return;
                    }
        }
    }
}

static double norm(const float *x, int64_t n)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++) square += (double)x[i] * x[i];
    return sqrt(square);
}

typedef struct slope { double along, expected, square; } slope;   /* gradient . direction, what it should be, the gradient's norm squared */

/* gradient . direction over inputs first .. last-1 against a central difference of the reference, whose own noise is about
 * 1e-10 of its value. */
static slope check_gradient(trial *t, const reference_variant *variant, int first, int last, tally *worst)
{
    const double step = 1e-6, relative = variant->gradient_error != 0 ? variant->gradient_error : usual_gradient_error;
    double *direction[TRIAL_GRADIENTS] = { 0 }, along = 0, square = 0;
    for (int input = first; input < last; input++) {
        const int64_t size = trial_input_size(t, input);
        const sq_random random = sq__random_stream(31, trial_input_name(t, input), (uint64_t)size);
        float *gradient = trial_input_gradient(t, input);
        direction[input] = calloc((size_t)size, sizeof(double));
        for (int64_t i = 0; i < size; i++) {
            direction[input][i] = sq__random_normal(&random, (uint64_t)i);
            along += gradient[i] * direction[input][i];
        }
        square += norm(gradient, size) * norm(gradient, size);
        free(gradient);
    }
    const double expected = (trial_objective(t, direction, step) - trial_objective(t, direction, -step)) / (2 * step);
    const double zero = t->shape.N == 1 ? lone_gradient_error : zero_gradient_error;
    const double bound = relative * sqrt(square) + zero * norm(t->dout.data, t->dout.count);
    if (!(fabs(along - expected) <= bound))
        complain(worst, "%s: gradient of %s%s along a direction is %.9g; expected %.9g within %.2g", describe(t), trial_input_name(t, first),
                 last > first + 1 ? " and all that follow" : "", along, expected, bound);
    worst->gradient = fmax(worst->gradient, fabs(along - expected) / bound);
    for (int input = first; input < last; input++) free(direction[input]);
    return (slope){ along, expected, square };
}

/* The ISA under test is the best of this processor, which is tried most thoroughly. */
static bool best_isa(void)
{
    return sq__cpu_isa() == sq__cpu_detected();
}

/* Each input by itself; where the reference is slow, and on the lesser ISAs, all in one direction. */
static void check_gradients(trial *t, const reference_variant *variant, tally *worst)
{
    const int count = trial_input_count(t), step = t->shape.N > 65 || !best_isa() ? count : 1;
    slope all = { 0, 0, 0 };
    for (int input = 0; input < count; input += step) {
        const slope one = check_gradient(t, variant, input, input + step, worst);
        all = (slope){ all.along + one.along, all.expected + one.expected, all.square + one.square };
    }
    if (all.square > 0) worst->relative_gradient = fmax(worst->relative_gradient, fabs(all.along - all.expected) / sqrt(all.square));
}

/* In pieces, token by token and of any size: the same rows as the causal forward. Padded and masked trials are not cut. */
static void check_stream(trial *t, const expectation *e, tally *worst)
{
    const trial_shape *s = &t->shape;
    if (s->T != s->N || s->lengths || s->key_mask || s->pair_mask || s->global_tokens) return;
    for (int64_t largest = 1; largest < 2 * s->N; largest = s->N <= 65 && largest == 1 ? 7 : 3 * largest + 80) {
        if (!trial_stream(t, largest)) complain(worst, "%s: streaming in pieces of up to %d rows: %s", describe(t), (int)largest, "state or memory is wrong");
        else check_values(t, e, worst);
    }
}

static void try_shape(const char *mechanism, const reference_variant *variant, trial_shape shape, tally *worst)
{
    trial t;
    shape.size = variant->size;
    if (variant->square) shape.M = shape.D;
    const sq_status status = trial_open(&t, mechanism, variant->options, &shape);
    if (status == SQ_UNSUPPORTED) {       /* an option set may refuse what its mechanism can do; test_contract counts the refusals */
        worst->refused++;
        trial_close(&t);
        return;
    }
    if (status != SQ_OK) fail_msg("%s: %s", mechanism, t.error.message);
    trial_forward(&t);
    expectation e = expect(&t, variant);
    check_values(&t, &e, worst);
    check_empty_rows(&t, &t.out, worst);
    trial_backward(&t);
    check_empty_rows(&t, &t.dq, worst);
    check_gradients(&t, variant, worst);
    if (!trial_guards_hold(&t)) complain(worst, "%s: wrote outside its workspace or saved memory", describe(&t));
    if (shape.causal && sq_attention_state_bytes(t.plan)) check_stream(&t, &e, worst);
    worst->trials++;
    free(e.out);
    trial_close(&t);
}

/* Every ability by itself, then all together. */
static void try_abilities(const char *mechanism, unsigned can, const reference_variant *variant, const trial_shape *plain, bool apart, tally *worst)
{
    const int64_t n = plain->N, more = n + n / 2 + 1;
    trial_shape causal = *plain, padded = *plain, hidden = *plain, wider = *plain, taller = *plain, grouped = *plain, masked = *plain, all = *plain;
    trial_shape global = *plain, alibi = *plain, relative = *plain;
    causal.causal = true;
    padded.lengths = padded.query_lengths = hidden.key_mask = masked.pair_mask = masked.key_mask = true;
    padded.B = 3;
    wider.N = taller.T = more;
    grouped.H = 4, grouped.Hk = 2;
    global.global_tokens = true;
    alibi.bias = SQ_BIAS_ALIBI, relative.bias = SQ_BIAS_RELATIVE, relative.bias_distance = 9;
    const struct { unsigned bits; const trial_shape *shape; } alone[] = {
        { SQ_CAN_CAUSAL, &causal }, { SQ_CAN_LENGTHS, &padded }, { SQ_CAN_KEY_MASK | SQ_CAN_MASK, &hidden }, { SQ_CAN_MASK, &masked },
        { SQ_CAN_GROUPED, &grouped }, { SQ_CAN_CROSS, &wider }, { SQ_CAN_CROSS, &taller },
        { SQ_CAN_GLOBAL, &global }, { SQ_CAN_BIAS, &alibi }, { SQ_CAN_BIAS, &relative },
    };
    for (size_t i = 0; apart && i < sizeof alone / sizeof alone[0]; i++)
        if (can & alone[i].bits) try_shape(mechanism, variant, *alone[i].shape, worst);
    all.causal = (can & SQ_CAN_CAUSAL) != 0;
    all.lengths = all.query_lengths = (can & SQ_CAN_LENGTHS) != 0;
    all.key_mask = (can & (SQ_CAN_KEY_MASK | SQ_CAN_MASK)) != 0;
    all.pair_mask = (can & SQ_CAN_MASK) != 0;
    if (can & SQ_CAN_CROSS) all.T = n + 3;
    if (can & SQ_CAN_GROUPED) all.H = 4, all.Hk = 2;
    all.heads_first = true;
    if (can & SQ_CAN_BIAS) all.bias = SQ_BIAS_RELATIVE, all.bias_distance = n;
    try_shape(mechanism, variant, all, worst);
    if (!(can & SQ_CAN_GLOBAL)) return;
    all.global_tokens = true;             /* a mechanism may refuse them when it is causal */
    try_shape(mechanism, variant, all, worst);
    if (!all.causal) return;
    all.causal = false;
    try_shape(mechanism, variant, all, worst);
}

/* SUBQUAD_CONFORMANCE=full: the defaults with every ability on 1000 and 4097, too (an hour or so). */
static bool full(void)
{
    const char *mode = getenv("SUBQUAD_CONFORMANCE");
    return mode && strcmp(mode, "full") == 0;
}

/* SUBQUAD_SHARD=k/n: every n-th option set from the k-th (from 0), so that processors share the work. */
static bool in_shard(int index)
{
    const char *shard = getenv("SUBQUAD_SHARD");
    int mine = 0, shards = 1;
    if (shard && (sscanf(shard, "%d/%d", &mine, &shards) != 2 || shards < 1)) fail_msg("SUBQUAD_SHARD is '%s'; expected k/n", shard);
    return index % shards == mine;
}

/* The references take quadratic time: abilities apart on two small sizes and, for the defaults, on all; the ISAs below this
 * processor's best on the smaller ones alone. */
static void try_variant(const char *mechanism, unsigned can, const reference_variant *variant, bool defaults, tally *worst)
{
    static const struct { int64_t size, D, M; } sizes[] = { { 1, 1, 1 }, { 2, 5, 3 }, { 63, 16, 16 }, { 65, 7, 20 }, { 200, 33, 9 }, { 1000, 8, 5 }, { 4097, 4, 3 } };
    const int64_t longest = defaults && full() ? 4097 : 1000, all_abilities = defaults && full() ? 4097 : 200;
    const int64_t most = !best_isa() ? 65 : variant->largest != 0 && !full() ? variant->largest : longest;
    can &= ~variant->skip;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0] && sizes[i].size <= most; i++) {
        const int64_t n = sizes[i].size;
        const trial_shape plain = { .B = n > 65 ? 1 : 2, .H = n > 200 ? 1 : 2, .T = n, .N = n, .D = sizes[i].D, .M = sizes[i].M,
                                    .causal = (can & SQ_CAUSAL_ONLY) != 0 };
        trial_shape causal = plain;
        causal.causal = true;
        try_shape(mechanism, variant, plain, worst);
        if (n <= all_abilities) try_abilities(mechanism, can, variant, &plain, n == 2 || n == 65 || defaults, worst);
        else if (can & SQ_CAN_CAUSAL && !plain.causal) try_shape(mechanism, variant, causal, worst);
    }
}

static void take_worst(tally *all, const tally *one)
{
    all->trials += one->trials;
    all->relative_out = fmax(all->relative_out, one->relative_out);
    all->relative_gradient = fmax(all->relative_gradient, one->relative_gradient);
}

static void print_table(const tally *mechanisms, int count)
{
    sq_mechanism_info info;
    print_message("\n%-20s %8s %12s %12s\n", "worst of all trials", "trials", "values", "gradients");
    for (int m = 0; m < count && sq_mechanism_get(m, &info) == SQ_OK; m++)
        if (mechanisms[m].trials) print_message("%-20s %8d %12.1e %12.1e\n", info.name, mechanisms[m].trials, mechanisms[m].relative_out, mechanisms[m].relative_gradient);
}

static void test_agrees_with_reference(void **state)
{
    enum { MOST = 64 };
    static tally all[MOST];
    sq_mechanism_info info;
    int failed = 0, option_sets = 0;
    (void)state;
    memset(all, 0, sizeof all);
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        const reference_row *row = reference_find(info.name);
        if (!trial_chosen(info.name)) continue;
        if (!row) fail_msg("%s has no double-precision reference in tests/reference", info.name);
        for (const reference_variant *variant = row->variants; variant->options; variant++) {
            if (!in_shard(option_sets++)) continue;
            tally worst = { 0 };
            const double start = sq__clock();
            try_variant(info.name, info.can, variant, variant == row->variants, &worst);
            if (worst.trials == 0) fail_msg("%s [%s]: nothing was tried", info.name, variant->options);
            print_message("%-16s [%s] %d trials, %d refused, %d failed; worst error of its bound: out %.2f gradient %.2f (%.1e); %.1f s\n", info.name,
                          variant->options, worst.trials, worst.refused, worst.failed, worst.out, worst.gradient, worst.relative_gradient, sq__clock() - start);
            failed += worst.failed;
            if (m < MOST) take_worst(&all[m], &worst);
        }
    }
    print_table(all, MOST);
    assert_int_equal(failed, 0);
}

static int run(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_agrees_with_reference) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

int main(void)
{
    return run_under_each_isa(run);
}
