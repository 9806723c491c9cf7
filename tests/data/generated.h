/* Built-in tasks in tests: generated into the test's folder and loaded. */
#ifndef TESTS_DATA_GENERATED_H
#define TESTS_DATA_GENERATED_H

#include "data/tables.h"
#include "subquad/tools.h"

static inline void generate(const char *task, const sq_option *options, int count)
{
    sq_task_generated made;
    sq_error error;
    assert_ok(sq_generate_task(task, path_of("task"), options, count, &made, &error), &error);
    assert_true(made.sequences > 0 && made.events > made.sequences);
}

static inline sq_dataset *load_task(const char *task, const sq_option *options, int count)
{
    char command[300], path[300], where[256];
    sq_yaml_document *document;
    sq_data_config *config;
    sq_dataset *dataset;
    sq_error error;
    snprintf(command, sizeof command, "rm -rf '%s'", path_of("task"));
    assert_int_equal(system(command), 0);
    generate(task, options, count);
    snprintf(where, sizeof where, "%s", path_of("task"));
    snprintf(path, sizeof path, "%s/task.yaml", where);
    assert_ok(sq__yaml_load(&document, path, &error), &error);
    assert_ok(sq__data_config_load(&config, document, sq__yaml_get(document->root, "data"), where, &error), &error);
    assert_ok(sq__dataset_load(&dataset, config, NULL, &error), &error);
    assert_string_equal(dataset->warning, "");
    sq__data_config_destroy(&config);
    sq__yaml_destroy(&document);
    return dataset;
}

#define FEW { "train", "40" }, { "validation", "5" }, { "test", "20" }
#define LOAD(task, ...) load_task(task, (const sq_option[]){ FEW, __VA_ARGS__ }, 3 + (int)(sizeof((const sq_option[]){ __VA_ARGS__ }) / sizeof(sq_option)))

static inline const char *word(const sq_dataset *d, int column, int64_t event)
{
    const int32_t id = d->categories[column][event];
    return id ? d->schema->categories[column].words[id - 1] : "";
}

#endif
