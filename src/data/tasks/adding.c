/* The adding problem (Hochreiter & Schmidhuber 1997; in this form: arXiv:1504.00941, arXiv:1511.06464). */
#include "base/status.h"
#include "data/tasks/generator.h"

typedef struct config { sq_task_counts counts; int64_t length, test_length; } config;

static const sq_field fields[] = {
    SQ_TASK_COUNTS(config, "10000", "500", "500"),
    SQ_INT(config, length, "750", 2, 1000000, "events of a sequence"),
    SQ_INT(config, test_length, "0", 0, 1000000, "events of every test sequence; 0: as in training"),
    SQ_FIELDS_END
};

static sq_status check(void *options, sq_error *error)
{
    const config *c = options;
    return c->test_length == 1 ? sq__fail(error, SQ_INVALID, "test-length 1; expected 2 or more: two events are marked") : SQ_OK;
}

static void header(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("sequence,sum,events\n", out);
}

/* Values have four decimals, so that what is printed is what is added. The answer comes first in the line: drawn before the values. */
static void sequence(sq_task_writing *w)
{
    const config *c = w->config;
    const int64_t n = w->part == SQ_PART_TEST && c->test_length ? c->test_length : c->length;
    const int64_t first = sq__draw_below(&w->draws, n / 2), second = n / 2 + sq__draw_below(&w->draws, n - n / 2);
    const int64_t a = sq__draw_below(&w->draws, 10000), b = sq__draw_below(&w->draws, 10000);
    fprintf(w->out, "%lld,%lld.%04lld,", (long long)w->number, (long long)((a + b) / 10000), (long long)((a + b) % 10000));
    for (int64_t i = 0; i < n; i++) {
        const int64_t value = i == first ? a : i == second ? b : sq__draw_below(&w->draws, 10000);
        fprintf(w->out, "%s0.%04lld/%d", i ? ";" : "", (long long)value, i == first || i == second);
    }
    fputc('\n', w->out);
    w->events += n;
}

static int64_t longest(const void *options, const void *state)
{
    const config *c = options;
    (void)state;
    return c->test_length > c->length ? c->test_length : c->length;
}

static void data(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("  explode: {column: events, separator: \";\", field_separator: \"/\", into: [value, marker]}\n"
          "  numeric: [{column: value, transform: none}, {column: marker, transform: none}]\n"
          "  target: {kind: number, column: sum}\n", out);
}

/* Gates that start open for as long as the sequence; few weights of the state. */
static void settings(const void *options, FILE *out)
{
    const long long n = ((const config *)options)->length;
    fprintf(out, "models:\n  lstm: {remembered: %lld}\n  low-rank-rnn: {cell: gru, rank: 12, remembered: %lld}\n"
                 "  kronecker: {cell: gru, factor: 4, remembered: %lld}\n", n, n, n);
    sq__task_settings(out, &(sq_task_settings){ .layers = 1, .width = 128, .rate = 0.001, .epochs = 20, .batch = 32, .mechanisms = "softmax", .models = "lstm,low-rank-rnn,kronecker,retnet,mamba-2",
                                                .baselines = "gru,logistic" });
}

static void readme(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    fprintf(out, "A sequence is %lld events `value/marker` in one cell. Values are drawn evenly from 0 to 1 (0.0000 to 0.9999); two events have marker 1, one in each"
                 " half. Their sum is asked.", (long long)c->length);
    if (c->test_length) fprintf(out, " Test sequences have %lld events.", (long long)c->test_length);
    fputs("\n\nThe best that can be reached: a mean squared error of 0. Always saying 1, the mean, gives 1/6 = 0.167; below about 0.01 the problem counts as"
          " solved. Aggregates of a sequence say next to nothing about the two marked values.\n", out);
}

const sq_generator sq__generator_adding = {
    .name = "adding", .title = "the sum of the two marked numbers in a long sequence", .source = "Hochreiter & Schmidhuber 1997; arXiv:1504.00941",
    .help = "A long sequence of random numbers, two of which are marked, one in each half: their sum is asked (a number per sequence, mean squared error). "
            "A model has to keep two numbers over hundreds of events.",
    .id = "sequence", .config_size = sizeof(config), .fields = fields, .check = check, .header = header, .sequence = sequence, .longest = longest, .data = data,
    .settings = settings, .readme = readme,
};
