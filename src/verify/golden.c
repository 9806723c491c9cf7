#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "verify/golden_state.h"

/* ---- state ---- */

bool sq__golden_going(const sq_golden *golden)
{
    return !golden->settled;
}

static void settle(sq_golden *golden, sq_verify_outcome outcome, const char *format, va_list arguments)
{
    if (golden->settled) return;
    golden->settled = true;
    golden->result->outcome = outcome;
    vsnprintf(golden->result->reason, sizeof golden->result->reason, format, arguments);
}

void sq__golden_skip(sq_golden *golden, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    settle(golden, SQ_VERIFY_SKIPPED, format, arguments);
    va_end(arguments);
}

void sq__golden_fail(sq_golden *golden, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    settle(golden, SQ_VERIFY_FAILED, format, arguments);
    va_end(arguments);
}

void sq__golden_status(sq_golden *golden, sq_status status, const sq_error *error)
{
    if (status == SQ_OK || golden->settled) return;
    if (status == SQ_UNSUPPORTED) {
        sq__golden_skip(golden, "%.250s", error->message);
    } else if (status == SQ_NO_MEMORY) {
        golden->settled = true;
        golden->status = sq__no_memory(&golden->error);
    } else {
        sq__golden_fail(golden, "%.250s", error->message);
    }
}

void *sq__golden_memory(sq_golden *golden, int64_t count, size_t size)
{
    size_t bytes;
    if (golden->settled) return NULL;
    bool fits = count >= 0 && !__builtin_mul_overflow((size_t)count, size, &bytes) && !__builtin_add_overflow(bytes, SQ_ALIGN, &bytes);
    sq_golden_block *block = fits ? sq__alloc_zero(bytes) : NULL;
    if (!block) {
        sq__golden_status(golden, SQ_NO_MEMORY, NULL);
        return NULL;
    }
    block->next = golden->memory;
    golden->memory = block;
    return (char *)block + SQ_ALIGN;
}

float *sq__golden_room(sq_golden *golden, int64_t floats)
{
    return sq__golden_memory(golden, floats, sizeof(float));
}

const char *sq__golden_numbered(sq_golden *golden, const char *stem, int64_t number)
{
    enum { ROOM = 96 };
    const char *at = strstr(stem, "%d");
    char *text = sq__golden_memory(golden, ROOM, 1);
    if (text) snprintf(text, ROOM, "%.*s%lld%s", (int)(at - stem), stem, (long long)number, at + 2);
    return text ? text : "";
}

const char *sq__golden_digits(sq_golden *golden, int64_t number)
{
    return sq__golden_numbered(golden, "%d", number);
}

/* ---- tensors ---- */

bool sq__golden_has(const sq_golden *golden, const char *name)
{
    return sq__safetensors_find(golden->file, name) != NULL;
}

const char *sq__golden_name(const sq_golden *golden, int index)
{
    return index < sq__safetensors_count(golden->file) ? sq__safetensors_at(golden->file, index)->name : NULL;
}

int sq__golden_rank(const sq_golden *golden, const char *name)
{
    const sq_st_tensor *tensor = sq__safetensors_find(golden->file, name);
    return tensor && tensor->rank <= 5 ? tensor->rank : 0;
}

const sq_st_tensor *sq__golden_use(sq_golden *golden, const char *name)
{
    if (golden->settled) return NULL;
    for (int i = 0; i < sq__safetensors_count(golden->file); i++) {
        const sq_st_tensor *tensor = sq__safetensors_at(golden->file, i);
        if (strcmp(tensor->name, name) != 0) continue;
        golden->used[i] = 1;
        return tensor;
    }
    sq__golden_fail(golden, "tensor '%.100s' is missing", name);
    return NULL;
}

static void shape_text(int rank, const int64_t *shape, char *text, size_t size)
{
    size_t used = 0;
    text[0] = '\0';
    for (int i = 0; i < rank && used < size; i++) {
        if (shape[i] == SQ_ANY) used += (size_t)snprintf(text + used, size - used, "%sany", i ? "," : "");
        else used += (size_t)snprintf(text + used, size - used, "%s%lld", i ? "," : "", (long long)shape[i]);
    }
}

const sq_st_tensor *sq__golden_tensor(sq_golden *golden, const char *name, int rank, const int64_t *shape)
{
    const sq_st_tensor *tensor = sq__golden_use(golden, name);
    if (!tensor) return NULL;
    bool same = tensor->rank == rank && tensor->count > 0;
    for (int i = 0; same && i < rank; i++) same = shape[i] == SQ_ANY || shape[i] == tensor->shape[i];
    if (same) return tensor;
    char found[128], expected[128];
    shape_text(tensor->rank, tensor->shape, found, sizeof found);
    shape_text(rank, shape, expected, sizeof expected);
    sq__golden_fail(golden, "tensor '%.80s' has shape [%s]; expected [%s], none empty", name, found, expected);
    return NULL;
}

static const float *as_floats(sq_golden *golden, const sq_st_tensor *tensor)
{
    float *values = tensor ? sq__golden_room(golden, tensor->count) : NULL;
    sq_error error;
    if (values) sq__golden_status(golden, sq__safetensors_floats(tensor, values, &error), &error);
    return golden->settled ? NULL : values;
}

const float *sq__golden_floats(sq_golden *golden, const char *name, int rank, const int64_t *shape)
{
    return as_floats(golden, sq__golden_tensor(golden, name, rank, shape));
}

const int32_t *sq__golden_ints(sq_golden *golden, const char *name, int rank, const int64_t *shape)
{
    const sq_st_tensor *tensor = sq__golden_tensor(golden, name, rank, shape);
    int32_t *values = tensor ? sq__golden_memory(golden, tensor->count, sizeof *values) : NULL;
    sq_error error;
    if (values) sq__golden_status(golden, sq__safetensors_ints(tensor, values, &error), &error);
    return golden->settled ? NULL : values;
}

const uint8_t *sq__golden_mask(sq_golden *golden, const char *name, int rank, const int64_t *shape)
{
    const sq_st_tensor *tensor = sq__golden_tensor(golden, name, rank, shape);
    const int32_t *values = tensor ? sq__golden_ints(golden, name, rank, shape) : NULL;
    uint8_t *mask = values ? sq__golden_memory(golden, tensor->count, 1) : NULL;
    for (int64_t i = 0; mask && i < tensor->count; i++) {
        if (values[i] != 0 && values[i] != 1) {
            sq__golden_fail(golden, "mask '%.80s' holds %d; expected 0 and 1", name, values[i]);
            return NULL;
        }
        mask[i] = (uint8_t)values[i];
    }
    return mask;
}

/* ---- comparing ---- */

static sq_verify_tensor *add_result(sq_golden *golden, const char *name)
{
    sq_verify_result *result = golden->result;
    if (result->tensor_count == golden->room) {
        int room = golden->room ? 2 * golden->room : 32;
        sq_verify_tensor *tensors = sq__realloc(result->tensors, (size_t)room * sizeof *tensors);
        if (!tensors) {
            sq__golden_status(golden, SQ_NO_MEMORY, NULL);
            return NULL;
        }
        result->tensors = tensors;
        golden->room = room;
    }
    sq_verify_tensor *added = &result->tensors[result->tensor_count++];
    *added = (sq_verify_tensor){ .error = 0 };
    snprintf(added->name, sizeof added->name, "%s", name);
    return added;
}

/* ours in floats or doubles; row r of the reference is row chosen[r] of ours (NULL: all rows in order). */
typedef struct rows { const float *floats; const double *doubles; int64_t outer, all, chosen_count, inner; const int32_t *chosen; } rows;

static double value_at(const rows *ours, int64_t outer, int64_t row, int64_t inner)
{
    int64_t at = (outer * ours->all + (ours->chosen ? ours->chosen[row] : row)) * ours->inner + inner;
    return ours->floats ? (double)ours->floats[at] : ours->doubles[at];
}

/* The reference in its own precision: F64 tensors are not rounded to float first. */
static const double *reference_doubles(sq_golden *golden, const sq_st_tensor *tensor)
{
    double *values = sq__golden_memory(golden, tensor->count, sizeof *values);
    if (!values) return NULL;
    if (tensor->dtype == SQ_ST_F64) {
        memcpy(values, tensor->data, (size_t)tensor->count * sizeof *values);
        return values;
    }
    const float *floats = as_floats(golden, tensor);
    for (int64_t i = 0; floats && i < tensor->count; i++) values[i] = (double)floats[i];
    return floats ? values : NULL;
}

static void compare(sq_golden *golden, const char *name, const rows *ours)
{
    const sq_st_tensor *tensor = sq__golden_use(golden, name);
    if (!tensor) return;
    if (tensor->count != ours->outer * ours->chosen_count * ours->inner) {
        sq__golden_fail(golden, "tensor '%.80s' has %lld numbers; expected %lld", name, (long long)tensor->count,
                        (long long)(ours->outer * ours->chosen_count * ours->inner));
        return;
    }
    const double *reference = reference_doubles(golden, tensor);
    sq_verify_tensor *to = reference ? add_result(golden, name) : NULL;
    if (!to) return;
    int64_t i = 0;
    for (int64_t a = 0; a < ours->outer; a++)
        for (int64_t b = 0; b < ours->chosen_count; b++)
            for (int64_t c = 0; c < ours->inner; c++, i++) {
                double difference = fabs(value_at(ours, a, b, c) - reference[i]);
                if (!(difference <= to->error)) to->error = difference;   /* a NaN stays: nothing is above it */
                if (isnan(difference)) return;
                to->largest = fmax(to->largest, fabs(reference[i]));
            }
}

static bool computed(sq_golden *golden, const char *name, const void *ours)
{
    if (!ours) sq__golden_fail(golden, "nothing was computed for tensor '%.100s'", name);
    return !golden->settled;
}

void sq__golden_compare(sq_golden *golden, const char *name, const float *ours, int64_t count)
{
    if (!computed(golden, name, ours)) return;
    compare(golden, name, &(rows){ .floats = ours, .outer = 1, .all = count, .chosen_count = count, .inner = 1 });
}

void sq__golden_compare_doubles(sq_golden *golden, const char *name, const double *ours, int64_t count)
{
    if (!computed(golden, name, ours)) return;
    compare(golden, name, &(rows){ .doubles = ours, .outer = 1, .all = count, .chosen_count = count, .inner = 1 });
}

void sq__golden_compare_rows(sq_golden *golden, const char *name, const float *ours, int64_t outer, int64_t all, int64_t inner)
{
    if (!computed(golden, name, ours)) return;
    rows r = { .floats = ours, .outer = outer, .all = all, .chosen_count = all, .inner = inner };
    if (sq__golden_has(golden, "out_rows")) {
        r.chosen = sq__golden_ints(golden, "out_rows", SQ_SHAPE(SQ_ANY));
        const sq_st_tensor *tensor = sq__safetensors_find(golden->file, "out_rows");
        r.chosen_count = tensor->count;
        for (int64_t i = 0; r.chosen && i < r.chosen_count; i++)
            if (r.chosen[i] < 0 || r.chosen[i] >= all) {
                sq__golden_fail(golden, "out_rows holds %d; expected 0 to %lld", r.chosen[i], (long long)(all - 1));
                return;
            }
    }
    if (!golden->settled) compare(golden, name, &r);
}

/* ---- open and close ---- */

sq_status sq__golden_open(sq_golden **golden, const char *path, sq_verify_result *result, sq_error *error)
{
    *golden = NULL;
    sq_golden *made = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    sq_status status = sq__safetensors_open(&made->file, path, error);
    if (status == SQ_OK && !(made->used = sq__alloc_array((size_t)sq__safetensors_count(made->file), 1))) status = sq__no_memory(error);
    if (status != SQ_OK) {
        sq__safetensors_close(&made->file);
        sq__free(made);
        return status;
    }
    made->result = result;
    *golden = made;
    const char *recorded = sq__safetensors_metadata(made->file, "f32_error");
    const char *zeros = sq__safetensors_metadata(made->file, "zero_in_exact_arithmetic");
    if (recorded && !(made->recorded = json_loads(recorded, 0, NULL))) sq__golden_fail(made, "metadata 'f32_error' is not JSON");
    if (zeros && !(made->zeros = json_loads(zeros, 0, NULL))) sq__golden_fail(made, "metadata 'zero_in_exact_arithmetic' is not JSON");
    return SQ_OK;
}

void sq__golden_rule(sq_golden *golden, const sq_golden_rule *rule)
{
    golden->rule = *rule;
}

/* What no family has looked at may hold something that changes the result: then this file is of a variant unknown here. */
static void look_for_unread(sq_golden *golden)
{
    for (int i = 0; i < sq__safetensors_count(golden->file) && !golden->settled; i++)
        if (!golden->used[i])
            sq__golden_skip(golden, "this build has no use for tensor '%.100s': a variant unknown to it", sq__safetensors_at(golden->file, i)->name);
}

static void judge(sq_golden *golden)
{
    sq_verify_result *result = golden->result;
    int wrong = 0;
    const sq_verify_tensor *first = NULL;
    for (int i = 0; i < result->tensor_count; i++) {
        if (result->tensors[i].passed) continue;
        if (!first) first = &result->tensors[i];
        wrong++;
    }
    if (golden->settled && result->outcome == SQ_VERIFY_FAILED) return;
    if (first) {
        result->outcome = SQ_VERIFY_FAILED;
        snprintf(result->reason, sizeof result->reason, "%d of %d tensors beyond their tolerance; the first is %s: error %.3g, tolerance %.3g", wrong,
                 result->tensor_count, first->name, first->error, first->tolerance);
    } else if (!golden->settled) {
        result->outcome = result->tensor_count ? SQ_VERIFY_PASSED : SQ_VERIFY_FAILED;
        if (!result->tensor_count) snprintf(result->reason, sizeof result->reason, "holds nothing to compare");
    }
}

sq_status sq__golden_close(sq_golden **golden, sq_error *error)
{
    sq_golden *g = *golden;
    if (!g) return SQ_OK;
    look_for_unread(g);
    sq__golden_tolerances(g);
    judge(g);
    sq_status status = g->status;
    if (status != SQ_OK && error) *error = g->error;
    while (g->memory) {
        sq_golden_block *next = g->memory->next;
        sq__free(g->memory);
        g->memory = next;
    }
    json_decref(g->recorded);
    json_decref(g->zeros);
    sq__free(g->used);
    sq__safetensors_close(&g->file);
    sq__free(g);
    *golden = NULL;
    return status;
}
