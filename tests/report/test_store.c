/* runs.db, read back with SQLite itself. */
#include <setjmp.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "base/memory.h"
#include "report/files.h"
#include "report/sample.h"
#include "report/store.h"

static double ask(const char *sql)
{
    sqlite3 *database;
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_open_v2(in_folder("runs.db"), &database, SQLITE_OPEN_READONLY, NULL), SQLITE_OK);
    if (sqlite3_prepare_v2(database, sql, -1, &statement, NULL) != SQLITE_OK) fail_msg("%s: %s", sql, sqlite3_errmsg(database));
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const double value = sqlite3_column_type(statement, 0) == SQLITE_NULL ? NAN : sqlite3_column_double(statement, 0);
    sqlite3_finalize(statement);
    sqlite3_close(database);
    return value;
}

static void store_all(sample *s)
{
    sq_store *store;
    sq_error error = { 0 };
    if (sq__store_open(&store, in_folder("runs.db"), &error) != SQ_OK) fail_msg("%s", error.message);
    for (int i = 0; i < s->comparison.count; i++) {
        for (int r = 0; r < s->models[i].run_count; r++)
            if (sq__store_run(store, &s->models[i].runs[r], s->models[i].row.baseline, &error) != SQ_OK) fail_msg("%s", error.message);
        assert_int_equal(sq__store_sweep(store, s->models[i].row.mechanism, s->models[i].points, s->models[i].point_count, &error), SQ_OK);
    }
    assert_int_equal(sq__store_environment(store, s->comparison.environment, s->comparison.environment_count, &error), SQ_OK);
    sq__store_close(&store);
    assert_null(store);
}

static void rows_are_replaced_when_stored_again(void **state)
{
    (void)state;
    sample *s = sample_make(3, 2, 3, 2);
    const size_t before = sq_memory_current();
    s->runs[3].test.auc = NAN;
    s->runs[3].diverged = true;
    store_all(s);
    assert_true(ask("SELECT count(*) FROM runs") == 10);
    assert_true(ask("SELECT count(*) FROM runs WHERE baseline") == 4);
    assert_true(ask("SELECT test_auc FROM runs WHERE mechanism = 'performer' AND seed = 2") == s->models[2].runs[1].test.auc);
    assert_true(isnan(ask("SELECT test_auc FROM runs WHERE mechanism = 'linformer' AND seed = 2")));
    assert_true(ask("SELECT diverged FROM runs WHERE mechanism = 'linformer' AND seed = 2") == 1);
    assert_true(ask("SELECT json_extract(confusion, '$[1][2]') FROM runs WHERE mechanism = 'gru' AND seed = 1") == s->models[4].runs[0].confusion[5]);
    assert_true(ask("SELECT count(*) FROM epochs WHERE mechanism = 'softmax' AND seed = 1") == s->models[0].runs[0].epoch_count);
    assert_true(ask("SELECT train_loss FROM epochs WHERE mechanism = 'gru' AND seed = 2 AND epoch = 3") == s->models[4].runs[1].curve[2].train_loss);
    assert_true(ask("SELECT count(*) FROM sweep") == 3 * SAMPLE_LENGTHS * 2);
    assert_true(ask("SELECT seconds FROM sweep WHERE mechanism = 'softmax' AND length = 1024 AND pass = 'forward'") == s->points[0][2].seconds[0]);
    assert_true(ask("SELECT count(*) FROM environment") == 4);

    s->runs[0].test.auc = 0.125;
    s->runs[0].epoch_count = 2;
    s->models[0].point_count = 1;
    store_all(s);
    assert_true(ask("SELECT count(*) FROM runs") == 10);
    assert_true(ask("SELECT test_auc FROM runs WHERE mechanism = 'softmax' AND seed = 1") == 0.125);
    assert_true(ask("SELECT count(*) FROM epochs WHERE mechanism = 'softmax' AND seed = 1") == 2);
    assert_true(ask("SELECT count(*) FROM sweep") == (2 * SAMPLE_LENGTHS + 1) * 2);
    assert_int_equal(sq_memory_current(), before);
    sample_free(s);
}

static void refusals_come_and_go(void **state)
{
    (void)state;
    sq_store *store;
    sq_error error;
    assert_int_equal(sq__store_open(&store, in_folder("runs.db"), &error), SQ_OK);
    assert_int_equal(sq__store_refused(store, "linformer", "cannot do 'causal'", &error), SQ_OK);
    assert_true(ask("SELECT count(*) FROM refused WHERE reason = 'cannot do ''causal'''") == 1);
    assert_int_equal(sq__store_refused(store, "linformer", NULL, &error), SQ_OK);
    assert_true(ask("SELECT count(*) FROM refused") == 0);
    sq__store_close(&store);
    sq__store_close(&store);
}

static void other_files_are_left_alone(void **state)
{
    (void)state;
    sq_store *store;
    sq_error error;
    FILE *file = fopen(in_folder("runs.db"), "w");
    for (int i = 0; i < 200; i++) fputs("this is no database\n", file);
    fclose(file);
    assert_int_equal(sq__store_open(&store, in_folder("runs.db"), &error), SQ_FORMAT);
    assert_non_null(strstr(error.message, "runs.db: file is not a database"));
    assert_null(store);
    char *text = read_text("runs.db");
    assert_int_equal(strlen(text), 4000);
    free(text);
    unlink(in_folder("runs.db"));

    sqlite3 *database;
    assert_int_equal(sqlite3_open(in_folder("runs.db"), &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "CREATE TABLE mine(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    assert_int_equal(sq__store_open(&store, in_folder("runs.db"), &error), SQ_FORMAT);
    assert_non_null(strstr(error.message, "not of subquad's results"));
    assert_int_equal(sq__store_open(&store, "/nonexistent/runs.db", &error), SQ_IO);
}

static void another_layout_is_refused(void **state)
{
    (void)state;
    sq_store *store;
    sq_error error;
    assert_int_equal(sq__store_open(&store, in_folder("runs.db"), &error), SQ_OK);
    sq__store_close(&store);
    sqlite3 *database;
    assert_int_equal(sqlite3_open(in_folder("runs.db"), &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "PRAGMA user_version = 99", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    assert_int_equal(sq__store_open(&store, in_folder("runs.db"), &error), SQ_FORMAT);
    assert_non_null(strstr(error.message, "results of layout 99"));
}

/* A database of the first layout gets the columns of the metrics that came later, and keeps what it holds. */
static void the_first_layout_is_extended(void **state)
{
    (void)state;
    sq_store *store;
    sq_error error;
    sqlite3 *database;
    assert_int_equal(sqlite3_open(in_folder("runs.db"), &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database,
        "PRAGMA application_id = 1398096465; PRAGMA user_version = 1;"
        "CREATE TABLE runs(mechanism TEXT, seed INTEGER, test_auc REAL, PRIMARY KEY(mechanism, seed)); INSERT INTO runs VALUES('gru', 1, 0.75);"
        "CREATE TABLE epochs(mechanism TEXT, seed INTEGER, epoch INTEGER, PRIMARY KEY(mechanism, seed, epoch));", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(sq__store_open(&store, in_folder("runs.db"), &error), SQ_OK);
        sq__store_close(&store);
    }
    assert_int_equal(sqlite3_open(in_folder("runs.db"), &database), SQLITE_OK);
    assert_int_equal(sqlite3_exec(database, "SELECT test_auc, test_mse, validation_bit_errors FROM runs; SELECT validation_perplexity, validation_exact FROM epochs",
                                  NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(database);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_test_folder, remove_test_folder)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(rows_are_replaced_when_stored_again),
        IN_FOLDER(refusals_come_and_go),
        IN_FOLDER(other_files_are_left_alone),
        IN_FOLDER(another_layout_is_refused),
        IN_FOLDER(the_first_layout_is_extended),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
