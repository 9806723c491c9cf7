/* Quality against time, with the Pareto front as a staircase. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "report/findings.h"
#include "report/format.h"
#include "report/metric.h"
#include "report/plots.h"

double sq__cost(const sq_compared *model, int cost)
{
    const double value = cost == SQ_COST_TRAINING ? model->training_seconds : 1 / model->row.clients_per_second;
    return value > 0 && isfinite(value) ? value : NAN;
}

/* The line of those who do not look at the data: of classes only for accuracy, whose 0 says little. */
static double shown_constant(const sq_comparison *c)
{
    if (c->target == SQ_TARGET_CLASS) return strcmp(c->metric, "accuracy") == 0 ? c->majority : NAN;
    return sq__metric_value(c->metric, &c->constant);
}

static void write_front(const sq_comparison *c, const double *cost, const bool *front, FILE *data)
{
    double last = 0;
    for (;;) {   /* by rising cost; two of equal cost on the front are equally good */
        int next = -1;
        for (int i = 0; i < c->count; i++)
            if (front[i] && cost[i] > last && (next < 0 || cost[i] < cost[next])) next = i;
        if (next < 0) return;
        last = cost[next];
        fprintf(data, "%.9g\t%.9g\n", last, sq__metric_value(c->metric, &c->models[next].row.mean));
    }
}

/* Ticks 1, 2, 5 of each decade between low and high, labelled with units. */
static void time_ticks(FILE *script, double low, double high)
{
    char figure[SQ_FIGURE_SIZE];
    static const double steps[] = { 1, 2, 5 };
    const bool few = high / low > 300;
    bool first = true;
    fputs("set xtics (", script);
    for (int decade = (int)floor(log10(low)); decade <= (int)ceil(log10(high)); decade++)
        for (int s = 0; s < (few ? 1 : 3); s++) {
            const double at = steps[s] * pow(10, decade);
            if (at < low || at > high) continue;
            fprintf(script, "%s'%s' %.9g", first ? "" : ", ", sq__format_tick_seconds(figure, at), at);
            first = false;
        }
    fputs(")\n", script);
}

static void write_script(const sq_comparison *c, const sq_figure *figure, const double *cost, double low, double high, double bottom, double top,
                         sq_plot *plot)
{
    FILE *script = plot->script;
    const double constant = shown_constant(c);
    fprintf(script, "set logscale x\nset xrange [%.9g:%.9g]\nset yrange [%.9g:%.9g]\n", low / 1.3, high * 1.3, bottom, top);
    time_ticks(script, low / 1.3, high * 1.3);
    fprintf(script, "set xlabel '%s'\nset ylabel 'test %s'\nset pointsize 1.1\n",
            figure->variant == SQ_COST_TRAINING ? "training time of a run" : "inference time a client", sq__metric_title(c->metric));
    sq__plot_put_legend(plot, c, 0);
    fprintf(script, "plot data index %d using 1:2 with steps lc rgb grey lw 2 dt 3 title 'Pareto front'", c->count);
    if (isfinite(constant)) fprintf(script, ", \\\n %.9g with lines lc rgb grey lw 1 dt 2 title '%s'", constant, c->target == SQ_TARGET_CLASS ? "majority class" : "constant answer");
    for (int i = 0; i < c->count; i++) {
        const sq_plot_style style = sq__plot_style(c, i);
        if (!isfinite(cost[i]) || !isfinite(sq__metric_value(c->metric, &c->models[i].row.mean))) continue;
        const bool spread = isfinite(sq__metric_value(c->metric, &c->models[i].row.deviation));
        fprintf(script, ", \\\n data index %d using 1:2%s lc rgb '%s' pt %d lw 1.5 title ", i, spread ? ":3 with yerrorbars" : " with points", style.colour,
                style.point);
        sq__put_gnuplot(script, c->models[i].row.mechanism, 0);
    }
    putc('\n', script);
}

sq_status sq__figure_pareto(const sq_comparison *c, const sq_figure *figure, const char *folder, sq_plot *plot, bool *empty, sq_error *error)
{
    double low = INFINITY, high = 0, bottom = INFINITY, top = -INFINITY;
    double *cost = sq__alloc_array((size_t)c->count, sizeof *cost);
    bool *front = sq__alloc_array((size_t)c->count, sizeof *front);
    sq_status status = cost && front ? SQ_OK : sq__no_memory(error);
    *empty = true;
    for (int i = 0; status == SQ_OK && i < c->count; i++) {
        const double mean = sq__metric_value(c->metric, &c->models[i].row.mean), sd = sq__metric_value(c->metric, &c->models[i].row.deviation);
        cost[i] = sq__cost(&c->models[i], figure->variant);
        if (!isfinite(mean) || !isfinite(cost[i])) continue;
        *empty = false;
        low = fmin(low, cost[i]);
        high = fmax(high, cost[i]);
        bottom = fmin(bottom, mean - (isfinite(sd) ? sd : 0));
        top = fmax(top, mean + (isfinite(sd) ? sd : 0));
    }
    if (status == SQ_OK && !*empty) status = sq__plot_open(plot, folder, figure->name, SQ_PLOT_WIDTH, sq__plot_height(c), error);
    if (status == SQ_OK && !*empty) {
        const double constant = shown_constant(c);
        if (isfinite(constant)) {
            bottom = fmin(bottom, constant);
            top = fmax(top, constant);
        }
        const sq_metric_row *metric = sq__metric_find(c->metric);
        const double margin = fmax(0.08 * (top - bottom), metric && metric->scaled ? 0.02 * fabs(top) : 0.005);
        fprintf(plot->data, "# seconds\ttest %s, mean\tstandard deviation over seeds; a block a model, then the Pareto front\n", c->metric);
        for (int i = 0; i < c->count; i++) {
            const sq_compare_row *row = &c->models[i].row;
            fprintf(plot->data, "# %s\n%.9g\t%.9g\t%.9g\n", row->mechanism, cost[i], sq__metric_value(c->metric, &row->mean),
                    sq__metric_value(c->metric, &row->deviation));
            sq__plot_block(plot);
        }
        sq__pareto(c, cost, front);
        write_front(c, cost, front, plot->data);
        sq__plot_block(plot);
        write_script(c, figure, cost, low, high, bottom - margin, top + margin, plot);
    }
    sq__free(cost);
    sq__free(front);
    return status;
}
