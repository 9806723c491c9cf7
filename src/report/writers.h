/* Writers of files with the results of a comparison; each file appears whole or not at all. Depends on io. */
#ifndef SQ_REPORT_WRITERS_H
#define SQ_REPORT_WRITERS_H

#include "report/comparison.h"

sq_status sq__write_results_csv(const sq_comparison *comparison, const char *path, sq_error *error);    /* one row per run */
sq_status sq__write_results_json(const sq_comparison *comparison, const char *path, sq_error *error);   /* everything; not finite: null */

#endif
