#include "task/task.h"

#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/yaml_fields.h"
#include "models/catalogue.h"

static const char *const sections[] = { "name", "data", "model", "train", "attention", "models", "compare" };
enum { SECTIONS = sizeof sections / sizeof *sections };

static sq_status create(sq_task **task, const char *path, sq_error *error)
{
    sq_task *made = *task = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    made->path = sq__strdup(path);
    made->options = sq__alloc_array((size_t)sq__named_count(), sizeof *made->options);
    if (!made->path || !made->options) return sq__no_memory(error);
    for (int i = 0; i < sq__named_count(); i++, made->option_count++) {
        const sq_named named = sq__named_at(i);
        made->options[i] = sq__alloc_zero(named.config_size + 1);   /* some have none */
        if (!made->options[i]) return sq__no_memory(error);
        sq__fields_defaults(named.fields, made->options[i]);
    }
    sq__fields_defaults(sq__model_fields, &made->model);
    sq__fields_defaults(sq__train_fields, &made->train);
    sq__fields_defaults(sq__compare_fields, &made->compare);
    return SQ_OK;
}

void sq_task_destroy(sq_task **task)
{
    if (!task || !*task) return;
    sq_task *old = *task;
    for (int i = 0; i < old->option_count; i++) sq__free(old->options[i]);
    sq__free(old->options);
    sq__data_config_destroy(&old->data);
    sq__free(old->path);
    sq__free(old->name);
    sq__free(old);
    *task = NULL;
}

/* attention: {performer: {features: 64}}, models: {lstm: {hidden: 128}} */
static sq_status read_options(sq_task *task, const sq_yaml_document *document, const char *section, sq_error *error)
{
    const sq_yaml *map = sq__yaml_get(document->root, section);
    if (!map || (map->type == SQ_YAML_SCALAR && map->text[0] == 0)) return SQ_OK;
    if (map->type != SQ_YAML_MAP) return sq__yaml_fail(document, map, error, "%s: expected names with options", section);
    for (int i = 0; i < map->count; i++) {
        const sq_yaml *key = map->keys[i];
        sq_error why;
        if (sq__name_check(section, key->text, NULL, &why) != SQ_OK)
            return sq__fail(error, SQ_NOT_FOUND, "%s:%d:%d: %s", document->name, key->line, key->column, why.message);
        const int index = sq__named_find(key->text);
        SQ_TRY(sq__yaml_fields_read(document, map->items[i], sq__named_at(index).fields, task->options[index], key->text, error));
    }
    return SQ_OK;
}

static sq_status read_compare(sq_task *task, const sq_yaml_document *document, const sq_yaml *map, sq_error *error)
{
    sq_error why;
    SQ_TRY(sq__yaml_fields_read(document, map, sq__compare_fields, &task->compare, "compare", error));
    const sq_status status = sq__compare_config_check(&task->compare, &why);
    return status == SQ_OK ? SQ_OK : sq__fail(error, status, "%s:%d:%d: %s", document->name, map->line, map->column, why.message);
}

/* Training that does not suit what the data asks, at the place of the setting. node: of the section, or NULL. */
static sq_status check_train(const sq_task *task, const sq_yaml_document *document, const sq_yaml *node, sq_error *error)
{
    const char *key;
    sq_error why;
    const sq_status status = sq__train_config_check(&task->train, (sq_target_kind)task->data->target.kind, &key, &why);
    const sq_yaml *at = status != SQ_OK && node ? sq__yaml_get(node, key) : NULL;
    return status == SQ_OK ? SQ_OK : sq__yaml_fail(document, at ? at : document->root, error, "%s", why.message);
}

static sq_status read_sections(sq_task *task, const sq_yaml_document *document, const char *folder, sq_error *error)
{
    sq_yaml *root = document->root, *node;
    SQ_TRY(sq__yaml_check_keys(document, root, sections, SECTIONS, error));
    if (!(node = sq__yaml_get(root, "data"))) return sq__yaml_fail(document, root, error, "has no section 'data'");
    SQ_TRY(sq__data_config_load(&task->data, document, node, folder, error));
    if ((node = sq__yaml_get(root, "model"))) SQ_TRY(sq__yaml_fields_read(document, node, sq__model_fields, &task->model, "model", error));
    if ((node = sq__yaml_get(root, "train"))) SQ_TRY(sq__yaml_fields_read(document, node, sq__train_fields, &task->train, "train", error));
    SQ_TRY(check_train(task, document, node, error));
    SQ_TRY(read_options(task, document, "attention", error));
    SQ_TRY(read_options(task, document, "models", error));
    if ((node = sq__yaml_get(root, "compare"))) SQ_TRY(read_compare(task, document, node, error));
    if (!(node = sq__yaml_get(root, "name"))) return SQ_OK;
    if (node->type != SQ_YAML_SCALAR) return sq__yaml_fail(document, node, error, "name: expected one value");
    task->name = sq__strdup(node->text);
    return task->name ? SQ_OK : sq__no_memory(error);
}

static sq_status name_by_file(sq_task *task, sq_error *error)
{
    const char *slash = strrchr(task->path, '/');
    task->name = sq__strdup(slash ? slash + 1 : task->path);
    if (!task->name) return sq__no_memory(error);
    char *dot = strrchr(task->name, '.');
    if (dot && dot != task->name) *dot = 0;
    return SQ_OK;
}

static sq_status load(sq_task *task, sq_error *error)
{
    sq_yaml_document *document;
    SQ_TRY(sq__yaml_load(&document, task->path, error));
    char *folder = sq__path_folder(task->path);
    char *absolute = folder ? realpath(folder, NULL) : NULL;   /* so that config.yaml means the same from where it lies */
    sq_status status = absolute ? read_sections(task, document, absolute, error) : sq__no_memory(error);
    free(absolute);
    sq__free(folder);
    sq__yaml_destroy(&document);
    if (status == SQ_OK && !task->name) status = name_by_file(task, error);
    return status;
}

sq_status sq_task_load(sq_task **task, const char *path, sq_error *error)
{
    sq_status status = create(task, path, error);
    if (status == SQ_OK) status = load(*task, error);
    if (status != SQ_OK) sq_task_destroy(task);
    return status;
}
