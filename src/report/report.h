/* The report of a comparison: results.csv, results.json, plots/ and report.html in its folder. runs.db is kept up to date run by run
 * (store.h). Depends on the writers above. */
#ifndef SQ_REPORT_REPORT_H
#define SQ_REPORT_REPORT_H

#include "report/findings.h"

typedef struct sq_report_options {
    void (*progress)(void *user, int done, int total);   /* figures; may be NULL */
    void *user;
    sq_stop_flag *stop;                /* may be NULL */
} sq_report_options;

/* A missing gnuplot is said in the page and in `note` (a line, "" when all is well), and is no failure. */
sq_status sq__report_write(const sq_comparison *comparison, const char *folder, const sq_report_options *options, char note[256], sq_error *error);

#endif
