/* A data set from event tables: read, choose clients, classes, split, fit, flatten. */
#include <string.h>

#include "base/memory.h"
#include "data/dataset_build.h"
#include "data/fit.h"

typedef struct building {
    sq_dataset *dataset;
    const sq_data_config *config;
    const sq_schema *given;            /* of a trained model, or NULL */
    sq_raw_events *raw;
    sq_target_kind target;
    int next;                          /* categorical column whose next value is the class; -1 */
    bool windows_of_next, pieces;      /* of which a client gives several examples */
    int64_t most;                      /* longest example */
    bool *use;                         /* [clients of the store] */
    int64_t *begin;                    /* [clients] first event in the flat arrays */
    int8_t *split;                     /* [clients] */
    sq_classes classes;
    int64_t windows;                   /* examples */
} building;

static int32_t word_at(const building *b, const sq_client *client, int64_t event, int column)
{
    return sq__event_categories(client->events + (size_t)event * b->raw->store.layout.bytes)[column];
}

/* Targets of a client's windows: every stride-th event from the last one back that has `history` events before it and a type.
 * The least such place; -1 when there is none. */
static int64_t first_target(const building *b, const sq_client *client)
{
    int64_t stride = b->config->target.stride, last = client->count - 1;
    return last < b->config->target.history ? -1 : last - (last - b->config->target.history) / stride * stride;
}

/* ---- which clients ---- */

/* Whether any event of a client asks. */
static bool asks(const building *b, const sq_client *client)
{
    const sq_event_layout *layout = &b->raw->store.layout;
    for (int64_t i = 0; i < client->count; i++) {
        const int32_t first = sq__event_targets(layout, client->events + (size_t)i * layout->bytes)[0];
        if (b->target == SQ_TARGET_EVENT_CLASS ? first >= 0 : first != 0) return true;
    }
    return false;
}

static bool usable(building *b, const sq_client *client)
{
    if (client->dropped || client->count == 0) return false;
    if (b->given) return true;
    if (sq__target_per_event(b->target)) {
        const bool good = b->next >= 0 ? client->count > 1 : asks(b, client);
        if (b->next >= 0) b->dataset->clients_too_short += !good;
        else b->dataset->clients_without_label += !good;
        return good;
    }
    if (b->next < 0) return client->label >= 0;
    bool any = false;
    for (int64_t t = first_target(b, client); t >= 0 && t < client->count && !any; t += b->config->target.stride) any = word_at(b, client, t, b->next) >= 0;
    b->dataset->clients_too_short += !any;
    return any;
}

static sq_status choose_clients(building *b, sq_error *error)
{
    sq_dataset *d = b->dataset;
    const sq_store *store = &b->raw->store;
    for (int64_t c = 0; c < store->count; c++) {
        const sq_client *client = &store->clients[c];
        b->use[c] = usable(b, client);
        b->begin[c] = d->events;
        if (!b->use[c]) continue;
        d->clients++;
        d->events += client->count;
        int64_t from = b->windows_of_next && !b->given ? first_target(b, client) : -1;
        if (from < 0) b->windows += b->pieces ? (client->count + b->most - 1) / b->most : 1;
        for (int64_t t = from; t >= 0 && t < client->count; t += b->config->target.stride) b->windows += word_at(b, client, t, b->next) >= 0;
    }
    if (d->clients) return SQ_OK;
    return sq__fail(error, SQ_INVALID, "no client is left of %lld: %lld rows, %lld broken, %lld clients without a label, %lld labels without a client, %lld too short",
                    (long long)store->count, (long long)b->raw->rows, (long long)b->raw->broken.broken, (long long)d->clients_without_label,
                    (long long)d->labels_without_client, (long long)d->clients_too_short);
}

/* ---- classes and splits ---- */

/* With target.next every type that occurs is a class, whichever the stride makes targets of. */
static sq_status find_classes(building *b, sq_error *error)
{
    const bool each = b->target == SQ_TARGET_EVENT_CLASS;
    const sq_event_layout *layout = &b->raw->store.layout;
    const sq_intern *texts = b->next >= 0 ? b->raw->words[b->next] : b->raw->labels.texts;
    const sq_classes_wanted wanted = { b->config->target.column, each ? "events" : "clients", each ? b->dataset->events : b->dataset->clients,
                                       each ? SQ_MAX_EVENT_CLASSES : SQ_MAX_CLASSES };
    if (b->target == SQ_TARGET_NUMBER || b->target == SQ_TARGET_EVENT_BITS || (each && b->next >= 0)) return SQ_OK;
    if (b->given) return sq__classes_match(texts, b->given->classes, b->given->class_count, &b->classes.class_of, error);
    bool *used = sq__alloc_array((size_t)sq__intern_count(texts), sizeof *used);
    if (!used) return sq__no_memory(error);
    for (int64_t c = 0; c < b->raw->store.count; c++) {
        const sq_client *client = &b->raw->store.clients[c];
        if (b->use[c] && b->next < 0 && !each) used[client->label] = true;
        for (int64_t i = 0; b->use[c] && each && i < client->count; i++) {
            const int32_t label = sq__event_targets(layout, client->events + (size_t)i * layout->bytes)[0];
            if (label >= 0) used[label] = true;
        }
        for (int64_t i = 0; b->use[c] && b->next >= 0 && i < client->count; i++)
            if (word_at(b, client, i, b->next) >= 0) used[word_at(b, client, i, b->next)] = true;
    }
    sq_status status = sq__classes_used(&b->classes, texts, used, &wanted, error);
    sq__free(used);
    return status;
}

static sq_status split_clients(building *b, sq_error *error)
{
    const sq_store *store = &b->raw->store;
    sq_member *members = sq__alloc_array((size_t)b->dataset->clients, sizeof *members);
    int64_t count = 0;
    const bool strata = b->target == SQ_TARGET_CLASS && b->next < 0;
    if (!members) return sq__no_memory(error);
    for (int64_t c = 0; c < store->count; c++) {
        if (!b->use[c]) continue;
        sq_client *client = &store->clients[c];
        double last = *sq__event_time(client->events + (size_t)(client->count - 1) * store->layout.bytes);
        members[count++] = (sq_member){ sq__store_id(store, c), strata ? b->classes.class_of[client->label] : 0, client->part, last, c, SQ_SPLIT_TRAIN, 0 };
    }
    sq_status status = sq__split_assign(members, count, strata ? b->classes.count : 0, b->config, error);
    for (int64_t i = 0; status == SQ_OK && i < count; i++) b->split[members[i].place] = (int8_t)members[i].split;
    sq__free(members);
    return status;
}

/* ---- the schema ---- */

static sq_status fit(building *b, sq_error *error)
{
    int64_t count = b->raw->store.count;
    bool *train = sq__alloc_array((size_t)count, sizeof *train);
    if (!train) return sq__no_memory(error);
    for (int64_t c = 0; c < count; c++) train[c] = b->use[c] && b->split[c] == SQ_SPLIT_TRAIN;
    sq_status status = sq__fit_schema(&b->dataset->schema, b->config, b->raw, train, error);
    sq__free(train);
    if (status != SQ_OK) return status;
    b->dataset->schema->classes = b->classes.names;   /* handed over */
    b->dataset->schema->class_count = b->classes.count;
    b->dataset->schema->max_length = b->most;
    b->classes.names = NULL;
    b->classes.count = 0;
    SQ_TRY(sq__schema_target(b->dataset->schema, b->config, error));
    return b->next >= 0 && !b->windows_of_next ? sq__schema_next_classes(b->dataset->schema, b->next, error) : SQ_OK;
}

/* A given schema must have the columns that the configuration reads. */
static sq_status take_schema(building *b, sq_error *error)
{
    bool same = b->given->category_count == b->config->categorical_count;
    for (int i = 0; same && i < b->given->category_count; i++) same = strcmp(b->given->categories[i].name, b->config->categorical[i].column) == 0;
    if (same && b->given->target != b->target) return sq__fail(error, SQ_INVALID, "what the model answers and what the configuration asks differ: is the model of another task?");
    if (!same) return sq__fail(error, SQ_INVALID, "the categorical columns of the model and of the configuration differ: is the model of another task?");
    b->dataset->schema = sq__schema_copy(b->given);
    return b->dataset->schema ? SQ_OK : sq__no_memory(error);
}

/* ---- flat arrays ---- */

static sq_status allocate(building *b, sq_error *error)
{
    sq_dataset *d = b->dataset;
    size_t id_bytes = 0;
    for (int64_t c = 0; c < b->raw->store.count; c++)
        if (b->use[c]) id_bytes += strlen(sq__store_id(&b->raw->store, c)) + 1;
    SQ_TRY(sq__dataset_allocate(d, b->windows, id_bytes, error));
    SQ_TRY(sq__event_targets_allocate(d, error));
    d->categories = sq__alloc_array((size_t)d->schema->category_count, sizeof *d->categories);
    d->numbers = sq__alloc_array((size_t)d->schema->number_count, sizeof *d->numbers);
    if (!d->categories || !d->numbers) return sq__no_memory(error);
    for (int i = 0; i < d->schema->category_count; i++)
        if (!(d->categories[i] = sq__alloc_array((size_t)d->events, sizeof **d->categories))) return sq__no_memory(error);
    for (int i = 0; i < d->schema->number_count; i++)
        if (!(d->numbers[i] = sq__alloc_array((size_t)d->events, sizeof **d->numbers))) return sq__no_memory(error);
    return SQ_OK;
}

static sq_status fill_category(building *b, int column, sq_error *error)
{
    const sq_category *category = &b->dataset->schema->categories[column];
    int32_t *id_of = sq__alloc_array((size_t)sq__intern_count(b->raw->words[column]), sizeof *id_of);
    if (!id_of) return sq__no_memory(error);
    for (int64_t i = 0; i < category->count; i++) {
        int32_t word = sq__intern_find(b->raw->words[column], category->words[i], strlen(category->words[i]));
        if (word >= 0) id_of[word] = (int32_t)i + 1;
    }
    for (int64_t c = 0; c < b->raw->store.count; c++) {
        const sq_client *client = &b->raw->store.clients[c];
        for (int64_t i = 0; b->use[c] && i < client->count; i++) {
            int32_t word = word_at(b, client, i, column);
            b->dataset->categories[column][b->begin[c] + i] = word < 0 ? 0 : id_of[word];
        }
    }
    sq__free(id_of);
    return SQ_OK;
}

static sq_status find_feature(const building *b, const char *name, const sq_feature *features, int count, sq_feature *feature, sq_error *error)
{
    for (int i = 0; i < count; i++)
        if (strcmp(sq__feature_name(b->config, &features[i]), name) == 0) {
            *feature = features[i];
            return SQ_OK;
        }
    return sq__fail(error, SQ_INVALID, "the model needs the number '%s', which the configuration does not read", name);
}

static sq_status fill_numbers(building *b, sq_error *error)
{
    sq_dataset *d = b->dataset;
    sq_feature *features = sq__alloc_array((size_t)b->config->numeric_count + SQ_TIME_FEATURE_COUNT, sizeof *features);
    if (!features) return sq__no_memory(error);
    int count = sq__features_list(b->config, b->raw->form, features);
    sq_calendar calendar;
    sq__calendar_fill(&calendar, b->raw->form);
    sq_status status = SQ_OK;
    for (int n = 0; status == SQ_OK && n < d->schema->number_count; n++) {
        sq_feature feature;
        status = find_feature(b, d->schema->numbers[n].name, features, count, &feature, error);
        for (int64_t c = 0; status == SQ_OK && c < b->raw->store.count; c++) {
            const sq_client *client = &b->raw->store.clients[c];
            if (b->use[c]) sq__feature_values(&feature, &calendar, &b->raw->store.layout, client->events, client->count, d->numbers[n] + b->begin[c]);
        }
        if (status == SQ_OK) sq__number_transform(&d->schema->numbers[n], d->numbers[n], d->events);
    }
    sq__free(features);
    return status;
}

static void fill_event_targets(building *b)
{
    const sq_store *store = &b->raw->store;
    for (int64_t c = 0; sq__target_per_event(b->target) && c < store->count; c++) {
        if (!b->use[c]) continue;
        if (b->next >= 0) sq__event_targets_next(b->dataset, b->next, b->begin[c], store->clients[c].count);
        else sq__event_targets_fill(b->dataset, &store->layout, store->clients[c].events, store->clients[c].count, b->begin[c], b->classes.class_of);
    }
}

/* Events [from, end) of a client, of which the last `most` are kept. */
static void add_example(building *b, int64_t *example, int64_t from, int64_t end, int32_t label, char *id, int8_t *split_of, int64_t client)
{
    sq_dataset *d = b->dataset;
    const int64_t length = end - from < b->most ? end - from : b->most;
    d->start[*example] = end - length;
    d->length[*example] = (int32_t)length;
    d->before[*example] = b->raw->store.clients[client].before + end - length - b->begin[client];
    d->label[*example] = label >= 0 && b->classes.class_of ? b->classes.class_of[label] : -1;
    if (d->number) d->number[*example] = sq__label_number(b->raw->labels.texts, label);
    d->id[*example] = id;
    split_of[(*example)++] = b->split[client];
}

static void add_client(building *b, int64_t *example, char *id, int8_t *split_of, int64_t c)
{
    const sq_client *client = &b->raw->store.clients[c];
    const int64_t begin = b->begin[c], end = begin + client->count;
    if (b->pieces) {
        for (int64_t from = begin; from < end; from += b->most) add_example(b, example, from, end - from < b->most ? end : from + b->most, -1, id, split_of, c);
    } else if (!b->windows_of_next || b->given) {
        add_example(b, example, begin, end, client->label, id, split_of, c);
    } else {
        for (int64_t t = first_target(b, client); t < client->count; t += b->config->target.stride) {
            const int32_t word = word_at(b, client, t, b->next);
            if (word >= 0) add_example(b, example, begin, begin + t, word, id, split_of, c);
        }
    }
}

static sq_status fill_examples(building *b, sq_error *error)
{
    sq_dataset *d = b->dataset;
    const sq_store *store = &b->raw->store;
    int8_t *split_of = sq__alloc_array((size_t)b->windows, sizeof *split_of);
    int64_t example = 0;
    char *id = d->id_texts;
    if (!split_of) return sq__no_memory(error);
    for (int64_t c = 0; c < store->count; c++) {
        if (!b->use[c]) continue;
        strcpy(id, sq__store_id(store, c));
        add_client(b, &example, id, split_of, c);
        id += strlen(id) + 1;
    }
    sq_status status = sq__dataset_set_splits(d, b->given ? NULL : split_of, error);
    sq__free(split_of);
    return status;
}

static sq_status build(building *b, sq_error *error)
{
    size_t clients = (size_t)b->raw->store.count;
    b->use = sq__alloc_array(clients, sizeof *b->use);
    b->begin = sq__alloc_array(clients, sizeof *b->begin);
    b->split = sq__alloc_array(clients, sizeof *b->split);
    if (!b->use || !b->begin || !b->split) return sq__no_memory(error);
    SQ_TRY(choose_clients(b, error));
    SQ_TRY(find_classes(b, error));
    if (!b->given) SQ_TRY(split_clients(b, error));
    SQ_TRY(b->given ? take_schema(b, error) : fit(b, error));
    SQ_TRY(allocate(b, error));
    for (int i = 0; i < b->dataset->schema->category_count; i++) SQ_TRY(fill_category(b, i, error));
    SQ_TRY(fill_numbers(b, error));
    fill_event_targets(b);
    SQ_TRY(fill_examples(b, error));
    return b->given ? SQ_OK : sq__schema_target_scale(b->dataset->schema, b->dataset, error);
}

sq_status sq__dataset_events(sq_dataset *dataset, const sq_data_config *config, const sq_dataset_options *options, sq_error *error)
{
    sq_raw_events raw;
    building b = { .dataset = dataset, .config = config, .given = options ? options->schema : NULL, .raw = &raw, .next = -1,
                   .target = (sq_target_kind)config->target.kind, .pieces = sq__data_in_pieces(config) };
    b.windows_of_next = config->target.next && b.target == SQ_TARGET_CLASS;
    b.most = b.given ? b.given->max_length : config->max_length;
    SQ_TRY(sq__read_events(&raw, config, options, error));
    for (int i = 0; config->target.next && i < config->categorical_count; i++)
        if (strcmp(config->categorical[i].column, config->target.column) == 0) b.next = i;
    dataset->rows_read = raw.rows;
    dataset->rows_broken = raw.broken.broken;
    dataset->empty_numbers = raw.empty_numbers;
    if (!b.given && b.next < 0 && !sq__target_per_event(b.target)) dataset->clients_without_label = raw.clients_without_label;
    dataset->labels_without_client = raw.labels_without_client;
    snprintf(dataset->warning, sizeof dataset->warning, "%s", raw.broken.first);
    sq_status status = build(&b, error);
    sq__raw_events_clear(&raw, config->categorical_count);
    sq__classes_clear(&b.classes);
    sq__free(b.use);
    sq__free(b.begin);
    sq__free(b.split);
    return status;
}
