/* One figure: a gnuplot script and its data file, kept beside the SVG that comes of them. Depends on io. */
#ifndef SQ_REPORT_GNUPLOT_H
#define SQ_REPORT_GNUPLOT_H

#include <stdio.h>

#include "base/status.h"
#include "report/comparison.h"

struct sq_output;

/* Colours that the page replaces, so that figures follow its light or dark theme. */
#define SQ_PLOT_INK "#1b1f24"
#define SQ_PLOT_INK_RGB { 27, 31, 36 }
#define SQ_PLOT_PAPER "#ffffff"

typedef struct sq_plot {
    const char *folder, *name;         /* NAME.gp, NAME.tsv, NAME.svg or NAME.png */
    FILE *script, *data;
    struct sq_output *script_output, *data_output;
    int blocks;                        /* data blocks so far: the next `index` */
} sq_plot;

/* The script opens with terminal, colours and `data = 'NAME.tsv'`. */
sq_status sq__plot_open(sq_plot *plot, const char *folder, const char *name, int width, int height, sq_error *error);
/* The same as a bitmap, twice as large. */
sq_status sq__plot_open_png(sq_plot *plot, const char *folder, const char *name, int width, int height, sq_error *error);
/* Ends the current block of data; returns its `index`. */
int sq__plot_block(sq_plot *plot);
sq_status sq__plot_commit(sq_plot *plot, sq_error *error);   /* script and data appear */
void sq__plot_discard(sq_plot *plot);
/* Run gnuplot on a committed script. SQ_NOT_FOUND: there is no gnuplot; SQ_IO: it failed, with what it said. */
sq_status sq__plot_draw(const char *folder, const char *name, sq_error *error);
sq_status sq__plot_draw_png(const char *folder, const char *name, sq_error *error);

/* The look of a model, the same in every figure: exact attention in ink, baselines grey and open, the others by colour, marker and dash,
 * distinct for 36 mechanisms; colours from Okabe and Ito's set for colour-blind readers. */
typedef struct sq_plot_style { const char *colour; int point, dash; double width; } sq_plot_style;
sq_plot_style sq__plot_style(const sq_comparison *comparison, int model);
/* A plot with the legend at its right: room for the name of every model and `more` characters, and a row for each model and two more. */
enum { SQ_PLOT_WIDTH = 720 };
int sq__plot_height(const sq_comparison *comparison);
void sq__plot_put_legend(const sq_plot *plot, const sq_comparison *comparison, int more);
/* " lc rgb '...' pt 7 dt 1 lw 2" */
void sq__plot_put_style(FILE *script, const sq_plot_style *style);

#endif
