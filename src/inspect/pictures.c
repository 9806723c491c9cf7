#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "io/file.h"
#include "report/gnuplot.h"
#include "subquad/inspect.h"

/* PATH cut into folder, name and whether it is a bitmap. */
typedef struct target { char *folder, name[128]; bool png; } target;

static sq_status aim(target *t, const char *path, sq_error *error)
{
    const char *slash = strrchr(path, '/'), *base = slash ? slash + 1 : path, *dot = strrchr(base, '.');
    if (!dot || dot == base || (strcmp(dot, ".svg") != 0 && strcmp(dot, ".png") != 0) || (size_t)(dot - base) >= sizeof t->name || strchr(base, '\''))
        return sq__fail(error, SQ_INVALID, "%s: expected a file name that ends in .svg or .png", path);
    snprintf(t->name, sizeof t->name, "%.*s", (int)(dot - base), base);
    t->png = strcmp(dot, ".png") == 0;
    t->folder = sq__path_folder(path);
    return t->folder ? SQ_OK : sq__no_memory(error);
}

static sq_status begin(sq_plot *plot, const target *t, int width, int height, sq_error *error)
{
    return t->png ? sq__plot_open_png(plot, t->folder, t->name, width, height, error) : sq__plot_open(plot, t->folder, t->name, width, height, error);
}

static sq_status finish(sq_plot *plot, const target *t, sq_error *error)
{
    SQ_TRY(sq__plot_commit(plot, error));
    return t->png ? sq__plot_draw_png(t->folder, t->name, error) : sq__plot_draw(t->folder, t->name, error);
}

static void put_text(FILE *script, const char *text)
{
    fputc('\'', script);
    for (; *text; text++) {
        if (*text == '\'') fputc('\'', script);
        if ((unsigned char)*text >= ' ') fputc(*text, script);
    }
    fputc('\'', script);
}

/* ---- matrices ---- */

/* Roots of the shares of each row's largest weight, so that small weights show, too; the sign stays. */
static void put_matrix(FILE *data, const sq_picture *p)
{
    for (int64_t i = 0; i < p->rows; i++) {
        const float *row = p->matrix + i * p->columns;
        double most = 0;
        for (int64_t j = 0; j < p->columns; j++) most = fmax(most, fabs(row[j]));
        for (int64_t j = 0; j < p->columns; j++) fprintf(data, "%s%.3f", j ? "\t" : "", most > 0 ? copysign(sqrt(fabs(row[j]) / most), row[j]) : 0);
        fputc('\n', data);
    }
}

sq_status sq_draw_matrices(const char *path, const char *title, const sq_picture *pictures, int count, sq_error *error)
{
    enum { SIDE = 300, TOP = 44 };
    const int across = count < 4 ? count : (int)ceil(sqrt(count)), down = (count + across - 1) / across;
    target t = { .folder = NULL };
    sq_plot plot;
    SQ_TRY(aim(&t, path, error));
    sq_status status = begin(&plot, &t, across * SIDE, down * SIDE + TOP, error);
    if (status == SQ_OK) {
        const double strip = (double)TOP / (down * SIDE + TOP);
        fprintf(plot.script, "unset key\nunset colorbox\nunset grid\nset border 15 lc rgb grey lw 0.5\n"
                             "set palette defined (-1 '#7f2704', -0.5 '#e6711b', -0.15 '#fbe0c8', 0 '#ffffff', 0.15 '#d6e6f2', 0.5 '#4a90c2', 1 '#08306b')\nset cbrange [-1:1]\n"
                             "set tics out scale 0.3 font ',%d'\nset label 1 at screen 0.5, screen %.4f center tc rgb ink ", t.png ? 13 : 9, 1 - strip / 2);
        put_text(plot.script, title);
        fprintf(plot.script, "\nset multiplot\n");
        for (int i = 0; i < count; i++) {
            const sq_picture *p = &pictures[i];
            const double width = 1.0 / across, height = (1 - strip) / down;
            fprintf(plot.script, "set lmargin at screen %.4f\nset rmargin at screen %.4f\nset tmargin at screen %.4f\nset bmargin at screen %.4f\n",
                    (i % across + 0.12) * width, (i % across + 0.95) * width, 1 - strip - (i / across + 0.07) * height,
                    1 - strip - (i / across + 0.90) * height);
            fprintf(plot.script, "set title offset 0,-0.6 font ',%d' tc rgb ink ", t.png ? 16 : 11);
            put_text(plot.script, p->title);
            fprintf(plot.script, "\nset xrange [-0.5:%lld.5]\nset yrange [%lld.5:-0.5]\nplot data index %d matrix with image\nunset label 1\n",
                    (long long)(p->columns - 1), (long long)(p->rows - 1), i);
            put_matrix(plot.data, p);
            sq__plot_block(&plot);
        }
        fputs("unset multiplot\n", plot.script);
        status = finish(&plot, &t, error);
    }
    sq__free(t.folder);
    return status;
}

/* ---- lines ---- */

static void put_axes(FILE *script, const sq_chart *chart)
{
    fputs("set title tc rgb ink ", script);
    put_text(script, chart->title);
    fputs("\nset xlabel ", script);
    put_text(script, chart->x_label);
    fputs("\nset ylabel ", script);
    put_text(script, chart->y_label);
    fprintf(script, "\n%s%s", chart->log_x ? "set logscale x\n" : "", chart->log_y ? "set logscale y\n" : "");
    if (chart->log_x) fputs("set format x '%.0s%c'\n", script);
    fputs("set autoscale xfixmin\nset autoscale xfixmax\n", script);
    if (chart->log_y)   /* within a decade or two, too, the axis needs numbers */
        fputs("set autoscale yfixmin\nset autoscale yfixmax\nset offsets 0, 0, 0, 0\n"
              "set format y '%g'\nset ytics (1e-5, 1e-4, 1e-3, 2e-3, 5e-3, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10)\n", script);
    if (chart->y_low != chart->y_high) fprintf(script, "set yrange [%g:%g]\n", chart->y_low, chart->y_high);
}

sq_status sq_draw_lines(const char *path, const sq_chart *chart, const sq_line *lines, int count, sq_error *error)
{
    static const char *const colours[] = { "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9" };
    static const int points[] = { 5, 9, 13, 11, 15, 7 };
    target t = { .folder = NULL };
    sq_plot plot;
    size_t longest = 4;
    for (int i = 0; i < count; i++)
        if (strlen(lines[i].name) > longest) longest = strlen(lines[i].name);
    SQ_TRY(aim(&t, path, error));
    const int height = count > 18 ? 440 + 18 * (count - 18) : 440;
    sq_status status = begin(&plot, &t, 820, height, error);
    if (status == SQ_OK) {
        put_axes(plot.script, chart);
        fprintf(plot.script, "set rmargin at screen %.4f\nset key at graph 1.03,1 left top vertical Left reverse samplen 2 spacing %.2f font ',%d'\n",
                1 - (62 + 7.5 * (double)longest) / 820, count > 16 ? 0.9 : 1.1, t.png ? 17 : 12);
        for (int i = 0; i < count; i++) {
            for (int p = 0; p < lines[i].count; p++) fprintf(plot.data, "%.9g\t%.9g\n", lines[i].x[p], lines[i].y[p]);
            if (!lines[i].count) fputs("nan\tnan\n", plot.data);
            sq__plot_block(&plot);
            fprintf(plot.script, "%s data index %d using 1:2 with %s lc rgb '%s' dt %d lw 1.8 pt %d ps 0.7 title ", i ? "," : "plot", i,
                    chart->points ? "linespoints" : "lines", colours[i % 6], 1 + i / 6 % 4, points[(i + i / 6) % 6]);
            put_text(plot.script, lines[i].name);
        }
        fputc('\n', plot.script);
        status = finish(&plot, &t, error);
    }
    sq__free(t.folder);
    return status;
}
