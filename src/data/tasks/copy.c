/* Copy and repeat copy (arXiv:1410.5401, sections 4.1 and 4.2). */
#include <math.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/tasks/generator.h"

typedef struct config {
    sq_task_counts counts;
    int64_t bits, min_length, max_length, test_length, min_repeats, max_repeats, test_repeats;
} config;

enum { MOST_BITS = 64, MOST_LENGTH = 100000 };

static const sq_field copy_fields[] = {
    SQ_TASK_COUNTS(config, "20000", "500", "500"),
    SQ_INT(config, bits, "8", 1, MOST_BITS, "of a vector"),
    SQ_INT(config, min_length, "1", 1, MOST_LENGTH, "vectors of a sequence, at least"),
    SQ_INT(config, max_length, "20", 1, MOST_LENGTH, "at most"),
    SQ_INT(config, test_length, "0", 0, MOST_LENGTH, "vectors of every test sequence; 0: as in training"),
    SQ_FIELDS_END
};

static const sq_field repeat_fields[] = {
    SQ_TASK_COUNTS(config, "20000", "500", "500"),
    SQ_INT(config, bits, "8", 1, MOST_BITS, "of a vector"),
    SQ_INT(config, min_length, "1", 1, MOST_LENGTH, "vectors of a sequence, at least"),
    SQ_INT(config, max_length, "10", 1, MOST_LENGTH, "at most"),
    SQ_INT(config, test_length, "0", 0, MOST_LENGTH, "vectors of every test sequence; 0: as in training"),
    SQ_INT(config, min_repeats, "1", 1, 1000, "copies that are asked, at least"),
    SQ_INT(config, max_repeats, "10", 1, 1000, "at most"),
    SQ_INT(config, test_repeats, "0", 0, 1000, "copies that every test sequence asks; 0: as in training"),
    SQ_FIELDS_END
};

static sq_status check(void *options, sq_error *error)
{
    const config *c = options;
    if (c->min_length > c->max_length)
        return sq__fail(error, SQ_INVALID, "min-length %lld is above max-length %lld", (long long)c->min_length, (long long)c->max_length);
    if (c->min_repeats > c->max_repeats)
        return sq__fail(error, SQ_INVALID, "min-repeats %lld is above max-repeats %lld", (long long)c->min_repeats, (long long)c->max_repeats);
    return SQ_OK;
}

static int64_t longest_run(const config *c) { return c->test_length > c->max_length ? c->test_length : c->max_length; }
static int64_t most_repeats(const config *c) { return c->test_repeats > c->max_repeats ? c->test_repeats : c->max_repeats; }

static sq_status open_scratch(void **state, void *options, sq_error *error)
{
    const config *c = options;
    *state = sq__alloc_array((size_t)longest_run(c), (size_t)c->bits);
    return *state ? SQ_OK : sq__no_memory(error);
}

static int64_t between(sq_task_writing *w, int64_t low, int64_t high, int64_t test)
{
    return w->part == SQ_PART_TEST && test ? test : low + sq__draw_below(&w->draws, high - low + 1);
}

static void vectors(sq_task_writing *w, const sq_bit_rows *rows, const char *between_input_and_target, int64_t targets)
{
    for (int64_t i = 0; i < rows->rows; i++) {
        fprintf(w->out, "%lld", (long long)w->number);
        sq__bits_put(w->out, rows->values + i * rows->bits, rows->bits);
        fputs(between_input_and_target, w->out);
        sq__bits_empty(w->out, targets);
        fputc('\n', w->out);
    }
    w->events += rows->rows;
}

/* ---- copy ---- */

static void copy_header(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    fputs("sequence", out);
    sq__task_columns(out, "b", c->bits);
    fputs(",end", out);
    sq__task_columns(out, "t", c->bits);
    fputc('\n', out);
}

static void copy_sequence(sq_task_writing *w)
{
    const config *c = w->config;
    sq_bit_rows rows = { c->bits, between(w, c->min_length, c->max_length, c->test_length), w->state };
    sq__bits_draw(&rows, &w->draws);
    vectors(w, &rows, ",0", c->bits);
    for (int64_t i = -1; i < rows.rows; i++) {   /* the delimiter, then the answer */
        fprintf(w->out, "%lld", (long long)w->number);
        sq__bits_put(w->out, NULL, c->bits);
        fputs(i < 0 ? ",1" : ",0", w->out);
        if (i < 0) sq__bits_empty(w->out, c->bits);
        else sq__bits_put(w->out, rows.values + i * c->bits, c->bits);
        fputc('\n', w->out);
    }
    w->events += rows.rows + 1;
}

static int64_t copy_longest(const void *options, const void *state)
{
    (void)state;
    return 2 * longest_run(options) + 1;
}

static void copy_data(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    sq__task_inputs(out, (const char *[]){ "b", "end" }, (const int64_t[]){ c->bits, 0 }, 2);
    sq__task_bits(out, c->bits, NULL);
}

static void settings(const void *options, FILE *out)
{
    (void)options;
    sq__task_settings(out, &(sq_task_settings){ .layers = 2, .width = 128, .causal = true, .rate = 0.001, .epochs = 10, .batch = 16, .mechanisms = "softmax", .models = "ntm,transformer-xl,deltanet", .baselines = "gru" });
}

static void copy_readme(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    fprintf(out, "A sequence is %lld to %lld random vectors of %lld bits (b1 to b%lld), one an event, then an event with end = 1, then as many events without any"
                 " input. At these the vectors are asked, in their order: t1 to t%lld.",
            (long long)c->min_length, (long long)c->max_length, (long long)c->bits, (long long)c->bits, (long long)c->bits);
    if (c->test_length) fprintf(out, " Test sequences have %lld vectors.", (long long)c->test_length);
    fputs("\n\nThe best that can be reached: 0 bits per sequence, no bit wrong. Without memory every bit asked costs one: bits per sequence is then "
          "the number of bits asked, and half of them are wrong.\n", out);
}

const sq_generator sq__generator_copy = {
    .name = "copy", .title = "copy a sequence of random binary vectors", .source = "Graves et al. 2014, arXiv:1410.5401, section 4.1",
    .help = "Vectors of random bits, a delimiter, and then the same vectors are asked, bit by bit. A model has to store what it read and find it again; "
            "with --test-length it is tested on longer sequences than it was trained on.",
    .id = "sequence", .config_size = sizeof(config), .fields = copy_fields, .check = check, .open = open_scratch, .close = sq__free, .header = copy_header,
    .sequence = copy_sequence, .longest = copy_longest, .data = copy_data, .settings = settings, .readme = copy_readme,
};

/* ---- repeat copy ---- */

static void repeat_header(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    fputs("sequence", out);
    sq__task_columns(out, "b", c->bits);
    fputs(",end,repeats", out);
    sq__task_columns(out, "t", c->bits);
    fputs(",stop\n", out);
}

static void repeat_answer(sq_task_writing *w, const uint8_t *values, int64_t bits)
{
    fprintf(w->out, "%lld", (long long)w->number);
    sq__bits_put(w->out, NULL, bits);
    fputs(",0,0", w->out);
    sq__bits_put(w->out, values, bits);
    fputs(values ? ",0\n" : ",1\n", w->out);
}

/* Mean 0 and variance 1 over training: what other numbers of copies become goes on evenly. */
static double scaled(const config *c, int64_t repeats)
{
    const double numbers = (double)(c->max_repeats - c->min_repeats + 1), deviation = sqrt((numbers * numbers - 1) / 12);
    return ((double)repeats - (double)(c->min_repeats + c->max_repeats) / 2) / (deviation > 0 ? deviation : 1);
}

static void repeat_sequence(sq_task_writing *w)
{
    const config *c = w->config;
    sq_bit_rows rows = { c->bits, between(w, c->min_length, c->max_length, c->test_length), w->state };
    const int64_t repeats = between(w, c->min_repeats, c->max_repeats, c->test_repeats);
    sq__bits_draw(&rows, &w->draws);
    vectors(w, &rows, ",0,0", c->bits + 1);
    fprintf(w->out, "%lld", (long long)w->number);
    sq__bits_put(w->out, NULL, c->bits);
    fprintf(w->out, ",1,%.6f", scaled(c, repeats));
    sq__bits_empty(w->out, c->bits + 1);
    fputc('\n', w->out);
    for (int64_t i = 0; i < repeats * rows.rows; i++) repeat_answer(w, rows.values + i % rows.rows * c->bits, c->bits);
    repeat_answer(w, NULL, c->bits);
    w->events += repeats * rows.rows + 2;
}

static int64_t repeat_longest(const void *options, const void *state)
{
    (void)state;
    return longest_run(options) * (most_repeats(options) + 1) + 2;
}

static void repeat_data(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    sq__task_inputs(out, (const char *[]){ "b", "end", "repeats" }, (const int64_t[]){ c->bits, 0, 0 }, 3);
    sq__task_bits(out, c->bits, "stop");
}

static void repeat_readme(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    fprintf(out, "A sequence is %lld to %lld random vectors of %lld bits (b1 to b%lld), one an event, then an event with end = 1 and the number of copies that are"
                 " asked, %lld to %lld, in `repeats` (scaled to mean 0 and variance 1). Then follow the events of the answer, without any input: the vectors"
                 " in their order, that many times over (t1 to t%lld, stop = 0), and a last event with stop = 1 and no bit.",
            (long long)c->min_length, (long long)c->max_length, (long long)c->bits, (long long)c->bits, (long long)c->min_repeats, (long long)c->max_repeats,
            (long long)c->bits);
    if (c->test_length) fprintf(out, " Test sequences have %lld vectors.", (long long)c->test_length);
    if (c->test_repeats) fprintf(out, " Test sequences ask for %lld copies.", (long long)c->test_repeats);
    fputs("\n\nThe best that can be reached: 0 bits per sequence, no bit wrong. What a model answers is not given to it as input.\n", out);
}

const sq_generator sq__generator_repeat_copy = {
    .name = "repeat-copy", .title = "copy a sequence of binary vectors a given number of times", .source = "Graves et al. 2014, arXiv:1410.5401, section 4.2",
    .help = "As copy, but the delimiter says how often the sequence is asked, and after the last copy a stop bit is asked. A model has to count.",
    .id = "sequence", .config_size = sizeof(config), .fields = repeat_fields, .check = check, .open = open_scratch, .close = sq__free, .header = repeat_header,
    .sequence = repeat_sequence, .longest = repeat_longest, .data = repeat_data, .settings = settings, .readme = repeat_readme,
};
