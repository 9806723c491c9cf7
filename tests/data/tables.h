/* Small tables in a temporary folder, loaded by a data section given as text. */
#ifndef SQ_TESTS_DATA_TABLES_H
#define SQ_TESTS_DATA_TABLES_H

#include <unistd.h>

#include "support/check.h"

#include "base/memory.h"
#include "data/dataset.h"
#include "io/file.h"

static char folder[64];

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/subquad-data-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char command[128];
    (void)state;
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static inline const char *path_of(const char *name)
{
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static inline void put_bytes(const char *name, const void *bytes, size_t size)
{
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline void put(const char *name, const char *text)
{
    put_bytes(name, text, strlen(text));
}

/* yaml: the content of `data`, not indented. */
static inline sq_status configure(sq_data_config **config, const char *yaml, sq_error *error)
{
    sq_yaml_document *document;
    *config = NULL;
    sq_status status = sq__yaml_parse(&document, "task.yaml", yaml, strlen(yaml), error);
    if (status != SQ_OK) return status;
    status = sq__data_config_load(config, document, document->root, folder, error);
    sq__yaml_destroy(&document);
    return status;
}

static inline sq_status load_with(sq_dataset **dataset, const char *yaml, const sq_dataset_options *options, sq_error *error)
{
    sq_data_config *config;
    *dataset = NULL;
    sq_status status = configure(&config, yaml, error);
    if (status == SQ_OK) status = sq__dataset_load(dataset, config, options, error);
    sq__data_config_destroy(&config);
    return status;
}

static inline sq_dataset *load(const char *yaml)
{
    sq_dataset *dataset;
    sq_error error;
    assert_ok(load_with(&dataset, yaml, NULL, &error), &error);
    return dataset;
}

/* The message without the temporary folder. */
static inline const char *shown(const sq_error *error)
{
    static char text[sizeof error->message];
    char prefix[80], *out = text;
    snprintf(prefix, sizeof prefix, "%s/", folder);
    for (const char *at = error->message; *at;)
        if (strncmp(at, prefix, strlen(prefix)) == 0) at += strlen(prefix);
        else *out++ = *at++;
    *out = 0;
    return text;
}

static inline void refused(const char *yaml, sq_status expected, const char *message)
{
    sq_dataset *dataset;
    sq_error error = { .message = "" };
    size_t before = sq_memory_current();
    sq_status status = load_with(&dataset, yaml, NULL, &error);
    assert_string_equal(shown(&error), message);
    assert_int_equal(status, expected);
    assert_int_equal(sq_status_exit_code(status), 2);
    assert_null(dataset);
    assert_int_equal(sq_memory_current(), before);
}

static inline int find_number(const sq_schema *schema, const char *name)
{
    for (int i = 0; i < schema->number_count; i++)
        if (strcmp(schema->numbers[i].name, name) == 0) return i;
    return -1;
}

static inline int64_t find_example(const sq_dataset *dataset, const char *id)
{
    for (int64_t i = 0; i < dataset->examples; i++)
        if (strcmp(dataset->id[i], id) == 0) return i;
    return -1;
}

#endif
