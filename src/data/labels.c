#include "data/labels.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/scan.h"
#include "data/table.h"

bool sq__cell_missing(const sq_data_config *config, const char *text, size_t size)
{
    if (size == 0) return true;
    for (int i = 0; i < config->missing.count; i++)
        if (strlen(config->missing.items[i]) == size && memcmp(config->missing.items[i], text, size) == 0) return true;
    return false;
}

bool sq__label_valid(const sq_data_config *config, const sq_csv_cell *cell)
{
    double value;
    return config->target.kind != SQ_TARGET_NUMBER || (sq__scan_number(cell->text, cell->size, &value) && fabs(value) < 1e30);
}

static sq_status add_label(sq_labels *labels, const sq_data_config *config, const sq_table *table, const sq_table_row *row, sq_broken_rows *broken,
                           sq_error *error)
{
    const sq_csv_cell id = row->cells[0], class = row->cells[1];
    int32_t client, label;
    int64_t line, column;
    if (!sq__label_valid(config, &class)) {
        sq__table_place(table, 1, &line, &column);
        sq__broken_add(broken, row->file, line, column, "the client's number is '%.*s'; expected a number", (int)(class.size < 60 ? class.size : 60), class.text);
        return SQ_OK;
    }
    if (!sq__intern_add(labels->ids, id.text, id.size, &client) || !sq__intern_add(labels->texts, class.text, class.size, &label)) return sq__no_memory(error);
    if (client >= labels->room) {
        int64_t room = labels->room ? 2 * labels->room : 1024;
        int32_t *larger = sq__realloc(labels->label, (size_t)room * sizeof *larger);
        if (!larger) return sq__no_memory(error);
        for (int64_t i = labels->room; i < room; i++) larger[i] = -1;
        labels->label = larger;
        labels->room = room;
    }
    if (labels->label[client] >= 0 && labels->label[client] != label) {
        sq__table_place(table, 1, &line, &column);
        sq__broken_add(broken, row->file, line, column, "client '%.*s' has the %s '%.*s' here and '%s' before", (int)(id.size < 60 ? id.size : 60),
                       id.text, config->target.kind == SQ_TARGET_NUMBER ? "number" : "class", (int)(class.size < 60 ? class.size : 60), class.text, sq__intern_text(labels->texts, labels->label[client]));
        return SQ_OK;
    }
    labels->label[client] = label;
    return SQ_OK;
}

static sq_status read_label_table(sq_labels *labels, const sq_data_config *config, const char *path, sq_broken_rows *broken,
                                  sq_stop_flag *stop, sq_error *error)
{
    const sq_table_column columns[] = { { config->target.id[0] ? config->target.id : config->id, false }, { config->target.column, false } };
    sq_table *table;
    SQ_TRY(sq__table_open(&table, config, path, true, columns, 2, stop, error));
    sq_status status = SQ_OK;
    while (status == SQ_OK) {
        const sq_table_row *row;
        int64_t line, column;
        if (stop && *stop) status = sq__fail(error, SQ_INTERRUPTED, "interrupted while reading %s", path);
        if (status != SQ_OK || (status = sq__table_next(table, &row, error)) != SQ_OK || !row) break;
        broken->rows++;
        if (row->broken) {
            sq__broken_add(broken, row->file, row->line, row->column, "%s", row->broken);
        } else if (row->cells[0].size == 0) {
            sq__table_place(table, 0, &line, &column);
            sq__broken_add(broken, row->file, line, column, "the client's id is empty");
        } else if (!sq__cell_missing(config, row->cells[1].text, row->cells[1].size)) {
            status = add_label(labels, config, table, row, broken, error);
        }
    }
    sq__table_close(&table);
    return status;
}

sq_status sq__labels_create(sq_labels *labels, const sq_data_config *config, bool table, sq_broken_rows *broken, sq_stop_flag *stop, sq_error *error)
{
    *labels = (sq_labels){ .texts = sq__intern_create(), .ids = table ? sq__intern_create() : NULL };
    sq_status status = labels->texts && (!table || labels->ids) ? SQ_OK : sq__no_memory(error);
    for (int i = 0; table && status == SQ_OK && i < config->target.file.count; i++)
        status = read_label_table(labels, config, config->target.file.items[i], broken, stop, error);
    if (status != SQ_OK) sq__labels_clear(labels);
    return status;
}

void sq__labels_clear(sq_labels *labels)
{
    sq__intern_destroy(&labels->texts);
    sq__intern_destroy(&labels->ids);
    sq__free(labels->label);
    *labels = (sq_labels){ NULL, NULL, NULL, 0 };
}

/* ---- classes ---- */

typedef struct class_text { const char *text; double value; int32_t number; } class_text;

static int by_value(const void *a, const void *b)
{
    const class_text *x = a, *y = b;
    return x->value != y->value ? (x->value > y->value) - (x->value < y->value) : strcmp(x->text, y->text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(((const class_text *)a)->text, ((const class_text *)b)->text);
}

sq_status sq__classes_sort(const sq_intern *texts, char ***classes, int *count, int32_t **class_of, sq_error *error)
{
    int32_t n = sq__intern_count(texts);
    class_text *list = sq__alloc_array((size_t)n, sizeof *list);
    *class_of = sq__alloc_array((size_t)n, sizeof **class_of);
    *classes = sq__alloc_array((size_t)n, sizeof **classes);
    *count = n;   /* a caller that gives up frees what is there */
    bool numbers = true, complete = list && *class_of && *classes;
    for (int32_t i = 0; complete && i < n; i++) {
        list[i] = (class_text){ .text = sq__intern_text(texts, i), .number = i };
        numbers = sq__scan_number(list[i].text, sq__intern_size(texts, i), &list[i].value) && numbers;
    }
    if (complete) qsort(list, (size_t)n, sizeof *list, numbers ? by_value : by_text);
    for (int32_t i = 0; complete && i < n; i++) {
        (*class_of)[list[i].number] = i;
        complete = ((*classes)[i] = sq__strdup(list[i].text)) != NULL;
    }
    if (!*classes) *count = 0;
    sq__free(list);
    return complete ? SQ_OK : sq__no_memory(error);
}

sq_status sq__classes_match(const sq_intern *texts, char *const *classes, int count, int32_t **class_of, sq_error *error)
{
    int32_t n = sq__intern_count(texts);
    *class_of = sq__alloc_array((size_t)n, sizeof **class_of);
    if (!*class_of) return sq__no_memory(error);
    for (int32_t i = 0; i < n; i++) {
        (*class_of)[i] = -1;
        for (int c = 0; c < count; c++)
            if (strcmp(classes[c], sq__intern_text(texts, i)) == 0) (*class_of)[i] = c;
    }
    return SQ_OK;
}
