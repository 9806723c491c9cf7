#define _GNU_SOURCE   /* strptime, timegm */
#include "data/scan.h"

#include <math.h>
#include <string.h>
#include <time.h>

enum { DAY = 86400, MOST_DIGITS = 18, MOST_EXPONENT = 330, LONGEST_TIME = 128 };

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static long double power_of_ten(int exponent)
{
    long double power = 1.0L, base = 10.0L;
    for (int e = exponent < 0 ? -exponent : exponent; e; e >>= 1, base *= base)
        if (e & 1) power *= base;
    return exponent < 0 ? 1.0L / power : power;
}

/* Digits with an optional point into mantissa * 10^exponent; digits past the 18th only move the exponent. */
static const char *scan_digits(const char *at, const char *end, uint64_t *mantissa, int *exponent, bool *any)
{
    int kept = 0;
    bool point = false;
    for (; at < end; at++) {
        if (*at == '.' && !point) {
            point = true;
            continue;
        }
        if (!is_digit(*at)) break;
        *any = true;
        if (kept < MOST_DIGITS) {
            *mantissa = *mantissa * 10 + (uint64_t)(*at - '0');
            if (*mantissa) kept++;
            if (point) --*exponent;
        } else if (!point) {
            ++*exponent;
        }
    }
    return at;
}

static const char *scan_exponent(const char *at, const char *end, int *exponent)
{
    int sign = 1, value = 0;
    const char *first = ++at;
    if (at < end && (*at == '+' || *at == '-')) {
        sign = *at++ == '-' ? -1 : 1;
        first = at;
    }
    for (; at < end && is_digit(*at); at++)
        if (value < 100000) value = value * 10 + (*at - '0');
    *exponent += sign * value;
    return at == first ? NULL : at;
}

bool sq__scan_number(const char *text, size_t size, double *value)
{
    const char *at = text, *end = text + size;
    while (at < end && (*at == ' ' || *at == '\t')) at++;
    while (at < end && (end[-1] == ' ' || end[-1] == '\t')) end--;
    bool negative = at < end && *at == '-', any = false;
    if (at < end && (*at == '-' || *at == '+')) at++;
    uint64_t mantissa = 0;
    int exponent = 0;
    at = scan_digits(at, end, &mantissa, &exponent, &any);
    if (!any) return false;
    if (at < end && (*at == 'e' || *at == 'E')) at = scan_exponent(at, end, &exponent);
    if (at != end) return false;
    if (exponent > MOST_EXPONENT) exponent = MOST_EXPONENT;
    if (exponent < -MOST_EXPONENT - MOST_DIGITS) exponent = -MOST_EXPONENT - MOST_DIGITS;
    double number = exponent ? (double)((long double)mantissa * power_of_ten(exponent)) : (double)mantissa;
    *value = negative ? -number : number;
    return isfinite(number);
}

/* ---- times ---- */

const char *const sq__time_form_names[] = { "iso", "unix", "unix-ms", "day-hms", "number", NULL };

bool sq__time_form(const char *format, sq_time_form *form)
{
    for (int i = 0; sq__time_form_names[i]; i++)
        if (strcmp(format, sq__time_form_names[i]) == 0) {
            *form = (sq_time_form)i;
            return true;
        }
    *form = SQ_TIME_PATTERN;
    return strchr(format, '%') != NULL;
}

/* Days since 1970-01-01 of a proleptic Gregorian date, and back: H. Hinnant, "chrono-compatible low-level date algorithms". */
static int64_t days_of(int64_t year, int month, int day)
{
    year -= month <= 2;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t of_era = year - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static int month_day_of(int64_t days)
{
    days += 719468;
    int64_t era = (days >= 0 ? days : days - 146096) / 146097;
    int64_t of_era = days - era * 146097;
    int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
    return (int)(of_year - (153 * ((5 * of_year + 2) / 153) + 2) / 5);
}

static int month_length(int64_t year, int month)
{
    static const int lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return lengths[month - 1] + (month == 2 && leap);
}

typedef struct cursor { const char *at, *end; } cursor;

static bool take_char(cursor *c, char wanted)
{
    if (c->at >= c->end || *c->at != wanted) return false;
    c->at++;
    return true;
}

static bool take_digits(cursor *c, int count, int lowest, int highest, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++) {
        if (c->at >= c->end || !is_digit(*c->at)) return false;
        *value = *value * 10 + (*c->at++ - '0');
    }
    return *value >= lowest && *value <= highest;
}

/* HH:MM[:SS[.fraction]]. Second 60 occurs in real tables. */
static bool take_clock(cursor *c, bool seconds_needed, double *seconds)
{
    int hour, minute, second = 0;
    if (!take_digits(c, 2, 0, 24, &hour) || !take_char(c, ':') || !take_digits(c, 2, 0, 59, &minute)) return false;
    *seconds = hour * 3600.0 + minute * 60.0;
    if (!take_char(c, ':')) return !seconds_needed;
    if (!take_digits(c, 2, 0, 60, &second)) return false;
    *seconds += second;
    if (take_char(c, '.')) {
        double unit = 0.1;
        const char *first = c->at;
        for (; c->at < c->end && is_digit(*c->at); c->at++, unit /= 10) *seconds += unit * (*c->at - '0');
        if (c->at == first) return false;
    }
    return true;
}

static bool take_zone(cursor *c, double *seconds)
{
    if (c->at == c->end || (take_char(c, 'Z') && c->at == c->end)) return true;
    int sign = take_char(c, '+') ? -1 : take_char(c, '-') ? 1 : 0, hour, minute = 0;
    if (!sign || !take_digits(c, 2, 0, 23, &hour)) return false;
    take_char(c, ':');
    if (c->at < c->end && !take_digits(c, 2, 0, 59, &minute)) return false;
    *seconds += sign * (hour * 3600.0 + minute * 60.0);
    return c->at == c->end;
}

/* YYYY-MM-DD[(T| )HH:MM[:SS[.fraction]][Z|+HH[:MM]]], ISO 8601 */
static bool scan_iso(const char *text, size_t size, double *seconds)
{
    cursor c = { text, text + size };
    int year, month, day;
    double clock = 0.0;
    if (!take_digits(&c, 4, 0, 9999, &year) || !take_char(&c, '-') || !take_digits(&c, 2, 1, 12, &month) || !take_char(&c, '-') ||
        !take_digits(&c, 2, 1, month_length(year, month), &day))
        return false;
    if (c.at < c.end) {
        if (!take_char(&c, 'T') && !take_char(&c, ' ')) return false;
        if (!take_clock(&c, false, &clock) || !take_zone(&c, &clock)) return false;
    }
    *seconds = (double)days_of(year, month, day) * DAY + clock;
    return true;
}

/* "<day> HH:MM:SS", the day a count from an unstated start */
static bool scan_day_hms(const char *text, size_t size, double *seconds)
{
    cursor c = { text, text + size };
    int64_t day = 0;
    const char *first = c.at;
    for (; c.at < c.end && is_digit(*c.at) && day < 10000000; c.at++) day = day * 10 + (*c.at - '0');
    double clock;
    if (c.at == first || !take_char(&c, ' ') || !take_clock(&c, true, &clock) || c.at != c.end) return false;
    *seconds = (double)day * DAY + clock;
    return true;
}

static bool scan_pattern(const char *pattern, const char *text, size_t size, double *seconds)
{
    char copy[LONGEST_TIME];
    if (size >= sizeof copy) return false;
    memcpy(copy, text, size);
    copy[size] = '\0';
    struct tm parts = { .tm_mday = 1, .tm_year = 70 };
    const char *end = strptime(copy, pattern, &parts);
    if (!end || *end || parts.tm_mday > month_length(parts.tm_year + 1900LL, parts.tm_mon + 1)) return false;
    long offset = parts.tm_gmtoff;   /* timegm clears it */
    *seconds = (double)timegm(&parts) - (double)offset;
    return true;
}

bool sq__scan_time(sq_time_form form, const char *pattern, const char *text, size_t size, double *seconds)
{
    bool good = false;
    switch (form) {
    case SQ_TIME_ISO: good = scan_iso(text, size, seconds); break;
    case SQ_TIME_UNIX:
    case SQ_TIME_NUMBER: good = sq__scan_number(text, size, seconds); break;
    case SQ_TIME_UNIX_MS:
        good = sq__scan_number(text, size, seconds);
        if (good) *seconds /= 1000.0;
        break;
    case SQ_TIME_DAY_HMS: good = scan_day_hms(text, size, seconds); break;
    case SQ_TIME_PATTERN: good = scan_pattern(pattern, text, size, seconds); break;
    }
    return good && fabs(*seconds) < 1e15;   /* thirty million years: day numbers stay exact */
}

bool sq__time_has_clock(sq_time_form form)
{
    return form != SQ_TIME_NUMBER;
}

bool sq__time_has_months(sq_time_form form)
{
    return form != SQ_TIME_NUMBER && form != SQ_TIME_DAY_HMS;
}

void sq__time_fields(sq_time_form form, double seconds, int *clock, int *weekday, int *month_day)
{
    int64_t days = (int64_t)floor(seconds / DAY);
    int64_t shifted = form == SQ_TIME_DAY_HMS ? days : days + 3;   /* 1970-01-01 was a Thursday */
    *clock = (int)(seconds - (double)days * DAY);
    *weekday = (int)((shifted % 7 + 7) % 7);
    *month_day = form == SQ_TIME_DAY_HMS ? 0 : month_day_of(days);
}
