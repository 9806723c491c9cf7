/* The state of every client that a stream has brought, of one fixed size each: what the model carries, and the last event.
 * Depends on nn/carry.h, data/intern.h, io. */
#ifndef SQ_TASK_CLIENT_STATES_H
#define SQ_TASK_CLIENT_STATES_H

#include "data/intern.h"
#include "nn/carry.h"

typedef struct sq_client_states {
    const sq_carry_layout *layout;
    size_t event_bytes;
    uint64_t model;                    /* fingerprint of the weights that the states belong to */
    sq_intern *ids;                    /* number = client */
    int64_t count, room;
    int64_t floats;                    /* of one client */
    float *values;                     /* [room][floats] slots one after the other */
    int64_t *seen;                     /* [room] */
    char *events;                      /* [room][event_bytes] */
} sq_client_states;

sq_status sq__client_states_create(sq_client_states *states, const sq_carry_layout *layout, size_t event_bytes, uint64_t model, sq_error *error);
void sq__client_states_clear(sq_client_states *states);
/* The client's number, new with nothing seen when it was not there; -1: no memory. */
int64_t sq__client_states_find(sq_client_states *states, const char *id, size_t size);
void sq__client_states_take(const sq_client_states *states, int64_t client, sq_carry *carry);   /* carry: B = 1 */
void sq__client_states_put(sq_client_states *states, int64_t client, const sq_carry *carry);

/* A safetensors file: ids, seen, events, state. load replaces all clients; SQ_INVALID: of another model; SQ_FORMAT: damaged. */
sq_status sq__client_states_save(const sq_client_states *states, const char *path, sq_error *error);
sq_status sq__client_states_load(sq_client_states *states, const char *path, sq_error *error);

#endif
