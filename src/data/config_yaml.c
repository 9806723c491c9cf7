/* The data section from YAML, key by key: whole, or one path. */
#include "data/config_lists.h"

#include <string.h>
#include <unistd.h>

#include "base/memory.h"
#include "io/file.h"

enum { MOST_NAMES = 64, MOST_ENTRIES = 4096, MOST_FOLDER = 4096 };

typedef struct reader {
    sq_data_config *config;
    const sq_yaml_document *document;
    const char *folder;                /* of relative file names */
    sq_error *error;
} reader;

static void *at_offset(const sq_data_config *config, size_t offset)
{
    return (char *)config + offset;
}

typedef struct children { const char *prefix; char names[MOST_NAMES][SQ_CONFIG_PATH]; int count; } children;

static bool add_child(void *user, const char *path)
{
    children *c = user;
    size_t length = strlen(c->prefix);
    if (strncmp(path, c->prefix, length) != 0) return false;
    path += length;
    size_t size = strcspn(path, ".");
    for (int i = 0; i < c->count; i++)
        if (strlen(c->names[i]) == size && memcmp(c->names[i], path, size) == 0) return false;
    memcpy(c->names[c->count], path, size);
    c->names[c->count++][size] = '\0';
    return c->count == MOST_NAMES;
}

/* ---- lists ---- */

static sq_status add_text(sq_text_list *list, char *text, sq_error *error)
{
    char **larger = text ? sq__realloc(list->items, (size_t)(list->count + 1) * sizeof *larger) : NULL;
    if (!larger) {
        sq__free(text);
        return sq__no_memory(error);
    }
    list->items = larger;
    list->items[list->count++] = text;
    return SQ_OK;
}

static sq_status read_texts(const reader *r, const sq_yaml *node, bool files, sq_text_list *list)
{
    sq__text_list_clear(list);
    bool one = node->type == SQ_YAML_SCALAR;
    if (one && !node->text[0]) return SQ_OK;
    for (int i = 0; i < (one ? 1 : node->count); i++) {
        const sq_yaml *item = one ? node : node->items[i];
        if (item->type != SQ_YAML_SCALAR) return sq__yaml_fail(r->document, item, r->error, "expected a text");
        if (files && !item->text[0]) return sq__yaml_fail(r->document, item, r->error, "expected the name of a file");
        SQ_TRY(add_text(list, files ? sq__path_join(r->folder, item->text) : sq__strdup(item->text), r->error));
    }
    return SQ_OK;
}

/* An entry is a column's name or a map over the given fields; size: of its struct. */
static sq_status read_entry(const reader *r, const sq_yaml *item, const sq_field *fields, const char *owner, void *entry)
{
    const char *names[8];
    int count = sq__fields_count(fields);
    sq__fields_defaults(fields, entry);
    if (item->type == SQ_YAML_LIST) return sq__yaml_fail(r->document, item, r->error, "expected a column's name or {column: ...}");
    if (item->type == SQ_YAML_MAP) {
        for (int i = 0; i < count; i++) names[i] = fields[i].name;
        SQ_TRY(sq__yaml_check_keys(r->document, item, names, count, r->error));
    }
    for (int i = 0; i < count; i++) {
        const sq_yaml *value = item->type == SQ_YAML_MAP ? sq__yaml_get(item, names[i]) : i == 0 ? item : NULL;
        if (!value) continue;
        sq_error inner;
        if (value->type != SQ_YAML_SCALAR) return sq__yaml_fail(r->document, value, r->error, "expected one value");
        if (sq__fields_set(fields, entry, owner, fields[i].name, value->text, &inner) != SQ_OK)
            return sq__yaml_fail(r->document, value, r->error, "%s", inner.message);
    }
    if (((const char *)entry)[0]) return SQ_OK;   /* column is the first member of both structs */
    return sq__yaml_fail(r->document, item, r->error, "%s: 'column' is missing", owner);
}

static sq_status read_entries(const reader *r, const sq_yaml *node, const sq_field *fields, const char *owner, size_t size, void **entries,
                              int *count)
{
    sq__free(*entries);
    *entries = NULL;
    *count = 0;
    bool one = node->type == SQ_YAML_SCALAR;
    if (one && !node->text[0]) return SQ_OK;
    if (node->type == SQ_YAML_MAP) return sq__yaml_fail(r->document, node, r->error, "expected a list of columns");
    int wanted = one ? 1 : node->count;
    if (wanted > MOST_ENTRIES) return sq__yaml_fail(r->document, node, r->error, "more than 4096 columns");
    *entries = sq__alloc_array((size_t)wanted, size);
    if (!*entries) return sq__no_memory(r->error);
    for (int i = 0; i < wanted; i++) SQ_TRY(read_entry(r, one ? node : node->items[i], fields, owner, (char *)*entries + (size_t)i * size));
    *count = wanted;
    return SQ_OK;
}

static sq_status read_list(const reader *r, const sq_yaml *node, const sq_data_list *list)
{
    sq_data_config *config = r->config;
    void *entries = NULL;
    sq_status status;
    switch (list->kind) {
    case SQ_LIST_CATEGORICAL:
        entries = config->categorical;
        status = read_entries(r, node, sq__data_categorical_fields, "categorical", sizeof *config->categorical, &entries, &config->categorical_count);
        config->categorical = entries;
        return status;
    case SQ_LIST_NUMERIC:
        entries = config->numeric;
        status = read_entries(r, node, sq__data_numeric_fields, "numeric", sizeof *config->numeric, &entries, &config->numeric_count);
        config->numeric = entries;
        return status;
    case SQ_LIST_TEXTS:
    case SQ_LIST_FILES: break;
    }
    if (node->type == SQ_YAML_MAP) return sq__yaml_fail(r->document, node, r->error, "expected a text or a list of texts");
    return read_texts(r, node, list->kind == SQ_LIST_FILES, at_offset(config, list->offset));
}

/* ---- a map of keys ---- */

static sq_status read_leaf(const reader *r, const sq_yaml *node, const char *path)
{
    const sq_data_list *list = sq__config_list(path);
    if (list) return read_list(r, node, list);
    void *owner;
    sq_error inner;
    const sq_field *field = sq__config_field(r->config, path, &owner);
    const sq_data_section *section = field ? NULL : sq__config_section(path);
    if (section && node->type == SQ_YAML_SCALAR && sq__fields_find(section->fields, "column")) {   /* `text: review` */
        field = sq__fields_find(section->fields, "column");
        owner = at_offset(r->config, section->offset);
    }
    if (!field || node->type != SQ_YAML_SCALAR) return sq__yaml_fail(r->document, node, r->error, "%s: expected %s", path, field ? "one value" : "keys");
    const sq_field alone[] = { *field, SQ_FIELDS_END };
    if (sq__fields_set(alone, owner, "data", field->name, node->text, &inner) == SQ_OK) return SQ_OK;
    return sq__yaml_fail(r->document, node, r->error, "%s", inner.message);
}

static sq_status read_map(const reader *r, const sq_yaml *map, const char *prefix)
{
    children known = { .prefix = prefix };
    const char *names[MOST_NAMES];
    sq__config_each_path(add_child, &known);
    for (int i = 0; i < known.count; i++) names[i] = known.names[i];
    SQ_TRY(sq__yaml_check_keys(r->document, map, names, known.count, r->error));
    for (int i = 0; i < map->count; i++) {
        char path[SQ_CONFIG_PATH], below[SQ_CONFIG_PATH + 1];
        snprintf(path, sizeof path, "%s%s", prefix, map->keys[i]->text);
        snprintf(below, sizeof below, "%s.", path);
        children deeper = { .prefix = below };
        sq__config_each_path(add_child, &deeper);
        bool section = deeper.count > 0 && map->items[i]->type == SQ_YAML_MAP;
        SQ_TRY(section ? read_map(r, map->items[i], below) : read_leaf(r, map->items[i], path));
    }
    return SQ_OK;
}

static sq_status absolute(const char *folder, char **path, sq_error *error)
{
    char here[MOST_FOLDER] = "";
    if (folder[0] != '/' && !getcwd(here, sizeof here)) return sq__fail(error, SQ_IO, "the current folder has no name");
    *path = sq__path_join(here, folder);
    return *path ? SQ_OK : sq__no_memory(error);
}

sq_status sq__data_config_load(sq_data_config **config, const sq_yaml_document *document, const sq_yaml *node, const char *folder,
                               sq_error *error)
{
    char *whole;
    sq_error inner;
    *config = NULL;
    SQ_TRY(absolute(folder, &whole, error));
    sq_status status = sq__data_config_create(config, whole, error);
    reader r = { *config, document, whole, error };
    if (status == SQ_OK && node->type != SQ_YAML_MAP) status = sq__yaml_fail(document, node, error, "data: expected keys with values");
    if (status == SQ_OK) status = read_map(&r, node, "");
    sq__free(whole);
    if (status == SQ_OK && (status = sq__data_config_check(*config, &inner)) != SQ_OK) status = sq__yaml_fail(document, node, error, "%s", inner.message);
    if (status != SQ_OK) sq__data_config_destroy(config);
    return status;
}

/* ---- set ---- */

typedef struct near_path { char names[2 * MOST_NAMES][SQ_CONFIG_PATH]; const char *list[2 * MOST_NAMES]; int count; } near_path;

static bool gather(void *user, const char *path)
{
    near_path *near = user;
    snprintf(near->names[near->count], SQ_CONFIG_PATH, "%s", path);
    near->list[near->count] = near->names[near->count];
    return ++near->count == 2 * MOST_NAMES;
}

sq_status sq__data_config_set(sq_data_config *config, const char *path, const char *value, sq_error *error)
{
    void *owner;
    char section[SQ_CONFIG_PATH];
    const sq_data_list *list = sq__config_list(path);
    const sq_field *field = list ? NULL : sq__config_field(config, path, &owner);
    if (field) {
        const sq_field alone[] = { *field, SQ_FIELDS_END };
        const char *dot = strrchr(path, '.');
        snprintf(section, sizeof section, "data%s%.*s", dot ? "." : "", dot ? (int)(dot - path) : 0, path);
        return sq__fields_set(alone, owner, section, field->name, value, error);
    }
    if (!list) {
        near_path near = { .count = 0 };
        char text[SQ_CONFIG_PATH + 32];
        sq__config_each_path(gather, &near);
        return sq__fail(error, SQ_NOT_FOUND, "data has no option '%s'%s", path, sq__did_you_mean(path, near.list, near.count, text, sizeof text));
    }
    sq_yaml_document *document;
    char *here, name[SQ_CONFIG_PATH];
    snprintf(name, sizeof name, "data.%s", path);
    SQ_TRY(sq__yaml_parse(&document, name, value[0] ? value : "[]", value[0] ? strlen(value) : 2, error));
    sq_status status = absolute(".", &here, error);
    if (status == SQ_OK) {
        const reader r = { config, document, here, error };
        status = read_list(&r, document->root, list);
        sq__free(here);
    }
    sq__yaml_destroy(&document);
    return status;
}
