#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "report/format.h"
#include "report/metric.h"
#include "report/page.h"

static void cell(FILE *file, const char *text)
{
    fprintf(file, "<td>%s</td>", text);
}

/* The marker that a model has in the figures, as gnuplot numbers them: 4 to 13 square, circle, triangle, triangle down, diamond, each open
 * then filled; 15 pentagon. */
static void marker(const sq_plot_style *style, FILE *file)
{
    static const char *const paths[] = { "M2 2h8v8h-8z", "M6 1.5a4.5 4.5 0 1 0 .01 0z", "M6 1.5l5 9h-10z", "M6 10.5l5 -9h-10z", "M6 1l5 5l-5 5l-5 -5z",
                                         "M6 1l4.8 3.5l-1.8 5.6h-6l-1.8 -5.6z" };
    const char *colour = strcmp(style->colour, SQ_PLOT_INK) == 0 ? "currentColor" : style->colour;
    const bool filled = style->point % 2 == 1;
    fprintf(file, "<svg class=\"dot\" viewBox=\"0 0 12 12\" aria-hidden=\"true\"><path d=\"%s\" fill=\"%s\" stroke=\"%s\" stroke-width=\"1.4\"/></svg>",
            paths[(style->point - 4) / 2], filled ? colour : "none", colour);
}

/* A row's head: the name beside its marker, a note below it. */
static void name_cell(const sq_comparison *c, int i, const char *note, FILE *file)
{
    const sq_plot_style style = sq__plot_style(c, i);
    fputs("<th scope=\"row\">", file);
    marker(&style, file);
    sq__put_xml(file, c->models[i].row.mechanism);
    if (note[0]) {
        fputs("<br><span class=\"small\">", file);
        sq__put_xml(file, note);
        fputs("</span>", file);
    }
    fputs("</th>", file);
}

static double rank_of(const sq_comparison *c, int i)
{
    const double value = sq__metric_value(c->metric, &c->models[i].row.mean);
    return !isfinite(value) ? -INFINITY : sq__metric_falls(c->metric) ? -value : value;
}

typedef enum group { MECHANISMS, OTHER_MODELS, BASELINES, GROUPS } group;
static const char *const group_titles[] = { "attention mechanisms, best first", "other models", "baselines" };

static group group_of(const sq_compared *model)
{
    return model->row.baseline ? BASELINES : model->row.other_model ? OTHER_MODELS : MECHANISMS;
}

/* The next model of a group in order of quality, after `last` (-1: the best); -1 at the end. Equal ones by their place. */
static int next_by_quality(const sq_comparison *c, group of, int last)
{
    int next = -1;
    for (int i = 0; i < c->count; i++) {
        if (group_of(&c->models[i]) != of || i == last) continue;
        if (last >= 0 && (rank_of(c, i) > rank_of(c, last) || (rank_of(c, i) == rank_of(c, last) && i < last))) continue;
        if (next < 0 || rank_of(c, i) > rank_of(c, next)) next = i;
    }
    return next;
}

/* The metric of the task first, then the others of its target. NULL past the end. */
static const sq_metric_row *quality_column(const sq_comparison *c, int place)
{
    const sq_metric_row *metric;
    if (place == 0) return sq__metric_find(c->metric);
    for (int i = 0; (metric = sq__metric_of(c->target, i)); i++)
        if (strcmp(metric->name, c->metric) != 0 && --place == 0) return metric;
    return NULL;
}

enum { COST_COLUMNS = 7 };

static int column_count(const sq_comparison *c)
{
    int count = 0;
    while (quality_column(c, count)) count++;
    return count + COST_COLUMNS;
}

static void row(const sq_comparison *c, const sq_findings *found, int i, FILE *file)
{
    char figure[SQ_FIGURE_SIZE];
    const sq_compare_row *r = &c->models[i].row;
    fprintf(file, "<tr%s>", i == found->best ? " class=\"best\"" : "");
    name_cell(c, i, r->seeds > 0 ? r->note : "", file);
    if (r->seeds == 0) {
        fprintf(file, "<td class=\"wrap\" colspan=\"%d\">not run: ", column_count(c));
        sq__put_xml(file, r->note);
        fputs("</td></tr>\n", file);
        return;
    }
    const sq_metric_row *metric;
    for (int q = 0; (metric = quality_column(c, q)); q++)
        cell(file, sq__format_spread(figure, sq__metric_at(metric, &r->mean), sq__metric_at(metric, &r->deviation), sq__metric_decimals(metric, sq__metric_at(metric, &r->mean), 3)));
    cell(file, sq__format_count(figure, r->parameters));
    cell(file, sq__format_seconds(figure, r->epoch_seconds));
    cell(file, sq__format_seconds(figure, c->models[i].training_seconds));
    cell(file, sq__format_quantity(figure, r->clients_per_second > 0 ? r->clients_per_second : NAN));
    cell(file, sq__format_quantity(figure, r->tokens_per_second > 0 ? r->tokens_per_second : NAN));
    cell(file, sq__format_bytes(figure, (double)r->train_peak_bytes));
    cell(file, sq__format_bytes(figure, r->inference_peak_bytes ? (double)r->inference_peak_bytes : NAN));
    fputs("</tr>\n", file);
}

void sq__page_table(const sq_comparison *c, const sq_findings *found, FILE *file)
{
    fputs("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">model</th>", file);
    const sq_metric_row *metric;
    for (int q = 0; (metric = quality_column(c, q)); q++) fprintf(file, "<th scope=\"col\">%s</th>", metric->title);
    fputs("<th scope=\"col\">parameters</th><th scope=\"col\">time an<br>epoch</th><th scope=\"col\">training<br>time</th><th scope=\"col\">clients/s</th><th scope=\"col\">tokens/s</th>"
          "<th scope=\"col\">memory,<br>training</th><th scope=\"col\">memory,<br>inference</th></tr></thead>\n<tbody>\n", file);
    for (group g = 0; g < GROUPS; g++) {
        int i = next_by_quality(c, g, -1);
        if (i >= 0) fprintf(file, "<tr class=\"group\"><td colspan=\"%d\">%s</td></tr>\n", 1 + column_count(c), group_titles[g]);
        for (; i >= 0; i = next_by_quality(c, g, i)) row(c, found, i, file);
    }
    fputs("</tbody></table></div>\n", file);
}

static bool is_reference(const sq_compared *model) { return strcmp(model->row.mechanism, "softmax") == 0; }

/* against: softmax was swept, too. */
static void crossover_cell(const sq_compared *model, int pass, bool against, FILE *file)
{
    char figure[SQ_FIGURE_SIZE];
    const double from = model->crossover[pass];
    if (model->point_count == 0 || !against) cell(file, "–");
    else if (is_reference(model)) cell(file, "reference");
    else if (!isfinite(from)) fprintf(file, "<td>none up to %s</td>", sq__format_count(figure, model->points[model->point_count - 1].n));
    else fprintf(file, "<td>%s%s</td>", from <= (double)model->points[0].n ? "≤ " : "", sq__format_count(figure, (int64_t)llround(from)));
}

void sq__page_sweep(const sq_comparison *c, FILE *file)
{
    char figure[SQ_FIGURE_SIZE];
    bool against = false;
    for (int i = 0; i < c->count; i++) against = against || (is_reference(&c->models[i]) && c->models[i].point_count > 0);
    fputs("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">mechanism</th><th scope=\"col\">time grows as<br>(training)</th><th scope=\"col\">(inference)</th>"
          "<th scope=\"col\">memory grows as<br>(training)</th><th scope=\"col\">(inference)</th><th scope=\"col\">faster than softmax<br>from (training)</th>"
          "<th scope=\"col\">(inference)</th><th></th></tr></thead>\n<tbody>\n", file);
    for (int i = 0; i < c->count; i++) {
        const sq_compared *model = &c->models[i];
        if (group_of(model) != MECHANISMS) continue;
        fputs("<tr>", file);
        name_cell(c, i, "", file);
        const double exponents[] = { model->time_exponent[SQ_BACKWARD], model->time_exponent[SQ_FORWARD], model->memory_exponent[SQ_BACKWARD],
                                     model->memory_exponent[SQ_FORWARD] };
        for (int e = 0; e < 4; e++) {
            if (model->point_count > 0 && isfinite(exponents[e])) fprintf(file, "<td>n<sup>%s</sup></td>", sq__format_fixed(figure, exponents[e], 2));
            else cell(file, "–");
        }
        crossover_cell(model, SQ_BACKWARD, against, file);
        crossover_cell(model, SQ_FORWARD, against, file);
        fputs("<td class=\"wrap\">", file);
        sq__put_xml(file, model->sweep_note);
        fputs("</td></tr>\n", file);
    }
    fputs("</tbody></table></div>\n", file);
}

void sq__page_runs(const sq_comparison *c, FILE *file)
{
    char figure[SQ_FIGURE_SIZE];
    const sq_metric_row *metric;
    fputs("<div class=\"scroll\"><table><thead><tr><th scope=\"col\">model</th><th scope=\"col\">seed</th>", file);
    for (int q = 0; (metric = quality_column(c, q)); q++) fprintf(file, "<th scope=\"col\">%s</th>", metric->title);
    fputs("<th scope=\"col\">epochs</th><th scope=\"col\">best epoch</th><th scope=\"col\">steps</th>"
          "<th scope=\"col\">time an epoch</th><th scope=\"col\">memory, training</th><th scope=\"col\">resident</th><th></th></tr></thead>\n<tbody>\n", file);
    for (int i = 0; i < c->count; i++)
        for (int r = 0; r < c->models[i].run_count; r++) {
            const sq_run_result *run = &c->models[i].runs[r];
            fputs("<tr>", file);
            name_cell(c, i, "", file);
            fprintf(file, "<td>%llu</td>", (unsigned long long)run->seed);
            for (int q = 0; (metric = quality_column(c, q)); q++) cell(file, sq__format_fixed(figure, sq__metric_at(metric, &run->test), sq__metric_decimals(metric, sq__metric_at(metric, &run->test), 4)));
            cell(file, sq__format_count(figure, run->epochs));
            cell(file, sq__format_count(figure, run->best_epoch));
            cell(file, sq__format_count(figure, run->steps));
            cell(file, sq__format_seconds(figure, run->epoch_seconds));
            cell(file, sq__format_bytes(figure, (double)run->train_peak_bytes));
            cell(file, sq__format_bytes(figure, (double)run->train_resident_bytes));
            cell(file, run->diverged ? "diverged" : "");
            fputs("</tr>\n", file);
        }
    fputs("</tbody></table></div>\n", file);
}
