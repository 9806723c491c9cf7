/* A whole comparison on a small table: what it leaves, going on after kill -9 and after a stop, what is refused. */
#include <math.h>
#include <signal.h>
#include <sqlite3.h>
#include <sys/wait.h>

#include "task/task_support.h"

#include "subquad/compare.h"

static sq_task *make_task(const char *lengths)
{
    sq_task *task;
    sq_error error;
    write_tables(90, 1);
    write_file("task.yaml", task_text);
    assert_ok(sq_task_load(&task, in_root("task.yaml"), &error), &error);
    assert_ok(sq_task_set(task, "train.epochs", "3", &error), &error);
    assert_ok(sq_task_set(task, "train.checkpoint_steps", "1", &error), &error);
    assert_ok(sq_task_set(task, "compare.lengths", lengths, &error), &error);
    return task;
}

static double ask(const char *folder, const char *sql)
{
    sqlite3 *database;
    sqlite3_stmt *statement;
    char path[256];
    snprintf(path, sizeof path, "%s/runs.db", in_root(folder));
    assert_int_equal(sqlite3_open_v2(path, &database, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(database, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const double value = sqlite3_column_double(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return value;
}

static void assert_files(const char *folder)
{
    static const char *const names[] = { "config.yaml", "report.html", "results.csv", "results.json", "runs.db", "sweep.json", "plots/pareto-training.gp",
                                         "runs/softmax-s1/result.json", "runs/gru-s2/model.safetensors" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char path[320];
        snprintf(path, sizeof path, "%s/%s", in_root(folder), names[i]);
        if (!sq__file_exists(path)) fail_msg("%s is not there", path);
    }
}

typedef struct watched { bool training, sweep, report, time_left; double seconds; const char *message; sq_stop_flag *stop; int stop_at, calls; } watched;

static void watch(void *user, const sq_progress *progress)
{
    watched *w = user;
    w->training |= strcmp(progress->stage, "training") == 0;
    w->sweep |= strcmp(progress->stage, "sweep") == 0;
    w->report |= strcmp(progress->stage, "report") == 0;
    w->time_left |= progress->seconds_left > 0;
    assert_true(strcmp(progress->stage, "reading") == 0 || progress->seconds >= w->seconds);
    w->seconds = progress->seconds;
    if (w->stop && ++w->calls == w->stop_at) *w->stop = 1;
}

/* Results that must not depend on whether the comparison was stopped. */
static void assert_same_quality(const sq_compare_result *a, const sq_compare_result *b)
{
    assert_int_equal(a->row_count, b->row_count);
    for (int i = 0; i < a->row_count; i++) {
        assert_string_equal(a->rows[i].mechanism, b->rows[i].mechanism);
        assert_memory_equal(&a->rows[i].mean, &b->rows[i].mean, sizeof(sq_quality));
        assert_memory_equal(&a->rows[i].deviation, &b->rows[i].deviation, sizeof(sq_quality));
        assert_int_equal(a->rows[i].parameters, b->rows[i].parameters);
    }
    assert_string_equal(a->headline, b->headline);
}

/* In a child of its own, killed after `microseconds`; true: it had finished before. */
static bool run_and_kill(const sq_task *task, const char *folder, bool resume, useconds_t microseconds)
{
    const pid_t child = fork();
    if (child == 0) {
        const sq_compare_options options = { .folder = in_root(folder), .threads = 1, .resume = resume };
        sq_compare_result result;
        _exit(sq_compare(task, &options, &result, NULL) == SQ_OK ? 0 : 9);
    }
    int status;
    usleep(microseconds);
    kill(child, SIGKILL);
    waitpid(child, &status, 0);
    if (WIFEXITED(status)) assert_int_equal(WEXITSTATUS(status), 0);
    return WIFEXITED(status);
}

static void killed_and_resumed_it_ends_the_same(void **state)
{
    (void)state;
    sq_task *task = make_task("64,128");
    sq_error error = { 0 };
    int killed = 0;
    bool finished = false;
    for (useconds_t wait = 30000; !finished && killed < 12; wait += wait / 2) {   /* before this process has threads of its own */
        finished = run_and_kill(task, "killed", killed > 0, wait);
        killed += !finished;
    }
    assert_true(killed >= 1);
    sq_compare_result whole, resumed;
    const size_t before = sq_memory_current();
    watched seen = { 0 };
    const sq_compare_options options = { .folder = in_root("whole"), .threads = 1, .progress = watch, .user = &seen };
    assert_ok(sq_compare(task, &options, &whole, &error), &error);
    assert_true(seen.training && seen.sweep && seen.report && seen.time_left);
    const sq_compare_options again = { .folder = in_root("killed"), .threads = 1, .resume = true };
    assert_ok(sq_compare(task, &again, &resumed, &error), &error);
    assert_same_quality(&whole, &resumed);
    assert_files("whole");
    assert_files("killed");
    assert_true(ask("killed", "SELECT count(*) FROM runs") == 8);
    assert_true(ask("killed", "SELECT count(*) FROM sweep") == 8);
    assert_true(ask("whole", "SELECT count(*) FROM epochs WHERE mechanism = 'softmax'") == 6);

    assert_int_equal(whole.row_count, 4);
    assert_string_equal(whole.rows[1].mechanism, "performer");
    assert_true(!whole.rows[1].baseline && whole.rows[3].baseline);
    assert_int_equal(whole.rows[0].seeds, 2);
    assert_true(whole.rows[0].mean.accuracy > 0.3 && whole.rows[0].epoch_seconds > 0 && whole.rows[0].train_peak_bytes > 0);
    assert_true(isfinite(whole.rows[0].time_exponent) && isnan(whole.rows[2].time_exponent));
    assert_true(whole.majority >= 0.3 && whole.majority <= 0.7);
    assert_true(strstr(whole.headline, "is best here") && strstr(whole.report, "whole/report.html") && whole.metric[0]);
    sq_compare_result_clear(&whole);
    sq_compare_result_clear(&resumed);
    assert_int_equal(sq_memory_current(), before);
    sq_task_destroy(&task);
}

static void a_stop_is_heard_everywhere(void **state)
{
    (void)state;
    sq_task *task = make_task("64,128");
    sq_error error = { 0 };
    sq_compare_result result;
    sq_stop_flag stop = 0;
    int stops = 0;
    sq_status status = SQ_INTERRUPTED;
    for (int at = 1; status == SQ_INTERRUPTED && stops < 60; at += 5) {
        watched seen = { .stop = &stop, .stop_at = at };
        const sq_compare_options options = { .folder = in_root("out"), .only = "softmax,logistic", .seeds = 1, .threads = 1, .resume = true,
                                             .progress = watch, .user = &seen, .stop = &stop };
        stop = 0;
        status = sq_compare(task, &options, &result, &error);
        stops += status == SQ_INTERRUPTED;
        assert_true(status == SQ_OK || result.rows == NULL);
    }
    assert_ok(status, &error);
    assert_true(stops >= 3);
    assert_int_equal(result.row_count, 2);
    sq_compare_result_clear(&result);
    sq_task_destroy(&task);
}

static void what_cannot_run_is_told_with_its_reason(void **state)
{
    (void)state;
    sq_task *task = make_task("64");
    sq_error error = { 0 };
    sq_compare_result result;
    assert_ok(sq_task_set(task, "model.causal", "true", &error), &error);
    const sq_compare_options options = { .folder = in_root("out"), .only = "linformer,softmax", .seeds = 1, .threads = 1 };
    assert_ok(sq_compare(task, &options, &result, &error), &error);
    assert_int_equal(result.row_count, 2);
    const sq_compare_row *row = strcmp(result.rows[0].mechanism, "linformer") == 0 ? &result.rows[0] : &result.rows[1];
    assert_int_equal(row->seeds, 0);
    assert_non_null(strstr(row->note, "causal"));
    assert_true(ask("out", "SELECT count(*) FROM refused WHERE reason LIKE '%causal%'") == 1);
    sq_compare_result_clear(&result);

    const sq_compare_options none = { .folder = in_root("other"), .only = "linformer", .seeds = 1, .threads = 1 };
    assert_int_equal(sq_compare(task, &none, &result, &error), SQ_UNSUPPORTED);
    assert_non_null(strstr(error.message, "no mechanism can run on this task; linformer"));
    assert_false(sq__file_exists(in_root("other")));
    sq_task_destroy(&task);
}

static void what_diverges_is_told(void **state)
{
    (void)state;
    sq_task *task = make_task("");
    sq_error error = { 0 };
    sq_compare_result result;
    assert_ok(sq_task_set(task, "train.learning_rate", "100", &error), &error);   /* times the decay: weights grow 10,000 times a step */
    assert_ok(sq_task_set(task, "train.weight_decay", "100", &error), &error);
    assert_ok(sq_task_set(task, "train.warmup", "0", &error), &error);
    const sq_compare_options options = { .folder = in_root("out"), .only = "softmax,logistic", .seeds = 2, .threads = 1 };
    const sq_status status = sq_compare(task, &options, &result, &error);
    assert_ok(status, &error);
    assert_int_equal(result.rows[0].diverged, 2);
    assert_string_equal(result.rows[0].note, "2 of 2 runs diverged");
    assert_true(isnan(result.rows[0].mean.accuracy));
    assert_int_equal(result.rows[1].diverged, 0);
    assert_non_null(strstr(result.headline, "logistic, a baseline, is best here"));
    char *page;
    read_file("out/report.html", &page);
    assert_non_null(strstr(page, "softmax diverged in 2 of 2 runs"));
    sq__free(page);
    sq_compare_result_clear(&result);
    sq_task_destroy(&task);
}

static void results_are_not_run_over(void **state)
{
    (void)state;
    sq_task *task = make_task("64,128");
    sq_error error = { 0 };
    sq_compare_result first, second;
    sq_compare_options options = { .folder = in_root("out"), .only = "softmax,performer", .seeds = 1, .threads = 1 };
    assert_ok(sq_compare(task, &options, &first, &error), &error);
    assert_int_equal(sq_compare(task, &options, &second, &error), SQ_INVALID);
    assert_non_null(strstr(error.message, "holds results already"));
    char *sweep, *again;
    read_file("out/sweep.json", &sweep);
    options.resume = true;
    assert_ok(sq_compare(task, &options, &second, &error), &error);   /* nothing left to do: the sweep is not measured again */
    read_file("out/sweep.json", &again);
    assert_string_equal(sweep, again);
    assert_same_quality(&first, &second);
    sq__free(sweep);
    sq__free(again);
    sq_compare_result_clear(&second);

    options.seeds = 2;   /* more seeds later: the first is taken from its folder */
    assert_ok(sq_compare(task, &options, &second, &error), &error);
    assert_int_equal(second.rows[0].seeds, 2);
    sq_compare_result_clear(&second);

    assert_ok(sq_task_set(task, "model.width", "8", &error), &error);   /* another model: its runs are not those in the folder */
    assert_int_equal(sq_compare(task, &options, &second, &error), SQ_INVALID);
    assert_non_null(strstr(error.message, "softmax-s1"));
    sq_compare_result_clear(&first);
    sq_task_destroy(&task);
}

static void wrong_names_are_told(void **state)
{
    (void)state;
    sq_task *task = make_task("");
    sq_error error = { 0 };
    sq_compare_result result;
    sq_compare_options options = { .folder = in_root("out"), .only = "softmax,perfromer" };
    assert_int_equal(sq_compare(task, &options, &result, &error), SQ_NOT_FOUND);
    assert_non_null(strstr(error.message, "did you mean 'performer'"));
    options.only = ",";
    assert_int_equal(sq_compare(task, &options, &result, &error), SQ_INVALID);
    options.folder = "";
    assert_int_equal(sq_compare(task, &options, &result, &error), SQ_INVALID);
    options = (sq_compare_options){ .folder = "/proc/nowhere", .only = "logistic", .threads = 1 };
    assert_int_equal(sq_compare(task, &options, &result, &error), SQ_IO);
    assert_false(sq__file_exists(in_root("out")));
    sq_task_destroy(&task);
}

int main(void)
{
#define IN_ROOT(test) cmocka_unit_test_setup_teardown(test, make_root, remove_root)
    const struct CMUnitTest tests[] = {
        IN_ROOT(killed_and_resumed_it_ends_the_same),   /* first: it forks */
        IN_ROOT(a_stop_is_heard_everywhere),
        IN_ROOT(what_cannot_run_is_told_with_its_reason),
        IN_ROOT(what_diverges_is_told),
        IN_ROOT(results_are_not_run_over),
        IN_ROOT(wrong_names_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
