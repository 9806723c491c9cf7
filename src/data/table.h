/* Rows of named columns from a file of any form: CSV, TSV, JSON lines, a folder of texts. Depends on config, io. */
#ifndef SQ_DATA_TABLE_H
#define SQ_DATA_TABLE_H

#include "data/config.h"
#include "io/csv.h"

typedef struct sq_table_column { const char *name; bool optional; } sq_table_column;

typedef struct sq_table_row {
    const sq_csv_cell *cells;          /* one per bound column; text NULL: an optional column that is not there */
    const char *broken;                /* not NULL: why the row cannot be used */
    const char *file;                  /* what to name in messages */
    int64_t line, column;              /* line of the row; broken: of the fault */
} sq_table_row;

typedef struct sq_table sq_table;

/* The form of `path`: stated, or by what it is and how it is called. labels: of a label table, whose own name goes first. */
sq_data_format sq__table_format(const sq_data_config *config, const char *path, bool labels);

/* Binds columns[count] (names borrowed until close). A missing one is an error with the nearest name.
 * labels: a label table, which has a header whatever data.header says. stop (may be NULL): ends a wait for rows of a pipe. */
sq_status sq__table_open(sq_table **table, const sq_data_config *config, const char *path, bool labels, const sq_table_column *columns,
                         int count, sq_stop_flag *stop, sq_error *error);
sq_status sq__table_next(sq_table *table, const sq_table_row **row, sq_error *error);      /* *row NULL at the end */
void sq__table_place(const sq_table *table, int bound, int64_t *line, int64_t *column);    /* of a bound cell of the current row */
double sq__table_progress(const sq_table *table);
void sq__table_close(sq_table **table);                                                    /* NULL allowed */

#endif
