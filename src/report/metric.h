/* Metrics by name: what each is called, which way is better, which targets have it. Depends on base. */
#ifndef SQ_REPORT_METRIC_H
#define SQ_REPORT_METRIC_H

#include "subquad/task.h"

enum { SQ_METRICS = 11 };
_Static_assert(sizeof(sq_quality) == SQ_METRICS * sizeof(double), "sq_quality is one double a metric");

typedef struct sq_metric_row {
    const char *name, *key, *title;    /* "log-loss"; in files: "log_loss"; for people: "log-loss" */
    size_t offset;                     /* in sq_quality */
    bool falls;                        /* smaller is better */
    bool scaled;                       /* of the size that the data gives it: shown with three digits, not with three decimals */
    unsigned targets;                  /* bit k: sq_target_kind k has it */
} sq_metric_row;

/* Decimals that a value is shown with: `usual`, or of a scaled metric what gives three digits. */
int sq__metric_decimals(const sq_metric_row *row, double value, int usual);

/* The metrics of a kind in order, by index; NULL past the end. */
const sq_metric_row *sq__metric_of(sq_target_kind target, int index);
const char *sq__metric_usual(sq_target_kind target);                      /* what chooses the best epoch unless another is asked */
const sq_metric_row *sq__metric_find(const char *metric);                 /* NULL: unknown */
static inline double sq__metric_at(const sq_metric_row *row, const sq_quality *quality)
{
    return *(const double *)(const void *)((const char *)quality + row->offset);
}

extern const sq_quality sq__quality_unknown;                              /* NaN everywhere */
double sq__metric_value(const char *metric, const sq_quality *quality);   /* NaN for an unknown name */
bool sq__metric_falls(const char *metric);                                /* smaller is better */
const char *sq__metric_title(const char *metric);                         /* "ROC-AUC" */

#endif
