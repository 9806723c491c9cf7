/* Numbers and times from text, against the C library where it has an answer. */
#include "support/check.h"

#include <time.h>

#include "data/intern.h"
#include "data/scan.h"
#include "subquad/status.h"

static void numbers_equal_strtod(void **state)
{
    static const char *const texts[] = { "0", "-0", "1", "+1.5", "-2246.", ".5", "1e3", "1E-3", "123456789.125", "0.1", "3.4028234e38",
        "1326789383.997", "9007199254740993", "0.00000000000000000000012345", "123456789012345678901234567890", "  7 ", "1.7976931348623157e308", "4.9e-324" };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        double value = NAN, expected = strtod(texts[i], NULL);
        if (!sq__scan_number(texts[i], strlen(texts[i]), &value)) fail_msg("'%s' is a number", texts[i]);
        assert_close(value, expected, 2.3e-16 * fabs(expected));
    }
}

static void not_numbers(void **state)
{
    static const char *const texts[] = { "", " ", "-", ".", "1.2.3", "1,5", "0x10", "nan", "NaN", "inf", "-inf", "1e", "1e+", "e5", "12a", "1e999", "--1", "1 2" };
    double value;
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (sq__scan_number(texts[i], strlen(texts[i]), &value)) fail_msg("'%s' is no number, but gave %g", texts[i], value);
}

static double time_of(const char *format, const char *text)
{
    sq_time_form form;
    double seconds;
    assert_true(sq__time_form(format, &form));
    return sq__scan_time(form, format, text, strlen(text), &seconds) ? seconds : NAN;
}

static void times(void **state)
{
    (void)state;
    assert_true(time_of("iso", "1970-01-01") == 0);
    assert_true(time_of("iso", "1993-02-26") == 730684800);
    assert_true(time_of("iso", "2016-07-01 01:00:00") == 1467334800);
    assert_true(time_of("iso", "2000-02-29T23:59:59Z") == 951868799);
    assert_true(time_of("iso", "2024-03-01T12:00+02:30") == 1709285400);
    assert_true(time_of("iso", "1969-12-31T23:59:59.5") == -0.5);
    assert_true(time_of("unix", "1326789383.997") == 1326789383.997);
    assert_true(time_of("unix-ms", "1500") == 1.5);
    assert_true(time_of("day-hms", "0 10:23:26") == 37406);
    assert_true(time_of("day-hms", "456 23:59:60") == 457.0 * 86400);
    assert_true(time_of("number", "-3.25") == -3.25);
    assert_true(time_of("%d/%m/%y %H:%M", "15/12/14 18:11") == 1418667060);
    assert_true(time_of("%Y-%m-%dT%H:%M:%S%z", "2024-03-01T12:00:00+0200") == 1709287200);
}

static void not_times(void **state)
{
    static const char *const bad[][2] = { { "iso", "" }, { "iso", "1993-13-01" }, { "iso", "1993-02-29" }, { "iso", "1993-02-2" }, { "iso", "26.02.1993" },
        { "iso", "1993-02-26 25:00" }, { "iso", "1993-02-26T10" }, { "iso", "1993-02-26 10:00:00x" }, { "iso", "1993-02-26 10:00:00." }, { "unix", "yesterday" },
        { "unix", "1e300" }, { "day-hms", "10:23:26" }, { "day-hms", "x 10:23:26" }, { "day-hms", "3 10:23" }, { "day-hms", "99999999999 10:23:26" },
        { "%d/%m/%y", "31/02/14" }, { "%d/%m/%y", "15/12/14 18:11" }, { "%d/%m/%y", "" } };
    sq_time_form form;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (!isnan(time_of(bad[i][0], bad[i][1]))) fail_msg("'%s' is no time as %s", bad[i][1], bad[i][0]);
    assert_false(sq__time_form("isoo", &form));
}

/* Every day of four centuries, and some before 1970, against gmtime. */
static void calendars_equal_gmtime(void **state)
{
    (void)state;
    for (int64_t day = -200000; day < 200000; day += 17) {
        time_t seconds = (time_t)day * 86400 + 37406;
        struct tm parts;
        int clock, weekday, month_day;
        char text[64];
        gmtime_r(&seconds, &parts);
        sq__time_fields(SQ_TIME_UNIX, (double)seconds, &clock, &weekday, &month_day);
        assert_int_equal(clock, 37406);
        assert_int_equal(weekday, (parts.tm_wday + 6) % 7);
        assert_int_equal(month_day, parts.tm_mday - 1);
        snprintf(text, sizeof text, "%04d-%02d-%02d 10:23:26", parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday);
        assert_true(time_of("iso", text) == (double)seconds);
    }
    int clock, weekday, month_day;
    sq__time_fields(SQ_TIME_DAY_HMS, 9 * 86400.0 + 5, &clock, &weekday, &month_day);
    assert_int_equal(clock, 5);
    assert_int_equal(weekday, 2);
}

static void texts_become_numbers(void **state)
{
    enum { WORDS = 20000 };
    int32_t number;
    char text[32];
    (void)state;
    sq_intern *intern = sq__intern_create();
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < WORDS; i++) {
            int size = snprintf(text, sizeof text, "%.*s%d", i % 11, "abcdefghijk", i);
            assert_true(sq__intern_add(intern, text, (size_t)size, &number));
            assert_int_equal(number, i);
            assert_string_equal(sq__intern_text(intern, i), text);
        }
    assert_int_equal(sq__intern_count(intern), WORDS);
    assert_int_equal(sq__intern_find(intern, "absent", 6), -1);
    assert_true(sq__intern_add(intern, "", 0, &number));
    assert_int_equal(number, WORDS);
    assert_int_equal(sq__intern_size(intern, WORDS), 0);
    sq__intern_destroy(&intern);
    assert_null(intern);
    assert_int_equal(sq_memory_current(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_equal_strtod), cmocka_unit_test(not_numbers),            cmocka_unit_test(times),
        cmocka_unit_test(not_times),            cmocka_unit_test(calendars_equal_gmtime), cmocka_unit_test(texts_become_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
