/* CSV and TSV: the header says which cell is which column. */
#include <string.h>

#include "base/memory.h"
#include "data/table_kind.h"

enum { MOST_NAMES = 4096 };

typedef struct delimited {
    sq_csv *csv;
    int width;                         /* cells of every row */
    int *cell_of;                      /* [table->count] cell of a bound column, or -1 */
} delimited;

static bool same(sq_csv_cell cell, const char *name)
{
    return strlen(name) == cell.size && memcmp(cell.text, name, cell.size) == 0;
}

static sq_status missing_column(const sq_table *table, const char *name, const sq_csv_cell *names, int width, sq_error *error)
{
    char near[128] = "";
    const char **list = sq__alloc_array((size_t)width, sizeof *list);
    char *texts = sq__alloc_array((size_t)width, 64);
    for (int i = 0; list && texts && i < width; i++) {
        char *text = texts + 64 * (size_t)i;
        memcpy(text, names[i].text, names[i].size < 63 ? names[i].size : 63);
        list[i] = text;
    }
    if (width == 1) snprintf(near, sizeof near, "; the line is one cell: is the delimiter another?");
    else if (list && texts) sq__did_you_mean(name, list, width, near, sizeof near);
    sq_status status = sq__fail(error, SQ_NOT_FOUND, "%s:1:1: no column '%s' among %d%s", table->path, name, width, near);
    sq__free(list);
    sq__free(texts);
    return status;
}

static sq_status bind(sq_table *table, const sq_csv_cell *names, int width, sq_error *error)
{
    delimited *state = table->state;
    state->width = width;
    for (int i = 0; i < table->count; i++) {
        state->cell_of[i] = -1;
        for (int j = 0; j < width; j++) {
            if (!same(names[j], table->columns[i].name)) continue;
            if (state->cell_of[i] >= 0)
                return sq__fail(error, SQ_FORMAT, "%s:1:1: column '%s' is there twice", table->path, table->columns[i].name);
            state->cell_of[i] = j;
        }
        if (state->cell_of[i] < 0 && !table->columns[i].optional) return missing_column(table, table->columns[i].name, names, width, error);
    }
    return SQ_OK;
}

static sq_status bind_given(sq_table *table, const sq_text_list *columns, sq_error *error)
{
    sq_csv_cell *names = sq__alloc_array((size_t)columns->count, sizeof *names);
    if (!names) return sq__no_memory(error);
    for (int i = 0; i < columns->count; i++) names[i] = (sq_csv_cell){ columns->items[i], strlen(columns->items[i]) };
    sq_status status = bind(table, names, columns->count, error);
    sq__free(names);
    return status;
}

static sq_status bind_header(sq_table *table, sq_error *error)
{
    const sq_csv_row *row;
    SQ_TRY(sq__csv_next(((delimited *)table->state)->csv, &row, error));
    if (!row) return sq__fail(error, SQ_FORMAT, "%s: is empty; expected a line with the columns' names", table->path);
    if (row->broken) return sq__fail(error, SQ_FORMAT, "%s:%lld:%lld: %s", table->path, (long long)row->line, (long long)row->column, row->broken);
    if (row->count > MOST_NAMES) return sq__fail(error, SQ_FORMAT, "%s:1:1: more than 4096 columns", table->path);
    return bind(table, row->cells, row->count, error);
}

static sq_status open_delimited(sq_table *table, const sq_data_config *config, sq_error *error)
{
    bool tabs = table->format == SQ_FORMAT_TSV;
    sq_csv_options options = { tabs ? '\t' : ',', config->quote == SQ_QUOTE_AUTO ? !tabs : config->quote == SQ_QUOTE_YES };
    if (config->delimiter[0] && !(table->labels && tabs)) options.delimiter = config->delimiter[1] ? '\t' : config->delimiter[0];
    sq_stream *stream;
    delimited *state = table->state = sq__alloc_zero(sizeof *state);
    if (!state || !(state->cell_of = sq__alloc_array((size_t)table->count, sizeof *state->cell_of))) return sq__no_memory(error);
    SQ_TRY(sq__stream_open(&stream, table->path, table->stop, error));
    SQ_TRY(sq__csv_open(&state->csv, &stream, &options, error));
    return config->header || table->labels ? bind_header(table, error) : bind_given(table, &config->columns, error);
}

static sq_status next_delimited(sq_table *table, bool *got, sq_error *error)
{
    delimited *state = table->state;
    const sq_csv_row *row;
    SQ_TRY(sq__csv_next(state->csv, &row, error));
    *got = row != NULL;
    if (!row) return SQ_OK;
    table->row.line = row->line;
    table->row.column = row->column;
    table->row.broken = row->broken;
    if (row->broken) return SQ_OK;
    if (row->count != state->width) {
        snprintf(table->why, sizeof table->why, "%d cells; expected %d", row->count, state->width);
        table->row.broken = table->why;
        sq__csv_place(state->csv, row->count > state->width ? state->width : row->count - 1, &table->row.line, &table->row.column);
        return SQ_OK;
    }
    for (int i = 0; i < table->count; i++) table->cells[i] = state->cell_of[i] < 0 ? (sq_csv_cell){ NULL, 0 } : row->cells[state->cell_of[i]];
    return SQ_OK;
}

static void place_delimited(const sq_table *table, int bound, int64_t *line, int64_t *column)
{
    const delimited *state = table->state;
    sq__csv_place(state->csv, state->cell_of[bound] < 0 ? 0 : state->cell_of[bound], line, column);
}

static double progress_delimited(const sq_table *table)
{
    return sq__stream_progress(sq__csv_stream(((const delimited *)table->state)->csv));
}

static void close_delimited(sq_table *table)
{
    delimited *state = table->state;
    if (!state) return;
    sq__csv_close(&state->csv);
    sq__free(state->cell_of);
    sq__free(state);
}

const sq_table_kind sq__table_delimited = { open_delimited, next_delimited, place_delimited, progress_delimited, close_delimited };
