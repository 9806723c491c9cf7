/* Events of all clients while they are read: a growing block per client, trimmed to what will be kept. Depends on base, intern. */
#ifndef SQ_DATA_STORE_H
#define SQ_DATA_STORE_H

#include "base/status.h"
#include "data/intern.h"

#define SQ_LONGEST_ID 1023

/* An event in a client's block: double time, int32_t categories[], float numbers[], int32_t targets[], padded to a multiple of 8 bytes. */
typedef struct sq_event_layout { int category_count, number_count, target_count; size_t bytes; } sq_event_layout;

typedef struct sq_client {
    char *events;                      /* [count] events, in file order until sq__store_sort */
    int64_t count, room;
    int64_t before;                    /* of its events, those that came before and were not kept */
    int32_t label;                     /* of the label texts; -1 unknown */
    int8_t part;                       /* 0..2: the split its file belongs to, when files give the split; else 0 */
    bool dropped;                      /* its events are not kept */
} sq_client;

typedef struct sq_store {
    sq_event_layout layout;
    int64_t most;                      /* events of a client to keep; 0: all */
    bool latest;                       /* which ones: the latest, or the first */
    sq_intern *ids;                    /* number = client */
    sq_client *clients;
    int64_t count, room;
} sq_store;

sq_event_layout sq__event_layout(int category_count, int number_count, int target_count);
static inline double *sq__event_time(char *event) { return (double *)(void *)event; }
static inline int32_t *sq__event_categories(char *event) { return (int32_t *)(void *)(event + sizeof(double)); }
static inline float *sq__event_numbers(const sq_event_layout *layout, char *event)
{
    return (float *)(void *)(event + sizeof(double) + (size_t)layout->category_count * sizeof(int32_t));
}

static inline int32_t *sq__event_targets(const sq_event_layout *layout, char *event)
{
    return (int32_t *)(void *)(sq__event_numbers(layout, event) + layout->number_count);
}

sq_status sq__store_create(sq_store *store, const sq_event_layout *layout, int64_t most, bool latest, sq_error *error);
void sq__store_clear(sq_store *store);
/* The client of an id, made when it is new; NULL: no memory. id: at most SQ_LONGEST_ID bytes. Pointers to clients are valid until the next new one. */
sq_client *sq__store_client(sq_store *store, const char *id, size_t size, int part, bool *fresh);
bool sq__store_has(const sq_store *store, const char *id, size_t size, int part);
const char *sq__store_id(const sq_store *store, int64_t client);
/* Room for one more event of the client, to be filled; NULL: no memory. */
char *sq__store_append(sq_store *store, sq_client *client);
/* Every client's events by (time, file order), trimmed to `most`. */
sq_status sq__store_sort(sq_store *store, sq_error *error);

#endif
