/* A form of table: what table.c dispatches to. */
#ifndef SQ_DATA_TABLE_KIND_H
#define SQ_DATA_TABLE_KIND_H

#include "data/table.h"

typedef struct sq_table_kind {
    sq_status (*open)(sq_table *table, const sq_data_config *config, sq_error *error);   /* fills state; close cleans up after failure */
    sq_status (*next)(sq_table *table, bool *got, sq_error *error);                      /* fills row and cells */
    void (*place)(const sq_table *table, int bound, int64_t *line, int64_t *column);
    double (*progress)(const sq_table *table);
    void (*close)(sq_table *table);
} sq_table_kind;

struct sq_table {
    const sq_table_kind *kind;
    sq_data_format format;
    bool labels;
    char *path;
    sq_stop_flag *stop;                /* may be NULL */
    const sq_table_column *columns;
    int count;
    sq_csv_cell *cells;                /* [count] */
    sq_table_row row;
    char why[512];                     /* behind row.broken */
    void *state;
};

extern const sq_table_kind sq__table_delimited, sq__table_jsonl, sq__table_folders;

#endif
