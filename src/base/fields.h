/* Options as data: one table declares each option of a config struct (name, type, default, range, help). From it come
 * command-line flags, YAML keys, --help, checkpoint metadata and documentation. Depends on status only. */
#ifndef SQ_BASE_FIELDS_H
#define SQ_BASE_FIELDS_H

#include "base/status.h"
#include "subquad/attention.h"   /* sq_option_info: how a field shows in public */

typedef enum sq_field_type { SQ_FIELD_INT, SQ_FIELD_FLOAT, SQ_FIELD_BOOL, SQ_FIELD_CHOICE, SQ_FIELD_TEXT } sq_field_type;

#define SQ_TEXT_FIELD_SIZE 1024  /* a TEXT field is a char[SQ_TEXT_FIELD_SIZE] in the struct */

/* INT is int64_t, FLOAT is double, BOOL is bool, CHOICE is int (index into choices). */
typedef struct sq_field {
    const char *name;
    sq_field_type type;
    size_t offset;
    const char *initial;               /* default, as text */
    double minimum, maximum;
    const char *const *choices;        /* NULL-terminated */
    const char *help;
} sq_field;

#define SQ_INT(S, m, initial, lo, hi, help) { #m, SQ_FIELD_INT, offsetof(S, m), initial, lo, hi, NULL, help }
#define SQ_FLOAT(S, m, initial, lo, hi, help) { #m, SQ_FIELD_FLOAT, offsetof(S, m), initial, lo, hi, NULL, help }
#define SQ_BOOL(S, m, initial, help) { #m, SQ_FIELD_BOOL, offsetof(S, m), initial, 0, 1, NULL, help }
#define SQ_CHOICE(S, m, initial, choices, help) { #m, SQ_FIELD_CHOICE, offsetof(S, m), initial, 0, 0, choices, help }
#define SQ_TEXT(S, m, initial, help) { #m, SQ_FIELD_TEXT, offsetof(S, m), initial, 0, 0, NULL, help }
#define SQ_FIELDS_END { NULL, SQ_FIELD_INT, 0, NULL, 0, 0, NULL, NULL }

int sq__fields_count(const sq_field *fields);                                   /* NULL table: 0 */
void sq__fields_defaults(const sq_field *fields, void *config);
const sq_field *sq__fields_find(const sq_field *fields, const char *name);      /* '-' and '_' are equal; NULL if absent */
/* owner names the thing in messages: "performer". Unknown name: SQ_NOT_FOUND with the nearest; bad value: SQ_INVALID. */
sq_status sq__fields_set(const sq_field *fields, void *config, const char *owner, const char *name, const char *value, sq_error *error);
void sq__field_info(const sq_field *field, sq_option_info *info);   /* the public face of a field */
/* The current value as text that sq__fields_set reads back to the same bits. Returns buffer. */
const char *sq__fields_format(const sq_field *field, const void *config, char *buffer, size_t size);

#endif
