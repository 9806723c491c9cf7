/* The tree of paths below `data`: what each leaf is and where it lies. */
#include <string.h>

#include "data/config_lists.h"

/* Visit every leaf path; true from visit stops. */
bool sq__config_each_path(bool (*visit)(void *user, const char *path), void *user)
{
    char path[SQ_CONFIG_PATH];
    for (const sq_data_section *section = sq__data_sections; section->name; section++)
        for (const sq_field *field = section->fields; field->name; field++) {
            snprintf(path, sizeof path, "%s%s%s", section->name, section->name[0] ? "." : "", field->name);
            if (visit(user, path)) return true;
        }
    for (const sq_data_list *list = sq__data_lists; list->name; list++)
        if (visit(user, list->name)) return true;
    return false;
}

const sq_data_section *sq__config_section(const char *name)
{
    for (const sq_data_section *section = sq__data_sections; section->name; section++)
        if (strcmp(section->name, name) == 0) return section;
    return NULL;
}

const sq_data_list *sq__config_list(const char *path)
{
    for (const sq_data_list *list = sq__data_lists; list->name; list++)
        if (strcmp(list->name, path) == 0) return list;
    return NULL;
}

/* The field a path names, and where its struct lies. */
const sq_field *sq__config_field(const sq_data_config *config, const char *path, void **owner)
{
    char name[SQ_CONFIG_PATH] = "";
    const char *dot = strchr(path, '.'), *leaf = dot ? dot + 1 : path;
    if (dot && (size_t)(dot - path) < sizeof name) memcpy(name, path, (size_t)(dot - path));
    const sq_data_section *section = sq__config_section(name);
    const sq_field *field = section && (!dot || name[0]) ? sq__fields_find(section->fields, leaf) : NULL;
    if (field) *owner = (char *)config + section->offset;
    return field;
}
