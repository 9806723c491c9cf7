#include "report/store.h"

#include <math.h>
#include <sqlite3.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "report/metric.h"

struct sq_store {
    sqlite3 *database;
    char *path;
};

enum { APPLICATION = 0x53554251, FIRST_LAYOUT = 1, LAYOUT = 2 };   /* "SUBQ"; rises when a table changes */

static const char layout[] =
    "PRAGMA application_id = 1398096465;"
    "PRAGMA user_version = 1;"
    "CREATE TABLE runs(mechanism TEXT NOT NULL, seed INTEGER NOT NULL, baseline INTEGER NOT NULL, diverged INTEGER NOT NULL,"
    " test_accuracy REAL, test_auc REAL, test_f1 REAL, test_log_loss REAL,"
    " validation_accuracy REAL, validation_auc REAL, validation_f1 REAL, validation_log_loss REAL,"
    " parameters INTEGER, epochs INTEGER, best_epoch INTEGER, steps INTEGER, epoch_seconds REAL, clients_per_second REAL,"
    " tokens_per_second REAL, train_peak_bytes INTEGER, inference_peak_bytes INTEGER, train_resident_bytes INTEGER,"
    " classes INTEGER, confusion TEXT, stored TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%SZ','now')),"
    " PRIMARY KEY(mechanism, seed));"
    "CREATE TABLE epochs(mechanism TEXT NOT NULL, seed INTEGER NOT NULL, epoch INTEGER NOT NULL, step INTEGER, seconds REAL, train_loss REAL,"
    " validation_loss REAL, validation_accuracy REAL, validation_auc REAL, validation_f1 REAL, validation_log_loss REAL,"
    " PRIMARY KEY(mechanism, seed, epoch),"
    " FOREIGN KEY(mechanism, seed) REFERENCES runs(mechanism, seed) ON DELETE CASCADE);"
    "CREATE TABLE sweep(mechanism TEXT NOT NULL, length INTEGER NOT NULL, pass TEXT NOT NULL, seconds REAL, peak_bytes INTEGER,"
    " PRIMARY KEY(mechanism, length, pass));"
    "CREATE TABLE refused(mechanism TEXT PRIMARY KEY, reason TEXT NOT NULL);"
    "CREATE TABLE environment(key TEXT PRIMARY KEY, value TEXT);";

static sq_status fail(sq_store *store, sq_error *error)
{
    const int code = sqlite3_errcode(store->database) & 0xff;
    const sq_status status = code == SQLITE_NOMEM ? SQ_NO_MEMORY : code == SQLITE_NOTADB || code == SQLITE_CORRUPT ? SQ_FORMAT : SQ_IO;
    return sq__fail(error, status, "%s: %s", store->path, sqlite3_errmsg(store->database));
}

static sq_status execute(sq_store *store, const char *sql, sq_error *error)
{
    return sqlite3_exec(store->database, sql, NULL, NULL, NULL) == SQLITE_OK ? SQ_OK : fail(store, error);
}

static sq_status ask(sq_store *store, const char *sql, int64_t *value, sq_error *error)
{
    sqlite3_stmt *statement;
    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK) return fail(store, error);
    const int step = sqlite3_step(statement);
    *value = step == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    const sq_status status = step == SQLITE_ROW || step == SQLITE_DONE ? SQ_OK : fail(store, error);
    sqlite3_finalize(statement);
    return status;
}

/* One statement with its values: i int64_t, d double (not finite: NULL), s text. */
static sq_status put(sq_store *store, sq_error *error, const char *sql, const char *types, ...)
{
    sqlite3_stmt *statement;
    va_list values;
    if (sqlite3_prepare_v2(store->database, sql, -1, &statement, NULL) != SQLITE_OK) return fail(store, error);
    int bound = SQLITE_OK;
    va_start(values, types);
    for (int i = 1; *types && bound == SQLITE_OK; types++, i++) {
        if (*types == 'i') bound = sqlite3_bind_int64(statement, i, va_arg(values, int64_t));
        else if (*types == 's') bound = sqlite3_bind_text(statement, i, va_arg(values, const char *), -1, SQLITE_TRANSIENT);
        else {
            const double value = va_arg(values, double);
            bound = isfinite(value) ? sqlite3_bind_double(statement, i, value) : sqlite3_bind_null(statement, i);
        }
    }
    va_end(values);
    const sq_status status = bound == SQLITE_OK && sqlite3_step(statement) == SQLITE_DONE ? SQ_OK : fail(store, error);
    sqlite3_finalize(statement);
    return status;
}

static sq_status begin(sq_store *store, sq_error *error)
{
    return execute(store, "BEGIN IMMEDIATE", error);
}

/* Commits when status is SQ_OK, else takes everything back. */
static sq_status finish(sq_store *store, sq_status status, sq_error *error)
{
    if (status == SQ_OK) status = execute(store, "COMMIT", error);
    if (status != SQ_OK && !sqlite3_get_autocommit(store->database)) execute(store, "ROLLBACK", NULL);
    return status;
}

/* Layout 2 has the metrics of every kind of target, the first had those of classes. */
static sq_status add_metrics(sq_store *store, sq_error *error)
{
    static const char *const places[] = { "runs ADD COLUMN test", "runs ADD COLUMN validation", "epochs ADD COLUMN validation" };
    const sq_metric_row *metric;
    char sql[160];
    for (int target = SQ_TARGET_NUMBER; target <= SQ_TARGET_EVENT_BITS; target++)
        for (int i = 0; (metric = sq__metric_of((sq_target_kind)target, i)); i++) {
            unsigned before = 0;
            for (int k = 0; k < target; k++) before |= metric->targets >> k & 1;
            for (int p = 0; p < 3 && !before; p++) {
                snprintf(sql, sizeof sql, "ALTER TABLE %s_%s REAL", places[p], metric->key);
                SQ_TRY(execute(store, sql, error));
            }
        }
    snprintf(sql, sizeof sql, "PRAGMA user_version = %d", LAYOUT);
    return execute(store, sql, error);
}

static sq_status lay_out(sq_store *store, sq_error *error)
{
    int64_t tables, application, version;
    SQ_TRY(ask(store, "SELECT count(*) FROM sqlite_master", &tables, error));
    SQ_TRY(ask(store, "PRAGMA application_id", &application, error));
    SQ_TRY(ask(store, "PRAGMA user_version", &version, error));
    if (tables == 0 && application == 0) {
        SQ_TRY(execute(store, layout, error));
        return add_metrics(store, error);
    }
    if (application != APPLICATION) return sq__fail(error, SQ_FORMAT, "%s: a database, but not of subquad's results", store->path);
    if (version == FIRST_LAYOUT) return add_metrics(store, error);
    if (version != LAYOUT)
        return sq__fail(error, SQ_FORMAT, "%s: results of layout %lld; this version reads layout %d", store->path, (long long)version, LAYOUT);
    return SQ_OK;
}

sq_status sq__store_open(sq_store **store, const char *path, sq_error *error)
{
    *store = NULL;
    sq_store *made = sq__alloc_zero(sizeof *made);
    if (made) made->path = sq__strdup(path);
    if (!made || !made->path) {
        sq__free(made);
        return sq__no_memory(error);
    }
    sq_status status = SQ_OK;
    if (sqlite3_open_v2(path, &made->database, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL) != SQLITE_OK)
        status = made->database ? fail(made, error) : sq__no_memory(error);
    if (status == SQ_OK) {
        sqlite3_busy_timeout(made->database, 10000);
        status = execute(made, "PRAGMA foreign_keys = ON", error);
    }
    if (status == SQ_OK) status = begin(made, error);
    if (status == SQ_OK) status = finish(made, lay_out(made, error), error);
    if (status != SQ_OK) sq__store_close(&made);
    *store = made;
    return status;
}

void sq__store_close(sq_store **store)
{
    if (!*store) return;
    sqlite3_close((*store)->database);
    sq__free((*store)->path);
    sq__free(*store);
    *store = NULL;
}

/* [[1,2],[3,4]]; NULL when there is no memory. */
static char *confusion_text(const sq_run_result *run)
{
    char *text = NULL;
    size_t size = 0;
    FILE *file = open_memstream(&text, &size);
    if (!file) return NULL;
    const int n = run->class_count;
    putc('[', file);
    for (int i = 0; i < n * n; i++)
        fprintf(file, "%s%lld%s", i % n == 0 ? (i ? ",[" : "[") : ",", (long long)run->confusion[i], i % n == n - 1 ? "]" : "");
    putc(']', file);
    if (fclose(file) == 0) return text;
    free(text);
    return NULL;
}

static sq_status put_metrics(sq_store *store, const sq_run_result *run, const sq_quality *quality, const char *place, int64_t epoch, sq_error *error)
{
    const sq_metric_row *metric;
    char sql[160];
    for (int i = 0; (metric = sq__metric_of(run->target, i)); i++) {
        snprintf(sql, sizeof sql, "UPDATE %s_%s = ? WHERE mechanism = ? AND seed = ?%s", place, metric->key, epoch ? " AND epoch = ?" : "");
        SQ_TRY(put(store, error, sql, epoch ? "dsii" : "dsi", sq__metric_at(metric, quality), run->mechanism, (int64_t)run->seed, epoch));
    }
    return SQ_OK;
}

static sq_status put_run(sq_store *store, const sq_run_result *run, bool baseline, const char *confusion, sq_error *error)
{
    SQ_TRY(put(store, error, "DELETE FROM runs WHERE mechanism = ? AND seed = ?", "si", run->mechanism, (int64_t)run->seed));
    SQ_TRY(put(store, error,
               "INSERT INTO runs(mechanism, seed, baseline, diverged, parameters, epochs, best_epoch, steps, epoch_seconds, clients_per_second,"
               " tokens_per_second, train_peak_bytes, inference_peak_bytes, train_resident_bytes, classes, confusion) VALUES(?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)",
               "siiiiiiidddiiiis", run->mechanism, (int64_t)run->seed, (int64_t)baseline, (int64_t)run->diverged, run->parameters, run->epochs, run->best_epoch, run->steps,
               run->epoch_seconds, run->clients_per_second, run->tokens_per_second, (int64_t)run->train_peak_bytes, (int64_t)run->inference_peak_bytes,
               (int64_t)run->train_resident_bytes, (int64_t)run->class_count, confusion));
    SQ_TRY(put_metrics(store, run, &run->test, "runs SET test", 0, error));
    SQ_TRY(put_metrics(store, run, &run->validation, "runs SET validation", 0, error));
    for (int i = 0; i < run->epoch_count; i++) {
        const sq_epoch *e = &run->curve[i];
        SQ_TRY(put(store, error, "INSERT OR REPLACE INTO epochs(mechanism, seed, epoch, step, seconds, train_loss, validation_loss) VALUES(?,?,?,?,?,?,?)", "siiiddd",
                   run->mechanism, (int64_t)run->seed, e->epoch, e->step, e->seconds, e->train_loss, e->validation_loss));
        SQ_TRY(put_metrics(store, run, &e->validation, "epochs SET validation", e->epoch, error));
    }
    return SQ_OK;
}

sq_status sq__store_run(sq_store *store, const sq_run_result *run, bool baseline, sq_error *error)
{
    char *confusion = confusion_text(run);
    if (!confusion) return sq__no_memory(error);
    sq_status status = begin(store, error);
    if (status == SQ_OK) status = finish(store, put_run(store, run, baseline, confusion, error), error);
    free(confusion);
    return status;
}

static sq_status put_sweep(sq_store *store, const char *mechanism, const sq_sweep_point *points, int count, sq_error *error)
{
    static const char *const names[SQ_PASSES] = { [SQ_FORWARD] = "forward", [SQ_BACKWARD] = "forward_backward" };
    SQ_TRY(put(store, error, "DELETE FROM sweep WHERE mechanism = ?", "s", mechanism));
    for (int i = 0; i < count; i++)
        for (int pass = 0; pass < SQ_PASSES; pass++)
            if (isfinite(points[i].seconds[pass]))
                SQ_TRY(put(store, error, "INSERT INTO sweep VALUES(?,?,?,?,?)", "sisdi", mechanism, points[i].n, names[pass],
                           points[i].seconds[pass], (int64_t)points[i].peak_bytes[pass]));
    return SQ_OK;
}

sq_status sq__store_sweep(sq_store *store, const char *mechanism, const sq_sweep_point *points, int count, sq_error *error)
{
    SQ_TRY(begin(store, error));
    return finish(store, put_sweep(store, mechanism, points, count, error), error);
}

sq_status sq__store_refused(sq_store *store, const char *mechanism, const char *reason, sq_error *error)
{
    if (!reason) return put(store, error, "DELETE FROM refused WHERE mechanism = ?", "s", mechanism);
    return put(store, error, "INSERT OR REPLACE INTO refused VALUES(?,?)", "ss", mechanism, reason);
}

static sq_status put_environment(sq_store *store, const sq_report_pair *pairs, int count, sq_error *error)
{
    SQ_TRY(execute(store, "DELETE FROM environment", error));
    for (int i = 0; i < count; i++) SQ_TRY(put(store, error, "INSERT INTO environment VALUES(?,?)", "ss", pairs[i].key, pairs[i].value));
    return SQ_OK;
}

sq_status sq__store_environment(sq_store *store, const sq_report_pair *pairs, int count, sq_error *error)
{
    SQ_TRY(begin(store, error));
    return finish(store, put_environment(store, pairs, count, error), error);
}
