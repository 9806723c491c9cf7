/* The metric that mechanisms are ranked by, by name. Depends on base. */
#ifndef SQ_REPORT_METRIC_H
#define SQ_REPORT_METRIC_H

#include "subquad/task.h"

double sq__metric_value(const char *metric, const sq_quality *quality);   /* NaN for an unknown name */
bool sq__metric_falls(const char *metric);                                /* smaller is better */
const char *sq__metric_title(const char *metric);                         /* "ROC-AUC" */

#endif
