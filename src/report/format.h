/* Figures for people, and text from data made safe for the file it goes into. Depends on nothing. */
#ifndef SQ_REPORT_FORMAT_H
#define SQ_REPORT_FORMAT_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum { SQ_FIGURE_SIZE = 48 };

/* Each writes at most SQ_FIGURE_SIZE bytes and returns buffer; what is not finite becomes an en dash. */
const char *sq__format_count(char *buffer, int64_t value);             /* 1,234,567 */
const char *sq__format_quantity(char *buffer, double value);           /* 12,345  123  12.3  0.123: three digits at least */
const char *sq__format_seconds(char *buffer, double seconds);          /* 12.3 ms  4.56 s  12 min */
const char *sq__format_bytes(char *buffer, double bytes);              /* 512 B  1.50 MiB */
/* Round values for the ticks of an axis: 5 ms, 64 MiB, 16k (of 1024). */
const char *sq__format_tick_seconds(char *buffer, double seconds);
const char *sq__format_tick_bytes(char *buffer, double bytes);
const char *sq__format_tick_length(char *buffer, int64_t length);
const char *sq__format_fixed(char *buffer, double value, int decimals);
const char *sq__format_spread(char *buffer, double mean, double deviation, int decimals);   /* 0.912 ± 0.004 */

/* The next code point of a text; 0 at the end. Broken UTF-8 and what XML forbids become U+FFFD. */
uint32_t sq__utf8_next(const char **at);
void sq__utf8_put(FILE *file, uint32_t code);

void sq__put_xml(FILE *file, const char *text);       /* content or quoted attribute of HTML and SVG */
void sq__put_csv(FILE *file, const char *text);       /* quoted where it must be */
void sq__put_gnuplot(FILE *file, const char *text, int most);   /* a single-quoted string of at most `most` characters (0: any number) */

#endif
