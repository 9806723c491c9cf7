/* Numbers and times from the cells of a table, without copies and independent of the locale. Depends on nothing. */
#ifndef SQ_DATA_SCAN_H
#define SQ_DATA_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The whole of text as a decimal number, with sign, point and exponent; within one unit in the last place of a double.
 * False: not a number, "nan", "inf", or too large. */
bool sq__scan_number(const char *text, size_t size, double *value);

typedef enum sq_time_form { SQ_TIME_ISO, SQ_TIME_UNIX, SQ_TIME_UNIX_MS, SQ_TIME_DAY_HMS, SQ_TIME_NUMBER, SQ_TIME_PATTERN } sq_time_form;

/* The form that a format's name means; a text with '%' is a strptime pattern. False: unknown. */
bool sq__time_form(const char *format, sq_time_form *form);
extern const char *const sq__time_form_names[];        /* of those that have one; NULL-terminated */

/* Seconds since 1970 in UTC (a stated offset is subtracted, no zone is UTC); DAY_HMS: since day 0; NUMBER: the number itself. */
bool sq__scan_time(sq_time_form form, const char *pattern, const char *text, size_t size, double *seconds);

/* What a calendar can say of such a time. */
bool sq__time_has_clock(sq_time_form form);            /* hour and weekday (DAY_HMS: day number mod 7) */
bool sq__time_has_months(sq_time_form form);           /* day of the month */
/* seconds of the day 0..86399, weekday 0..6 (Monday 0; DAY_HMS: day mod 7), day of the month 0..30 */
void sq__time_fields(sq_time_form form, double seconds, int *clock, int *weekday, int *month_day);

#endif
