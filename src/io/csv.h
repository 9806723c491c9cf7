/* Delimited tables row by row from a stream: lines without a quote are split here, the others by libcsv (RFC 4180, strict).
 * A byte-order mark, CRLF, newlines inside quotes and blank lines are understood. Memory: one row. Depends on base, io/stream.h. */
#ifndef SQ_IO_CSV_H
#define SQ_IO_CSV_H

#include "io/stream.h"

typedef struct sq_csv_options {
    char delimiter;
    bool quotes;                       /* "..." holds delimiters, newlines and doubled quotes; blanks around cells are dropped */
} sq_csv_options;

typedef struct sq_csv_cell { const char *text; size_t size; } sq_csv_cell;   /* not NUL-terminated */

typedef struct sq_csv_row {
    int count;
    const sq_csv_cell *cells;          /* valid until the next row */
    const char *broken;                /* not NULL: why the row cannot be used (malformed quotes, not UTF-8); count is then 0 */
    int64_t line;                      /* first line of the row, from 1; broken: line and column (characters, from 1) of the fault */
    int64_t column;
} sq_csv_row;

typedef struct sq_csv sq_csv;
/* Takes the stream over, also when it fails. */
sq_status sq__csv_open(sq_csv **csv, sq_stream **stream, const sq_csv_options *options, sq_error *error);
/* *row NULL at the end. Only what cannot be skipped is an error: a damaged file, a row longer than 16 MiB. */
sq_status sq__csv_next(sq_csv *csv, const sq_csv_row **row, sq_error *error);
/* Where a cell of the current row begins. */
void sq__csv_place(const sq_csv *csv, int cell, int64_t *line, int64_t *column);
const sq_stream *sq__csv_stream(const sq_csv *csv);
void sq__csv_close(sq_csv **csv);      /* NULL allowed */

#endif
