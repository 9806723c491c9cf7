#include <math.h>
#include <string.h>

#include "compare/comparing.h"
#include "report/metric.h"
#include "subquad/tools.h"


/* ---- quality and cost over seeds ---- */

static void quality_over_seeds(const sq_comparing_model *model, int which, double *mean, double *deviation)
{
    double sum = 0, squares = 0;
    int count = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int r = 0; r < model->run_count; r++) {
            const double value = ((const double *)&model->runs[r].test)[which];
            if (model->runs[r].diverged || !isfinite(value)) continue;
            if (pass == 0) {
                sum += value;
                count++;
            } else {
                squares += (value - sum / count) * (value - sum / count);
            }
        }
    *mean = count ? sum / count : NAN;
    *deviation = count > 1 ? sqrt(squares / (count - 1)) : NAN;
}

/* Mean over the runs that have a figure. */
static double mean_of(const sq_comparing_model *model, size_t field)
{
    double sum = 0;
    int count = 0;
    for (int r = 0; r < model->run_count; r++) {
        double value;
        memcpy(&value, (const char *)&model->runs[r] + field, sizeof value);
        if (!isfinite(value) || value <= 0) continue;
        sum += value;
        count++;
    }
    return count ? sum / count : NAN;
}

double sq__run_seconds(const sq_run_result *run)
{
    double seconds = 0;
    for (int i = 0; i < run->epoch_count; i++)
        if (isfinite(run->curve[i].seconds)) seconds += run->curve[i].seconds;
    return seconds;
}

static double mean_run_seconds(const sq_comparing_model *model)
{
    double seconds = 0;
    for (int r = 0; r < model->run_count; r++) seconds += sq__run_seconds(&model->runs[r]);
    return seconds > 0 ? seconds / model->run_count : NAN;
}

static void fill_row(const sq_comparing_model *model, sq_compare_row *row)
{
    *row = (sq_compare_row){ .baseline = model->baseline, .other_model = !model->baseline && !model->attention, .seeds = model->run_count };
    snprintf(row->mechanism, sizeof row->mechanism, "%s", model->name);
    for (int q = 0; q < SQ_METRICS; q++) quality_over_seeds(model, q, (double *)&row->mean + q, (double *)&row->deviation + q);
    row->epoch_seconds = mean_of(model, offsetof(sq_run_result, epoch_seconds));
    row->clients_per_second = mean_of(model, offsetof(sq_run_result, clients_per_second));
    row->tokens_per_second = mean_of(model, offsetof(sq_run_result, tokens_per_second));
    for (int r = 0; r < model->run_count; r++) {
        const sq_run_result *run = &model->runs[r];
        row->parameters = run->parameters;
        row->diverged += run->diverged;
        if (run->train_peak_bytes > row->train_peak_bytes) row->train_peak_bytes = run->train_peak_bytes;
        if (run->inference_peak_bytes > row->inference_peak_bytes) row->inference_peak_bytes = run->inference_peak_bytes;
    }
    if (model->refused[0]) snprintf(row->note, sizeof row->note, "%s", model->refused);
    else if (row->diverged) snprintf(row->note, sizeof row->note, "%d of %d runs diverged", row->diverged, row->seeds);
}

/* ---- sweep ---- */

double sq__crossover(const double *n, const double *mine, const double *theirs, int count)
{
    double from = NAN, later_n = NAN, later_lead = NAN;
    for (int i = count - 1; i >= 0; i--) {
        if (!(mine[i] > 0) || !(theirs[i] > 0) || !isfinite(mine[i]) || !isfinite(theirs[i])) continue;
        const double lead = log(theirs[i] / mine[i]);
        if (lead <= 0) {
            if (isnan(from)) return NAN;
            const double share = lead / (lead - later_lead);   /* of the way to the next length, where the lead is 0 */
            return exp(log(n[i]) + share * (log(later_n) - log(n[i])));
        }
        from = later_n = n[i];
        later_lead = lead;
    }
    return from;
}

static double point_value(const sq_sweep_point *point, int pass, bool memory)
{
    return !isfinite(point->seconds[pass]) ? NAN : memory ? (double)point->peak_bytes[pass] : point->seconds[pass];
}

static double fitted(const sq_comparing_model *model, int pass, bool memory, int64_t from)
{
    double x[SQ_COMPARE_LENGTHS], y[SQ_COMPARE_LENGTHS];
    int count = 0;
    for (int p = 0; p < model->point_count; p++) {
        if (model->points[p].n < from) continue;
        x[count] = (double)model->points[p].n;
        y[count++] = point_value(&model->points[p], pass, memory);
    }
    return sq_fitted_exponent(x, y, count);
}

static double crossover(const sq_comparing_model *mine, const sq_comparing_model *exact, int pass)
{
    double n[SQ_COMPARE_LENGTHS], own[SQ_COMPARE_LENGTHS], other[SQ_COMPARE_LENGTHS];
    int count = 0;
    for (int p = 0; p < mine->point_count; p++)
        for (int q = 0; q < exact->point_count; q++) {
            if (mine->points[p].n != exact->points[q].n) continue;
            n[count] = (double)mine->points[p].n;
            own[count] = mine->points[p].seconds[pass];
            other[count++] = exact->points[q].seconds[pass];
        }
    return sq__crossover(n, own, other, count);
}

/* Below about a thousand, fixed costs hide the growth; with fewer than three longer lengths all are used. */
static int64_t fit_start(const sq_comparing *c)
{
    enum { LONG = 1024, ENOUGH = 3 };
    int count = 0;
    for (int i = 0; i < c->length_count; i++) count += c->lengths[i] >= LONG;
    return count >= ENOUGH ? LONG : c->length_count > 0 ? c->lengths[0] : 0;
}

void sq__compare_summarise(const sq_comparing *c, sq_compared *models, int64_t *fit_from)
{
    const sq_comparing_model *exact = NULL;
    *fit_from = fit_start(c);
    for (int i = 0; i < c->model_count; i++)
        if (strcmp(c->models[i].name, "softmax") == 0) exact = &c->models[i];
    for (int i = 0; i < c->model_count; i++) {
        const sq_comparing_model *from = &c->models[i];
        sq_compared *to = &models[i];
        *to = (sq_compared){ .options = from->options, .run_count = from->run_count, .runs = from->runs, .training_seconds = mean_run_seconds(from),
                             .point_count = from->point_count,
                             .points = from->points, .sweep_note = from->sweep_note };
        fill_row(from, &to->row);
        for (int pass = 0; pass < SQ_PASSES; pass++) {
            to->time_exponent[pass] = fitted(from, pass, false, *fit_from);
            to->memory_exponent[pass] = fitted(from, pass, true, *fit_from);
            to->crossover[pass] = exact && exact != from ? crossover(from, exact, pass) : NAN;
        }
        to->row.time_exponent = to->time_exponent[SQ_BACKWARD];
        to->row.memory_exponent = to->memory_exponent[SQ_BACKWARD];
        to->row.crossover = to->crossover[SQ_BACKWARD];
    }
}
