/* Means and deviations over seeds, crossovers, time left, and the sweep's file, on invented states. */
#include <math.h>

#include "task/task_support.h"

#include "compare/comparing.h"

static void crossovers_are_interpolated(void **state)
{
    (void)state;
    const double n[] = { 256, 512, 1024, 2048, 4096 };
    double exact[5], linear[5], mine[5];
    for (int i = 0; i < 5; i++) {
        exact[i] = 1e-9 * n[i] * n[i];
        linear[i] = 1.3e-6 * n[i];   /* equal at n = 1300 */
    }
    assert_close(sq__crossover(n, linear, exact, 5), 1300, 1e-6);
    assert_true(isnan(sq__crossover(n, linear, exact, 3)));                 /* not within 1024 */
    assert_close(sq__crossover(n, exact, linear, 3), 256, 0);               /* faster everywhere: the first length */
    assert_true(isnan(sq__crossover(n, exact, linear, 5)));                 /* slower at the longest */
    memcpy(mine, linear, sizeof mine);
    mine[0] = exact[0] / 2;                                                 /* faster at first, then slower, then faster: the last counts */
    assert_close(sq__crossover(n, mine, exact, 5), 1300, 1e-6);
    mine[2] = NAN;                                                          /* a length that is missing is stepped over */
    const double from = sq__crossover(n, mine, exact, 5);
    assert_true(from > 512 && from < 2048);
    assert_close(from, 1300, 1e-6);
    mine[4] = NAN;
    assert_close(sq__crossover(n, mine, exact, 5), 1300, 1e-6);
    assert_true(isnan(sq__crossover(n, mine, exact, 0)));
}

static sq_comparing *make_state(int models, int seeds)
{
    static const char *const names[] = { "softmax", "performer", "linformer" };
    sq_comparing *c = sq__alloc_zero(sizeof *c);
    c->model_count = models;
    c->seeds = seeds;
    c->current = -1;
    for (int i = 0; i < models; i++) {
        c->models[i].name = names[i];
        c->models[i].runs = sq__alloc_array((size_t)seeds, sizeof *c->models[i].runs);
    }
    return c;
}

static void free_state(sq_comparing *c)
{
    for (int i = 0; i < c->model_count; i++) sq__free(c->models[i].runs);
    sq__free(c);
}

static void diverged_runs_are_counted_not_averaged(void **state)
{
    (void)state;
    sq_comparing *c = make_state(2, 3);
    sq_compared rows[2];
    int64_t fit_from;
    const double auc[] = { 0.8, 0.9, 0.1 };
    for (int r = 0; r < 3; r++) {
        c->models[0].runs[r] = (sq_run_result){ .test = { 0.7, auc[r], NAN, 0.5 }, .diverged = r == 2, .epoch_seconds = 1 + r, .train_peak_bytes = 100u + (unsigned)r,
                                                .clients_per_second = r == 2 ? NAN : 10, .parameters = 7 };
        c->models[0].run_count = r + 1;
    }
    snprintf(c->models[1].refused, sizeof c->models[1].refused, "cannot");
    sq__compare_summarise(c, rows, &fit_from);
    assert_close(rows[0].row.mean.auc, 0.85, 1e-12);
    assert_close(rows[0].row.deviation.auc, sqrt(0.005), 1e-12);
    assert_close(rows[0].row.deviation.accuracy, 0, 1e-12);
    assert_true(isnan(rows[0].row.mean.f1) && isnan(rows[0].row.deviation.f1));
    assert_int_equal(rows[0].row.diverged, 1);
    assert_int_equal(rows[0].row.seeds, 3);
    assert_string_equal(rows[0].row.note, "1 of 3 runs diverged");
    assert_close(rows[0].row.epoch_seconds, 2, 1e-12);
    assert_close(rows[0].row.clients_per_second, 10, 1e-12);
    assert_int_equal(rows[0].row.train_peak_bytes, 102);
    assert_int_equal(rows[1].row.seeds, 0);
    assert_string_equal(rows[1].row.note, "cannot");
    assert_true(isnan(rows[1].row.mean.auc) && isnan(rows[1].row.crossover));
    free_state(c);
}

static void growth_is_fitted_over_long_lengths(void **state)
{
    (void)state;
    sq_comparing *c = make_state(2, 1);
    sq_compared rows[2];
    int64_t fit_from;
    c->length_count = 5;
    for (int l = 0; l < 5; l++) {
        c->lengths[l] = 256 << l;
        const double n = (double)c->lengths[l], start = n < 1000 ? 1 : 0;   /* what is short does not count */
        c->models[0].points[l] = (sq_sweep_point){ c->lengths[l], { 1e-9 * n * n + start, 3e-9 * n * n + start }, { (size_t)(100 * n), (size_t)(400 * n) } };
        c->models[1].points[l] = (sq_sweep_point){ c->lengths[l], { 2e-6 * n + start, l == 4 ? NAN : 4.5e-6 * n + start }, { (size_t)(10 * n), (size_t)(40 * n) } };
    }
    c->models[0].point_count = c->models[1].point_count = 5;
    sq__compare_summarise(c, rows, &fit_from);
    assert_int_equal(fit_from, 1024);
    assert_close(rows[0].time_exponent[SQ_FORWARD], 2, 1e-9);
    assert_close(rows[0].row.time_exponent, 2, 1e-9);
    assert_close(rows[0].row.memory_exponent, 1, 1e-9);
    assert_close(rows[1].time_exponent[SQ_BACKWARD], 1, 1e-9);
    assert_close(rows[1].crossover[SQ_FORWARD], 2000, 1e-6);
    assert_close(rows[1].row.crossover, 1500, 1e-6);
    assert_true(isnan(rows[0].row.crossover));
    c->length_count = 2;
    sq__compare_summarise(c, rows, &fit_from);
    assert_int_equal(fit_from, 256);
    free_state(c);
}

static void time_left_learns_from_runs(void **state)
{
    (void)state;
    sq_comparing *c = make_state(3, 2);
    assert_true(isnan(sq__compare_training_left(c, 1, NAN)));
    c->current = 0;
    assert_close(sq__compare_training_left(c, 4, 6), 6 + 10 + 2 * 20, 1e-9);         /* 10 s a run, as far as known */
    c->models[0].run_count = 1;
    c->models[0].run_seconds = 10;
    c->current = 1;
    assert_close(sq__compare_training_left(c, 1, 1), 1 + 10 + 2 + 2 * 6, 1e-9);      /* softmax 10, performer 2, linformer their mean */
    snprintf(c->models[2].refused, sizeof c->models[2].refused, "no");
    assert_close(sq__compare_training_left(c, 1, 1), 1 + 10 + 2, 1e-9);
    c->models[1].baseline = true;
    c->models[1].name = "logistic";
    assert_close(sq__compare_training_left(c, 0.1, NAN), 10 + 0.5 + 0.4, 1e-9);      /* a twentieth of a run */
    free_state(c);
}

static void a_sweep_is_kept_and_checked(void **state)
{
    (void)state;
    sq_error error;
    sq_comparing_model model = { .point_count = 2, .points = { { 256, { 0.125, NAN }, { 1000, 0 } }, { 512, { 0.25, 1.5 }, { 2000, 3000 } } } }, back = { 0 };
    assert_ok(sq__sweep_cache_write(root, "softmax", "two heads", &model, &error), &error);
    model.points[0].n = 128;
    assert_ok(sq__sweep_cache_write(root, "performer", "two heads", &model, &error), &error);
    sq__sweep_cache_read(root, "softmax", "two heads", &back);
    assert_int_equal(back.point_count, 2);
    assert_int_equal(back.points[0].n, 256);
    assert_true(back.points[0].seconds[0] == 0.125 && isnan(back.points[0].seconds[1]) && back.points[1].peak_bytes[1] == 3000);
    static const char *const others[][2] = { { "softmax", "three heads" }, { "linformer", "two heads" } };
    for (int i = 0; i < 2; i++) {
        back.point_count = 0;
        sq__sweep_cache_read(root, others[i][0], others[i][1], &back);
        assert_int_equal(back.point_count, 0);
    }
    static const char *const broken[] = {
        "", "{", "[]", "{\"softmax\": 3}", "{\"softmax\": {\"condition\": \"two heads\", \"points\": 7}}",
        "{\"softmax\": {\"condition\": \"two heads\", \"points\": [7, [], [256], [256, 1, 2, 3, 4, 5], [\"a\", 1, 1, 1, 1], [-5, 1, 1, 1, 1]]}}",
        "{\"softmax\": {\"condition\": \"two heads\", \"points\": [[1e300, 1, 1, 1, 1], [256, -1, 1, 1, 1], [256, 1, 1, 1e30, 1], [256, 1, 1, -1, 1]]}}",
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_file("sweep.json", broken[i]);
        sq__sweep_cache_read(root, "softmax", "two heads", &back);
        assert_int_equal(back.point_count, 0);
        assert_ok(sq__sweep_cache_write(root, "softmax", "two heads", &model, &error), &error);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crossovers_are_interpolated),
        cmocka_unit_test(diverged_runs_are_counted_not_averaged),
        cmocka_unit_test(growth_is_fitted_over_long_lengths),
        cmocka_unit_test(time_left_learns_from_runs),
        cmocka_unit_test_setup_teardown(a_sweep_is_kept_and_checked, make_root, remove_root),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
