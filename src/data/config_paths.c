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

/* Of an entry of a list of columns, or of the section itself. */
static const sq_field *fields_of(const char *name)
{
    if (strcmp(name, "categorical") == 0) return sq__data_categorical_fields;
    if (strcmp(name, "numeric") == 0) return sq__data_numeric_fields;
    const sq_data_section *section = sq__config_section(name);
    return section ? section->fields : NULL;
}

/* A list belongs to the section that its path names: "explode.into", "split.files.train"; the rest is its name there. */
static const char *name_in_section(const sq_data_list *list, const char *section)
{
    const size_t length = strlen(section);
    if (length == 0) return strchr(list->name, '.') ? NULL : list->name;
    return strncmp(list->name, section, length) == 0 && list->name[length] == '.' ? list->name + length + 1 : NULL;
}

bool sq__data_option(const char *part, int index, sq_option_info *info)
{
    const sq_field *fields = fields_of(part);
    const int count = sq__fields_count(fields);
    if (!fields || index < 0) return false;
    if (index < count) {
        sq__field_info(&fields[index], info);
        return true;
    }
    index -= count;
    for (const sq_data_list *list = sq__data_lists; list->name; list++) {
        const char *name = name_in_section(list, part);
        if (!name || index-- > 0) continue;
        *info = (sq_option_info){ .name = name, .help = list->help, .type = SQ_OPTION_TEXT, .default_text = "[]" };
        return true;
    }
    return false;
}
