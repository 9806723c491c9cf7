/* subquad approximate: error of every mechanism against exact attention for its operations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "command.h"
#include "mechanisms.h"
#include "progress.h"
#include "table.h"

typedef struct approximate_request {
    const char *output, *to;
    int64_t sequences, longest, seed;
    int threads;
    bool causal;
} approximate_request;

static void print_rows(const sq_approximation *rows, int count)
{
    static const char *const headings[] = { "mechanism", "option", ">MFLOP", ">error" };
    bool drawn = false, refused = false;
    table t;
    table_begin(&t, headings, 4);
    for (int i = 0; i < count; i++) {
        const sq_approximation *row = &rows[i];
        refused = refused || *row->refusal;
        if (*row->refusal) continue;
        drawn = drawn || row->drawn;
        table_row_begin(&t);
        table_cell(&t, 0, "%s%s", row->mechanism, row->drawn ? " (untrained)" : "");
        table_cell(&t, 1, "%s", row->option);
        table_cell(&t, 2, "%.4g", row->flops / 1e6);
        table_cell(&t, 3, "%.4f", row->error);
    }
    table_print(&t, stdout);
    if (drawn) printf("\nuntrained: has tensors that training fits, here as they begin\n");
    if (refused) printf("\nleft out:\n");
    for (int i = 0; i < count; i++)
        if (*rows[i].refusal) printf("  %s: %s\n", rows[i].mechanism, rows[i].refusal);
}

static int draw(const approximate_request *r, const sq_approximation *rows, int count)
{
    sq_line *lines = calloc((size_t)count + 1, sizeof *lines);
    double *points = calloc((size_t)count + 1, 2 * sizeof *points), *x = points, *y = points ? points + count : NULL;
    char title[128];
    int used = 0;
    sq_error error = { .status = SQ_NO_MEMORY, .message = "no memory" };
    sq_status status = SQ_NO_MEMORY;
    for (int i = 0; lines && points && i < count; i++) {   /* what is exact but for rounding has no place on a logarithmic axis */
        x[i] = rows[i].flops;
        y[i] = rows[i].error;
        if (*rows[i].refusal || strcmp(rows[i].mechanism, r->to) == 0 || !(rows[i].error > 1e-5)) continue;
        if (used && strcmp(lines[used - 1].name, rows[i].mechanism) == 0 && lines[used - 1].y + lines[used - 1].count == y + i) lines[used - 1].count++;
        else lines[used++] = (sq_line){ rows[i].mechanism, 1, x + i, y + i };
    }
    snprintf(title, sizeof title, "Error against %s for the cost of a forward pass", r->to);
    if (lines && points)
        status = sq_draw_lines(r->output, &(sq_chart){ .title = title, .x_label = "floating-point operations", .y_label = "relative error", .log_x = true,
                               .log_y = true, .points = true }, lines, used, &error);
    free(lines);
    free(points);
    if (status != SQ_OK) return report_error(&error);
    fprintf(stderr, "picture: %s\n", r->output);
    return 0;
}

static int run(const approximate_request *r, const char *path)
{
    sq_qkv_set set;
    sq_approximation *rows;
    sq_error error;
    int count;
    if (sq_qkv_load(&set, path, r->sequences, r->longest, &error) != SQ_OK) return report_error(&error);
    set.causal = set.causal || r->causal;
    const sq_status status = sq_approximate(&set, r->to, (uint64_t)r->seed, r->threads, stop_on_signal(), &rows, &count, &error);
    sq_qkv_set_clear(&set);
    if (status != SQ_OK) return report_error(&error);
    print_rows(rows, count);
    const int result = r->output ? draw(r, rows, count) : 0;
    sq_approximations_clear(&rows);
    return result;
}

int command_approximate(int argc, char **argv)
{
    approximate_request r = { .to = "softmax", .sequences = 4, .longest = 4096, .seed = 1, .threads = 1 };
    const flag flags[] = {
        { "to", 0, FLAG_TEXT, &r.to, "MECHANISM", "what is to be approximated (softmax)" },
        { "output", 'o', FLAG_TEXT, &r.output, "FILE", "a picture, .svg or .png: error against cost" },
        { "causal", 0, FLAG_SWITCH, &r.causal, NULL, "query i sees keys up to i, also where the file does not say so" },
        { "sequences", 0, FLAG_COUNT, &r.sequences, "N", "of each layer, at most; 0: all (4)" },
        { "n", 'n', FLAG_COUNT, &r.longest, "N", "rows of a sequence, at most; 0: all (4096)" },
        { "seed", 0, FLAG_COUNT, &r.seed, "N", "of the mechanisms' draws (1)" },
        { "threads", 0, FLAG_FEW, &r.threads, "N", "(1)" },
    };
    usage u = { .command = "approximate", .synopsis = "FILE.safetensors [--to softmax] [-o FILE.svg|.png]",
                .summary = "How near every mechanism comes to exact attention on given queries, keys and values, for several values of the\n"
                           "option that sets its cost. FILE holds q, k, v [batch, heads, rows, width], as 'subquad analyze RUN --save' writes it.",
                .flags = flags, .flag_count = sizeof flags / sizeof *flags, .least = 1, .most = 1 };
    int count, mechanism, found;
    int status = flags_parse(&u, argc, argv, &count);
    if (status < 0) status = parse_names(u.command, NAMES_ATTENTION, r.to, &mechanism, &found);
    return status >= 0 ? status : run(&r, argv[1]);
}
