/* Everything that a task can name and give options: the mechanisms of the registry, then the kinds of backbones.c. Depends on attention. */
#ifndef SQ_MODELS_CATALOGUE_H
#define SQ_MODELS_CATALOGUE_H

#include "base/fields.h"

typedef struct sq_named {
    const char *section, *name;        /* "attention" or "models": where a task file gives its options */
    size_t config_size;                /* of its options */
    const sq_field *fields;            /* NULL: it has none */
} sq_named;

int sq__named_count(void);
sq_named sq__named_at(int index);
int sq__named_find(const char *name);      /* index, or -1 */
/* Is there such a name, in this section (NULL: in any)? SQ_NOT_FOUND with the nearest. other: one more name that is known, or NULL. */
sq_status sq__name_check(const char *section, const char *name, const char *other, sq_error *error);

#endif
