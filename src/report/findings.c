#include "report/findings.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "report/format.h"
#include "report/metric.h"

static double quality(const sq_comparison *c, int i)
{
    return sq__metric_value(c->metric, &c->models[i].row.mean);
}

static double deviation(const sq_comparison *c, int i)
{
    return sq__metric_value(c->metric, &c->models[i].row.deviation);
}

static double goodness(const sq_comparison *c, int i)
{
    return sq__metric_falls(c->metric) ? -quality(c, i) : quality(c, i);
}

double sq__lead(const sq_comparison *c, int a, int b, double *spread)
{
    *spread = hypot(deviation(c, a), deviation(c, b));
    return goodness(c, a) - goodness(c, b);
}

void sq__pareto(const sq_comparison *c, const double *cost, bool *on_front)
{
    for (int i = 0; i < c->count; i++) {
        on_front[i] = cost[i] > 0 && isfinite(cost[i]) && isfinite(quality(c, i));
        for (int j = 0; on_front[i] && j < c->count; j++) {
            if (j == i || !(cost[j] > 0) || !isfinite(quality(c, j))) continue;
            const double lead = goodness(c, j) - goodness(c, i);
            if (cost[j] <= cost[i] && lead >= 0 && (cost[j] < cost[i] || lead > 0)) on_front[i] = false;
        }
    }
}

/* baselines: of them, or of the mechanisms and other models. any: of all. */
static int best_of(const sq_comparison *c, bool any, bool baselines)
{
    int best = -1;
    for (int i = 0; i < c->count; i++)
        if ((any || c->models[i].row.baseline == baselines) && isfinite(quality(c, i)) &&
            (best < 0 || goodness(c, i) > goodness(c, best)))
            best = i;
    return best;
}

static bool level(const sq_comparison *c, int a, int b)
{
    double spread;
    const double lead = sq__lead(c, a, b, &spread);
    return isfinite(lead) && isfinite(spread) && fabs(lead) <= spread;
}

/* ---- sentences ---- */

static void add(char *line, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(char *line, const char *format, ...)
{
    va_list arguments;
    const size_t used = strlen(line);
    va_start(arguments, format);
    vsnprintf(line + used, SQ_FINDING_SIZE - used, format, arguments);
    va_end(arguments);
}

/* Up to this many names in a sentence; the table has them all. */
enum { NAMED = 5 };

static int decimals(const sq_comparison *c, double value) { return sq__metric_decimals(sq__metric_find(c->metric), value, 3); }

static void add_figure(char *line, const sq_comparison *c, int i)
{
    char figure[SQ_FIGURE_SIZE];
    add(line, "%s", sq__format_spread(figure, quality(c, i), deviation(c, i), decimals(c, quality(c, i))));
}

static void against(char *line, const sq_comparison *c, int a, int b)
{
    char figure[SQ_FIGURE_SIZE];
    double spread;
    const double lead = sq__lead(c, a, b, &spread);
    const int shown = decimals(c, quality(c, b));
    if (lead < 0.5 * pow(10, -shown)) add(line, ", level with ");
    else add(line, ", %s better than ", sq__format_fixed(figure, lead, shown));
    add(line, "%s, %s (", c->models[b].row.baseline ? "the best baseline" : c->models[b].row.other_model ? "the best sequence model" : "the best attention mechanism", c->models[b].row.mechanism);
    add_figure(line, c, b);
    if (!isfinite(spread)) add(line, "); with one seed the spread is unknown");
    else add(line, "); the difference is %s the spread of %s", lead > spread ? "beyond" : "within", sq__format_fixed(figure, spread, shown));
}

static void headline(char *line, const sq_comparison *c, const sq_findings *f)
{
    if (f->best < 0) {
        add(line, "No model has a result: every run diverged or could not start");
        return;
    }
    const sq_compare_row *row = &c->models[f->best].row;
    add(line, "%s%s is best here: %s ", row->mechanism, row->baseline ? ", a baseline," : "", sq__metric_title(c->metric));
    add_figure(line, c, f->best);
    const int other = row->baseline ? f->best_mechanism : f->best_baseline;
    if (other >= 0) against(line, c, f->best, other);
}

/* Who is as good as the best within the spread, and which of these is cheapest. */
static void equals(char *line, const sq_comparison *c, const sq_findings *f)
{
    char figure[2][SQ_FIGURE_SIZE];
    int count = 0, cheapest = f->best;
    for (int i = 0; i < c->count; i++) {
        if (i == f->best || !level(c, f->best, i)) continue;
        count++;
        if (c->models[i].training_seconds < c->models[cheapest].training_seconds) cheapest = i;
    }
    if (count == 0) {
        double spread;
        for (int i = 0; i < c->count; i++)
            if (i != f->best && isfinite(sq__lead(c, f->best, i, &spread)) && isfinite(spread)) count++;
        if (count > 0) add(line, "No other model comes within the spread of it");
        return;
    }
    add(line, "Level with it within the spread: ");
    for (int i = 0, named = 0; i < c->count; i++) {
        if (i == f->best || !level(c, f->best, i)) continue;
        if (named == NAMED && count > NAMED + 1) {
            add(line, " and %d more", count - NAMED);
            break;
        }
        add(line, "%s%s (", named++ ? ", " : "", c->models[i].row.mechanism);
        add_figure(line, c, i);
        add(line, ")");
    }
    if (cheapest != f->best)
        add(line, "; the fastest of these to train is %s: %s against %s", c->models[cheapest].row.mechanism,
            sq__format_seconds(figure[0], c->models[cheapest].training_seconds), sq__format_seconds(figure[1], c->models[f->best].training_seconds));
}

/* "2.1 times less training time", "1.3 times as much memory", "as much memory" */
static void add_ratio(char *line, double mine, double exact, const char *what)
{
    const double ratio = mine > exact ? mine / exact : exact / mine;
    if (ratio < 1.05) add(line, "as much %s", what);
    else add(line, "%.*f times %s %s", ratio < 9.95 ? 1 : 0, ratio, mine > exact ? "as much" : "less", what);
}

static void cost(char *line, const sq_comparison *c, const sq_findings *f)
{
    char figure[3][SQ_FIGURE_SIZE];
    if (f->best_mechanism < 0) return;
    const sq_compare_row *mine = &c->models[f->best_mechanism].row;
    add(line, "%s %s %s clients a second; training costs it %s an epoch and %s of memory", mine->mechanism,
        c->target == SQ_TARGET_CLASS ? "classifies" : "answers for", sq__format_quantity(figure[2], mine->clients_per_second), sq__format_seconds(figure[0], mine->epoch_seconds),
        sq__format_bytes(figure[1], (double)mine->train_peak_bytes));
    if (f->exact < 0 || f->exact == f->best_mechanism) return;
    const sq_compare_row *exact = &c->models[f->exact].row;
    if (!(mine->epoch_seconds > 0) || !(exact->epoch_seconds > 0) || !mine->train_peak_bytes || !exact->train_peak_bytes) return;
    add(line, "; against exact attention that is ");
    add_ratio(line, mine->epoch_seconds, exact->epoch_seconds, "time");
    add(line, " and ");
    add_ratio(line, (double)mine->train_peak_bytes, (double)exact->train_peak_bytes, "memory");
}

static bool swept_beside_exact(const sq_comparison *c, const sq_findings *f, int i)
{
    return i != f->exact && c->models[i].point_count > 0;
}

/* "a, b, c, d, e and 3 more": the mechanisms of the sweep that cross at `from` (NaN: nowhere). */
static void add_crossing(char *line, const sq_comparison *c, const sq_findings *f, double from)
{
    int count = 0, named = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < c->count; i++) {
            const double own = c->models[i].crossover[SQ_BACKWARD];
            if (!swept_beside_exact(c, f, i) || !(own == from || (isnan(own) && isnan(from)))) continue;
            if (pass == 0) count++;
            else if (named < NAMED || count == NAMED + 1) add(line, "%s%s", named++ ? ", " : "", c->models[i].row.mechanism);
        }
    if (count > named) add(line, " and %d more", count - named);
}

/* The least crossover beyond `last`; NaN: none. *remaining: mechanisms that cross from there on. */
static double next_crossover(const sq_comparison *c, const sq_findings *f, double last, int *remaining, bool *shortest)
{
    double next = NAN;
    *remaining = 0;
    for (int i = 0; i < c->count; i++) {
        const double own = c->models[i].crossover[SQ_BACKWARD];
        if (!swept_beside_exact(c, f, i) || !(own > last)) continue;
        ++*remaining;
        if (own >= next) continue;   /* false while next is NaN */
        next = own;
        *shortest = own <= (double)c->models[i].points[0].n;
    }
    return next;
}

static void crossovers(char *line, const sq_comparison *c, const sq_findings *f)
{
    char figure[SQ_FIGURE_SIZE];
    int64_t longest = 0;
    int never = 0, groups = 0, remaining;
    bool shortest = false;
    if (f->exact < 0) return;
    for (int i = 0; i < c->count; i++) {
        if (!swept_beside_exact(c, f, i)) continue;
        never += !isfinite(c->models[i].crossover[SQ_BACKWARD]);
        const int64_t last = c->models[i].points[c->models[i].point_count - 1].n;
        if (last > longest) longest = last;
    }
    for (double from = 0; isfinite(from = next_crossover(c, f, from, &remaining, &shortest)); groups++) {
        if (groups == NAMED) {
            add(line, ", later for %d more", remaining);
            break;
        }
        add(line, "%s%s%s (", groups ? ", " : "A training step is faster than with exact attention from n = ", sq__format_count(figure, llround(from)),
            shortest ? " or less" : "");
        add_crossing(line, c, f, from);
        add(line, ")");
    }
    if (never == 0) return;
    add(line, "%s for ", groups ? "; none" : "No crossover with exact attention");
    add_crossing(line, c, f, NAN);
    add(line, " up to n = %s", sq__format_count(figure, longest));
}

static void troubles(char *line, const sq_comparison *c)
{
    int diverged = 0, absent = 0;
    for (int i = 0; i < c->count; i++) {
        const sq_compare_row *row = &c->models[i].row;
        if (row->diverged > 0) add(line, "%s%s diverged in %d of %d runs", diverged++ ? "; " : "", row->mechanism, row->diverged, row->seeds);
    }
    for (int i = 0; i < c->count; i++)
        if (c->models[i].row.seeds == 0)
            add(line, "%s%s", absent++ ? ", " : diverged ? "; cannot run on this task: " : "Cannot run on this task: ", c->models[i].row.mechanism);
}

void sq__findings(const sq_comparison *c, sq_findings *f)
{
    memset(f, 0, sizeof *f);
    f->best = best_of(c, true, false);
    f->best_mechanism = best_of(c, false, false);
    f->best_baseline = best_of(c, false, true);
    f->exact = -1;
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->models[i].row.mechanism, "softmax") == 0) f->exact = i;
    crossovers(f->crossovers, c, f);
    headline(f->lines[f->line_count++], c, f);
    if (f->best >= 0) equals(f->lines[f->line_count], c, f);
    if (f->lines[f->line_count][0]) f->line_count++;
    cost(f->lines[f->line_count], c, f);
    if (f->lines[f->line_count][0]) f->line_count++;
    if (f->crossovers[0]) strcpy(f->lines[f->line_count++], f->crossovers);
    troubles(f->lines[f->line_count], c);
    if (f->lines[f->line_count][0]) f->line_count++;
}
