/* The figures of a comparison. Depends on gnuplot.h. */
#ifndef SQ_REPORT_PLOTS_H
#define SQ_REPORT_PLOTS_H

#include "report/gnuplot.h"

typedef struct sq_figure {
    const char *name;                  /* of its files */
    const char *title;
    const char *caption;
    int variant;
    bool wide;                         /* takes the whole width of the page */
    /* Opens the plot, writes script and data; *empty when there is nothing to show (then the plot is not open). */
    sq_status (*write)(const sq_comparison *comparison, const struct sq_figure *figure, const char *folder, sq_plot *plot, bool *empty, sq_error *error);
} sq_figure;

enum { SQ_FIGURES = 9 };
extern const sq_figure sq__figures[SQ_FIGURES];

enum { SQ_COST_TRAINING, SQ_COST_INFERENCE };
double sq__cost(const sq_compared *model, int cost);   /* seconds of training; seconds a client; NaN: none */

sq_status sq__figure_pareto(const sq_comparison *, const sq_figure *, const char *folder, sq_plot *, bool *empty, sq_error *);     /* variant: SQ_COST_ */
enum { SQ_CURVE_METRIC, SQ_CURVE_LOSS };
sq_status sq__figure_curves(const sq_comparison *, const sq_figure *, const char *folder, sq_plot *, bool *empty, sq_error *);     /* variant: SQ_CURVE_ */
enum { SQ_SWEEP_TIME_FORWARD, SQ_SWEEP_TIME_TRAINING, SQ_SWEEP_MEMORY_FORWARD, SQ_SWEEP_MEMORY_TRAINING };
sq_status sq__figure_sweep(const sq_comparison *, const sq_figure *, const char *folder, sq_plot *, bool *empty, sq_error *);      /* variant: SQ_SWEEP_ */
sq_status sq__figure_confusion(const sq_comparison *, const sq_figure *, const char *folder, sq_plot *, bool *empty, sq_error *);

#endif
