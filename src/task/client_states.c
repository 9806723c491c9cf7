#include "task/client_states.h"

#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "io/safetensors.h"

static const char format_name[] = "subquad-states-1";

sq_status sq__client_states_create(sq_client_states *states, const sq_carry_layout *layout, size_t event_bytes, uint64_t model, sq_error *error)
{
    *states = (sq_client_states){ .layout = layout, .event_bytes = event_bytes, .model = model, .ids = sq__intern_create() };
    for (int i = 0; i < layout->count; i++) states->floats += layout->slots[i].count;
    return states->ids ? SQ_OK : sq__no_memory(error);
}

void sq__client_states_clear(sq_client_states *states)
{
    sq__intern_destroy(&states->ids);
    sq__free(states->values);
    sq__free(states->seen);
    sq__free(states->events);
    *states = (sq_client_states){ .layout = NULL };
}

static bool reserve(sq_client_states *states, int64_t clients)
{
    if (clients <= states->room) return true;
    const int64_t room = clients > 2 * states->room ? clients : 2 * states->room;
    float *values = sq__realloc(states->values, (size_t)(room * states->floats + 1) * sizeof *values);
    if (values) states->values = values;
    int64_t *seen = sq__realloc(states->seen, (size_t)room * sizeof *seen);
    if (seen) states->seen = seen;
    char *events = sq__realloc(states->events, (size_t)room * states->event_bytes);
    if (events) states->events = events;
    if (!values || !seen || !events) return false;
    states->room = room;
    return true;
}

int64_t sq__client_states_find(sq_client_states *states, const char *id, size_t size)
{
    const int32_t known = sq__intern_find(states->ids, id, size);
    int32_t client;
    if (known >= 0) return known;
    if (!reserve(states, states->count + 1) || !sq__intern_add(states->ids, id, size, &client)) return -1;
    memset(states->values + client * states->floats, 0, (size_t)states->floats * sizeof(float));
    memset(states->events + (size_t)client * states->event_bytes, 0, states->event_bytes);
    states->seen[client] = 0;
    states->count++;
    return client;
}

void sq__client_states_take(const sq_client_states *states, int64_t client, sq_carry *carry)
{
    const float *from = states->values + client * states->floats;
    for (int i = 0; i < states->layout->count; from += states->layout->slots[i++].count)
        memcpy(carry->values[i], from, (size_t)states->layout->slots[i].count * sizeof(float));
    carry->seen[0] = states->seen[client];
}

void sq__client_states_put(sq_client_states *states, int64_t client, const sq_carry *carry)
{
    float *to = states->values + client * states->floats;
    for (int i = 0; i < states->layout->count; to += states->layout->slots[i++].count)
        memcpy(to, carry->values[i], (size_t)states->layout->slots[i].count * sizeof(float));
    states->seen[client] = carry->seen[0];
}

/* ---- files ---- */

/* Every id with its ending NUL, one after the other. */
static char *id_texts(const sq_client_states *states, size_t *bytes)
{
    *bytes = 0;
    for (int32_t i = 0; i < states->count; i++) *bytes += sq__intern_size(states->ids, i) + 1;
    char *texts = sq__alloc(*bytes + 1), *at = texts;
    for (int32_t i = 0; texts && i < states->count; i++) {
        const size_t size = sq__intern_size(states->ids, i) + 1;
        memcpy(at, sq__intern_text(states->ids, i), size);
        at += size;
    }
    return texts;
}

sq_status sq__client_states_save(const sq_client_states *states, const char *path, sq_error *error)
{
    static const char *const keys[] = { "format", "model" };
    char model[32];
    const char *const values[] = { format_name, model };
    size_t bytes;
    char *texts = id_texts(states, &bytes);
    if (!texts) return sq__no_memory(error);
    snprintf(model, sizeof model, "%016" PRIx64, states->model);
    const int64_t n = states->count, floats = n * states->floats, events = n * (int64_t)states->event_bytes;
    const sq_st_tensor tensors[] = {
        { "ids", SQ_ST_U8, 1, { (int64_t)bytes }, (int64_t)bytes, texts },
        { "seen", SQ_ST_I64, 1, { n }, n, states->seen },
        { "events", SQ_ST_U8, 2, { n, (int64_t)states->event_bytes }, events, states->events },
        { "state", SQ_ST_F32, 2, { n, states->floats }, floats, states->values },
    };
    sq_status status = sq__safetensors_write(path, tensors, 4, keys, values, 2, error);
    sq__free(texts);
    return status;
}

static const sq_st_tensor *find(const sq_safetensors *file, const char *path, const char *name, sq_st_dtype dtype, int64_t count, sq_error *error)
{
    const sq_st_tensor *tensor = sq__safetensors_find(file, name);
    if (tensor && tensor->dtype == dtype && (count < 0 || tensor->count == count)) return tensor;
    sq__fail(error, SQ_FORMAT, "%s: has no tensor '%s' of the form that states have", path, name);
    return NULL;
}

static sq_status read(sq_client_states *states, const sq_safetensors *file, const char *path, sq_error *error)
{
    const char *format = sq__safetensors_metadata(file, "format"), *model = sq__safetensors_metadata(file, "model");
    char mine[32];
    snprintf(mine, sizeof mine, "%016" PRIx64, states->model);
    if (!format || strcmp(format, format_name) != 0 || !model) return sq__fail(error, SQ_FORMAT, "%s: holds no states written by subquad", path);
    if (strcmp(model, mine) != 0) return sq__fail(error, SQ_INVALID, "%s: holds the states of another model", path);
    const sq_st_tensor *seen = find(file, path, "seen", SQ_ST_I64, -1, error), *ids = seen ? find(file, path, "ids", SQ_ST_U8, -1, error) : NULL;
    const sq_st_tensor *events = ids ? find(file, path, "events", SQ_ST_U8, seen->count * (int64_t)states->event_bytes, error) : NULL;
    const sq_st_tensor *state = events ? find(file, path, "state", SQ_ST_F32, seen->count * states->floats, error) : NULL;
    if (!state) return SQ_FORMAT;
    const char *at = ids->data, *end = at + ids->count;
    for (int64_t i = 0; i < seen->count; i++) {
        const char *stop = memchr(at, 0, (size_t)(end - at));
        const int64_t followed = ((const int64_t *)seen->data)[i];
        if (!stop || followed < 0 || followed > INT64_MAX / 2) return sq__fail(error, SQ_FORMAT, "%s: is damaged", path);
        const int64_t client = sq__client_states_find(states, at, (size_t)(stop - at));
        if (client < 0) return sq__no_memory(error);
        if (client != i) return sq__fail(error, SQ_FORMAT, "%s: names a client twice", path);
        at = stop + 1;
    }
    if (at != end) return sq__fail(error, SQ_FORMAT, "%s: is damaged", path);
    if (seen->count == 0) return SQ_OK;
    memcpy(states->seen, seen->data, (size_t)seen->count * sizeof *states->seen);
    memcpy(states->events, events->data, (size_t)events->count);
    memcpy(states->values, state->data, (size_t)state->count * sizeof *states->values);
    return SQ_OK;
}

sq_status sq__client_states_load(sq_client_states *states, const char *path, sq_error *error)
{
    sq_safetensors *file = NULL;
    sq_client_states fresh;
    SQ_TRY(sq__safetensors_open(&file, path, error));
    sq_status status = sq__client_states_create(&fresh, states->layout, states->event_bytes, states->model, error);
    if (status == SQ_OK) status = read(&fresh, file, path, error);
    sq__safetensors_close(&file);
    if (status != SQ_OK) {
        sq__client_states_clear(&fresh);
        return status;
    }
    sq__client_states_clear(states);
    *states = fresh;
    return SQ_OK;
}
