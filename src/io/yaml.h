/* YAML as a tree whose every node knows file:line:column (libyaml). Depends on base. */
#ifndef SQ_IO_YAML_H
#define SQ_IO_YAML_H

#include "base/status.h"

typedef enum sq_yaml_type { SQ_YAML_SCALAR, SQ_YAML_LIST, SQ_YAML_MAP } sq_yaml_type;

typedef struct sq_yaml {
    sq_yaml_type type;
    int line, column;                  /* from 1; of the value */
    const char *text;                  /* SCALAR: its text; NUL-terminated UTF-8 */
    int count;                         /* LIST, MAP: number of entries */
    struct sq_yaml **items;            /* LIST, MAP: values */
    struct sq_yaml **keys;             /* MAP: scalar keys, unique */
} sq_yaml;

typedef struct sq_yaml_document { sq_yaml *root; const char *name; void *owner; } sq_yaml_document;

/* SQ_FORMAT with "name:line:column: ..." for bad YAML, duplicate keys, anchors that loop, nesting deeper than 64. */
sq_status sq__yaml_load(sq_yaml_document **document, const char *path, sq_error *error);
sq_status sq__yaml_parse(sq_yaml_document **document, const char *name, const char *text, size_t size, sq_error *error);
void sq__yaml_destroy(sq_yaml_document **document);

sq_yaml *sq__yaml_get(const sq_yaml *map, const char *key);          /* NULL if absent or not a map */
/* error at a node: "name:line:column: message" */
sq_status sq__yaml_fail(const sq_yaml_document *document, const sq_yaml *node, sq_error *error, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Every key of map must be in allowed[count]; else the offending key's place and the nearest allowed name. */
sq_status sq__yaml_check_keys(const sq_yaml_document *document, const sq_yaml *map, const char *const *allowed, int count, sq_error *error);

#endif
