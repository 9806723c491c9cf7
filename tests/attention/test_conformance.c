/* Every mechanism of the registry, in every option set of its reference and everything it says it can do, against its
 * double-precision reference: values, gradients in a random direction, empty rows. Prints the worst error of each option set as a part of its bound. */
#include "base/random.h"
#include "reference/trial.h"
#include "support/check.h"
#include "support/each_isa.h"

/* Values: the error may be noise_factor times what rounding the inputs does to the double reference, plus usual_error of the
 * largest value. Gradients along a normal direction: usual_gradient_error of the gradient's norm plus zero_gradient_error of
 * dout's, since a gradient can be 0 by cancellation alone. Float32 was measured to take up to 0.9 of the first, 0.5 of the second. */
static const double noise_factor = 8, usual_error = 2e-6, usual_gradient_error = 1e-5, zero_gradient_error = 2e-6;

typedef struct tally { double out, gradient; int trials, refused, failed; } tally;

static const char *describe(const trial *t)
{
    static char text[512];
    const trial_shape *s = &t->shape;
    snprintf(text, sizeof text, "%s [%s] B%d H%d/%d T%d N%d D%d M%d%s%s%s%s%s", t->desc.mechanism, t->options_text, (int)s->B, (int)s->H, (int)s->Hk, (int)s->T,
             (int)s->N, (int)s->D, (int)s->M, s->causal ? " causal" : "", s->lengths ? " lengths" : "", s->query_lengths ? " query lengths" : "",
             s->key_mask ? " key mask" : "", s->pair_mask ? " mask" : "");
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

static void check_values(trial *t, const reference_variant *variant, tally *worst)
{
    const int64_t count = t->out.count;
    double *expected = calloc((size_t)count, sizeof *expected), *shaken = calloc((size_t)count, sizeof *shaken), auxiliary, shaken_auxiliary, error = 0;
    float *out = trial_packed(t, &t->out);
    trial_reference(t, 0, expected, &auxiliary);
    trial_reference(t, 0x1p-24, shaken, &shaken_auxiliary);
    for (int64_t i = 0; i < count; i++) shaken[i] -= expected[i];
    const double scale = largest(expected, count), bound = (variant->error != 0 ? variant->error : usual_error) * scale + noise_factor * largest(shaken, count);
    for (int64_t i = 0; i < count; i++) {
        const double off = fabs(out[i] - expected[i]);
        if (!(off <= bound)) {
            complain(worst, "%s: out[%d] is %.9g; expected %.9g within %.2g", describe(t), (int)i, (double)out[i], expected[i], bound);
            break;
        }
        error = fmax(error, off);
    }
    if (!(fabs(t->auxiliary - auxiliary) <= noise_factor * fabs(shaken_auxiliary - auxiliary) + 1e-5 * fabs(auxiliary) + 1e-7))
        complain(worst, "%s: auxiliary is %.9g; expected %.9g", describe(t), (double)t->auxiliary, auxiliary);
    if (scale > 0) worst->out = fmax(worst->out, error / bound);
    free(out);
    free(expected);
    free(shaken);
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

/* gradient . direction against a central difference of the reference, whose own noise is about 1e-10 of its value. */
static void check_gradient(trial *t, const reference_variant *variant, int input, tally *worst)
{
    const int64_t size = trial_input_size(t, input);
    const double step = 1e-6, relative = variant->gradient_error != 0 ? variant->gradient_error : usual_gradient_error;
    const sq_random random = sq__random_stream(31, trial_input_name(t, input), (uint64_t)size);
    double *direction = calloc((size_t)size, sizeof *direction), along = 0;
    float *gradient = trial_input_gradient(t, input);
    for (int64_t i = 0; i < size; i++) {
        direction[i] = sq__random_normal(&random, (uint64_t)i);
        along += gradient[i] * direction[i];
    }
    const double expected = (trial_objective(t, input, direction, step) - trial_objective(t, input, direction, -step)) / (2 * step);
    const double bound = relative * norm(gradient, size) + zero_gradient_error * norm(t->dout.data, t->dout.count);
    if (!(fabs(along - expected) <= bound))
        complain(worst, "%s: gradient of %s along a direction is %.9g; expected %.9g within %.2g", describe(t), trial_input_name(t, input), along, expected, bound);
    worst->gradient = fmax(worst->gradient, fabs(along - expected) / bound);
    free(direction);
    free(gradient);
}

static void try_shape(const char *mechanism, const reference_variant *variant, trial_shape shape, tally *worst)
{
    trial t;
    shape.size = variant->size;
    const sq_status status = trial_open(&t, mechanism, variant->options, &shape);
    if (status == SQ_UNSUPPORTED) {       /* an option set may refuse what its mechanism can do; test_contract counts the refusals */
        worst->refused++;
        trial_close(&t);
        return;
    }
    if (status != SQ_OK) fail_msg("%s: %s", mechanism, t.error.message);
    trial_forward(&t);
    check_values(&t, variant, worst);
    check_empty_rows(&t, &t.out, worst);
    trial_backward(&t);
    check_empty_rows(&t, &t.dq, worst);
    for (int input = 0; input < trial_input_count(&t); input++) check_gradient(&t, variant, input, worst);
    if (!trial_guards_hold(&t)) complain(worst, "%s: wrote outside its workspace or saved memory", describe(&t));
    worst->trials++;
    trial_close(&t);
}

static void try_variant(const char *mechanism, unsigned can, const reference_variant *variant, tally *worst)
{
    static const struct { int64_t size, D, M; } sizes[] = { { 1, 1, 1 }, { 2, 5, 3 }, { 63, 16, 16 }, { 65, 7, 20 }, { 200, 33, 9 } };
    const int64_t most = variant->largest != 0 ? variant->largest : 1000;
    can &= ~variant->skip;
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const int64_t n = sizes[i].size;
        const trial_shape plain = { .B = 2, .H = 2, .T = n, .N = n, .D = sizes[i].D, .M = sizes[i].M };
        trial_shape causal = plain, padded = plain, hidden = plain, crossed = plain, grouped = plain, masked = plain, all = plain;
        if (n > most) continue;
        try_shape(mechanism, variant, plain, worst);
        causal.causal = true;
        padded.lengths = padded.query_lengths = hidden.key_mask = masked.pair_mask = masked.key_mask = true;
        padded.B = 3;
        crossed.N = n + n / 2 + 1;
        grouped.H = 4, grouped.Hk = 2;
        if (can & SQ_CAN_CAUSAL) try_shape(mechanism, variant, causal, worst);
        if (can & SQ_CAN_LENGTHS) try_shape(mechanism, variant, padded, worst);
        if (can & (SQ_CAN_KEY_MASK | SQ_CAN_MASK)) try_shape(mechanism, variant, hidden, worst);
        if (can & SQ_CAN_MASK) try_shape(mechanism, variant, masked, worst);
        if (can & SQ_CAN_GROUPED) try_shape(mechanism, variant, grouped, worst);
        if (can & SQ_CAN_CROSS) {
            try_shape(mechanism, variant, crossed, worst);
            crossed.N = n, crossed.T = n + n / 2 + 1;
            try_shape(mechanism, variant, crossed, worst);
        }
        all.causal = (can & SQ_CAN_CAUSAL) != 0;
        all.lengths = all.query_lengths = (can & SQ_CAN_LENGTHS) != 0;
        all.key_mask = (can & (SQ_CAN_KEY_MASK | SQ_CAN_MASK)) != 0;
        all.pair_mask = (can & SQ_CAN_MASK) != 0;
        if (can & SQ_CAN_CROSS) all.T = n + 3;
        if (can & SQ_CAN_GROUPED) all.H = 4, all.Hk = 2;
        all.heads_first = true;
        try_shape(mechanism, variant, all, worst);
    }
    const trial_shape large = { .B = 1, .H = 1, .T = 1000, .N = 1000, .D = 8, .M = 5 };
    if (most < 1000) return;
    try_shape(mechanism, variant, large, worst);
    trial_shape large_causal = large;
    large_causal.causal = true;
    if (can & SQ_CAN_CAUSAL) try_shape(mechanism, variant, large_causal, worst);
}

static void test_agrees_with_reference(void **state)
{
    sq_mechanism_info info;
    int failed = 0;
    (void)state;
    for (int m = 0; sq_mechanism_get(m, &info) == SQ_OK; m++) {
        const reference_row *row = reference_find(info.name);
        if (!row) fail_msg("%s has no double-precision reference in tests/reference", info.name);
        for (const reference_variant *variant = row->variants; variant->options; variant++) {
            tally worst = { 0 };
            try_variant(info.name, info.can, variant, &worst);
            if (worst.trials == 0) fail_msg("%s [%s]: nothing was tried", info.name, variant->options);
            print_message("%-16s [%s] %d trials, %d refused, %d failed; worst error of its bound: out %.2f gradient %.2f\n", info.name, variant->options,
                          worst.trials, worst.refused, worst.failed, worst.out, worst.gradient);
            failed += worst.failed;
        }
    }
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
