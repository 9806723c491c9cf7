/* Single settings of a task by dotted path, the whole as YAML, and the tables behind it for help texts. */
#include <stdlib.h>
#include <string.h>

#include "io/yaml_fields.h"
#include "models/catalogue.h"
#include "task/task.h"

/* ---- sections that are one table ---- */

typedef struct section { const char *name; const sq_field *fields; size_t offset; } section;

static const section tables[] = {
    { "model", sq__model_fields, offsetof(sq_task, model) },
    { "train", sq__train_fields, offsetof(sq_task, train) },
    { "compare", sq__compare_fields, offsetof(sq_task, compare) },
};
enum { TABLES = sizeof tables / sizeof *tables };

static const section *find_table(const char *name)
{
    for (int i = 0; i < TABLES; i++)
        if (strcmp(tables[i].name, name) == 0) return &tables[i];
    return NULL;
}

sq_status sq_task_option(const char *name, int index, sq_option_info *info)
{
    if (strcmp(name, "data") == 0 || strncmp(name, "data.", 5) == 0) return sq__data_option(name[4] ? name + 5 : "", index, info) ? SQ_OK : SQ_NOT_FOUND;
    const section *table = find_table(name);
    if (!table || index < 0 || index >= sq__fields_count(table->fields)) return SQ_NOT_FOUND;
    sq__field_info(&table->fields[index], info);
    return SQ_OK;
}

/* ---- paths ---- */

typedef struct place {
    char section[32], owner[64];
    const char *rest;                  /* what follows the section, and for attention and models the name */
    const sq_field *fields;            /* NULL: data */
    void *config;
} place;

static bool cut_word(const char **path, char *word, size_t size)
{
    const char *dot = strchr(*path, '.');
    if (!dot || dot == *path || (size_t)(dot - *path) >= size || !dot[1]) return false;
    memcpy(word, *path, (size_t)(dot - *path));
    word[dot - *path] = 0;
    *path = dot + 1;
    return true;
}

static sq_status find_place(sq_task *task, const char *path, place *at, sq_error *error)
{
    static const char *const names[] = { "data", "model", "train", "attention", "models", "compare" };
    char near[128];
    *at = (place){ .rest = path };
    if (!cut_word(&at->rest, at->section, sizeof at->section))
        return sq__fail(error, SQ_INVALID, "'%s' is no path of a setting; expected SECTION.NAME, such as train.epochs", path);
    if (strcmp(at->section, "data") == 0) return SQ_OK;
    const section *table = find_table(at->section);
    if (table) {
        at->fields = table->fields;
        at->config = (char *)task + table->offset;
        snprintf(at->owner, sizeof at->owner, "%s", at->section);
        return SQ_OK;
    }
    if (strcmp(at->section, "attention") != 0 && strcmp(at->section, "models") != 0)
        return sq__fail(error, SQ_NOT_FOUND, "a task has no section '%s'%s", at->section, sq__did_you_mean(at->section, names, 6, near, sizeof near));
    if (!cut_word(&at->rest, at->owner, sizeof at->owner))
        return sq__fail(error, SQ_INVALID, "'%s' is no path of a setting; expected %s.NAME.OPTION", path, at->section);
    SQ_TRY(sq__name_check(at->section, at->owner, NULL, error));
    const int index = sq__named_find(at->owner);
    at->fields = sq__named_at(index).fields;
    at->config = task->options[index];
    if (!at->fields) return sq__fail(error, SQ_NOT_FOUND, "%s has no options", at->owner);
    return SQ_OK;
}

/* Lists bare, or as in the file: [a, b]. */
static sq_status set_compare(sq_task *task, const place *at, const char *value, sq_error *error)
{
    sq_compare_config changed = task->compare;
    char bare[SQ_TEXT_FIELD_SIZE];
    const size_t length = strlen(value);
    if (length >= 2 && length < sizeof bare && value[0] == '[' && value[length - 1] == ']') {
        snprintf(bare, sizeof bare, "%.*s", (int)(length - 2), value + 1);
        value = bare;
    }
    SQ_TRY(sq__fields_set(at->fields, &changed, at->owner, at->rest, value, error));
    SQ_TRY(sq__compare_config_check(&changed, error));
    task->compare = changed;
    return SQ_OK;
}

static sq_status set_name(sq_task *task, const char *value, sq_error *error)
{
    char *name = sq__strdup(value);
    if (!name) return sq__no_memory(error);
    sq__free(task->name);
    task->name = name;
    return SQ_OK;
}

sq_status sq_task_set(sq_task *task, const char *path, const char *value, sq_error *error)
{
    place at;
    if (strcmp(path, "name") == 0) return set_name(task, value, error);
    SQ_TRY(find_place(task, path, &at, error));
    if (!at.config) return sq__data_config_set(task->data, at.rest, value, error);
    if (at.config == &task->compare) return set_compare(task, &at, value, error);
    return sq__fields_set(at.fields, at.config, at.owner, at.rest, value, error);
}

const char *sq_task_get(sq_task *task, const char *path)
{
    place at;
    if (strcmp(path, "name") == 0) return task->name;
    if (find_place(task, path, &at, NULL) != SQ_OK) return NULL;
    if (!at.config) return sq__data_config_get(task->data, at.rest);
    const sq_field *field = sq__fields_find(at.fields, at.rest);
    return field ? sq__fields_format(field, at.config, task->shown, sizeof task->shown) : NULL;
}

/* ---- the whole ---- */

static sq_status write_yaml(const sq_task *task, FILE *stream, sq_error *error)
{
    char *data;
    SQ_TRY(sq__data_config_yaml(task->data, &data, error));
    fputs("name: ", stream);
    sq__yaml_put_text(stream, task->name);
    fprintf(stream, "\ndata:\n%s", data);
    sq__free(data);
    for (int i = 0; i < TABLES; i++) {
        fprintf(stream, "%s:\n", tables[i].name);
        sq__yaml_fields_write(stream, tables[i].fields, (const char *)task + tables[i].offset, 2);
    }
    const char *heading = "";
    for (int i = 0; i < task->option_count; i++) {
        const sq_named named = sq__named_at(i);
        if (sq__fields_count(named.fields) == 0) continue;
        if (strcmp(heading, named.section) != 0) fprintf(stream, "%s:\n", heading = named.section);
        fprintf(stream, "  %s:\n", named.name);
        sq__yaml_fields_write(stream, named.fields, task->options[i], 4);
    }
    return SQ_OK;
}

sq_status sq_task_yaml(const sq_task *task, char **yaml, sq_error *error)
{
    char *text = NULL;
    size_t size;
    *yaml = NULL;
    FILE *stream = open_memstream(&text, &size);
    if (!stream) return sq__no_memory(error);
    sq_status status = write_yaml(task, stream, error);
    const bool whole = fclose(stream) == 0;
    if (status == SQ_OK && (!whole || !(*yaml = sq__strdup(text)))) status = sq__no_memory(error);
    free(text);
    return status;
}

void sq_text_free(char **text)
{
    if (!text) return;
    sq__free(*text);
    *text = NULL;
}
