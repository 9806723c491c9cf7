/* A folder of folders of texts: folder/class/document. Columns: id (class/document), text, label (class). */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/memory.h"
#include "data/config_lists.h"
#include "data/table_kind.h"
#include "io/file.h"
#include "io/utf8.h"

enum { MOST_BYTES = 16 << 20 };

typedef struct folders {
    sq_text_list names;                /* class/document, sorted */
    int at;                            /* the next one */
    char *path, *text;                 /* of the current document */
    size_t size, room;
} folders;

static const char *const column_names[] = { "id", "text", "label" };
enum { ID, TEXT, LABEL, COLUMNS };

static sq_status add_name(sq_text_list *list, int *room, const char *folder, const char *name, sq_error *error)
{
    if (list->count == *room) {
        int larger = *room ? 2 * *room : 256;
        char **items = sq__realloc(list->items, (size_t)larger * sizeof *items);
        if (!items) return sq__no_memory(error);
        list->items = items;
        *room = larger;
    }
    char *joined = sq__path_join(folder, name);
    if (!joined) return sq__no_memory(error);
    list->items[list->count++] = joined;
    return SQ_OK;
}

/* Entries of path that are folders (or files), sorted by name; hidden ones are not looked at. prefix stands before each name. */
static sq_status list_folder(const char *path, const char *prefix, bool want_folders, sq_text_list *list, int *room, sq_error *error)
{
    struct dirent **entries;
    sq_status status = SQ_OK;
    int count = scandir(path, &entries, NULL, alphasort);
    if (count < 0) return sq__fail(error, SQ_IO, "%s: cannot list the folder", path);
    for (int i = 0; i < count; i++) {
        struct stat about;
        bool hidden = entries[i]->d_name[0] == '.';
        char *whole = status == SQ_OK && !hidden ? sq__path_join(path, entries[i]->d_name) : NULL;
        if (status == SQ_OK && !hidden && !whole) status = sq__no_memory(error);
        if (whole && stat(whole, &about) == 0 && (want_folders ? S_ISDIR(about.st_mode) : S_ISREG(about.st_mode)))
            status = add_name(list, room, prefix, entries[i]->d_name, error);
        sq__free(whole);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static sq_status list_documents(folders *state, const char *root, const sq_text_list *classes, sq_error *error)
{
    int room = 0;
    for (int i = 0; i < classes->count; i++) {
        char *path = sq__path_join(root, classes->items[i]);
        if (!path) return sq__no_memory(error);
        sq_status status = list_folder(path, classes->items[i], false, &state->names, &room, error);
        sq__free(path);
        SQ_TRY(status);
    }
    if (state->names.count) return SQ_OK;
    return sq__fail(error, SQ_NOT_FOUND, "%s: no documents; expected a folder of texts for each class", root);
}

static sq_status open_folders(sq_table *table, const sq_data_config *config, sq_error *error)
{
    sq_text_list classes = { 0, NULL };
    int room = 0;
    char near[64];
    (void)config;
    folders *state = table->state = sq__alloc_zero(sizeof *state);
    if (!state) return sq__no_memory(error);
    for (int i = 0; i < table->count; i++) {
        int known = 0;
        while (known < COLUMNS && strcmp(table->columns[i].name, column_names[known]) != 0) known++;
        if (known == COLUMNS)
            return sq__fail(error, SQ_NOT_FOUND, "%s: a folder of texts has the columns id, text and label, not '%s'%s", table->path, table->columns[i].name,
                            sq__did_you_mean(table->columns[i].name, column_names, COLUMNS, near, sizeof near));
    }
    sq_status status = list_folder(table->path, "", true, &classes, &room, error);
    if (status == SQ_OK) status = list_documents(state, table->path, &classes, error);
    sq__text_list_clear(&classes);
    return status;
}

/* The whole document, decompressed. A damaged one is a broken row like any other. */
static sq_status read_document(sq_table *table, folders *state, sq_error *error)
{
    sq_stream *stream;
    sq_error inner = { .status = SQ_OK };
    const char *block;
    size_t size;
    sq_status status = sq__stream_open(&stream, state->path, NULL, &inner);
    for (state->size = 0; status == SQ_OK;) {
        status = sq__stream_next(stream, &block, &size, &inner);
        if (status != SQ_OK || size == 0) break;
        if (state->size + size > MOST_BYTES) status = sq__fail(&inner, SQ_FORMAT, "larger than 16 MiB");
        if (status == SQ_OK && state->size + size > state->room) {
            char *larger = sq__realloc(state->text, 2 * (state->size + size));
            if (!larger) {
                status = SQ_NO_MEMORY;
                break;
            }
            state->text = larger;
            state->room = 2 * (state->size + size);
        }
        if (status == SQ_OK) memcpy(state->text + state->size, block, size);
        if (status == SQ_OK) state->size += size;
    }
    sq__stream_close(&stream);
    if (status == SQ_NO_MEMORY) return sq__no_memory(error);
    if (status == SQ_OK) return SQ_OK;
    snprintf(table->why, sizeof table->why, "%.500s", inner.message);
    table->row.broken = table->why;
    return SQ_OK;
}

static sq_status next_folders(sq_table *table, bool *got, sq_error *error)
{
    folders *state = table->state;
    *got = state->at < state->names.count;
    if (!*got) return SQ_OK;
    const char *name = state->names.items[state->at++];
    sq__free(state->path);
    table->row.file = table->path;
    state->path = sq__path_join(table->path, name);
    if (!state->path) return sq__no_memory(error);
    table->row.file = state->path;
    table->row.line = table->row.column = 1;
    SQ_TRY(read_document(table, state, error));
    if (table->row.broken) return SQ_OK;
    size_t bad = sq__utf8_bad(state->text, state->size);
    if (bad < state->size) {
        for (size_t i = 0; i < bad; i++) {
            table->row.column = state->text[i] == '\n' ? 1 : table->row.column + ((state->text[i] & 0xC0) != 0x80);
            table->row.line += state->text[i] == '\n';
        }
        table->row.broken = "not UTF-8 text";
        return SQ_OK;
    }
    for (int i = 0; i < table->count; i++) {
        const char *column = table->columns[i].name;
        if (strcmp(column, column_names[TEXT]) == 0) table->cells[i] = (sq_csv_cell){ state->text, state->size };
        else table->cells[i] = (sq_csv_cell){ name, strcmp(column, column_names[ID]) == 0 ? strlen(name) : strcspn(name, "/") };
    }
    return SQ_OK;
}

static void place_folders(const sq_table *table, int bound, int64_t *line, int64_t *column)
{
    (void)table;
    (void)bound;
    *line = *column = 1;
}

static double progress_folders(const sq_table *table)
{
    const folders *state = table->state;
    return state->names.count ? (double)state->at / state->names.count : 1.0;
}

static void close_folders(sq_table *table)
{
    folders *state = table->state;
    if (!state) return;
    sq__text_list_clear(&state->names);
    sq__free(state->path);
    sq__free(state->text);
    sq__free(state);
}

const sq_table_kind sq__table_folders = { open_folders, next_folders, place_folders, progress_folders, close_folders };
