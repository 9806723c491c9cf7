#include "data/table_kind.h"

#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "base/memory.h"

static bool ends_with(const char *name, size_t length, const char *suffix)
{
    size_t n = strlen(suffix);
    return length >= n && strncasecmp(name + length - n, suffix, n) == 0;
}

static bool format_by_name(const char *path, sq_data_format *format)
{
    static const char *const packed[] = { ".gz", ".xz", ".zst", ".bz2" };
    static const struct { const char *suffix; sq_data_format format; } known[] = {
        { ".csv", SQ_FORMAT_CSV }, { ".tsv", SQ_FORMAT_TSV }, { ".tab", SQ_FORMAT_TSV },
        { ".jsonl", SQ_FORMAT_JSONL }, { ".ndjson", SQ_FORMAT_JSONL }, { ".json", SQ_FORMAT_JSONL },
    };
    struct stat about;
    if (stat(path, &about) == 0 && S_ISDIR(about.st_mode)) {
        *format = SQ_FORMAT_FOLDERS;
        return true;
    }
    size_t length = strlen(path);
    for (size_t i = 0; i < sizeof packed / sizeof *packed; i++)
        if (ends_with(path, length, packed[i])) {
            length -= strlen(packed[i]);
            break;
        }
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (ends_with(path, length, known[i].suffix)) {
            *format = known[i].format;
            return true;
        }
    return false;
}

sq_data_format sq__table_format(const sq_data_config *config, const char *path, bool labels)
{
    sq_data_format format;
    bool known = format_by_name(path, &format);
    if (config->format != SQ_FORMAT_AUTO && !(labels && known)) return (sq_data_format)config->format;
    return known ? format : SQ_FORMAT_CSV;
}

sq_status sq__table_open(sq_table **table, const sq_data_config *config, const char *path, bool labels, const sq_table_column *columns,
                         int count, sq_stop_flag *stop, sq_error *error)
{
    sq_table *fresh = *table = sq__alloc_zero(sizeof *fresh);
    if (!fresh) return sq__no_memory(error);
    fresh->path = sq__strdup(path);
    fresh->cells = sq__alloc_array((size_t)count, sizeof *fresh->cells);
    if (!fresh->path || !fresh->cells) {
        sq__table_close(table);
        return sq__no_memory(error);
    }
    fresh->columns = columns;
    fresh->count = count;
    fresh->labels = labels;
    fresh->stop = stop;
    fresh->format = sq__table_format(config, path, labels);
    fresh->row.file = fresh->path;
    fresh->row.cells = fresh->cells;
    switch (fresh->format) {
    case SQ_FORMAT_JSONL: fresh->kind = &sq__table_jsonl; break;
    case SQ_FORMAT_FOLDERS: fresh->kind = &sq__table_folders; break;
    default: fresh->kind = &sq__table_delimited; break;
    }
    sq_status status = fresh->kind->open(fresh, config, error);
    if (status != SQ_OK) sq__table_close(table);
    return status;
}

sq_status sq__table_next(sq_table *table, const sq_table_row **row, sq_error *error)
{
    bool got = false;
    *row = NULL;
    table->row.broken = NULL;
    SQ_TRY(table->kind->next(table, &got, error));
    if (got) *row = &table->row;
    return SQ_OK;
}

void sq__table_place(const sq_table *table, int bound, int64_t *line, int64_t *column)
{
    table->kind->place(table, bound, line, column);
}

double sq__table_progress(const sq_table *table)
{
    return table->kind->progress(table);
}

void sq__table_close(sq_table **table)
{
    if (!table || !*table) return;
    if ((*table)->kind) (*table)->kind->close(*table);
    sq__free((*table)->path);
    sq__free((*table)->cells);
    sq__free(*table);
    *table = NULL;
}
