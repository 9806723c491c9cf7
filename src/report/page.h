/* report.html: one page that needs nothing beside it: styles and figures are inside, there is no script and nothing is loaded.
 * All text that comes from data is escaped. Depends on plots.h, findings.h. */
#ifndef SQ_REPORT_PAGE_H
#define SQ_REPORT_PAGE_H

#include "report/findings.h"
#include "report/plots.h"

typedef struct sq_page {
    const sq_comparison *comparison;
    const sq_findings *findings;
    const char *plot_folder;
    const bool *drawn;                 /* [SQ_FIGURES] the SVG is there */
    const char *plot_note;             /* why figures are missing; "" */
} sq_page;

sq_status sq__write_page(const sq_page *page, const char *path, sq_error *error);

/* ---- parts ---- */
extern const char sq__page_style[];
void sq__page_table(const sq_comparison *comparison, const sq_findings *findings, FILE *file);   /* a row a model */
void sq__page_runs(const sq_comparison *comparison, FILE *file);                                 /* a row a run */
void sq__page_sweep(const sq_comparison *comparison, FILE *file);                                /* exponents and crossovers */
/* The SVG of a figure with its ink as currentColor, no background, and names of its own. */
sq_status sq__page_svg(const char *folder, const char *name, const char *title, FILE *file, sq_error *error);

#endif
