/* Sorting symbols by their frequency (arXiv:2109.00301, section 4.1, as its published generator draws it): for every sequence two
 * distributions p0, p1 over V symbols, weights 1 to 9 drawn evenly and normalised; token j of L comes from (1 - j/L) p0 + j/L p1. After
 * the tokens the symbols are asked by falling frequency; of equals the one that came first, and those that never came last, by number. */
#include <stdlib.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/tasks/generator.h"

typedef struct config { sq_task_counts counts; int64_t length, vocabulary; int answer; } config;
enum { GIVEN, BLANK };
static const char *const answers[] = { "given", "blank", NULL };

static const sq_field fields[] = {
    SQ_TASK_COUNTS(config, "8000", "800", "800"),
    SQ_INT(config, length, "4000", 1, 10000000, "tokens of a sequence; published: 4000, 8000, 16000"),
    SQ_INT(config, vocabulary, "20", 2, 1000, "symbols"),
    SQ_CHOICE(config, answer, "given", answers,
              "given: each event of the answer holds the symbol before the one it asks for, as published (for causal models); blank: it holds none"),
    SQ_FIELDS_END
};

typedef struct symbol { int64_t count, first; int number; } symbol;
typedef struct scratch { symbol *symbols; double *p[2]; } scratch;

static void close_scratch(void *state)
{
    scratch *s = state;
    if (!s) return;
    sq__free(s->symbols);
    sq__free(s->p[0]);
    sq__free(s->p[1]);
    sq__free(s);
}

static sq_status open_scratch(void **state, void *options, sq_error *error)
{
    const config *c = options;
    scratch *s = *state = sq__alloc_zero(sizeof *s);
    if (!s) return sq__no_memory(error);
    s->symbols = sq__alloc_array((size_t)c->vocabulary, sizeof *s->symbols);
    for (int k = 0; k < 2; k++) s->p[k] = sq__alloc_array((size_t)c->vocabulary, sizeof(double));
    return s->symbols && s->p[0] && s->p[1] ? SQ_OK : sq__no_memory(error);
}

static void header(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("sequence,events\n", out);
}

static void draw_distribution(double *p, int64_t n, sq_draws *draws)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += p[i] = (double)(1 + sq__draw_below(draws, 9));
    for (int64_t i = 0; i < n; i++) p[i] /= sum;
}

static int draw_symbol(const scratch *s, int64_t n, double share, double u)
{
    for (int64_t i = 0; i + 1 < n; i++) {
        u -= (1 - share) * s->p[0][i] + share * s->p[1][i];
        if (u < 0) return (int)i;
    }
    return (int)n - 1;
}

static int by_frequency(const void *a, const void *b)
{
    const symbol *x = a, *y = b;
    if (x->count != y->count) return (x->count < y->count) - (x->count > y->count);
    return x->first != y->first ? (x->first > y->first) - (x->first < y->first) : x->number - y->number;
}

static void sequence(sq_task_writing *w)
{
    const config *c = w->config;
    const scratch *s = w->state;
    for (int k = 0; k < 2; k++) draw_distribution(s->p[k], c->vocabulary, &w->draws);
    for (int64_t i = 0; i < c->vocabulary; i++) s->symbols[i] = (symbol){ 0, c->length, (int)i };
    fprintf(w->out, "%lld,", (long long)w->number);
    for (int64_t j = 0; j < c->length; j++) {
        const int drawn = draw_symbol(s, c->vocabulary, (double)(j + 1) / (double)c->length, sq__draw(&w->draws));
        if (s->symbols[drawn].count++ == 0) s->symbols[drawn].first = j;
        fprintf(w->out, "/%d;", drawn);
    }
    qsort(s->symbols, (size_t)c->vocabulary, sizeof *s->symbols, by_frequency);
    for (int64_t i = 0; i < c->vocabulary; i++) {
        fprintf(w->out, "%d/", s->symbols[i].number);
        if (i == 0 || c->answer == BLANK) fputs(i ? "blank;" : "sort;", w->out);
        else fprintf(w->out, "%d;", s->symbols[i - 1].number);
    }
    fputc('\n', w->out);
    w->events += c->length + c->vocabulary;
}

static int64_t longest(const void *options, const void *state)
{
    const config *c = options;
    (void)state;
    return c->length + c->vocabulary;
}

static void data(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("  explode: {column: events, separator: \";\", field_separator: \"/\", into: [answer, symbol]}\n"
          "  categorical: [symbol]\n"
          "  target: {kind: event-class, column: answer}\n", out);
}

static void settings(const void *options, FILE *out)
{
    const config *c = options;
    sq__task_settings(out, &(sq_task_settings){ .layers = 3, .width = 120, .feed_forward = 120, .causal = c->answer == GIVEN, .dropout = 0.1, .rate = 0.0005, .epochs = 20,
                                                .batch = 8, .mechanisms = "linear", .models = "infinite-memory,transformer-xl,compressive-transformer", .baselines = "gru" });
}

static void readme(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    fprintf(out, "A sequence is %lld tokens of %lld symbols and %lld events that ask, `answer/symbol` each in one cell. For every sequence two distributions over the"
                 " symbols are drawn (weights 1 to 9, normalised), and token j comes from their mixture (1 - j/L) p0 + j/L p1: what is frequent drifts, so that"
                 " the last tokens do not tell the order. Then the symbols are asked by falling frequency: the first at the event `sort`, the others at the"
                 " events after it, %s. Of equally frequent symbols the one that came first goes first.\n\n",
            (long long)c->length, (long long)c->vocabulary, (long long)c->vocabulary,
            c->answer == GIVEN ? "each of which holds the symbol before (a model that sees later events would read the answer there: models are causal here)"
                               : "which hold no symbol");
    double harmonic = 0;
    for (int64_t i = 1; i <= c->vocabulary; i++) harmonic += 1.0 / (double)i;
    fprintf(out, "The best that can be reached: accuracy 1; the answer is a function of the tokens. Guessing is right once in %lld", (long long)c->vocabulary);
    if (c->answer == GIVEN) fprintf(out, ", guessing among the symbols not given yet has an accuracy of %.3f", harmonic / (double)c->vocabulary);
    fputs(".\n\n"
          "In the paper: 20 symbols, L = 4,000, 8,000 and 16,000, 8,000 sequences to train on and 800 each to validate and test; 3 layers of width 300 with 6 heads"
          " and 1,024 tokens of short-term memory. The task file has a smaller model (width 120), for a processor.\n", out);
}

const sq_generator sq__generator_sorting = {
    .name = "sorting", .title = "the symbols of a long, drifting sequence by falling frequency", .source = "Martins et al. 2022, arXiv:2109.00301, section 4.1",
    .help = "Tokens of 20 symbols whose distribution drifts from one draw to another; then the symbols are asked by falling frequency. As published, "
            "with lengths of 4,000, 8,000 or 16,000. A model has to remember the whole sequence, not its end.",
    .id = "sequence", .config_size = sizeof(config), .fields = fields, .open = open_scratch, .close = close_scratch, .header = header, .sequence = sequence,
    .longest = longest, .data = data, .settings = settings, .readme = readme,
};
