/* subquad compare: every mechanism on one task; the final tables. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "command.h"
#include "mechanisms.h"
#include "progress.h"
#include "table.h"
#include "taskfile.h"

/* Three decimals, or of a metric of any size three digits. */
static int decimals_of(const sq_metric_info *metric, double value)
{
    if (!metric->scaled || value == 0) return 3;
    const int decimals = 2 - (int)floor(log10(fabs(value)));
    return decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
}

static void mean_cell(table *t, int column, const sq_metric_info *metric, const sq_compare_row *row)
{
    const double mean = sq_metric_value(metric->name, &row->mean), deviation = sq_metric_value(metric->name, &row->deviation);
    const int decimals = isfinite(mean) ? decimals_of(metric, mean) : 0;
    if (!isfinite(mean)) table_cell(t, column, "-");
    else if (isfinite(deviation)) table_cell(t, column, "%.*f±%.*f", decimals, mean, decimals, deviation);
    else table_cell(t, column, "%.*f", decimals, mean);
}

static void fill_cost(table *t, const sq_compare_row *row)
{
    char text[32];
    if (row->seeds == 0) return;
    table_cell(t, 1, "%s", number_text((double)row->parameters, text, sizeof text));
    if (isfinite(row->epoch_seconds)) table_cell(t, 2, "%.2f", row->epoch_seconds);
    if (isfinite(row->clients_per_second)) table_cell(t, 3, "%s", number_text(row->clients_per_second, text, sizeof text));
    if (isfinite(row->tokens_per_second)) table_cell(t, 4, "%s", number_text(row->tokens_per_second, text, sizeof text));
    table_cell(t, 5, "%s", bytes_text((double)row->train_peak_bytes, text, sizeof text));
    if (row->inference_peak_bytes) table_cell(t, 6, "%s", bytes_text((double)row->inference_peak_bytes, text, sizeof text));
}

static bool swept(const sq_compare_row *row)
{
    return isfinite(row->time_exponent) || isfinite(row->memory_exponent);
}

static void fill_growth(table *t, const sq_compare_row *row)
{
    if (isfinite(row->time_exponent)) table_cell(t, 1, "n^%.2f", row->time_exponent);
    if (isfinite(row->memory_exponent)) table_cell(t, 2, "n^%.2f", row->memory_exponent);
    if (isfinite(row->crossover)) table_cell(t, 3, "%.0f", row->crossover);
    else if (swept(row)) table_cell(t, 3, "-");
}

/* The best value of a field of the rows; sign -1: less is better. */
typedef struct best_of { int column; size_t field; int sign; } best_of;
#define FIELD(member) offsetof(sq_compare_row, member)

static void mark_best(table *t, const sq_compare_result *result, const int *place, const best_of *best)
{
    int row = -1;
    double most = 0;
    for (int i = 0; i < result->row_count; i++) {
        double value;
        memcpy(&value, (const char *)&result->rows[i] + best->field, sizeof value);
        if (!isfinite(value) || (row >= 0 && best->sign * value <= best->sign * most)) continue;
        row = i;
        most = value;
    }
    if (row >= 0 && result->row_count > 1) table_mark(t, place[row], best->column);
}

/* One table over the rows of a result: mechanisms, other models, a line across, baselines; or mechanisms alone, where others have no values. At
 * most 80 characters wide with names of 18. */
typedef struct view {
    int columns;
    const char *headings[7];
    void (*fill)(table *t, const sq_compare_row *row);
    bool mechanisms_only;
    int best_count;
    best_of best[4];
} view;

static const view cost_view = { 7, { "cost", ">params", ">s/epoch", ">clients/s", ">tokens/s", ">train mem", ">infer mem" }, fill_cost, false, 2,
                                { { 2, FIELD(epoch_seconds), -1 }, { 3, FIELD(clients_per_second), 1 } } };
static const view growth_view = { 4, { "growth", ">time", ">memory", ">faster from n =" }, fill_growth, true, 0, { { 0 } } };

/* The rows' names; place: where each stands in the table. */
static int begin_row(table *t, const sq_compare_result *result, int i, int *place)
{
    const sq_compare_row *row = &result->rows[i];
    if (i > 0 && row->baseline && !row[-1].baseline) table_rule(t);
    table_row_begin(t);
    place[i] = t->count - 1;
    table_cell(t, 0, "%s", row->mechanism);
    return place[i];
}

static void print_view(const view *v, const sq_compare_result *result, int *place)
{
    table t;
    table_begin(&t, v->headings, v->columns);
    for (int i = 0; i < result->row_count; i++) {
        const sq_compare_row *row = &result->rows[i];
        if ((row->baseline || row->other_model) && v->mechanisms_only) continue;
        begin_row(&t, result, i, place);
        v->fill(&t, row);
    }
    for (int i = 0; i < v->best_count; i++) mark_best(&t, result, place, &v->best[i]);
    table_print(&t, stdout);
}

/* As many metrics as the target has. */
static void print_quality(const sq_compare_result *result, int *place)
{
    const char *headings[8] = { "test split" };
    sq_metric_info metrics[7];
    int count = 0;
    table t;
    for (; count < 7 && sq_metric(result->target, count, &metrics[count]) == SQ_OK; count++)
        headings[count + 1] = strcmp(metrics[count].name, "auc") == 0 ? "AUC" : strcmp(metrics[count].name, "f1") == 0 ? "F1" : metrics[count].name;
    table_begin(&t, headings, count + 1);
    for (int i = 0; i < result->row_count; i++) {
        begin_row(&t, result, i, place);
        for (int m = 0; m < count; m++) mean_cell(&t, m + 1, &metrics[m], &result->rows[i]);
    }
    for (int m = 0; m < count && result->row_count > 1; m++) {
        int best = -1;
        for (int i = 0; i < result->row_count; i++) {
            const double value = sq_metric_value(metrics[m].name, &result->rows[i].mean), most = best < 0 ? NAN : sq_metric_value(metrics[m].name, &result->rows[best].mean);
            if (isfinite(value) && (best < 0 || (metrics[m].falls ? value < most : value > most))) best = i;
        }
        if (best >= 0) table_mark(&t, place[best], m + 1);
    }
    table_print(&t, stdout);
}

static void print_constant(const sq_compare_result *result)
{
    sq_metric_info metric;
    if (result->target == SQ_TARGET_CLASS) {
        printf("always saying the most frequent class: accuracy %.3f\n", result->majority);
        return;
    }
    printf("saying the same of all, what fits the training split best:");
    for (int m = 0; sq_metric(result->target, m, &metric) == SQ_OK; m++) {
        const double value = sq_metric_value(metric.name, &result->constant);
        if (isfinite(value)) printf("%s %s %.*f", m ? "," : "", metric.name, decimals_of(&metric, value), value);
    }
    printf("\n");
}

static void print_remarks(const sq_compare_result *result)
{
    int seeds = 0;
    for (int i = 0; i < result->row_count; i++)
        if (result->rows[i].seeds > seeds) seeds = result->rows[i].seeds;
    printf("%s; * best; below the line: baselines\n", seeds > 1 ? "mean±standard deviation over seeds" : "one seed");
    print_constant(result);
    for (int i = 0; i < result->row_count; i++) {
        const sq_compare_row *row = &result->rows[i];
        if (row->note[0]) printf("%s%s: %s\n", row->diverged ? "DIVERGED: " : row->seeds == 0 ? "NO RESULT: " : "", row->mechanism, row->note);
    }
    printf("\n");
}

static int print_result(const sq_compare_result *result)
{
    int place[256];
    if (result->row_count > (int)(sizeof place / sizeof *place)) return usage_error("compare", "more than 256 rows");
    print_quality(result, place);
    print_remarks(result);
    print_view(&cost_view, result, place);
    printf("\n");
    bool any = false;
    for (int i = 0; i < result->row_count; i++) any = any || swept(&result->rows[i]);
    if (any) {
        print_view(&growth_view, result, place);
        printf("of a training step, fitted over the length sweep; from there on it beats softmax\n\n");
    }
    if (result->headline[0]) printf("%s\n", result->headline);
    if (result->summary[0]) printf("%s\n", result->summary);
    if (result->report[0]) printf("report: %s\n", result->report);
    return 0;
}

/* Which mechanisms and models take the options given as flags: those of --only, else all. logistic has none. */
static int chosen_names(const char *only, int *indices, int *count)
{
    if (!only) return parse_names("compare", NAMES_ALL, "all", indices, count);
    char names[1024] = "";
    for (const char *at = only; *at;) {
        size_t length = strcspn(at, ","), used = strlen(names);
        bool logistic = length == 8 && strncmp(at, "logistic", 8) == 0;
        if (!logistic && used + length + 2 < sizeof names) snprintf(names + used, sizeof names - used, "%s%.*s", used ? "," : "", (int)length, at);
        at += length + (at[length] == ',');
    }
    *count = 0;
    return names[0] ? parse_names("compare", NAMES_ALL, names, indices, count) : -1;
}

int command_compare(int argc, char **argv)
{
    const char *only = NULL, *folder = NULL;
    int seeds = 0, threads = 0;
    bool resume = false, quiet = false;
    pairs sets = { 0 }, options = { 0 };
    const flag flags[] = {
        { "seeds", 0, FLAG_FEW, &seeds, "N", "runs of each, with seeds 1 to N (of the task)" },
        { "only", 0, FLAG_TEXT, &only, "NAMES", "mechanisms, models, baselines, with commas between (of the task)" },
        { "out", 'o', FLAG_TEXT, &folder, "DIR", "folder of results (runs/TASK)" },
        { "threads", 0, FLAG_FEW, &threads, "N", "0: all (0)" },
        { "resume", 0, FLAG_SWITCH, &resume, NULL, "go on where a stopped comparison was, to the same bits" },
        { "set", 0, FLAG_PAIR, &sets, "KEY=VALUE", "change a key of the task file; may be given again" },
        { "quiet", 'q', FLAG_SWITCH, &quiet, NULL, "no progress" },
    };
    usage u = { .command = "compare", .synopsis = "TASK.yaml [--seeds N] [--only NAMES] [--resume] [--OPTION VALUE] [--set KEY=VALUE]",
                .summary = "Trains every mechanism and the baselines under one protocol, sweeps the length, and leaves report.html, tables and plots.",
                .flags = flags, .flag_count = sizeof flags / sizeof *flags, .least = 1, .most = 1, .mechanism_options = &options,
                .more_help = print_task_keys };
    int count, indices[MAX_MECHANISMS], chosen;
    int status = flags_parse(&u, argc, argv, &count);
    if (status < 0) status = chosen_names(only, indices, &chosen);
    if (status >= 0) return status;
    sq_task *task = NULL;
    status = task_open(u.command, argv[1], &sets, &options, indices, chosen, &task);
    if (status >= 0) return status;
    char own_folder[512];
    default_folder(argv[1], "", own_folder, sizeof own_folder);
    if (!folder) folder = own_folder;

    progress_line line;
    sq_compare_result result = { 0 };
    sq_error error;
    progress_begin(&line, quiet);
    sq_compare_options run = { .folder = folder, .only = only, .seeds = seeds, .threads = threads, .resume = resume,
                               .progress = progress_show, .user = &line, .stop = stop_on_signal() };
    sq_status done = sq_compare(task, &run, &result, &error);
    progress_end(&line);
    if (done == SQ_OK) {
        status = print_result(&result);
    } else {
        status = report_error(&error);
        if (done == SQ_INTERRUPTED) fprintf(stderr, "subquad: the same command with --out %s --resume goes on from here\n", folder);
    }
    sq_compare_result_clear(&result);
    sq_task_destroy(&task);
    return status;
}
