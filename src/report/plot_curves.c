/* Learning curves as small multiples: a panel a model with its mean and band of one standard deviation over seeds; the means of the
 * others in grey behind it. A single panel with 25 bands could not be read. */
#include <math.h>

#include "base/memory.h"
#include "report/format.h"
#include "report/metric.h"
#include "report/plots.h"

static double value_at(const sq_comparison *c, const sq_epoch *epoch, int quantity)
{
    return quantity == 0 ? sq__metric_value(c->metric, &epoch->validation) : quantity == 1 ? epoch->train_loss : epoch->validation_loss;
}

/* Mean and deviation over the seeds that have this epoch and a finite value there; returns how many. */
static int over_seeds(const sq_comparison *c, const sq_compared *model, int epoch, int quantity, double *mean, double *sd)
{
    int count = 0;
    double sum = 0, squares = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int r = 0; r < model->run_count; r++) {
            if (epoch >= model->runs[r].epoch_count) continue;
            const double value = value_at(c, &model->runs[r].curve[epoch], quantity);
            if (!isfinite(value)) continue;
            if (pass == 0) {
                count++;
                sum += value;
            } else {
                squares += (value - sum / count) * (value - sum / count);
            }
        }
    *mean = count ? sum / count : NAN;
    *sd = count > 1 ? sqrt(squares / (count - 1)) : 0;
    return count;
}

static int longest_curve(const sq_compared *model)
{
    int most = 0;
    for (int r = 0; r < model->run_count; r++)
        if (model->runs[r].epoch_count > most) most = model->runs[r].epoch_count;
    return most;
}

typedef struct range { double low, high; int epochs; } range;

/* Columns: epoch, then mean, mean - sd, mean + sd of each quantity. Epochs that fewer than half of the seeds reached are left out. */
static void write_data(const sq_comparison *c, const sq_compared *model, int first, int last, FILE *data, range *seen)
{
    const int epochs = longest_curve(model);
    for (int e = 0; e < epochs; e++) {
        double mean, sd;
        const int count = over_seeds(c, model, e, first, &mean, &sd);
        if (count == 0 || 2 * count < model->run_count) continue;
        fprintf(data, "%d", e + 1);
        for (int quantity = first; quantity <= last; quantity++) {
            over_seeds(c, model, e, quantity, &mean, &sd);
            fprintf(data, "\t%.9g\t%.9g\t%.9g", mean, mean - sd, mean + sd);
            if (isfinite(mean) && model->row.diverged == 0) {
                seen->low = fmin(seen->low, mean - sd);
                seen->high = fmax(seen->high, mean + sd);
            }
        }
        putc('\n', data);
        if (e + 1 > seen->epochs) seen->epochs = e + 1;
    }
}

typedef struct grid { int panels, columns, rows; } grid;

static void write_panel(const sq_comparison *c, const sq_figure *figure, int shown, int place, const grid *g, sq_plot *plot)
{
    FILE *script = plot->script;
    const sq_plot_style style = sq__plot_style(c, shown);
    fputs("set title ", script);
    sq__put_gnuplot(script, c->models[shown].row.mechanism, 0);
    fprintf(script, " offset 0,-0.7 font ',14' textcolor rgb '%s'\n", style.colour);
    fputs(place % g->columns == 0 ? "set ytics format '%g'\n" : "set ytics format ''\n", script);
    fputs(place + g->columns >= g->panels ? "set xtics format '%g'\n" : "set xtics format ''\n", script);
    fputs("plot ", script);
    for (int i = 0, block = 0; i < c->count; i++) {
        if (longest_curve(&c->models[i]) < 2) continue;
        if (i != shown) fprintf(script, "data index %d using 1:2 with lines lc rgb grey lw %g notitle, \\\n ", block, g->panels > 10 ? 0.35 : 0.8);
        block++;
    }
    for (int i = 0, block = 0; i < c->count; i++) {
        if (longest_curve(&c->models[i]) < 2) continue;
        if (i == shown) {
            fprintf(script, "data index %d using 1:3:4 with filledcurves fc rgb '%s' fs transparent solid 0.22 noborder notitle, \\\n", block, style.colour);
            if (figure->variant == SQ_CURVE_LOSS)
                fprintf(script, " data index %d using 1:6:7 with filledcurves fc rgb '%s' fs transparent solid 0.12 noborder notitle, \\\n"
                                " data index %d using 1:5 with lines lc rgb '%s' lw 2 dt 2 notitle, \\\n", block, style.colour, block, style.colour);
            fprintf(script, " data index %d using 1:2 with lines lc rgb '%s' lw 2.2 dt 1 notitle\n", block, style.colour);
        }
        block++;
    }
}

sq_status sq__figure_curves(const sq_comparison *c, const sq_figure *figure, const char *folder, sq_plot *plot, bool *empty, sq_error *error)
{
    const int first = figure->variant == SQ_CURVE_METRIC ? 0 : 1, last = figure->variant == SQ_CURVE_METRIC ? 0 : 2;
    grid g = { 0 };
    range seen = { INFINITY, -INFINITY, 1 };
    for (int i = 0; i < c->count; i++) g.panels += longest_curve(&c->models[i]) >= 2;
    *empty = g.panels == 0;
    if (*empty) return SQ_OK;
    g.columns = g.panels <= 6 && g.panels != 4 ? 3 : g.panels <= 8 ? 4 : 5;
    g.rows = (g.panels + g.columns - 1) / g.columns;
    const int height = 176 * g.rows + 70;
    SQ_TRY(sq__plot_open(plot, folder, figure->name, 1080, height, error));
    fprintf(plot->data, "# epoch\t%s; a block a model\n", figure->variant == SQ_CURVE_METRIC ? "validation metric: mean\tmean - sd\tmean + sd"
            : "training loss: mean\tmean - sd\tmean + sd\tvalidation loss: mean\tmean - sd\tmean + sd");
    for (int i = 0; i < c->count; i++) {
        if (longest_curve(&c->models[i]) < 2) continue;
        fprintf(plot->data, "# %s\n", c->models[i].row.mechanism);
        write_data(c, &c->models[i], first, last, plot->data, &seen);
        sq__plot_block(plot);
    }
    FILE *script = plot->script;
    const double margin = fmax(0.05 * (seen.high - seen.low), 1e-3);
    fprintf(script, "set multiplot layout %d,%d margins screen %.4f,0.985,%.4f,%.4f spacing screen 0.014,%.4f\n", g.rows, g.columns, 0.062,
            56.0 / height, 1 - 30.0 / height, 42.0 / height);
    fprintf(script, "set tics font ',12'\nset xrange [1:%d]\nset xtics autofreq\n", seen.epochs > 1 ? seen.epochs : 2);
    if (seen.epochs <= 12) fputs("set xtics 1\n", script);
    if (seen.high > seen.low) fprintf(script, "set yrange [%.9g:%.9g]\n", seen.low - margin, seen.high + margin);
    fprintf(script, "set label 1 'epoch' at screen 0.52,%.4f center textcolor rgb ink\n", 14.0 / height);
    fprintf(script, "set label 2 '%s%s' at screen 0.012,0.5 center rotate by 90 textcolor rgb ink\n",
            figure->variant == SQ_CURVE_METRIC ? "validation " : "loss", figure->variant == SQ_CURVE_METRIC ? sq__metric_title(c->metric) : "");
    for (int i = 0, place = 0; i < c->count; i++) {
        if (longest_curve(&c->models[i]) < 2) continue;
        write_panel(c, figure, i, place++, &g, plot);
        if (place == 1) fputs("unset label\n", script);
    }
    fputs("unset multiplot\n", script);
    return SQ_OK;
}
