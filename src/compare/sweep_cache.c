/* sweep.json: { mechanism: { "condition": text, "points": [[n, forward s, both s, forward bytes, both bytes], ...] } }.
 * A file that cannot be read, or was measured under another condition, counts as none: the sweep is measured again. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "compare/comparing.h"
#include "io/file.h"

static json_t *load(const char *folder)
{
    char *path = sq__path_join(folder, "sweep.json"), *text;
    size_t size;
    json_t *root = NULL;
    if (path && sq__file_read(path, &text, &size, NULL) == SQ_OK) {
        root = json_loadb(text, size, 0, NULL);
        sq__free(text);
    }
    sq__free(path);
    return root;
}

static double number(json_t *array, size_t index)
{
    json_t *value = json_array_get(array, index);
    return json_is_number(value) ? json_number_value(value) : NAN;
}

/* n is a whole number and each figure is positive, or null both in time and memory. */
static bool read_point(json_t *from, sq_sweep_point *point)
{
    const double n = number(from, 0);
    if (json_array_size(from) != 5 || !(n >= 1 && n <= 1e12)) return false;
    point->n = (int64_t)n;
    for (int pass = 0; pass < SQ_PASSES; pass++) {
        const double seconds = number(from, 1 + (size_t)pass), bytes = number(from, 3 + (size_t)pass);
        if (isfinite(seconds) && !(seconds > 0 && bytes >= 0 && bytes < 1e18)) return false;
        point->seconds[pass] = seconds;
        point->peak_bytes[pass] = isfinite(seconds) ? (size_t)bytes : 0;
    }
    return true;
}

void sq__sweep_cache_read(const char *folder, const char *mechanism, const char *condition, sq_comparing_model *model)
{
    json_t *root = load(folder), *entry = json_object_get(root, mechanism), *points = json_object_get(entry, "points");
    const char *stored = json_string_value(json_object_get(entry, "condition"));
    if (stored && strcmp(stored, condition) == 0)
        for (size_t i = 0; i < json_array_size(points) && model->point_count < SQ_COMPARE_LENGTHS; i++)
            if (read_point(json_array_get(points, i), &model->points[model->point_count])) model->point_count++;
    json_decref(root);
}

static json_t *write_points(const sq_comparing_model *model)
{
    json_t *points = json_array();
    for (int p = 0; points && p < model->point_count; p++) {
        const sq_sweep_point *at = &model->points[p];
        json_t *point = json_array();
        json_array_append_new(point, json_integer(at->n));
        for (int pass = 0; pass < SQ_PASSES; pass++) json_array_append_new(point, isfinite(at->seconds[pass]) ? json_real(at->seconds[pass]) : json_null());
        for (int pass = 0; pass < SQ_PASSES; pass++) json_array_append_new(point, json_integer((json_int_t)at->peak_bytes[pass]));
        if (json_array_append_new(points, point) != 0 || json_array_size(point) != 5) {
            json_decref(points);
            return NULL;
        }
    }
    return points;
}

sq_status sq__sweep_cache_write(const char *folder, const char *mechanism, const char *condition, const sq_comparing_model *model, sq_error *error)
{
    json_t *root = load(folder), *entry = json_object();
    if (!json_is_object(root)) {
        json_decref(root);
        root = json_object();
    }
    char *text = NULL, *path = sq__path_join(folder, "sweep.json");
    if (json_object_set_new(entry, "condition", json_string(condition)) == 0 && json_object_set_new(entry, "points", write_points(model)) == 0 &&
        json_object_set(root, mechanism, entry) == 0)
        text = json_dumps(root, JSON_INDENT(1) | JSON_REAL_PRECISION(12));
    json_decref(entry);
    json_decref(root);
    const sq_status status = text && path ? sq__file_write(path, text, error) : sq__no_memory(error);
    sq__free(path);
    free(text);
    return status;
}
