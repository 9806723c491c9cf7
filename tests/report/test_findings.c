/* Sentences and figures for people. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "report/findings.h"
#include "report/format.h"
#include "report/metric.h"
#include "report/sample.h"

static void set_quality(sample *s, int i, double mean, double deviation)
{
    s->models[i].row.mean.auc = mean;
    s->models[i].row.deviation.auc = deviation;
}

static bool says(const sq_findings *found, const char *what)
{
    for (int i = 0; i < found->line_count; i++)
        if (strstr(found->lines[i], what)) return true;
    return false;
}

static void show(const sq_findings *found)
{
    for (int i = 0; i < found->line_count; i++) print_message("    %s\n", found->lines[i]);
}

static void the_best_beyond_the_spread(void **state)
{
    (void)state;
    sample *s = sample_make(3, 2, 2, 3);   /* softmax, linformer, performer; logistic, gru */
    sq_findings found;
    set_quality(s, 0, 0.880, 0.004);
    set_quality(s, 1, 0.870, 0.003);
    set_quality(s, 2, 0.895, 0.003);
    set_quality(s, 3, 0.800, 0.001);
    set_quality(s, 4, 0.860, 0.004);
    s->models[0].row.epoch_seconds = 8;
    s->models[2].row.epoch_seconds = 2;
    s->models[0].row.train_peak_bytes = 100 << 20;
    s->models[2].row.train_peak_bytes = 150 << 20;
    sq__findings(&s->comparison, &found);
    show(&found);
    assert_int_equal(found.best, 2);
    assert_int_equal(found.best_mechanism, 2);
    assert_int_equal(found.best_baseline, 4);
    assert_int_equal(found.exact, 0);
    assert_string_equal(found.lines[0], "performer is best here: ROC-AUC 0.895 ± 0.003, 0.035 better than the best baseline, gru (0.860 ± 0.004); the difference is "
                                        "beyond the spread of 0.005");
    assert_true(says(&found, "No other model comes within the spread of it"));
    assert_true(says(&found, "against exact attention that is 4.0 times less time and 1.5 times as much memory"));
    assert_string_equal(found.crossovers, "A training step is faster than with exact attention from n = 1,400 (linformer), 1,800 (performer)");
    sample_free(s);
}

static void a_baseline_may_win_and_others_be_level(void **state)
{
    (void)state;
    sample *s = sample_make(3, 2, 2, 3);
    sq_findings found;
    set_quality(s, 0, 0.880, 0.010);
    set_quality(s, 1, 0.878, 0.010);
    set_quality(s, 2, 0.700, 0.010);
    set_quality(s, 3, 0.885, 0.001);
    set_quality(s, 4, 0.600, 0.004);
    for (int i = 0; i < 5; i++) s->models[i].training_seconds = 10 - i;
    s->models[1].training_seconds = 0.5;
    s->models[1].crossover[SQ_BACKWARD] = 256;
    s->models[2].crossover[SQ_BACKWARD] = NAN;
    s->models[2].row.diverged = 1;
    sq__findings(&s->comparison, &found);
    show(&found);
    assert_int_equal(found.best, 3);
    assert_true(says(&found, "logistic, a baseline, is best here: ROC-AUC 0.885 ± 0.001, 0.005 better than the best attention mechanism, softmax (0.880 ± 0.010); "
                             "the difference is within the spread of 0.010"));
    assert_true(says(&found, "Level with it within the spread: softmax (0.880 ± 0.010), linformer (0.878 ± 0.010); the fastest of these to train is linformer: "
                             "500 ms against 7.00 s"));
    assert_true(says(&found, "from n = 256 or less (linformer); none for performer up to n = 16,384"));
    assert_true(says(&found, "performer diverged in 1 of 3 runs"));
    sample_free(s);
}

static void smaller_log_loss_is_better(void **state)
{
    (void)state;
    sample *s = sample_make(3, 1, 2, 3);
    sq_findings found;
    double spread;
    s->comparison.metric = "log-loss";
    for (int i = 0; i < 4; i++) {
        s->models[i].row.mean.log_loss = 0.5 - 0.1 * i;
        s->models[i].row.deviation.log_loss = 0.03;
    }
    sq__findings(&s->comparison, &found);
    assert_int_equal(found.best, 3);
    assert_int_equal(found.best_mechanism, 2);
    assert_true(fabs(sq__lead(&s->comparison, 2, 0, &spread) - 0.2) < 1e-12);
    assert_true(fabs(spread - hypot(0.03, 0.03)) < 1e-12);
    assert_true(sq__metric_falls("log-loss") && !sq__metric_falls("auc") && isnan(sq__metric_value("nonsense", &s->models[0].row.mean)));
    sample_free(s);
}

/* Equal lengths are told once, the shortest first; long lists are cut. */
static void crossovers_are_grouped(void **state)
{
    (void)state;
    sample *s = sample_make(14, 1, 2, 1);
    sq_findings found;
    for (int i = 1; i < 14; i++) s->models[i].crossover[SQ_BACKWARD] = i < 8 ? 256 : i < 10 ? 600 : i == 10 ? 500 : i == 11 ? NAN : 512 * i;
    sq__findings(&s->comparison, &found);
    assert_string_equal(found.crossovers, "A training step is faster than with exact attention from n = 256 or less (linformer, performer, infinite-former, nystromformer, "
                                          "reformer and 2 more), 500 (cosformer), 600 (sinkhorn, routing), 6,144 (luna), 6,656 (perceiver); none for rfa up to n = 16,384");
    for (int i = 1; i < 14; i++) s->models[i].crossover[SQ_BACKWARD] = i < 7 ? 256 : 1000 + i;
    sq__findings(&s->comparison, &found);
    assert_string_equal(found.crossovers, "A training step is faster than with exact attention from n = 256 or less (linformer, performer, infinite-former, nystromformer, "
                                          "reformer, longformer), 1,007 (bigbird), 1,008 (sinkhorn), 1,009 (routing), 1,010 (cosformer), later for 3 more");
    for (int i = 1; i < 14; i++) s->models[i].crossover[SQ_BACKWARD] = NAN;
    sq__findings(&s->comparison, &found);
    assert_string_equal(found.crossovers, "No crossover with exact attention for linformer, performer, infinite-former, nystromformer, reformer and 8 more up to n = 16,384");
    sample_free(s);
}

static void one_seed_has_no_spread(void **state)
{
    (void)state;
    sample *s = sample_make(2, 1, 2, 1);
    sq_findings found;
    sq__findings(&s->comparison, &found);
    assert_true(says(&found, "with one seed the spread is unknown"));
    assert_false(says(&found, "within the spread"));
    s->comparison.count = 0;
    sq__findings(&s->comparison, &found);
    assert_int_equal(found.best, -1);
    assert_int_equal(found.line_count, 1);
    sample_free(s);
}

static void many_are_told_in_few_words(void **state)
{
    (void)state;
    sample *s = sample_make(25, 2, 2, 3);
    sq_findings found;
    for (int i = 0; i < 27; i++) set_quality(s, i, 0.8, 0.05);
    sq__findings(&s->comparison, &found);
    assert_true(says(&found, "and 21 more"));
    for (int i = 0; i < found.line_count; i++) assert_true(strlen(found.lines[i]) < SQ_FINDING_SIZE - 1);
    sample_free(s);
}

static void the_front_holds_what_is_not_beaten_in_both(void **state)
{
    (void)state;
    sample *s = sample_make(4, 2, 2, 2);
    const double cost[] = { 5, 1, 2, 3, NAN, 1 }, means[] = { 0.9, 0.5, 0.8, 0.7, 0.99, 0.6 };
    bool front[6];
    for (int i = 0; i < 6; i++) set_quality(s, i, means[i], 0.01);
    sq__pareto(&s->comparison, cost, front);
    const bool expected[] = { true, false, true, false, false, true };
    for (int i = 0; i < 6; i++) assert_int_equal(front[i], expected[i]);
    sample_free(s);
}

static void figures_read_well(void **state)
{
    (void)state;
    char b[SQ_FIGURE_SIZE];
    assert_string_equal(sq__format_count(b, 0), "0");
    assert_string_equal(sq__format_count(b, 999), "999");
    assert_string_equal(sq__format_count(b, 1000), "1,000");
    assert_string_equal(sq__format_count(b, -1234567), "-1,234,567");
    assert_string_equal(sq__format_count(b, INT64_MAX), "9,223,372,036,854,775,807");
    assert_string_equal(sq__format_quantity(b, 0.12345), "0.123");
    assert_string_equal(sq__format_quantity(b, 99.96), "100");
    assert_string_equal(sq__format_quantity(b, 999.7), "1,000");
    assert_string_equal(sq__format_quantity(b, INFINITY), "–");
    assert_string_equal(sq__format_seconds(b, 0.0000123), "12.3 µs");
    assert_string_equal(sq__format_seconds(b, 0.9996), "1.00 s");
    assert_string_equal(sq__format_seconds(b, 119), "119 s");
    assert_string_equal(sq__format_seconds(b, 600), "10.0 min");
    assert_string_equal(sq__format_seconds(b, 36000), "10.0 h");
    assert_string_equal(sq__format_seconds(b, NAN), "–");
    assert_string_equal(sq__format_bytes(b, 512), "512 B");
    assert_string_equal(sq__format_bytes(b, 1536), "1.50 KiB");
    assert_string_equal(sq__format_bytes(b, 5e9), "4.66 GiB");
    assert_string_equal(sq__format_tick_seconds(b, 0.01), "10 ms");
    assert_string_equal(sq__format_tick_seconds(b, 100), "100 s");
    assert_string_equal(sq__format_tick_bytes(b, 65536), "64 KiB");
    assert_string_equal(sq__format_tick_length(b, 16384), "16k");
    assert_string_equal(sq__format_tick_length(b, 1500), "1,500");
    assert_string_equal(sq__format_spread(b, 0.91234, 0.00456, 3), "0.912 ± 0.005");
    assert_string_equal(sq__format_spread(b, 0.91234, NAN, 3), "0.912");
    assert_string_equal(sq__format_fixed(b, 1e300, 3), "1000000000000000.000");
}

static char *written(void (*put)(FILE *, const char *), const char *text)
{
    static char buffer[256];
    memset(buffer, 0, sizeof buffer);
    FILE *file = fmemopen(buffer, sizeof buffer, "w");
    put(file, text);
    fclose(file);
    return buffer;
}

static void put_short(FILE *file, const char *text) { sq__put_gnuplot(file, text, 5); }

static void texts_are_made_safe(void **state)
{
    (void)state;
    assert_string_equal(written(sq__put_xml, "<a href=\"x\">&'</a>"), "&lt;a href=&quot;x&quot;&gt;&amp;&#39;&lt;/a&gt;");
    assert_string_equal(written(sq__put_xml, "é€😀"), "é€😀");
    assert_string_equal(written(sq__put_xml, "\xc0\xaf|\xed\xa0\x80|\xf4\x90\x80\x80|\x01|\xe2\x82"), "\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd|\xef\xbf\xbd");
    assert_string_equal(written(sq__put_csv, "plain"), "plain");
    assert_string_equal(written(sq__put_csv, "a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
    assert_string_equal(written(put_short, "it's"), "'it’s'");
    assert_string_equal(written(put_short, "12345"), "'12345'");
    assert_string_equal(written(put_short, "éé\n456"), "'éé 4…'");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_best_beyond_the_spread),
        cmocka_unit_test(a_baseline_may_win_and_others_be_level),
        cmocka_unit_test(smaller_log_loss_is_better),
        cmocka_unit_test(crossovers_are_grouped), cmocka_unit_test(one_seed_has_no_spread),
        cmocka_unit_test(many_are_told_in_few_words),
        cmocka_unit_test(the_front_holds_what_is_not_beaten_in_both),
        cmocka_unit_test(figures_read_well),
        cmocka_unit_test(texts_are_made_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
