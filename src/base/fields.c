#include "base/fields.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { MOST_FIELDS = 64 };

int sq__fields_count(const sq_field *fields)
{
    int count = 0;
    while (fields && fields[count].name) count++;
    return count;
}

static bool same_name(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_'))) return false;
    return *a == *b;
}

const sq_field *sq__fields_find(const sq_field *fields, const char *name)
{
    for (int i = 0; i < sq__fields_count(fields); i++)
        if (same_name(fields[i].name, name)) return &fields[i];
    return NULL;
}

static sq_status set_number(const sq_field *field, void *at, const char *owner, const char *value, sq_error *error)
{
    char *end;
    errno = 0;
    double number = field->type == SQ_FIELD_INT ? 0 : strtod(value, &end);
    long long whole = field->type == SQ_FIELD_INT ? strtoll(value, &end, 10) : 0;
    const char *kind = field->type == SQ_FIELD_INT ? "a whole number" : "a number";
    if (end == value || *end || errno == ERANGE || !isfinite(number))
        return sq__fail(error, SQ_INVALID, "%s: %s is '%s'; expected %s", owner, field->name, value, kind);
    double checked = field->type == SQ_FIELD_INT ? (double)whole : number;
    if (checked < field->minimum || checked > field->maximum)
        return sq__fail(error, SQ_INVALID, "%s: %s is %s; expected %.10g to %.10g", owner, field->name, value, field->minimum, field->maximum);
    if (field->type == SQ_FIELD_INT) *(int64_t *)at = whole;
    else *(double *)at = number;
    return SQ_OK;
}

static sq_status set_bool(const sq_field *field, bool *at, const char *owner, const char *value, sq_error *error)
{
    static const char *const words[] = { "false", "true", "no", "yes", "off", "on", "0", "1" };
    for (int i = 0; i < 8; i++)
        if (strcasecmp(value, words[i]) == 0) {
            *at = i % 2;
            return SQ_OK;
        }
    return sq__fail(error, SQ_INVALID, "%s: %s is '%s'; expected true or false", owner, field->name, value);
}

static sq_status set_choice(const sq_field *field, int *at, const char *owner, const char *value, sq_error *error)
{
    int count = 0;
    char near[128], list[256] = "";
    for (; field->choices[count]; count++) {
        if (same_name(field->choices[count], value)) {
            *at = count;
            return SQ_OK;
        }
        size_t used = strlen(list);
        snprintf(list + used, sizeof list - used, "%s%s", count ? ", " : "", field->choices[count]);
    }
    return sq__fail(error, SQ_INVALID, "%s: %s is '%s'; expected one of %s%s", owner, field->name, value, list,
                    sq__did_you_mean(value, field->choices, count, near, sizeof near));
}

static sq_status set_text(const sq_field *field, char *at, const char *owner, const char *value, sq_error *error)
{
    if (strlen(value) >= SQ_TEXT_FIELD_SIZE)
        return sq__fail(error, SQ_INVALID, "%s: %s is longer than %d bytes", owner, field->name, SQ_TEXT_FIELD_SIZE - 1);
    strcpy(at, value);
    return SQ_OK;
}

static sq_status set(const sq_field *field, void *config, const char *owner, const char *value, sq_error *error)
{
    void *at = (char *)config + field->offset;
    switch (field->type) {
    case SQ_FIELD_INT:
    case SQ_FIELD_FLOAT: return set_number(field, at, owner, value, error);
    case SQ_FIELD_BOOL: return set_bool(field, at, owner, value, error);
    case SQ_FIELD_CHOICE: return set_choice(field, at, owner, value, error);
    case SQ_FIELD_TEXT: return set_text(field, at, owner, value, error);
    }
    return SQ_INTERNAL;
}

void sq__fields_defaults(const sq_field *fields, void *config)
{
    for (int i = 0; i < sq__fields_count(fields); i++) set(&fields[i], config, "default", fields[i].initial, NULL);
}

sq_status sq__fields_set(const sq_field *fields, void *config, const char *owner, const char *name, const char *value, sq_error *error)
{
    const sq_field *field = sq__fields_find(fields, name);
    if (field) return set(field, config, owner, value, error);
    const char *names[MOST_FIELDS];
    char near[128];
    int count = sq__fields_count(fields);
    if (count > MOST_FIELDS) count = MOST_FIELDS;
    for (int i = 0; i < count; i++) names[i] = fields[i].name;
    return sq__fail(error, SQ_NOT_FOUND, "%s has no option '%s'%s", owner, name, sq__did_you_mean(name, names, count, near, sizeof near));
}

void sq__field_info(const sq_field *field, sq_option_info *info)
{
    static const sq_option_type types[] = { [SQ_FIELD_INT] = SQ_OPTION_INT, [SQ_FIELD_FLOAT] = SQ_OPTION_FLOAT, [SQ_FIELD_BOOL] = SQ_OPTION_BOOL,
                                            [SQ_FIELD_CHOICE] = SQ_OPTION_CHOICE, [SQ_FIELD_TEXT] = SQ_OPTION_TEXT };
    *info = (sq_option_info){ field->name, field->help, types[field->type], field->initial, field->minimum, field->maximum, field->choices };
}

const char *sq__fields_format(const sq_field *field, const void *config, char *buffer, size_t size)
{
    const void *at = (const char *)config + field->offset;
    switch (field->type) {
    case SQ_FIELD_INT: snprintf(buffer, size, "%lld", (long long)*(const int64_t *)at); break;
    case SQ_FIELD_FLOAT:
        for (int digits = 6; digits <= 17; digits++) {   /* the shortest that reads back the same */
            snprintf(buffer, size, "%.*g", digits, *(const double *)at);
            if (strtod(buffer, NULL) == *(const double *)at) break;
        }
        break;
    case SQ_FIELD_BOOL: snprintf(buffer, size, "%s", *(const bool *)at ? "true" : "false"); break;
    case SQ_FIELD_CHOICE: snprintf(buffer, size, "%s", field->choices[*(const int *)at]); break;
    case SQ_FIELD_TEXT: snprintf(buffer, size, "%s", (const char *)at); break;
    }
    return buffer;
}
