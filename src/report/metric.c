#include "report/metric.h"

#include <math.h>
#include <string.h>

static const struct {
    const char *name, *title;
    size_t offset;
    bool falls;
} metrics[] = {
    { "auc", "ROC-AUC", offsetof(sq_quality, auc), false },
    { "accuracy", "accuracy", offsetof(sq_quality, accuracy), false },
    { "f1", "F1", offsetof(sq_quality, f1), false },
    { "log-loss", "log-loss", offsetof(sq_quality, log_loss), true },
};
enum { METRICS = sizeof metrics / sizeof metrics[0] };

static int find(const char *metric)
{
    for (int i = 0; i < METRICS; i++)
        if (strcmp(metrics[i].name, metric) == 0) return i;
    return -1;
}

double sq__metric_value(const char *metric, const sq_quality *quality)
{
    const int i = find(metric);
    return i < 0 ? NAN : *(const double *)((const char *)quality + metrics[i].offset);
}

bool sq__metric_falls(const char *metric)
{
    const int i = find(metric);
    return i >= 0 && metrics[i].falls;
}

const char *sq__metric_title(const char *metric)
{
    const int i = find(metric);
    return i < 0 ? metric : metrics[i].title;
}
