#include "task/task.h"

#include <stdlib.h>
#include <string.h>

#include "attention/kind.h"
#include "io/file.h"
#include "io/yaml_fields.h"

static const char *const sections[] = { "name", "data", "model", "train", "attention", "compare" };
enum { SECTIONS = sizeof sections / sizeof *sections };

static sq_status create(sq_task **task, const char *path, sq_error *error)
{
    const sq_attention_kind *const *kinds = sq__attention_kinds();
    sq_task *made = *task = sq__alloc_zero(sizeof *made);
    if (!made) return sq__no_memory(error);
    made->path = sq__strdup(path);
    made->attention = sq__alloc_array((size_t)sq_mechanism_count(), sizeof *made->attention);
    if (!made->path || !made->attention) return sq__no_memory(error);
    for (int i = 0; i < sq_mechanism_count(); i++, made->mechanism_count++) {
        made->attention[i] = sq__alloc_zero(kinds[i]->config_size);
        if (!made->attention[i]) return sq__no_memory(error);
        sq__fields_defaults(kinds[i]->fields, made->attention[i]);
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
    for (int i = 0; i < old->mechanism_count; i++) sq__free(old->attention[i]);
    sq__free(old->attention);
    sq__data_config_destroy(&old->data);
    sq__free(old->path);
    sq__free(old->name);
    sq__free(old);
    *task = NULL;
}

/* attention: {performer: {features: 64}} */
static sq_status read_attention(sq_task *task, const sq_yaml_document *document, const sq_yaml *map, sq_error *error)
{
    const sq_attention_kind *const *kinds = sq__attention_kinds();
    if (map->type == SQ_YAML_SCALAR && map->text[0] == 0) return SQ_OK;
    if (map->type != SQ_YAML_MAP) return sq__yaml_fail(document, map, error, "attention: expected mechanisms with options");
    for (int i = 0; i < map->count; i++) {
        const sq_yaml *key = map->keys[i];
        const int index = sq_mechanism_find(key->text);
        sq_error why;
        if (index < 0) {
            sq__task_mechanism_check(key->text, &why);
            return sq__fail(error, SQ_NOT_FOUND, "%s:%d:%d: %s", document->name, key->line, key->column, why.message);
        }
        SQ_TRY(sq__yaml_fields_read(document, map->items[i], kinds[index]->fields, task->attention[index], kinds[index]->name, error));
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

static sq_status read_sections(sq_task *task, const sq_yaml_document *document, const char *folder, sq_error *error)
{
    sq_yaml *root = document->root, *node;
    SQ_TRY(sq__yaml_check_keys(document, root, sections, SECTIONS, error));
    if (!(node = sq__yaml_get(root, "data"))) return sq__yaml_fail(document, root, error, "has no section 'data'");
    SQ_TRY(sq__data_config_load(&task->data, document, node, folder, error));
    if ((node = sq__yaml_get(root, "model"))) SQ_TRY(sq__yaml_fields_read(document, node, sq__model_fields, &task->model, "model", error));
    if ((node = sq__yaml_get(root, "train"))) SQ_TRY(sq__yaml_fields_read(document, node, sq__train_fields, &task->train, "train", error));
    if ((node = sq__yaml_get(root, "attention"))) SQ_TRY(read_attention(task, document, node, error));
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
