#include "report/report.h"

#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "report/page.h"
#include "report/writers.h"

static sq_status write_figure(const sq_comparison *c, const sq_figure *figure, const char *folder, bool *empty, sq_error *error)
{
    sq_plot plot = { 0 };
    const sq_status status = figure->write(c, figure, folder, &plot, empty, error);
    if (status == SQ_OK && !*empty) return sq__plot_commit(&plot, error);
    sq__plot_discard(&plot);
    return status;
}

/* A figure that gnuplot cannot draw is told once and left out; its script and data stay for later. */
static sq_status write_figures(const sq_comparison *c, const char *folder, const sq_report_options *options, bool *drawn, char note[256], sq_error *error)
{
    bool missing = false;
    for (int i = 0; i < SQ_FIGURES; i++) {
        bool empty;
        sq_error problem = { 0 };
        if (options->stop && *options->stop) return sq__fail(error, SQ_INTERRUPTED, "interrupted");
        if (options->progress) options->progress(options->user, i, SQ_FIGURES);
        SQ_TRY(write_figure(c, &sq__figures[i], folder, &empty, error));
        if (empty || missing) continue;
        const sq_status status = sq__plot_draw(folder, sq__figures[i].name, &problem);
        drawn[i] = status == SQ_OK;
        missing = status == SQ_NOT_FOUND;
        if (missing) snprintf(note, 256, "There are no figures, because gnuplot is not installed; plots/ has their data and scripts");
        else if (status != SQ_OK && !note[0]) snprintf(note, 256, "Some figures are missing: %.200s", problem.message);
    }
    return SQ_OK;
}

static sq_status write_all(const sq_comparison *c, const char *const paths[4], const sq_report_options *options, char note[256], sq_error *error)
{
    sq_findings found;
    bool drawn[SQ_FIGURES] = { false };
    SQ_TRY(sq__make_folders(paths[0], error));
    SQ_TRY(sq__write_results_csv(c, paths[1], error));
    SQ_TRY(sq__write_results_json(c, paths[2], error));
    SQ_TRY(write_figures(c, paths[0], options, drawn, note, error));
    sq__findings(c, &found);
    const sq_page page = { c, &found, paths[0], drawn, note };
    return sq__write_page(&page, paths[3], error);
}

sq_status sq__report_write(const sq_comparison *comparison, const char *folder, const sq_report_options *options, char note[256], sq_error *error)
{
    static const char *const names[4] = { "plots", "results.csv", "results.json", "report.html" };
    static const sq_report_options plain = { 0 };
    char *paths[4];
    bool complete = true;
    note[0] = 0;
    for (int i = 0; i < 4; i++) complete &= (paths[i] = sq__path_join(folder, names[i])) != NULL;
    const sq_status status = complete ? write_all(comparison, (const char *const *)paths, options ? options : &plain, note, error) : sq__no_memory(error);
    for (int i = 0; i < 4; i++) sq__free(paths[i]);
    return status;
}
