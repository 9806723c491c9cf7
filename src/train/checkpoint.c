/* Layout: "counter" and "number" tensors by field order, "curve" [epochs, CURVE_COLUMNS], and per parameter "value/", "first/",
 * "second/", "best/" + its name. */
#include <math.h>
#include <string.h>

#include "report/metric.h"
#include "train/state.h"
#include "train/weights.h"

enum { CURVE_FIRST = 5, CURVE_COLUMNS = CURVE_FIRST + SQ_METRICS, NAME_SIZE = 128 };   /* epoch, step, two losses, seconds; the metrics */

#define ONE(name) +1
enum { COUNTER_COUNT = 0 SQ_STATE_COUNTERS(ONE), NUMBER_COUNT = 0 SQ_STATE_NUMBERS(ONE) };
#undef ONE

static const char format_name[] = "subquad-checkpoint-2";

/* ---- the small numbers ---- */

typedef struct numbers { int64_t counters[COUNTER_COUNT]; double numbers[NUMBER_COUNT]; double *curve; } numbers;

static sq_status numbers_out(const sq_train_state *state, numbers *out, sq_error *error)
{
    int i = 0;
#define OUT(name) out->counters[i++] = state->name;
    SQ_STATE_COUNTERS(OUT)
#undef OUT
    i = 0;
#define OUT(name) out->numbers[i++] = state->name;
    SQ_STATE_NUMBERS(OUT)
#undef OUT
    double *at = out->curve = sq__alloc_array((size_t)state->curve_count * CURVE_COLUMNS, sizeof *at);
    if (!at) return sq__no_memory(error);
    for (int64_t e = 0; e < state->curve_count; e++, at += CURVE_COLUMNS) {
        const sq_epoch *epoch = &state->curve[e];
        const double first[CURVE_FIRST] = { (double)epoch->epoch, (double)epoch->step, epoch->train_loss, epoch->validation_loss, epoch->seconds };
        memcpy(at, first, sizeof first);
        memcpy(at + CURVE_FIRST, &epoch->validation, sizeof epoch->validation);
    }
    return SQ_OK;
}

static void numbers_in(sq_train_state *state, const int64_t *counters, const double *values, const double *curve, int64_t epochs)
{
#define IN(name) state->name = *counters++;
    SQ_STATE_COUNTERS(IN)
#undef IN
#define IN(name) state->name = *values++;
    SQ_STATE_NUMBERS(IN)
#undef IN
    state->curve_count = epochs;
    for (int64_t e = 0; e < epochs; e++, curve += CURVE_COLUMNS) {
        state->curve[e] = (sq_epoch){ .epoch = (int64_t)curve[0], .step = (int64_t)curve[1], .train_loss = curve[2], .validation_loss = curve[3], .seconds = curve[4] };
        memcpy(&state->curve[e].validation, curve + CURVE_FIRST, sizeof state->curve[e].validation);
    }
}

/* ---- writing ---- */

static const char *const prefixes[] = { "value/", "first/", "second/", "best/" };
enum { SETS = 4 };

static float *set_values(const sq_train_state *state, int set, int i)
{
    switch (set) {
    case 0: return state->parameters[i].value;
    case 1: return state->first[i];
    case 2: return state->second[i];
    default: return state->best_epoch > 0 ? state->best[i] : NULL;   /* nothing worth keeping before the first validation */
    }
}

static sq_status write_tensors(const sq_train_state *state, const char *path, const char *description, const numbers *small,
                               sq_st_tensor *tensors, char (*names)[NAME_SIZE], sq_error *error)
{
    int count = 0;
    tensors[count++] = (sq_st_tensor){ "counters", SQ_ST_I64, 1, { COUNTER_COUNT }, COUNTER_COUNT, small->counters };
    tensors[count++] = (sq_st_tensor){ "numbers", SQ_ST_F64, 1, { NUMBER_COUNT }, NUMBER_COUNT, small->numbers };
    tensors[count++] = (sq_st_tensor){ "curve", SQ_ST_F64, 2, { state->curve_count, CURVE_COLUMNS }, state->curve_count * CURVE_COLUMNS, small->curve };
    for (int i = 0; i < state->parameter_count; i++)
        for (int set = 0; set < SETS; set++) {
            const float *values = set_values(state, set, i);
            if (!values) continue;
            snprintf(names[count], NAME_SIZE, "%s%s", prefixes[set], state->parameters[i].name);
            tensors[count] = sq__weights_tensor(names[count], &state->parameters[i], values);
            count++;
        }
    const char *keys[] = { "format", "description" }, *values[] = { format_name, description };
    return sq__safetensors_write(path, tensors, count, keys, values, 2, error);
}

sq_status sq__checkpoint_write(const sq_train_state *state, const char *path, const char *description, sq_error *error)
{
    const size_t most = (size_t)state->parameter_count * SETS + 3;
    numbers small = { .curve = NULL };
    sq_st_tensor *tensors = sq__alloc_array(most, sizeof *tensors);
    char(*names)[NAME_SIZE] = sq__alloc_array(most, NAME_SIZE);
    sq_status status = tensors && names ? numbers_out(state, &small, error) : sq__no_memory(error);
    if (status == SQ_OK) status = write_tensors(state, path, description, &small, tensors, names, error);
    sq__free(small.curve);
    sq__free(names);
    sq__free(tensors);
    return status;
}

/* ---- reading ---- */

static size_t line_length(const char *line) { return strcspn(line, "\n"); }

static size_t key_length(const char *line) { return strcspn(line, "=\n"); }

sq_status sq__description_check(const char *path, const char *found, const char *expected, sq_error *error)
{
    while (*found || *expected) {
        const size_t a = line_length(found), b = line_length(expected), key = key_length(expected);
        if (a != b || memcmp(found, expected, a) != 0) {
            if (*expected && *found && key_length(found) == key && memcmp(found, expected, key) == 0)
                return sq__fail(error, SQ_INVALID, "%s: made by another task or configuration: %.*s is %.*s there and %.*s now", path, (int)key, expected,
                                (int)(a > key ? a - key - 1 : 0), found + key + (a > key), (int)(b > key ? b - key - 1 : 0), expected + key + (b > key));
            return sq__fail(error, SQ_INVALID, "%s: made by another task or configuration: '%.*s' there, '%.*s' now", path, (int)a, found, (int)b, expected);
        }
        found += a + (found[a] == '\n');
        expected += b + (expected[b] == '\n');
    }
    return SQ_OK;
}

static sq_status damaged(const char *path, sq_error *error)
{
    return sq__fail(error, SQ_FORMAT, "%s: is no checkpoint, or a damaged one", path);
}

static const void *small_tensor(const sq_safetensors *file, const char *name, sq_st_dtype dtype, int rank, int64_t last)
{
    const sq_st_tensor *tensor = sq__safetensors_find(file, name);
    return tensor && tensor->dtype == dtype && tensor->rank == rank && tensor->shape[rank - 1] == last ? tensor->data : NULL;
}

static sq_status read_numbers(sq_train_state *state, const sq_safetensors *file, const char *path, sq_error *error)
{
    const int64_t *counters = small_tensor(file, "counters", SQ_ST_I64, 1, COUNTER_COUNT);
    const double *values = small_tensor(file, "numbers", SQ_ST_F64, 1, NUMBER_COUNT);
    const double *curve = small_tensor(file, "curve", SQ_ST_F64, 2, CURVE_COLUMNS);
    if (!counters || !values || !curve) return damaged(path, error);
    const int64_t epochs = sq__safetensors_find(file, "curve")->shape[0];
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (counters[i] < 0) return damaged(path, error);
    if (epochs > state->curve_room) return damaged(path, error);
    for (int64_t i = 0; i < epochs * CURVE_COLUMNS; i += CURVE_COLUMNS)
        if (!(curve[i] >= 0 && curve[i] < 1e15 && curve[i + 1] >= 0 && curve[i + 1] < 1e15)) return damaged(path, error);
    numbers_in(state, counters, values, curve, epochs);
    return state->epoch <= state->curve_room && state->best_epoch <= epochs ? SQ_OK : damaged(path, error);
}

static sq_status read_sets(sq_train_state *state, const sq_safetensors *file, const char *path, sq_error *error)
{
    for (int i = 0; i < state->parameter_count; i++)
        for (int set = 0; set < SETS; set++) {
            float *values = set_values(state, set, i);
            char name[NAME_SIZE];
            if (!values) continue;
            snprintf(name, sizeof name, "%s%s", prefixes[set], state->parameters[i].name);
            SQ_TRY(sq__weights_read(file, path, name, &state->parameters[i], values, error));
        }
    return SQ_OK;
}

sq_status sq__checkpoint_read(sq_train_state *state, const char *path, const char *description, sq_error *error)
{
    sq_safetensors *file;
    SQ_TRY(sq__safetensors_open(&file, path, error));
    const char *format = sq__safetensors_metadata(file, "format"), *found = sq__safetensors_metadata(file, "description");
    sq_status status = format && found && strcmp(format, format_name) == 0 ? SQ_OK : damaged(path, error);
    if (status == SQ_OK) status = sq__description_check(path, found, description, error);
    if (status == SQ_OK) status = read_numbers(state, file, path, error);
    if (status == SQ_OK) status = read_sets(state, file, path, error);
    sq__safetensors_close(&file);
    return status;
}
