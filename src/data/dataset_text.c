/* A data set of texts read as bytes: one row (or file) is one example. */
#include <string.h>

#include "base/memory.h"
#include "data/dataset_build.h"
#include "data/fit.h"
#include "data/table.h"

enum { TICK = 1 << 10, LONGEST_ID = 1023 };

typedef struct document { int64_t start, length; size_t id; int32_t label; int8_t part, split; } document;

typedef struct reading {
    sq_dataset *dataset;
    const sq_data_config *config;
    const sq_dataset_options *options;
    const sq_schema *given;
    sq_labels labels;
    sq_broken_rows broken;
    sq_classes classes;
    bool *joined;                      /* [labels.ids] a document came for this label */
    int64_t byte_room, rows, count, room, max_length;
    bool asks_next, pieces;            /* the next byte of every byte; cut into pieces */
    document *documents;
    char *ids;                         /* texts of ids, zero after each */
    size_t id_used, id_room;
    sq_table *table;
    const sq_table_row *row;
    int id, text, target, part;        /* id, text, target: places among the bound columns, -1: none */
} reading;

static bool make_room(void **memory, int64_t *room, int64_t needed, size_t size)
{
    if (needed <= *room) return true;
    int64_t larger = *room + *room / 2 + 4096 > needed ? *room + *room / 2 + 4096 : needed;
    void *fresh = sq__realloc(*memory, (size_t)larger * size);
    if (!fresh) return false;
    *memory = fresh;
    *room = larger;
    return true;
}

static void broken_at(reading *r, int bound, const char *what)
{
    int64_t line, column;
    sq__table_place(r->table, bound, &line, &column);
    sq__broken_add(&r->broken, r->row->file, line, column, "%s", what);
}

/* The class of the row: from the label table or from its own cell; -1 when there is none. */
static sq_status find_label(reading *r, const char *id, size_t id_size, int32_t *label, sq_error *error)
{
    *label = -1;
    if (r->labels.ids) {
        int32_t place = sq__intern_find(r->labels.ids, id, id_size);
        if (place >= 0) {
            *label = r->labels.label[place];
            r->joined[place] = true;
        }
        return SQ_OK;
    }
    const sq_csv_cell *cell = r->target >= 0 ? &r->row->cells[r->target] : NULL;
    if (!cell || !cell->text || sq__cell_missing(r->config, cell->text, cell->size)) return SQ_OK;
    if (!sq__label_valid(r->config, cell)) {
        broken_at(r, r->target, "the text's number is not a number");
        return SQ_OK;
    }
    return sq__intern_add(r->labels.texts, cell->text, cell->size, label) ? SQ_OK : sq__no_memory(error);
}

static sq_status keep_document(reading *r, const char *id, size_t id_size, int32_t label, sq_error *error)
{
    const sq_csv_cell *text = &r->row->cells[r->text];
    sq_dataset *d = r->dataset;
    int64_t length = (int64_t)text->size < r->max_length || r->pieces ? (int64_t)text->size : r->max_length, id_room = (int64_t)r->id_room;
    const char *from = r->config->keep == SQ_KEEP_LATEST ? text->text + text->size - (size_t)length : text->text;
    void *bytes = d->bytes, *documents = r->documents, *ids = r->ids;
    bool good = make_room(&bytes, &r->byte_room, d->events + length, 1);
    d->bytes = bytes;
    good = good && make_room(&documents, &r->room, r->count + 1, sizeof(document));
    r->documents = documents;
    good = good && make_room(&ids, &id_room, (int64_t)(r->id_used + id_size + 1), 1);
    r->ids = ids;
    r->id_room = (size_t)id_room;
    if (!good) return sq__no_memory(error);
    memcpy(d->bytes + d->events, from, (size_t)length);
    r->documents[r->count++] = (document){ d->events, length, r->id_used, label, (int8_t)r->part, SQ_SPLIT_TEST };
    d->events += length;
    memcpy(r->ids + r->id_used, id, id_size);
    r->ids[r->id_used + id_size] = '\0';
    r->id_used += id_size + 1;
    return SQ_OK;
}

static sq_status read_row(reading *r, sq_error *error)
{
    char number[32];
    if (r->row->broken) {
        sq__broken_add(&r->broken, r->row->file, r->row->line, r->row->column, "%s", r->row->broken);
        return SQ_OK;
    }
    snprintf(number, sizeof number, "%lld", (long long)r->rows);
    sq_csv_cell id = r->id >= 0 ? r->row->cells[r->id] : (sq_csv_cell){ number, strlen(number) };
    int32_t label;
    if (id.size == 0 || id.size > LONGEST_ID) {
        broken_at(r, r->id, id.size ? "the id is longer than 1023 bytes" : "the id is empty");
        return SQ_OK;
    }
    if (r->row->cells[r->text].size == 0) {
        broken_at(r, r->text, "the text is empty");
        return SQ_OK;
    }
    if (r->config->limit && r->count >= r->config->limit) return SQ_OK;
    SQ_TRY(find_label(r, id.text, id.size, &label, error));
    if (label >= 0 || r->given || r->asks_next) return keep_document(r, id.text, id.size, label, error);
    r->dataset->clients_without_label++;
    return SQ_OK;
}

static sq_status tick(const reading *r, double files_done, double file_share, sq_error *error)
{
    return sq__dataset_tick(r->options, files_done + file_share * sq__table_progress(r->table), r->rows, error);
}

/* A folder of texts has columns of its own: id, text, label. */
static sq_status bind(reading *r, const char *path, sq_table_column columns[3], int *count, sq_error *error)
{
    const sq_data_config *config = r->config;
    bool folders = sq__table_format(config, path, false) == SQ_FORMAT_FOLDERS, same = !r->labels.ids && !r->asks_next;
    if (!folders && (!config->text.column[0] || (!config->target.column[0] && !r->asks_next)))
        return sq__fail(error, SQ_INVALID, "data: '%s' is missing, which %s needs", config->text.column[0] ? "target.column" : "text.column", path);
    *count = 0;
    r->id = r->target = -1;
    r->text = (*count)++;
    columns[r->text] = (sq_table_column){ folders ? "text" : config->text.column, false };
    if (folders || config->id[0]) {
        r->id = (*count)++;
        columns[r->id] = (sq_table_column){ folders ? "id" : config->id, false };
    }
    if (same) {
        r->target = (*count)++;
        columns[r->target] = (sq_table_column){ folders ? "label" : config->target.column, r->given != NULL };
    }
    return SQ_OK;
}

static sq_status read_file(reading *r, const char *path, double files_done, double file_share, sq_error *error)
{
    sq_table_column columns[3];
    int count = 0;
    SQ_TRY(bind(r, path, columns, &count, error));
    SQ_TRY(sq__table_open(&r->table, r->config, path, false, columns, count, r->options ? r->options->stop : NULL, error));
    sq_status status = SQ_OK;
    while (status == SQ_OK) {
        if (r->rows % TICK == 0) status = tick(r, files_done, file_share, error);
        if (status != SQ_OK || (status = sq__table_next(r->table, &r->row, error)) != SQ_OK || !r->row) break;
        r->rows++;
        status = read_row(r, error);
    }
    if (status == SQ_OK) status = tick(r, files_done, file_share, error);
    sq__table_close(&r->table);
    return status;
}

static sq_status read_files(reading *r, sq_error *error)
{
    sq_input_files files;
    bool table = r->config->target.file.count > 0 && !r->given;
    SQ_TRY(sq__labels_create(&r->labels, r->config, table, &r->broken, r->options ? r->options->stop : NULL, error));
    r->joined = sq__alloc_array(table ? (size_t)sq__intern_count(r->labels.ids) : 1, sizeof *r->joined);
    if (!r->joined) return sq__no_memory(error);
    SQ_TRY(sq__input_files(&files, r->config, r->options, error));
    sq_status status = SQ_OK;
    for (int i = 0; status == SQ_OK && i < files.list.count; i++) {
        r->part = files.part[i];
        status = read_file(r, files.list.items[i], (double)i / files.list.count, 1.0 / files.list.count, error);
    }
    sq__input_files_clear(&files);
    SQ_TRY(status);
    r->broken.rows += r->rows;
    for (int32_t i = 0; table && !r->config->limit && i < sq__intern_count(r->labels.ids); i++) r->dataset->labels_without_client += !r->joined[i];
    return sq__broken_check(&r->broken, r->config, error);
}

static sq_status find_classes(reading *r, sq_error *error)
{
    const char *target = r->config->target.column[0] ? r->config->target.column : "label";
    const sq_classes_wanted wanted = { target, "texts", r->count, SQ_MAX_CLASSES };
    if (r->asks_next || r->config->target.kind == SQ_TARGET_NUMBER) return SQ_OK;
    if (r->given) return sq__classes_match(r->labels.texts, r->given->classes, r->given->class_count, &r->classes.class_of, error);
    bool *used = sq__alloc_array((size_t)sq__intern_count(r->labels.texts), sizeof *used);
    if (!used) return sq__no_memory(error);
    for (int64_t i = 0; i < r->count; i++) used[r->documents[i].label] = true;
    sq_status status = sq__classes_used(&r->classes, r->labels.texts, used, &wanted, error);
    sq__free(used);
    return status;
}

static sq_status split_documents(reading *r, sq_error *error)
{
    sq_member *members = sq__alloc_array((size_t)r->count, sizeof *members);
    if (!members) return sq__no_memory(error);
    for (int64_t i = 0; i < r->count; i++) {
        const document *doc = &r->documents[i];
        members[i] = (sq_member){ r->ids + doc->id, r->classes.class_of ? r->classes.class_of[doc->label] : 0, doc->part, 0.0, i, SQ_SPLIT_TRAIN, 0 };
    }
    sq_status status = sq__split_assign(members, r->count, r->classes.count, r->config, error);
    for (int64_t i = 0; status == SQ_OK && i < r->count; i++) r->documents[i].split = (int8_t)members[i].split;
    sq__free(members);
    return status;
}

static sq_status make_schema(reading *r, sq_error *error)
{
    sq_schema *schema = r->dataset->schema = r->given ? sq__schema_copy(r->given) : sq__schema_create(1, 0);
    if (!schema) return sq__no_memory(error);
    if (r->given) return SQ_OK;
    sq_category *bytes = &schema->categories[0];
    schema->text = true;
    schema->max_length = r->config->max_length;
    strcpy(bytes->name, "byte");
    bytes->words = sq__alloc_array(256, sizeof *bytes->words);
    for (; bytes->words && bytes->count < 256; bytes->count++) {
        char name[4];
        snprintf(name, sizeof name, "%d", (int)(bytes->count & 255));
        if (!(bytes->words[bytes->count] = sq__strdup(name))) break;
    }
    if (bytes->count < 256) return sq__no_memory(error);
    schema->classes = r->classes.names;   /* handed over */
    schema->class_count = r->classes.count;
    r->classes.names = NULL;
    r->classes.count = 0;
    SQ_TRY(sq__schema_target(schema, r->config, error));
    return r->asks_next ? sq__schema_next_classes(schema, 0, error) : SQ_OK;
}

/* [from, end) of a document, or all that is left of it. */
static void add_example(reading *r, int64_t *example, const document *doc, int64_t from, int64_t length, int8_t *split_of)
{
    sq_dataset *d = r->dataset;
    const int32_t label = doc->label;
    d->start[*example] = doc->start + from;
    d->length[*example] = (int32_t)length;
    d->before[*example] = from;
    d->label[*example] = label >= 0 && r->classes.class_of ? r->classes.class_of[label] : -1;
    if (d->number) d->number[*example] = sq__label_number(r->labels.texts, label);
    d->id[*example] = d->id_texts + doc->id;
    split_of[(*example)++] = doc->split;
}

static sq_status fill(reading *r, sq_error *error)
{
    sq_dataset *d = r->dataset;
    int64_t examples = 0, example = 0;
    for (int64_t i = 0; i < r->count; i++) examples += (r->documents[i].length + r->max_length - 1) / r->max_length;   /* one each unless in pieces */
    int8_t *split_of = sq__alloc_array((size_t)examples, sizeof *split_of);
    if (!split_of) return sq__no_memory(error);
    sq_status status = sq__dataset_allocate(d, examples, r->id_used, error);
    if (status == SQ_OK) status = sq__event_targets_allocate(d, error);
    if (status == SQ_OK) memcpy(d->id_texts, r->ids, r->id_used);
    for (int64_t i = 0; status == SQ_OK && i < r->count; i++) {
        const document *doc = &r->documents[i];
        for (int64_t from = 0; from < doc->length; from += r->max_length)
            add_example(r, &example, doc, from, doc->length - from < r->max_length ? doc->length - from : r->max_length, split_of);
        if (r->asks_next) sq__event_targets_next(d, 0, doc->start, doc->length);
    }
    if (status == SQ_OK) status = sq__dataset_set_splits(d, r->given ? NULL : split_of, error);
    sq__free(split_of);
    return status;
}

static sq_status build(reading *r, sq_error *error)
{
    SQ_TRY(read_files(r, error));
    if (r->count == 0)
        return sq__fail(error, SQ_INVALID, "no text is left: %lld rows, %lld broken, %lld without a label, %lld labels without a text", (long long)r->rows,
                        (long long)r->broken.broken, (long long)r->dataset->clients_without_label, (long long)r->dataset->labels_without_client);
    SQ_TRY(find_classes(r, error));
    if (!r->given) SQ_TRY(split_documents(r, error));
    SQ_TRY(make_schema(r, error));
    SQ_TRY(fill(r, error));
    return r->given ? SQ_OK : sq__schema_target_scale(r->dataset->schema, r->dataset, error);
}

sq_status sq__dataset_text(sq_dataset *dataset, const sq_data_config *config, const sq_dataset_options *options, sq_error *error)
{
    reading r = { .dataset = dataset, .config = config, .options = options, .given = options ? options->schema : NULL };
    r.asks_next = config->target.next;
    r.pieces = sq__data_in_pieces(config);
    r.max_length = r.given ? r.given->max_length : config->max_length;
    sq_status status = build(&r, error);
    dataset->rows_read = r.rows;
    dataset->rows_broken = r.broken.broken;
    dataset->clients = r.count;
    snprintf(dataset->warning, sizeof dataset->warning, "%s", r.broken.first);
    sq__labels_clear(&r.labels);
    sq__classes_clear(&r.classes);
    sq__free(r.joined);
    sq__free(r.documents);
    sq__free(r.ids);
    return status;
}
