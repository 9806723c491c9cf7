/* Metadata of a golden file in its several forms, and the tolerance that follows from the measured float32 error. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "verify/golden_state.h"

bool sq__golden_starts(const char *text, const char *prefix)
{
    return text && strncmp(text, prefix, strlen(prefix)) == 0;
}

bool sq__golden_variant(const char *variant, const char *prefix)
{
    const size_t length = strlen(prefix) - 1;   /* without the last '_' */
    return strncmp(variant, prefix, length) == 0 && (variant[length] == '_' || !variant[length]);
}

/* ---- metadata ---- */

static bool number_of_text(const char *text, double *value)
{
    if (strcasecmp(text, "true") == 0 || strcasecmp(text, "false") == 0) {
        *value = strcasecmp(text, "true") == 0;
        return true;
    }
    char *end;
    *value = strtod(text, &end);
    return end != text && !*end && isfinite(*value);
}

static bool number_of_json(const json_t *json, double *value)
{
    if (json_is_number(json)) *value = json_number_value(json);
    else if (json_is_boolean(json)) *value = json_is_true(json);
    else return json_is_string(json) && number_of_text(json_string_value(json), value);
    return true;
}

/* Where "[1]" or ".beta[0]" leads from a JSON value; NULL: nowhere, or to null. */
static const json_t *follow(const json_t *at, const char *path)
{
    while (at && *path) {
        if (*path == '[') {
            at = json_array_get(at, strtoul(path + 1, NULL, 10));
            path += strcspn(path, "]") + 1;
        } else {
            size_t length = strcspn(++path, ".[");
            at = json_object_getn(at, path, length);
            path += length;
        }
    }
    return at && !json_is_null(at) ? at : NULL;
}

static const char *plain_text(const sq_golden *golden, const char *key)
{
    char plain[64];
    size_t length = strcspn(key, ".[");
    snprintf(plain, sizeof plain, "%.*s", (int)(length < sizeof plain ? length : sizeof plain - 1), key);
    const char *text = sq__safetensors_metadata(golden->file, plain);
    return !text || strcmp(text, "null") == 0 ? NULL : text;
}

const char *sq__golden_text(sq_golden *golden, const char *key, const char *otherwise)
{
    const char *text = plain_text(golden, key), *path = key + strcspn(key, ".[");
    if (text && *path) {
        json_t *json = json_loads(text, 0, NULL);
        const char *entry = json_string_value(follow(json, path));
        char *copy = entry ? sq__golden_memory(golden, (int64_t)strlen(entry) + 1, 1) : NULL;
        text = copy ? strcpy(copy, entry) : NULL;
        json_decref(json);
    }
    if (text) return text;
    if (!otherwise) sq__golden_fail(golden, "metadata '%.60s' is missing", key);
    return otherwise ? otherwise : "";
}

/* The value of a key, plain or with a path into a JSON text. False: there is none. */
static bool lookup(sq_golden *golden, const char *key, double *value, bool *readable)
{
    const char *text = plain_text(golden, key), *path = key + strcspn(key, ".[");
    *readable = true;
    if (!text) return false;
    if (!*path) {
        *readable = number_of_text(text, value);
        return true;
    }
    json_t *json = json_loads(text, 0, NULL);
    const json_t *at = follow(json, path);
    const bool found = at != NULL;
    *readable = json && (!found || number_of_json(at, value));
    json_decref(json);
    return found || !*readable;
}

double sq__golden_number(sq_golden *golden, const char *key, double otherwise)
{
    double value = 0;
    bool readable, found = lookup(golden, key, &value, &readable);
    if (!readable) sq__golden_fail(golden, "metadata '%.60s' is no number", key);
    else if (!found && isnan(otherwise)) sq__golden_fail(golden, "metadata '%.60s' is missing", key);
    return found && readable ? value : isnan(otherwise) ? 0 : otherwise;
}

int64_t sq__golden_count(sq_golden *golden, const char *key, int64_t otherwise)
{
    double value = sq__golden_number(golden, key, otherwise < 0 ? NAN : (double)otherwise);
    if (value >= 0 && value <= 1e15 && value == floor(value)) return (int64_t)value;
    sq__golden_fail(golden, "metadata '%.60s' is %g; expected a whole number from 0", key, value);
    return 0;
}

bool sq__golden_flag(sq_golden *golden, const char *key, bool otherwise)
{
    double value = sq__golden_number(golden, key, otherwise);
    if (value != 0 && value != 1) sq__golden_fail(golden, "metadata '%.60s' is %g; expected yes or no", key, value);
    return value == 1;
}

/* ---- the measured float32 error, in the three forms that files have ---- */

typedef struct recorded { bool absolute_known, relative_known, zero, common; double absolute, relative; } recorded;

bool sq__golden_is_gradient(const sq_golden *golden, const char *name)
{
    return sq__golden_starts(name, "grad.") || (name[0] == 'd' && name[1] && sq__golden_has(golden, name + 1));
}

static bool metadata_number(const sq_golden *golden, const char *format, const char *name, double *value, bool *not_a_number)
{
    char key[160];
    snprintf(key, sizeof key, format, name);
    const char *text = sq__safetensors_metadata(golden->file, key);
    *not_a_number = text && strcasecmp(text, "nan") == 0;
    return text && number_of_text(text, value);
}

static recorded find_recorded(const sq_golden *golden, const char *name)
{
    recorded found = { .zero = false };
    bool nan_text;
    /* f32_error: tensor -> [absolute, relative to max] */
    const json_t *pair = json_object_get(golden->recorded, name);
    if (pair) {
        found.absolute_known = number_of_json(json_array_get(pair, 0), &found.absolute);
        found.relative_known = number_of_json(json_array_get(pair, 1), &found.relative);
    }
    for (size_t i = 0; i < json_array_size(golden->zeros); i++) {
        const char *listed = json_string_value(json_array_get(golden->zeros, i));
        if (listed && strcmp(listed, name) == 0) found.zero = true;
    }
    if (golden->recorded) return found;
    /* f32_err_<tensor>_max_abs and _rel_to_max; nan: zero in exact arithmetic */
    found.absolute_known = metadata_number(golden, "f32_err_%.100s_max_abs", name, &found.absolute, &nan_text);
    found.relative_known = metadata_number(golden, "f32_err_%.100s_rel_to_max", name, &found.relative, &nan_text);
    found.zero = found.zero || nan_text;
    if (found.absolute_known) return found;
    /* one figure for the output, one for all gradients */
    const char *side = sq__golden_is_gradient(golden, name) ? "grads" : "out";
    found.common = true;
    found.absolute_known = metadata_number(golden, "f32_reference_max_abs_err_%s", side, &found.absolute, &nan_text);
    found.relative_known = metadata_number(golden, "f32_reference_max_rel_to_max_err_%s", side, &found.relative, &nan_text);
    return found;
}

/* ---- tolerances ---- */

static double largest_other_gradient(const sq_golden *golden, const char *name)
{
    double largest = 0;
    for (int i = 0; i < golden->result->tensor_count; i++) {
        const sq_verify_tensor *t = &golden->result->tensors[i];
        if (strcmp(t->name, name) != 0 && sq__golden_is_gradient(golden, t->name)) largest = fmax(largest, t->largest);
    }
    return largest;
}

/* Files that do not say so: the references ran in double precision, so what is this far below the other gradients is their rounding. */
static bool is_rounding(const sq_golden *golden, const sq_verify_tensor *t)
{
    return sq__golden_is_gradient(golden, t->name) && t->largest < 1e-12 * largest_other_gradient(golden, t->name);
}

static double tolerance_of(const sq_golden *golden, const sq_verify_tensor *t)
{
    const sq_golden_rule *rule = &golden->rule;
    recorded found = find_recorded(golden, t->name);
    found.zero |= is_rounding(golden, t);
    if (rule->fixed) {
        if (found.zero && found.absolute_known) return 10 * found.absolute + rule->floor;
        return (sq__golden_is_gradient(golden, t->name) ? rule->gradient : rule->output) * t->largest + rule->floor;
    }
    if (found.zero) return 1e-5 * largest_other_gradient(golden, t->name);
    const double least = found.common && found.absolute_known ? 10 * found.absolute : 0;
    return fmax(least, fmax(1e-5, found.relative_known ? 10 * found.relative : 0) * t->largest);
}

void sq__golden_tolerances(sq_golden *golden)
{
    for (int i = 0; i < golden->result->tensor_count; i++) {
        sq_verify_tensor *t = &golden->result->tensors[i];
        t->tolerance = tolerance_of(golden, t);
        t->passed = t->error <= t->tolerance;
    }
}
