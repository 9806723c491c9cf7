#include <glob.h>
#include <string.h>

#include "base/memory.h"
#include "data/config_lists.h"
#include "data/read_events.h"
#include "io/file.h"

static sq_status add(sq_input_files *files, const char *name, int part, sq_error *error)
{
    size_t count = (size_t)files->list.count + 1;
    char **items = sq__realloc(files->list.items, count * sizeof *items);
    if (items) files->list.items = items;
    int8_t *parts = items ? sq__realloc(files->part, count) : NULL;
    if (parts) files->part = parts;
    char *copy = parts ? sq__strdup(name) : NULL;
    if (!copy) return sq__no_memory(error);
    files->part[files->list.count] = (int8_t)part;
    files->list.items[files->list.count++] = copy;
    return SQ_OK;
}

/* A name as it is, or what a pattern matches, by name. A name that exists is never a pattern. */
static sq_status add_pattern(sq_input_files *files, const char *name, int part, sq_error *error)
{
    glob_t found;
    if (!strpbrk(name, "*?[") || sq__file_exists(name)) return add(files, name, part, error);
    int code = glob(name, 0, NULL, &found);
    sq_status status = SQ_OK;
    if (code == GLOB_NOSPACE) return sq__no_memory(error);
    if (code != 0) return sq__fail(error, SQ_NOT_FOUND, "%s: no file has such a name", name);
    for (size_t i = 0; status == SQ_OK && i < found.gl_pathc; i++) status = add(files, found.gl_pathv[i], part, error);
    globfree(&found);
    return status;
}

static sq_status add_list(sq_input_files *files, const sq_text_list *list, int part, sq_error *error)
{
    for (int i = 0; i < list->count; i++) SQ_TRY(add_pattern(files, list->items[i], part, error));
    return SQ_OK;
}

static sq_status gather(sq_input_files *files, const sq_data_config *config, const sq_dataset_options *options, sq_error *error)
{
    if (options && options->file_count) {
        for (int i = 0; i < options->file_count; i++) SQ_TRY(add(files, options->files[i], 0, error));
        return SQ_OK;
    }
    if (config->split.by != SQ_BY_FILES) return add_list(files, &config->files, 0, error);
    SQ_TRY(add_list(files, &config->split.train_files, SQ_SPLIT_TRAIN, error));
    SQ_TRY(add_list(files, &config->split.validation_files, SQ_SPLIT_VALIDATION, error));
    return add_list(files, &config->split.test_files, SQ_SPLIT_TEST, error);
}

sq_status sq__input_files(sq_input_files *files, const sq_data_config *config, const sq_dataset_options *options, sq_error *error)
{
    *files = (sq_input_files){ { 0, NULL }, NULL };
    sq_status status = gather(files, config, options, error);
    if (status != SQ_OK) sq__input_files_clear(files);
    return status;
}

void sq__input_files_clear(sq_input_files *files)
{
    sq__text_list_clear(&files->list);
    sq__free(files->part);
    files->part = NULL;
}
