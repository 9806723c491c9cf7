/* ListOps as in the Long-Range Arena (arXiv:2011.04006, after arXiv:1804.06028): nested lists of digits under MAX, MIN, MED (the
 * median, rounded down) and SM (sum modulo 10). An expression grows from its root: with probability 1/4, and while the depth allows it, a
 * node is a list of 2 to max_args nodes, else a digit. Expressions are drawn until one has a length in the range. Depends on nothing. */
#include <stdlib.h>

#include "base/memory.h"
#include "base/status.h"
#include "data/tasks/generator.h"

typedef struct config { sq_task_counts counts; int64_t min_length, max_length, max_depth, max_args; } config;

static const sq_field fields[] = {
    SQ_TASK_COUNTS(config, "20000", "2000", "2000"),
    SQ_INT(config, min_length, "500", 1, 1000000, "tokens of an expression, more than these"),
    SQ_INT(config, max_length, "2000", 4, 1000000, "and fewer than these"),
    SQ_INT(config, max_depth, "10", 2, 64, "of nested lists"),
    SQ_INT(config, max_args, "10", 2, 100, "of a list"),
    SQ_FIELDS_END
};

enum { OPERATORS = 4, CLOSE = 10, FIRST_OPERATOR = 11, ENOUGH_TRIES = 100000 };
static const char *const operators[OPERATORS] = { "[MIN", "[MAX", "[MED", "[SM" };

typedef struct expression {
    const config *of;
    sq_draws *draws;
    uint8_t *tokens;                   /* [max_length]: 0..9 a digit, CLOSE, FIRST_OPERATOR + which */
    int64_t length;                    /* beyond max_length: given up */
} expression;

static sq_status check(void *options, sq_error *error)
{
    const config *c = options;
    if (c->min_length + 1 < c->max_length) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "min-length %lld and max-length %lld leave no length between them", (long long)c->min_length, (long long)c->max_length);
}

static sq_status open_scratch(void **state, void *options, sq_error *error)
{
    const config *c = options;
    *state = sq__alloc((size_t)c->max_length);
    return *state ? SQ_OK : sq__no_memory(error);
}

static void header(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("expression,value,tokens\n", out);
}

static void put(expression *e, int token)
{
    if (e->length < e->of->max_length) e->tokens[e->length] = (uint8_t)token;
    e->length++;
}

static int by_digit(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }

static int value_of(int operator, int *values, int count)
{
    int sum = 0;
    qsort(values, (size_t)count, sizeof *values, by_digit);
    for (int i = 0; i < count; i++) sum += values[i];
    switch (operator) {
    case 0: return values[0];
    case 1: return values[count - 1];
    case 2: return (values[(count - 1) / 2] + values[count / 2]) / 2;
    default: return sum % 10;
    }
}

static int grow(expression *e, int64_t depth)
{
    int values[100];
    if (depth >= e->of->max_depth || sq__draw(e->draws) >= 0.25 || e->length >= e->of->max_length) {
        const int digit = (int)sq__draw_below(e->draws, 10);
        put(e, digit);
        return digit;
    }
    const int count = 2 + (int)sq__draw_below(e->draws, e->of->max_args - 1), operator = (int)sq__draw_below(e->draws, OPERATORS);
    put(e, FIRST_OPERATOR + operator);
    for (int i = 0; i < count; i++) values[i] = grow(e, depth + 1);
    put(e, CLOSE);
    return value_of(operator, values, count);
}

static sq_status write_file(sq_task_writing *w, sq_error *error)
{
    const config *c = w->config;
    const int64_t counts[] = { w->counts->train, w->counts->validation, w->counts->test };
    static const char *const streams[] = { "listops.train", "listops.validation", "listops.test" };
    for (w->number = 0; w->number < counts[w->part]; w->number++) {
        sq_draws draws = { sq__random_stream((uint64_t)w->counts->seed, streams[w->part], (uint64_t)w->number), 0 };
        expression e = { c, &draws, w->state, 0 };
        int value = 0, tries = 0;
        do {
            e.length = 0;
            value = grow(&e, 1);
        } while ((e.length <= c->min_length || e.length >= c->max_length) && ++tries < ENOUGH_TRIES);
        if (tries == ENOUGH_TRIES)
            return sq__fail(error, SQ_INVALID, "%d expressions in a row were not longer than min-length %lld and shorter than max-length %lld; allow more depth or arguments",
                            ENOUGH_TRIES, (long long)c->min_length, (long long)c->max_length);
        fprintf(w->out, "%lld,%d,", (long long)w->number, value);
        for (int64_t i = 0; i < e.length; i++) {
            const int token = e.tokens[i];
            if (i) fputc(' ', w->out);
            if (token < CLOSE) fprintf(w->out, "%d", token);
            else fputs(token == CLOSE ? "]" : operators[token - FIRST_OPERATOR], w->out);
        }
        fputc('\n', w->out);
        w->events += e.length;
    }
    return SQ_OK;
}

static int64_t longest(const void *options, const void *state)
{
    const config *c = options;
    (void)state;
    return c->max_length;
}

static void data(const void *options, const void *state, FILE *out)
{
    (void)options;
    (void)state;
    fputs("  explode: {column: tokens, separator: \" \", field_separator: \"/\", into: [token]}\n"
          "  categorical: [token]\n"
          "  target: {column: value}\n", out);
}

static void settings(const void *options, FILE *out)
{
    (void)options;
    sq__task_settings(out, &(sq_task_settings){ .layers = 2, .width = 128, .dropout = 0.1, .rate = 0.001, .epochs = 10, .batch = 32,
                                                .mechanisms = "softmax,linear,bigbird", .baselines = "gru,logistic" });
}

static void readme(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    fprintf(out, "An expression is one cell of tokens: digits, `[MAX`, `[MIN`, `[MED` (median, rounded down), `[SM` (sum modulo 10) and `]`. Depth at most %lld, at most"
                 " %lld arguments, more than %lld and fewer than %lld tokens; a node is a list with probability 1/4, else a digit. Its value, a digit, is asked.\n\n"
                 "The best that can be reached: accuracy 1; the value is a function of the tokens. Published models of the Long-Range Arena reach 0.36 to 0.38, with"
                 " 96,000 expressions to train on (`--train 96000`), 2,000 to validate and 2,000 to test; its files came from another random generator.\n",
            (long long)c->max_depth, (long long)c->max_args, (long long)c->min_length, (long long)c->max_length);
}

const sq_generator sq__generator_listops = {
    .name = "listops", .title = "the value of a long nested expression", .source = "Tay et al. 2021, arXiv:2011.04006; Nangia & Bowman 2018, arXiv:1804.06028",
    .help = "Nested lists of digits under MAX, MIN, MED and SM, 500 to 2,000 tokens; the value is asked (10 classes). Drawn as in the Long-Range Arena.",
    .id = "expression", .config_size = sizeof(config), .fields = fields, .check = check, .open = open_scratch, .close = sq__free, .header = header, .file = write_file,
    .longest = longest, .data = data, .settings = settings, .readme = readme,
};
