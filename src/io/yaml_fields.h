/* Option tables (base/fields.h) from and to YAML maps. Depends on base, io/yaml.h. */
#ifndef SQ_IO_YAML_FIELDS_H
#define SQ_IO_YAML_FIELDS_H

#include "base/fields.h"
#include "io/yaml.h"

/* Set what the map names; the rest of config stays. A list of scalars serves a TEXT field: its items joined by commas. An unknown key
 * is SQ_NOT_FOUND with "name:line:column" and the nearest key, a bad value has its own place. owner: "train", "performer". */
sq_status sq__yaml_fields_read(const sq_yaml_document *document, const sq_yaml *map, const sq_field *fields, void *config, const char *owner,
                               sq_error *error);
/* Every field on its own line, indented by `indent` blanks; text that needs it in quotes. */
void sq__yaml_fields_write(FILE *stream, const sq_field *fields, const void *config, int indent);
void sq__yaml_put_text(FILE *stream, const char *text);   /* a scalar in double quotes */

#endif
