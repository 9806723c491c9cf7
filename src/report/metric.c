#include "report/metric.h"

#include <math.h>
#include <string.h>

enum { CLASS = 1 << SQ_TARGET_CLASS, NUMBER = 1 << SQ_TARGET_NUMBER, EVENT_CLASS = 1 << SQ_TARGET_EVENT_CLASS, EVENT_BITS = 1 << SQ_TARGET_EVENT_BITS };

static const sq_metric_row metrics[SQ_METRICS] = {
    { "accuracy", "accuracy", "accuracy", offsetof(sq_quality, accuracy), false, false, CLASS | EVENT_CLASS },
    { "auc", "auc", "ROC-AUC", offsetof(sq_quality, auc), false, false, CLASS },
    { "f1", "f1", "F1", offsetof(sq_quality, f1), false, false, CLASS },
    { "log-loss", "log_loss", "log-loss", offsetof(sq_quality, log_loss), true, false, CLASS | EVENT_CLASS },
    { "perplexity", "perplexity", "perplexity", offsetof(sq_quality, perplexity), true, true, EVENT_CLASS },
    { "mse", "mse", "mean squared error", offsetof(sq_quality, mse), true, true, NUMBER },
    { "mae", "mae", "mean absolute error", offsetof(sq_quality, mae), true, true, NUMBER },
    { "r2", "r2", "R²", offsetof(sq_quality, r2), false, false, NUMBER },
    { "bits", "bits", "bits per sequence", offsetof(sq_quality, bits), true, true, EVENT_BITS },
    { "bit-errors", "bit_errors", "bit errors per sequence", offsetof(sq_quality, bit_errors), true, true, EVENT_BITS },
    { "exact", "exact", "sequences all right", offsetof(sq_quality, exact), false, false, EVENT_CLASS | EVENT_BITS },
};

const sq_quality sq__quality_unknown = { NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };

const sq_metric_row *sq__metric_of(sq_target_kind target, int index)
{
    for (int i = 0; i < SQ_METRICS; i++)
        if (metrics[i].targets >> target & 1 && index-- == 0) return &metrics[i];
    return NULL;
}

const char *sq__metric_usual(sq_target_kind target)
{
    static const char *const usual[] = { [SQ_TARGET_CLASS] = "auc", [SQ_TARGET_NUMBER] = "mse", [SQ_TARGET_EVENT_CLASS] = "log-loss", [SQ_TARGET_EVENT_BITS] = "bits" };
    return usual[target];
}

const sq_metric_row *sq__metric_find(const char *metric)
{
    for (int i = 0; i < SQ_METRICS; i++)
        if (strcmp(metrics[i].name, metric) == 0) return &metrics[i];
    return NULL;
}

double sq__metric_value(const char *metric, const sq_quality *quality)
{
    const sq_metric_row *row = sq__metric_find(metric);
    return row ? sq__metric_at(row, quality) : NAN;
}

bool sq__metric_falls(const char *metric)
{
    const sq_metric_row *row = sq__metric_find(metric);
    return row && row->falls;
}

const char *sq__metric_title(const char *metric)
{
    const sq_metric_row *row = sq__metric_find(metric);
    return row ? row->title : metric;
}

int sq__metric_decimals(const sq_metric_row *row, double value, int usual)
{
    if (!row || !row->scaled || !isfinite(value) || value == 0) return usual;
    const int decimals = 2 - (int)floor(log10(fabs(value)));
    return decimals < 0 ? 0 : decimals > 9 ? 9 : decimals;
}

/* ---- public ---- */

sq_status sq_metric(sq_target_kind target, int index, sq_metric_info *info)
{
    const sq_metric_row *row = index >= 0 ? sq__metric_of(target, index) : NULL;
    if (!row) return SQ_NOT_FOUND;
    *info = (sq_metric_info){ row->name, row->title, row->falls, row->scaled };
    return SQ_OK;
}

double sq_metric_value(const char *name, const sq_quality *quality) { return sq__metric_value(name, quality); }
