/* The data section as text: one value, or the whole as YAML. */
#include <stdlib.h>
#include <string.h>

#include "base/memory.h"
#include "data/config_lists.h"
#include "io/yaml_fields.h"

static const void *at_offset(const sq_data_config *config, size_t offset)
{
    return (const char *)config + offset;
}

static void write_field(FILE *out, const sq_field *field, const void *owner)
{
    char text[SQ_TEXT_FIELD_SIZE];
    sq__fields_format(field, owner, text, sizeof text);
    if (field->type == SQ_FIELD_TEXT) sq__yaml_put_text(out, text);
    else fputs(text, out);
}

static void write_struct(FILE *out, const sq_field *fields, const void *owner)
{
    for (int i = 0; fields[i].name; i++) {
        fprintf(out, "%s%s: ", i ? ", " : "", fields[i].name);
        write_field(out, &fields[i], owner);
    }
}

/* In one line, or with `indent` one entry a line. */
static void write_list(FILE *out, const sq_data_config *config, const sq_data_list *list, const char *indent)
{
    const sq_text_list *texts = at_offset(config, list->offset);
    int count = list->kind == SQ_LIST_CATEGORICAL ? config->categorical_count : list->kind == SQ_LIST_NUMERIC ? config->numeric_count : texts->count;
    fputc('[', out);
    for (int i = 0; i < count; i++) {
        fprintf(out, "%s%s", i ? indent ? "," : ", " : "", indent ? indent : "");
        if (list->kind == SQ_LIST_TEXTS || list->kind == SQ_LIST_FILES) {
            sq__yaml_put_text(out, texts->items[i]);
            continue;
        }
        fputc('{', out);
        if (list->kind == SQ_LIST_CATEGORICAL) write_struct(out, sq__data_categorical_fields, &config->categorical[i]);
        else write_struct(out, sq__data_numeric_fields, &config->numeric[i]);
        fputc('}', out);
    }
    fputc(']', out);
}

/* What `write` puts out, as counted memory; NULL: no memory. */
static char *written(void (*write)(FILE *out, const sq_data_config *config, const char *path), const sq_data_config *config, const char *path)
{
    char *text = NULL, *copy = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    if (!out) return NULL;
    write(out, config, path);
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed) copy = sq__strdup(text);
    free(text);
    return copy;
}

static void write_value(FILE *out, const sq_data_config *config, const char *path)
{
    void *owner;
    char text[SQ_TEXT_FIELD_SIZE];
    const sq_data_list *list = sq__config_list(path);
    const sq_field *field = list ? NULL : sq__config_field(config, path, &owner);
    if (list) write_list(out, config, list, NULL);
    else if (field) fputs(sq__fields_format(field, owner, text, sizeof text), out);
}

const char *sq__data_config_get(sq_data_config *config, const char *path)
{
    void *owner;
    if (!sq__config_list(path) && !sq__config_field(config, path, &owner)) return NULL;
    sq__free(config->shown);
    return config->shown = written(write_value, config, path);
}

static void write_named(FILE *out, const sq_data_config *config, const char *name, const char *key)
{
    fprintf(out, "%s: ", key);
    write_list(out, config, sq__config_list(name), NULL);
}

static void write_section(FILE *out, const sq_data_config *config, const char *path)
{
    (void)path;
    for (const sq_field *field = sq__data_sections[0].fields; field->name; field++) {
        fprintf(out, "  %s: ", field->name);
        write_field(out, field, config);
        fputc('\n', out);
    }
    for (const sq_data_list *list = sq__data_lists; list->name; list++) {
        if (strchr(list->name, '.')) continue;
        fprintf(out, "  %s: ", list->name);
        write_list(out, config, list, "\n    ");
        fputc('\n', out);
    }
    for (const sq_data_section *section = &sq__data_sections[1]; section->name; section++) {
        fprintf(out, "  %s: {", section->name);
        write_struct(out, section->fields, at_offset(config, section->offset));
        if (strcmp(section->name, "explode") == 0) write_named(out, config, "explode.into", ", into");
        if (strcmp(section->name, "target") == 0) {
            write_named(out, config, "target.file", ", file");
            write_named(out, config, "target.columns", ", columns");
        }
        if (strcmp(section->name, "split") == 0) {
            write_named(out, config, "split.files.train", ", files: {train");
            write_named(out, config, "split.files.validation", ", validation");
            write_named(out, config, "split.files.test", ", test");
            fputc('}', out);
        }
        fputs("}\n", out);
    }
}

sq_status sq__data_config_yaml(const sq_data_config *config, char **text, sq_error *error)
{
    *text = written(write_section, config, "");
    return *text ? SQ_OK : sq__no_memory(error);
}
