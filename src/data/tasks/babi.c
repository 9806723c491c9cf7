/* bAbI files that the user has (arXiv:1502.05698), as event tables. A line is "N sentence" or "N question?<tab>answer<tab>supporting
 * lines"; N = 1 begins a story. Each question becomes one sequence: the sentences before it, then itself; earlier questions are left out. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/tasks/generator.h"
#include "io/file.h"

typedef struct config { sq_task_counts counts; char train_file[SQ_TEXT_FIELD_SIZE], test_file[SQ_TEXT_FIELD_SIZE]; double validation_share; int64_t memory; } config;

static const sq_field fields[] = {
    SQ_TEXT(config, train_file, "", "such as qa1_single-supporting-fact_train.txt (needed)"),
    SQ_TEXT(config, test_file, "", "such as qa1_single-supporting-fact_test.txt (needed)"),
    SQ_FLOAT(config, validation_share, "0.1", 0.001, 0.5, "of the training file's stories, its last ones, to choose the best epoch"),
    SQ_INT(config, memory, "50", 1, 100000, "latest sentences that a question keeps"),
    { "seed", SQ_FIELD_INT, offsetof(config, counts.seed), "1", 0, 1e15, NULL, "of no meaning here: nothing is drawn" },
    SQ_FIELDS_END
};

enum { MOST_WORDS = 32, MOST_SENTENCES = 100000 };

typedef struct babi {
    char *text[2];                     /* the files, cut in place into lines */
    size_t size[2];
    int64_t words;                     /* of the longest sentence */
    int64_t stories;                   /* of the training file */
    int64_t sentences;                 /* of the longest story */
    const char **story;                /* [sentences] lines of the story at hand */
} babi;

/* ---- lines ---- */

typedef struct line { int64_t number; const char *words, *answer; int64_t words_size, answer_size, count; } line;

static bool is_word(char c) { return c && c != ' ' && c != '\t' && c != '.' && c != '?' && c != '\r'; }

static bool read_line(const char *text, line *out)
{
    char *after;
    out->number = strtoll(text, &after, 10);
    if (after == text || out->number < 1 || *after != ' ') return false;
    out->words = after + 1;
    out->words_size = (int64_t)strcspn(out->words, "\t");
    const char *answer = out->words[out->words_size] ? out->words + out->words_size + 1 : NULL;
    out->answer = answer;
    out->answer_size = answer ? (int64_t)strcspn(answer, "\t\r") : 0;
    out->count = 0;
    for (int64_t i = 0; i < out->words_size; i++) out->count += is_word(out->words[i]) && (i == 0 || !is_word(out->words[i - 1]));
    return out->count > 0 && (!answer || out->answer_size > 0);
}

/* Lines become strings; each is checked. */
static sq_status check_lines(babi *b, int file, const char *path, sq_error *error)
{
    int64_t at_line = 0, sentences = 0, questions = 0;
    for (char *at = b->text[file], *end = at + b->size[file]; at < end;) {
        char *stop = memchr(at, '\n', (size_t)(end - at));
        line one;
        at_line++;
        if (!stop) stop = end;
        *stop = '\0';
        if (*at && *at != '\r') {
            if (!read_line(at, &one))
                return sq__fail(error, SQ_FORMAT, "%s:%lld:1: expected a number and a sentence, or a question, a tab and its answer", path, (long long)at_line);
            if (one.count > MOST_WORDS) return sq__fail(error, SQ_FORMAT, "%s:%lld:1: a sentence of %lld words; expected at most %d", path, (long long)at_line, (long long)one.count, MOST_WORDS);
            if (one.number == 1) sentences = 0;
            if (one.number == 1 && file == 0) b->stories++;
            if (one.count > b->words) b->words = one.count;
            if (!one.answer) sentences++;
            else questions++;
            if (sentences > b->sentences) b->sentences = sentences;
            if (sentences > MOST_SENTENCES) return sq__fail(error, SQ_FORMAT, "%s:%lld:1: a story of more than %d sentences", path, (long long)at_line, MOST_SENTENCES);
        }
        at = stop + 1;
    }
    return questions ? SQ_OK : sq__fail(error, SQ_FORMAT, "%s: holds no question with an answer: is it a bAbI file?", path);
}

static void close_files(void *state)
{
    babi *b = state;
    if (!b) return;
    sq__free(b->text[0]);
    sq__free(b->text[1]);
    sq__free(b->story);
    sq__free(b);
}

static sq_status open_files(void **state, void *options, sq_error *error)
{
    config *c = options;
    const char *const paths[] = { c->train_file, c->test_file };
    babi *b = *state = sq__alloc_zero(sizeof *b);
    if (!b) return sq__no_memory(error);
    if (!c->train_file[0] || !c->test_file[0]) return sq__fail(error, SQ_INVALID, "--train-file and --test-file are needed: bAbI files that you have");
    for (int f = 0; f < 2; f++) {
        SQ_TRY(sq__file_read(paths[f], &b->text[f], &b->size[f], error));
        SQ_TRY(check_lines(b, f, paths[f], error));
    }
    if (b->stories < 2) return sq__fail(error, SQ_INVALID, "%s: has one story; expected two at least, one to validate on", c->train_file);
    b->story = sq__alloc_array((size_t)b->sentences + 1, sizeof *b->story);
    return b->story ? SQ_OK : sq__no_memory(error);
}

/* ---- the table ---- */

static void header(const void *options, const void *state, FILE *out)
{
    (void)options;
    fputs("question,line", out);
    sq__task_columns(out, "w", ((const babi *)state)->words);
    fputs(",answer\n", out);
}

static void put_lower(FILE *out, const char *text, int64_t size)
{
    bool quoted = false;
    for (int64_t i = 0; i < size; i++) quoted = quoted || text[i] == ',' || text[i] == '"';
    if (quoted) fputc('"', out);
    for (int64_t i = 0; i < size; i++) {
        if (text[i] == '"') fputc('"', out);
        fputc(tolower((unsigned char)text[i]), out);
    }
    if (quoted) fputc('"', out);
}

static void put_sentence(sq_task_writing *w, int64_t place, const char *text)
{
    line one;
    if (!read_line(text, &one)) return;   /* checked before */
    fprintf(w->out, "%lld,%lld", (long long)w->number, (long long)place);
    for (int64_t i = 0; i < one.words_size;) {
        int64_t end = i;
        while (end < one.words_size && is_word(one.words[end])) end++;
        if (end > i) {
            fputc(',', w->out);
            put_lower(w->out, one.words + i, end - i);
        }
        i = end + 1;
    }
    for (int64_t k = one.count; k < ((const babi *)w->state)->words; k++) fputc(',', w->out);
    fputc(',', w->out);
    put_lower(w->out, one.answer ? one.answer : "", one.answer_size);
    fputc('\n', w->out);
    w->events++;
}

static void put_question(sq_task_writing *w, int64_t sentences, const char *question)
{
    const config *c = w->config;
    const babi *b = w->state;
    const int64_t first = sentences > c->memory ? sentences - c->memory : 0;
    for (int64_t i = first; i < sentences; i++) put_sentence(w, i - first + 1, b->story[i]);
    put_sentence(w, sentences - first + 1, question);
    w->number++;
}

static sq_status write_file(sq_task_writing *w, sq_error *error)
{
    const config *c = w->config;
    const babi *b = w->state;
    const int file = w->part == SQ_PART_TEST;
    int64_t sentences = 0, story = 0, kept = (int64_t)((1 - c->validation_share) * (double)b->stories);
    (void)error;
    if (kept < 1) kept = 1;
    if (kept == b->stories) kept--;
    w->number = 0;
    for (const char *at = b->text[file], *end = at + b->size[file]; at < end; at += strlen(at) + 1) {
        line one;
        if (!*at || *at == '\r' || !read_line(at, &one)) continue;
        if (one.number == 1) {
            sentences = 0;
            story++;
        }
        if (!one.answer) b->story[sentences++] = at;
        else if (file == 1 || (story <= kept) == (w->part == SQ_PART_TRAIN)) put_question(w, sentences, at);
    }
    return SQ_OK;
}

static int64_t longest(const void *options, const void *state)
{
    const config *c = options;
    const babi *b = state;
    return (b->sentences < c->memory ? b->sentences : c->memory) + 1;
}

static void data(const void *options, const void *state, FILE *out)
{
    (void)options;
    fputs("  categorical: [", out);
    for (int64_t i = 1; i <= ((const babi *)state)->words; i++) fprintf(out, "%sw%lld", i > 1 ? ", " : "", (long long)i);
    fputs("]\n  target: {column: answer}\n", out);
}

static void settings(const void *options, FILE *out)
{
    (void)options;
    sq__task_settings(out, &(sq_task_settings){ .layers = 2, .width = 64, .dropout = 0.1, .rate = 0.002, .epochs = 60, .batch = 32, .mechanisms = "softmax", .models = "memory-network", .baselines = "gru,logistic" });
}

static void readme(const void *options, const void *state, FILE *out)
{
    const config *c = options;
    (void)state;
    fprintf(out, "From the bAbI files %s and %s. A question and the sentences of its story before it (the latest %lld, without earlier questions) are a sequence, a sentence"
                 " an event; its words stand in w1, w2, ... by their place, in small letters. The last stories of the training file validate.\n\n"
                 "What can be reached is in arXiv:1502.05698 and arXiv:1503.08895 for each of the twenty tasks; most allow accuracy 1.\n",
            c->train_file, c->test_file, (long long)c->memory);
}

const sq_generator sq__generator_babi = {
    .name = "babi", .title = "bAbI question answering, from files that you have", .source = "Weston et al. 2015, arXiv:1502.05698",
    .help = "Makes a task of a pair of bAbI files (one of the twenty tasks), which this program neither holds nor fetches. Each question with the "
            "sentences before it is a sequence.",
    .id = "question", .config_size = sizeof(config), .fields = fields, .open = open_files, .close = close_files, .header = header, .file = write_file,
    .longest = longest, .data = data, .settings = settings, .readme = readme,
};
