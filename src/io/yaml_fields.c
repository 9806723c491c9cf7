#include "io/yaml_fields.h"

#include <string.h>

enum { MOST_FIELDS = 64 };

/* A scalar's text, or a list's scalars joined by commas. */
static sq_status value_text(const sq_yaml_document *document, const sq_yaml *node, const sq_field *field, char *buffer, size_t size, sq_error *error)
{
    const bool list = node->type == SQ_YAML_LIST && field->type == SQ_FIELD_TEXT;
    if (!list && node->type != SQ_YAML_SCALAR) return sq__yaml_fail(document, node, error, "%s: expected one value", field->name);
    size_t used = 0;
    buffer[0] = 0;
    for (int i = 0; i < (list ? node->count : 1); i++) {
        const sq_yaml *item = list ? node->items[i] : node;
        if (item->type != SQ_YAML_SCALAR) return sq__yaml_fail(document, item, error, "%s: expected a list of plain values", field->name);
        const size_t length = strlen(item->text);
        if (used + length + 2 > size) return sq__yaml_fail(document, item, error, "%s: is longer than %zu bytes", field->name, size - 1);
        if (i > 0) buffer[used++] = ',';
        memcpy(buffer + used, item->text, length + 1);
        used += length;
    }
    return SQ_OK;
}

sq_status sq__yaml_fields_read(const sq_yaml_document *document, const sq_yaml *map, const sq_field *fields, void *config, const char *owner,
                               sq_error *error)
{
    const char *names[MOST_FIELDS];
    const int count = sq__fields_count(fields) < MOST_FIELDS ? sq__fields_count(fields) : MOST_FIELDS;
    if (map->type == SQ_YAML_SCALAR && map->text[0] == 0) return SQ_OK;   /* "train:" with nothing below it */
    if (map->type != SQ_YAML_MAP) return sq__yaml_fail(document, map, error, "%s: expected keys with values", owner);
    for (int i = 0; i < count; i++) names[i] = fields[i].name;
    for (int i = 0; i < map->count; i++) {
        const sq_yaml *key = map->keys[i];
        const sq_field *field = sq__fields_find(fields, key->text);
        char near[128], text[SQ_TEXT_FIELD_SIZE + 2];
        if (!field)
            return sq__fail(error, SQ_NOT_FOUND, "%s:%d:%d: %s has no option '%s'%s", document->name, key->line, key->column, owner, key->text,
                            sq__did_you_mean(key->text, names, count, near, sizeof near));
        SQ_TRY(value_text(document, map->items[i], field, text, sizeof text, error));
        sq_error why;
        if (sq__fields_set(fields, config, owner, field->name, text, &why) != SQ_OK)
            return sq__yaml_fail(document, map->items[i], error, "%s", why.message);
    }
    return SQ_OK;
}

void sq__yaml_put_text(FILE *stream, const char *text)
{
    fputc('"', stream);
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        if (*at == '"' || *at == '\\') fprintf(stream, "\\%c", *at);
        else if (*at < 0x20 || *at == 0x7f) fprintf(stream, "\\x%02X", *at);
        else fputc(*at, stream);
    }
    fputc('"', stream);
}

void sq__yaml_fields_write(FILE *stream, const sq_field *fields, const void *config, int indent)
{
    for (; fields && fields->name; fields++) {
        char value[SQ_TEXT_FIELD_SIZE];
        sq__fields_format(fields, config, value, sizeof value);
        fprintf(stream, "%*s%s: ", indent, "", fields->name);
        if (fields->type == SQ_FIELD_TEXT) sq__yaml_put_text(stream, value);
        else fputs(value, stream);
        fputc('\n', stream);
    }
}
