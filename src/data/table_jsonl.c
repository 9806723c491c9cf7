/* JSON lines: one object a line, columns are its keys. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/table_kind.h"

typedef struct jsonl {
    sq_csv *lines;                     /* cells that no delimiter splits: whole lines, checked to be UTF-8 */
    json_t *object;                    /* of the current row: string cells point into it */
    char (*numbers)[32];               /* [count] texts of number cells */
} jsonl;

static sq_status open_jsonl(sq_table *table, const sq_data_config *config, sq_error *error)
{
    const sq_csv_options options = { '\n', false };
    sq_stream *stream;
    (void)config;
    jsonl *state = table->state = sq__alloc_zero(sizeof *state);
    if (!state || !(state->numbers = sq__alloc_array((size_t)table->count, sizeof *state->numbers))) return sq__no_memory(error);
    SQ_TRY(sq__stream_open(&stream, table->path, table->stop, error));
    return sq__csv_open(&state->lines, &stream, &options, error);
}

static void broken(sq_table *table, int64_t column, const char *why)
{
    if (why != table->why) snprintf(table->why, sizeof table->why, "%s", why);
    table->row.broken = table->why;
    table->row.column = column;
}

static void missing_key(sq_table *table, const char *name)
{
    enum { MOST = 64 };
    const char *keys[MOST], *key;
    char near[128];
    json_t *value;
    int count = 0;
    json_object_foreach(((jsonl *)table->state)->object, key, value)
        if (count < MOST) keys[count++] = key;
    snprintf(table->why, sizeof table->why, "no '%s' in this object%s", name, sq__did_you_mean(name, keys, count, near, sizeof near));
    broken(table, 1, table->why);
}

static void shortest(char number[32], double value)
{
    for (int digits = 6; digits <= 17; digits++) {
        snprintf(number, 32, "%.*g", digits, value);
        if (strtod(number, NULL) == value) return;
    }
}

/* The text of a value; false: a list or an object. */
static bool cell_text(const json_t *value, char number[32], sq_csv_cell *cell)
{
    cell->text = "";
    cell->size = 0;
    switch (json_typeof(value)) {
    case JSON_STRING:
        *cell = (sq_csv_cell){ json_string_value(value), json_string_length(value) };
        return true;
    case JSON_INTEGER: snprintf(number, 32, "%lld", (long long)json_integer_value(value)); break;
    case JSON_REAL: shortest(number, json_real_value(value)); break;
    case JSON_TRUE: strcpy(number, "true"); break;
    case JSON_FALSE: strcpy(number, "false"); break;
    case JSON_NULL: return true;
    default: return false;
    }
    *cell = (sq_csv_cell){ number, strlen(number) };
    return true;
}

static sq_status next_jsonl(sq_table *table, bool *got, sq_error *error)
{
    jsonl *state = table->state;
    const sq_csv_row *row;
    json_error_t where;
    SQ_TRY(sq__csv_next(state->lines, &row, error));
    json_decref(state->object);
    state->object = NULL;
    *got = row != NULL;
    if (!row) return SQ_OK;
    table->row.line = row->line;
    table->row.column = row->column;
    table->row.broken = row->broken;
    if (row->broken) return SQ_OK;
    state->object = json_loadb(row->cells[0].text, row->cells[0].size, JSON_REJECT_DUPLICATES, &where);
    if (!state->object || !json_is_object(state->object)) {
        snprintf(table->why, sizeof table->why, "not a JSON object: %s", state->object ? "another value" : where.text);
        broken(table, state->object || where.column < 1 ? 1 : where.column, table->why);
        return SQ_OK;
    }
    for (int i = 0; i < table->count && !table->row.broken; i++) {
        const json_t *value = json_object_get(state->object, table->columns[i].name);
        table->cells[i] = (sq_csv_cell){ NULL, 0 };
        if (!value && !table->columns[i].optional) {
            missing_key(table, table->columns[i].name);
        } else if (value && !cell_text(value, state->numbers[i], &table->cells[i])) {
            snprintf(table->why, sizeof table->why, "'%s' is a list or object; expected a text or number", table->columns[i].name);
            broken(table, 1, table->why);
        }
    }
    return SQ_OK;
}

/* Values have no place of their own once parsed: the line's. */
static void place_jsonl(const sq_table *table, int bound, int64_t *line, int64_t *column)
{
    (void)bound;
    *line = table->row.line;
    *column = 1;
}

static double progress_jsonl(const sq_table *table)
{
    return sq__stream_progress(sq__csv_stream(((const jsonl *)table->state)->lines));
}

static void close_jsonl(sq_table *table)
{
    jsonl *state = table->state;
    if (!state) return;
    json_decref(state->object);
    sq__csv_close(&state->lines);
    sq__free(state->numbers);
    sq__free(state);
}

const sq_table_kind sq__table_jsonl = { open_jsonl, next_jsonl, place_jsonl, progress_jsonl, close_jsonl };
