#include "data/store.h"

#include <string.h>

#include "base/memory.h"

enum { FIRST_ROOM = 8, LONGEST_ID = SQ_LONGEST_ID };

sq_event_layout sq__event_layout(int category_count, int number_count, int target_count)
{
    size_t bytes = sizeof(double) + (size_t)(category_count + target_count) * sizeof(int32_t) + (size_t)number_count * sizeof(float);
    return (sq_event_layout){ category_count, number_count, target_count, (bytes + 7) & ~(size_t)7 };
}

sq_status sq__store_create(sq_store *store, const sq_event_layout *layout, int64_t most, bool latest, sq_error *error)
{
    *store = (sq_store){ .layout = *layout, .most = most, .latest = latest, .ids = sq__intern_create() };
    return store->ids ? SQ_OK : sq__no_memory(error);
}

void sq__store_clear(sq_store *store)
{
    for (int64_t i = 0; i < store->count; i++) sq__free(store->clients[i].events);
    sq__free(store->clients);
    sq__intern_destroy(&store->ids);
    *store = (sq_store){ .count = 0 };
}

/* The part is the key's first byte: the same id in the training and the test file is not the same client. */
static bool make_key(char key[LONGEST_ID + 1], const char *id, size_t size, int part)
{
    if (size > LONGEST_ID) return false;
    key[0] = (char)('0' + part);
    memcpy(key + 1, id, size);
    return true;
}

bool sq__store_has(const sq_store *store, const char *id, size_t size, int part)
{
    char key[LONGEST_ID + 1];
    return make_key(key, id, size, part) && sq__intern_find(store->ids, key, size + 1) >= 0;
}

sq_client *sq__store_client(sq_store *store, const char *id, size_t size, int part, bool *fresh)
{
    char key[LONGEST_ID + 1];
    int32_t number;
    if (!make_key(key, id, size, part) || !sq__intern_add(store->ids, key, size + 1, &number)) return NULL;
    *fresh = number == store->count;
    if (!*fresh) return &store->clients[number];
    if (store->count == store->room) {
        int64_t room = store->room ? 2 * store->room : 1024;
        sq_client *larger = sq__realloc(store->clients, (size_t)room * sizeof *larger);
        if (!larger) return NULL;
        store->clients = larger;
        store->room = room;
    }
    sq_client *client = &store->clients[store->count++];
    *client = (sq_client){ .label = -1, .part = (int8_t)part };
    return client;
}

const char *sq__store_id(const sq_store *store, int64_t client)
{
    return sq__intern_text(store->ids, (int32_t)client) + 1;
}

/* ---- order ---- */

static bool in_order(const char *events, int64_t count, size_t bytes)
{
    for (int64_t i = 1; i < count; i++)
        if (*(const double *)(const void *)(events + (size_t)(i - 1) * bytes) > *(const double *)(const void *)(events + (size_t)i * bytes)) return false;
    return true;
}

/* Merge from[low, middle) and from[middle, high) into to; equal times keep their order. */
static void merge(const char *from, char *to, int64_t low, int64_t middle, int64_t high, size_t bytes)
{
    int64_t i = low, j = middle;
    for (int64_t k = low; k < high; k++) {
        bool left = i < middle && (j >= high || *(const double *)(const void *)(from + (size_t)i * bytes) <=
                                                    *(const double *)(const void *)(from + (size_t)j * bytes));
        memcpy(to + (size_t)k * bytes, from + (size_t)(left ? i++ : j++) * bytes, bytes);
    }
}

/* A stable bottom-up merge sort by time: the order of the file is the order in the block. */
static sq_status sort_events(sq_client *client, size_t bytes, sq_error *error)
{
    if (in_order(client->events, client->count, bytes)) return SQ_OK;
    char *other = sq__alloc((size_t)client->room * bytes);
    if (!other) return sq__no_memory(error);
    for (int64_t run = 1; run < client->count; run *= 2) {
        for (int64_t low = 0; low < client->count; low += 2 * run) {
            int64_t middle = low + run < client->count ? low + run : client->count;
            int64_t high = low + 2 * run < client->count ? low + 2 * run : client->count;
            merge(client->events, other, low, middle, high, bytes);
        }
        char *sorted = other;
        other = client->events;
        client->events = sorted;
    }
    sq__free(other);
    return SQ_OK;
}

static sq_status trim(const sq_store *store, sq_client *client, sq_error *error)
{
    size_t bytes = store->layout.bytes;
    SQ_TRY(sort_events(client, bytes, error));
    if (store->most == 0 || client->count <= store->most) return SQ_OK;
    if (store->latest) client->before += client->count - store->most;
    if (store->latest) memmove(client->events, client->events + (size_t)(client->count - store->most) * bytes, (size_t)store->most * bytes);
    client->count = store->most;
    return SQ_OK;
}

/* When twice the events to keep are there, half of them go: the block stays bounded and the cost per event constant times a logarithm.
 * Trimming early keeps the same events as trimming at the end, because the order by (time, file order) is total. */
char *sq__store_append(sq_store *store, sq_client *client)
{
    size_t bytes = store->layout.bytes;
    if (client->count == client->room) {
        int64_t bound = 2 * store->most, room = client->room ? client->room + client->room / 2 : FIRST_ROOM;
        if (store->most && client->room >= bound) {
            if (trim(store, client, NULL) != SQ_OK) return NULL;
        } else {
            if (store->most && room > bound) room = bound;
            char *larger = sq__realloc(client->events, (size_t)room * bytes);
            if (!larger) return NULL;
            client->events = larger;
            client->room = room;
        }
    }
    return client->events + (size_t)client->count++ * bytes;
}

sq_status sq__store_sort(sq_store *store, sq_error *error)
{
    for (int64_t i = 0; i < store->count; i++) SQ_TRY(trim(store, &store->clients[i], error));
    return SQ_OK;
}
