#include "report/page.h"

#include <math.h>
#include <string.h>

#include "io/file.h"
#include "report/format.h"
#include "report/metric.h"

static void element(FILE *file, const char *open, const char *text, const char *close)
{
    fputs(open, file);
    sq__put_xml(file, text);
    fputs(close, file);
}

/* Names of the data's classes, the first few. */
static void classes(const sq_comparison *c, FILE *file)
{
    enum { SHOWN = 6 };
    for (int i = 0; i < c->class_count && i < SHOWN; i++) {
        fputs(i ? ", " : "", file);
        sq__put_xml(file, c->classes[i]);
    }
    if (c->class_count > SHOWN) fputs(", …", file);
}

static void majority(const sq_comparison *c, FILE *file)
{
    char figure[SQ_FIGURE_SIZE];
    fprintf(file, ", %d classes (", c->class_count);
    classes(c, file);
    fputs("). Always saying the most frequent class, ", file);
    sq__put_xml(file, c->majority_class);
    fprintf(file, ", is right for %s of them.", sq__format_fixed(figure, c->majority, 3));
}

/* What another target asks, and what one reaches without looking. */
static void constant(const sq_comparison *c, FILE *file)
{
    static const char *const asked[] = { [SQ_TARGET_NUMBER] = "; a number is asked of each. Always saying the mean of training",
                                         [SQ_TARGET_EVENT_CLASS] = "; a class is asked of events. Saying the same of all, by the frequencies in training,",
                                         [SQ_TARGET_EVENT_BITS] = "; bits are asked of events. Saying the same of all, by the frequencies in training," };
    char figure[SQ_FIGURE_SIZE];
    const sq_metric_row *metric;
    fputs(asked[c->target], file);
    for (int i = 0; (metric = sq__metric_of(c->target, i)); i++) {
        const double value = sq__metric_at(metric, &c->constant);
        fprintf(file, "%s %s %s", i ? "," : " gives", metric->title, sq__format_fixed(figure, value, sq__metric_decimals(metric, value, 3)));
    }
    fputc('.', file);
}

static void head(const sq_page *page, FILE *file)
{
    const sq_comparison *c = page->comparison;
    char figure[SQ_FIGURE_SIZE];
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n", file);
    element(file, "<title>", c->name, ": models compared</title>\n<style>\n");
    fputs(sq__page_style, file);
    fputs("</style>\n</head>\n<body>\n<header>\n", file);
    element(file, "<h1>Models compared on ", c->name, "</h1>\n");
    element(file, "<p class=\"headline\">", page->findings->lines[0], ".</p>\n<ul class=\"findings\">\n");
    for (int i = 1; i < page->findings->line_count; i++) element(file, "<li>", page->findings->lines[i], ".</li>\n");
    fprintf(file, "</ul>\n<p class=\"facts\">%s test clients", sq__format_count(figure, c->test_count));
    if (c->target == SQ_TARGET_CLASS) majority(c, file);
    else constant(c, file);
    fprintf(file, " Ranked by %s on the test split%s.</p>\n", sq__metric_title(c->metric), sq__metric_falls(c->metric) ? " (smaller is better)" : "");
    if (c->warning[0]) element(file, "<p class=\"note\">", c->warning, "</p>\n");
    fputs("</header>\n", file);
}

static sq_status figure(const sq_page *page, int i, FILE *file, sq_error *error)
{
    const sq_figure *shown = &sq__figures[i];
    if (!page->drawn[i]) return SQ_OK;
    fprintf(file, "<figure%s>\n<h3>%s</h3>\n", shown->wide ? " class=\"wide\"" : "", shown->title);
    SQ_TRY(sq__page_svg(page->plot_folder, shown->name, shown->title, file, error));
    fprintf(file, "<figcaption>%s</figcaption>\n</figure>\n", shown->caption);
    return SQ_OK;
}

/* The figures from `first` to `last` by name, in a grid. */
static sq_status figures(const sq_page *page, const char *first, const char *last, FILE *file, sq_error *error)
{
    sq_status status = SQ_OK;
    bool within = false;
    fputs("<div class=\"figures\">\n", file);
    for (int i = 0; i < SQ_FIGURES && status == SQ_OK; i++) {
        if (strcmp(sq__figures[i].name, first) == 0) within = true;
        if (within) status = figure(page, i, file, error);
        if (strcmp(sq__figures[i].name, last) == 0) within = false;
    }
    fputs("</div>\n", file);
    return status;
}

static void how(const sq_page *page, FILE *file)
{
    const sq_comparison *c = page->comparison;
    fputs("<h2>To do it again</h2>\n", file);
    element(file, "<p class=\"small\">subquad ", sq_version(), "");
    if (c->seeds > 1) fprintf(file, ", seeds %lld to %lld", (long long)c->first_seed, (long long)(c->first_seed + c->seeds - 1));
    else fprintf(file, ", seed %lld", (long long)c->first_seed);
    element(file, ", started ", c->started, "");
    element(file, ": <code>", c->command, "</code>. The same version and configuration give the same bits, on any number of threads; times differ.</p>\n");
    element(file, "<details open><summary>Configuration, complete</summary>\n<pre>", c->config_yaml, "</pre></details>\n");
    fputs("<details><summary>Options of each mechanism</summary>\n<dl>", file);
    for (int i = 0; i < c->count; i++) {
        element(file, "<dt>", c->models[i].row.mechanism, "</dt>");
        element(file, "<dd>", c->models[i].options[0] ? c->models[i].options : "–", "</dd>\n");
    }
    fputs("</dl></details>\n<details open><summary>Environment</summary>\n<dl>", file);
    for (int i = 0; i < c->environment_count; i++) {
        element(file, "<dt>", c->environment[i].key, "</dt>");
        element(file, "<dd>", c->environment[i].value, "</dd>\n");
    }
    fputs("</dl></details>\n<p class=\"small\">Beside this page: results.csv (a row a run), results.json (everything), runs.db (SQLite), plots/ (figures, their data "
          "and scripts), runs/ (weights, curves and TensorBoard events of each run).</p>\n", file);
}

/* Left out where nothing was swept. */
static sq_status growth(const sq_page *page, FILE *file, sq_error *error)
{
    const sq_comparison *c = page->comparison;
    char count[SQ_FIGURE_SIZE];
    bool any = false;
    for (int i = 0; i < c->count; i++) any = any || c->models[i].point_count > 0 || c->models[i].sweep_note[0];
    if (!any) return SQ_OK;
    fputs("<h2>Growth with length</h2>\n", file);
    fprintf(file, "<p class=\"small\">One attention call of %d heads of %d, batch 1, on one thread; growth fitted over n ≥ %s.</p>\n", c->sweep_heads,
            c->sweep_head_size, sq__format_count(count, c->sweep_fit_from));
    sq__page_sweep(c, file);
    return figures(page, "time-training", "memory-forward", file, error);
}

static sq_status body(const sq_page *page, FILE *file, sq_error *error)
{
    const sq_comparison *c = page->comparison;
    head(page, file);
    fputs("<main>\n", file);
    if (page->plot_note[0]) element(file, "<p class=\"note\">", page->plot_note, "</p>\n");
    fputs("<h2>Results on the test split</h2>\n", file);
    if (c->seeds > 1) fprintf(file, "<p class=\"small\">Mean ± standard deviation over %d seeds; time an epoch is the median of a run; memory is the exact peak of the library's own "
                              "allocator.</p>\n", c->seeds);
    else fputs("<p class=\"small\">One seed: how much the figures vary is unknown. Memory is the exact peak of the library's own allocator.</p>\n", file);
    sq__page_table(c, page->findings, file);
    fputs("<h2>Quality against time</h2>\n", file);
    SQ_TRY(figures(page, "pareto-training", "curves-loss", file, error));
    SQ_TRY(growth(page, file, error));
    if (c->class_count > 0) {
        fputs("<h2>Confusion</h2>\n<p class=\"small\">Classes in order: ", file);
        for (int i = 0; i < c->class_count; i++) element(file, i ? ", " : "", c->classes[i], "");
        fputs(".</p>\n", file);
        SQ_TRY(figures(page, "confusion", "confusion", file, error));
    }
    fputs("<h2>Every run</h2>\n<details><summary>Results by seed</summary>\n", file);
    sq__page_runs(c, file);
    fputs("</details>\n", file);
    how(page, file);
    fputs("</main>\n</body>\n</html>\n", file);
    return SQ_OK;
}

sq_status sq__write_page(const sq_page *page, const char *path, sq_error *error)
{
    sq_output *output;
    SQ_TRY(sq__output_open(&output, path, error));
    const sq_status status = body(page, sq__output_stream(output), error);
    if (status == SQ_OK) return sq__output_commit(&output, error);
    sq__output_discard(&output);
    return status;
}
