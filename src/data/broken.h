/* Rows that cannot be used: counted, the first one's place kept. Depends on config. */
#ifndef SQ_DATA_BROKEN_H
#define SQ_DATA_BROKEN_H

#include "data/config.h"

typedef struct sq_broken_rows {
    int64_t rows, broken;
    char first[512];                   /* "file:line:column: why" */
} sq_broken_rows;

void sq__broken_add(sq_broken_rows *rows, const char *file, int64_t line, int64_t column, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
/* After all rows: with on_broken_row: stop, a broken one is SQ_FORMAT with the first one's place and how many there are. */
sq_status sq__broken_check(const sq_broken_rows *rows, const sq_data_config *config, sq_error *error);

#endif
