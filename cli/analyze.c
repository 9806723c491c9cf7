/* subquad analyze: spectrum, entropy and reach of attention matrices, by layer and head. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "flags.h"
#include "progress.h"
#include "table.h"

typedef struct analyze_request {
    const char *output, *save;
    int64_t sequences, longest, window;
    int threads;
} analyze_request;

enum { RANKS = 14 };                   /* points of the mean spectrum: ranks 1, 2, 4, ... */
typedef struct head_summary {
    char name[96];
    int count;
    double entropy, distance, inside, rank90, rank99, rows;
    double longest, energy[RANKS], near[SQ_MATRIX_WINDOWS];
} head_summary;

static void read_qkv(const analyze_request *r, const char *path, sq_qkv_set *set, sq_status *status, sq_error *error)
{
    const size_t length = strlen(path), ending = strlen(".safetensors");
    const bool file = length > ending && strcmp(path + length - ending, ".safetensors") == 0;
    *status = file ? sq_qkv_load(set, path, r->sequences, r->longest, error)
                   : sq_qkv_capture(set, path, r->sequences, r->longest, r->threads, stop_on_signal(), error);
}

static double mass_inside(const float *matrix, int64_t T, int64_t N, int64_t window)
{
    double inside = 0, all = 0;
    for (int64_t i = 0; i < T; i++)
        for (int64_t j = 0; j < N; j++) {
            all += matrix[i * N + j];
            if (j - i <= window && i - j <= window) inside += matrix[i * N + j];
        }
    return all > 0 ? inside / all : 0;
}

static sq_status add(head_summary *summary, const analyze_request *r, const float *matrix, int64_t T, int64_t N, sq_error *error)
{
    sq_matrix_statistics s;
    const sq_status status = sq_matrix_measure(&s, matrix, T, N, error);
    if (status != SQ_OK) return status;
    const int64_t count = T < N ? T : N;
    summary->count++;
    summary->rows += (double)count;
    summary->entropy += s.entropy;
    summary->distance += s.distance;
    summary->inside += mass_inside(matrix, T, N, r->window);
    summary->rank90 += (double)s.rank90;
    summary->rank99 += (double)s.rank99;
    summary->longest = (double)count > summary->longest ? (double)count : summary->longest;
    for (int i = 0; i < RANKS; i++) summary->energy[i] += s.energy[(INT64_C(1) << i) < count ? (1 << i) - 1 : count - 1];
    for (int w = 0; w < SQ_MATRIX_WINDOWS; w++) summary->near[w] += w < s.window_count ? s.inside[w] : 1;
    sq_matrix_statistics_clear(&s);
    return SQ_OK;
}

static head_summary *find(head_summary *all, int *count, const char *layer, int64_t head)
{
    char name[96];
    snprintf(name, sizeof name, "%s, head %lld", layer, (long long)head);
    for (int i = 0; i < *count; i++)
        if (strcmp(all[i].name, name) == 0) return &all[i];
    snprintf(all[*count].name, sizeof all->name, "%s", name);
    return &all[(*count)++];
}

static sq_status measure(const analyze_request *r, const sq_qkv_set *set, head_summary *all, int *count, sq_error *error)
{
    for (int s = 0; s < set->count; s++) {
        const sq_qkv *item = &set->items[s];
        const sq_attention_desc desc = { .mechanism = "softmax", .causal = set->causal, .threads = r->threads };
        float *matrix = malloc((size_t)(item->H * item->T * item->N) * sizeof *matrix);
        if (!matrix) return SQ_NO_MEMORY;
        sq_status status = sq_attention_matrix(&desc, item, NULL, NULL, matrix, NULL, error);
        for (int64_t h = 0; h < item->H && status == SQ_OK; h++)
            status = add(find(all, count, item->name, h), r, matrix + h * item->T * item->N, item->T, item->N, error);
        free(matrix);
        if (status != SQ_OK) return status;
    }
    return SQ_OK;
}

static void print_table(const analyze_request *r, const head_summary *all, int count)
{
    char inside[48];
    snprintf(inside, sizeof inside, ">within %lld", (long long)r->window);
    const char *const headings[] = { "layer and head", ">rows", ">entropy, bits", ">distance", inside, ">rank 90%", ">rank 99%" };
    table t;
    table_begin(&t, headings, 7);
    for (int i = 0; i < count; i++) {
        const double n = all[i].count;
        table_row_begin(&t);
        table_cell(&t, 0, "%s", all[i].name);
        table_cell(&t, 1, "%.0f", all[i].rows / n);
        table_cell(&t, 2, "%.2f", all[i].entropy / n);
        table_cell(&t, 3, "%.1f", all[i].distance / n);
        table_cell(&t, 4, "%.1f%%", 100 * all[i].inside / n);
        table_cell(&t, 5, "%.1f", all[i].rank90 / n);
        table_cell(&t, 6, "%.1f", all[i].rank99 / n);
    }
    table_print(&t, stdout);
}

/* Powers of two into x, up to the first that is not below `longest`; their number. */
static int powers(double *x, double longest, int most)
{
    int count = 0;
    do x[count] = (double)(INT64_C(1) << count);
    while (++count < most && x[count - 1] < longest);
    return count;
}

static int draw(const analyze_request *r, head_summary *all, int count)
{
    double ranks[RANKS], windows[SQ_MATRIX_WINDOWS], longest = 1;
    sq_line *lines = calloc((size_t)count, sizeof *lines);
    char path[2][512];
    sq_error error = { .status = SQ_NO_MEMORY, .message = "no memory" };
    if (!lines) return report_error(&error);
    for (int i = 0; i < count; i++) {
        longest = all[i].longest > longest ? all[i].longest : longest;
        for (int j = 0; j < RANKS; j++) all[i].energy[j] /= all[i].count;
        for (int w = 0; w < SQ_MATRIX_WINDOWS; w++) all[i].near[w] /= all[i].count;
    }
    const int rank_count = powers(ranks, longest, RANKS), window_count = powers(windows, longest, SQ_MATRIX_WINDOWS);
    const char *ending = strrchr(r->output, '.');
    snprintf(path[0], sizeof path[0], "%s", r->output);
    snprintf(path[1], sizeof path[1], "%.*s-distance%s", (int)(ending ? ending - r->output : (long)strlen(r->output)), r->output, ending ? ending : "");
    for (int i = 0; i < count; i++) lines[i] = (sq_line){ all[i].name, rank_count, ranks, all[i].energy };
    sq_status status = sq_draw_lines(path[0], &(sq_chart){ .title = "Energy in the first singular values", .x_label = "rank", .log_x = true, .points = true,
                                     .y_label = "share of the squared norm", .y_low = 0, .y_high = 1.02 }, lines, count, &error);
    for (int i = 0; i < count; i++) lines[i] = (sq_line){ all[i].name, window_count, windows, all[i].near };
    if (status == SQ_OK)
        status = sq_draw_lines(path[1], &(sq_chart){ .title = "Attention inside a window", .x_label = "window to each side, rows",
                               .y_label = "share of the weights", .log_x = true, .points = true, .y_low = 0, .y_high = 1.02 }, lines, count, &error);
    free(lines);
    if (status != SQ_OK) return report_error(&error);
    fprintf(stderr, "pictures: %s, %s\n", path[0], path[1]);
    return 0;
}

static int run(const analyze_request *r, const char *path)
{
    sq_qkv_set set;
    sq_error error = { .message = "no memory" };
    sq_status status;
    int count = 0, most = 1, result;
    read_qkv(r, path, &set, &status, &error);
    if (status != SQ_OK) return report_error(&error);
    for (int i = 0; i < set.count; i++) most += (int)set.items[i].H;
    head_summary *all = calloc((size_t)most, sizeof *all);
    status = !all ? SQ_NO_MEMORY : r->save ? sq_qkv_save(&set, r->save, &error) : SQ_OK;
    if (status == SQ_OK) status = measure(r, &set, all, &count, &error);
    error.status = status;
    result = status == SQ_OK ? 0 : report_error(&error);
    if (result == 0) print_table(r, all, count);
    if (result == 0 && r->output) result = draw(r, all, count);
    free(all);
    sq_qkv_set_clear(&set);
    return result;
}

int command_analyze(int argc, char **argv)
{
    analyze_request r = { .sequences = 8, .longest = 1024, .window = 32, .threads = 1 };
    const flag flags[] = {
        { "output", 'o', FLAG_TEXT, &r.output, "FILE", "pictures, .svg or .png: FILE and FILE-distance" },
        { "sequences", 0, FLAG_COUNT, &r.sequences, "N", "of each layer, at most; 0: all (8)" },
        { "n", 'n', FLAG_COUNT, &r.longest, "N", "rows of a sequence, at most (1024)" },
        { "window", 0, FLAG_COUNT, &r.window, "N", "rows to each side, for the share of weights inside (32)" },
        { "save", 0, FLAG_TEXT, &r.save, "FILE", "the queries, keys and values as safetensors, for 'subquad approximate'" },
        { "threads", 0, FLAG_FEW, &r.threads, "N", "(1)" },
    };
    usage u = { .command = "analyze", .synopsis = "RUN|FILE.safetensors [-o FILE.svg|.png] [--save FILE]",
                .summary = "What exact attention looks like, by layer and head: from what a trained model's layers see in the first clients of\n"
                           "its test split (RUN: the folder of a training), or from tensors q, k, v [batch, heads, rows, width] of a file.\n"
                           "A low rank speaks for Linformer and Nystroemformer, a short distance for windows, a low entropy for hashing and\n"
                           "clustering. Means over the sequences.",
                .flags = flags, .flag_count = sizeof flags / sizeof *flags, .least = 1, .most = 1 };
    int count;
    int status = flags_parse(&u, argc, argv, &count);
    if (status >= 0) return status;
    if (r.longest < 1 || r.longest > 8192) return usage_error(u.command, "--n %lld; expected 1 to 8192", (long long)r.longest);
    return run(&r, argv[1]);
}
