#include "table.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static table_row *add_row(table *t)
{
    if (t->count == t->room) {
        int room = t->room ? 2 * t->room : 16;
        table_row *rows = realloc(t->rows, (size_t)room * sizeof *rows);
        if (!rows) {
            t->failed = true;
            return NULL;
        }
        t->rows = rows;
        t->room = room;
    }
    table_row *row = &t->rows[t->count++];
    memset(row, 0, sizeof *row);
    return row;
}

void table_begin(table *t, const char *const *headings, int columns)
{
    *t = (table){ .columns = columns };
    table_row *row = add_row(t);
    for (int i = 0; row && i < columns; i++) snprintf(row->cell[i], TABLE_CELL, "%s", headings[i]);
}

void table_row_begin(table *t)
{
    add_row(t);
}

void table_rule(table *t)
{
    table_row *row = add_row(t);
    if (row) row->rule = true;
}

void table_cell(table *t, int column, const char *format, ...)
{
    if (t->failed) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(t->rows[t->count - 1].cell[column], TABLE_CELL, format, arguments);
    va_end(arguments);
}

void table_mark(table *t, int row, int column)
{
    if (!t->failed) t->rows[row].marked[column] = true;
}

/* Columns on the screen: UTF-8 continuation bytes take none. */
static int display_width(const char *text)
{
    int width = 0;
    for (; *text; text++) width += ((unsigned char)*text & 0xC0) != 0x80;
    return width;
}

bool colours_wanted(FILE *out)
{
    const char *none = getenv("NO_COLOR"), *kind = getenv("TERM");
    return isatty(fileno(out)) && !(none && *none) && kind && strcmp(kind, "dumb") != 0;
}

void table_print(table *t, FILE *out)
{
    int width[TABLE_COLUMNS] = { 0 }, total = 0;
    bool right[TABLE_COLUMNS] = { false }, starred[TABLE_COLUMNS] = { false }, bold = colours_wanted(out);
    for (int c = 0; !t->failed && c < t->columns; c++) {
        char *heading = t->rows[0].cell[c];
        right[c] = heading[0] == '>';
        if (right[c]) memmove(heading, heading + 1, strlen(heading));
        for (int r = 0; r < t->count; r++) {
            int own = display_width(t->rows[r].cell[c]);
            if (own > width[c]) width[c] = own;
            starred[c] = starred[c] || t->rows[r].marked[c];
        }
        total += width[c] + starred[c] + (c ? 2 : 0);
    }
    for (int r = 0; !t->failed && r < t->count; r++) {
        const table_row *row = &t->rows[r];
        if (row->rule) {
            for (int i = 0; i < total; i++) fputc('-', out);
            fputc('\n', out);
            continue;
        }
        int pending = 0;   /* spaces, written only when something follows */
        for (int c = 0; c < t->columns; c++) {
            int space = width[c] - display_width(row->cell[c]);
            pending += (c ? 2 : 0) + (right[c] ? space : 0);
            if (row->cell[c][0]) {
                fprintf(out, "%*s%s%s%s", pending, "", bold && row->marked[c] ? "\033[1m" : "", row->cell[c], row->marked[c] ? "*" : "");
                if (bold && row->marked[c]) fputs("\033[0m", out);
                pending = 0;
            }
            pending += (right[c] ? 0 : space) + (starred[c] && !(row->marked[c] && row->cell[c][0]));
        }
        fputc('\n', out);
        if (r == 0) {
            for (int i = 0; i < total; i++) fputc('-', out);
            fputc('\n', out);
        }
    }
    free(t->rows);
    *t = (table){ 0 };
}

const char *bytes_text(double bytes, char *buffer, size_t size)
{
    if (!(bytes >= 0)) snprintf(buffer, size, "-");
    else if (bytes < 1 << 20) snprintf(buffer, size, "%.1f KiB", bytes / (1 << 10));
    else if (bytes < 1 << 30) snprintf(buffer, size, "%.1f MiB", bytes / (1 << 20));
    else snprintf(buffer, size, "%.2f GiB", bytes / (1 << 30));
    return buffer;
}

const char *number_text(double number, char *buffer, size_t size)
{
    static const char *const unit[] = { "", "k", "M", "G" };
    int power = 0;
    if (!isfinite(number)) {
        snprintf(buffer, size, "-");
        return buffer;
    }
    while (fabs(number) >= 9999.5 && power < 3) {
        number /= 1000;
        power++;
    }
    int digits = fabs(number) >= 99.95 || (power == 0 && number == floor(number)) ? 0 : fabs(number) >= 9.995 ? 1 : 2;
    snprintf(buffer, size, "%.*f%s", digits, number, unit[power]);
    return buffer;
}
