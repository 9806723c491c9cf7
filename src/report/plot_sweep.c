/* Time and memory of one attention call against length, log-log, with fitted exponents in the legend. */
#include <math.h>

#include "base/memory.h"
#include "report/format.h"
#include "report/plots.h"

static double value_of(const sq_sweep_point *point, int variant)
{
    const int pass = variant == SQ_SWEEP_TIME_FORWARD || variant == SQ_SWEEP_MEMORY_FORWARD ? SQ_FORWARD : SQ_BACKWARD;
    if (!isfinite(point->seconds[pass])) return NAN;
    const double value = variant <= SQ_SWEEP_TIME_TRAINING ? point->seconds[pass] : (double)point->peak_bytes[pass];
    return value > 0 ? value : NAN;
}

static double exponent_of(const sq_compared *model, int variant)
{
    const int pass = variant == SQ_SWEEP_TIME_FORWARD || variant == SQ_SWEEP_MEMORY_FORWARD ? SQ_FORWARD : SQ_BACKWARD;
    return variant <= SQ_SWEEP_TIME_TRAINING ? model->time_exponent[pass] : model->memory_exponent[pass];
}

static void length_ticks(const sq_comparison *c, FILE *script, double low, double high)
{
    char figure[SQ_FIGURE_SIZE];
    double last = 0;
    fputs("set xtics (", script);
    for (;;) {   /* every length of the sweep that is at least twice the last one */
        double next = INFINITY;
        for (int i = 0; i < c->count; i++)
            for (int p = 0; p < c->models[i].point_count; p++) {
                const double n = (double)c->models[i].points[p].n;
                if (n >= 2 * last && n > last && n < next) next = n;
            }
        if (!isfinite(next)) break;
        fprintf(script, "%s'%s' %.9g", last > 0 ? ", " : "", sq__format_tick_length(figure, (int64_t)next), next);
        last = next;
    }
    fprintf(script, ")\nset xrange [%.9g:%.9g]\n", low / 1.15, high * 1.15);
}

/* Decades of seconds, or powers of 4 of bytes, labelled with units. */
static void value_ticks(FILE *script, bool bytes, double low, double high)
{
    char figure[SQ_FIGURE_SIZE];
    const double base = bytes ? (high / low > 4096 ? 16 : 4) : 10;
    bool first = true;
    low = pow(base, floor(log(low) / log(base) + 1e-9));
    high = pow(base, ceil(log(high) / log(base) - 1e-9));
    fputs("set ytics (", script);
    for (double at = low; at <= high * 1.001; at *= base) {
        fprintf(script, "%s'%s' %.9g", first ? "" : ", ", bytes ? sq__format_tick_bytes(figure, at) : sq__format_tick_seconds(figure, at), at);
        first = false;
    }
    fprintf(script, ")\nset yrange [%.9g:%.9g]\n", low, high);
}

/* Its value at the longest length that it was measured at; 0: none. */
static double end_of(const sq_compared *model, int variant)
{
    for (int p = model->point_count - 1; p >= 0; p--)
        if (isfinite(value_of(&model->points[p], variant))) return value_of(&model->points[p], variant);
    return 0;
}

/* The models from the highest end of a line to the lowest, as the legend lists them beside the lines. Returns how many have a line. */
static int by_ends(const sq_comparison *c, int variant, int *order)
{
    int count = 0;
    for (int i = 0; i < c->count; i++) {
        if (c->models[i].point_count == 0) continue;
        int at = count++;
        for (; at > 0 && end_of(&c->models[order[at - 1]], variant) < end_of(&c->models[i], variant); at--) order[at] = order[at - 1];
        order[at] = i;
    }
    return count;
}

sq_status sq__figure_sweep(const sq_comparison *c, const sq_figure *figure, const char *folder, sq_plot *plot, bool *empty, sq_error *error)
{
    const bool bytes = figure->variant > SQ_SWEEP_TIME_TRAINING;
    double low = INFINITY, high = 0, shortest = INFINITY, longest = 0;
    for (int i = 0; i < c->count; i++)
        for (int p = 0; p < c->models[i].point_count; p++) {
            const double value = value_of(&c->models[i].points[p], figure->variant), n = (double)c->models[i].points[p].n;
            if (!isfinite(value)) continue;
            low = fmin(low, value);
            high = fmax(high, value);
            shortest = fmin(shortest, n);
            longest = fmax(longest, n);
        }
    *empty = high <= 0;
    if (*empty) return SQ_OK;
    int *order = sq__alloc_array((size_t)c->count, sizeof *order);
    if (!order) return sq__no_memory(error);
    const sq_status status = sq__plot_open(plot, folder, figure->name, SQ_PLOT_WIDTH, sq__plot_height(c), error);
    if (status != SQ_OK) {
        sq__free(order);
        return status;
    }
    FILE *script = plot->script;
    fputs("set logscale xy\nset pointsize 0.8\nset xlabel 'length n (1k = 1,024)'\n", script);
    length_ticks(c, script, shortest, longest);
    value_ticks(script, bytes, low, high);
    fprintf(plot->data, "# length n\t%s; a block a mechanism\n", bytes ? "bytes held above the inputs" : "seconds of one call, least of the runs");
    sq__plot_put_legend(plot, c, 8);
    const int lines = by_ends(c, figure->variant, order);
    for (int i = 0; i < lines; i++) {
        const sq_compared *model = &c->models[order[i]];
        const sq_plot_style style = sq__plot_style(c, order[i]);
        const double exponent = exponent_of(model, figure->variant);
        char title[128];
        fprintf(plot->data, "# %s\n", model->row.mechanism);
        for (int p = 0; p < model->point_count; p++)
            fprintf(plot->data, "%lld\t%.9g\n", (long long)model->points[p].n, value_of(&model->points[p], figure->variant));
        fprintf(script, "%s data index %d using 1:2 with linespoints", i == 0 ? "plot" : ", \\\n", sq__plot_block(plot));
        sq__plot_put_style(script, &style);
        if (isfinite(exponent)) snprintf(title, sizeof title, "%s  n^%.2f", model->row.mechanism, exponent);
        else snprintf(title, sizeof title, "%s", model->row.mechanism);
        fputs(" title ", script);
        sq__put_gnuplot(script, title, 0);
    }
    putc('\n', script);
    sq__free(order);
    return SQ_OK;
}
