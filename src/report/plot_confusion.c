/* Confusion matrices on the test split, summed over seeds: the share of each true class that is predicted as each class. */
#include <math.h>

#include "base/memory.h"
#include "report/format.h"
#include "report/plots.h"

enum { NUMBERED = 8, NAMED = 12 };   /* more classes than that: no numbers in the cells, no names at the axes */
enum { LEFT = 112 };                 /* pixels for the names of the rows */

/* A light-to-dark blue, even in lightness; text on it turns white where it is dark. */
static unsigned cell_colour(double share)
{
    static const double stops[3][3] = { { 240, 246, 252 }, { 107, 174, 214 }, { 8, 64, 129 } };
    const double at = share < 0 ? 0 : share > 1 ? 2 : 2 * share;
    const int from = at >= 1 ? 1 : 0;
    unsigned rgb = 0;
    for (int k = 0; k < 3; k++)
        rgb = rgb << 8 | (unsigned)lround(stops[from][k] + (at - from) * (stops[from + 1][k] - stops[from][k]));
    return rgb;
}

static void write_data(const sq_comparison *c, const sq_compared *model, FILE *data)
{
    const int n = c->class_count;
    for (int i = 0; i < n; i++) {
        double all = 0;
        for (int r = 0; r < model->run_count; r++)
            for (int j = 0; j < n && model->runs[r].class_count == n; j++) all += (double)model->runs[r].confusion[i * n + j];
        for (int j = 0; j < n; j++) {
            double count = 0;
            for (int r = 0; r < model->run_count; r++)
                if (model->runs[r].class_count == n) count += (double)model->runs[r].confusion[i * n + j];
            const double share = all > 0 ? count / all : 0;
            if (n > NUMBERED && share < 0.005) continue;   /* the panel has that colour already */
            fprintf(data, "%d\t%d\t%.6f\t%.0f\t%u\t%u\t%.0f%%\n", j, i, share, count, cell_colour(share), share > 0.45 ? 0xffffffu : 0x1b1f24u, 100 * share);
        }
    }
}

static void write_names(const sq_comparison *c, bool left, FILE *script)
{
    for (int i = 0; i < c->class_count && c->class_count <= NAMED; i++) {
        fprintf(script, "set label %d ", 100 + i);
        sq__put_gnuplot(script, c->classes[i], c->class_count == 2 ? 12 : 8);
        fprintf(script, " at %d,graph -0.04 %s font ',11' textcolor rgb ink\n", i, c->class_count <= 3 ? "center" : "right rotate by 45");
        if (!left) {
            fprintf(script, "unset label %d\n", 200 + i);
            continue;
        }
        fprintf(script, "set label %d ", 200 + i);
        sq__put_gnuplot(script, c->classes[i], 11);
        fprintf(script, " at graph -0.03,first %d right font ',11' textcolor rgb ink\n", i);
    }
}

/* Few large panels do not fill the page, many classes need large ones. */
static int columns_of(int panels, int classes)
{
    if (classes > NAMED) return panels < 3 ? 2 : 3;
    if (classes > 4) return panels <= 3 ? 3 : 4;
    return panels < 4 ? 4 : panels <= 6 ? panels : panels <= 12 ? (panels + 1) / 2 : 6;
}

sq_status sq__figure_confusion(const sq_comparison *c, const sq_figure *figure, const char *folder, sq_plot *plot, bool *empty, sq_error *error)
{
    int panels = 0;
    for (int i = 0; i < c->count; i++) panels += c->models[i].run_count > 0;
    *empty = panels == 0 || c->class_count < 2;
    if (*empty) return SQ_OK;
    const int columns = columns_of(panels, c->class_count), rows = (panels + columns - 1) / columns;
    const int names = c->class_count <= 3 ? 16 : c->class_count <= NAMED ? 50 : 0;   /* room for those of the columns */
    const int side = (1080 - LEFT) / columns - 16, gap = names + 36, height = rows * side + (rows - 1) * gap + names + 70;
    SQ_TRY(sq__plot_open(plot, folder, figure->name, 1080, height, error));
    fputs("# predicted\ttrue (class numbers)\tshare of the true class\tclients over all seeds\tcell colour\ttext colour\ttext; a block a model\n", plot->data);
    FILE *script = plot->script;
    const int n = c->class_count;
    fprintf(script, "set multiplot layout %d,%d margins screen %.4f,0.99,%.4f,%.4f spacing screen %.4f,%.4f\n", rows, columns, LEFT / 1080.0,
            (names + 36.0) / height, 1 - 30.0 / height, 16.0 / 1080, (double)gap / height);
    fprintf(script, "unset key\nunset grid\nunset tics\nset border 0\nset xrange [-0.5:%g]\nset yrange [%g:-0.5]\nset style fill solid 1 noborder\n"
                    "set object 1 rectangle from graph 0,0 to graph 1,1 behind fc rgb '#%06x' fs solid noborder\n",
            n - 0.5, n - 0.5, cell_colour(0));
    fprintf(script, "set label 1 'predicted class' at screen 0.53,%.4f center textcolor rgb ink\n"
                    "set label 2 'true class' at screen 0.012,0.5 center rotate by 90 textcolor rgb ink\n", 12.0 / height);
    for (int i = 0, place = 0; i < c->count; i++) {
        if (c->models[i].run_count == 0) continue;
        fprintf(plot->data, "# %s\n", c->models[i].row.mechanism);
        write_data(c, &c->models[i], plot->data);
        const int block = sq__plot_block(plot);
        fputs("set title ", script);
        sq__put_gnuplot(script, c->models[i].row.mechanism, 0);
        fprintf(script, " offset 0,-0.7 font ',14' textcolor rgb '%s'\n", sq__plot_style(c, i).colour);
        write_names(c, place % columns == 0, script);
        fprintf(script, "plot data index %d using 1:2:($1-0.5):($1+0.5):($2-0.5):($2+0.5):5 with boxxyerror lc rgb variable", block);
        if (n <= NUMBERED) fprintf(script, ", data index %d using 1:2:7:6 with labels font ',%d' tc rgb variable", block, n <= 4 ? 14 : 10);
        fputs(place++ == 0 ? "\nunset label 1\nunset label 2\n" : "\n", script);
    }
    fputs("unset multiplot\n", script);
    return SQ_OK;
}
