/* Aligned text tables for the terminal. */
#ifndef CLI_TABLE_H
#define CLI_TABLE_H

#include <stdbool.h>
#include <stdio.h>

#define TABLE_COLUMNS 16
#define TABLE_CELL 64

typedef struct table_row { char cell[TABLE_COLUMNS][TABLE_CELL]; bool marked[TABLE_COLUMNS]; bool rule; } table_row;
typedef struct table {
    int columns, count, room;
    table_row *rows;                   /* row 0: headings */
    bool failed;                       /* out of memory: nothing is printed */
} table;

/* headings: "left-aligned" as it is, ">right-aligned" with a mark. */
void table_begin(table *t, const char *const *headings, int columns);
void table_row_begin(table *t);
void table_rule(table *t);             /* a line across, before the next row */
void table_cell(table *t, int column, const char *format, ...) __attribute__((format(printf, 3, 4)));
void table_mark(table *t, int row, int column);   /* shown bold, and with a star, so that it is seen without colours, too */
void table_print(table *t, FILE *out);            /* and free */

/* "12.3 MiB", "-" for less than 0 */
const char *bytes_text(double bytes, char *buffer, size_t size);
/* 4 significant digits with k, M, G */
const char *number_text(double number, char *buffer, size_t size);
/* Are colours and bold wanted on this stream? Not when it is no terminal, nor with NO_COLOR. */
bool colours_wanted(FILE *out);

#endif
