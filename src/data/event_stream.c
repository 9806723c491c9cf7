#include "data/event_stream.h"

#include <string.h>

#include "base/memory.h"
#include "data/features.h"
#include "data/reading.h"

struct sq_event_stream {
    const sq_data_config *config;
    const sq_schema *schema;
    sq_raw_events raw;                 /* words: those of the schema, in its order; no client is kept */
    sq_reading reading;
    sq_calendar calendar;
    sq_feature *features;              /* [schema->number_count] where each number comes from */
    sq_batch batch;
    int64_t room;                      /* events that fit into what follows */
    char *events;                      /* the client's previous one, then the row's */
    float *values;
    int32_t length;
};

/* ---- opening ---- */

/* The features of the schema by name: those that never changed in training are not in it. */
static sq_status find_features(sq_event_stream *s, sq_error *error)
{
    sq_feature *all = sq__alloc_array((size_t)s->config->numeric_count + SQ_TIME_FEATURE_COUNT, sizeof *all);
    s->features = sq__alloc_array((size_t)s->schema->number_count + 1, sizeof *s->features);
    const int count = all && s->features ? sq__features_list(s->config, s->raw.form, all) : 0;
    sq_status status = all && s->features ? SQ_OK : sq__no_memory(error);
    for (int i = 0; status == SQ_OK && i < s->schema->number_count; i++) {
        int found = -1;
        for (int j = 0; j < count && found < 0; j++)
            if (strncmp(s->schema->numbers[i].name, sq__feature_name(s->config, &all[j]), SQ_NAME_SIZE - 1) == 0) found = j;
        if (found < 0) status = sq__fail(error, SQ_INVALID, "the model reads '%s', which the configuration does not give", s->schema->numbers[i].name);
        else s->features[i] = all[found];
        if (status == SQ_OK && s->features[i].column < 0 && s->features[i].time == SQ_TIME_AGE)
            status = sq__fail(error, SQ_UNSUPPORTED, "the model reads time.age, the time until a client's last event, which a stream does not know; "
                              "train with data.time.age=false");
    }
    sq__free(all);
    return status;
}

static sq_status learn_words(sq_event_stream *s, sq_error *error)
{
    for (int i = 0; i < s->schema->category_count; i++)
        for (int64_t w = 0; w < s->schema->categories[i].count; w++) {
            int32_t number;
            if (!sq__intern_add(s->raw.words[i], s->schema->categories[i].words[w], strlen(s->schema->categories[i].words[w]), &number)) return sq__no_memory(error);
        }
    return SQ_OK;
}

static sq_status check(const sq_event_stream *s, sq_error *error)
{
    bool same = s->schema->category_count == s->config->categorical_count;
    if (s->config->kind != SQ_DATA_EVENTS) return sq__fail(error, SQ_UNSUPPORTED, "a stream is of events; texts are predicted as a table");
    for (int i = 0; same && i < s->schema->category_count; i++) same = strcmp(s->schema->categories[i].name, s->config->categorical[i].column) == 0;
    return same ? SQ_OK : sq__fail(error, SQ_INVALID, "the categorical columns of the model and of the configuration differ: is the model of another task?");
}

static sq_status open_parts(sq_event_stream *s, const char *path, sq_stop_flag *stop, sq_error *error)
{
    const sq_dataset_options options = { .schema = s->schema };
    SQ_TRY(check(s, error));
    SQ_TRY(sq__raw_events_create(&s->raw, s->config, &options, error));
    SQ_TRY(find_features(s, error));
    SQ_TRY(learn_words(s, error));
    sq__calendar_fill(&s->calendar, s->raw.form);
    s->reading = (sq_reading){ .config = s->config, .raw = &s->raw, .closed = true };
    SQ_TRY(sq__reading_set_up(&s->reading, error));
    s->batch = (sq_batch){ .B = 1, .category_count = s->schema->category_count, .number_count = s->schema->number_count, .lengths = &s->length };
    s->batch.categories = sq__alloc_array((size_t)s->schema->category_count + 1, sizeof *s->batch.categories);
    if (!s->batch.categories) return sq__no_memory(error);
    return sq__table_open(&s->reading.table, s->config, path, false, s->reading.columns, s->reading.column_count, stop, error);
}

sq_status sq__event_stream_open(sq_event_stream **stream, const sq_data_config *config, const sq_schema *schema, const char *path, sq_stop_flag *stop,
                                sq_error *error)
{
    sq_event_stream *made = *stream = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    made->config = config;
    made->schema = schema;
    sq_status status = open_parts(made, path, stop, error);
    if (status != SQ_OK) sq__event_stream_close(stream);
    return status;
}

void sq__event_stream_close(sq_event_stream **stream)
{
    sq_event_stream *old = *stream;
    if (!old) return;
    sq__reading_clear(&old->reading);
    sq__raw_events_clear(&old->raw, old->config->categorical_count);
    for (int i = 0; old->batch.categories && i < old->batch.category_count; i++) sq__free(old->batch.categories[i]);
    sq__free(old->batch.categories);
    sq__free(old->batch.numbers);
    sq__free(old->features);
    sq__free(old->events);
    sq__free(old->values);
    sq__free(old);
    *stream = NULL;
}

/* ---- rows ---- */

static sq_status reserve(sq_event_stream *s, int64_t events, sq_error *error)
{
    if (events <= s->room) return SQ_OK;
    const int64_t room = 2 * events;
    char *blocks = sq__realloc(s->events, (size_t)(room + 1) * s->raw.store.layout.bytes);
    if (blocks) s->events = blocks;
    float *values = sq__realloc(s->values, (size_t)(room + 1) * sizeof *values);
    if (values) s->values = values;
    float *numbers = sq__realloc(s->batch.numbers, (size_t)(room * s->batch.number_count + 1) * sizeof *numbers);
    if (numbers) s->batch.numbers = numbers;
    bool all = blocks && values && numbers;
    for (int i = 0; all && i < s->batch.category_count; i++) {
        int32_t *ids = sq__realloc(s->batch.categories[i], (size_t)room * sizeof *ids);
        if (ids) s->batch.categories[i] = ids;
        all = ids;
    }
    if (!all) return sq__no_memory(error);
    s->room = room;
    return SQ_OK;
}

sq_status sq__event_stream_next(sq_event_stream *s, const char **id, size_t *size, sq_error *error)
{
    sq_reading *r = &s->reading;
    *id = NULL;
    for (;;) {
        bool good;
        SQ_TRY(sq__table_next(r->table, &r->row, error));
        if (!r->row) return SQ_OK;
        s->raw.broken.rows = ++r->rows;
        SQ_TRY(sq__reading_row(r, &good, error));
        if (!good) {
            SQ_TRY(sq__broken_check(&s->raw.broken, s->config, error));
            continue;
        }
        *id = r->row->cells[0].text;
        *size = r->row->cells[0].size;
        return reserve(s, r->pending_count, error);
    }
}

/* All events of a row have its time. */
static bool in_order(sq_event_stream *s, char *previous)
{
    sq_reading *r = &s->reading;
    if (r->time < 0 || *sq__event_time(r->pending) >= *sq__event_time(previous)) return true;
    sq__reading_broken(r, r->time, s->config->time.column, &r->row->cells[r->time], "a time not before the client's previous event");
    return false;
}

sq_status sq__event_stream_batch(sq_event_stream *s, char *previous, bool known, const sq_batch **batch, sq_error *error)
{
    const sq_event_layout *layout = &s->raw.store.layout;
    const int64_t T = s->reading.pending_count;
    const int before = known;
    *batch = NULL;
    if (known && !in_order(s, previous)) return sq__broken_check(&s->raw.broken, s->config, error);
    memcpy(s->events, previous, layout->bytes);
    memcpy(s->events + (size_t)before * layout->bytes, s->reading.pending, (size_t)T * layout->bytes);
    for (int i = 0; i < s->batch.category_count; i++)
        for (int64_t t = 0; t < T; t++)
            s->batch.categories[i][t] = sq__event_categories(s->events + (size_t)(before + t) * layout->bytes)[i] + 1;
    for (int i = 0; i < s->batch.number_count; i++) {
        sq__feature_values(&s->features[i], &s->calendar, layout, s->events, before + T, s->values);
        sq__number_transform(&s->schema->numbers[i], s->values, before + T);
        for (int64_t t = 0; t < T; t++) s->batch.numbers[t * s->batch.number_count + i] = s->values[before + t];
    }
    memcpy(previous, s->events + (size_t)(before + T - 1) * layout->bytes, layout->bytes);
    s->length = (int32_t)T;
    s->batch.T = s->batch.tokens = T;
    *batch = &s->batch;
    return SQ_OK;
}

int64_t sq__event_stream_broken(const sq_event_stream *s) { return s->raw.broken.broken; }
