/* The whole report: every file is there, parses, holds what it was given, and nothing hostile gets through. */
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/memory.h"
#include "report/files.h"
#include "report/plots.h"
#include "report/metric.h"
#include "report/report.h"
#include "report/sample.h"

static const char *const hostile[] = {
    "<script>alert(1)</script>", "'; system(\"touch pwned\") #", "`touch pwned`", "a\"b & c > d", "100%s%n%d", "broken \xff\xfe utf-8", "line\nbreak\x01", "@data {/Symbol a}_2^3 $x",
};

static bool have_gnuplot(void)
{
    return access("/usr/bin/gnuplot", X_OK) == 0 || access("/usr/local/bin/gnuplot", X_OK) == 0;
}

static void write_it(sample *s, const char *expected_note)
{
    char note[256];
    sq_error error = { 0 };
    const size_t before = sq_memory_current();
    if (sq__report_write(&s->comparison, test_folder, NULL, note, &error) != SQ_OK) fail_msg("%s", error.message);
    if (!strstr(note, expected_note) || (!expected_note[0] && have_gnuplot() && note[0])) fail_msg("note: %s", note);
    assert_int_equal(sq_memory_current(), before);
}

static void check_page(int figures)
{
    static const char *const loads[] = { "<script", "<link", "<img", "<iframe", "<object", "<embed", "@import", "url(", " src=\"", " src='", "<base", "<form" };
    char *page = read_text("report.html");
    assert_non_null(page);
    const char *wrong = malformed(page, 1);
    if (wrong) fail_msg("report.html: %.120s", wrong);
    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++)
        if (strstr(page, loads[i])) fail_msg("report.html holds %s", loads[i]);
    for (const char *at = page; (at = strstr(at, "href=")); at++) assert_true(strchr("'\"", at[5]) && at[6] == '#');
    for (const char *at = page; (at = strstr(at, "http")); at++)   /* names of the SVG language, not places */
        assert_true(strncmp(at, "http://www.w3.org/2000/svg\"", 27) == 0 || strncmp(at, "http://www.w3.org/1999/xlink\"", 29) == 0);
    if (have_gnuplot()) assert_int_equal(count_of(page, "<figure"), figures);
    free(page);
}

static void check_figures(int figures)
{
    int found = 0;
    for (int i = 0; i < SQ_FIGURES; i++) {
        char name[128];
        snprintf(name, sizeof name, "plots/%s.svg", sq__figures[i].name);
        char *svg = read_text(name);
        if (!svg) continue;
        const char *wrong = malformed(svg, 0);
        if (wrong) fail_msg("%s: %.120s", name, wrong);
        found++;
        free(svg);
    }
    if (have_gnuplot()) assert_int_equal(found, figures);
}

static json_t *check_json(void)
{
    json_error_t error;
    json_t *root = json_load_file(in_folder("results.json"), 0, &error);
    if (!root) fail_msg("results.json:%d: %s", error.line, error.text);
    return root;
}

static void four_mechanisms(void **state)
{
    (void)state;
    sample *s = sample_make(4, 2, 2, 3);
    write_it(s, "");
    check_page(SQ_FIGURES);
    check_figures(SQ_FIGURES);
    json_t *root = check_json(), *models = json_object_get(root, "models");
    assert_int_equal(json_array_size(models), 6);
    json_t *performer = json_array_get(models, 2), *run = json_array_get(json_object_get(performer, "runs"), 1);
    assert_string_equal(json_string_value(json_object_get(performer, "mechanism")), "performer");
    assert_true(fabs(json_real_value(json_object_get(json_object_get(run, "test"), "auc")) - s->models[2].runs[1].test.auc) < 1e-11);
    assert_int_equal(json_array_size(json_object_get(run, "curve")), s->models[2].runs[1].epoch_count);
    assert_int_equal(json_integer_value(json_array_get(json_array_get(json_object_get(run, "confusion"), 1), 0)), s->models[2].runs[1].confusion[2]);
    json_t *sweep = json_object_get(performer, "sweep");
    assert_int_equal(json_array_size(json_object_get(sweep, "points")), SAMPLE_LENGTHS);
    assert_true(json_is_null(json_object_get(json_object_get(json_object_get(json_array_get(models, 0), "sweep"), "faster_than_softmax_from"), "forward")));
    json_decref(root);
    char *csv = read_text("results.csv"), *page = read_text("report.html");
    assert_int_equal(count_of(csv, "\n"), 1 + 6 * 3);
    assert_non_null(strstr(csv, "\nperformer,2,0,0,"));
    assert_non_null(strstr(page, "is best here: ROC-AUC"));
    assert_non_null(strstr(page, "subquad compare task.yaml --seeds 3"));
    assert_non_null(strstr(page, "is right for 0.520 of them"));
    assert_non_null(strstr(page, "transactions.csv"));
    free(csv);
    free(page);
    sample_free(s);
}

static void twenty_five_mechanisms_many_classes(void **state)
{
    (void)state;
    sample *s = sample_make(25, 2, 64, 1);
    write_it(s, "");
    check_page(SQ_FIGURES);
    check_figures(SQ_FIGURES);
    json_decref(check_json());
    char *page = read_text("report.html");
    for (int i = 0; i < 25; i++) assert_true(count_of(page, sample_names[i]) >= 3);
    assert_non_null(strstr(page, "with one seed the spread is unknown"));
    free(page);
    sample_free(s);
}

static void what_is_hostile_stays_text(void **state)
{
    (void)state;
    sample *s = sample_make(4, 1, 8, 2);
    for (int i = 0; i < 8; i++) s->classes[i] = hostile[i];
    s->comparison.majority_class = hostile[0];
    s->comparison.name = "</title><script>alert(2)</script>";
    s->comparison.config_yaml = "x: \"</pre><script>alert(3)</script>\xff\"\n";
    s->comparison.warning = hostile[0];
    s->comparison.command = "subquad compare '<img src=x onerror=alert(4)>'";
    s->models[1].options = "<b>\x80";
    snprintf(s->models[1].row.note, sizeof s->models[1].row.note, "<i onclick=\"x\">\nnext,\"line\"");
    write_it(s, "");
    check_page(SQ_FIGURES);
    check_figures(SQ_FIGURES);
    json_t *root = check_json();
    assert_string_equal(json_string_value(json_array_get(json_object_get(root, "classes"), 5)), "broken \xef\xbf\xbd\xef\xbf\xbd utf-8");
    json_decref(root);
    assert_int_not_equal(access("pwned", F_OK), 0);
    assert_int_not_equal(access(in_folder("pwned"), F_OK), 0);
    assert_int_not_equal(access(in_folder("plots/pwned"), F_OK), 0);
    char *svg = read_text("plots/confusion.svg");
    if (svg) assert_non_null(strstr(svg, "100%s%n"));
    free(svg);
    sample_free(s);
}

static void nothing_finite_is_survived(void **state)
{
    (void)state;
    sample *s = sample_make(3, 1, 2, 2);
    const sq_quality none = sq__quality_unknown;
    for (int i = 0; i < 4; i++) {
        s->models[i].row.mean = s->models[i].row.deviation = none;
        s->models[i].row.diverged = 2;
        s->models[i].row.epoch_seconds = s->models[i].training_seconds = s->models[i].row.clients_per_second = NAN;
        s->models[i].point_count = 0;
        for (int r = 0; r < 2; r++) {
            s->runs[2 * i + r].diverged = true;
            s->runs[2 * i + r].test = none;
            s->runs[2 * i + r].epoch_count = 0;
            memset(s->runs[2 * i + r].confusion, 0, sizeof s->runs[0].confusion);
        }
    }
    s->models[1].row.seeds = s->models[1].run_count = 0;
    strcpy(s->models[1].row.note, "linformer cannot do 'causal'");
    write_it(s, "");
    check_page(1);   /* confusion alone */
    json_decref(check_json());
    char *page = read_text("report.html"), *csv = read_text("results.csv");
    assert_non_null(strstr(page, "No model has a result"));
    assert_non_null(strstr(page, "not run: linformer cannot do &#39;causal&#39;"));
    assert_non_null(strstr(csv, "\nlinformer,,0,"));
    free(page);
    free(csv);
    sample_free(s);
}

static void growth_says_only_what_was_swept(void **state)
{
    (void)state;
    sample *s = sample_make(3, 1, 2, 1);
    for (int i = 0; i < 3; i++) s->models[i].crossover[SQ_FORWARD] = s->models[i].crossover[SQ_BACKWARD] = NAN;
    write_it(s, "");
    char *page = read_text("report.html");
    assert_int_equal(count_of(page, "<td>none up to "), 2 * 2);   /* beside the reference, softmax */
    free(page);
    s->models[0].point_count = 0;
    write_it(s, "");
    page = read_text("report.html");
    assert_non_null(strstr(page, "Growth with length"));
    assert_int_equal(count_of(page, "none up to"), 0);
    free(page);
    for (int i = 0; i < 3; i++) s->models[i].point_count = 0;
    write_it(s, "");
    page = read_text("report.html");
    assert_null(strstr(page, "Growth with length"));
    free(page);
    sample_free(s);
}

static void without_gnuplot_it_says_so(void **state)
{
    (void)state;
    sample *s = sample_make(4, 2, 2, 3);
    char *path = strdup(getenv("PATH") ? getenv("PATH") : "");
    setenv("PATH", test_folder, 1);
    write_it(s, "gnuplot is not installed");
    setenv("PATH", path, 1);
    free(path);
    char *page = read_text("report.html"), *script = read_text("plots/curves-metric.gp"), *data = read_text("plots/curves-metric.tsv");
    assert_non_null(strstr(page, "There are no figures, because gnuplot is not installed"));
    assert_int_equal(count_of(page, "<figure"), 0);
    assert_non_null(script);
    assert_non_null(data);
    assert_null(read_text("plots/curves-metric.svg"));
    free(page);
    free(script);
    free(data);
    sample_free(s);
}

static void a_gnuplot_that_fails_is_told(void **state)
{
    (void)state;
    sample *s = sample_make(2, 1, 2, 1);
    char *path = strdup(getenv("PATH") ? getenv("PATH") : ""), program[256];
    snprintf(program, sizeof program, "%s", in_folder("gnuplot"));
    FILE *file = fopen(program, "w");
    fputs("#!/bin/sh\necho 'plot here'\necho '         ^'\necho 'line 3: no such thing' >&2\nexit 1\n", file);
    fclose(file);
    chmod(program, 0755);
    setenv("PATH", test_folder, 1);
    write_it(s, "Some figures are missing: gnuplot: line 3: no such thing");
    setenv("PATH", path, 1);
    free(path);
    assert_null(read_text("plots/confusion.svg"));
    sample_free(s);
}

static void a_stop_is_heard(void **state)
{
    (void)state;
    sample *s = sample_make(2, 1, 2, 1);
    sq_stop_flag stop = 1;
    char note[256];
    sq_error error;
    const sq_report_options options = { .stop = &stop };
    assert_int_equal(sq__report_write(&s->comparison, test_folder, &options, note, &error), SQ_INTERRUPTED);
    assert_null(read_text("report.html"));
    sample_free(s);
}

static void a_folder_that_is_not_there_is_told(void **state)
{
    (void)state;
    sample *s = sample_make(2, 1, 2, 1);
    char note[256];
    sq_error error = { 0 };
    assert_int_equal(sq__report_write(&s->comparison, "/proc/nowhere", NULL, note, &error), SQ_IO);
    assert_non_null(strstr(error.message, "/proc/nowhere"));
    sample_free(s);
}

static void failed_allocation_is_survived(void **state)
{
    (void)state;
    sample *s = sample_make(2, 1, 2, 1);
    char *path = strdup(getenv("PATH") ? getenv("PATH") : ""), note[256];
    setenv("PATH", test_folder, 1);
    const size_t before = sq_memory_current();
    sq_status status = SQ_NO_MEMORY;
    long n = 1;
    for (; n < 1000 && status != SQ_OK; n++) {
        sq_error error = { 0 };
        sq__alloc_fail_after(n);
        status = sq__report_write(&s->comparison, test_folder, NULL, note, &error);
        sq__alloc_fail_after(0);
        if (status != SQ_OK && status != SQ_NO_MEMORY) fail_msg("%ld: %s", n, error.message);
        assert_int_equal(sq_memory_current(), before);
    }
    setenv("PATH", path, 1);
    free(path);
    assert_true(n > 20 && n < 1000);
    sample_free(s);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_test_folder, remove_test_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(four_mechanisms),
        IN_FOLDER(twenty_five_mechanisms_many_classes),
        IN_FOLDER(what_is_hostile_stays_text),
        IN_FOLDER(nothing_finite_is_survived),
        IN_FOLDER(growth_says_only_what_was_swept),
        IN_FOLDER(without_gnuplot_it_says_so),
        IN_FOLDER(a_gnuplot_that_fails_is_told),
        IN_FOLDER(a_stop_is_heard),
        IN_FOLDER(a_folder_that_is_not_there_is_told),
        IN_FOLDER(failed_allocation_is_survived),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
