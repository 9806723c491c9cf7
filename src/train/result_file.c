#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "io/file.h"
#include "report/metric.h"
#include "train/run_folder.h"
#include "train/state.h"

static const char format_name[] = "subquad-result-1";

/* The fields that stand in the file under their own name, by how they are written. */
#define WHOLES(X) X(parameters) X(epochs) X(steps) X(best_epoch) X(train_peak_bytes) X(inference_peak_bytes) X(train_resident_bytes) X(class_count)
#define NUMBERS(X) X(epoch_seconds) X(clients_per_second) X(tokens_per_second)

/* ---- writing ---- */

static json_t *number(double value) { return isfinite(value) ? json_real(value) : json_null(); }

static json_t *quality_json(sq_target_kind target, const sq_quality *quality)
{
    json_t *object = json_object();
    const sq_metric_row *metric;
    for (int i = 0; (metric = sq__metric_of(target, i)); i++) json_object_set_new(object, metric->key, number(sq__metric_at(metric, quality)));
    return object;
}

static json_t *epoch_json(sq_target_kind target, const sq_epoch *epoch)
{
    json_t *object = json_object();
    json_object_set_new(object, "epoch", json_integer(epoch->epoch));
    json_object_set_new(object, "step", json_integer(epoch->step));
    json_object_set_new(object, "train_loss", number(epoch->train_loss));
    json_object_set_new(object, "validation_loss", number(epoch->validation_loss));
    json_object_set_new(object, "seconds", number(epoch->seconds));
    json_object_set_new(object, "validation", quality_json(target, &epoch->validation));
    return object;
}

static json_t *result_json(const sq_run_result *result, const char *description)
{
    json_t *object = json_object(), *confusion = json_array(), *curve = json_array();
    json_object_set_new(object, "format", json_string(format_name));
    json_object_set_new(object, "finished", json_true());
    json_object_set_new(object, "mechanism", json_string(result->mechanism));
    json_object_set_new(object, "seed", json_integer((json_int_t)result->seed));
    json_object_set_new(object, "diverged", json_boolean(result->diverged));
    json_object_set_new(object, "target", json_integer(result->target));
    json_object_set_new(object, "test", quality_json(result->target, &result->test));
    json_object_set_new(object, "validation", quality_json(result->target, &result->validation));
#define PUT(name) json_object_set_new(object, #name, json_integer((json_int_t)result->name));
    WHOLES(PUT)
#undef PUT
#define PUT(name) json_object_set_new(object, #name, number(result->name));
    NUMBERS(PUT)
#undef PUT
    for (int i = 0; i < result->class_count * result->class_count; i++) json_array_append_new(confusion, json_integer(result->confusion[i]));
    for (int i = 0; i < result->epoch_count; i++) json_array_append_new(curve, epoch_json(result->target, &result->curve[i]));
    json_object_set_new(object, "confusion", confusion);
    json_object_set_new(object, "curve", curve);
    json_object_set_new(object, "description", json_string(description));
    return object;
}

sq_status sq__result_write(const char *path, const sq_run_result *result, const char *description, sq_error *error)
{
    json_t *object = result_json(result, description);
    char *text = json_dumps(object, JSON_INDENT(1) | JSON_REAL_PRECISION(17));
    json_decref(object);
    if (!text) return sq__no_memory(error);
    const sq_status status = sq__file_write(path, text, error);
    free(text);
    return status;
}

/* ---- reading ---- */

static double number_of(json_t *value) { return json_is_number(value) ? json_number_value(value) : NAN; }

static sq_quality quality_of(sq_target_kind target, json_t *object)
{
    sq_quality quality = sq__quality_unknown;
    const sq_metric_row *metric;
    for (int i = 0; (metric = sq__metric_of(target, i)); i++)
        *(double *)(void *)((char *)&quality + metric->offset) = number_of(json_object_get(object, metric->key));
    return quality;
}

static sq_status damaged(const char *path, sq_error *error)
{
    return sq__fail(error, SQ_FORMAT, "%s: is no result of a run, or a damaged one", path);
}

static sq_status arrays_of(json_t *object, const char *path, sq_run_result *result, sq_error *error)
{
    json_t *confusion = json_object_get(object, "confusion"), *curve = json_object_get(object, "curve");
    const int cells = result->class_count * result->class_count;
    if (result->class_count < 0 || result->class_count > SQ_MAX_CLASSES || json_array_size(confusion) != (size_t)cells || !json_is_array(curve) ||
        json_array_size(curve) > 1000000)
        return damaged(path, error);
    for (int i = 0; i < cells; i++) result->confusion[i] = json_integer_value(json_array_get(confusion, (size_t)i));
    result->curve = sq__alloc_array(json_array_size(curve), sizeof *result->curve);
    if (!result->curve) return sq__no_memory(error);
    result->epoch_count = (int)json_array_size(curve);
    for (int i = 0; i < result->epoch_count; i++) {
        json_t *epoch = json_array_get(curve, (size_t)i);
        result->curve[i] = (sq_epoch){ .epoch = json_integer_value(json_object_get(epoch, "epoch")),
                                       .step = json_integer_value(json_object_get(epoch, "step")),
                                       .train_loss = number_of(json_object_get(epoch, "train_loss")),
                                       .validation_loss = number_of(json_object_get(epoch, "validation_loss")),
                                       .seconds = number_of(json_object_get(epoch, "seconds")),
                                       .validation = quality_of(result->target, json_object_get(epoch, "validation")) };
    }
    return SQ_OK;
}

static sq_status result_of(json_t *object, const char *path, const char *description, sq_run_result *result, sq_error *error)
{
    const char *format = json_string_value(json_object_get(object, "format")), *mechanism = json_string_value(json_object_get(object, "mechanism"));
    const char *found = json_string_value(json_object_get(object, "description"));
    if (!format || strcmp(format, format_name) != 0 || !mechanism || !found) return damaged(path, error);
    SQ_TRY(sq__description_check(path, found, description, error));
    snprintf(result->mechanism, sizeof result->mechanism, "%s", mechanism);
    result->seed = (uint64_t)json_integer_value(json_object_get(object, "seed"));
    result->diverged = json_is_true(json_object_get(object, "diverged"));
    const json_int_t target = json_integer_value(json_object_get(object, "target"));   /* not there: of an older version, a class */
    if (target < SQ_TARGET_CLASS || target > SQ_TARGET_EVENT_BITS) return damaged(path, error);
    result->target = (sq_target_kind)target;
    result->test = quality_of(result->target, json_object_get(object, "test"));
    result->validation = quality_of(result->target, json_object_get(object, "validation"));
#define GET(name) result->name = (__typeof__(result->name))json_integer_value(json_object_get(object, #name));
    WHOLES(GET)
#undef GET
#define GET(name) result->name = number_of(json_object_get(object, #name));
    NUMBERS(GET)
#undef GET
    return arrays_of(object, path, result, error);
}

sq_status sq__result_read(const char *path, const char *description, sq_run_result *result, sq_error *error)
{
    char *text;
    size_t size;
    json_error_t why;
    *result = (sq_run_result){ 0 };
    SQ_TRY(sq__file_read(path, &text, &size, error));
    json_t *object = json_loadb(text, size, JSON_REJECT_DUPLICATES, &why);
    sq__free(text);
    if (!object) return sq__fail(error, SQ_FORMAT, "%s:%d:%d: %s", path, why.line, why.column, why.text);
    sq_status status = result_of(object, path, description, result, error);
    json_decref(object);
    if (status != SQ_OK) sq_run_result_clear(result);
    return status;
}

void sq_run_result_clear(sq_run_result *result)
{
    if (!result) return;
    sq__free(result->curve);
    result->curve = NULL;
    result->epoch_count = 0;
}
