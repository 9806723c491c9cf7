#define _GNU_SOURCE   /* memmem */
#include "data/read_events.h"

#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "data/dataset_build.h"
#include "data/reading.h"

enum { TICK = 1 << 14, SHOWN = 60 };

/* ---- setting up ---- */

static sq_source bind_input(sq_reading *r, const char *name, bool optional)
{
    const sq_text_list *into = &r->config->explode.into;
    if (r->config->explode.column[0])
        for (int i = 0; i < into->count; i++)
            if (strcmp(into->items[i], name) == 0) return (sq_source){ -1, i };
    r->columns[r->column_count] = (sq_table_column){ name, optional };
    return (sq_source){ r->column_count++, -1 };
}

static int bind_column(sq_reading *r, const char *name, bool optional)
{
    r->columns[r->column_count] = (sq_table_column){ name, optional };
    return r->column_count++;
}

sq_status sq__reading_set_up(sq_reading *r, sq_error *error)
{
    const sq_data_config *config = r->config;
    const sq_data_target *target = &config->target;
    bool each = sq__target_per_event(target->kind) && !target->next;
    bool same_table = !each && !target->next && (target->file.count == 0 || r->raw->labels_optional);
    r->target_count = !each ? 0 : target->kind == SQ_TARGET_EVENT_BITS ? target->columns.count : 1;
    r->columns = sq__alloc_array((size_t)(config->categorical_count + config->numeric_count + r->target_count) + 4, sizeof *r->columns);
    r->targets = sq__alloc_array((size_t)r->target_count, sizeof *r->targets);
    r->categories = sq__alloc_array((size_t)config->categorical_count, sizeof *r->categories);
    r->numbers = sq__alloc_array((size_t)config->numeric_count, sizeof *r->numbers);
    r->parts = sq__alloc_array((size_t)config->explode.into.count, sizeof *r->parts);
    if (!r->columns || !r->categories || !r->numbers || !r->targets || !r->parts) return sq__no_memory(error);
    bind_column(r, config->id, false);
    r->time = config->time.column[0] ? bind_column(r, config->time.column, false) : -1;
    for (int i = 0; i < config->categorical_count; i++) r->categories[i] = bind_input(r, config->categorical[i].column, false);
    for (int i = 0; i < config->numeric_count; i++) r->numbers[i] = bind_input(r, config->numeric[i].column, false);
    for (int i = 0; i < r->target_count; i++)
        r->targets[i] = bind_input(r, target->columns.count ? target->columns.items[i] : target->column, r->raw->labels_optional);
    r->list = config->explode.column[0] ? bind_column(r, config->explode.column, false) : -1;
    r->target = same_table ? bind_column(r, config->target.column, r->raw->labels_optional) : -1;
    r->last_client = -1;
    return SQ_OK;
}

sq_status sq__raw_events_create(sq_raw_events *raw, const sq_data_config *config, const sq_dataset_options *options, sq_error *error)
{
    bool predict = options && options->schema, latest = config->keep != SQ_KEEP_FIRST;
    int64_t most = predict ? options->schema->max_length : config->max_length;
    sq_event_layout layout = sq__event_layout(config->categorical_count, config->numeric_count, sq__target_words(&config->target));
    *raw = (sq_raw_events){ .labels_optional = predict };
    sq__time_form(config->time.format, &raw->form);
    raw->words = sq__alloc_array((size_t)config->categorical_count, sizeof *raw->words);
    if (!raw->words) return sq__no_memory(error);
    for (int i = 0; i < config->categorical_count; i++)
        if (!(raw->words[i] = sq__intern_create())) return sq__no_memory(error);
    bool whole = sq__data_in_pieces(config) || (config->target.next && config->target.kind == SQ_TARGET_CLASS && !predict);
    SQ_TRY(sq__store_create(&raw->store, &layout, whole ? 0 : most, latest, error));
    return sq__labels_create(&raw->labels, config, config->target.file.count > 0 && !predict, &raw->broken, options ? options->stop : NULL, error);
}

void sq__raw_events_clear(sq_raw_events *raw, int category_count)
{
    for (int i = 0; raw->words && i < category_count; i++) sq__intern_destroy(&raw->words[i]);
    sq__free(raw->words);
    sq__store_clear(&raw->store);
    sq__labels_clear(&raw->labels);
    raw->words = NULL;
}

/* ---- a row ---- */

/* A row is broken at a bound cell. */
void sq__reading_broken(sq_reading *r, int bound, const char *what, const sq_csv_cell *cell, const char *expected)
{
    int64_t line, column;
    sq__table_place(r->table, bound, &line, &column);
    if (!cell) sq__broken_add(&r->raw->broken, r->row->file, line, column, "%s", what);
    else sq__broken_add(&r->raw->broken, r->row->file, line, column, "%s is '%.*s'; expected %s", what, (int)(cell->size < SHOWN ? cell->size : SHOWN), cell->text, expected);
}

const sq_csv_cell *sq__reading_cell(const sq_reading *r, sq_source from)
{
    return from.bound >= 0 ? &r->row->cells[from.bound] : &r->parts[from.part];
}

/* One event from the row and its parts, appended to pending. *good false: the row is broken, and that is noted. */
static sq_status add_pending(sq_reading *r, double time, bool *good, sq_error *error)
{
    const sq_data_config *config = r->config;
    const sq_event_layout *layout = &r->raw->store.layout;
    *good = false;
    if (r->pending_count == r->pending_room) {
        int64_t room = r->pending_room ? 2 * r->pending_room : 8;
        char *larger = sq__realloc(r->pending, (size_t)room * layout->bytes);
        if (!larger) return sq__no_memory(error);
        r->pending = larger;
        r->pending_room = room;
    }
    char *event = r->pending + (size_t)r->pending_count * layout->bytes;
    memset(event, 0, layout->bytes);
    *sq__event_time(event) = time;
    for (int i = 0; i < config->categorical_count; i++) {
        const sq_csv_cell *cell = sq__reading_cell(r, r->categories[i]);
        int32_t *word = &sq__event_categories(event)[i];
        *word = -1;
        if (sq__cell_missing(config, cell->text, cell->size)) continue;
        if (r->closed) *word = sq__intern_find(r->raw->words[i], cell->text, cell->size);
        else if (!sq__intern_add(r->raw->words[i], cell->text, cell->size, word)) return sq__no_memory(error);
    }
    for (int i = 0; i < config->numeric_count; i++) {
        const sq_csv_cell *cell = sq__reading_cell(r, r->numbers[i]);
        double value = NAN;
        if (sq__cell_missing(config, cell->text, cell->size)) {
            r->raw->empty_numbers++;
        } else if (!sq__scan_number(cell->text, cell->size, &value) || fabs(value) > 3e38) {
            sq__reading_broken(r, r->numbers[i].bound >= 0 ? r->numbers[i].bound : r->list, config->numeric[i].column, cell, "a number");
            return SQ_OK;
        }
        sq__event_numbers(layout, event)[i] = (float)value;
    }
    SQ_TRY(sq__read_targets(r, event, good, error));
    r->pending_count += *good;
    return SQ_OK;
}

static const char *find_text(const char *at, const char *end, const char *wanted)
{
    const char *found = wanted[0] ? memmem(at, (size_t)(end - at), wanted, strlen(wanted)) : NULL;
    return found ? found : end;
}

/* The parts of one event of a list; a separator after the last part is allowed. */
static int split_parts(sq_reading *r, const char *at, const char *end)
{
    const sq_data_explode *explode = &r->config->explode;
    size_t length = strlen(explode->field_separator);
    for (int count = 0;; count++) {
        const char *stop = find_text(at, end, explode->field_separator);
        if (at == end && count > 0) return count;
        if (count < explode->into.count) r->parts[count] = (sq_csv_cell){ at, (size_t)(stop - at) };
        if (stop == end) return count + 1;
        at = stop + length;
    }
}

static sq_status explode_row(sq_reading *r, double time, bool *good, sq_error *error)
{
    const sq_data_explode *explode = &r->config->explode;
    const sq_csv_cell *list = &r->row->cells[r->list];
    const char *at = list->text, *end = list->text + list->size;
    while (at < end) {
        const char *stop = find_text(at, end, explode->separator);
        sq_csv_cell item = { at, (size_t)(stop - at) };
        char expected[64];
        if (item.size > 0) {
            if (split_parts(r, at, stop) != explode->into.count) {
                snprintf(expected, sizeof expected, "%d parts", explode->into.count);
                sq__reading_broken(r, r->list, "an event of the list", &item, expected);
                return SQ_OK;
            }
            SQ_TRY(add_pending(r, time, good, error));
            if (!*good) return SQ_OK;
        }
        at = stop == end ? end : stop + strlen(explode->separator);
    }
    *good = r->pending_count > 0;
    if (!*good) sq__reading_broken(r, r->list, "the list of events is empty", NULL, NULL);
    return SQ_OK;
}

sq_status sq__reading_row(sq_reading *r, bool *good, sq_error *error)
{
    double time = 0.0;
    *good = false;
    r->pending_count = 0;
    if (r->row->broken) {
        sq__broken_add(&r->raw->broken, r->row->file, r->row->line, r->row->column, "%s", r->row->broken);
        return SQ_OK;
    }
    size_t id_size = r->row->cells[0].size;
    if (id_size == 0 || id_size > SQ_LONGEST_ID) {
        sq__reading_broken(r, 0, id_size ? "the client's id is longer than 1023 bytes" : "the client's id is empty", NULL, NULL);
        return SQ_OK;
    }
    if (r->time >= 0) {
        const sq_csv_cell *cell = &r->row->cells[r->time];
        if (!sq__scan_time(r->raw->form, r->config->time.format, cell->text, cell->size, &time)) {
            char expected[SQ_TEXT_FIELD_SIZE + 16];
            snprintf(expected, sizeof expected, "a time as %s", r->config->time.format);
            sq__reading_broken(r, r->time, r->config->time.column, cell, expected);
            return SQ_OK;
        }
    }
    return r->list >= 0 ? explode_row(r, time, good, error) : add_pending(r, time, good, error);
}

/* ---- clients ---- */

/* The client of the row; NULL with status SQ_OK: beyond data.limit. Neighbouring rows are often of one client. */
static sq_status find_client(sq_reading *r, sq_client **client, sq_error *error)
{
    sq_store *store = &r->raw->store;
    const sq_csv_cell *id = &r->row->cells[0];
    *client = NULL;
    if (r->last_client >= 0 && sq__intern_size(store->ids, (int32_t)r->last_client) == id->size + 1 && store->clients[r->last_client].part == r->part &&
        memcmp(sq__store_id(store, r->last_client), id->text, id->size) == 0) {
        *client = &store->clients[r->last_client];
        return SQ_OK;
    }
    bool full = r->config->limit && r->kept >= r->config->limit, fresh;
    if (full && !sq__store_has(store, id->text, id->size, r->part)) return SQ_OK;
    *client = sq__store_client(store, id->text, id->size, r->part, &fresh);
    if (!*client) return sq__no_memory(error);
    r->last_client = *client - store->clients;
    if (!fresh) return SQ_OK;
    if (r->raw->labels.ids) {
        int32_t place = sq__intern_find(r->raw->labels.ids, id->text, id->size);
        (*client)->label = place < 0 ? -1 : r->raw->labels.label[place];
        (*client)->dropped = (*client)->label < 0;
    }
    r->kept += !(*client)->dropped;
    return SQ_OK;
}

/* The class that stands in the row itself. *good false: another than before. */
static sq_status join_label(sq_reading *r, sq_client *client, bool *good, sq_error *error)
{
    const sq_csv_cell *cell = r->target >= 0 ? &r->row->cells[r->target] : NULL;
    int32_t label;
    *good = true;
    if (!cell || !cell->text || sq__cell_missing(r->config, cell->text, cell->size)) return SQ_OK;
    if (!sq__label_valid(r->config, cell)) {
        sq__reading_broken(r, r->target, "the client's number", cell, "a number");
        *good = false;
        return SQ_OK;
    }
    if (!sq__intern_add(r->raw->labels.texts, cell->text, cell->size, &label)) return sq__no_memory(error);
    if (client->label >= 0 && client->label != label) {
        char before[SHOWN + 16];
        snprintf(before, sizeof before, "'%.*s' as before", SHOWN, sq__intern_text(r->raw->labels.texts, client->label));
        sq__reading_broken(r, r->target, "the client's class", cell, before);
        *good = false;
        return SQ_OK;
    }
    client->label = label;
    return SQ_OK;
}

static sq_status keep_row(sq_reading *r, sq_error *error)
{
    sq_client *client;
    bool good;
    SQ_TRY(find_client(r, &client, error));
    if (!client || client->dropped) return SQ_OK;
    SQ_TRY(join_label(r, client, &good, error));
    size_t bytes = r->raw->store.layout.bytes;
    for (int64_t i = 0; good && i < r->pending_count; i++) {
        char *event = sq__store_append(&r->raw->store, client);
        if (!event) return sq__no_memory(error);
        memcpy(event, r->pending + (size_t)i * bytes, bytes);
    }
    return SQ_OK;
}

/* ---- files ---- */

static sq_status tick(const sq_reading *r, double files_done, double file_share, sq_error *error)
{
    return sq__dataset_tick(r->options, files_done + file_share * sq__table_progress(r->table), r->rows, error);
}

static sq_status read_rows(sq_reading *r, double files_done, double file_share, sq_error *error)
{
    for (;;) {
        bool good;
        if (r->rows % TICK == 0) SQ_TRY(tick(r, files_done, file_share, error));
        SQ_TRY(sq__table_next(r->table, &r->row, error));
        if (!r->row) return tick(r, files_done, file_share, error);
        r->rows++;
        SQ_TRY(sq__reading_row(r, &good, error));
        if (good) SQ_TRY(keep_row(r, error));
    }
}

static sq_status read_files(sq_reading *r, const sq_input_files *files, sq_error *error)
{
    SQ_TRY(sq__reading_set_up(r, error));
    for (int i = 0; i < files->list.count; i++) {
        r->part = files->part[i];
        SQ_TRY(sq__table_open(&r->table, r->config, files->list.items[i], false, r->columns, r->column_count, r->options ? r->options->stop : NULL, error));
        sq_status status = read_rows(r, (double)i / files->list.count, 1.0 / files->list.count, error);
        sq__table_close(&r->table);
        SQ_TRY(status);
    }
    r->raw->rows = r->rows;
    r->raw->broken.rows += r->rows;
    SQ_TRY(sq__broken_check(&r->raw->broken, r->config, error));
    return sq__store_sort(&r->raw->store, error);
}

/* With a limit most labels have no client on purpose: they are not counted. */
static void count_unmatched(sq_raw_events *raw, const sq_data_config *config)
{
    for (int64_t i = 0; i < raw->store.count; i++) raw->clients_without_label += raw->store.clients[i].label < 0;
    for (int32_t i = 0; raw->labels.ids && !config->limit && i < sq__intern_count(raw->labels.ids); i++) {
        const char *id = sq__intern_text(raw->labels.ids, i);
        size_t size = sq__intern_size(raw->labels.ids, i);
        bool found = false;
        for (int part = 0; part < SQ_SPLIT_COUNT && !found; part++) found = sq__store_has(&raw->store, id, size, part);
        raw->labels_without_client += !found;
    }
}

void sq__reading_clear(sq_reading *r)
{
    sq__table_close(&r->table);
    sq__free(r->columns);
    sq__free(r->categories);
    sq__free(r->numbers);
    sq__free(r->targets);
    sq__free(r->parts);
    sq__free(r->pending);
}

sq_status sq__read_events(sq_raw_events *raw, const sq_data_config *config, const sq_dataset_options *options, sq_error *error)
{
    sq_reading r = { .config = config, .options = options, .raw = raw };
    sq_input_files files = { { 0, NULL }, NULL };
    sq_status status = sq__raw_events_create(raw, config, options, error);
    if (status == SQ_OK) status = sq__input_files(&files, config, options, error);
    if (status == SQ_OK) status = read_files(&r, &files, error);
    if (status == SQ_OK) count_unmatched(raw, config);
    else sq__raw_events_clear(raw, config->categorical_count);
    sq__input_files_clear(&files);
    sq__reading_clear(&r);
    return status;
}
