/* subquad show: the matrix that a mechanism implies, as characters and as a picture; what several layers reach. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "mechanisms.h"
#include "table.h"

#define MAX_LAYERS 64
#define MAX_TOPICS 65536

typedef struct show_request {
    const char *output, *qkv, *globals_text, *bias_text;
    int64_t n, heads, dim, layers, topics, seed, layer, head;
    bool causal;
    pairs options;
    int mechanism;
    uint8_t *globals;
    sq_attention_desc desc;
} show_request;

static int parse_globals(show_request *r, int64_t n)
{
    if (!r->globals_text) return -1;
    r->globals = calloc((size_t)n, 1);
    if (!r->globals) return report_error(&(sq_error){ .status = SQ_NO_MEMORY, .message = "no memory" });
    for (const char *at = r->globals_text;; at++) {
        char item[32];
        const size_t length = strcspn(at, ",");
        int64_t token;
        snprintf(item, sizeof item, "%.*s", (int)(length < sizeof item ? length : sizeof item - 1), at);
        if (!read_count(item, 0, n - 1, &token))
            return usage_error("show", "--global-tokens %s: '%s' is no token; expected numbers from 0 to %lld", r->globals_text, item, (long long)(n - 1));
        r->globals[token] = 1;
        at += length;
        if (!*at) return -1;
    }
}

/* One character a weight, shades by the root of its share of the row's largest; more than `most` columns are put together. */
static void print_characters(const float *matrix, int64_t rows, int64_t columns)
{
    static const char *const shades[] = { " ", "░", "▒", "▓", "█" };
    enum { MOST = 128 };
    const int64_t wide = columns <= MOST ? 1 : (columns + MOST - 1) / MOST;
    for (int64_t i = 0; i < rows; i += wide) {
        double shade[MOST] = { 0 };
        for (int64_t a = i; a < rows && a < i + wide; a++) {
            double most = 0;
            for (int64_t b = 0; b < columns; b++) most = fmax(most, fabs(matrix[a * columns + b]));
            for (int64_t b = 0; b < columns && most > 0; b++) shade[b / wide] = fmax(shade[b / wide], sqrt(fabs(matrix[a * columns + b]) / most));
        }
        for (int64_t j = 0; j * wide < columns; j++)
            fputs(shades[shade[j] < 0.01 ? 0 : shade[j] < 0.35 ? 1 : shade[j] < 0.6 ? 2 : shade[j] < 0.85 ? 3 : 4], stdout);
        fputc('\n', stdout);
    }
}

static double seen(const float *matrix, int64_t rows, int64_t columns)
{
    int64_t count = 0;
    for (int64_t i = 0; i < rows * columns; i++) count += matrix[i] != 0;
    return (double)count / (double)(rows * columns);
}

static int draw(const show_request *r, const sq_picture *pictures, int count)
{
    char title[256];
    sq_error error;
    const bool bias = strcmp(r->bias_text, "none") != 0;
    size_t used = (size_t)snprintf(title, sizeof title, "%s%s%s%s", r->desc.mechanism, r->causal ? ", causal" : "", bias ? ", bias " : "",
                                   bias ? r->bias_text : "");
    for (int i = 0; i < r->options.count && used < sizeof title; i++)
        used += (size_t)snprintf(title + used, sizeof title - used, "%s%s %s", i ? ", " : ": ", r->options.item[i].key, r->options.item[i].value);
    if (sq_draw_matrices(r->output, title, pictures, count, &error) != SQ_OK) return report_error(&error);
    fprintf(stderr, "picture: %s\n", r->output);
    return 0;
}

static int show_heads(const show_request *r, const sq_qkv *qkv)
{
    enum { MOST_HEADS = 16 };
    sq_picture pictures[MOST_HEADS];
    char titles[MOST_HEADS][64];
    sq_matrix_info info;
    sq_error error;
    const int64_t size = qkv->T * qkv->N;
    const int heads = qkv->H < MOST_HEADS ? (int)qkv->H : MOST_HEADS;
    float *matrix = malloc((size_t)(qkv->H * size) * sizeof *matrix);
    if (!matrix) return report_error(&(sq_error){ .status = SQ_NO_MEMORY, .message = "no memory" });
    sq_status status = sq_attention_matrix(&r->desc, qkv, NULL, r->globals, matrix, &info, &error);
    int result = status == SQ_OK ? 0 : report_error(&error);
    for (int h = 0; h < heads && result == 0; h++) {
        snprintf(titles[h], sizeof titles[h], "head %d: %.0f%% of pairs", h, 100 * seen(matrix + h * size, qkv->T, qkv->N));
        pictures[h] = (sq_picture){ titles[h], qkv->T, qkv->N, matrix + h * size };
        if (r->output) continue;
        printf("%s%s\n", h ? "\n" : "", titles[h]);
        print_characters(matrix + h * size, qkv->T, qkv->N);
    }
    if (result == 0 && info.by_channel) fprintf(stderr, "subquad: show: weights differ from channel to channel: this is their mean\n");
    if (result == 0 && info.linearity > 1e-3)
        fprintf(stderr, "subquad: show: not linear in the values (off by %.0f%%): this is its derivative at random ones\n", 100 * info.linearity);
    if (result == 0 && r->output) result = draw(r, pictures, heads);
    free(matrix);
    return result;
}

static int show_reach(const show_request *r, const sq_qkv *qkv)
{
    const int layers = (int)r->layers;
    const int64_t size = qkv->T * qkv->T;
    sq_picture pictures[MAX_LAYERS];
    static char titles[MAX_LAYERS][64];
    sq_error error;
    uint8_t *reach = malloc((size_t)(layers * size));
    float *shades = malloc((size_t)(layers * size) * sizeof *shades);
    int result = reach && shades ? 0 : report_error(&(sq_error){ .status = SQ_NO_MEMORY, .message = "no memory" });
    if (result == 0 && sq_attention_reach(&r->desc, qkv, r->globals, layers, reach, &error) != SQ_OK) result = report_error(&error);
    for (int l = 0; l < layers && result == 0; l++) {
        for (int64_t i = 0; i < size; i++) shades[l * size + i] = reach[l * size + i];
        snprintf(titles[l], sizeof titles[l], "after layer %d: %.1f%% of pairs", l + 1, 100 * seen(shades + l * size, qkv->T, qkv->T));
        pictures[l] = (sq_picture){ titles[l], qkv->T, qkv->T, shades + l * size };
        if (r->output) continue;
        printf("%s%s\n", l ? "\n" : "", titles[l]);
        print_characters(shades + l * size, qkv->T, qkv->T);
    }
    if (result == 0 && r->output) result = draw(r, pictures, layers);
    free(reach);
    free(shades);
    return result;
}

static int run(show_request *r)
{
    sq_qkv_set set;
    sq_error error;
    sq_status status = r->qkv ? sq_qkv_load(&set, r->qkv, 1, r->n, &error) : sq_qkv_draw(&set, r->heads, r->n, r->dim, r->topics, (uint64_t)r->seed, &error);
    if (status != SQ_OK) return report_error(&error);
    const sq_qkv *qkv = &set.items[0];
    int result = parse_globals(r, qkv->N);
    if (result < 0) result = r->layers > 1 ? show_reach(r, qkv) : show_heads(r, qkv);
    free(r->globals);
    sq_qkv_set_clear(&set);
    return result;
}

static int resolve(show_request *r, const char *name, sq_option *chosen)
{
    int count, status = parse_names("show", NAMES_ATTENTION, name, &r->mechanism, &count);
    sq_mechanism_info info;
    if (status >= 0) return status;
    if (count != 1 || strchr(name, ',')) return usage_error("show", "expected one mechanism");
    status = check_options("show", &r->mechanism, 1, &r->options);
    if (status >= 0) return status;
    if (r->n < 1 || r->n > 4096 || r->heads < 1 || r->heads > 64 || r->dim < 1 || r->dim > 1024 || r->layers < 1 || r->layers > MAX_LAYERS ||
        r->topics < 1 || r->topics > MAX_TOPICS)
        return usage_error("show", "expected --n 1 to 4096, --heads 1 to 64, --dim 1 to 1024, --layers 1 to %d, --topics 1 to %d", MAX_LAYERS,
                           MAX_TOPICS);
    static const char *const biases[] = { "none", "alibi", "relative" };
    int bias = 0;
    while (bias < 3 && strcmp(r->bias_text, biases[bias]) != 0) bias++;
    if (bias == 3) return usage_error("show", "--position-bias: unknown value '%s'; expected: none, alibi, relative", r->bias_text);
    if (sq_mechanism_get(r->mechanism, &info) != SQ_OK) return 2;
    r->desc = (sq_attention_desc){ .mechanism = info.name, .options = chosen, .option_count = options_of(r->mechanism, &r->options, chosen),
                                   .causal = r->causal, .bias = (sq_bias_kind)bias, .layer = (int)r->layer, .seed = (uint64_t)r->seed };
    return -1;
}

int command_show(int argc, char **argv)
{
    show_request r = { .n = 64, .heads = 1, .dim = 32, .layers = 1, .topics = 6, .seed = 1, .bias_text = "none" };
    sq_option chosen[sizeof r.options.item / sizeof *r.options.item];
    const flag flags[] = {
        { "output", 'o', FLAG_TEXT, &r.output, "FILE", "a picture, .svg or .png, instead of characters" },
        { "n", 'n', FLAG_COUNT, &r.n, "N", "length (64)" },
        { "heads", 0, FLAG_COUNT, &r.heads, "N", "(1)" },
        { "dim", 0, FLAG_COUNT, &r.dim, "N", "size of a head (32)" },
        { "causal", 0, FLAG_SWITCH, &r.causal, NULL, "query i sees keys up to i" },
        { "layers", 'L', FLAG_COUNT, &r.layers, "N", "more than 1: what is reached after each layer (1)" },
        { "layer", 0, FLAG_COUNT, &r.layer, "N", "the layer that is shown, where patterns alternate (0)" },
        { "global-tokens", 'g', FLAG_TEXT, &r.globals_text, "TOKENS", "tokens that see all and are seen by all: 0,5" },
        { "set", 0, FLAG_PAIR, &r.options, "OPTION=VALUE", "an option of the mechanism whose name is a flag above: heads=split" },
        { "position-bias", 0, FLAG_TEXT, &r.bias_text, "KIND", "by distance: none, alibi, relative (none)" },
        { "qkv", 0, FLAG_TEXT, &r.qkv, "FILE", "queries and keys of a safetensors file; else they are drawn" },
        { "topics", 0, FLAG_COUNT, &r.topics, "N", "of the drawn sequence, which come in runs (6)" },
        { "seed", 0, FLAG_COUNT, &r.seed, "N", "of all draws (1)" },
    };
    usage u = { .command = "show", .synopsis = "MECHANISM [--n 64] [--causal] [--layers L] [--OPTION VALUE] [-o FILE.svg|.png]",
                .summary = "The attention matrix that a mechanism implies: what each row takes from each value, found by running it on\n"
                           "columns of the identity. Shades are roots of the share of a row's largest weight.",
                .flags = flags, .flag_count = sizeof flags / sizeof *flags, .least = 1, .most = 1, .mechanism_options = &r.options };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    status = resolve(&r, argv[1], chosen);
    return status >= 0 ? status : run(&r);
}
